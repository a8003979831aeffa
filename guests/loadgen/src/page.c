#include "page.h"

#define WORDS (PAGE_SIZE / 8)
#define GOLDEN 0x9e3779b97f4a7c15ul

/* Words 0 to 3 of a page: mark, page number, generation, checksum of all other words. */
#define HEADER 4

enum kind { KIND_RANDOM, KIND_TEXT, KIND_HALF, KIND_SPARSE };

static u64 seed_key, mark;
static enum data data_kind;

/* 64 words of eight letters each, for text that compresses like text. */
static const char dictionary[] __attribute__((aligned(8))) =
	"the page" " and the" " memory " "of guest" "migrates" "running " "without " "a pause "
	"between " "machines" " in less" " than a " "second, " "because " "whatever" "is dirty"
	" is sent" " again. " "Nothing " "is lost " "and what" "arrives " "is check" "ed here."
	" A stale" " copy of" " a block" " must be" " noticed" ", always" ". When t" "he link "
	"is slow " "it takes" " longer;" " when it" " breaks " "the move" " begins " "anew at "
	"the same" " place. " "Numbers " "follow: " "written " "verified" ", corrup" "t, lost "
	"doubled," " counted" " by one " "witness " "who lies" " inside." " It sees" " its own"
	" bytes, " "its time" ", and no" "thing el" "se. Thus" " it will" " be just" ".\nAgain ";

_Static_assert(sizeof(dictionary) == 64 * 8 + 1, "indexed by six bits");

INLINE u64 mix(u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ul;
	x ^= x >> 29;
	x *= 0xff51afd7ed558ccdul;
	return x ^ x >> 32;
}

INLINE u64 random_word(u64 key, u64 i)
{
	u64 x = key + i * GOLDEN;
	x ^= x >> 31;
	x *= 0xbf58476d1ce4e5b9ul;
	return x ^ x >> 28;
}

/* Words from the dictionary and, in turn, sixteen letters by chance. */
INLINE u64 text_word(u64 key, u64 i)
{
	u64 x = random_word(key, i);
	if (!(i & 1)) {
		const u64 *words = (const u64 *)dictionary;
		return words[x >> 58];
	}
	x &= 0xffffffff;
	x = (x | x << 16) & 0x0000ffff0000fffful;
	x = (x | x << 8) & 0x00ff00ff00ff00fful;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0ful;
	return x + 0x6161616161616161ul;
}

INLINE u64 word(enum kind kind, u64 key, u64 i)
{
	switch (kind) {
	case KIND_RANDOM:
		return random_word(key, i);
	case KIND_TEXT:
		return text_word(key, i);
	case KIND_HALF:
		return i < WORDS / 2 ? random_word(key, i) : 0;
	default:
		return 0;
	}
}

/* Depends on the order of the words. */
INLINE u64 fold(u64 w, u64 i) { return (w ^ w >> 29) * (2 * i + GOLDEN); }

INLINE u64 sum_of_header(u64 page, u64 generation)
{
	return fold(mark, 0) + fold(page, 1) + fold(generation, 2);
}

INLINE u64 fill(u64 *p, enum kind kind, u64 key, u64 sum)
{
	for (u64 i = HEADER; i < WORDS; i++) {
		u64 w = word(kind, key, i);
		sum += fold(w, i);
		if (p)
			p[i] = w;
	}
	return sum;
}

INLINE bool same(const u64 *p, enum kind kind, u64 key, u64 sum)
{
	u64 wrong = 0;
	for (u64 i = HEADER; i < WORDS; i++) {
		u64 w = word(kind, key, i);
		wrong |= p[i] ^ w;
		sum += fold(w, i);
	}
	return !(wrong | (p[3] ^ sum));
}

static u64 key_of(u64 page, u32 generation) { return mix(mix(seed_key ^ page) + generation); }

static enum kind kind_of(u64 page)
{
	switch (data_kind) {
	case DATA_TEXT:
		return KIND_TEXT;
	case DATA_HALF:
		return KIND_HALF;
	case DATA_MIXED:
		return mix(page + seed_key) & 3;
	default:
		return KIND_RANDOM;
	}
}

void page_init(u64 seed, enum data data)
{
	seed_key = mix(seed + GOLDEN);
	mark = 0x4547415059524546ul ^ seed; /* "FERYPAGE" with seed 0 */
	data_kind = data;
}

static u64 content(u64 *p, u64 page, u32 generation)
{
	u64 key = key_of(page, generation), sum = sum_of_header(page, generation);
	switch (kind_of(page)) {
	case KIND_RANDOM:
		return fill(p, KIND_RANDOM, key, sum);
	case KIND_TEXT:
		return fill(p, KIND_TEXT, key, sum);
	case KIND_HALF:
		return fill(p, KIND_HALF, key, sum);
	default:
		return fill(p, KIND_SPARSE, key, sum);
	}
}

void page_write(u64 *p, u64 page, u32 generation)
{
	p[0] = mark;
	p[1] = page;
	p[2] = generation;
	p[3] = content(p, page, generation);
}

bool page_right(const u64 *p, u64 page, u32 generation)
{
	if (p[0] != mark || p[1] != page || p[2] != generation)
		return false;
	u64 key = key_of(page, generation), sum = sum_of_header(page, generation);
	switch (kind_of(page)) {
	case KIND_RANDOM:
		return same(p, KIND_RANDOM, key, sum);
	case KIND_TEXT:
		return same(p, KIND_TEXT, key, sum);
	case KIND_HALF:
		return same(p, KIND_HALF, key, sum);
	default:
		return same(p, KIND_SPARSE, key, sum);
	}
}

void page_expected(u64 page, u32 generation, struct page_view *v)
{
	v->page = page;
	v->generation = generation;
	v->sum = content(NULL, page, generation);
}

void page_found(const u64 *p, struct page_view *v)
{
	v->page = p[1];
	v->generation = p[2];
	v->sum = 0;
	for (u64 i = 0; i < WORDS; i++)
		if (i != 3)
			v->sum += fold(p[i], i);
}
