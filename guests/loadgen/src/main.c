/* loadgen: the guest that judges migrations. See loadgen.go. */
#include "apic.h"
#include "clock.h"
#include "counter.h"
#include "device.h"
#include "load.h"
#include "memory.h"
#include "option.h"
#include "panic.h"
#include "serial.h"

#define PORT_READY 0x3f0
#define READY 1
#define MSR_FS_BASE 0xc0000100
#define PAGES_PER_MIB (1048576 / PAGE_SIZE)

extern u32 start_info;

u32 cpu_count;
static volatile enum { START, FILL, RUN } phase; /* what the APs may do */
static u64 ready, working_set;

/* Before the first trap and the first port. */
static void start_traps(struct cpu *c)
{
	memset(c, 0, sizeof(*c)); /* gokvm, for one, leaves other things where no file's bytes go */
	c->tss.rsp0 = (u64)c + (1 << CPU_SHIFT);
	c->tss.iomap = __builtin_offsetof(struct tss, ports);
	c->tss.ports_end = 0xff;
}

static void start_cpu(struct cpu *c)
{
	c->index = cpu_number(c);
	c->self = c;
	wrmsr(MSR_FS_BASE, (u64)c);
	clock_start(c);
	apic_start(c);
}

static void fill(struct cpu *c)
{
	memory_share(c, cpu_count, working_set);
	load_fill(c);
	c->filled = true;
}

_Noreturn void ap_main(struct cpu *c)
{
	start_traps(c);
	start_cpu(c);
	__atomic_fetch_add(&cpus_arrived, 1, __ATOMIC_SEQ_CST);
	while (phase < FILL)
		pause();
	fill(c);
	while (phase < RUN)
		pause();
	load_run(c, ready);
}

/* Warns when there is less than was asked for. */
static void warn_less(const char *what, u64 wanted, u64 got)
{
	struct line l = {0};
	if (got >= wanted)
		return;
	line_str(&l, "WARN ");
	line_str(&l, what);
	line_str(&l, "=");
	line_dec(&l, wanted);
	line_str(&l, " is more than there is: ");
	line_dec(&l, got);
	line_send(&l);
}

static void plan_memory(void)
{
	u64 wanted = options.fill * PAGES_PER_MIB;
	if (wanted < cpu_count)
		wanted = cpu_count;
	u64 owned = memory_claim(wanted, cpu_count);
	warn_less("fill", options.fill, owned < wanted ? owned / PAGES_PER_MIB : options.fill);
	working_set = options.set * PAGES_PER_MIB;
	if (working_set > owned) {
		warn_less("wss", options.set, owned / PAGES_PER_MIB);
		working_set = owned;
	}
	struct line l = {0};
	line_str(&l, "INFO cpus=");
	line_dec(&l, cpu_count);
	line_str(&l, " pages=");
	line_dec(&l, owned);
	line_str(&l, " first=");
	line_hex(&l, (u64)memory_page(0));
	line_send(&l);
}

extern u8 bss[], bss_end[]; /* loadgen.ld */

_Noreturn void main(struct cpu *c)
{
	memset(bss, 0, bss_end - bss);
	start_traps(c);
	traps_init();
	serial_init();
	memory_map_low();
	memory_probe(start_info);
	option_parse(start_info);
	page_init(options.seed, options.data);
	load_plan();
	clock_probe();
	start_cpu(c);
	cpu_count = apic_start_others(c, options.cpus);
	warn_less("cpus", options.cpus, cpu_count);
	apic_calibrate(c);
	devices_start(c);
	plan_memory();
	phase = FILL;
	fill(c);
	for (u32 i = 0; i < cpu_count; i++)
		while (!cpu_at(i)->filled)
			pause();
	if (options.countreg)
		counter_probe();
	struct line l = {0};
	line_str(&l, "READY");
	line_send(&l);
	out8(PORT_READY, READY);
	ready = clock_now(c);
	barrier();
	phase = RUN;
	load_run(c, ready);
}
