/* SPDX-License-Identifier: MIT */
/*
 * What verbs of the host that look on have in common: they give back at once what they
 * are given, so that nobody waits for them.
 */
#include <errno.h>
#include <string.h>

#include "cli/host-events.h"
#include "common/cleanup.h"

#define STATS_TIMEOUT_NS 5000000000ull

int host_look_on(struct bufshare_host *host, struct bufshare_event *ev)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	int r;

	r = bufshare_host_read_event(host, ev);
	if (r == 0 && ev->type == BUFSHARE_EVENT_UPDATED &&
	    bufshare_host_get_buffer(host, ev->buffer_id, &buf) == 0)
		bufshare_host_buffer_release(buf, ev->seq);
	return r;
}

struct json_object *host_damage(const struct bufshare_host_buffer *buf)
{
	struct json_object *all = json_object_new_array();
	const struct bufshare_rect *rects;
	size_t n = 0, i;

	if (bufshare_host_buffer_get_damage(buf, &rects, &n) < 0)
		return all;
	for (i = 0; i < n; i++) {
		struct json_object *one = json_object_new_array();

		json_object_array_add(one, json_object_new_uint64(rects[i].x));
		json_object_array_add(one, json_object_new_uint64(rects[i].y));
		json_object_array_add(one, json_object_new_uint64(rects[i].width));
		json_object_array_add(one, json_object_new_uint64(rects[i].height));
		json_object_array_add(all, one);
	}
	return all;
}

int host_ask_stats(struct ctl *ctl, struct bufshare_host *host,
		   void (*take)(void *data, const struct bufshare_event *ev), void *data)
{
	const uint64_t deadline = now_ns() + STATS_TIMEOUT_NS;
	struct bufshare_event ev;
	int r;

	r = bufshare_host_request_stats(host);
	while (r == 0) {
		r = host_look_on(host, &ev);
		if (r == 0) {
			if (ev.type == BUFSHARE_EVENT_STATS || ev.type == BUFSHARE_EVENT_CONSUMER)
				take(data, &ev);
			if (ev.type == BUFSHARE_EVENT_STATS && !ev.buffer_id)
				return 0;
		} else if (r == -EAGAIN) {
			r = wait_for(ctl, bufshare_host_get_fd(host), deadline);
			r = r > 0 ? 0 : r == 0 ? -ETIMEDOUT : r;
		}
	}
	return r;
}
