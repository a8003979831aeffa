#include "packet.h"
#include "netload.h"
#include "option.h"
#include "packet6.h"

#define TYPE_IP 0x0800
#define TYPE_ARP 0x0806
#define PROTOCOL_ICMP 1
#define PORT_ECHO 7

struct ether {
	u8 to[6], from[6];
	u16 type;
} __attribute__((packed));

struct arp {
	u16 hardware, protocol;
	u8 hardware_len, protocol_len;
	u16 operation;
	u8 from[6];
	u32 from_ip;
	u8 to[6];
	u32 to_ip;
} __attribute__((packed));

struct ip {
	u8 version_len, service;
	u16 len, id, fragment;
	u8 ttl, protocol;
	u16 sum;
	u32 from, to;
} __attribute__((packed));

struct icmp {
	u8 type, code;
	u16 sum;
} __attribute__((packed));

u32 packet_fold(u64 sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

u32 packet_sum(u32 sum, const void *bytes, u32 n, u32 offset)
{
	const u8 *p = bytes;
	u64 s = 0;
	for (; n >= 8; n -= 8, p += 8) {
		u64 w = *(const u64 *)p;
		s += (w & 0xffffffff) + (w >> 32);
	}
	for (; n >= 2; n -= 2, p += 2)
		s += *(const u16 *)p;
	if (n)
		s += *p;
	s = packet_fold(s);
	return packet_fold(sum + (offset & 1 ? swap16(s) : s));
}

u32 packet_sum_frame(u32 sum, const struct frame *f, u32 offset, u32 n)
{
	u32 at = 0;
	for (u32 i = 0; i < f->count && n; i++) {
		const struct buffer *b = &f->parts[i];
		if (offset >= b->len) {
			offset -= b->len;
			continue;
		}
		u32 here = b->len - offset < n ? b->len - offset : n;
		sum = packet_sum(sum, (const u8 *)b->addr + offset, here, at);
		at += here;
		n -= here;
		offset = 0;
	}
	return sum;
}

static bool same_mac(const u8 *a, const u8 *b) { return !((*(const u32 *)a ^ *(const u32 *)b) | (*(const u16 *)(a + 4) ^ *(const u16 *)(b + 4))); }

static bool broadcast(const u8 *mac) { return *(const u32 *)mac == ~0u && *(const u16 *)(mac + 4) == 0xffff; }

static enum verdict back(struct ether *e)
{
	memcpy(e->to, e->from, 6);
	memcpy(e->from, net_own.mac, 6);
	return ANSWER;
}

static enum verdict answer_arp(struct ether *e, struct frame *f)
{
	struct arp *a = (struct arp *)(e + 1);
	if (f->parts[0].len < sizeof(*e) + sizeof(*a))
		return BROKEN;
	if (a->hardware != swap16(1) || a->protocol != swap16(TYPE_IP) || a->hardware_len != 6 || a->protocol_len != 4 || a->to_ip != net_own.ip)
		return DROP;
	memcpy(net_peer.mac, a->from, 6);
	net_peer.ip = a->from_ip;
	if (a->operation != swap16(1))
		return DROP;
	a->operation = swap16(2);
	memcpy(a->to, a->from, 6);
	memcpy(a->from, net_own.mac, 6);
	a->to_ip = a->from_ip;
	a->from_ip = net_own.ip;
	return back(e);
}

static enum verdict answer_icmp(struct icmp *m, const struct frame *f, u32 at, u32 n)
{
	if (n < 8 || packet_sum_frame(0, f, at, n) != 0xffff)
		return BROKEN;
	if (m->type != 8 || m->code)
		return DROP;
	m->type = 0;
	m->sum = packet_fold(m->sum + 8); /* what it lost in the first byte */
	return ANSWER;
}

enum verdict packet_echo(struct udp *u)
{
	if (u->to != swap16(PORT_ECHO) || u->from == swap16(PORT_ECHO)) /* two echoes would never end */
		return DROP;
	u->to = u->from; /* both ends swapped: the sum stays */
	u->from = swap16(PORT_ECHO);
	return ANSWER;
}

static enum verdict answer_udp(struct udp *u, const struct ip *ip, const struct frame *f, u32 at, u32 n)
{
	u32 len = swap16(u->len);
	if (n < sizeof(*u) || len < sizeof(*u) || len > n)
		return BROKEN;
	if (u->sum) {
		u32 sum = packet_sum(packet_sum_frame(0, f, at, len), &ip->from, 8, 0);
		if (packet_fold(sum + swap16(PROTOCOL_UDP) + u->len) != 0xffff)
			return BROKEN;
	}
	return packet_echo(u);
}

static enum verdict answer_ip(struct ether *e, struct frame *f)
{
	struct ip *ip = (struct ip *)(e + 1);
	u32 room = f->parts[0].len - sizeof(*e), head = (ip->version_len & 15) * 4, len = swap16(ip->len);
	if (room < sizeof(*ip) || ip->version_len >> 4 != 4 || ip->to != net_own.ip)
		return DROP;
	if (head < sizeof(*ip) || head + 8 > room || len < head || len > f->bytes - sizeof(*e) || packet_sum(0, ip, head, 0) != 0xffff)
		return BROKEN;
	if (ip->fragment & swap16(0x3fff)) /* those are put together by nobody here */
		return DROP;
	void *inner = (u8 *)ip + head;
	u32 at = sizeof(*e) + head, n = len - head;
	enum verdict v = DROP;
	if (ip->protocol == PROTOCOL_ICMP)
		v = answer_icmp(inner, f, at, n);
	else if (ip->protocol == PROTOCOL_UDP)
		v = answer_udp(inner, ip, f, at, n);
	if (v != ANSWER)
		return v;
	ip->to = ip->from;
	ip->from = net_own.ip;
	ip->ttl = 64;
	ip->sum = 0;
	ip->sum = ~packet_sum(0, ip, head, 0);
	return back(e);
}

enum verdict packet_answer(struct frame *f)
{
	struct ether *e = (struct ether *)f->parts[0].addr;
	if (f->parts[0].len < sizeof(*e))
		return BROKEN;
	bool own = same_mac(e->to, net_own.mac);
	switch (swap16(e->type)) {
	case TYPE_ARP:
		return net_own.ip && (own || broadcast(e->to)) ? answer_arp(e, f) : DROP;
	case TYPE_IP:
		return net_own.ip && own ? answer_ip(e, f) : DROP;
	case TYPE_IP6:
		if (!options.net_ip6[0] || (!own && !(e->to[0] & 1)))
			return DROP;
		enum verdict v = packet6_answer(f, own);
		return v == ANSWER ? back(e) : v;
	case TYPE_LOAD:
		return own && options.netload == NETLOAD_ECHO ? back(e) : DROP;
	default:
		return DROP;
	}
}
