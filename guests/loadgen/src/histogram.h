/* How often something took how long: four buckets an octave, from 2 us on. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include "base.h"

#define HISTOGRAM_BUCKETS 128
#define HISTOGRAM_LEAST_NS (1ul << 11) /* what took less is in the first bucket */

u32 histogram_bucket(u64 ns);

/* The quantiles of what was counted since the counts were as told, which they are made again. The upper ends of buckets; 0: nothing. */
void histogram_quantiles(const u32 *counts, u32 *told, u64 *p50_us, u64 *p99_us);

u64 histogram_bucket_us(u32 bucket); /* its upper end */

#endif
