/* The totals of all CPUs, once a second. */
#ifndef STAT_H
#define STAT_H

#include "cpu.h"
#include "serial.h"

/* Fields of the line; names with a space before and "=" behind. */
void stat_field(struct line *l, const char *name, u64 v);
void stat_mib_s(struct line *l, const char *name, u64 bytes, u64 ns); /* with one decimal */
u64 stat_per_second(u64 n, u64 ns);

void stat_start(u64 now);
void stat_print(u64 now); /* CPU 0 only; rates are since the last call */

#endif
