/* SPDX-License-Identifier: MIT */
#ifndef CLI_HOST_EVENTS_H
#define CLI_HOST_EVENTS_H

#include "cli/cli.h"

/* bufshare_host_read_event(), and an update is given back. */
int host_look_on(struct bufshare_host *host, struct bufshare_event *ev);

/* The damage of a buffer's last update: an array of arrays x, y, width, height. */
struct json_object *host_damage(const struct bufshare_host_buffer *buf);

/*
 * Asks the daemon for its counters, and calls take for each STATS and CONSUMER event. 0, or
 * a negative errno: -EINTR when somebody wants us to end, -ETIMEDOUT.
 */
int host_ask_stats(struct ctl *ctl, struct bufshare_host *host,
		   void (*take)(void *data, const struct bufshare_event *ev), void *data);

#endif /* CLI_HOST_EVENTS_H */
