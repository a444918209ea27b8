/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/watch.h"
#include "common/cleanup.h"

struct look {
	struct bufshare_buffer_info *infos; /* in the order of their ids */
	size_t n, at; /* at: the first one that is not compared yet */
};

struct watch {
	struct bufshare_device *dev;
	uint64_t interval_ns, due_ns;
	struct look before, now;
	bool comparing, synced;
};

void watch_free(struct watch *w)
{
	if (!w)
		return;
	free(w->before.infos);
	free(w->now.infos);
	free(w);
}

static int look(struct bufshare_device *dev, struct look *l)
{
	_cleanup_free_ struct bufshare_buffer_info *infos = NULL;
	_cleanup_free_ uint64_t *ids = NULL;
	size_t n, i, found = 0;
	int r;

	r = bufshare_device_list_buffers(dev, 1, &ids, &n);
	if (r < 0)
		return r;
	infos = calloc(n + 1, sizeof(*infos));
	if (!infos)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		if (bufshare_device_get_buffer_info(dev, ids[i], &infos[found]) == 0)
			found++; /* the others are gone since */
	*l = (struct look){ .infos = steal_ptr(&infos), .n = found };
	return 0;
}

int watch_new(struct bufshare_device *dev, uint64_t interval_ns, struct watch **w)
{
	_cleanup_free_ uint64_t *ids = NULL;
	struct watch *new;
	size_t n;
	int r;

	r = bufshare_device_list_buffers(dev, 1, &ids, &n);
	if (r < 0)
		return r;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->dev = dev;
	new->interval_ns = interval_ns;
	*w = new;
	return 0;
}

uint64_t watch_due(const struct watch *w)
{
	return w->due_ns;
}

static void set_event(struct bufshare_event *ev, uint32_t type, const struct bufshare_buffer_info *info)
{
	*ev = (struct bufshare_event){ .type = type, .time_ns = now_ns() };
	if (info)
		ev->buffer_id = info->id;
}

/* The next difference of the same buffer, which is none from then on. */
static bool differs(struct bufshare_buffer_info *before, const struct bufshare_buffer_info *now,
		    struct bufshare_event *ev)
{
	if (now->seq != before->seq) {
		set_event(ev, BUFSHARE_EVENT_UPDATED, now);
		ev->seq = before->seq = now->seq;
	} else if (now->released != before->released) {
		set_event(ev, BUFSHARE_EVENT_RELEASED, now);
		ev->seq = before->released = now->released;
	} else if (now->consumers != before->consumers) {
		set_event(ev, BUFSHARE_EVENT_CONSUMERS, now);
		ev->value = before->consumers = now->consumers;
	} else if (now->lost != before->lost) {
		set_event(ev, BUFSHARE_EVENT_BUFFER_LOST, now);
		ev->value = UINT64_MAX;
		before->lost = now->lost;
	} else {
		return false;
	}
	return true;
}

/* Whether there is another difference of the two looks. */
static bool compare(struct watch *w, struct bufshare_event *ev, struct bufshare_buffer_info *info)
{
	struct look *before = &w->before, *now = &w->now;

	while (before->at < before->n || now->at < now->n) {
		struct bufshare_buffer_info *b = &before->infos[before->at];
		struct bufshare_buffer_info *n = &now->infos[now->at];

		if (now->at == now->n || (before->at < before->n && b->id < n->id)) {
			set_event(ev, BUFSHARE_EVENT_REMOVED, b);
			ev->value = UINT64_MAX;
			*info = *b;
			before->at++;
			return true;
		}
		*info = *n;
		if (before->at == before->n || n->id < b->id) {
			set_event(ev, BUFSHARE_EVENT_ADDED, n);
			ev->seq = n->seq;
			now->at++;
			return true;
		}
		if (differs(b, n, ev))
			return true;
		before->at++;
		now->at++;
	}
	return false;
}

int watch_next(struct watch *w, struct bufshare_event *ev, struct bufshare_buffer_info *info)
{
	int r;

	memset(info, 0, sizeof(*info));
	if (!w->comparing) {
		if (now_ns() < w->due_ns)
			return -EAGAIN;
		r = look(w->dev, &w->now);
		if (r < 0)
			return r;
		w->comparing = true;
	}
	if (compare(w, ev, info))
		return 0;
	memset(info, 0, sizeof(*info));
	free(w->before.infos);
	w->before = (struct look){ .infos = w->now.infos, .n = w->now.n };
	w->now = (struct look){ 0 };
	w->comparing = false;
	w->due_ns = now_ns() + w->interval_ns;
	if (w->synced)
		return -EAGAIN;
	w->synced = true;
	set_event(ev, BUFSHARE_EVENT_SYNCED, NULL);
	return 0;
}
