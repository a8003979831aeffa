#include "packet6.h"
#include "option.h"

#define PROTOCOL_ICMP6 58

/* ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861). */
enum { ECHO_REQUEST = 128, ECHO_REPLY = 129, SOLICITATION = 135, ADVERTISEMENT = 136 };
#define SOLICITED_OVERRIDE 0x60 /* in the first byte of an advertisement's flags */
#define TARGET_LINK_ADDRESS 2

struct ip6 {
	u32 version_class_flow;
	u16 len;
	u8 next, hops, from[16], to[16];
} __attribute__((packed));

struct icmp6 {
	u8 type, code;
	u16 sum;
} __attribute__((packed));

struct neighbour {
	struct icmp6 icmp;
	u8 flags[4], target[16];
	u8 option, option_len, mac[6]; /* the option may be missing */
} __attribute__((packed));

static bool same(const u8 *a, const u8 *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;
	return x[0] == y[0] && x[1] == y[1];
}

/* The sum over what is behind the header, n bytes of a protocol, and its pseudo-header. */
static u32 whole_sum(const struct ip6 *ip, const struct frame *f, u32 n, u8 protocol)
{
	u32 sum = packet_sum(0, ip->from, 32, 0);
	sum = packet_sum_frame(sum, f, ETHER_HEADER + sizeof(*ip), n);
	return packet_fold((u64)sum + swap16(n) + swap16(protocol));
}

static enum verdict answer_solicitation(struct ip6 *ip, struct neighbour *m, u32 n)
{
	if (n < sizeof(*m) || ip->hops != 255 || m->option != 1 || m->option_len != 1) /* without: from who tries out an address */
		return DROP;
	if (!same(m->target, options.net_ip6))
		return DROP;
	m->icmp.type = ADVERTISEMENT;
	m->icmp.sum = 0;
	m->flags[0] = SOLICITED_OVERRIDE;
	m->option = TARGET_LINK_ADDRESS;
	memcpy(m->mac, net_own.mac, 6);
	memcpy(ip->to, ip->from, 16);
	memcpy(ip->from, options.net_ip6, 16);
	u32 sum = packet_sum(packet_sum(0, ip->from, 32, 0), m, n, 0);
	m->icmp.sum = ~packet_fold((u64)sum + swap16(n) + swap16(PROTOCOL_ICMP6));
	return ANSWER;
}

static enum verdict answer_udp(struct udp *u, u32 n)
{
	if (n < sizeof(*u) || swap16(u->len) != n || !u->sum)
		return BROKEN;
	return packet_echo(u);
}

static enum verdict answer_icmp(struct icmp6 *m)
{
	if (m->type != ECHO_REQUEST || m->code)
		return DROP;
	m->type = ECHO_REPLY;
	m->sum = packet_fold(m->sum + 0xfffe); /* less the one that the first byte has more */
	return ANSWER;
}

enum verdict packet6_answer(struct frame *f, bool own)
{
	struct ip6 *ip = (struct ip6 *)((u8 *)f->parts[0].addr + ETHER_HEADER);
	void *inner = ip + 1;
	u32 room = f->parts[0].len - ETHER_HEADER;
	if (room < sizeof(*ip) + 8 || (*(u8 *)ip >> 4) != 6)
		return DROP;
	u32 n = swap16(ip->len);
	bool solicited = ip->next == PROTOCOL_ICMP6 && *(u8 *)inner == SOLICITATION;
	if (!solicited && (!own || !same(ip->to, options.net_ip6)))
		return DROP;
	if (ip->next != PROTOCOL_ICMP6 && ip->next != PROTOCOL_UDP)
		return DROP;
	if (n < 8 || n > f->bytes - ETHER_HEADER - sizeof(*ip) || whole_sum(ip, f, n, ip->next) != 0xffff)
		return BROKEN;
	if (solicited)
		return n <= room - sizeof(*ip) ? answer_solicitation(ip, inner, n) : DROP;
	enum verdict v = ip->next == PROTOCOL_UDP ? answer_udp(inner, n) : answer_icmp(inner);
	if (v != ANSWER)
		return v;
	memcpy(ip->to, ip->from, 16); /* swapped: the sum stays */
	memcpy(ip->from, options.net_ip6, 16);
	ip->hops = 64;
	return ANSWER;
}
