/* Random order: a generator of 64-bit words whose state must not be zero. */
#ifndef RANDOM_H
#define RANDOM_H

#include "base.h"

INLINE u64 random_next(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

INLINE u64 random_below(u64 *state, u64 span) { return (u64)((unsigned __int128)random_next(state) * span >> 64); }

#endif
