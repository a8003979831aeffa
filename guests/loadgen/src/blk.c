#include "blk.h"
#include "blkload.h"
#include "blkverify.h"
#include "device.h"
#include "histogram.h"
#include "memory.h"
#include "option.h"
#include "pace.h"
#include "report.h"
#include "stat.h"

#define ID 2
#define SECOND 1000000000ul
#define LOST_NS (30 * SECOND) /* a request under way for longer is lost */
#define LOOK_NS (SECOND / 10) /* between two looks at what is under way; counted as no more, for the guest may have been a snapshot for days */
#define HEADER 16             /* bytes of a request that the device reads first */

static struct ring ring;
static const struct blk_work *work;
static struct blk_request *requests;
static u64 depth;
static struct pace pace;
static u16 unused[RING_MAX], unused_count; /* requests that are not under way */
static u64 looked;                         /* for lost requests, ns */
static struct {
	u64 done, bytes, bad, lost;
} total, last;
static u32 times[HISTOGRAM_BUCKETS], times_told[HISTOGRAM_BUCKETS];

static bool wanted(void) { return options.blkload || options.blkverify; }

static bool start(struct cpu *c, struct virtio *v)
{
	(void)c;
	work = options.blkverify ? &blkverify_work : blkload_work();
	if (!virtio_open(v, ID, BLK_F_READ_ONLY | BLK_F_FLUSH | BLK_F_DISCARD | BLK_F_WRITE_ZEROES))
		return false;
	if (!virtio_ring(v, 0, RING_MAX, &ring) || !work->start(virtio_config64(v, 0), v->features)) {
		virtio_fail(v);
		return false;
	}
	u64 most = ring.tables ? ring.size : ring.size / 3u;
	depth = options.blkdepth < most ? options.blkdepth : most;
	pace.per_second = options.blkrate;
	requests = memory_take(depth * sizeof(*requests));
	u8 *data = memory_take(depth * work->bytes);
	for (u32 i = 0; i < depth; i++) {
		requests[i].data = data + i * work->bytes;
		for (u32 n = 0; n < work->bytes; n += 8)
			*(u64 *)(requests[i].data + n) = (i + 1) * 0x9e3779b97f4a7c15ul + n; /* what a write load writes */
		unused[unused_count++] = i;
	}
	ring.arm_after = 0;
	return true;
}

static void add(struct blk_request *r, u64 now)
{
	struct buffer b[3] = {{r, HEADER}};
	u32 out = 1, n = 1;
	switch (r->type) {
	case BLK_WRITE:
		out = 2;
		/* fall through */
	case BLK_READ:
		b[n++] = (struct buffer){r->data, work->bytes};
		break;
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		r->range.sector = r->sector;
		r->range.count = work->bytes / SECTOR;
		r->sector = 0;
		out = 2;
		b[n++] = (struct buffer){&r->range, sizeof(r->range)};
	}
	r->status = 0xff;
	b[n++] = (struct buffer){&r->status, 1};
	r->began = now;
	r->waited = 0;
	r->busy = true;
	ring_add(&ring, b, out, n - out, r - requests); /* there is room: depth sees to it */
}

/* What the device says and what the data say. */
static bool good(struct cpu *c, struct blk_request *r, u32 len)
{
	u32 most = 1 + (r->type == BLK_READ ? work->bytes : 0);
	if (!len || len > most) {
		report_corrupt_value(c, "blklen", r->type, most, len);
		return false;
	}
	if (r->status) {
		report_corrupt_value(c, "blkstatus", r->type, 0, r->status);
		return false;
	}
	return work->done(c, r);
}

static bool complete(struct cpu *c, u64 now)
{
	u32 token, len;
	bool any = false;
	while (ring_take(c, &ring, &token, &len)) {
		struct blk_request *r = &requests[token];
		any = true;
		total.done++;
		if (r->type == BLK_READ || r->type == BLK_WRITE)
			total.bytes += work->bytes;
		times[histogram_bucket(now > r->began ? now - r->began : 0)]++;
		if (!good(c, r, len))
			total.bad++;
		r->busy = r->lost = false;
		unused[unused_count++] = token;
	}
	return any;
}

static void find_lost(struct cpu *c, u64 now)
{
	if (now - looked < LOOK_NS)
		return;
	looked = now;
	for (u32 i = 0; i < depth; i++) {
		struct blk_request *r = &requests[i];
		if (!r->busy || r->lost || (r->waited += LOOK_NS) < LOST_NS)
			continue;
		r->lost = true;
		total.lost++;
		report_corrupt_value(c, "blklost", r->type, LOST_NS, now - r->began);
	}
}

static bool poll(struct cpu *c, u64 now, bool stopping)
{
	bool worked = complete(c, now);
	pace_earn(&pace, now);
	while (!stopping && unused_count && pace_spend(&pace)) {
		struct blk_request *r = &requests[unused[unused_count - 1]];
		if (!work->next(r))
			break;
		add(r, now);
		unused_count--;
		worked = true;
	}
	ring_push(&ring);
	find_lost(c, now);
	return worked;
}

static void stat(struct line *l, u64 ns)
{
	u64 p50, p99;
	histogram_quantiles(times, times_told, &p50, &p99);
	stat_field(l, " blk_iops=", stat_per_second(total.done - last.done, ns));
	stat_mib_s(l, " blk_mib_s=", total.bytes - last.bytes, ns);
	stat_field(l, " blk_done=", total.done);
	stat_field(l, " blk_bad=", total.bad + ring.wrong);
	stat_field(l, " blk_lost=", total.lost);
	stat_field(l, " blk_p50_us=", p50);
	stat_field(l, " blk_p99_us=", p99);
	last = total;
}

static bool settled(void) { return !ring.in_flight; }

const struct driver blk_driver = {
	.options = "blkload blkverify", .wanted = wanted, .start = start, .poll = poll, .stat = stat, .settled = settled};
