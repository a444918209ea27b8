/* SPDX-License-Identifier: MIT */
/*
 * The end of a buffer. It leaves everybody's sight at once; its UNREGISTER is answered when
 * no consumer can reach the guest's pages, or when that takes too long; and it is kept, as a
 * name and a number of bytes, until the last consumer let go of what it has of it.
 */
#include <endian.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "host/daemon/device.h"
#include "host/daemon/device-internal.h"

/* Seconds that consumers have to let go of a buffer's pages. */
#define UNREGISTER_TICKS 3

/* Of buffers that are kept, for each that the guest may have: beyond that it gets no more. */
#define KEPT_PER_BUFFER 4

/* What of it is still mapped: pages of the guest; or anything at all that the host pays for. */
static bool has_pages(const struct dev_buffer *b)
{
	const struct dev_slot *slot;

	LIST_FOREACH(slot, &b->slots, link)
		if (slot->mapped && !slot->copied)
			return true;
	return false;
}

static bool has_memory(const struct dev_buffer *b)
{
	const struct dev_slot *slot;

	LIST_FOREACH(slot, &b->slots, link)
		if (slot->mapped && (slot->copied || b->path != VIRTIO_BUFSHARE_PATH_MEMFD))
			return true;
	return false;
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

/* Nobody waits for it any more. */
static void answer(struct dev_buffer *b)
{
	const struct virtio_bufshare_unregister_response response = {
		.flags = htole32(b->still_mapped ? VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED : 0),
	};
	struct dev *dev = b->dev;

	drop_export(b);
	b->answered = true;
	b->remembered = (b->still_mapped || b->asked) && (dev->caps & VIRTIO_BUFSHARE_CAP_UNMAPPED);
	b->asked |= b->token != NULL;
	TAILQ_REMOVE(&dev->dying, b, link);
	TAILQ_INSERT_TAIL(&dev->kept, b, link);
	dev->num_kept++;
	if (b->token)
		dev->ops->complete(dev->data, b->token, &response, sizeof(response));
	if (b->by_reset)
		dev_reset_one_less(dev);
}

static void count(struct dev_buffer *b)
{
	b->counted = true;
	b->dev->kept_size += b->size;
}

static void uncount(struct dev_buffer *b)
{
	if (b->counted)
		b->dev->kept_size -= b->size;
	b->counted = false;
}

static void tell_unmapped(struct dev_buffer *b)
{
	b->remembered = false;
	if (!b->asked)
		return;
	b->tell_unmapped = true;
	dev_tell(b);
}

void dev_check_dead(struct dev_buffer *b)
{
	if (!b->dying || b->detaching)
		return;
	if (!b->answered) {
		if (has_pages(b) && !b->still_mapped)
			return;
		drop_export(b);
		if (b->lost)
			return;
		answer(b);
	}
	if (!has_memory(b))
		uncount(b);
	if (b->remembered && !has_pages(b))
		tell_unmapped(b);
	if (!LIST_EMPTY(&b->slots) || b->tell_unmapped)
		return;
	TAILQ_REMOVE(&b->dev->kept, b, link);
	b->dev->num_kept--;
	dev_buffer_free(b);
}

/* Detaches those that have nothing of it, or everybody; may free the buffer. */
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

/* Takes a buffer out of sight; consumers that have something of it keep their slots. */
static void hide(struct dev_buffer *b, struct dev_buffers *from, struct dev_buffers *to,
		 uint32_t reason)
{
	bool seen = !b->dying;

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
	count(b);
	dev_tell_nothing(b);
	b->token = token;
	b->lost = false;
	hide(b, was_lost ? &dev->lost : &dev->buffers, &dev->dying, reason);
}

/* No longer waits for consumers. */
static void abandon(struct dev_buffer *b)
{
	b->still_mapped = has_pages(b);
	dev_check_dead(b);
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
	dev_tell_nothing(b);
	b->lost = true;
	b->tell_lost = true;
	b->lost_reason = reason;
	hide(b, &b->dev->buffers, &b->dev->lost, reason);
	dev_tell(b);
}

/* ---- buffers that are kept ---- */

struct dev_buffer *dev_find_kept(struct dev *dev, uint64_t id)
{
	struct dev_buffer *b;

	if (!(dev->caps & VIRTIO_BUFSHARE_CAP_UNMAPPED))
		return NULL;
	TAILQ_FOREACH(b, &dev->dying, link)
		if (b->id == id)
			return b;
	TAILQ_FOREACH(b, &dev->kept, link)
		if (b->id == id && (b->remembered || b->tell_unmapped))
			return b;
	return NULL;
}

uint32_t dev_size_limit(const struct dev *dev, uint64_t size, bool again)
{
	const uint64_t max = dev->limits.max_total_size;
	uint64_t room;

	if (dev->num_kept >= (uint64_t)KEPT_PER_BUFFER * dev->limits.max_buffers)
		return VIRTIO_BUFSHARE_LIMIT_BUFFERS;
	if (dev->total_size > max || size > max - dev->total_size)
		return VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE;
	room = max - dev->total_size - size;
	/* After a suspension consumers have all there was, and it is to be there once more. */
	if (dev->kept_size > room && !(again && dev->kept_size - room <= max))
		return VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE;
	return 0;
}

/* Their pages are those of the new buffer, which waits for them from now on. */
static void hand_over(struct dev_buffer *from, struct dev_buffer *to)
{
	struct dev_slot *slot, *next;

	for (slot = LIST_FIRST(&from->slots); slot; slot = next) {
		next = LIST_NEXT(slot, link);
		if (slot->copied)
			continue;
		LIST_REMOVE(slot, link);
		LIST_INSERT_HEAD(&to->slots, slot, link);
		slot->buffer = to;
		slot->hidden = slot->former = true;
	}
}

void dev_take_over(struct dev_buffer *b)
{
	struct dev_buffer *kept = dev_find_kept(b->dev, b->id);

	if (!kept || !kept->answered)
		return;
	hand_over(kept, b);
	kept->remembered = false;
	dev_tell_nothing(kept);
	dev_check_dead(kept);
}

void dev_forget_kept(struct dev *dev)
{
	struct dev_buffer *b;

	TAILQ_FOREACH(b, &dev->kept, link)
		b->remembered = false;
}

/* The epoch is over, or begins again: nobody knows what was asked. */
static void ask_nothing(struct dev *dev)
{
	struct dev_buffer *b, *next;

	for (b = TAILQ_FIRST(&dev->kept); b; b = next) {
		next = TAILQ_NEXT(b, link);
		b->asked = false;
		dev_tell_nothing(b);
		dev_check_dead(b);
	}
}

void dev_void(struct dev *dev)
{
	struct dev_buffer *b;

	while ((b = TAILQ_FIRST(&dev->making)))
		dev_unmake(b, VIRTIO_BUFSHARE_STATUS_EPOCH, 0);
	while ((b = TAILQ_FIRST(&dev->buffers)) || (b = TAILQ_FIRST(&dev->lost)))
		dev_remove(b, VIRTIO_BUFSHARE_REASON_RESET, NULL);
	while ((b = TAILQ_FIRST(&dev->dying)))
		abandon(b);
	ask_nothing(dev);
	dev->epoch = 0;
	dev->caps = 0;
	dev->tell_restarted = false;
}

void dev_clear(struct dev *dev)
{
	struct dev_buffer *b;

	dev_void(dev);
	while ((b = TAILQ_FIRST(&dev->kept)))
		detach_all(b, true);
}
