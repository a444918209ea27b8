/* SPDX-License-Identifier: MIT */
/*
 * What a consumer may say, checked in full before anything is done.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/consumers-internal.h"
#include "host/daemon/log.h"

#define OFFERED_CAPS (BUFSHARE_IPC_CAP_SET_PROPERTIES | BUFSHARE_IPC_CAP_ZERO_COPY | BUFSHARE_IPC_CAP_STATS)

/* NUL-terminated within its field, and NUL behind. */
static bool field_valid(const uint8_t *field, size_t size)
{
	size_t n = strnlen((const char *)field, size);

	if (n == size)
		return false;
	for (; n < size; n++)
		if (field[n])
			return false;
	return true;
}

static int msg_hello(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_hello *m = (const void *)msg;
	const struct virtio_bufshare_config *device = c->all->config.device;
	struct bufshare_ipc_welcome w = { 0 };

	if (c->welcome || size != sizeof(*m) || le32toh(m->magic) != BUFSHARE_IPC_MAGIC ||
	    !field_valid(m->program, sizeof(m->program)))
		return -EPROTO;
	if (le32toh(m->version) != BUFSHARE_IPC_VERSION)
		return -EPROTONOSUPPORT;

	memcpy(c->program, m->program, sizeof(c->program));
	c->caps = le64toh(m->caps) & OFFERED_CAPS;
	c->welcome = true;
	log_debug("consumer %s is here", c->program);

	ipc_header(&w, BUFSHARE_IPC_WELCOME, sizeof(w));
	w.magic = htole32(BUFSHARE_IPC_MAGIC);
	w.version = htole32(BUFSHARE_IPC_VERSION);
	w.caps = htole64(c->caps);
	w.epoch = htole64(c->all->dev->epoch);
	memcpy(w.uuid, device->uuid, sizeof(w.uuid));
	memcpy(w.label, device->label, sizeof(w.label));
	memcpy(w.application, device->application, sizeof(w.application));
	w.state = htole32(c->all->state);
	consumer_send(c, &w, sizeof(w), -1);
	return 0;
}

static int find_pattern(const struct consumer *c, const uint8_t *pattern)
{
	unsigned int i;

	for (i = 0; i < c->num_patterns; i++)
		if (memcmp(c->patterns[i], pattern, sizeof(c->patterns[i])) == 0)
			return (int)i;
	return -ENOENT;
}

static struct dev_slot *find_slot(struct consumer *c, uint64_t id)
{
	struct dev_buffer *b = dev_find(c->all->dev, id);
	struct dev_slot *slot;

	if (!b)
		return NULL;
	LIST_FOREACH(slot, &b->slots, in_buffer)
		if (slot->consumer == c)
			return slot;
	return NULL;
}

static int msg_subscribe(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_subscribe *m = (const void *)msg;
	struct bufshare_ipc_empty synced;
	struct dev_buffer *b;

	if (size != sizeof(*m) || !m->pattern[0] || !field_valid(m->pattern, sizeof(m->pattern)))
		return -EPROTO;
	if (find_pattern(c, m->pattern) < 0) {
		if (c->num_patterns == ARRAY_SIZE(c->patterns))
			return -ENOSPC;
		memcpy(c->patterns[c->num_patterns++], m->pattern, sizeof(m->pattern));
	}
	TAILQ_FOREACH(b, &c->all->dev->buffers, link)
		if (!c->doomed && consumer_wants(c, b) && !find_slot(c, b->id))
			consumer_add(c, b);
	ipc_header(&synced, BUFSHARE_IPC_SYNCED, sizeof(synced));
	consumer_send(c, &synced, sizeof(synced), -1);
	return 0;
}

/* Out of sight for this consumer alone: it says CLOSED like after any REMOVED. */
static void hide(struct consumer *c, struct dev_slot *slot)
{
	struct bufshare_ipc_removed m = { 0 };

	ipc_header(&m, BUFSHARE_IPC_REMOVED, sizeof(m));
	m.buffer = htole64(slot->buffer->id);
	m.reason = htole32(VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	consumer_send(c, &m, sizeof(m), -1);
	dev_release(slot, slot->held);
	dev_detach(slot, false);
}

static int msg_unsubscribe(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_subscribe *m = (const void *)msg;
	struct dev_slot *slot, *next;
	int i;

	if (size != sizeof(*m) || !m->pattern[0] || !field_valid(m->pattern, sizeof(m->pattern)))
		return -EPROTO;
	i = find_pattern(c, m->pattern);
	if (i < 0)
		return 0;
	c->num_patterns--;
	memmove(c->patterns[i], c->patterns[c->num_patterns], sizeof(c->patterns[0]));
	for (slot = LIST_FIRST(&c->slots); slot; slot = next) {
		next = LIST_NEXT(slot, in_consumer);
		if (!slot->buffer->dying && !consumer_wants(c, slot->buffer))
			hide(c, slot);
	}
	return 0;
}

static int msg_release(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_release *m = (const void *)msg;
	struct dev_slot *slot;

	if (size != sizeof(*m))
		return -EPROTO;
	slot = find_slot(c, le64toh(m->buffer));
	if (slot)
		dev_release(slot, le64toh(m->seq));
	return 0;
}

static int msg_closed(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_buffer *m = (const void *)msg;
	struct dev_slot *slot, *next;

	if (size != sizeof(*m))
		return -EPROTO;
	/* A buffer that is in sight is not closed; one that left is not in the tree. */
	for (slot = LIST_FIRST(&c->slots); slot; slot = next) {
		next = LIST_NEXT(slot, in_consumer);
		if (slot->buffer->dying && slot->buffer->id == le64toh(m->buffer))
			dev_detach(slot, false);
	}
	return 0;
}

static int msg_set_properties(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_properties *m = (const void *)msg;
	const char *block = (const char *)(m + 1);
	struct dev_slot *slot;
	int r;

	if (size < sizeof(*m) || m->reserved || size - sizeof(*m) != le32toh(m->properties_size))
		return -EPROTO;
	if (!(c->caps & BUFSHARE_IPC_CAP_SET_PROPERTIES))
		return -EACCES;
	r = props_check_block(block, size - sizeof(*m), PROPS_HOST | PROPS_REMOVALS);
	if (r < 0)
		return r;
	slot = find_slot(c, le64toh(m->buffer));
	if (!slot)
		return 0;
	return dev_set_host_properties(slot->buffer, block, size - sizeof(*m));
}

static int msg_get_stats(struct consumer *c, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_stats m = { 0 };
	uint64_t updates = 0, delivered = 0, released = 0, coalesced = 0;
	struct dev_slot *slot;

	if (size != sizeof(struct bufshare_ipc_empty))
		return -EPROTO;
	ipc_header(&m, BUFSHARE_IPC_STATS, sizeof(m));
	LIST_FOREACH(slot, &c->slots, in_consumer) {
		const struct dev_buffer *b = slot->buffer;

		if (b->dying)
			continue;
		m.buffer = htole64(b->id);
		m.updates = htole64(b->updates);
		m.delivered = htole64(slot->delivered);
		m.released = htole64(slot->released);
		m.coalesced = htole64(slot->coalesced);
		m.bytes_copied = htole64(b->bytes_copied);
		m.consumers = htole32(b->consumers);
		consumer_send(c, &m, sizeof(m), -1);
		updates += b->updates;
		delivered += slot->delivered;
		released += slot->released;
		coalesced += slot->coalesced;
	}
	m.buffer = 0;
	m.updates = htole64(updates);
	m.delivered = htole64(delivered);
	m.released = htole64(released);
	m.coalesced = htole64(coalesced);
	m.bytes_copied = htole64(c->all->dev->bytes_copied);
	m.consumers = htole32(c->all->num);
	consumer_send(c, &m, sizeof(m), -1);
	return 0;
}

static int msg_ping(struct consumer *c, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_ping m;

	if (size != sizeof(m))
		return -EPROTO;
	memcpy(&m, msg, sizeof(m));
	ipc_header(&m, BUFSHARE_IPC_PONG, sizeof(m));
	consumer_send(c, &m, sizeof(m), -1);
	return 0;
}

static int (*const messages[])(struct consumer *c, const union ipc_message *msg, size_t size) = {
	[BUFSHARE_IPC_HELLO] = msg_hello,
	[BUFSHARE_IPC_SUBSCRIBE] = msg_subscribe,
	[BUFSHARE_IPC_UNSUBSCRIBE] = msg_unsubscribe,
	[BUFSHARE_IPC_RELEASE] = msg_release,
	[BUFSHARE_IPC_CLOSED] = msg_closed,
	[BUFSHARE_IPC_SET_PROPERTIES] = msg_set_properties,
	[BUFSHARE_IPC_GET_STATS] = msg_get_stats,
	[BUFSHARE_IPC_PING] = msg_ping,
};

int consumer_message(struct consumer *c, const union ipc_message *msg, size_t size)
{
	uint32_t type = le32toh(msg->hdr.type);

	if (type >= ARRAY_SIZE(messages) || !messages[type])
		return -EPROTO;
	if (!c->welcome && type != BUFSHARE_IPC_HELLO)
		return -EPROTO;
	return messages[type](c, msg, size);
}
