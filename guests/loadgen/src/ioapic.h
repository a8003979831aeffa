/* The I/O APIC: which interrupt of a device goes where. */
#ifndef IOAPIC_H
#define IOAPIC_H

#include "base.h"

bool ioapic_route(u32 gsi, u32 vector); /* to this CPU, on each rising edge; false: there is no such pin */

#endif
