#include "stream.h"
#include "memory.h"
#include "option.h"
#include "pace.h"
#include "report.h"
#include "stat.h"

#define STREAMS 8
#define ROOM 65536u /* bytes of a stream that may wait to be given back; a power of two */
#define MS 1000000ul
#define ASK_AGAIN (100 * MS)  /* for credit */
#define DIAL_AGAIN (500 * MS) /* after a connection was refused or has ended */
#define ANSWER (5000 * MS)    /* for a request to be answered */
#define FIRST_PORT 1024
#define PER_SECOND 256        /* packets that a dialled stream sends */

static struct stream {
	enum { CLOSED, DIALLING, OPEN, CLOSING } state;
	bool dialled;             /* checks what comes; the others give it back */
	bool in_ended, out_ended; /* the other end sends no more, reads no more */
	u32 port, peer;
	u32 peer_room, peer_taken, sent; /* the other end's buffer; bytes sent since the start */
	u32 received, taken, told;       /* bytes; told: taken as the other end knows it */
	u64 asked;                /* for credit, or for the connection, ns */
	u8 *buffer;               /* ROOM bytes, by received and taken */
} streams[STREAMS];

static u32 next_port = FIRST_PORT;
static u64 dial_at; /* ns */
static u64 given_back, checked; /* bytes */
static struct pace pace = {.per_second = PER_SECOND};

void streams_start(void)
{
	static u8 *buffers;
	if (!buffers)
		buffers = memory_take(STREAMS * ROOM);
	for (u32 i = 0; i < STREAMS; i++)
		streams[i] = (struct stream){.buffer = buffers + i * ROOM};
	dial_at = 0;
}

/* The byte of a dialled stream at a place. */
static u8 pattern(u32 at) { return at * 2654435761u >> 24; }

static struct stream *find(u32 port, u32 peer)
{
	for (u32 i = 0; i < STREAMS; i++)
		if (streams[i].state != CLOSED && streams[i].port == port && streams[i].peer == peer)
			return &streams[i];
	return NULL;
}

static struct stream *open(u32 port, u32 peer)
{
	for (u32 i = 0; i < STREAMS; i++)
		if (streams[i].state == CLOSED) {
			streams[i] = (struct stream){.state = OPEN, .port = port, .peer = peer, .buffer = streams[i].buffer};
			return &streams[i];
		}
	return NULL;
}

static void close(struct stream *s, u64 now)
{
	s->state = CLOSED;
	if (s->dialled)
		dial_at = now + DIAL_AGAIN;
}

/* A packet of a stream, not yet sent. Precondition: there is room for one. */
static struct vsock_header *packet(struct stream *s, u32 operation)
{
	struct vsock_header *h = vsock_packet();
	h->to = VSOCK_HOST;
	h->from_port = s->port;
	h->to_port = s->peer;
	h->operation = operation;
	h->room = ROOM;
	h->taken = s->told = s->taken;
	return h;
}

/* Precondition: there is room for a packet. */
static void tell(struct stream *s, u32 operation, u32 flags)
{
	struct vsock_header *h = packet(s, operation);
	h->flags = flags;
	vsock_send(h);
}

static void refuse(const struct vsock_header *h)
{
	struct stream nobody = {.port = h->to_port, .peer = h->from_port};
	if (h->operation != VSOCK_RESET)
		tell(&nobody, VSOCK_RESET, 0);
}

static void take_data(struct cpu *c, struct stream *s, const struct vsock_header *h, u64 now)
{
	const u8 *data = (const u8 *)(h + 1);
	if (s->in_ended || s->received - s->taken + h->len > ROOM) {
		report_corrupt_value(c, "vsockcredit", s->port, ROOM - (s->received - s->taken), h->len);
		tell(s, VSOCK_RESET, 0);
		close(s, now);
		return;
	}
	for (u32 i = 0; i < h->len; i++, s->received++) {
		if (!s->dialled) {
			s->buffer[s->received % ROOM] = data[i];
			continue;
		}
		if (data[i] != pattern(s->received)) {
			report_corrupt_value(c, "vsock", s->received, pattern(s->received), data[i]);
			tell(s, VSOCK_RESET, 0);
			close(s, now);
			return;
		}
		s->taken++;
		checked++;
	}
}

void streams_receive(struct cpu *c, const struct vsock_header *h, u64 now)
{
	struct stream *s = find(h->to_port, h->from_port);
	if (!s && h->operation == VSOCK_REQUEST && options.vsock && h->to_port == options.vsock) {
		s = open(h->to_port, h->from_port);
		if (s)
			tell(s, VSOCK_RESPONSE, 0);
	}
	if (!s) {
		refuse(h);
		return;
	}
	s->peer_room = h->room;
	s->peer_taken = h->taken;
	switch (h->operation) {
	case VSOCK_RESPONSE:
		if (s->state == DIALLING)
			s->state = OPEN;
		break;
	case VSOCK_RESET:
		close(s, now);
		break;
	case VSOCK_SHUTDOWN:
		s->in_ended |= h->flags & VSOCK_NO_MORE_OUT;
		s->out_ended |= h->flags & VSOCK_NO_MORE_IN;
		break;
	case VSOCK_DATA:
		take_data(c, s, h, now);
		break;
	case VSOCK_WANT_CREDIT:
		tell(s, VSOCK_CREDIT, 0);
		break;
	}
}

static void send_data(struct stream *s, u32 n)
{
	u32 from = s->taken;
	if (!s->dialled) {
		s->taken += n;
		given_back += n;
	}
	struct vsock_header *h = packet(s, VSOCK_DATA);
	u8 *data = (u8 *)(h + 1);
	for (u32 i = 0; i < n; i++)
		data[i] = s->dialled ? pattern(s->sent + i) : s->buffer[(from + i) % ROOM];
	s->sent += n;
	h->len = n;
	vsock_send(h);
}

/* One packet of a stream, if one is due. */
static bool send_one(struct stream *s, u64 now, bool stopping)
{
	u32 under_way = s->sent - s->peer_taken;
	u32 credit = under_way < s->peer_room ? s->peer_room - under_way : 0;
	u32 n = s->dialled ? VSOCK_MOST : s->received - s->taken;
	if (n > VSOCK_MOST)
		n = VSOCK_MOST;
	if (s->dialled && (stopping || credit < n))
		n = 0; /* it waits until a whole packet goes */
	if (n && credit && (!s->dialled || pace_spend(&pace))) {
		send_data(s, n < credit ? n : credit);
		return true;
	}
	if ((n || s->dialled) && !credit && now - s->asked > ASK_AGAIN) {
		s->asked = now;
		tell(s, VSOCK_WANT_CREDIT, 0);
		return true;
	}
	if (s->taken - s->told >= ROOM / 2) {
		tell(s, VSOCK_CREDIT, 0);
		return true;
	}
	return false;
}

static bool serve(struct stream *s, u64 now, bool stopping)
{
	if (s->in_ended && s->out_ended) {
		tell(s, VSOCK_RESET, 0);
		close(s, now);
		return true;
	}
	if (s->state == DIALLING || s->state == CLOSING) {
		if (now - s->asked < ANSWER)
			return false;
		tell(s, VSOCK_RESET, 0);
		close(s, now);
		return true;
	}
	if (s->out_ended || (s->in_ended && (s->dialled || s->taken == s->received))) {
		s->state = CLOSING;
		s->asked = now;
		tell(s, VSOCK_SHUTDOWN, VSOCK_NO_MORE_IN | VSOCK_NO_MORE_OUT);
		return true;
	}
	return send_one(s, now, stopping);
}

static void dial(u64 now)
{
	struct stream *s = open(next_port++, options.vsockdial);
	if (!s)
		return;
	s->state = DIALLING;
	s->dialled = true;
	s->asked = now;
	dial_at = ~0ul;
	tell(s, VSOCK_REQUEST, 0);
}

bool streams_send(u64 now, bool stopping)
{
	bool sent = false, more = true;
	pace_earn(&pace, now);
	if (options.vsockdial && !stopping && now >= dial_at && vsock_room()) {
		dial(now);
		sent = true;
	}
	while (more) {
		more = false;
		for (u32 i = 0; i < STREAMS && vsock_room(); i++)
			if (streams[i].state != CLOSED)
				more |= serve(&streams[i], now, stopping);
		sent |= more;
	}
	return sent;
}

void streams_stat(struct line *l)
{
	u32 n = 0;
	for (u32 i = 0; i < STREAMS; i++)
		n += streams[i].state == OPEN;
	stat_field(l, " vsock_open=", n);
	if (options.vsock)
		stat_field(l, " vsock=", given_back);
	if (options.vsockdial)
		stat_field(l, " vsockdial=", checked);
}
