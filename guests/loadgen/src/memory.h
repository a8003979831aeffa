/* Which physical memory loadgen owns, and the identity mapping of it. */
#ifndef MEMORY_H
#define MEMORY_H

#include "cpu.h"
#include "page.h"

void memory_map_low(void);                  /* identity-maps 4 GiB: the start info may be anywhere in it */
void memory_probe(u32 start_info);          /* reads the memory map, gives up without one; maps what is above 4 GiB */
void *memory_take(u64 bytes);               /* zeroed, whole pages in one piece, for good; before memory_claim; gives up */
u64 memory_claim(u64 wanted, u32 cpus);     /* owns so many pages, or what there is; returns how many */
void memory_share(struct cpu *c, u32 cpus, u64 working_set); /* gives the CPU its partition */
u64 *memory_page(u64 page);                 /* the address of an owned page */

#endif
