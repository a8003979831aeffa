#include "netload.h"
#include "memory.h"
#include "net.h"
#include "option.h"
#include "pace.h"
#include "packet.h"
#include "serial.h"

#define SLOTS 192        /* frames under way */
#define BATCH 32         /* that must have left before more are added */
#define SPARE 32         /* descriptors kept for answers */

#define NET_F_CSUM (1ul << 0)
#define NET_F_HOST_TSO4 (1ul << 11)
#define NEEDS_CSUM 1
#define GSO_TCPV4 1

#define SMALLEST 60
#define LARGEST_PLAIN 1514
#define SEGMENT 1460
#define TCP_AT (ETHER_HEADER + 20)
#define SEQUENCE_AT (TCP_AT + 4)
#define PAYLOAD_AT (TCP_AT + 20)

struct net_header {
	u8 flags, gso_type;
	u16 header_len, gso_size, csum_start, csum_offset, buffers;
};

static u8 *slots;        /* of NET_BUFFER bytes: header and frame, or what of the frame fits */
static u8 *rest;         /* what does not, the same for all */
static u32 size;         /* of a frame */
static u64 sequence;
static struct pace pace;
static u16 unused[SLOTS], unused_count;

static bool segmented(void) { return options.netload == NETLOAD_TSO; }

u64 netload_features(void) { return segmented() ? NET_F_CSUM | NET_F_HOST_TSO4 : 0; }

u32 netload_bytes(void) { return size; }

static void put16(u8 *p, u16 v) { *(u16 *)p = swap16(v); }

/* TCP to an address of RFC 5737 that nobody has, so that nobody answers. The checksum is left to the device, but for the pseudo-header. */
static void make_segments(u8 *slot)
{
	static const u8 ip[20] = {0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1};
	struct net_header *h = (struct net_header *)slot;
	u8 *f = slot + NET_HEADER;
	*h = (struct net_header){NEEDS_CSUM, GSO_TCPV4, PAYLOAD_AT, SEGMENT, TCP_AT, 16, 0};
	put16(f + 12, 0x0800);
	memcpy(f + ETHER_HEADER, ip, sizeof(ip));
	memcpy(f + ETHER_HEADER + 12, &net_own.ip, 4);
	put16(f + ETHER_HEADER + 2, size - ETHER_HEADER);
	*(u16 *)(f + ETHER_HEADER + 10) = ~packet_sum(0, f + ETHER_HEADER, 20, 0);
	put16(f + TCP_AT, 9);
	put16(f + TCP_AT + 2, 9);
	put16(f + TCP_AT + 12, 0x5010); /* 20 bytes, ACK */
	put16(f + TCP_AT + 14, 0xffff);
	u8 pseudo[4] = {0, 6};
	put16(pseudo + 2, size - TCP_AT);
	*(u16 *)(f + TCP_AT + 16) = packet_sum(packet_sum(0, f + ETHER_HEADER + 12, 8, 0), pseudo, 4, 0);
}

static void make(u8 *slot)
{
	u8 *f = slot + NET_HEADER;
	for (u32 i = ETHER_HEADER; i < NET_BUFFER - NET_HEADER; i++)
		f[i] = i;
	memcpy(f + 6, net_own.mac, 6);
	if (segmented())
		make_segments(slot);
	else
		put16(f + 12, TYPE_LOAD);
}

bool netload_start(const struct virtio *v, struct ring *tx)
{
	size = options.netsize < SMALLEST ? SMALLEST : options.netsize;
	if (segmented() && (!virtio_offers(v, NET_F_HOST_TSO4) || !virtio_offers(v, NET_F_CSUM) || size <= LARGEST_PLAIN))
		return false;
	slots = memory_take(SLOTS * NET_BUFFER);
	rest = memory_take(size);
	for (u32 i = 0; i < size; i++)
		rest[i] = i;
	for (u32 i = 0; i < SLOTS; i++) {
		make(slots + i * NET_BUFFER);
		unused[unused_count++] = i;
	}
	tx->arm_after = BATCH - 1;
	pace.per_second = options.netrate;
	return true;
}

static void finish(u8 *f)
{
	memcpy(f, net_peer.mac, 6);
	if (segmented()) {
		*(u32 *)(f + SEQUENCE_AT) = swap32(sequence);
		sequence += size - PAYLOAD_AT;
	} else {
		*(u64 *)(f + ETHER_HEADER) = sequence++;
	}
}

bool netload_fill(struct ring *tx, u64 now)
{
	static const u8 nobody[6];
	if (unused_count < BATCH || !memcmp(net_peer.mac, nobody, 6))
		return false;
	u32 first = NET_HEADER + size < NET_BUFFER ? NET_HEADER + size : NET_BUFFER;
	u32 more = NET_HEADER + size - first;
	bool added = false;
	pace_earn(&pace, now);
	while (unused_count && tx->unused_count > SPARE && pace_spend(&pace)) {
		u16 slot = unused[unused_count - 1];
		u8 *s = slots + slot * NET_BUFFER;
		struct buffer b[] = {{s, first}, {rest, more}};
		finish(s + NET_HEADER);
		if (!ring_add(tx, b, more ? 2 : 1, 0, NET_LOAD_TOKEN + slot))
			break;
		unused_count--;
		added = true;
	}
	return added;
}

void netload_sent(u32 slot) { unused[unused_count++] = slot; }
