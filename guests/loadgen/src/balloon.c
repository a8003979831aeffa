/* balloon=1: half of a reserve goes into the balloon and comes back as the host asks; of the other half free pages are
 * reported, taken back and used again. What is used holds what was written; what was reported holds that or zeroes. */
#include "device.h"
#include "memory.h"
#include "option.h"
#include "pace.h"
#include "report.h"
#include "stat.h"

#define ID 5
#define F_STATS (1ul << 1)
#define F_REPORTING (1ul << 5)
#define CONFIG_TARGET 0
#define CONFIG_ACTUAL 4
#define QUEUE_REPORTING 4 /* of the standard; where the queues between are left out it is named by its place */

#define PAGES 1024u       /* of each half */
#define MOST_NUMBERS 256u /* in one request to the balloon */
#define RANGE 16u         /* pages in a range that is reported */
#define RANGES 4u         /* in a report */
#define REPORTED (RANGE * RANGES)
#define PER_SECOND 20
#define NUMBER (2ul << 40) /* added to a page's, so that none is like a page under test */

static struct ring inflate, deflate, stats, reporting;
static struct virtio *device;
static struct pace pace = {.per_second = PER_SECOND};

static u8 *reserve;                   /* the half for the balloon, then the one for reports */
static u32 generations[2 * PAGES];    /* 0: given away, or never used */
static u32 *numbers;                  /* pages of 4 KiB of the request under way */
static u32 inside, moving;            /* pages in the balloon; of the request under way */
static u32 free_from;                 /* the page at which the next report begins */
static u64 reported;                  /* pages, in all */
static struct {
	u16 tag;
	u64 value;
} __attribute__((packed)) *numbers_told; /* the statistics */

enum { STAT_FREE = 4, STAT_TOTAL = 5 };

static u64 *page(u32 i) { return (u64 *)(reserve + i * PAGE_SIZE); }

static void use(u32 i) { page_write(page(i), NUMBER + i, ++generations[i]); }

static void check(struct cpu *c, u32 i)
{
	if (!page_right(page(i), NUMBER + i, generations[i]))
		report_corrupt_page(c, "balloon", page(i), NUMBER + i, generations[i]);
}

static bool wanted(void) { return options.balloon; }

static void tell(void)
{
	numbers_told[0].tag = STAT_FREE;
	numbers_told[0].value = (PAGES - inside) * PAGE_SIZE;
	numbers_told[1].tag = STAT_TOTAL;
	numbers_told[1].value = 2 * PAGES * PAGE_SIZE;
	struct buffer b = {numbers_told, 2 * sizeof(*numbers_told)};
	ring_add(&stats, &b, 1, 0, 0);
}

static bool start(struct cpu *c, struct virtio *v)
{
	(void)c;
	device = v;
	if (!virtio_open(v, ID, F_STATS | F_REPORTING))
		return false;
	bool told = virtio_offers(v, F_STATS), reports = virtio_offers(v, F_REPORTING);
	if (!virtio_ring(v, 0, 8, &inflate) || !virtio_ring(v, 1, 8, &deflate) || (told && !virtio_ring(v, 2, 8, &stats)) ||
	    (reports && !virtio_ring(v, told ? 3 : 2, 8, &reporting) && !virtio_ring(v, QUEUE_REPORTING, 8, &reporting))) {
		virtio_fail(v);
		return false;
	}
	numbers = memory_take(MOST_NUMBERS * sizeof(*numbers));
	numbers_told = memory_take(PAGE_SIZE);
	reserve = memory_take(2 * PAGES * PAGE_SIZE);
	for (u32 i = 0; i < 2 * PAGES; i++)
		use(i);
	if (told)
		tell();
	return true;
}

/* Moves the balloon one request nearer to its target. */
static void move(struct cpu *c)
{
	u32 target = virtio_config32(device, CONFIG_TARGET);
	if (target > PAGES)
		target = PAGES;
	if (target == inside)
		return;
	bool in = target > inside;
	moving = in ? target - inside : inside - target;
	if (moving > MOST_NUMBERS)
		moving = MOST_NUMBERS;
	u32 from = in ? inside : inside - moving;
	for (u32 i = 0; i < moving; i++) {
		if (in)
			check(c, from + i);
		numbers[i] = (u64)page(from + i) / PAGE_SIZE;
	}
	struct buffer b = {numbers, moving * sizeof(*numbers)};
	ring_add(in ? &inflate : &deflate, &b, 1, 0, in);
}

static bool moved(struct cpu *c)
{
	u32 in, len;
	if (!ring_take(c, &inflate, &in, &len) && !ring_take(c, &deflate, &in, &len))
		return false;
	for (u32 i = inside - moving; !in && i < inside; i++)
		use(i);
	inside = in ? inside + moving : inside - moving;
	virtio_config_set32(device, CONFIG_ACTUAL, inside);
	return true;
}

static void report(struct cpu *c)
{
	struct buffer b[RANGES];
	for (u32 i = 0; i < REPORTED; i++)
		check(c, PAGES + free_from + i);
	for (u32 i = 0; i < RANGES; i++)
		b[i] = (struct buffer){page(PAGES + free_from + i * RANGE), RANGE * PAGE_SIZE};
	ring_add(&reporting, b, 0, RANGES, 0);
}

/* What was reported is taken back and used. */
static bool take_back(struct cpu *c)
{
	static const u64 zeroes[PAGE_SIZE / 8];
	u32 token, len;
	if (!ring_take(c, &reporting, &token, &len))
		return false;
	for (u32 i = PAGES + free_from; i < PAGES + free_from + REPORTED; i++) {
		if (memcmp(page(i), zeroes, PAGE_SIZE))
			check(c, i);
		use(i);
	}
	reported += REPORTED;
	free_from = (free_from + REPORTED) % PAGES;
	return true;
}

static bool poll(struct cpu *c, u64 now, bool stopping)
{
	u32 token, len;
	bool worked = moved(c);
	if (reporting.size)
		worked |= take_back(c);
	if (stats.size && ring_take(c, &stats, &token, &len))
		tell();
	pace_earn(&pace, now);
	if (!stopping && pace_spend(&pace)) {
		if (!inflate.in_flight && !deflate.in_flight)
			move(c);
		if (reporting.size && !reporting.in_flight)
			report(c);
	}
	for (u32 i = 0; i < device->ring_count; i++)
		ring_push(device->rings[i]);
	return worked;
}

static void stat(struct line *l, u64 ns)
{
	(void)ns;
	stat_field(l, " balloon=", inside);
	stat_field(l, " reported=", reported);
}

const struct driver balloon_driver = {.options = "balloon", .wanted = wanted, .start = start, .poll = poll, .stat = stat};
