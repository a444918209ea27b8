/* SPDX-License-Identifier: MIT */
/*
 * Counters, for consumers that ask.
 */
#include <endian.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/consumers-internal.h"

struct sums {
	struct consumer_counters c;
	uint64_t updates, lag;
	uint32_t buffers;
};

static void add_slot(struct sums *s, const struct dev_slot *slot)
{
	s->c.delivered += slot->delivered;
	s->c.released += slot->released;
	s->c.coalesced += slot->coalesced;
	s->c.revoked += slot->revoked;
	s->c.held_ns += slot->held_ns;
	s->lag += slot->merged;
}

/* What it sees now; and what it saw before, if past. */
static struct sums sum_up(const struct consumer *c, bool past)
{
	struct sums s = { 0 };
	const struct view *v;

	if (past)
		s.c = c->past;
	TAILQ_FOREACH(v, &c->views, link) {
		if (!v->slot)
			continue;
		add_slot(&s, v->slot);
		s.updates += v->slot->buffer->updates;
		s.buffers++;
	}
	TAILQ_FOREACH(v, &c->leaving, link)
		if (past && v->slot)
			add_slot(&s, v->slot);
	return s;
}

static void tell_buffer(struct consumer *c, const struct view *v)
{
	const struct dev_slot *slot = v->slot;
	const struct dev_buffer *b = slot->buffer;
	struct bufshare_ipc_stats m = {
		.buffer = htole64(b->id),
		.updates = htole64(b->updates),
		.delivered = htole64(slot->delivered),
		.released = htole64(slot->released),
		.coalesced = htole64(slot->coalesced),
		.revoked = htole64(slot->revoked),
		.held_ns = htole64(slot->held_ns),
		.lag = htole64(slot->merged),
		.bytes_copied = htole64(b->bytes_copied),
		.consumers = htole32(b->consumers),
		.path = htole32(v->path),
	};

	ipc_header(&m, BUFSHARE_IPC_STATS, sizeof(m));
	consumer_answer(c, &m, sizeof(m), -1);
}

static void tell_consumer(struct consumer *c, const struct consumer *about)
{
	const struct sums s = sum_up(about, true);
	struct bufshare_ipc_consumer m = {
		.pid = htole32((uint32_t)about->peer.pid),
		.uid = htole32(about->peer.uid),
		.flags = htole32(c == about ? BUFSHARE_IPC_CONSUMER_SELF : 0),
		.buffers = htole32(s.buffers),
		.delivered = htole64(s.c.delivered),
		.released = htole64(s.c.released),
		.coalesced = htole64(s.c.coalesced),
		.revoked = htole64(s.c.revoked),
		.held_ns = htole64(s.c.held_ns),
		.lag = htole64(s.lag),
		.queued = htole32(about->num_queued),
		.max_queued = htole32(about->max_queued),
	};

	memcpy(m.program, about->program, sizeof(m.program));
	ipc_header(&m, BUFSHARE_IPC_CONSUMER, sizeof(m));
	consumer_answer(c, &m, sizeof(m), -1);
}

/* Totals of the whole daemon are only for those who may see all of it. */
static void tell_sum(struct consumer *c)
{
	const struct sums s = sum_up(c, false);
	const bool full = c->peer.full;
	struct bufshare_ipc_stats m = {
		.updates = htole64(s.updates),
		.delivered = htole64(s.c.delivered),
		.released = htole64(s.c.released),
		.coalesced = htole64(s.c.coalesced),
		.revoked = htole64(s.c.revoked),
		.held_ns = htole64(s.c.held_ns),
		.lag = htole64(s.lag),
		.bytes_copied = htole64(full ? c->all->dev->bytes_copied : 0),
		.consumers = htole32(full ? c->all->num : 1),
	};

	ipc_header(&m, BUFSHARE_IPC_STATS, sizeof(m));
	consumer_answer(c, &m, sizeof(m), -1);
}

void consumer_stats(struct consumer *c)
{
	const struct consumer *other;
	const struct view *v;

	TAILQ_FOREACH(v, &c->views, link)
		if (v->slot && v->told)
			tell_buffer(c, v);
	/* Who is limited learns of nobody else, nor of what others see. */
	LIST_FOREACH(other, &c->all->list, link)
		if (other == c || (c->peer.full && other->welcome))
			tell_consumer(c, other);
	tell_sum(c);
}
