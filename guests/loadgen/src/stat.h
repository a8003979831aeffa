/* The totals of all CPUs, once a second. */
#ifndef STAT_H
#define STAT_H

#include "cpu.h"

void stat_start(u64 now);
void stat_print(u64 now); /* CPU 0 only; rates are since the last call */

#endif
