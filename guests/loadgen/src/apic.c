#include "apic.h"
#include "clock.h"

#define MSR_APIC_BASE 0x1b
#define BASE_ENABLE 0x800
#define BASE_X2 0x400

#define REG_ID 0x20
#define REG_EOI 0xb0
#define REG_SVR 0xf0
#define REG_ICR 0x300
#define REG_ICR_HIGH 0x310
#define REG_TIMER 0x320
#define REG_LINT0 0x350
#define REG_LINT1 0x360
#define REG_ERROR 0x370
#define REG_INITIAL 0x380
#define REG_CURRENT 0x390
#define REG_DIVIDE 0x3e0

#define LVT_MASKED 0x10000
#define TIMER_PERIODIC 0x20000
#define DIVIDE_1 0xb

#define ICR_INIT_OTHERS 0xc4500
#define ICR_START_OTHERS 0xc4600

#define MS 1000000ul
#define QUIET_NS (20 * MS)    /* no CPU came for so long: there are no more */
#define BOUND_NS (5000 * MS)  /* for CPUs that were promised */

extern const u8 trampoline[], trampoline_end[];
extern volatile u32 ap_next; /* the next number for an AP */

volatile u32 cpus_arrived;

static bool x2;
static volatile u32 *mmio;
static u64 timer_khz;

static void write(u32 reg, u32 v)
{
	if (x2)
		wrmsr(0x800 + (reg >> 4), v);
	else
		mmio[reg / 4] = v;
}

static u32 read(u32 reg) { return x2 ? (u32)rdmsr(0x800 + (reg >> 4)) : mmio[reg / 4]; }

u32 apic_id(void) { return x2 ? read(REG_ID) : read(REG_ID) >> 24; }

void apic_start(struct cpu *c)
{
	u32 r[4];
	cpuid(1, 0, r);
	x2 = r[2] >> 21 & 1;
	u64 base = rdmsr(MSR_APIC_BASE);
	wrmsr(MSR_APIC_BASE, base | BASE_ENABLE | (x2 ? BASE_X2 : 0));
	if (!x2) {
		mmio = (volatile u32 *)(base & 0xfffff000);
		c->eoi = mmio + REG_EOI / 4;
	}
	write(REG_SVR, 0x100 | VEC_SPURIOUS);
	write(REG_TIMER, LVT_MASKED);
	write(REG_LINT0, LVT_MASKED);
	write(REG_LINT1, LVT_MASKED);
	write(REG_ERROR, LVT_MASKED);
}

/* The counter is read between two clock readings; a sample that took long is thrown away. */
static u32 sample(struct cpu *c, u64 *ns)
{
	for (u32 tries = 0;; tries++) {
		u64 before = clock_now(c);
		u32 count = read(REG_CURRENT);
		u64 after = clock_now(c);
		if (after - before < 50000 || tries == 20) {
			*ns = before + (after - before) / 2;
			return count;
		}
	}
}

void apic_calibrate(struct cpu *c)
{
	u64 t0, t1;
	write(REG_DIVIDE, DIVIDE_1);
	write(REG_INITIAL, ~0u);
	u32 from = sample(c, &t0), to;
	do
		to = sample(c, &t1);
	while (t1 - t0 < 3 * MS);
	write(REG_INITIAL, 0);
	timer_khz = (u64)(from - to) * MS / (t1 - t0);
}

void apic_tick(u64 period_ns)
{
	write(REG_DIVIDE, DIVIDE_1);
	write(REG_TIMER, TIMER_PERIODIC | VEC_TIMER);
	u64 count = timer_khz * period_ns / MS;
	write(REG_INITIAL, count > ~0u ? ~0u : count ? count : 1);
}

/* How many CPUs CPUID hints at: 0 if it says nothing. */
static u32 hint(void)
{
	u32 r[4];
	cpuid(0, 0, r);
	u32 top = r[0];
	if (top >= 0xb) {
		for (u32 level = 0, n = 0;; level++) {
			cpuid(0xb, level, r);
			if (!(r[2] >> 8 & 0xff) || level == 8) {
				if (n > 1)
					return n;
				break;
			}
			n = r[1] & 0xffff;
		}
	}
	cpuid(1, 0, r);
	return r[3] >> 28 & 1 ? r[1] >> 16 & 0xff : 0;
}

static void send(u32 command)
{
	if (x2)
		wrmsr(0x800 + (REG_ICR >> 4), command);
	else {
		mmio[REG_ICR_HIGH / 4] = 0;
		mmio[REG_ICR / 4] = command;
		while (mmio[REG_ICR / 4] & 0x1000)
			pause();
	}
}

u32 apic_start_others(struct cpu *c, u32 wanted)
{
	if (wanted == 1)
		return 1;
	memcpy((void *)TRAMPOLINE, trampoline, trampoline_end - trampoline);
	send(ICR_INIT_OTHERS);
	u64 t = clock_now(c);
	while (clock_now(c) - t < 200000)
		pause();
	send(ICR_START_OTHERS | TRAMPOLINE >> 12);
	u32 target = wanted ? wanted : hint(), n = 1;
	u64 began = clock_now(c), last = began;
	for (;;) {
		u64 now = clock_now(c);
		u32 taken = ap_next;
		if (taken != n) {
			n = taken;
			last = now;
		}
		/* Every CPU that took a number must also have come; then the door is shut. */
		bool settled = cpus_arrived + 1 == taken;
		/* A hint may be wrong, but then by far the most often in naming too many. */
		u64 bound = wanted ? BOUND_NS : target > 1 ? 10 * QUIET_NS : QUIET_NS;
		bool end = (target > 1 && taken >= target) || now - (wanted ? began : last) > bound;
		if (end && settled && __atomic_compare_exchange_n(&ap_next, &taken, MAX_CPUS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return taken;
		pause();
	}
}
