#include "touch.h"
#include "clock.h"

#define SLOW_CYCLES 2000 /* quicker than this is under HISTOGRAM_LEAST_NS on any CPU */

static u32 told[HISTOGRAM_BUCKETS];

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
	if (interrupted(c, c->ticks - ticks, &ns) || ns < HISTOGRAM_LEAST_NS)
		return;
	c->touch[histogram_bucket(ns)]++;
}

void touch_summary(u32 cpus, u64 *p50_us, u64 *p99_us)
{
	u32 counts[HISTOGRAM_BUCKETS];
	for (u32 b = 0; b < HISTOGRAM_BUCKETS; b++) {
		counts[b] = 0;
		for (u32 i = 0; i < cpus; i++)
			counts[b] += cpu_at(i)->touch[b];
	}
	histogram_quantiles(counts, told, p50_us, p99_us);
}
