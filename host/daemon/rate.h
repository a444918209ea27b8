/* SPDX-License-Identifier: MIT */
/*
 * So many messages a second, with a few at once that were saved up: whoever sends more has
 * to wait, and loses nothing.
 */
#ifndef BUFSHARE_DAEMON_RATE_H
#define BUFSHARE_DAEMON_RATE_H

#include <stdint.h>

/* How much can be saved up: what is for this long. */
#define RATE_BURST_NS 100000000ull

struct rate {
	uint32_t per_second; /* 0: without limit */
	uint64_t next_ns; /* when the next message is due, were they evenly spread */
};

/* For how long the next message has to wait; 0: it is within the limit. */
uint64_t rate_wait(const struct rate *rate, uint64_t now_ns);

/* There was one. */
void rate_count(struct rate *rate, uint64_t now_ns);

#endif /* BUFSHARE_DAEMON_RATE_H */
