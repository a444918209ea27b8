/* SPDX-License-Identifier: MIT */
/*
 * The host's properties of buffers, where they outlive the process that is the device: the
 * guest knows its own and tells them again, these it does not. They are found by epoch and
 * id when the guest registers the buffer again. A process may end at any instruction, so a
 * slot is filled first and named last.
 */
#include <stdatomic.h>
#include <string.h>

#include "host/daemon/device-internal.h"

size_t dev_saved_size(uint32_t n)
{
	return n * (sizeof(_Atomic uint64_t) + sizeof(struct dev_saved_slot));
}

uint32_t dev_saved_count(size_t size)
{
	return (uint32_t)(size / dev_saved_size(1));
}

void dev_saved_init(struct dev_saved *saved, void *area, uint32_t n)
{
	saved->n = n;
	saved->next = 0;
	saved->ids = area;
	saved->slots = n ? (void *)(saved->ids + n) : NULL;
}

/* There is one that is free, or of a buffer that is no more: more slots than buffers. */
static bool is_free(struct dev *dev, uint32_t i)
{
	return !dev->saved.ids[i] || dev->saved.slots[i].epoch != dev->epoch;
}

static bool is_stale(struct dev *dev, uint32_t i)
{
	const struct dev_buffer *b = dev_find(dev, dev->saved.ids[i]);

	return !b || b->saved != i + 1;
}

static uint32_t find_slot(struct dev *dev, bool (*fits)(struct dev *dev, uint32_t i))
{
	struct dev_saved *saved = &dev->saved;
	uint32_t i, n;

	for (n = 0, i = saved->next; n < saved->n; n++, i = (i + 1) % saved->n)
		if (fits(dev, i))
			break;
	saved->next = saved->n ? (i + 1) % saved->n : 0;
	return n < saved->n ? i + 1 : 0;
}

void dev_save(struct dev_buffer *b)
{
	struct dev *dev = b->dev;
	uint32_t number = find_slot(dev, is_free);
	struct dev_saved_slot *slot;

	if (!number)
		number = find_slot(dev, is_stale);
	if (!number)
		return;
	slot = &dev->saved.slots[number - 1];
	dev->saved.ids[number - 1] = 0;
	slot->epoch = dev->epoch;
	slot->generation = b->properties_generation;
	slot->size = (uint32_t)props_write_block(&b->host, PROPS_HOST, slot->block);
	dev->saved.ids[number - 1] = b->id;
	dev_forget(b);
	b->saved = number;
}

void dev_forget(struct dev_buffer *b)
{
	if (b->saved)
		b->dev->saved.ids[b->saved - 1] = 0;
	b->saved = 0;
}

void dev_forget_all(struct dev *dev)
{
	uint32_t i;

	for (i = 0; i < dev->saved.n; i++)
		dev->saved.ids[i] = 0;
	dev->saved.next = 0;
}

/* The newest: the last process may have ended between naming one and forgetting the other. */
static uint32_t find_saved(struct dev *dev, uint64_t id)
{
	struct dev_saved *saved = &dev->saved;
	uint32_t i, found = 0;

	for (i = 0; i < saved->n; i++) {
		if (saved->ids[i] != id || saved->slots[i].epoch != dev->epoch)
			continue;
		if (found && saved->slots[i].generation < saved->slots[found - 1].generation) {
			saved->ids[i] = 0;
			continue;
		}
		if (found)
			saved->ids[found - 1] = 0;
		found = i + 1;
	}
	return found;
}

/* What a process left behind that ended, perhaps not by itself, is checked like any other input. */
void dev_restore(struct dev_buffer *b)
{
	struct dev *dev = b->dev;
	const struct dev_saved_slot *slot;
	struct props host = { 0 };
	uint32_t number = find_saved(dev, b->id);

	if (!number)
		return;
	slot = &dev->saved.slots[number - 1];
	b->saved = number;
	b->properties_generation = slot->generation;
	if (slot->size > sizeof(slot->block) ||
	    props_check_block(slot->block, slot->size, PROPS_HOST) < 0 ||
	    props_apply(&host, slot->block, slot->size) < 0 ||
	    dev_properties_limit(dev, host.n + b->guest.n, host.block_size + b->guest.block_size)) {
		props_clear(&host);
		b->properties_generation++;
	}
	b->host = host;
}
