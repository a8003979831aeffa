/* Types and instructions. */
#ifndef BASE_H
#define BASE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)
#define INLINE static inline __attribute__((always_inline))
#define barrier() __asm__ volatile("" ::: "memory")
#define fence() __asm__ volatile("mfence" ::: "memory") /* stores before it are seen before loads behind it */

INLINE void out8(u16 port, u8 v) { __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port)); }
INLINE u8 in8(u16 port)
{
	u8 v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
INLINE u32 in32(u16 port)
{
	u32 v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
INLINE void pause(void) { __asm__ volatile("pause" ::: "memory"); }
INLINE u64 tsc(void)
{
	u32 lo, hi;
	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi)::"memory");
	return (u64)hi << 32 | lo;
}

/* These trap to ring 0, which carries them out (trap.S). CPUID does not trap, but in ring 3 some hosts answer it with their own. */
INLINE void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("clts" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}
INLINE void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
INLINE u64 rdmsr(u32 msr)
{
	u32 lo, hi;
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (u64)hi << 32 | lo;
}
INLINE void com1_send(const char *s, u64 n) { __asm__ volatile("invd" ::"S"(s), "c"(n) : "memory"); }
INLINE void idle(void) { __asm__ volatile("hlt" ::: "memory"); }

INLINE u16 swap16(u16 v) { return __builtin_bswap16(v); }
INLINE u32 swap32(u32 v) { return __builtin_bswap32(v); }

INLINE void irq_on(void) { __asm__ volatile("sti" ::: "memory"); }

void *memcpy(void *dst, const void *src, u64 n);
void *memset(void *dst, int c, u64 n);
int memcmp(const void *a, const void *b, u64 n);

#endif
