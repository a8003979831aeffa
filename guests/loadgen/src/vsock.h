/* virtio-vsock: packets. What they are about is in stream.h. */
#ifndef VSOCK_H
#define VSOCK_H

#include "cpu.h"

#define VSOCK_HOST 2 /* the host's context id */

enum {
	VSOCK_REQUEST = 1,
	VSOCK_RESPONSE,
	VSOCK_RESET,
	VSOCK_SHUTDOWN,
	VSOCK_DATA,
	VSOCK_CREDIT,
	VSOCK_WANT_CREDIT,
};

#define VSOCK_NO_MORE_IN 1  /* flags of VSOCK_SHUTDOWN: who sends it reads no more, and sends no more */
#define VSOCK_NO_MORE_OUT 2

struct vsock_header {
	u64 from, to;
	u32 from_port, to_port;
	u32 len;
	u16 type, operation;
	u32 flags;
	u32 room, taken; /* of the sender's buffer: its size, and the bytes that have left it since the start */
} __attribute__((packed));

#define VSOCK_HEADER 44
#define VSOCK_PACKET 4096ul /* header and data */
#define VSOCK_MOST (VSOCK_PACKET - VSOCK_HEADER)

_Static_assert(sizeof(struct vsock_header) == VSOCK_HEADER, "VIRTIO 1.2, 5.10.6");

bool vsock_room(void); /* for one more packet to send */

/* A packet to send, its header zero and its data behind it. Precondition: vsock_room. Each one that was got is sent. */
struct vsock_header *vsock_packet(void);
void vsock_send(struct vsock_header *h);

#endif
