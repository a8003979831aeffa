/* Physical memory layout of loadgen and the constants that assembly and C share. All below 2 MiB; memory from
 * 2 MiB on belongs to the pages under test and their generation tables. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define IMAGE_BASE 0x100000
#define TRAMPOLINE 0x8000  /* where an AP starts in real mode; a page below 1 MiB */

#define MAX_CPUS 32
#define CPU_SHIFT 12       /* one page a CPU: struct cpu at its start, the ring-0 stack at its end */
#define CPUS_BASE 0x140000
#define STACK_SHIFT 13     /* the ring-3 stack of a CPU */
#define STACKS_BASE (CPUS_BASE + (MAX_CPUS << CPU_SHIFT))
#define MAX_GIB 64         /* physical memory mapped, and so usable */
#define TABLES_BASE (STACKS_BASE + (MAX_CPUS << STACK_SHIFT))
#define IMAGE_END (TABLES_BASE + (MAX_GIB << 12))
#define OWNED_BASE 0x200000

#define SEL_KCODE 0x08
#define SEL_KDATA 0x10
#define SEL_UDATA (0x18 | 3)
#define SEL_UCODE (0x20 | 3)
#define SEL_KCODE32 0x28
#define SEL_TSS 0x30       /* first of MAX_CPUS descriptors of 16 bytes */

/* The I/O permission bitmap behind the TSS lets ring 3 use the ports below PORTS. */
#define PORTS 0x608
#define TSS_SIZE (104 + PORTS / 8 + 1)

#define COM1 0x3f8

#define VEC_TIMER 32
#define VEC_DEVICE 33      /* first of MAX_DEVICES */
#define MAX_DEVICES 8
#define VEC_SPURIOUS 47
#define VECTORS 48

/* Offsets in struct cpu that assembly uses; cpu.h asserts them. */
#define CPU_TICKS 0
#define CPU_SEEN 4
#define CPU_EOI 8
#define CPU_PENDING 24
#define CPU_TSS 28

#define MMIO_BASE 0xfe000000 /* mapped uncached up to 4 GiB */

#endif
