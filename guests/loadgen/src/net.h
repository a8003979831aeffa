/* virtio-net: one queue pair, no offloads but, for netload=tso, of what it sends. */
#ifndef NET_H
#define NET_H

#include "ring.h"

#define NET_HEADER 12      /* struct virtio_net_hdr, before each frame */
#define NET_BUFFER 2048ul
#define MAX_PARTS 36       /* buffers that a frame of 64 KiB takes */
#define ETHER_HEADER 14
#define NET_LOAD_TOKEN RING_MAX /* of the first of netload's frames; answers have the index of a buffer */

/* A frame that came, in the buffers that it came in. */
struct frame {
	struct buffer parts[MAX_PARTS]; /* without the virtio-net header */
	u32 count, bytes;
};

struct net_address {
	u8 mac[6];
	u32 ip; /* as on the wire; 0: none */
};

extern struct net_address net_own, net_peer; /* of the peer the MAC is zero until one is known */

#endif
