/* What a CPU does all day: writes, reads and verifies pages as its budgets allow, beats, and sleeps. */
#ifndef LOAD_H
#define LOAD_H

#include "cpu.h"

void load_plan(void);                /* once, from the options */
void load_fill(struct cpu *c);       /* writes its partition for the first time */
_Noreturn void load_run(struct cpu *c, u64 ready); /* ready: the clock at READY, ns */
extern u64 load_tick_ns;

#endif
