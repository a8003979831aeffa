#include "panic.h"
#include "layout.h"
#include "serial.h"

#define GATE 0x8e00 /* interrupt gate, ring 0 */

struct gate {
	u16 low, selector, flags, mid;
	u32 high, reserved;
} idt[VECTORS] __attribute__((aligned(16)));

extern const u8 trap_stubs[];
_Noreturn void triple_fault(void);

void traps_init(void)
{
	for (u32 i = 0; i < VECTORS; i++) {
		u64 addr = (u64)trap_stubs + 16 * i;
		idt[i] = (struct gate){(u16)addr, SEL_KCODE, GATE, (u16)(addr >> 16), (u32)(addr >> 32), 0};
	}
	/* The old interrupt controllers stay silent. */
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

static void field(struct line *l, const char *name, u64 v)
{
	line_str(l, name);
	line_hex(l, v);
}

/* Ring 0, and another CPU may hold the lock of the line for ever. */
static void send(const struct line *l)
{
	for (u32 i = 0; i < l->n; i++) {
		while (!(in8(COM1 + 5) & 0x20))
			;
		out8(COM1, l->text[i]);
	}
	out8(COM1, '\n');
}

void panic(const struct trap_frame *f, u64 cr2)
{
	struct line l = {0};
	line_str(&l, "\nPANIC vector=");
	line_dec(&l, f->vector);
	field(&l, " rip=", f->rip);
	field(&l, " err=", f->error);
	field(&l, " cr2=", cr2);
	field(&l, " cs=", f->cs);
	field(&l, " flags=", f->flags);
	field(&l, " rsp=", f->rsp);
	send(&l);
	triple_fault();
}

/* From ring 3: with an empty table of interrupts the next fault is the last. */
static _Noreturn void die(void)
{
	memset(idt, 0, sizeof(idt));
	for (;;)
		__asm__ volatile("ud2");
}

void give_up(const char *why)
{
	struct line l = {0};
	line_str(&l, "PANIC ");
	line_str(&l, why);
	line_send(&l);
	die();
}

void power_off(void)
{
	out8(0x600, 0x34); /* sleep control: type 5, enable */
	out8(0x64, 0xfe);  /* reset */
	die();
}
