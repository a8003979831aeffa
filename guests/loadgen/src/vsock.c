#include "vsock.h"
#include "device.h"
#include "memory.h"
#include "option.h"
#include "report.h"
#include "stat.h"
#include "stream.h"

#define ID 19
#define CONFIG_CID 0
#define TYPE_STREAM 1
#define EVENT_RESET 0 /* the transport's: every connection is gone, and the guest's id may be another */
#define PACKETS 64u
#define EVENTS 4u
#define BATCH 32 /* packets that are handled before other work has its turn */

static struct ring rx, tx, events;
static struct virtio *device;
static u8 *in, *out;       /* packets of VSOCK_PACKET bytes */
static u32 *happened;      /* events */
static u16 unused[PACKETS], unused_count; /* of out */
static u64 cid, resets;

static bool wanted(void) { return options.vsock || options.vsockdial; }

static void post(u32 i)
{
	struct buffer b = {in + i * VSOCK_PACKET, VSOCK_PACKET};
	ring_add(&rx, &b, 0, 1, i);
}

static void post_event(u32 i)
{
	struct buffer b = {&happened[i], sizeof(*happened)};
	ring_add(&events, &b, 0, 1, i);
}

static bool start(struct cpu *c, struct virtio *v)
{
	(void)c;
	device = v;
	if (!virtio_open(v, ID, 0))
		return false;
	if (!virtio_ring(v, 0, PACKETS, &rx) || !virtio_ring(v, 1, PACKETS, &tx) || !virtio_ring(v, 2, EVENTS, &events)) {
		virtio_fail(v);
		return false;
	}
	cid = virtio_config64(v, CONFIG_CID);
	in = memory_take(rx.size * VSOCK_PACKET);
	out = memory_take(tx.size * VSOCK_PACKET);
	happened = memory_take(events.size * sizeof(*happened));
	for (u32 i = 0; i < rx.size; i++)
		post(i);
	for (u32 i = 0; i < events.size; i++)
		post_event(i);
	for (u32 i = 0; i < tx.size; i++)
		unused[unused_count++] = i;
	streams_start();
	rx.arm_after = tx.arm_after = events.arm_after = 0;
	return true;
}

bool vsock_room(void) { return unused_count; }

struct vsock_header *vsock_packet(void)
{
	return memset(out + unused[--unused_count] * VSOCK_PACKET, 0, VSOCK_HEADER);
}

void vsock_send(struct vsock_header *h)
{
	h->from = cid;
	h->type = TYPE_STREAM;
	struct buffer b = {h, VSOCK_HEADER + h->len};
	ring_add(&tx, &b, 1, 0, ((u8 *)h - out) / VSOCK_PACKET);
}

static void handle(struct cpu *c, const struct vsock_header *h, u32 len, u64 now)
{
	if (len < VSOCK_HEADER || len > VSOCK_PACKET || h->len != len - VSOCK_HEADER)
		report_corrupt_value(c, "vsocklen", len, h->len, len);
	else if (h->to == cid && h->from == VSOCK_HOST && h->type == TYPE_STREAM)
		streams_receive(c, h, now);
}

static bool take_events(struct cpu *c)
{
	u32 token, len;
	bool any = false;
	while (ring_take(c, &events, &token, &len)) {
		if (happened[token] == EVENT_RESET) {
			resets++;
			cid = virtio_config64(device, CONFIG_CID);
			streams_start();
		}
		post_event(token);
		any = true;
	}
	return any;
}

static bool poll(struct cpu *c, u64 now, bool stopping)
{
	u32 token, len, n = 0;
	bool worked = take_events(c);
	while (ring_take(c, &tx, &token, &len)) {
		unused[unused_count++] = token;
		worked = true;
	}
	/* A packet may need an answer, and then room for it. */
	for (; n < BATCH && unused_count && ring_take(c, &rx, &token, &len); n++) {
		handle(c, (const struct vsock_header *)(in + token * VSOCK_PACKET), len, now);
		post(token);
	}
	worked |= streams_send(now, stopping);
	for (u32 i = 0; i < device->ring_count; i++)
		ring_push(device->rings[i]);
	return worked || n;
}

static void stat(struct line *l, u64 ns)
{
	(void)ns;
	streams_stat(l);
	stat_field(l, " vsock_resets=", resets);
}

const struct driver vsock_driver = {.options = "vsock vsockdial", .wanted = wanted, .start = start, .poll = poll, .stat = stat};
