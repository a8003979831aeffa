#include "touch.h"
#include "clock.h"
#include "stat.h"

#define SLOW_CYCLES 2000 /* quicker than this is under HISTOGRAM_LEAST_NS on any CPU */

#define LONG_NS 50000 /* what took less is counted and no more: a page that the host had, and only mapped */

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

static void add_up(u32 *counts, u32 cpus)
{
	for (u32 b = 0; b < HISTOGRAM_BUCKETS; b++) {
		counts[b] = 0;
		for (u32 i = 0; i < cpus; i++)
			counts[b] += cpu_at(i)->touch[b];
	}
}

void touch_summary(u32 cpus, u64 *p50_us, u64 *p99_us)
{
	u32 counts[HISTOGRAM_BUCKETS];
	add_up(counts, cpus);
	histogram_quantiles(counts, told, p50_us, p99_us);
}

void touch_stat(struct line *l, u32 cpus)
{
	u32 counts[HISTOGRAM_BUCKETS], first = histogram_bucket(LONG_NS);
	u64 all = 0;
	add_up(counts, cpus);
	for (u32 b = 0; b < HISTOGRAM_BUCKETS; b++)
		all += counts[b];
	stat_field(l, " touches=", all);
	for (u32 b = first; b < HISTOGRAM_BUCKETS; b++) {
		if (!counts[b])
			continue;
		stat_field(l, " touch_", histogram_bucket_us(b));
		stat_field(l, "=", counts[b]);
	}
}
