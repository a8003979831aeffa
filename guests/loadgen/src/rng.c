/* rng=1: reads a little entropy all the time. What comes must not be zero, nor what came before. */
#include "device.h"
#include "memory.h"
#include "option.h"
#include "pace.h"
#include "report.h"
#include "stat.h"

#define ID 4
#define BYTES 64ul
#define ENOUGH 16 /* bytes that are not zero or the same by chance */
#define PER_SECOND 10

static struct ring ring;
static u8 *fresh, before[BYTES];
static struct pace pace = {.per_second = PER_SECOND};
static u64 bytes;

static bool wanted(void) { return options.rng; }

static void ask(void)
{
	struct buffer b = {memset(fresh, 0, BYTES), BYTES};
	ring_add(&ring, &b, 0, 1, 0);
}

static bool start(struct cpu *c, struct virtio *v)
{
	(void)c;
	if (!virtio_open(v, ID, 0))
		return false;
	if (!virtio_ring(v, 0, 8, &ring)) {
		virtio_fail(v);
		return false;
	}
	fresh = memory_take(BYTES);
	ask();
	return true;
}

static void check(struct cpu *c, u32 len)
{
	static const u8 zeroes[BYTES];
	if (!len || len > BYTES)
		report_corrupt_value(c, "rnglen", 0, BYTES, len);
	else if (len >= ENOUGH && (!memcmp(fresh, zeroes, len) || !memcmp(fresh, before, len)))
		report_corrupt_value(c, "rng", bytes, len, *(u64 *)fresh);
	bytes += len;
	memcpy(before, fresh, BYTES);
}

static bool poll(struct cpu *c, u64 now, bool stopping)
{
	u32 token, len;
	pace_earn(&pace, now);
	if (ring_take(c, &ring, &token, &len))
		check(c, len);
	if (ring.in_flight || stopping || !pace_spend(&pace))
		return false;
	ask();
	ring_push(&ring);
	return true;
}

static void stat(struct line *l, u64 ns)
{
	(void)ns;
	stat_field(l, " rng=", bytes);
}

const struct driver rng_driver = {.options = "rng", .wanted = wanted, .start = start, .poll = poll, .stat = stat};
