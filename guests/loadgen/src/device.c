#include "device.h"
#include "clock.h"
#include "report.h"
#include "stat.h"

/* When work comes at intervals below DENSE_NS, it is waited for without sleep for SPIN_NS: an interrupt and the way out of
 * HLT cost some hosts 100 us and more. What comes now and then has to bear that. */
#define DENSE_NS 500000
#define SPIN_NS 200000

static const struct driver *const drivers[] = {&net_driver, &blk_driver, &rng_driver, &vcon_driver, &balloon_driver, &vsock_driver};

static struct device {
	const struct driver *driver;
	struct virtio virtio;
	bool unwell;
} devices[MAX_DEVICES];
static u32 count;
static u64 worked_at, spin_until, interrupts;

_Static_assert(sizeof(drivers) / sizeof(*drivers) <= MAX_DEVICES, "a vector each");

void devices_start(struct cpu *c)
{
	for (u32 i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		struct device *d = &devices[count];
		if (!drivers[i]->wanted())
			continue;
		if (!drivers[i]->start(c, &d->virtio)) {
			struct line l = {0};
			line_str(&l, "WARN no device for ");
			line_str(&l, drivers[i]->options);
			line_send(&l);
			continue;
		}
		d->driver = drivers[i];
		virtio_go(&d->virtio, VEC_DEVICE + count++);
		for (u32 r = 0; r < d->virtio.ring_count; r++)
			ring_push(d->virtio.rings[r]);
	}
}

bool devices_poll(struct cpu *c, bool stopping)
{
	bool worked = false;
	if (!count)
		return false;
	u64 now = clock_now(c);
	for (u32 i = 0; i < count; i++)
		worked |= devices[i].driver->poll(c, now, stopping);
	if (worked) {
		spin_until = now - worked_at < DENSE_NS ? now + SPIN_NS : now;
		worked_at = now;
	}
	return worked;
}

/* Asks all rings for interrupts. true: something came before. */
static bool arm(void)
{
	bool come = false;
	for (u32 i = 0; i < count; i++)
		for (u32 r = 0; r < devices[i].virtio.ring_count; r++)
			come |= ring_arm(devices[i].virtio.rings[r]);
	return come;
}

static void disarm(void)
{
	for (u32 i = 0; i < count; i++)
		for (u32 r = 0; r < devices[i].virtio.ring_count; r++)
			ring_disarm(devices[i].virtio.rings[r]);
}

void devices_sleep(struct cpu *c)
{
	if (!count) {
		idle();
		return;
	}
	if (clock_now(c) < spin_until) {
		pause();
		return;
	}
	if (!arm())
		idle();
	disarm();
	u32 pending = __atomic_exchange_n(&c->pending, 0, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < count; i++)
		if (pending >> i & 1) {
			interrupts++;
			virtio_acknowledge(&devices[i].virtio);
		}
}

void devices_check(struct cpu *c)
{
	for (u32 i = 0; i < count; i++) {
		struct device *d = &devices[i];
		u32 status = virtio_status(&d->virtio);
		if (d->unwell || !(status & STATUS_NEEDS_RESET))
			continue;
		d->unwell = true;
		report_corrupt_value(c, "status", d->virtio.id, status & ~STATUS_NEEDS_RESET, status);
	}
}

void devices_stat(struct line *l, u64 ns)
{
	if (count)
		stat_field(l, " irqs=", interrupts);
	for (u32 i = 0; i < count; i++)
		devices[i].driver->stat(l, ns);
}

bool devices_settled(void)
{
	for (u32 i = 0; i < count; i++)
		if (devices[i].driver->settled && !devices[i].driver->settled())
			return false;
	return true;
}
