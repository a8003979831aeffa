/* The command line. */
#ifndef OPTION_H
#define OPTION_H

#include "page.h"

struct options {
	u64 fill, set;        /* MiB */
	u64 rate, read;       /* MiB/s, the whole machine's */
	u64 verify;           /* MiB/s of verification in the background, the whole machine's */
	u64 heartbeat;        /* us; 0: off */
	u64 seed, cpus;       /* cpus 0: find out */
	bool random_order, countreg;
	enum data data;
};

extern struct options options;

void option_parse(u32 start_info);

#endif
