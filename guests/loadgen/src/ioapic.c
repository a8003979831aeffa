#include "ioapic.h"
#include "apic.h"

#define BASE 0xfec00000
#define SELECT (*(volatile u32 *)BASE)
#define WINDOW (*(volatile u32 *)(BASE + 0x10))

#define REG_VERSION 1
#define REG_PIN 0x10 /* two for each: vector and flags (all zero: fixed, physical, active high, edge), target */
#define ABSENT 0xff

bool ioapic_route(u32 gsi, u32 vector)
{
	SELECT = REG_VERSION;
	u32 last = WINDOW >> 16 & 0xff;
	if (last == ABSENT || gsi > last)
		return false;
	SELECT = REG_PIN + 2 * gsi + 1;
	WINDOW = apic_id() << 24;
	SELECT = REG_PIN + 2 * gsi;
	WINDOW = vector;
	return true;
}
