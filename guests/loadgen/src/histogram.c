#include "histogram.h"

#define LEAST_OCTAVE 11

_Static_assert(1ul << LEAST_OCTAVE == HISTOGRAM_LEAST_NS, "histogram.h");

u32 histogram_bucket(u64 ns)
{
	if (ns < HISTOGRAM_LEAST_NS)
		return 0;
	u32 octave = 63 - __builtin_clzl(ns);
	u32 b = (octave - LEAST_OCTAVE) * 4 + (ns >> (octave - 2) & 3);
	return b < HISTOGRAM_BUCKETS ? b : HISTOGRAM_BUCKETS - 1;
}

u64 histogram_bucket_us(u32 b) { return ((u64)(b % 4 + 5) << (b / 4 + LEAST_OCTAVE - 2)) / 1000; }

void histogram_quantiles(const u32 *counts, u32 *told, u64 *p50_us, u64 *p99_us)
{
	u64 all = 0, below = 0;
	for (u32 b = 0; b < HISTOGRAM_BUCKETS; b++)
		all += counts[b] - told[b];
	*p50_us = *p99_us = 0;
	for (u32 b = 0; b < HISTOGRAM_BUCKETS; b++) {
		if (counts[b] == told[b])
			continue;
		below += counts[b] - told[b];
		told[b] = counts[b];
		if (!*p50_us && below * 2 >= all)
			*p50_us = histogram_bucket_us(b);
		if (!*p99_us && below * 100 >= all * 99)
			*p99_us = histogram_bucket_us(b);
	}
}
