#include "blkverify.h"
#include "memory.h"
#include "option.h"
#include "random.h"
#include "report.h"

#define MAX_RECORDS 16384
#define RECORD_SECTORS (PAGE_SIZE / SECTOR)
#define NUMBER (1ul << 40) /* added to a record's number, so that none is like a page of memory */

/* One request in so many. */
#define FLUSH_ONE_IN 64
#define ZEROES_ONE_IN 16
#define DISCARD_ONE_IN 32

static struct record {
	u32 generation;                  /* of what was written last */
	u8 holds;
	bool busy;                       /* a request for it is under way: what it holds is not certain */
} *records;
enum { ANYTHING, GENERATION, ZEROES }; /* what a record holds */

static u64 count, distance; /* of records; sectors from one to the next */
static u64 random, features;

static bool start(u64 sectors, u64 offered)
{
	features = offered;
	count = sectors / RECORD_SECTORS;
	if (count > MAX_RECORDS)
		count = MAX_RECORDS;
	if (!count || (features & BLK_F_READ_ONLY))
		return false;
	distance = sectors / RECORD_SECTORS / count * RECORD_SECTORS;
	random = options.seed * 0x9e3779b97f4a7c15ul + 0xd15c;
	records = memory_take(count * sizeof(*records));
	return true;
}

static bool one_in(u32 n) { return !random_below(&random, n); }

static u32 choose(const struct record *o)
{
	if (o->holds != ANYTHING && one_in(2))
		return BLK_READ;
	if ((features & BLK_F_WRITE_ZEROES) && one_in(ZEROES_ONE_IN))
		return BLK_WRITE_ZEROES;
	if ((features & BLK_F_DISCARD) && one_in(DISCARD_ONE_IN))
		return BLK_DISCARD;
	return BLK_WRITE;
}

static bool next(struct blk_request *r)
{
	r->sector = 0;
	if ((features & BLK_F_FLUSH) && one_in(FLUSH_ONE_IN)) {
		r->type = BLK_FLUSH;
		return true;
	}
	u32 i = random_below(&random, count);
	struct record *o = &records[i];
	if (o->busy)
		return false;
	o->busy = true;
	r->record = i;
	r->sector = i * distance;
	r->type = choose(o);
	if (r->type == BLK_WRITE)
		page_write((u64 *)r->data, NUMBER + i, ++o->generation);
	else if (r->type == BLK_READ)
		memset(r->data, 0xa5, PAGE_SIZE);
	return true;
}

static bool right(struct cpu *c, const u64 *p, u32 i)
{
	const struct record *o = &records[i];
	if (o->holds == GENERATION) {
		if (page_right(p, NUMBER + i, o->generation))
			return true;
		report_corrupt_page(c, "record", p, NUMBER + i, o->generation);
		return false;
	}
	for (u32 w = 0; w < PAGE_SIZE / 8; w++)
		if (p[w]) {
			report_corrupt_value(c, "zeroes", i, 0, p[w]);
			return false;
		}
	return true;
}

static bool done(struct cpu *c, struct blk_request *r)
{
	bool good = true;
	if (r->type == BLK_FLUSH)
		return true;
	struct record *o = &records[r->record];
	switch (r->type) {
	case BLK_READ:
		good = right(c, (const u64 *)r->data, r->record);
		if (!good)
			o->holds = ANYTHING; /* so that it is counted once */
		break;
	case BLK_WRITE:
		o->holds = GENERATION;
		break;
	case BLK_WRITE_ZEROES:
		o->holds = ZEROES;
		break;
	default:
		o->holds = ANYTHING;
	}
	o->busy = false;
	return good;
}

const struct blk_work blkverify_work = {PAGE_SIZE, start, next, done};
