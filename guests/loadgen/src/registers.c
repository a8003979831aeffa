#include "registers.h"
#include "epoch.h"
#include "report.h"

#define COUNT 16
#define STEP 0x9e3779b97f4a7c15ul
#define MXCSR 0x3f80    /* all masked, rounds down: not the value after a reset */
#define CONTROL 0x077f  /* the same for the x87 */

static u64 first_value(const struct cpu *c) { return STEP ^ (u64)(c->index + 1) << 56; }

void registers_load(struct cpu *c)
{
	u64 v = first_value(c);
	u32 mxcsr = MXCSR;
	u16 control = CONTROL;
	__asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
			 "movq %0, %%xmm\\n\n"
			 "punpcklqdq %%xmm\\n, %%xmm\\n\n"
			 "add %1, %0\n"
			 ".endr"
			 : "+r"(v)
			 : "r"(STEP));
	__asm__ volatile("ldmxcsr %0; fninit; fldcw %1" ::"m"(mxcsr), "m"(control));
}

void registers_check(struct cpu *c)
{
	u64 xmm[COUNT][2], v = first_value(c), base;
	u32 mxcsr;
	u16 control;
	__asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
			 "movups %%xmm\\n, \\n*16(%0)\n"
			 ".endr" ::"r"(xmm)
			 : "memory");
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
	__asm__ volatile("movq %%fs:%c1, %0" : "=r"(base) : "i"(__builtin_offsetof(struct cpu, self)));

	bool reload = false;
	for (u32 i = 0; i < COUNT; i++, v += STEP)
		if (xmm[i][0] != v || xmm[i][1] != v) {
			report_corrupt_value(c, "xmm", i, v, xmm[i][0] != v ? xmm[i][0] : xmm[i][1]);
			reload = true;
		}
	if (mxcsr != MXCSR) {
		report_corrupt_value(c, "mxcsr", c->index, MXCSR, mxcsr);
		reload = true;
	}
	if (control != CONTROL) {
		report_corrupt_value(c, "x87control", c->index, CONTROL, control);
		reload = true;
	}
	if (reload)
		registers_load(c);
	if (base != (u64)c) {
		report_corrupt_value(c, "fsbase", c->index, (u64)c, base);
		wrmsr(0xc0000100, (u64)c);
	}
	if (c->epoch != epoch_register) {
		report_corrupt_value(c, "epoch", c->index, epoch_register, c->epoch);
		c->epoch = epoch_register;
	}
}
