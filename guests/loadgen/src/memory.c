#include "memory.h"
#include "panic.h"

#define MAX_RANGES 16
#define GIB (1ul << 30)
#define HUGE (2ul << 20)
#define MAP_TABLE 0x7   /* present, writable, user */
#define MAP_HUGE 0x87
#define MAP_UNCACHED 0x18

#define START_MAGIC 0x336ec578
#define RAM 1

/* The start of a PVH guest: Xen's hvm_start_info, version 1. */
struct start {
	u32 magic, version, flags, modules;
	u64 module_list, cmdline, rsdp, memmap;
	u32 entries, reserved;
};
struct map_entry {
	u64 addr, size;
	u32 type, reserved;
};

static struct range {
	u64 addr, pages;
} ranges[MAX_RANGES];
static u32 range_count;
static u64 owned;
static u32 *generations; /* of all owned pages; each CPU's part begins on a page of its own */

extern u64 pdpt[512];

static bool has_memory(u64 gib)
{
	for (u32 i = 0; i < range_count; i++) {
		u64 from = ranges[i].addr, to = from + ranges[i].pages * PAGE_SIZE;
		if (from < (gib + 1) * GIB && to > gib * GIB)
			return true;
	}
	return false;
}

static void map(u64 gib)
{
	u64 *table = (u64 *)(TABLES_BASE + (gib << 12));
	for (u64 i = 0; i < 512; i++) {
		u64 addr = gib * GIB + i * HUGE;
		bool device = addr >= MMIO_BASE && addr < 4 * GIB;
		table[i] = addr | MAP_HUGE | (device ? MAP_UNCACHED : 0);
	}
	barrier(); /* a full table, then the link to it */
	pdpt[gib] = (u64)table | MAP_TABLE;
}

void memory_map_low(void)
{
	for (u64 gib = 1; gib < 4; gib++)
		map(gib);
}

void memory_probe(u32 start_info)
{
	const struct start *s = (const struct start *)(u64)start_info;
	if (s->magic != START_MAGIC || s->version < 1 || !s->memmap)
		give_up("no PVH memory map");
	const struct map_entry *e = (const struct map_entry *)s->memmap;
	for (u32 i = 0; i < s->entries && range_count < MAX_RANGES; i++) {
		if (e[i].type != RAM)
			continue;
		u64 from = (e[i].addr + PAGE_SIZE - 1) & -PAGE_SIZE, to = (e[i].addr + e[i].size) & -PAGE_SIZE;
		if (from < OWNED_BASE)
			from = OWNED_BASE;
		if (to > MAX_GIB * GIB)
			to = MAX_GIB * GIB;
		if (from < to)
			ranges[range_count++] = (struct range){from, (to - from) / PAGE_SIZE};
	}
	if (!range_count)
		give_up("no memory above 2 MiB");
	for (u64 gib = 4; gib < MAX_GIB; gib++)
		if (has_memory(gib))
			map(gib);
}

/* Takes whole pages from the front of the first range that has so many in one piece. */
static void *take(u64 pages)
{
	for (u32 i = 0; i < range_count; i++)
		if (ranges[i].pages >= pages) {
			void *p = (void *)ranges[i].addr;
			ranges[i].addr += pages * PAGE_SIZE;
			ranges[i].pages -= pages;
			return p;
		}
	give_up("too little memory in one piece");
}

void *memory_take(u64 bytes)
{
	u64 pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
	return memset(take(pages), 0, pages * PAGE_SIZE);
}

#define PER_PAGE (PAGE_SIZE / 4) /* generations in a page */

/* Each range gives in proportion to its size, so that a large guest has pages on both sides of the hole. */
static void spread(void)
{
	u64 all = 0, left = owned;
	for (u32 i = 0; i < range_count; i++)
		all += ranges[i].pages;
	for (u32 i = 0; i < range_count; i++) {
		u64 size = ranges[i].pages;
		u64 part = (left * size + all - 1) / all; /* of what is left, so that it comes out even; at most size */
		ranges[i].pages = part;
		left -= part;
		all -= size;
		if (!all)
			break;
	}
}

u64 memory_claim(u64 wanted, u32 cpus)
{
	u64 all = 0;
	for (u32 i = 0; i < range_count; i++)
		all += ranges[i].pages;
	u64 most = (all - 2 * cpus) * PER_PAGE / (PER_PAGE + 1);
	owned = wanted < most ? wanted : most;
	generations = take(owned / PER_PAGE + 2 * cpus);
	spread();
	return owned;
}

void memory_share(struct cpu *c, u32 cpus, u64 working_set)
{
	u64 end = owned * (c->index + 1) / cpus;
	c->first = owned * c->index / cpus;
	c->pages = end - c->first;
	c->set = working_set / cpus;
	if (c->set > c->pages)
		c->set = c->pages;
	if (!c->set)
		c->set = 1;
	/* The first share rounds up to at most owned/cpus + 1 pages, so these slices do not meet. */
	u64 slice = (owned / cpus / PER_PAGE + 2) * PER_PAGE;
	c->generations = generations + slice * c->index;
}

u64 *memory_page(u64 page)
{
	for (u32 i = 0;; i++) {
		if (page < ranges[i].pages)
			return (u64 *)(ranges[i].addr + page * PAGE_SIZE);
		page -= ranges[i].pages;
	}
}
