/* A CPU's count of its own changes to memory, in memory and, a second time, in a register that nothing else uses.
 * They differ when memory and registers were not saved at the same instant: a consistent but stale memory image. */
#ifndef EPOCH_H
#define EPOCH_H

#include "cpu.h"

register u64 epoch_register __asm__("r15"); /* built with -ffixed-r15 */

INLINE void epoch_bump(struct cpu *c)
{
	c->epoch++;
	epoch_register++;
}

#endif
