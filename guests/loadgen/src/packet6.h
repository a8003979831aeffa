/* Answers to what comes by IPv6. */
#ifndef PACKET6_H
#define PACKET6_H

#include "packet.h"

#define TYPE_IP6 0x86dd

/* Of a frame of this type that is for us, or for many. The MACs are the caller's. */
enum verdict packet6_answer(struct frame *f, bool own);

#endif
