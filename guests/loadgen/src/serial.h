/* Lines on COM1. A line is built on the stack and written whole: lines of several CPUs never mix. */
#ifndef SERIAL_H
#define SERIAL_H

#include "base.h"

struct line {
	u32 n;
	char text[800]; /* a STAT of all devices */
};

void serial_init(void);
void line_str(struct line *l, const char *s);
void line_dec(struct line *l, u64 v);
void line_hex(struct line *l, u64 v);
void line_send(struct line *l); /* adds the end of the line */
void line_send_last(struct line *l); /* the same, and every later line waits for ever */

#endif
