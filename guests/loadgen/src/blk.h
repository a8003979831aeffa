/* virtio-blk: one queue, requests by a workload (blkload.h, blkverify.h). */
#ifndef BLK_H
#define BLK_H

#include "cpu.h"

#define SECTOR 512ul

enum { BLK_READ = 0, BLK_WRITE = 1, BLK_FLUSH = 4, BLK_DISCARD = 11, BLK_WRITE_ZEROES = 13 };

#define BLK_F_READ_ONLY (1ul << 5)
#define BLK_F_FLUSH (1ul << 9)
#define BLK_F_DISCARD (1ul << 13)
#define BLK_F_WRITE_ZEROES (1ul << 14)

struct blk_request {
	/* Read and written by the device. */
	u32 type, reserved;
	u64 sector;
	struct {
		u64 sector;
		u32 count, flags;
	} range;           /* what BLK_DISCARD and BLK_WRITE_ZEROES have for data */
	u8 status;

	bool busy, lost;
	u32 record;        /* the workload's */
	u64 began;         /* ns */
	u64 waited;        /* ns that the guest has run since */
	u8 *data;          /* bytes as the workload has it */
};

struct blk_work {
	u32 bytes;         /* of a request's data */
	bool (*start)(u64 sectors, u64 features); /* false: not with this disk */
	bool (*next)(struct blk_request *r);      /* sets type and sector, and data of a write; false: nothing to do now */
	bool (*done)(struct cpu *c, struct blk_request *r); /* of one that succeeded; false: and its data are wrong */
};

#endif
