/* vcon=1: the console's port 0 gives back what it gets. */
#include "device.h"
#include "memory.h"
#include "option.h"
#include "report.h"
#include "stat.h"

#define ID 3
#define BUFFERS 16
#define BYTES 1024ul

static struct ring rx, tx;
static u8 *buffers;
static u64 bytes; /* given back */
static u32 lengths[BUFFERS];

static bool wanted(void) { return options.vcon; }

static void post(u32 i)
{
	struct buffer b = {buffers + i * BYTES, BYTES};
	ring_add(&rx, &b, 0, 1, i);
}

static bool start(struct cpu *c, struct virtio *v)
{
	(void)c;
	if (!virtio_open(v, ID, 0))
		return false;
	if (!virtio_ring(v, 0, BUFFERS, &rx) || !virtio_ring(v, 1, BUFFERS, &tx)) {
		virtio_fail(v);
		return false;
	}
	u32 count = rx.size < tx.size ? rx.size : tx.size; /* there is always room to give back */
	buffers = memory_take(count * BYTES);
	for (u32 i = 0; i < count; i++)
		post(i);
	rx.arm_after = tx.arm_after = 0;
	return true;
}

static bool poll(struct cpu *c, u64 now, bool stopping)
{
	u32 token, len;
	bool worked = false;
	(void)now;
	(void)stopping;
	while (ring_take(c, &tx, &token, &len)) {
		bytes += lengths[token];
		post(token);
		worked = true;
	}
	while (ring_take(c, &rx, &token, &len)) {
		worked = true;
		if (!len || len > BYTES) {
			report_corrupt_value(c, "vconlen", 0, BYTES, len);
			post(token);
			continue;
		}
		struct buffer b = {buffers + token * BYTES, len};
		lengths[token] = len;
		ring_add(&tx, &b, 1, 0, token);
	}
	ring_push(&rx);
	ring_push(&tx);
	return worked;
}

static void stat(struct line *l, u64 ns)
{
	(void)ns;
	stat_field(l, " vcon=", bytes);
}

const struct driver vcon_driver = {.options = "vcon", .wanted = wanted, .start = start, .poll = poll, .stat = stat};
