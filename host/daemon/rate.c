/* SPDX-License-Identifier: MIT */
#include "host/daemon/rate.h"

#define NS_PER_S 1000000000ull

uint64_t rate_wait(const struct rate *rate, uint64_t now_ns)
{
	const uint64_t latest = now_ns + RATE_BURST_NS;

	return rate->per_second && rate->next_ns > latest ? rate->next_ns - latest : 0;
}

void rate_count(struct rate *rate, uint64_t now_ns)
{
	if (!rate->per_second)
		return;
	if (rate->next_ns < now_ns)
		rate->next_ns = now_ns;
	rate->next_ns += NS_PER_S / rate->per_second;
}
