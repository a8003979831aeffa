/* So many a second, and what was missed in the last 20 ms made up for. */
#ifndef PACE_H
#define PACE_H

#include "base.h"

struct pace {
	u64 per_second; /* 0: any number */
	u64 saved;      /* 10^9 for each that is due */
	u64 then;       /* ns */
};

INLINE void pace_earn(struct pace *p, u64 now)
{
	u64 most = p->per_second * 20000000 + 1000000000;
	p->saved += p->per_second * (now - p->then < 20000000 ? now - p->then : 20000000);
	p->then = now;
	if (p->saved > most)
		p->saved = most;
}

INLINE bool pace_spend(struct pace *p)
{
	if (!p->per_second)
		return true;
	if (p->saved < 1000000000)
		return false;
	p->saved -= 1000000000;
	return true;
}

#endif
