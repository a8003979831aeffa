#include "virtio.h"
#include "ioapic.h"
#include "serial.h"

#define MAGIC 0x74726976
#define VERSION 2
#define MAX_PLACES 32

enum {
	REG_MAGIC = 0x00,
	REG_VERSION = 0x04,
	REG_DEVICE_ID = 0x08,
	REG_FEATURES = 0x10,
	REG_FEATURES_SELECT = 0x14,
	REG_DRIVER_FEATURES = 0x20,
	REG_DRIVER_FEATURES_SELECT = 0x24,
	REG_QUEUE_SELECT = 0x30,
	REG_QUEUE_SIZE_MAX = 0x34,
	REG_QUEUE_SIZE = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_QUEUE_NOTIFY = 0x50,
	REG_INTERRUPT_STATUS = 0x60,
	REG_INTERRUPT_ACKNOWLEDGE = 0x64,
	REG_STATUS = 0x70,
	REG_QUEUE_DESCRIPTORS = 0x80, /* these three of 64 bits, low half first */
	REG_QUEUE_DRIVER = 0x90,
	REG_QUEUE_DEVICE = 0xa0,
	REG_CONFIG_GENERATION = 0xfc,
	REG_CONFIG = 0x100,
};

static struct place {
	u64 base;
	u32 irq;
} places[MAX_PLACES];
static u32 place_count;

/* Reads digits, decimal or after 0x hexadecimal, and moves on behind them. */
static bool number(const char **s, u64 *v)
{
	const char *p = *s;
	bool hex = p[0] == '0' && (p[1] | 32) == 'x';
	u64 n = 0;
	u32 digits = 0;
	for (p += hex ? 2 : 0;; p++, digits++) {
		u32 d = *p >= '0' && *p <= '9' ? *p - '0' : hex && (*p | 32) >= 'a' && (*p | 32) <= 'f' ? (*p | 32) - 'a' + 10 : 99;
		if (d == 99)
			break;
		if (digits == 16)
			return false;
		n = n * (hex ? 16 : 10) + d;
	}
	*s = p;
	*v = n;
	return digits;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	++*s;
	return true;
}

bool virtio_add(const char *word)
{
	u64 size, base, irq, id;
	if (!number(&word, &size))
		return false;
	if (skip(&word, 'K') || skip(&word, 'k'))
		size <<= 10;
	if (!skip(&word, '@') || !number(&word, &base) || !skip(&word, ':') || !number(&word, &irq))
		return false;
	if (skip(&word, ':') && !number(&word, &id))
		return false;
	if (*word || size < REG_CONFIG || base < MMIO_BASE || base & 3 || base + size > 1ul << 32 || irq > ~0u || place_count == MAX_PLACES)
		return false;
	places[place_count++] = (struct place){base, irq};
	return true;
}

static u32 read(const struct virtio *v, u32 reg) { return v->registers[reg / 4]; }
static void write(const struct virtio *v, u32 reg, u32 value) { v->registers[reg / 4] = value; }

static void write64(const struct virtio *v, u32 reg, volatile const void *p)
{
	write(v, reg, (u64)p);
	write(v, reg + 4, (u64)p >> 32);
}

static u64 offered(const struct virtio *v)
{
	write(v, REG_FEATURES_SELECT, 1);
	u64 high = read(v, REG_FEATURES);
	write(v, REG_FEATURES_SELECT, 0);
	return high << 32 | read(v, REG_FEATURES);
}

static bool agree(struct virtio *v, u64 wanted)
{
	write(v, REG_STATUS, 0);
	while (read(v, REG_STATUS))
		pause();
	write(v, REG_STATUS, STATUS_ACKNOWLEDGE);
	write(v, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	v->features = offered(v) & (wanted | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_INDEX | VIRTIO_F_VERSION_1);
	write(v, REG_DRIVER_FEATURES_SELECT, 1);
	write(v, REG_DRIVER_FEATURES, v->features >> 32);
	write(v, REG_DRIVER_FEATURES_SELECT, 0);
	write(v, REG_DRIVER_FEATURES, v->features);
	write(v, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	return (v->features & VIRTIO_F_VERSION_1) && (read(v, REG_STATUS) & STATUS_FEATURES_OK);
}

bool virtio_open(struct virtio *v, u32 id, u64 wanted)
{
	for (u32 i = 0; i < place_count; i++) {
		*v = (struct virtio){.registers = (volatile u32 *)places[i].base, .id = id, .irq = places[i].irq};
		if (read(v, REG_MAGIC) != MAGIC || read(v, REG_VERSION) != VERSION || read(v, REG_DEVICE_ID) != id)
			continue;
		if (agree(v, wanted))
			return true;
		virtio_fail(v);
		return false;
	}
	return false;
}

bool virtio_offers(const struct virtio *v, u64 feature) { return v->features & feature; }

bool virtio_ring(struct virtio *v, u32 number, u32 size, struct ring *r)
{
	write(v, REG_QUEUE_SELECT, number);
	u32 most = read(v, REG_QUEUE_SIZE_MAX);
	if (!most)
		return false;
	if (most > RING_MAX)
		most = RING_MAX;
	while (size > most)
		size /= 2;
	*r = (struct ring){.notify = v->registers + REG_QUEUE_NOTIFY / 4, .number = number, .device = v->id,
		.event_index = v->features & VIRTIO_F_EVENT_INDEX};
	ring_init(r, size, v->features & VIRTIO_F_INDIRECT);
	write(v, REG_QUEUE_SIZE, size);
	write64(v, REG_QUEUE_DESCRIPTORS, r->descriptors);
	write64(v, REG_QUEUE_DRIVER, r->available);
	write64(v, REG_QUEUE_DEVICE, r->used);
	write(v, REG_QUEUE_READY, 1);
	v->rings[v->ring_count++] = r;
	return true;
}

void virtio_go(struct virtio *v, u32 vector)
{
	if (!ioapic_route(v->irq, vector)) {
		struct line l = {0};
		line_str(&l, "WARN no interrupt pin ");
		line_dec(&l, v->irq);
		line_send(&l);
	}
	write(v, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

void virtio_acknowledge(const struct virtio *v) { write(v, REG_INTERRUPT_ACKNOWLEDGE, read(v, REG_INTERRUPT_STATUS)); }

u32 virtio_status(const struct virtio *v) { return read(v, REG_STATUS); }

void virtio_fail(const struct virtio *v) { write(v, REG_STATUS, STATUS_FAILED); }

u8 virtio_config8(const struct virtio *v, u32 offset) { return ((volatile u8 *)v->registers)[REG_CONFIG + offset]; }

u32 virtio_config32(const struct virtio *v, u32 offset) { return read(v, REG_CONFIG + offset); }

u64 virtio_config64(const struct virtio *v, u32 offset)
{
	u64 value;
	u32 generation;
	do {
		generation = read(v, REG_CONFIG_GENERATION);
		value = read(v, REG_CONFIG + offset) | (u64)read(v, REG_CONFIG + offset + 4) << 32;
	} while (generation != read(v, REG_CONFIG_GENERATION));
	return value;
}

void virtio_config_set32(const struct virtio *v, u32 offset, u32 value) { write(v, REG_CONFIG + offset, value); }
