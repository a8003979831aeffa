/* blkload=: the disk as fast as it goes. */
#ifndef BLKLOAD_H
#define BLKLOAD_H

#include "blk.h"

enum blkload { BLKLOAD_NONE, BLKLOAD_RANDREAD, BLKLOAD_RANDWRITE, BLKLOAD_SEQREAD, BLKLOAD_SEQWRITE };

const struct blk_work *blkload_work(void);

#endif
