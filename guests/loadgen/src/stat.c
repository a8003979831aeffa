#include "stat.h"
#include "device.h"
#include "option.h"
#include "page.h"
#include "touch.h"

static struct {
	u64 time, writes, reads;
} last;

void stat_field(struct line *l, const char *name, u64 v)
{
	line_str(l, name);
	line_dec(l, v);
}

void stat_mib_s(struct line *l, const char *name, u64 bytes, u64 ns)
{
	u64 us = ns / 1000, tenths = us ? (bytes * 10 * 1000000 / us + (1 << 19)) >> 20 : 0;
	stat_field(l, name, tenths / 10);
	stat_field(l, ".", tenths % 10);
}

u64 stat_per_second(u64 n, u64 ns)
{
	u64 us = ns / 1000;
	return us ? n * 1000000 / us : 0;
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
	stat_field(&l, "STAT verified=", verified);
	stat_field(&l, " corrupt=", corrupt);
	stat_field(&l, " doubled=", doubled);
	stat_field(&l, " lost=", lost);
	stat_mib_s(&l, " write_mib_s=", (writes - last.writes) * PAGE_SIZE, now - last.time);
	stat_mib_s(&l, " read_mib_s=", (reads - last.reads) * PAGE_SIZE, now - last.time);
	stat_field(&l, " touch_p50_us=", p50);
	stat_field(&l, " touch_p99_us=", p99);
	stat_field(&l, " passes=", passes);
	if (options.touches)
		touch_stat(&l, cpu_count);
	devices_stat(&l, now - last.time);
	last.time = now;
	last.writes = writes;
	last.reads = reads;
	line_send(&l);
}
