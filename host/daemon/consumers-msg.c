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

#define MS_NS 1000000

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

/* What it may at all; for some applications perhaps less. */
static uint64_t grantable(const struct consumer *c)
{
	const unsigned int rights = consumer_rights(c, NULL);
	uint64_t caps = BUFSHARE_IPC_CAP_STATS;

	if (rights & ACCESS_PROPERTIES)
		caps |= BUFSHARE_IPC_CAP_SET_PROPERTIES;
	if (rights & ACCESS_ZERO_COPY)
		caps |= BUFSHARE_IPC_CAP_ZERO_COPY;
	return caps;
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
	c->caps = le64toh(m->caps) & grantable(c);
	c->welcome = true;
	if (!c->pausing)
		loop_timer_stop(c->pause);
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
	w.release_timeout_ms = htole32((uint32_t)(c->all->config.release_timeout_ns / MS_NS));
	w.max_buffers = device->max_buffers;
	w.max_subscriptions = htole32(BUFSHARE_IPC_MAX_SUBSCRIPTIONS);
	consumer_answer(c, &w, sizeof(w), -1);
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

static int msg_subscribe(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_subscribe *m = (const void *)msg;
	struct dev_buffer *b;

	if (size != sizeof(*m) || !m->pattern[0] || !field_valid(m->pattern, sizeof(m->pattern)))
		return -EPROTO;
	if (find_pattern(c, m->pattern) < 0) {
		if (c->num_patterns == ARRAY_SIZE(c->patterns))
			return -ENOSPC;
		memcpy(c->patterns[c->num_patterns++], m->pattern, sizeof(m->pattern));
	}
	TAILQ_FOREACH(b, &c->all->dev->buffers, link)
		if (!c->doomed && consumer_wants(c, b) && !view_find(c, b->id))
			consumer_add(c, b);
	c->unsynced++;
	consumer_sync(c);
	return 0;
}

static int msg_unsubscribe(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_subscribe *m = (const void *)msg;
	struct view *v, *next;
	int i;

	if (size != sizeof(*m) || !m->pattern[0] || !field_valid(m->pattern, sizeof(m->pattern)))
		return -EPROTO;
	i = find_pattern(c, m->pattern);
	if (i < 0)
		return 0;
	c->num_patterns--;
	memmove(c->patterns[i], c->patterns[c->num_patterns], sizeof(c->patterns[0]));
	for (v = TAILQ_FIRST(&c->views); v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (v->slot && !consumer_wants(c, v->slot->buffer))
			view_hide(v);
	}
	return 0;
}

static int msg_release(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_release *m = (const void *)msg;
	struct view *v;

	if (size != sizeof(*m))
		return -EPROTO;
	v = view_find(c, le64toh(m->buffer));
	if (v)
		dev_release(v->slot, le64toh(m->seq));
	return 0;
}

static int msg_closed(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_buffer *m = (const void *)msg;

	if (size != sizeof(*m))
		return -EPROTO;
	view_closed(c, le64toh(m->buffer));
	return 0;
}

static int msg_set_properties(struct consumer *c, const union ipc_message *msg, size_t size)
{
	const struct bufshare_ipc_properties *m = (const void *)msg;
	const char *block = (const char *)(m + 1);
	struct dev_buffer *b;
	struct view *v;
	int r;

	if (size < sizeof(*m) || m->reserved || size - sizeof(*m) != le32toh(m->properties_size))
		return -EPROTO;
	if (!(c->caps & BUFSHARE_IPC_CAP_SET_PROPERTIES))
		return -EACCES;
	r = props_check_block(block, size - sizeof(*m), PROPS_HOST | PROPS_REMOVALS);
	if (r < 0)
		return r;
	v = view_find(c, le64toh(m->buffer));
	if (!v)
		return 0;
	b = v->slot->buffer;
	if (!(consumer_rights(c, b->application) & ACCESS_PROPERTIES))
		return -EACCES;
	return dev_set_host_properties(b, block, size - sizeof(*m));
}

static int msg_get_stats(struct consumer *c, const union ipc_message *msg, size_t size)
{
	if (size != sizeof(struct bufshare_ipc_empty))
		return -EPROTO;
	if (!(c->caps & BUFSHARE_IPC_CAP_STATS))
		return -EACCES;
	consumer_stats(c);
	return 0;
}

static int msg_ping(struct consumer *c, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_ping m;

	if (size != sizeof(m))
		return -EPROTO;
	memcpy(&m, msg, sizeof(m));
	ipc_header(&m, BUFSHARE_IPC_PONG, sizeof(m));
	consumer_answer(c, &m, sizeof(m), -1);
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
