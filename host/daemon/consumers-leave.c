/* SPDX-License-Identifier: MIT */
/*
 * Buffers that leave a consumer's sight: what it is told, and when it has let go of them.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "host/daemon/consumers-internal.h"

/*
 * Whether it is to hear that the buffer left: if it ever heard of it, and not that it left
 * before. Its slot is still there.
 */
static bool leave(struct view *v, uint32_t reason)
{
	if (!v->told || v->removed) {
		v->slot->mapped = v->owed;
		return false;
	}
	v->removed = true;
	v->reason = reason;
	if (v->slot->mapped)
		v->owed++;
	return true;
}

static void move_to_leaving(struct view *v)
{
	view_take_out(v);
	v->gone = true;
	TAILQ_INSERT_TAIL(&v->c->leaving, v, link);
}

void view_hide(struct view *v)
{
	struct consumer *c = v->c;
	bool tell = leave(v, VIRTIO_BUFSHARE_REASON_UNREGISTERED);

	if (v->slot->mapped) {
		move_to_leaving(v);
		dev_hide(v->slot);
	} else {
		dev_detach(v->slot, false); /* frees it when there is nothing to tell */
	}
	if (tell)
		consumer_queue(c, &v->out);
}

/*
 * An id can name several: the same buffer that came into sight again, or one of another
 * epoch. It is the oldest that counts, so that none counts as closed before it is.
 */
void view_closed(struct consumer *c, uint64_t id)
{
	struct view *v;

	TAILQ_FOREACH(v, &c->leaving, link)
		if (v->id == id && v->owed)
			break;
	if (!v) {
		/* Of the time before it came into sight again, perhaps. */
		v = view_find(c, id);
		if (v && v->owed)
			v->owed--;
		return;
	}
	if (--v->owed == 0 && v->slot)
		dev_detach(v->slot, false);
}

void views_void(struct consumer *c)
{
	struct view *v, *next;

	for (v = TAILQ_FIRST(&c->views); v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (!v->slot)
			view_free(v);
	}
	for (v = TAILQ_FIRST(&c->leaving); v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (!v->slot) {
			view_free(v);
			continue;
		}
		/* It says CLOSED all the same. */
		v->removed = false;
		consumer_unqueue(c, &v->out);
		snapshot_unref(steal_ptr(&v->told));
	}
}

static void views_end_list(struct view *v)
{
	struct view *next;

	for (; v; v = next) {
		next = TAILQ_NEXT(v, link);
		v->removed = false;
		if (v->slot)
			dev_detach(v->slot, true);
		else
			view_free(v);
	}
}

void views_end(struct consumer *c)
{
	views_end_list(TAILQ_FIRST(&c->views));
	views_end_list(TAILQ_FIRST(&c->leaving));
}

void consumers_removed(struct consumers *cs, struct dev_buffer *b, uint32_t reason)
{
	struct dev_slot *slot;

	LIST_FOREACH(slot, &b->slots, link) {
		struct view *v = slot->consumer;

		if (slot->hidden)
			continue;
		if (leave(v, reason))
			consumer_queue(v->c, &v->out);
		if (slot->mapped)
			move_to_leaving(v);
	}
}
