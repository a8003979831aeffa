/* blkverify=1: numbered, checksummed records, written at random places of the disk, read back and compared. */
#ifndef BLKVERIFY_H
#define BLKVERIFY_H

#include "blk.h"

extern const struct blk_work blkverify_work;

#endif
