/* SPDX-License-Identifier: MIT */
/*
 * Buffers as consumers see them: what of each a consumer knows, and what it is to be told.
 */
#include <endian.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/consumers-internal.h"
#include "host/daemon/export.h"

static void snapshot_set(struct snapshot **to, struct snapshot *s)
{
	struct snapshot *old = *to;

	*to = snapshot_ref(s);
	snapshot_unref(old);
}

static void cleanup_snapshot(struct snapshot **s)
{
	snapshot_unref(*s);
}

/* ---- messages ---- */

static int send_ranges(struct view *v, const struct dev_buffer *b)
{
	struct bufshare_ipc_ranges m = { .buffer = htole64(b->id) };
	uint32_t n;
	int fd = export_ranges_fd(b->export, &n);

	m.num_ranges = htole32(n);
	ipc_header(&m, BUFSHARE_IPC_RANGES, sizeof(m));
	return consumer_send_now(v->c, &m, sizeof(m), fd);
}

static uint32_t added_flags(const struct view *v, const struct dev_buffer *b)
{
	uint32_t flags = 0;

	if (b->again)
		flags |= BUFSHARE_IPC_ADDED_AGAIN;
	if (v->path != VIRTIO_BUFSHARE_PATH_COPY)
		flags |= BUFSHARE_IPC_ADDED_WRITABLE;
	if ((v->c->caps & BUFSHARE_IPC_CAP_SET_PROPERTIES) &&
	    (consumer_rights(v->c, b->application) & ACCESS_PROPERTIES))
		flags |= BUFSHARE_IPC_ADDED_SETTABLE;
	return flags;
}

/* 0; 1: it is next in line; -EAGAIN */
static int send_added(struct view *v)
{
	struct {
		struct bufshare_ipc_added hdr;
		char block[PROPS_BLOCK_MAX];
	} m = { 0 };
	const struct dev_buffer *b = v->slot->buffer;
	const size_t size = sizeof(m.hdr) + v->now->size;
	int r;

	if (v->path == VIRTIO_BUFSHARE_PATH_MEMFD) {
		r = send_ranges(v, b);
		if (r < 0)
			return r;
	}
	m.hdr.buffer = htole64(b->id);
	m.hdr.size = htole64(b->size);
	m.hdr.seq = htole64(dev_slot_update(v->slot)->seq);
	memcpy(m.hdr.uuid, b->uuid, sizeof(m.hdr.uuid));
	memcpy(m.hdr.application, b->application, sizeof(m.hdr.application));
	m.hdr.path = htole32(v->path);
	m.hdr.flags = htole32(added_flags(v, b));
	m.hdr.properties_size = htole32((uint32_t)v->now->size);
	m.hdr.why = htole32(v->why);
	memcpy(m.block, v->now->block, v->now->size);
	ipc_header(&m, BUFSHARE_IPC_ADDED, size);
	r = consumer_send_now(v->c, &m, size, export_fd(b->export, v->path));
	if (r == -EAGAIN && v->path == VIRTIO_BUFSHARE_PATH_MEMFD) {
		/* Nothing may come behind RANGES but this. */
		r = consumer_answer_first(v->c, &m, size, export_fd(b->export, v->path));
		r = r < 0 ? r : 1;
	}
	if (r >= 0)
		snapshot_set(&v->told, v->now);
	return r;
}

static int send_removed(struct view *v)
{
	struct bufshare_ipc_removed m = {
		.buffer = htole64(v->id),
		.reason = htole32(v->reason),
	};
	int r;

	ipc_header(&m, BUFSHARE_IPC_REMOVED, sizeof(m));
	r = consumer_send_now(v->c, &m, sizeof(m), -1);
	if (r < 0)
		return r;
	v->removed = false;
	v->revoked = 0;
	snapshot_unref(steal_ptr(&v->told));
	return 0;
}

static int send_revoked(struct view *v)
{
	struct bufshare_ipc_revoked m = {
		.buffer = htole64(v->id),
		.seq = htole64(v->revoked),
	};
	int r;

	ipc_header(&m, BUFSHARE_IPC_REVOKED, sizeof(m));
	r = consumer_send_now(v->c, &m, sizeof(m), -1);
	if (r == 0)
		v->revoked = 0;
	return r;
}

static int send_block(struct view *v, const char *block, size_t size)
{
	struct {
		struct bufshare_ipc_properties hdr;
		char block[PROPS_BLOCK_MAX];
	} m = { 0 };

	m.hdr.buffer = htole64(v->id);
	m.hdr.properties_size = htole32((uint32_t)size);
	memcpy(m.block, block, size);
	size += sizeof(m.hdr);
	ipc_header(&m, BUFSHARE_IPC_PROPERTIES, size);
	return consumer_send_now(v->c, &m, size, -1);
}

/*
 * Everything that changed since it was told, in one message or, should there be too much,
 * what is gone in a first one.
 */
static int send_properties(struct view *v)
{
	struct snapshot *rest = NULL;
	char block[2 * PROPS_BLOCK_MAX];
	size_t size;
	int r;

	do {
		r = snapshot_diff(v->told, v->now, block, &size, &rest);
		if (r == 0)
			r = send_block(v, block, size);
		if (r < 0) {
			snapshot_unref(rest);
			return r;
		}
		snapshot_unref(v->told);
		v->told = rest;
	} while (v->told != v->now);
	return 0;
}

/* ---- views ---- */

void view_take_out(struct view *v)
{
	if (v->gone)
		TAILQ_REMOVE(&v->c->leaving, v, link);
	else
		TAILQ_REMOVE(&v->c->views, v, link);
}

void view_free(struct view *v)
{
	consumer_unqueue(v->c, &v->out);
	view_take_out(v);
	snapshot_unref(v->now);
	snapshot_unref(v->told);
	free(v);
}

static bool in_sight(const struct view *v)
{
	return v->slot && !v->slot->hidden && !v->slot->buffer->dying;
}

/* Says all there is to say of the buffer, in an order that makes sense. */
static int view_send(struct consumer *c, struct out *out)
{
	struct view *v = (struct view *)((char *)out - offsetof(struct view, out));
	int r = 0;

	if (v->removed)
		r = send_removed(v);
	if (r == 0 && !v->slot) {
		view_free(v);
		return 0;
	}
	if (r < 0 || !in_sight(v))
		return r;
	/* Until consumers_filled() it stands in nobody's way. */
	if (v->slot->filling)
		return 0;
	if (!v->told)
		r = send_added(v);
	if (r == 1) {
		consumer_queue_behind(c, out);
		return 0;
	}
	if (r == 0 && v->told != v->now)
		r = send_properties(v);
	if (r == 0 && v->revoked)
		r = send_revoked(v);
	if (r == 0) {
		v->full = false;
		dev_flush(v->slot);
		r = v->full ? -EAGAIN : 0;
	}
	return r;
}

/* Not before there is no buffer left that is still to be shown. */
int consumer_send_synced(struct consumer *c, struct out *out)
{
	struct bufshare_ipc_empty m;
	struct view *v;
	int r = 0;

	TAILQ_FOREACH(v, &c->views, link)
		if (v->slot && v->slot->filling)
			return 0;
	ipc_header(&m, BUFSHARE_IPC_SYNCED, sizeof(m));
	while (r == 0 && c->unsynced) {
		r = consumer_send_now(c, &m, sizeof(m), -1);
		c->unsynced -= r == 0;
	}
	return r;
}

void consumer_sync(struct consumer *c)
{
	if (!c->unsynced)
		return;
	/* It comes behind what stands in line now. */
	consumer_unqueue(c, &c->synced);
	consumer_queue(c, &c->synced);
}

bool consumer_wants(const struct consumer *c, const struct dev_buffer *b)
{
	unsigned int i;

	if (!c->num_patterns || !(consumer_rights(c, b->application) & ACCESS_SEE))
		return false;
	for (i = 0; i < c->num_patterns; i++)
		if (fnmatch(c->patterns[i], b->application, FNM_NOESCAPE) == 0)
			return true;
	return false;
}

/* Zero-copy is a right, for which a consumer has to ask, too. */
static void choose_path(struct view *v, const struct dev_buffer *b)
{
	v->path = VIRTIO_BUFSHARE_PATH_COPY;
	if (b->path == VIRTIO_BUFSHARE_PATH_COPY)
		v->why = b->why;
	else if (!(v->c->caps & BUFSHARE_IPC_CAP_ZERO_COPY))
		v->why = BUFSHARE_IPC_WHY_CAP;
	else if (!(consumer_rights(v->c, b->application) & ACCESS_ZERO_COPY))
		v->why = BUFSHARE_IPC_WHY_RIGHT;
	else if (b->path == VIRTIO_BUFSHARE_PATH_MEMFD && v->c->peer.uid != geteuid())
		v->why = BUFSHARE_IPC_WHY_RIGHT; /* with all of the guest: not even to root */
	else
		v->path = b->path;
}

/* All views of a buffer have the same, which is made for the first. */
static struct snapshot *current(struct dev_buffer *b)
{
	struct dev_slot *slot;

	LIST_FOREACH(slot, &b->slots, link) {
		struct view *v = slot->consumer;

		if (!slot->hidden)
			return snapshot_ref(v->now);
	}
	return snapshot_new(&b->guest, &b->host);
}

static int view_new(struct consumer *c, struct dev_buffer *b, struct view **view)
{
	_cleanup_free_ struct view *v = calloc(1, sizeof(*v));
	_cleanup_(cleanup_snapshot) struct snapshot *now = current(b);
	int r;

	if (!v || !now)
		return -ENOMEM;
	v->c = c;
	v->id = b->id;
	v->out.send = view_send;
	choose_path(v, b);
	if (v->path == VIRTIO_BUFSHARE_PATH_COPY) {
		r = export_need_copy(b);
		if (r < 0)
			return r;
	}
	v->slot = dev_attach(b, v, v->path == VIRTIO_BUFSHARE_PATH_COPY);
	if (!v->slot)
		return -ENOMEM;
	v->now = steal_ptr(&now);
	TAILQ_INSERT_TAIL(&c->views, v, link);
	*view = steal_ptr(&v);
	return 0;
}

/* It was in sight before, and the consumer has not said CLOSED since. */
static int view_again(struct dev_buffer *b, struct view *v)
{
	struct snapshot *now = current(b);

	if (!now)
		return -ENOMEM;
	snapshot_unref(v->now);
	v->now = now;
	view_take_out(v);
	v->gone = false;
	TAILQ_INSERT_TAIL(&v->c->views, v, link);
	dev_show(v->slot);
	return 0;
}

void consumer_add(struct consumer *c, struct dev_buffer *b)
{
	struct dev_slot *slot;
	struct view *v = NULL;
	int r;

	LIST_FOREACH(slot, &b->slots, link)
		if (((struct view *)slot->consumer)->c == c && !slot->former)
			v = slot->consumer;
	r = v ? view_again(b, v) : view_new(c, b, &v);
	if (r < 0)
		consumer_doom(c, strerror(-r));
	else
		consumer_queue(c, &v->out);
}

struct view *view_find(struct consumer *c, uint64_t id)
{
	struct dev_buffer *b = dev_find(c->all->dev, id);
	struct dev_slot *slot;

	if (!b || b->dying)
		return NULL;
	LIST_FOREACH(slot, &b->slots, link)
		if (((struct view *)slot->consumer)->c == c && !slot->hidden)
			return slot->consumer;
	return NULL;
}

/* ---- what the device model asks for ---- */

void consumers_added(struct consumers *cs, struct dev_buffer *b)
{
	struct consumer *c;

	LIST_FOREACH(c, &cs->list, link)
		if (!c->doomed && consumer_wants(c, b))
			consumer_add(c, b);
}

void consumers_properties(struct consumers *cs, struct dev_buffer *b, const char *block,
			  size_t size)
{
	_cleanup_(cleanup_snapshot) struct snapshot *now = snapshot_new(&b->guest, &b->host);
	struct dev_slot *slot;

	LIST_FOREACH(slot, &b->slots, link) {
		struct view *v = slot->consumer;
		const bool up_to_date = v->told == v->now;

		if (slot->hidden)
			continue;
		if (!now) {
			consumer_doom(v->c, strerror(ENOMEM));
			continue;
		}
		snapshot_set(&v->now, now);
		if (up_to_date && TAILQ_EMPTY(&v->c->line) && !v->c->doomed && !v->c->deaf &&
		    send_block(v, block, size) == 0)
			snapshot_set(&v->told, now);
		else
			consumer_queue(v->c, &v->out);
	}
}

static int send_updated(struct view *v, const struct dev_slot *slot, uint64_t seq)
{
	struct {
		struct bufshare_ipc_updated hdr;
		struct virtio_bufshare_rect damage[BUFSHARE_IPC_MAX_DAMAGE];
	} m = { 0 };
	const struct dev_update *update = dev_slot_update(slot);
	unsigned int i, n = slot->damage.all ? 0 : slot->damage.n;
	const size_t size = sizeof(m.hdr) + n * sizeof(m.damage[0]);

	ipc_header(&m, BUFSHARE_IPC_UPDATED, size);
	m.hdr.buffer = htole64(v->id);
	m.hdr.seq = htole64(seq);
	m.hdr.time_ns = htole64(update->time_ns);
	m.hdr.host_time_ns = htole64(update->host_time_ns);
	m.hdr.flags = htole32(slot->merged > 1 ? BUFSHARE_IPC_UPDATED_COALESCED : 0);
	m.hdr.num_damage = htole32(n);
	for (i = 0; i < n; i++) {
		m.damage[i].x = htole32(slot->damage.v[i].x);
		m.damage[i].y = htole32(slot->damage.v[i].y);
		m.damage[i].width = htole32(slot->damage.v[i].width);
		m.damage[i].height = htole32(slot->damage.v[i].height);
	}
	if (v->c->sending == &v->out)
		return consumer_send_now(v->c, &m, size, -1);
	return consumer_try(v->c, &m, size, -1);
}

int consumers_deliver(struct dev_slot *slot, uint64_t seq)
{
	struct view *v = slot->consumer;
	struct consumer *c = v->c;
	int r = -EAGAIN;

	consumers_expire_later(c->all);
	/* What could not be sent is not made either: many updates may come before it can. */
	if (c->sending == &v->out || !consumer_has_line(c))
		r = send_updated(v, slot, seq);
	if (r == -EAGAIN) {
		v->full = true;
		if (c->sending != &v->out)
			consumer_queue_behind(c, &v->out);
	} else if (r < 0) {
		consumer_failed(c, r);
	}
	return r;
}

void consumers_filled(struct dev_slot *slot)
{
	struct view *v = slot->consumer;

	consumer_queue(v->c, &v->out);
	consumer_sync(v->c);
}

void consumers_revoked(struct dev_slot *slot, uint64_t seq)
{
	struct view *v = slot->consumer;

	v->revoked = seq;
	consumer_queue(v->c, &v->out);
}

void consumers_detached(struct dev_slot *slot)
{
	struct view *v = slot->consumer;
	struct consumer *c = v->c;
	struct consumer_counters *past = &c->past;
	const bool filling = slot->filling;

	past->delivered += slot->delivered;
	past->released += slot->released;
	past->coalesced += slot->coalesced;
	past->revoked += slot->revoked;
	past->held_ns += slot->held_ns;
	v->slot = NULL;
	if (!v->removed)
		view_free(v);
	if (filling)
		consumer_sync(c);
}
