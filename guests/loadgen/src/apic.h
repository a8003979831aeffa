/* The local APIC: timer and start of the other CPUs. x2APIC where there is one, else memory-mapped. */
#ifndef APIC_H
#define APIC_H

#include "cpu.h"

u32 apic_id(void);                              /* of this CPU */
void apic_start(struct cpu *c);                 /* on each CPU: enabled, every source masked */
void apic_calibrate(struct cpu *c);             /* once: how fast the timer counts */
void apic_tick(u64 period_ns);                  /* on each CPU: periodic timer */
u32 apic_start_others(struct cpu *c, u32 wanted); /* once; returns how many CPUs run. wanted 0: find out */

extern volatile u32 cpus_arrived; /* APs that reached ring 3; each adds itself */

#endif
