#include "blkload.h"
#include "option.h"
#include "random.h"

static struct blk_work work;
static u64 places, next_place, random; /* a place holds one request's data */

static bool writes(void) { return options.blkload == BLKLOAD_RANDWRITE || options.blkload == BLKLOAD_SEQWRITE; }

static bool start(u64 sectors, u64 features)
{
	places = sectors * SECTOR / work.bytes;
	random = options.seed * 0x9e3779b97f4a7c15ul + 0xd15c;
	return places && !(writes() && (features & BLK_F_READ_ONLY));
}

static bool next(struct blk_request *r)
{
	u64 place = next_place;
	if (options.blkload == BLKLOAD_RANDREAD || options.blkload == BLKLOAD_RANDWRITE)
		place = random_below(&random, places);
	else
		next_place = place + 1 < places ? place + 1 : 0;
	r->type = writes() ? BLK_WRITE : BLK_READ;
	r->sector = place * (work.bytes / SECTOR);
	return true;
}

static bool done(struct cpu *c, struct blk_request *r)
{
	(void)c;
	(void)r;
	return true;
}

const struct blk_work *blkload_work(void)
{
	u64 bytes = (options.blksize + SECTOR - 1) & -SECTOR;
	work = (struct blk_work){bytes ? bytes : SECTOR, start, next, done};
	return &work;
}
