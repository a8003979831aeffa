/* The test device whose registers count their reads: a read that reached the device twice, or never, shows. */
#ifndef COUNTER_H
#define COUNTER_H

#include "cpu.h"

void counter_probe(void); /* the first reads set the base */
void counter_read(struct cpu *c);  /* on the CPU of the probe only */

#endif
