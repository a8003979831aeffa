/* How long first accesses to pages take: those that missed. */
#ifndef TOUCH_H
#define TOUCH_H

#include "cpu.h"
#include "serial.h"

void touch_calibrate(struct cpu *c); /* what a tick costs; with the timer running */
void touch_page(struct cpu *c, const u64 *p); /* reads a word of it, and times that */
void touch_summary(u32 cpus, u64 *p50_us, u64 *p99_us); /* of what came since the last call; CPU 0 only */
void touch_stat(struct line *l, u32 cpus); /* how many took how long, since READY */

#endif
