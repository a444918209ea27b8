/* SPDX-License-Identifier: MIT */
/*
 * The release cycle: what each consumer is given of the updates of a buffer, and when the
 * guest may write to it again.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "host/daemon/device.h"
#include "host/daemon/device-internal.h"

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

/* ---- what the guest waits for ---- */

static uint64_t now_ns(const struct dev_slot *slot)
{
	struct dev *dev = slot->buffer->dev;

	return dev->ops->now_ns(dev->data);
}

static void wait_no_more(struct dev_slot *slot)
{
	if (slot->waiting)
		TAILQ_REMOVE(&slot->buffer->dev->waiting, slot, waiting_link);
	slot->waiting = false;
}

static void wait_from_now(struct dev_slot *slot)
{
	wait_no_more(slot);
	slot->waiting = true;
	slot->since_ns = now_ns(slot);
	TAILQ_INSERT_TAIL(&slot->buffer->dev->waiting, slot, waiting_link);
}

/*
 * Every update is released that no consumer holds or is still to be given. Flags say why,
 * if it was for another reason than that the consumers are done.
 */
static void check_released(struct dev_buffer *b, uint32_t flags)
{
	uint64_t upto = b->newest.seq;
	struct dev_slot *slot;

	if (b->dying)
		return;
	if (b->copy.busy) {
		b->copy.flags |= flags;
		return;
	}
	if (b->copy.next.first)
		upto = b->copy.next.first - 1;
	LIST_FOREACH(slot, &b->slots, link) {
		uint64_t first = slot->held ? slot->held : slot->pending;

		if (slot->waiting && first - 1 < upto)
			upto = first - 1;
	}
	if (upto <= b->released)
		return;
	b->released = upto;
	b->released_flags |= flags;
	b->tell_released = true;
	dev_tell(b);
}

/* ---- giving and taking ---- */

/* The consumer has the update no more. */
static void end_hold(struct dev_slot *slot)
{
	slot->held_ns += now_ns(slot) - slot->since_ns;
	slot->held = 0;
	wait_no_more(slot);
}

static void take_back(struct dev_slot *slot, uint64_t seq)
{
	struct dev *dev = slot->buffer->dev;

	slot->late = true;
	slot->revoked_seq = seq;
	slot->revoked++;
	dev->ops->revoked(dev->data, slot, seq);
}

const struct dev_update *dev_slot_update(const struct dev_slot *slot)
{
	return slot->copied ? &slot->buffer->copy.contents : &slot->buffer->newest;
}

/* A copy that is being written to is not for reading. */
static int deliver(struct dev_slot *slot, uint64_t seq)
{
	struct dev_buffer *b = slot->buffer;

	if (slot->copied && b->copy.busy)
		return -EAGAIN;
	return b->dev->ops->deliver(b->dev->data, slot, seq);
}

void dev_flush(struct dev_slot *slot)
{
	struct dev_buffer *b = slot->buffer;
	const uint64_t seq = dev_slot_update(slot)->seq;

	if (!slot->pending || slot->held || slot->revoked_seq || slot->hidden || b->dying)
		return;
	if (deliver(slot, seq) < 0) {
		if (!slot->waiting && !slot->late)
			wait_from_now(slot);
		return;
	}
	slot->pending = 0;
	slot->coalesced += slot->merged - 1;
	slot->merged = 0;
	slot->delivered++;
	slot->damage = (struct dev_damage){ 0 };
	if (seq <= b->released) {
		/* It was late: there is something to see, but the guest may be writing already. */
		take_back(slot, seq);
		return;
	}
	slot->late = false;
	slot->held = seq;
	wait_from_now(slot);
}

static void give(struct dev_slot *slot, const struct dev_batch *batch)
{
	if (slot->hidden)
		return;
	if (!slot->pending)
		slot->pending = batch->first;
	slot->merged += batch->merged;
	dev_damage_add(&slot->damage, &batch->damage);
	dev_flush(slot);
}

/* Whether somebody is waited for; those that get copies, or the others. */
static bool give_to(struct dev_buffer *b, bool copied, const struct dev_batch *batch)
{
	struct dev_slot *slot;
	bool waiting = false;

	LIST_FOREACH(slot, &b->slots, link) {
		if (slot->copied == copied && !slot->filling)
			give(slot, batch);
		waiting |= slot->waiting;
	}
	return waiting;
}

/* ---- copies ---- */

static void show(struct dev_buffer *b)
{
	struct dev_slot *slot;

	LIST_FOREACH(slot, &b->slots, link) {
		if (!slot->filling)
			continue;
		slot->filling = false;
		b->dev->ops->filled(b->dev->data, slot);
	}
}

/* The copy has all of now. Who was there before is given it, and others see it only. */
static void copied(struct dev_buffer *b)
{
	struct dev_copy *copy = &b->copy;
	const uint32_t flags = copy->flags;
	bool waiting = false;

	if (!b->copies)
		copy->next = (struct dev_batch){ 0 };
	copy->contents = copy->upto;
	copy->valid = (copy->valid || copy->now.damage.all) &&
		      (copy->contents.seq == b->newest.seq || copy->next.first);
	copy->flags = 0;
	if (copy->now.first)
		waiting = give_to(b, true, &copy->now) || copy->now.seen;
	if (copy->valid)
		show(b);
	check_released(b, !copy->now.first || waiting ? flags :
				  flags | VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
}

/* Copies what there is to copy, unless that is being done. -EFAULT: its memory is gone. */
static int copy_next(struct dev_buffer *b)
{
	struct dev_copy *copy = &b->copy;
	struct dev *dev = b->dev;
	int r;

	if (copy->busy || !copy->next.wanted)
		return 0;
	copy->now = copy->next;
	copy->next = (struct dev_batch){ 0 };
	copy->upto = b->newest;
	r = dev->ops->refresh(dev->data, b, &copy->now.damage);
	if (r == 0)
		copied(b);
	copy->busy = r == -EINPROGRESS;
	return copy->busy ? 0 : r;
}

static void copy_or_lose(struct dev_buffer *b)
{
	if (copy_next(b) < 0)
		dev_lost(b, VIRTIO_BUFSHARE_REASON_MEMORY);
}

void dev_copied(struct dev_buffer *b, int r)
{
	b->copy.busy = false;
	if (b->dying)
		return;
	if (r < 0) {
		dev_lost(b, VIRTIO_BUFSHARE_REASON_MEMORY);
		return;
	}
	copied(b);
	copy_or_lose(b);
}

void dev_copy_all(struct dev_buffer *b)
{
	if (b->copy.next.wanted)
		b->copy.next.damage = (struct dev_damage){ .all = true };
}

static void copy_later(struct dev_buffer *b, const struct dev_batch *batch)
{
	struct dev_batch *next = &b->copy.next;

	next->wanted = true;
	if (!next->first)
		next->first = batch->first;
	next->merged += batch->merged;
	next->seen |= batch->seen;
	dev_damage_add(&next->damage, &batch->damage);
}

/* ---- updates ---- */

void dev_updated(struct dev_buffer *b, uint64_t seq, uint64_t time_ns,
		 const struct dev_damage *damage)
{
	struct dev *dev = b->dev;
	struct dev_batch batch = { .first = seq, .merged = 1, .damage = *damage };

	b->newest.seq = seq;
	b->newest.time_ns = time_ns;
	b->newest.host_time_ns = dev->ops->now_ns(dev->data);
	b->updates++;
	batch.seen = give_to(b, false, &batch);
	if (b->copies) {
		copy_later(b, &batch);
		copy_or_lose(b);
		return;
	}
	b->copy.valid = false;
	if (!batch.seen)
		check_released(b, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
}

void dev_release(struct dev_slot *slot, uint64_t seq)
{
	if (!seq)
		return;
	if (slot->revoked_seq == seq) {
		slot->revoked_seq = 0;
		slot->late = slot->pending;
	} else if (slot->held == seq) {
		end_hold(slot);
		slot->released++;
	} else {
		return;
	}
	dev_flush(slot);
	check_released(slot->buffer, 0);
}

uint64_t dev_take_back(struct dev *dev, uint64_t before_ns)
{
	struct dev_slot *slot;

	while ((slot = TAILQ_FIRST(&dev->waiting))) {
		uint64_t seq = slot->held;

		if (slot->since_ns > before_ns)
			return slot->since_ns;
		if (seq) {
			end_hold(slot);
			take_back(slot, seq);
		} else {
			/* It was never told of this update; it will be of the newest. */
			slot->late = true;
			wait_no_more(slot);
		}
		check_released(slot->buffer, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);
	}
	return 0;
}

/* ---- consumers come and go ---- */

/* For whoever now needs a copy while nobody did. */
static void copy_from_now_on(struct dev_slot *slot)
{
	static const struct dev_batch all = { .damage = { .all = true } };
	struct dev_buffer *b = slot->buffer;

	b->copies++;
	if (!b->copy.valid) {
		copy_later(b, &all);
		/* That the memory is gone shows again with the next update, if not before. */
		copy_next(b);
	}
	slot->filling = b->copy.busy || !b->copy.valid;
}

static void tell_consumers(struct dev_buffer *b)
{
	b->tell_consumers = true;
	dev_tell(b);
}

struct dev_slot *dev_attach(struct dev_buffer *b, void *consumer, bool copied)
{
	struct dev_slot *slot = calloc(1, sizeof(*slot));

	if (!slot)
		return NULL;
	slot->buffer = b;
	slot->consumer = consumer;
	slot->copied = copied;
	slot->mapped = true;
	LIST_INSERT_HEAD(&b->slots, slot, link);
	b->consumers++;
	tell_consumers(b);
	if (copied)
		copy_from_now_on(slot);
	return slot;
}

/* The consumer no longer sees it, and holds nothing of it. */
static void let_go(struct dev_slot *slot)
{
	if (slot->held)
		end_hold(slot);
	wait_no_more(slot);
	slot->pending = slot->revoked_seq = 0;
	slot->merged = 0;
	slot->late = slot->filling = false;
	slot->damage = (struct dev_damage){ 0 };
	slot->buffer->consumers--;
	if (slot->copied)
		slot->buffer->copies--;
}

void dev_end_cycle(struct dev_buffer *b)
{
	struct dev_slot *slot;

	LIST_FOREACH(slot, &b->slots, link) {
		if (slot->held)
			end_hold(slot);
		wait_no_more(slot);
		slot->pending = slot->revoked_seq = 0;
	}
}

void dev_hide(struct dev_slot *slot)
{
	let_go(slot);
	slot->hidden = true;
	check_released(slot->buffer, 0);
	tell_consumers(slot->buffer);
}

void dev_show(struct dev_slot *slot)
{
	slot->hidden = false;
	slot->mapped = true;
	slot->buffer->consumers++;
	tell_consumers(slot->buffer);
	if (slot->copied)
		copy_from_now_on(slot);
}

void dev_detach(struct dev_slot *slot, bool gone)
{
	struct dev_buffer *b = slot->buffer;
	bool waiting = slot->waiting, hidden = slot->hidden;

	b->dev->ops->detached(b->dev->data, slot);
	if (!hidden)
		let_go(slot);
	LIST_REMOVE(slot, link);
	free(slot);
	if (b->dying) {
		dev_check_dead(b);
		return;
	}
	if (hidden)
		return;
	check_released(b, gone && waiting ? VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE : 0);
	tell_consumers(b);
}
