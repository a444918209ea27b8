/* SPDX-License-Identifier: MIT */
/*
 * Buffers, their release cycle, and the events for the guest.
 */
#include <endian.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/device.h"
#include "host/daemon/device-internal.h"

/* Seconds that consumers have to let go of a buffer's pages. */
#define UNREGISTER_TICKS 3

void dev_init(struct dev *dev, const struct dev_ops *ops, void *data,
	      const struct dev_limits *limits, uint64_t caps)
{
	*dev = (struct dev){ .ops = ops, .data = data, .limits = *limits, .offered_caps = caps };
	TAILQ_INIT(&dev->buffers);
	TAILQ_INIT(&dev->lost);
	TAILQ_INIT(&dev->dying);
	TAILQ_INIT(&dev->eventful);
}

static int compare_ids(const void *a, const void *b)
{
	const struct dev_buffer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

struct dev_buffer *dev_find(struct dev *dev, uint64_t id)
{
	struct dev_buffer key = { .id = id };
	struct dev_buffer **found = tfind(&key, &dev->tree, compare_ids);

	return found ? *found : NULL;
}

int dev_insert(struct dev *dev, struct dev_buffer *buffer)
{
	if (!tsearch(buffer, &dev->tree, compare_ids))
		return -ENOMEM;
	buffer->dev = dev;
	TAILQ_INSERT_TAIL(&dev->buffers, buffer, link);
	dev->num_buffers++;
	dev->total_size += buffer->size;
	return 0;
}

void dev_buffer_free(struct dev_buffer *buffer)
{
	if (!buffer)
		return;
	props_clear(&buffer->guest);
	props_clear(&buffer->host);
	free(buffer->ranges);
	free(buffer);
}

/* ---- damage ---- */

static void bounding_box(struct dev_rect *box, const struct dev_rect *r)
{
	uint64_t right = (uint64_t)box->x + box->width, bottom = (uint64_t)box->y + box->height;
	uint64_t r_right = (uint64_t)r->x + r->width, r_bottom = (uint64_t)r->y + r->height;

	if (r_right > right)
		right = r_right;
	if (r_bottom > bottom)
		bottom = r_bottom;
	if (r->x < box->x)
		box->x = r->x;
	if (r->y < box->y)
		box->y = r->y;
	/* Edges beyond 32 bits can only be nonsense; they are cut off there. */
	box->width = right - box->x > UINT32_MAX ? UINT32_MAX : (uint32_t)(right - box->x);
	box->height = bottom - box->y > UINT32_MAX ? UINT32_MAX : (uint32_t)(bottom - box->y);
}

static bool same_rect(const struct dev_rect *a, const struct dev_rect *b)
{
	return a->x == b->x && a->y == b->y && a->width == b->width && a->height == b->height;
}

static void add_rect(struct dev_damage *to, const struct dev_rect *r)
{
	unsigned int i;

	for (i = 0; i < to->n; i++)
		if (same_rect(&to->v[i], r))
			return;
	if (to->n < ARRAY_SIZE(to->v)) {
		to->v[to->n++] = *r;
		return;
	}
	for (i = 1; i < to->n; i++)
		bounding_box(&to->v[0], &to->v[i]);
	to->n = 1;
	bounding_box(&to->v[0], r);
}

void dev_damage_add(struct dev_damage *to, const struct dev_damage *damage)
{
	unsigned int i;

	if (damage->all)
		*to = (struct dev_damage){ .all = true };
	for (i = 0; !to->all && i < damage->n; i++)
		add_rect(to, &damage->v[i]);
}

/* ---- events for the guest ---- */

static void tell(struct dev_buffer *buffer)
{
	struct dev *dev = buffer->dev;

	if (buffer->dying && !buffer->lost)
		return;
	if (!buffer->eventful) {
		buffer->eventful = true;
		TAILQ_INSERT_TAIL(&dev->eventful, buffer, event_link);
	}
	dev->ops->events(dev->data);
}

static void tell_nothing(struct dev_buffer *buffer)
{
	if (buffer->eventful)
		TAILQ_REMOVE(&buffer->dev->eventful, buffer, event_link);
	buffer->eventful = false;
}

bool dev_next_event(struct dev *dev, struct virtio_bufshare_event *event)
{
	struct dev_buffer *b = TAILQ_FIRST(&dev->eventful);

	if (!b)
		return false;

	memset(event, 0, sizeof(*event));
	event->epoch = htole64(dev->epoch);
	event->buffer = htole64(b->id);
	if (b->tell_released) {
		event->type = htole32(VIRTIO_BUFSHARE_EVENT_RELEASED);
		event->seq = htole64(b->released);
		event->flags = htole32(b->released_flags);
		b->tell_released = false;
		b->released_flags = 0;
	} else if (b->tell_consumers) {
		event->type = htole32(VIRTIO_BUFSHARE_EVENT_CONSUMERS);
		event->value = htole64(b->consumers);
		b->tell_consumers = false;
	} else if (b->tell_properties) {
		event->type = htole32(VIRTIO_BUFSHARE_EVENT_PROPERTIES);
		event->value = htole64(b->properties_generation);
		b->tell_properties = false;
	} else {
		event->type = htole32(VIRTIO_BUFSHARE_EVENT_BUFFER_LOST);
		event->value = htole64(b->lost_reason);
		b->tell_lost = false;
	}
	if (!b->tell_released && !b->tell_consumers && !b->tell_properties && !b->tell_lost)
		tell_nothing(b);
	return true;
}

/* ---- the release cycle ---- */

/*
 * Every update is released that no consumer holds or is still to be given. Flags say why,
 * if it was for another reason than that the consumers are done.
 */
static void check_released(struct dev_buffer *b, uint32_t flags)
{
	uint64_t upto = b->seq;
	struct dev_slot *slot;

	if (b->dying)
		return;
	LIST_FOREACH(slot, &b->slots, in_buffer) {
		uint64_t first = slot->held ? slot->held : slot->pending;

		if (first && first - 1 < upto)
			upto = first - 1;
	}
	if (upto <= b->released)
		return;
	b->released = upto;
	b->released_flags |= flags;
	b->tell_released = true;
	tell(b);
}

void dev_flush(struct dev_slot *slot)
{
	struct dev_buffer *b = slot->buffer;

	if (!slot->pending || slot->held || b->dying)
		return;
	if (b->dev->ops->deliver(b->dev->data, slot, b->seq) < 0)
		return;
	slot->held = b->seq;
	slot->pending = 0;
	slot->coalesced += slot->merged - 1;
	slot->merged = 0;
	slot->delivered++;
	slot->damage = (struct dev_damage){ 0 };
}

void dev_updated(struct dev_buffer *b, uint64_t seq, uint64_t time_ns,
		 const struct dev_damage *damage)
{
	struct dev *dev = b->dev;
	struct dev_slot *slot;

	b->seq = seq;
	b->time_ns = time_ns;
	b->host_time_ns = dev->ops->now_ns(dev->data);
	b->updates++;
	if (LIST_EMPTY(&b->slots)) {
		check_released(b, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
		return;
	}
	if (dev->ops->refresh(dev->data, b, damage) < 0) {
		dev_lost(b, VIRTIO_BUFSHARE_REASON_MEMORY);
		return;
	}
	LIST_FOREACH(slot, &b->slots, in_buffer) {
		if (!slot->pending)
			slot->pending = seq;
		slot->merged++;
		dev_damage_add(&slot->damage, damage);
		dev_flush(slot);
	}
}

void dev_release(struct dev_slot *slot, uint64_t seq)
{
	if (!seq || slot->held != seq)
		return;
	slot->held = 0;
	slot->released++;
	dev_flush(slot);
	check_released(slot->buffer, 0);
}

struct dev_slot *dev_attach(struct dev_buffer *b, void *consumer, bool mapped)
{
	struct dev_slot *slot = calloc(1, sizeof(*slot));
	static const struct dev_damage all = { .all = true };

	if (!slot)
		return NULL;

	/* Nobody needed a copy of the contents so far. */
	if (LIST_EMPTY(&b->slots) && b->seq)
		b->dev->ops->refresh(b->dev->data, b, &all);

	slot->buffer = b;
	slot->consumer = consumer;
	slot->mapped = mapped;
	LIST_INSERT_HEAD(&b->slots, slot, in_buffer);
	b->consumers++;
	b->tell_consumers = true;
	tell(b);
	return slot;
}

void dev_reset_one_less(struct dev *dev)
{
	static const struct virtio_bufshare_response ok; /* all zero */
	void *token = dev->reset_token;

	if (--dev->reset_left)
		return;
	dev->reset_token = NULL;
	dev->ops->complete(dev->data, token, &ok, sizeof(ok));
}

static void drop_export(struct dev_buffer *b)
{
	if (!b->dropped)
		b->dev->ops->drop_export(b->dev->data, b);
	b->dropped = true;
}

/* The buffer has left; answers when nobody can reach its pages, or need not any more. */
static void check_dead(struct dev_buffer *b)
{
	const struct virtio_bufshare_unregister_response response = {
		.flags = htole32(b->still_mapped ? VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED : 0),
	};
	struct dev *dev = b->dev;

	if (!b->dying || b->detaching || !LIST_EMPTY(&b->slots))
		return;
	drop_export(b);
	if (b->lost)
		return;
	TAILQ_REMOVE(&dev->dying, b, link);
	if (b->token)
		dev->ops->complete(dev->data, b->token, &response, sizeof(response));
	if (b->by_reset)
		dev_reset_one_less(dev);
	dev_buffer_free(b);
}

/* Detaches those that have no pages of it, or everybody; may free the buffer. */
static void detach_all(struct dev_buffer *b, bool mapped_too)
{
	struct dev_slot *slot, *next;

	b->detaching = true;
	for (slot = LIST_FIRST(&b->slots); slot; slot = next) {
		next = LIST_NEXT(slot, in_buffer);
		if (mapped_too || !slot->mapped)
			dev_detach(slot, false);
	}
	b->detaching = false;
	check_dead(b);
}

void dev_detach(struct dev_slot *slot, bool gone)
{
	struct dev_buffer *b = slot->buffer;
	bool held = slot->held || slot->pending;

	LIST_REMOVE(slot, in_buffer);
	LIST_REMOVE(slot, in_consumer);
	free(slot);
	b->consumers--;
	if (b->dying) {
		check_dead(b);
		return;
	}
	b->tell_consumers = true;
	check_released(b, gone && held ? VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE : 0);
	tell(b);
}

/* ---- the end of a buffer ---- */

/* Takes a buffer out of sight; consumers that have its pages keep their slots. */
static void hide(struct dev_buffer *b, struct dev_buffers *from, struct dev_buffers *to,
		 uint32_t reason)
{
	bool seen = !b->dying;

	tell_nothing(b);
	b->dying = true;
	TAILQ_REMOVE(from, b, link);
	TAILQ_INSERT_TAIL(to, b, link);
	if (seen)
		b->dev->ops->removed(b->dev->data, b, reason);
	detach_all(b, false);
}

void dev_remove(struct dev_buffer *b, uint32_t reason, void *token)
{
	struct dev *dev = b->dev;
	bool was_lost = b->lost;

	tdelete(b, &dev->tree, compare_ids);
	dev->num_buffers--;
	dev->total_size -= b->size;
	b->token = token;
	b->lost = false;
	hide(b, was_lost ? &dev->lost : &dev->buffers, &dev->dying, reason);
}

/* No longer waits for consumers. */
static void abandon(struct dev_buffer *b)
{
	b->still_mapped = true;
	detach_all(b, true);
}

void dev_tick(struct dev *dev)
{
	struct dev_buffer *b, *next;

	for (b = TAILQ_FIRST(&dev->dying); b; b = next) {
		next = TAILQ_NEXT(b, link);
		if (++b->ticks >= UNREGISTER_TICKS)
			abandon(b);
	}
}

void dev_lost(struct dev_buffer *b, uint32_t reason)
{
	if (b->lost)
		return;
	b->lost = true;
	b->tell_released = b->tell_consumers = b->tell_properties = false;
	b->tell_lost = true;
	b->lost_reason = reason;
	hide(b, &b->dev->buffers, &b->dev->lost, reason);
	tell(b);
}

void dev_clear(struct dev *dev)
{
	struct dev_buffer *b;

	while ((b = TAILQ_FIRST(&dev->buffers)) || (b = TAILQ_FIRST(&dev->lost)))
		dev_remove(b, VIRTIO_BUFSHARE_REASON_RESET, NULL);
	while ((b = TAILQ_FIRST(&dev->dying)))
		abandon(b);
	dev->epoch = 0;
	dev->caps = 0;
}

int dev_apply_properties(struct props *side, const struct props *other, const char *block,
			 size_t size)
{
	struct props next = { 0 };
	int r;

	r = props_copy(&next, side);
	if (r == 0)
		r = props_apply(&next, block, size);
	if (r == 0 && (next.n + other->n > PROPS_MAX ||
		       next.block_size + other->block_size > PROPS_BLOCK_MAX))
		r = -ENOSPC;
	if (r < 0) {
		props_clear(&next);
		return r;
	}
	props_clear(side);
	*side = next;
	return 0;
}

int dev_set_host_properties(struct dev_buffer *b, const char *block, size_t size)
{
	int r;

	if (b->dying)
		return 0; /* it crossed with REMOVED */
	if (!(b->dev->caps & VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES))
		return -EOPNOTSUPP;
	r = dev_apply_properties(&b->host, &b->guest, block, size);
	if (r < 0)
		return r;
	b->properties_generation++;
	b->tell_properties = true;
	tell(b);
	b->dev->ops->properties(b->dev->data, b, block, size);
	return 0;
}
