/* Known values in the vector and floating-point registers, which the rest of loadgen never uses. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include "cpu.h"

void registers_load(struct cpu *c);
void registers_check(struct cpu *c); /* also the FS base and the epoch; reports what is wrong and puts it right */

#endif
