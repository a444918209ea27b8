/* SPDX-License-Identifier: MIT */
/*
 * Buffers, and the events for the guest.
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
	TAILQ_INIT(&dev->making);
	TAILQ_INIT(&dev->lost);
	TAILQ_INIT(&dev->dying);
	TAILQ_INIT(&dev->eventful);
	TAILQ_INIT(&dev->waiting);
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
	dev->num_buffers++;
	dev->total_size += buffer->size;
	return 0;
}

void dev_take_out(struct dev_buffer *buffer)
{
	tdelete(buffer, &buffer->dev->tree, compare_ids);
	buffer->dev->num_buffers--;
	buffer->dev->total_size -= buffer->size;
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

/* ---- events for the guest ---- */

void dev_tell(struct dev_buffer *buffer)
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

void dev_tell_properties(struct dev_buffer *buffer)
{
	buffer->tell_properties = true;
	dev_tell(buffer);
}

static void tell_nothing(struct dev_buffer *buffer)
{
	if (buffer->eventful)
		TAILQ_REMOVE(&buffer->dev->eventful, buffer, event_link);
	buffer->eventful = false;
}

void dev_restarted(struct dev *dev, uint64_t epoch)
{
	dev->last_epoch = epoch;
	dev->tell_restarted = true;
	dev->ops->events(dev->data);
}

bool dev_has_event(const struct dev *dev)
{
	return dev->tell_restarted || !TAILQ_EMPTY(&dev->eventful);
}

bool dev_next_event(struct dev *dev, struct virtio_bufshare_event *event)
{
	struct dev_buffer *b = TAILQ_FIRST(&dev->eventful);

	if (!dev_has_event(dev))
		return false;

	memset(event, 0, sizeof(*event));
	if (dev->tell_restarted) {
		event->type = htole32(VIRTIO_BUFSHARE_EVENT_RESTARTED);
		event->epoch = htole64(dev->last_epoch);
		dev->tell_restarted = false;
		return true;
	}
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

/* ---- the end of a buffer ---- */

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
void dev_check_dead(struct dev_buffer *b)
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
		next = LIST_NEXT(slot, link);
		if (mapped_too || !slot->mapped)
			dev_detach(slot, false);
	}
	b->detaching = false;
	dev_check_dead(b);
}

/* Takes a buffer out of sight; consumers that have its pages keep their slots. */
static void hide(struct dev_buffer *b, struct dev_buffers *from, struct dev_buffers *to,
		 uint32_t reason)
{
	bool seen = !b->dying;

	tell_nothing(b);
	b->dying = true;
	TAILQ_REMOVE(from, b, link);
	TAILQ_INSERT_TAIL(to, b, link);
	dev_end_cycle(b);
	if (seen)
		b->dev->ops->removed(b->dev->data, b, reason);
	detach_all(b, false);
}

void dev_remove(struct dev_buffer *b, uint32_t reason, void *token)
{
	struct dev *dev = b->dev;
	bool was_lost = b->lost;

	dev_take_out(b);
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
	dev_tell(b);
}

void dev_clear(struct dev *dev)
{
	struct dev_buffer *b;

	while ((b = TAILQ_FIRST(&dev->making)))
		dev_unmake(b, VIRTIO_BUFSHARE_STATUS_EPOCH, 0);
	while ((b = TAILQ_FIRST(&dev->buffers)) || (b = TAILQ_FIRST(&dev->lost)))
		dev_remove(b, VIRTIO_BUFSHARE_REASON_RESET, NULL);
	while ((b = TAILQ_FIRST(&dev->dying)))
		abandon(b);
	dev->epoch = 0;
	dev->caps = 0;
	dev->tell_restarted = false;
}

uint32_t dev_properties_limit(const struct dev *dev, size_t n, size_t size)
{
	const struct dev_limits *limits = &dev->limits;

	if (n > (limits->max_properties ? limits->max_properties : PROPS_MAX))
		return VIRTIO_BUFSHARE_LIMIT_PROPERTIES;
	if (size > (limits->max_properties_size ? limits->max_properties_size : PROPS_BLOCK_MAX))
		return VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE;
	return 0;
}

int dev_apply_properties(const struct dev *dev, struct props *side, const struct props *other,
			 const char *block, size_t size, uint32_t *limit)
{
	struct props next = { 0 };
	int r;

	r = props_copy(&next, side);
	if (r == 0)
		r = props_apply(&next, block, size);
	*limit = r == -ENOSPC ? VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE : 0;
	if (r == 0)
		*limit = dev_properties_limit(dev, next.n + other->n,
					      next.block_size + other->block_size);
	if (*limit)
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
	uint32_t limit;
	int r;

	if (b->dying)
		return 0; /* it crossed with REMOVED */
	if (!(b->dev->caps & VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES))
		return -EOPNOTSUPP;
	r = dev_apply_properties(b->dev, &b->host, &b->guest, block, size, &limit);
	if (r < 0)
		return r;
	b->properties_generation++;
	dev_save(b);
	dev_tell_properties(b);
	b->dev->ops->properties(b->dev->data, b, block, size);
	return 0;
}
