/* What netload= makes the network device send. */
#ifndef NETLOAD_H
#define NETLOAD_H

#include "virtio.h"

#define TYPE_LOAD 0x88b5 /* of the frames sent; the first of IEEE 802's two for local experiments */

enum netload { NETLOAD_NONE, NETLOAD_TX, NETLOAD_RX, NETLOAD_ECHO, NETLOAD_TSO };

u64 netload_features(void); /* wanted of the device */
bool netload_start(const struct virtio *v, struct ring *tx); /* false: it cannot be done with this device */
bool netload_fill(struct ring *tx, u64 now); /* adds frames; true: it added some */
void netload_sent(u32 slot); /* a chain with this token has left */
u32 netload_bytes(void); /* of a frame */

#endif
