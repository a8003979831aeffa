/* What loadgen keeps about one CPU. */
#ifndef CPU_H
#define CPU_H

#include "base.h"
#include "histogram.h"
#include "layout.h"

/* The time page of the paravirtual clock, written by the host. */
struct pvclock {
	volatile u32 version;
	u32 pad;
	volatile u64 tsc_timestamp;
	volatile u64 system_time;
	volatile u32 mul;
	volatile signed char shift;
	volatile u8 flags;
	u8 pad2[2];
} __attribute__((aligned(32)));

struct tss {
	u32 reserved;
	u64 rsp0;
	u8 rest[90];
	u16 iomap;
	u8 ports[PORTS / 8]; /* zero: allowed */
	u8 ports_end;        /* all ones */
} __attribute__((packed));

/* A share of work: so much per second, in page costs. */
struct budget {
	u64 per_second; /* bytes */
	u64 saved;      /* bytes * ns; a page costs PAGE_SIZE * 1e9 */
	u64 next;       /* the position in the partition, for order=seq */
};

struct cpu {
	volatile u32 ticks; /* written by the timer interrupt only */
	volatile u32 seen;  /* ticks handled: HLT returns at once while it differs from ticks */
	volatile u32 *eoi;  /* of an xAPIC; NULL: x2APIC */
	struct cpu *self;   /* FS base points to this struct; reading it through FS checks that base */
	volatile u32 pending; /* a bit for each device that has interrupted, set by the interrupt: HLT returns at once while there is one */
	struct tss tss;
	struct pvclock pv;
	u32 index;
	volatile bool filled, last_pass, done;
	bool warned_clock;
	u64 now;            /* largest clock value seen, ns */
	u64 then;           /* clock of the last tick handled, ns */
	u64 work_until;     /* clock until which pages come before the next tick, ns */
	u64 random;         /* state of the generator for order=rand */

	u64 first, pages;   /* its partition of the owned pages */
	u64 set;            /* working set: the first so many pages of the partition */
	u32 *generations;   /* expected generation of each page of the partition */

	u64 beats;          /* heartbeats sent */
	u32 until_beat;     /* ticks */
	struct budget write, read, verify;
	u64 epoch;          /* count of its changes to memory; a register holds a second copy (epoch.h) */
	u64 pass_sum;       /* generations of the pages that the running pass has verified */

	volatile u64 verified, corrupt, writes, reads, passes;
	volatile u64 doubled, lost;
	u64 tick_cost;      /* ns that the interrupted code loses to a tick */
	volatile u32 touch[HISTOGRAM_BUCKETS]; /* slow first accesses, by duration (touch.h) */
};

_Static_assert(__builtin_offsetof(struct cpu, ticks) == CPU_TICKS, "layout.h");
_Static_assert(__builtin_offsetof(struct cpu, seen) == CPU_SEEN, "layout.h");
_Static_assert(__builtin_offsetof(struct cpu, eoi) == CPU_EOI, "layout.h");
_Static_assert(__builtin_offsetof(struct cpu, pending) == CPU_PENDING, "layout.h");
_Static_assert(__builtin_offsetof(struct cpu, tss) == CPU_TSS, "layout.h");
_Static_assert(sizeof(struct tss) == TSS_SIZE && __builtin_offsetof(struct tss, ports) == 104, "the CPU's own format");
_Static_assert(sizeof(struct cpu) <= 2048, "the ring-0 stack has the rest of the page");

extern u32 cpu_count; /* CPUs that work; fixed before the first page is filled */

INLINE struct cpu *cpu_at(u32 i) { return (struct cpu *)(u64)(CPUS_BASE + (i << CPU_SHIFT)); }
INLINE u32 cpu_number(const struct cpu *c) { return (u32)(((u64)c - CPUS_BASE) >> CPU_SHIFT); }

#endif
