#include "load.h"
#include "apic.h"
#include "clock.h"
#include "counter.h"
#include "device.h"
#include "epoch.h"
#include "memory.h"
#include "option.h"
#include "panic.h"
#include "random.h"
#include "registers.h"
#include "report.h"
#include "serial.h"
#include "stat.h"
#include "touch.h"

#define MS 1000000ul
#define SECOND (1000 * MS)
#define TICK_US 1000            /* the longest tick */
#define CATCH_UP (20 * MS)      /* time that passed without the CPU beyond this is not made up for */
#define PAGE_COST (PAGE_SIZE * SECOND)
#define FIRST_GENERATION 1

#define PORT_STOP 0x3f2
#define STOP_POLL (100 * MS)
#define LAST_PASS_BOUND (5 * SECOND)

u64 load_tick_ns;
static u32 ticks_per_beat; /* 0: no heartbeat */
static volatile bool stopping;

void load_plan(void)
{
	u64 beat = options.heartbeat;
	u64 parts = beat ? (beat + TICK_US - 1) / TICK_US : 1;
	load_tick_ns = (beat ? beat * 1000 : TICK_US * 1000) / parts;
	ticks_per_beat = beat ? parts : 0;
}

void load_fill(struct cpu *c)
{
	for (u64 i = 0; i < c->pages; i++) {
		c->generations[i] = FIRST_GENERATION;
		page_write(memory_page(c->first + i), c->first + i, FIRST_GENERATION);
	}
	u64 workers = options.workers && options.workers < cpu_count ? options.workers : cpu_count;
	if (c->index < workers) {
		c->write.per_second = (options.rate << 20) / workers;
		c->read.per_second = (options.read << 20) / workers;
	}
	c->verify.per_second = (options.verify << 20) / cpu_count;
	c->random = options.seed * 0x9e3779b97f4a7c15ul + c->index + 1;
}

static void check(struct cpu *c, u64 i)
{
	u64 page = c->first + i, *p = memory_page(page);
	touch_page(c, p);
	if (!page_right(p, page, c->generations[i])) {
		report_corrupt_page(c, "", p, page, c->generations[i]);
		page_write(p, page, c->generations[i]); /* so that it is counted once */
	}
	c->verified++;
}

static u64 next(struct cpu *c, struct budget *b, u64 span)
{
	if (options.random_order)
		return random_below(&c->random, span);
	u64 i = b->next;
	b->next = i + 1 < span ? i + 1 : 0;
	return i;
}

static bool spend(struct budget *b)
{
	if (b->saved < PAGE_COST)
		return false;
	b->saved -= PAGE_COST;
	return true;
}

static void earn(struct budget *b, u64 ns)
{
	u64 most = b->per_second * CATCH_UP + PAGE_COST;
	b->saved += b->per_second * ns;
	if (b->saved > most)
		b->saved = most;
}

static void write_one(struct cpu *c)
{
	u64 i = next(c, &c->write, c->set), page = c->first + i;
	check(c, i);
	page_write(memory_page(page), page, ++c->generations[i]);
	if (i < c->verify.next)
		c->pass_sum++;
	c->writes++;
	epoch_bump(c);
}

/* One step of the pass over everything, in order; at its end the generations must add up to the writes. */
static void verify_one(struct cpu *c)
{
	u64 i = c->verify.next;
	check(c, i);
	c->pass_sum += c->generations[i];
	if (++c->verify.next < c->pages)
		return;
	u64 expected = c->pages * FIRST_GENERATION + c->writes;
	if (c->pass_sum != expected)
		report_corrupt_value(c, "generations", c->index, expected, c->pass_sum);
	c->verify.next = 0;
	c->pass_sum = 0;
	c->passes++;
	if (c->last_pass)
		c->done = true;
}

/* A tick is handled at once, except that a CPU whose ticks take all its time still works for half of it. */
static bool go_on(struct cpu *c) { return c->ticks == c->seen || clock_now(c) < c->work_until; }

/* One page of each kind that is due; false when nothing is. */
static bool step(struct cpu *c)
{
	if (c->last_pass) {
		if (c->done)
			return false;
		verify_one(c);
		return true;
	}
	bool worked = false;
	if (spend(&c->write)) {
		write_one(c);
		worked = true;
	}
	if (go_on(c) && spend(&c->read)) {
		check(c, next(c, &c->read, c->pages));
		c->reads++;
		worked = true;
	}
	if (go_on(c) && spend(&c->verify)) {
		verify_one(c);
		worked = true;
	}
	return worked;
}

static void beat(struct cpu *c, u64 ns)
{
	struct line l = {0};
	line_str(&l, "HB ");
	line_dec(&l, c->index);
	line_str(&l, " ");
	line_dec(&l, c->beats++);
	line_str(&l, " ");
	line_dec(&l, ns);
	line_send(&l);
}

/* What only CPU 0 does: the device, the totals, the end. */
static void lead(struct cpu *c, u64 now)
{
	static u64 poll_at, stat_at, stop_at;
	if (options.countreg)
		counter_read(c);
	if (!stat_at) {
		stat_start(now);
		stat_at = now + SECOND;
	} else if (now >= stat_at) {
		devices_check(c);
		stat_print(now);
		stat_at = now - stat_at < SECOND ? stat_at + SECOND : now + SECOND;
	}
	if (!stopping && now >= poll_at) {
		poll_at = now + STOP_POLL;
		u8 v = in8(PORT_STOP);
		if (v != 0xff && (v & 1)) {
			stopping = true;
			stop_at = now;
		}
	}
	if (!stopping)
		return;
	bool done = devices_settled();
	for (u32 i = 0; i < cpu_count; i++)
		done &= cpu_at(i)->done;
	if (!done && now - stop_at < LAST_PASS_BOUND)
		return;
	struct line l = {0};
	if (!done) {
		line_str(&l, "WARN stopped before everything was verified again and all devices were done");
		line_send(&l);
	}
	stat_print(now);
	l = (struct line){0};
	line_str(&l, "BYE");
	line_send_last(&l);
	power_off();
}

static void tick(struct cpu *c, u32 ticks, u64 ready)
{
	u64 now = clock_now(c);
	if (ticks_per_beat) {
		if (c->until_beat <= ticks) {
			beat(c, now - ready);
			c->until_beat = ticks_per_beat;
		} else {
			c->until_beat -= ticks;
		}
	}
	epoch_bump(c);
	registers_check(c);
	u64 ns = now - c->then < CATCH_UP ? now - c->then : CATCH_UP;
	c->then = now;
	earn(&c->write, ns);
	earn(&c->read, ns);
	earn(&c->verify, ns);
	if (stopping && !c->last_pass) {
		c->last_pass = true;
		c->verify.next = 0;
		c->pass_sum = 0;
	}
	if (c->index == 0)
		lead(c, now);
}

void load_run(struct cpu *c, u64 ready)
{
	registers_load(c);
	c->epoch = epoch_register = 0;
	/* The CPUs beat in turn, not at once: they share the serial line. */
	u64 from = ready + load_tick_ns * c->index / cpu_count;
	while ((c->then = clock_now(c)) < from)
		pause();
	c->until_beat = ticks_per_beat;
	apic_tick(load_tick_ns);
	irq_on();
	touch_calibrate(c);
	for (;;) {
		if (!go_on(c)) {
			u32 ticks = c->ticks, n = ticks - c->seen;
			c->seen = ticks;
			tick(c, n, ready);
			c->work_until = clock_now(c) + load_tick_ns / 2;
		}
		bool worked = step(c);
		if (c->index == 0)
			worked |= devices_poll(c, stopping);
		if (worked)
			continue;
		c->work_until = 0;
		if (c->index == 0)
			devices_sleep(c);
		else
			idle();
	}
}
