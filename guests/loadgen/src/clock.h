/* The guest clock, ns. */
#ifndef CLOCK_H
#define CLOCK_H

#include "cpu.h"

void clock_probe(void);              /* once: which clock there is */
void clock_start(struct cpu *c);     /* on each CPU */
u64 clock_now(struct cpu *c);        /* never goes back on a CPU; right across a live migration with the paravirtual clock */
u64 clock_cycles_ns(struct cpu *c, u64 cycles);

#endif
