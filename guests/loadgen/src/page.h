/* The content of an owned page: a function of (seed, kind of data, page number, generation), so that a check needs
 * no trust in the page: every one of its 4096 bytes has one right value. */
#ifndef PAGE_H
#define PAGE_H

#include "base.h"

#define PAGE_SIZE 4096ul

enum data { DATA_RANDOM, DATA_TEXT, DATA_HALF, DATA_MIXED };

/* What a page says about itself (the first words), and the checksum of what it really holds. */
struct page_view {
	u64 page, generation, sum;
};

void page_init(u64 seed, enum data data);
void page_write(u64 *p, u64 page, u32 generation);
bool page_right(const u64 *p, u64 page, u32 generation);
void page_expected(u64 page, u32 generation, struct page_view *v);
void page_found(const u64 *p, struct page_view *v);

#endif
