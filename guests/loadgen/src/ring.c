#include "ring.h"
#include "memory.h"
#include "report.h"

#define NEXT 1
#define WRITE 2
#define INDIRECT 4

#define NO_INTERRUPT 1
#define NO_NOTIFY 1

/* The two indices of VIRTIO_F_EVENT_IDX lie behind the rings. */
static volatile u16 *used_event(const struct ring *r) { return &r->available->ring[r->size]; }
static volatile u16 *available_event(const struct ring *r) { return (volatile u16 *)&r->used->ring[r->size]; }

void ring_init(struct ring *r, u16 size, bool indirect)
{
	u64 available = size * sizeof(struct descriptor);
	u64 used = (available + sizeof(struct available) + 2 * (size + 1) + 7) & -8ul;
	u8 *m = memory_take(used + sizeof(struct used) + 8 * size + 2);
	r->size = size;
	r->descriptors = (struct descriptor *)m;
	r->available = (volatile struct available *)(m + available);
	r->used = (volatile struct used *)(m + used);
	if (indirect)
		r->tables = memory_take(size * TABLE_MAX * sizeof(struct descriptor));
	for (u32 i = 0; i < size; i++)
		r->descriptors[i].next = i + 1;
	r->unused_count = size;
	r->arm_after = ARM_NEVER;
	ring_disarm(r);
}

static void describe(struct descriptor *d, const struct buffer *b, u16 flags, u16 next)
{
	*d = (struct descriptor){(u64)b->addr, b->len, flags, next};
}

static u16 flags_of(u32 i, u32 out, u32 in) { return (i < out ? 0 : WRITE) | (i + 1 < out + in ? NEXT : 0); }

bool ring_add(struct ring *r, const struct buffer *b, u32 out, u32 in, u32 token)
{
	u32 n = out + in;
	bool indirect = r->tables && n > 1 && n <= TABLE_MAX;
	u32 length = indirect ? 1 : n;
	u16 head = r->unused, last = head;
	if (r->unused_count < length)
		return false;
	if (indirect) {
		struct descriptor *table = r->tables + head * TABLE_MAX, *d = &r->descriptors[head];
		for (u32 i = 0; i < n; i++)
			describe(&table[i], &b[i], flags_of(i, out, in), i + 1);
		describe(d, &(struct buffer){table, n * sizeof(*table)}, INDIRECT, d->next);
	} else {
		for (u32 i = 0, at = head; i < n; i++) {
			struct descriptor *d = &r->descriptors[at];
			describe(d, &b[i], flags_of(i, out, in), d->next);
			last = at;
			at = d->next;
		}
	}
	r->unused = r->descriptors[last].next;
	r->unused_count -= length;
	r->lengths[head] = length;
	r->tokens[head] = token;
	r->in_flight++;
	r->available->ring[r->added++ & (r->size - 1)] = head;
	return true;
}

void ring_push(struct ring *r)
{
	u16 before = r->told;
	if (r->added == before)
		return;
	barrier(); /* the entries, then the index */
	r->available->index = r->told = r->added;
	fence();
	bool wanted = !(r->used->flags & NO_NOTIFY);
	if (r->event_index)
		wanted = (u16)(r->added - *available_event(r) - 1) < (u16)(r->added - before);
	if (wanted)
		*r->notify = r->number;
}

static void wrong(struct cpu *c, struct ring *r, const char *what, u64 expected, u64 got)
{
	r->wrong++;
	report_corrupt_value(c, what, r->device, expected, got);
}

bool ring_take(struct cpu *c, struct ring *r, u32 *token, u32 *len)
{
	for (;;) {
		u16 come = r->used->index - r->seen;
		if (!come)
			return false;
		if (come > r->in_flight) {
			wrong(c, r, "completions", r->in_flight, come);
			r->seen += come;
			return false;
		}
		barrier(); /* the index, then the entry */
		u32 at = r->seen++ & (r->size - 1);
		u32 head = r->used->ring[at].id;
		*len = r->used->ring[at].len;
		if (head >= r->size || !r->lengths[head]) {
			wrong(c, r, "completion", r->size, head);
			continue;
		}
		*token = r->tokens[head];
		u32 last = head, length = r->lengths[head];
		r->lengths[head] = 0;
		r->unused_count += length;
		while (--length)
			last = r->descriptors[last].next;
		r->descriptors[last].next = r->unused;
		r->unused = head;
		r->in_flight--;
		return true;
	}
}

bool ring_arm(struct ring *r)
{
	u16 after = r->arm_after;
	if (after == ARM_NEVER || !r->in_flight)
		return false;
	if (after >= r->in_flight)
		after = r->in_flight - 1;
	if (!r->event_index) {
		r->available->flags = 0;
		after = 0;
	}
	*used_event(r) = r->seen + after;
	fence();
	return (u16)(r->used->index - r->seen) > after;
}

void ring_disarm(struct ring *r)
{
	if (r->event_index)
		*used_event(r) = r->seen - 1; /* what comes next is beyond it for 65535 completions */
	else
		r->available->flags = NO_INTERRUPT;
}
