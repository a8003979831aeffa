#include "net.h"
#include "device.h"
#include "memory.h"
#include "netload.h"
#include "option.h"
#include "packet.h"
#include "report.h"
#include "stat.h"

#define ID 1
#define F_MAC (1ul << 5)
#define F_MRG_RXBUF (1ul << 15)
#define BUFFERS_AT 10 /* num_buffers in the header */

#define BATCH 64 /* frames that are handled before other work has its turn */

struct net_address net_own, net_peer;

static struct ring rx, tx;
static bool mergeable;
static u8 *buffers;                  /* of NET_BUFFER bytes, one for each descriptor of rx; a token is an index */
static u16 frame_next[RING_MAX];     /* the buffer behind one, in an answer under way; NO_BUFFER: none */
static u16 frame_bytes[RING_MAX];    /* of the answer that begins in a buffer; at most 64 KiB */
static struct {
	u64 rx, tx, rx_bytes, tx_bytes;
	u64 rx_bad;  /* for us, but cut short or with a wrong checksum */
	u64 tx_full; /* answers for which there was no room */
} total, last;

#define NO_BUFFER 0xffff

static bool wanted(void) { return options.net_ip || options.net_ip6[0] || options.netload; }

static void post(u32 i)
{
	struct buffer b = {buffers + i * NET_BUFFER, NET_BUFFER};
	ring_add(&rx, &b, 0, 1, i);
}

static bool start(struct cpu *c, struct virtio *v)
{
	static const u8 local[6] = {2, 'l', 'o', 'a', 'd', 1};
	(void)c;
	if (!virtio_open(v, ID, F_MAC | F_MRG_RXBUF | netload_features()))
		return false;
	net_own.ip = options.net_ip;
	for (u32 i = 0; i < 6; i++)
		net_own.mac[i] = virtio_offers(v, F_MAC) ? virtio_config8(v, i) : local[i];
	memcpy(net_peer.mac, options.net_peer, 6);
	mergeable = virtio_offers(v, F_MRG_RXBUF);
	if (!virtio_ring(v, 0, RING_MAX, &rx) || !virtio_ring(v, 1, RING_MAX, &tx) ||
	    (options.netload && !netload_start(v, &tx))) {
		virtio_fail(v);
		return false;
	}
	buffers = memory_take(rx.size * NET_BUFFER);
	for (u32 i = 0; i < rx.size; i++)
		post(i);
	rx.arm_after = 0;
	return true;
}

/* Takes what has been sent back. */
static bool reclaim(struct cpu *c)
{
	u32 token, len;
	bool any = false;
	while (ring_take(c, &tx, &token, &len)) {
		any = true;
		total.tx++;
		if (token >= NET_LOAD_TOKEN) {
			total.tx_bytes += netload_bytes();
			netload_sent(token - NET_LOAD_TOKEN);
			continue;
		}
		total.tx_bytes += frame_bytes[token];
		for (u32 i = token, next; i != NO_BUFFER; i = next) {
			next = frame_next[i];
			post(i);
		}
	}
	return any;
}

/* Sends a frame back in the buffers that it came in. false: no room. */
static bool send_back(const struct frame *f, const u16 *index)
{
	struct buffer b[MAX_PARTS];
	for (u32 i = 0; i < f->count; i++) {
		b[i] = f->parts[i];
		frame_next[index[i]] = i + 1 < f->count ? index[i + 1] : NO_BUFFER;
	}
	b[0].addr = memset((u8 *)b[0].addr - NET_HEADER, 0, NET_HEADER);
	b[0].len += NET_HEADER;
	frame_bytes[index[0]] = f->bytes;
	return ring_add(&tx, b, f->count, 0, index[0]);
}

static void handle(struct frame *f, const u16 *index)
{
	total.rx++;
	total.rx_bytes += f->bytes;
	switch (packet_answer(f)) {
	case ANSWER:
		if (send_back(f, index))
			return;
		total.tx_full++;
		break;
	case BROKEN:
		total.rx_bad++;
		break;
	case DROP:
		break;
	}
	for (u32 i = 0; i < f->count; i++)
		post(index[i]);
}

/* Gathers the buffers of the frame that begins in the first. false: the device has told nonsense, and they are lost to it. */
static bool gather(struct cpu *c, struct frame *f, u16 *index, u32 token, u32 len)
{
	const u8 *header = buffers + token * NET_BUFFER;
	u32 want = 1;
	if (len > NET_HEADER && mergeable)
		want = *(const u16 *)(header + BUFFERS_AT);
	if (len <= NET_HEADER || len > NET_BUFFER || !want || want > MAX_PARTS) {
		report_corrupt_value(c, "frame", want, NET_BUFFER, len);
		return false;
	}
	index[0] = token;
	f->parts[0] = (struct buffer){header + NET_HEADER, len - NET_HEADER};
	f->bytes = len - NET_HEADER;
	for (f->count = 1; f->count < want; f->count++) {
		if (!ring_take(c, &rx, &token, &len) || !len || len > NET_BUFFER) {
			report_corrupt_value(c, "frameparts", f->count, want, len);
			return false;
		}
		index[f->count] = token;
		f->parts[f->count] = (struct buffer){buffers + token * NET_BUFFER, len};
		f->bytes += len;
	}
	return true;
}

static bool poll(struct cpu *c, u64 now, bool stopping)
{
	bool worked = reclaim(c);
	u32 token, len, n = 0;
	for (; n < BATCH && ring_take(c, &rx, &token, &len); n++) {
		struct frame f;
		u16 index[MAX_PARTS];
		if (gather(c, &f, index, token, len))
			handle(&f, index);
	}
	if (!stopping && (options.netload == NETLOAD_TX || options.netload == NETLOAD_TSO))
		worked |= netload_fill(&tx, now);
	ring_push(&rx);
	ring_push(&tx);
	return worked || n;
}

static void stat(struct line *l, u64 ns)
{
	stat_field(l, " rx=", total.rx);
	stat_field(l, " tx=", total.tx);
	stat_field(l, " rx_bad=", total.rx_bad);
	stat_field(l, " tx_full=", total.tx_full);
	if (options.netload) {
		stat_field(l, " rx_pps=", stat_per_second(total.rx - last.rx, ns));
		stat_field(l, " tx_pps=", stat_per_second(total.tx - last.tx, ns));
		stat_mib_s(l, " rx_mib_s=", total.rx_bytes - last.rx_bytes, ns);
		stat_mib_s(l, " tx_mib_s=", total.tx_bytes - last.tx_bytes, ns);
	}
	last = total;
}

const struct driver net_driver = {.options = "net netload", .wanted = wanted, .start = start, .poll = poll, .stat = stat};
