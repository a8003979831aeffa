/* Answers to what comes over the network. */
#ifndef PACKET_H
#define PACKET_H

#include "net.h"

enum verdict {
	DROP,   /* not for us, or nothing to say */
	BROKEN, /* for us, but cut short or with a wrong checksum */
	ANSWER, /* the frame has become its own answer */
};

#define PROTOCOL_UDP 17

struct udp {
	u16 from, to, len, sum;
} __attribute__((packed));

enum verdict packet_answer(struct frame *f);

/* Sends back what is for the echo port. */
enum verdict packet_echo(struct udp *u);

/* The sum of RFC 1071 over bytes, not yet complemented, added to sum. offset: where in the whole the bytes begin. */
u32 packet_sum(u32 sum, const void *bytes, u32 n, u32 offset);

/* The same over n bytes of a frame from offset on. */
u32 packet_sum_frame(u32 sum, const struct frame *f, u32 offset, u32 n);

/* Folded into 16 bits. */
u32 packet_fold(u64 sum);

#endif
