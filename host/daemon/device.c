/* SPDX-License-Identifier: MIT */
/*
 * Buffers, and the events for the guest.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/device.h"
#include "host/daemon/device-internal.h"

void dev_init(struct dev *dev, const struct dev_ops *ops, void *data,
	      const struct dev_limits *limits, uint64_t caps)
{
	*dev = (struct dev){ .ops = ops, .data = data, .limits = *limits, .offered_caps = caps };
	TAILQ_INIT(&dev->buffers);
	TAILQ_INIT(&dev->making);
	TAILQ_INIT(&dev->lost);
	TAILQ_INIT(&dev->dying);
	TAILQ_INIT(&dev->kept);
	TAILQ_INIT(&dev->eventful);
	TAILQ_INIT(&dev->waiting);
}

static struct dev_bucket *bucket(const struct dev *dev, uint64_t id)
{
	return &dev->buckets[(id * dev->bucket_key) >> (64 - dev->bucket_bits)];
}

struct dev_buffer *dev_find(struct dev *dev, uint64_t id)
{
	struct dev_buffer *b;

	if (!dev->buckets)
		return NULL;
	LIST_FOREACH(b, bucket(dev, id), id_link)
		if (b->id == id)
			break;
	return b;
}

/* As many as there can be buffers, or more. */
static int make_buckets(struct dev *dev)
{
	dev->bucket_bits = 1;
	while (1ull << dev->bucket_bits < dev->limits.max_buffers)
		dev->bucket_bits++;
	dev->ops->random(dev->data, &dev->bucket_key, sizeof(dev->bucket_key));
	dev->bucket_key |= 1;
	dev->buckets = calloc(1ull << dev->bucket_bits, sizeof(*dev->buckets));
	return dev->buckets ? 0 : -ENOMEM;
}

int dev_insert(struct dev *dev, struct dev_buffer *buffer)
{
	int r = dev->buckets ? 0 : make_buckets(dev);

	if (r < 0)
		return r;
	LIST_INSERT_HEAD(bucket(dev, buffer->id), buffer, id_link);
	dev->num_buffers++;
	dev->total_size += buffer->size;
	return 0;
}

void dev_take_out(struct dev_buffer *buffer)
{
	struct dev *dev = buffer->dev;

	LIST_REMOVE(buffer, id_link);
	dev->total_size -= buffer->size;
	if (--dev->num_buffers > 0)
		return;
	free(dev->buckets);
	dev->buckets = NULL;
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

	if (buffer->dying && !buffer->lost && !buffer->tell_unmapped)
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

void dev_tell_nothing(struct dev_buffer *buffer)
{
	if (buffer->eventful)
		TAILQ_REMOVE(&buffer->dev->eventful, buffer, event_link);
	buffer->eventful = false;
	buffer->tell_released = buffer->tell_consumers = buffer->tell_properties = false;
	buffer->tell_lost = buffer->tell_unmapped = false;
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
	} else if (b->tell_lost) {
		event->type = htole32(VIRTIO_BUFSHARE_EVENT_BUFFER_LOST);
		event->value = htole64(b->lost_reason);
		b->tell_lost = false;
	} else {
		event->type = htole32(VIRTIO_BUFSHARE_EVENT_UNMAPPED);
		b->tell_unmapped = false;
	}
	if (!b->tell_released && !b->tell_consumers && !b->tell_properties && !b->tell_lost) {
		dev_tell_nothing(b);
		dev_check_dead(b);
	}
	return true;
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
