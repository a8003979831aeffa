/* The end of a guest that cannot go on: one line, then a triple fault. */
#ifndef PANIC_H
#define PANIC_H

#include "base.h"

struct trap_frame {
	u64 vector, error, rip, cs, flags, rsp, ss;
};

void traps_init(void); /* fills the interrupt descriptor table */
_Noreturn void panic(const struct trap_frame *frame, u64 cr2); /* ring 0, from trap.S */
_Noreturn void give_up(const char *why);                      /* ring 3 */
_Noreturn void power_off(void);                               /* ring 3; falls back to reset and triple fault */

#endif
