/* The command line. */
#ifndef OPTION_H
#define OPTION_H

#include "blkload.h"
#include "netload.h"
#include "page.h"

struct options {
	u64 fill, set;        /* MiB */
	u64 rate, read;       /* MiB/s, the whole machine's */
	u64 verify;           /* MiB/s of verification in the background, the whole machine's */
	u64 heartbeat;        /* us; 0: off */
	u64 seed, cpus;       /* cpus 0: find out */
	u64 workers;          /* CPUs that read and write, verifying apart; 0: all */
	bool random_order, countreg;
	enum data data;
	u32 net_ip;           /* as on the wire; 0: none */
	u8 net_ip6[16];       /* the first byte 0: none */
	u8 net_peer[6];       /* zero: the last that asked for net_ip */
	enum netload netload;
	u64 netsize, netrate; /* bytes of a frame; frames a second, 0: as fast as it goes */
	enum blkload blkload;
	u64 blksize, blkdepth, blkrate; /* bytes of a request; requests under way; requests a second, 0: as fast as it goes */
	u64 vsock, vsockdial;  /* ports; 0: none */
	bool blkverify, rng, vcon, balloon;
	bool touches;         /* STAT says how often first accesses took how long */
};

extern struct options options;

void option_parse(u32 start_info);

#endif
