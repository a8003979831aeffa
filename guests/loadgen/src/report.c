#include "report.h"
#include "serial.h"

#define PORT_READY 0x3f0
#define WRONG 0xc0
#define MOST_LINES 100 /* a CPU; the rest is only counted */

void report_wrong(void) { out8(PORT_READY, WRONG); }

/* Counts and tells whether a line is due. */
static bool count(struct cpu *c)
{
	report_wrong();
	u64 n = ++c->corrupt;
	if (n == MOST_LINES + 1) {
		struct line l = {0};
		line_str(&l, "WARN further corruption is only counted, cpu=");
		line_dec(&l, c->index);
		line_send(&l);
	}
	return n <= MOST_LINES;
}

static void view(struct line *l, const char *name, const struct page_view *v)
{
	line_str(l, name);
	line_dec(l, v->page);
	line_str(l, ".");
	line_dec(l, v->generation);
	line_str(l, ".");
	line_hex(l, v->sum);
}

void report_corrupt_page(struct cpu *c, const char *what, const u64 *p, u64 page, u32 generation)
{
	struct page_view expected, found;
	page_expected(page, generation, &expected);
	page_found(p, &found); /* before the line is written: that takes time */
	if (!count(c))
		return;
	struct line l = {0};
	line_str(&l, "CORRUPT page=");
	line_str(&l, what);
	line_dec(&l, page);
	view(&l, " expected=", &expected);
	view(&l, " got=", &found);
	line_send(&l);
}

void report_corrupt_value(struct cpu *c, const char *what, u64 which, u64 expected, u64 got)
{
	if (!count(c))
		return;
	struct line l = {0};
	line_str(&l, "CORRUPT page=");
	line_str(&l, what);
	line_dec(&l, which);
	line_str(&l, " expected=");
	line_hex(&l, expected);
	line_str(&l, " got=");
	line_hex(&l, got);
	line_send(&l);
}
