/* SPDX-License-Identifier: MIT */
/*
 * What happens to the buffers of all programs of the guest. The driver tells a program of
 * its own buffers only, so root looks at all of them again and again; what comes and goes
 * between two looks is not seen.
 */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/cli.h"

struct watch;

void watch_free(struct watch *w);

/* The device must stay as long as it. -EACCES: the program is not root. */
int watch_new(struct bufshare_device *dev, uint64_t interval_ns, struct watch **w);

/*
 * The next thing that was found, and the buffer as it is (all 0 if it is not about one):
 * ADDED, SYNCED once after those of the first look, UPDATED, RELEASED, CONSUMERS,
 * BUFFER_LOST and REMOVED, the last two for a reason that nobody tells. -EAGAIN: nothing
 * until watch_due().
 */
int watch_next(struct watch *w, struct bufshare_event *ev, struct bufshare_buffer_info *info);

/* When to look again, CLOCK_MONOTONIC. */
uint64_t watch_due(const struct watch *w);

#endif /* CLI_WATCH_H */
