#include "stat.h"
#include "page.h"
#include "serial.h"
#include "touch.h"

static struct {
	u64 time, writes, reads;
} last;

static void field(struct line *l, const char *name, u64 v)
{
	line_str(l, name);
	line_dec(l, v);
}

/* MiB/s with one decimal. */
static void rate(struct line *l, const char *name, u64 pages, u64 ns)
{
	u64 us = ns / 1000, tenths = us ? (pages * PAGE_SIZE * 10 * 1000000 / us + (1 << 19)) >> 20 : 0;
	field(l, name, tenths / 10);
	field(l, ".", tenths % 10);
}

void stat_start(u64 now) { last.time = now; }

void stat_print(u64 now)
{
	u64 verified = 0, corrupt = 0, doubled = 0, lost = 0, writes = 0, reads = 0, passes = ~0ul, p50, p99;
	for (u32 i = 0; i < cpu_count; i++) {
		const struct cpu *o = cpu_at(i);
		verified += o->verified;
		corrupt += o->corrupt;
		doubled += o->doubled;
		lost += o->lost;
		writes += o->writes;
		reads += o->reads;
		if (o->passes < passes)
			passes = o->passes;
	}
	touch_summary(cpu_count, &p50, &p99);
	struct line l = {0};
	field(&l, "STAT verified=", verified);
	field(&l, " corrupt=", corrupt);
	field(&l, " doubled=", doubled);
	field(&l, " lost=", lost);
	rate(&l, " write_mib_s=", writes - last.writes, now - last.time);
	rate(&l, " read_mib_s=", reads - last.reads, now - last.time);
	field(&l, " touch_p50_us=", p50);
	field(&l, " touch_p99_us=", p99);
	field(&l, " passes=", passes);
	last.time = now;
	last.writes = writes;
	last.reads = reads;
	line_send(&l);
}
