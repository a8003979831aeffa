#include "touch.h"
#include "clock.h"

#define SLOW_OCTAVE 11   /* accesses under 2^11 ns hit and are not counted */
#define SLOW_CYCLES 2000 /* quicker than this is under 2^11 ns on any CPU */

static u32 told[TOUCH_BUCKETS]; /* counts at the last summary */

static u32 bucket(u64 ns)
{
	u32 octave = 63 - __builtin_clzl(ns);
	u32 b = (octave - SLOW_OCTAVE) * 4 + (ns >> (octave - 2) & 3);
	return b < TOUCH_BUCKETS ? b : TOUCH_BUCKETS - 1;
}

/* The upper end of a bucket, us. */
static u64 bucket_us(u32 b) { return ((u64)(b % 4 + 5) << (b / 4 + SLOW_OCTAVE - 2)) / 1000; }

/* The shortest of four, so that chance does not make it long. */
void touch_calibrate(struct cpu *c)
{
	u64 least = ~0ul;
	for (u32 n = 0; n < 4; n++) {
		u32 ticks = c->ticks;
		u64 before = tsc(), after;
		while (after = tsc(), c->ticks == ticks)
			before = after;
		after = tsc();
		if (after - before < least)
			least = after - before;
	}
	c->tick_cost = clock_cycles_ns(c, least);
}

/* A tick costs some hosts as much as a fault, and not always the same: of accesses that one fell into only the long say something. */
static bool interrupted(const struct cpu *c, u32 ticks, u64 *ns)
{
	u64 cost = c->tick_cost * ticks;
	if (ticks && *ns < 4 * cost)
		return true;
	*ns -= cost;
	return false;
}

void touch_page(struct cpu *c, const u64 *p)
{
	u32 ticks = c->ticks;
	u64 start = tsc();
	(void)*(const volatile u64 *)p;
	u64 cycles = tsc() - start;
	if (cycles < SLOW_CYCLES)
		return;
	u64 ns = clock_cycles_ns(c, cycles);
	if (interrupted(c, c->ticks - ticks, &ns) || ns < 1ul << SLOW_OCTAVE)
		return;
	c->touch[bucket(ns)]++;
}

void touch_summary(u32 cpus, u64 *p50_us, u64 *p99_us)
{
	u32 counts[TOUCH_BUCKETS];
	u64 all = 0, below = 0;
	for (u32 b = 0; b < TOUCH_BUCKETS; b++) {
		u32 n = 0;
		for (u32 i = 0; i < cpus; i++)
			n += cpu_at(i)->touch[b];
		counts[b] = n - told[b];
		all += counts[b];
		if (counts[b])
			told[b] = n;
	}
	*p50_us = *p99_us = 0;
	for (u32 b = 0; b < TOUCH_BUCKETS; b++) {
		if (!counts[b])
			continue;
		below += counts[b];
		if (!*p50_us && below * 2 >= all)
			*p50_us = bucket_us(b);
		if (!*p99_us && below * 100 >= all * 99)
			*p99_us = bucket_us(b);
	}
}
