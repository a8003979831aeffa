/* vsock=PORT gives back what comes on the connections to that port; vsockdial=PORT connects to a port of the host
 * whose other end does the same, and checks what comes back. */
#ifndef STREAM_H
#define STREAM_H

#include "serial.h"
#include "vsock.h"

void streams_start(void); /* forgets all connections */
void streams_receive(struct cpu *c, const struct vsock_header *h, u64 now);
bool streams_send(u64 now, bool stopping); /* true: there was something to send */
void streams_stat(struct line *l);

#endif
