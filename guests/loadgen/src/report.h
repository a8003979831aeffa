/* What was counted wrong: told on the serial line and to the VMM. */
#ifndef REPORT_H
#define REPORT_H

#include "cpu.h"
#include "page.h"

void report_corrupt_page(struct cpu *c, const char *what, const u64 *p, u64 page, u32 generation);
void report_corrupt_value(struct cpu *c, const char *what, u64 which, u64 expected, u64 got);
void report_wrong(void); /* to the VMM only */

#endif
