/* A split virtqueue (VIRTIO 1.2, 2.7), driven by one CPU. */
#ifndef RING_H
#define RING_H

#include "cpu.h"

#define RING_MAX 256    /* descriptors */
#define TABLE_MAX 4     /* descriptors in an indirect table */
#define ARM_NEVER 0xffff

struct descriptor {
	u64 addr;
	u32 len;
	u16 flags, next;
};

struct available {
	u16 flags, index, ring[];
};

struct used {
	u16 flags, index;
	struct {
		u32 id, len;
	} ring[];
};

/* Memory of which a device reads or writes len bytes. */
struct buffer {
	const void *addr;
	u32 len;
};

struct ring {
	volatile u32 *notify;          /* the register that is told number */
	u32 number, device;            /* of the queue, and what device it is of */
	u16 size;                      /* descriptors, a power of two */
	bool event_index;
	u16 arm_after;                 /* sleep until so many completions and one more; ARM_NEVER: not for this queue */
	struct descriptor *descriptors;
	struct descriptor *tables;     /* TABLE_MAX for each descriptor; NULL: not negotiated */
	volatile struct available *available;
	volatile struct used *used;
	u16 unused, unused_count;      /* descriptors in no chain: a list through next */
	u16 added, told;               /* available index: with what ring_add added, and as the device was last told */
	u16 seen;                      /* used index up to which completions were taken */
	u16 in_flight;                 /* chains */
	u64 wrong;                     /* completions that never were asked for, or came twice */
	u16 lengths[RING_MAX];         /* of the chain that begins at a descriptor; 0: none */
	u32 tokens[RING_MAX];          /* what the chain is to its owner */
};

void ring_init(struct ring *r, u16 size, bool indirect); /* takes memory */

/* Adds a chain: the first out buffers are read by the device, the next in are written. false: no room. */
bool ring_add(struct ring *r, const struct buffer *b, u32 out, u32 in, u32 token);
void ring_push(struct ring *r); /* shows the device what was added, and tells it if it wants to be told */

/* The next completion; false: none. One that is wrong is reported, counted and passed over. */
bool ring_take(struct cpu *c, struct ring *r, u32 *token, u32 *len);

/* Asks for an interrupt (arm_after), or for none. ring_arm tells whether it is too late to wait for it. */
bool ring_arm(struct ring *r);
void ring_disarm(struct ring *r);

#endif
