#include "clock.h"
#include "panic.h"
#include "serial.h"

#define MSR_SYSTEM_TIME 0x4b564d01
#define FEATURE_CLOCKSOURCE2 (1u << 3)
#define BACK_NS 1000 /* a step back that is reported */

#define PIT_HZ 1193182

static bool paravirtual;
static u64 tsc_mul; /* ns per cycle << 32, without the paravirtual clock */

#define PIT_CHANNEL 0x40
#define PIT_COMMAND 0x43
#define PIT_SPAN 20000 /* of its 65536 counts: 17 ms */
#define PIT_TRIES 100000

/* What channel 0 has counted down to, and the TSC when that was latched. false: it has counted to the end. */
static bool pit_sample(u32 *count, u64 *at)
{
	u64 before = tsc();
	out8(PIT_COMMAND, 0xc2); /* latch status and count */
	*at = before + (tsc() - before) / 2;
	bool end = in8(PIT_CHANNEL) >> 7;
	u32 low = in8(PIT_CHANNEL);
	*count = low | in8(PIT_CHANNEL) << 8;
	return !end;
}

/* kHz of the TSC. Channel 0, because channel 2 needs a port that not every machine with a PIT has. It is started anew
 * when a host that was busy elsewhere has let it count to the end. */
static u64 pit_tsc_khz(void)
{
	u64 from, to;
	u32 first = 0, last;
	bool counting = false;
	for (u32 tries = 0; tries < PIT_TRIES; tries++) {
		if (!counting) {
			out8(PIT_COMMAND, 0x30); /* mode 0, low byte then high byte */
			out8(PIT_CHANNEL, 0xff);
			out8(PIT_CHANNEL, 0xff);
			counting = pit_sample(&first, &from);
		}
		counting = counting && pit_sample(&last, &to);
		if (counting && first - last >= PIT_SPAN && first > last)
			return (to - from) * PIT_HZ / (first - last) / 1000;
	}
	give_up("no clock: neither a paravirtual one nor a timer to measure the TSC");
}

void clock_probe(void)
{
	u32 r[4];
	cpuid(0x40000000, 0, r);
	u32 top = r[0];
	if (r[1] == 0x4b4d564b && r[2] == 0x564b4d56 && r[3] == 0x4d) {
		cpuid(0x40000001, 0, r);
		paravirtual = r[0] & FEATURE_CLOCKSOURCE2;
	}
	if (paravirtual)
		return;
	u64 khz = 0;
	if (top >= 0x40000010 && top < 0x40001000) {
		cpuid(0x40000010, 0, r);
		khz = r[0];
	}
	if (!khz)
		khz = pit_tsc_khz();
	tsc_mul = (1000000ul << 32) / khz;
}

void clock_start(struct cpu *c)
{
	if (paravirtual)
		wrmsr(MSR_SYSTEM_TIME, (u64)&c->pv | 1);
}

INLINE u64 scale(u64 cycles, u64 mul, int shift)
{
	cycles = shift >= 0 ? cycles << shift : cycles >> -shift;
	return (u64)((unsigned __int128)cycles * mul >> 32);
}

u64 clock_cycles_ns(struct cpu *c, u64 cycles)
{
	return paravirtual ? scale(cycles, c->pv.mul, c->pv.shift) : scale(cycles, tsc_mul, 0);
}

static u64 read(struct cpu *c)
{
	if (!paravirtual)
		return scale(tsc(), tsc_mul, 0);
	u32 version;
	u64 ns;
	do {
		version = c->pv.version;
		barrier();
		ns = c->pv.system_time + scale(tsc() - c->pv.tsc_timestamp, c->pv.mul, c->pv.shift);
		barrier();
	} while ((version & 1) || version != c->pv.version);
	return ns;
}

u64 clock_now(struct cpu *c)
{
	u64 ns = read(c);
	if (ns >= c->now)
		return c->now = ns;
	if (c->now - ns > BACK_NS && !c->warned_clock) {
		c->warned_clock = true;
		struct line l = {0};
		line_str(&l, "WARN clock went back ns=");
		line_dec(&l, c->now - ns);
		line_str(&l, " cpu=");
		line_dec(&l, c->index);
		line_send(&l);
	}
	return c->now;
}
