/* SPDX-License-Identifier: MIT */
/*
 * Connections of consumers, and what is sent to them.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "host/daemon/consumers.h"
#include "host/daemon/consumers-internal.h"
#include "host/daemon/export.h"
#include "host/daemon/log.h"

/* ---- sending ---- */

void consumer_doom(struct consumer *c, const char *why)
{
	if (c->doomed)
		return;
	log_info("consumer %s is disconnected: %s", c->program[0] ? c->program : "(unnamed)", why);
	c->doomed = true;
	c->source = loop_source_remove(c->source);
	loop_timer_set(c->all->reaper, 0, 0);
}

static int queue_message(struct consumer *c, const void *message, size_t size, int fd)
{
	struct queued *q;

	if (c->num_queued >= CONSUMERS_MAX_QUEUED)
		return -ENOBUFS;
	q = malloc(sizeof(*q) + size);
	if (!q)
		return -ENOMEM;
	q->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && q->fd < 0) {
		free(q);
		return -errno;
	}
	q->size = size;
	memcpy(q->bytes, message, size);
	STAILQ_INSERT_TAIL(&c->queue, q, link);
	c->num_queued++;
	loop_source_set_events(c->source, EPOLLIN | EPOLLOUT);
	return 0;
}

void consumer_send(struct consumer *c, const void *message, size_t size, int fd)
{
	int r = -EAGAIN;

	if (c->doomed)
		return;
	if (STAILQ_EMPTY(&c->queue))
		r = ipc_send(c->sock, message, size, fd);
	if (r == -EAGAIN)
		r = queue_message(c, message, size, fd);
	if (r < 0)
		consumer_doom(c, r == -ENOBUFS ? "it does not read" : strerror(-r));
}

static void drop_queued(struct consumer *c)
{
	struct queued *q = STAILQ_FIRST(&c->queue);

	STAILQ_REMOVE_HEAD(&c->queue, link);
	c->num_queued--;
	if (q->fd >= 0)
		close(q->fd);
	free(q);
}

/* There is room again. */
static void flush(struct consumer *c)
{
	struct dev_slot *slot;
	struct queued *q;
	int r;

	while ((q = STAILQ_FIRST(&c->queue))) {
		r = ipc_send(c->sock, q->bytes, q->size, q->fd);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			consumer_doom(c, strerror(-r));
			return;
		}
		drop_queued(c);
	}
	loop_source_set_events(c->source, EPOLLIN);
	LIST_FOREACH(slot, &c->slots, in_consumer)
		dev_flush(slot);
}

static void send_added(struct consumer *c, const struct dev_buffer *b)
{
	struct {
		struct bufshare_ipc_added hdr;
		char block[PROPS_BLOCK_MAX];
	} m = { 0 };
	struct bufshare_ipc_ranges ranges = { 0 };
	size_t size;
	uint32_t n;
	int fd;

	fd = export_ranges_fd(b->export, &n);
	if (fd >= 0) {
		ipc_header(&ranges, BUFSHARE_IPC_RANGES, sizeof(ranges));
		ranges.buffer = htole64(b->id);
		ranges.num_ranges = htole32(n);
		consumer_send(c, &ranges, sizeof(ranges), fd);
	}

	m.hdr.buffer = htole64(b->id);
	m.hdr.size = htole64(b->size);
	m.hdr.seq = htole64(b->seq);
	memcpy(m.hdr.uuid, b->uuid, sizeof(m.hdr.uuid));
	memcpy(m.hdr.application, b->application, sizeof(m.hdr.application));
	m.hdr.path = htole32(b->path);
	m.hdr.flags = htole32((b->again ? BUFSHARE_IPC_ADDED_AGAIN : 0) |
			      (b->path == VIRTIO_BUFSHARE_PATH_COPY ? 0 : BUFSHARE_IPC_ADDED_WRITABLE));
	size = props_write_block(&b->guest, PROPS_GUEST, m.block);
	size += props_write_block(&b->host, PROPS_HOST, m.block + size);
	m.hdr.properties_size = htole32((uint32_t)size);
	size += sizeof(m.hdr);
	ipc_header(&m, BUFSHARE_IPC_ADDED, size);
	consumer_send(c, &m, size, export_fd(b->export));
}

bool consumer_wants(const struct consumer *c, const struct dev_buffer *b)
{
	unsigned int i;

	for (i = 0; i < c->num_patterns; i++)
		if (fnmatch(c->patterns[i], b->application, FNM_NOESCAPE) == 0)
			return true;
	return false;
}

void consumer_add(struct consumer *c, struct dev_buffer *b)
{
	struct dev_slot *slot = dev_attach(b, c, b->path != VIRTIO_BUFSHARE_PATH_COPY);

	if (!slot) {
		consumer_doom(c, "no memory");
		return;
	}
	LIST_INSERT_HEAD(&c->slots, slot, in_consumer);
	send_added(c, b);
}

void consumers_added(struct consumers *cs, struct dev_buffer *b)
{
	struct consumer *c;

	LIST_FOREACH(c, &cs->list, link)
		if (!c->doomed && consumer_wants(c, b))
			consumer_add(c, b);
}

void consumers_removed(struct consumers *cs, struct dev_buffer *b, uint32_t reason)
{
	struct bufshare_ipc_removed m = { 0 };
	struct dev_slot *slot;

	ipc_header(&m, BUFSHARE_IPC_REMOVED, sizeof(m));
	m.buffer = htole64(b->id);
	m.reason = htole32(reason);
	LIST_FOREACH(slot, &b->slots, in_buffer)
		consumer_send(slot->consumer, &m, sizeof(m), -1);
}

void consumers_properties(struct consumers *cs, struct dev_buffer *b, const char *block,
			  size_t size)
{
	struct {
		struct bufshare_ipc_properties hdr;
		char block[PROPS_BLOCK_MAX];
	} m = { 0 };
	struct dev_slot *slot;

	ipc_header(&m, BUFSHARE_IPC_PROPERTIES, sizeof(m.hdr) + size);
	m.hdr.buffer = htole64(b->id);
	m.hdr.properties_size = htole32((uint32_t)size);
	memcpy(m.block, block, size);
	LIST_FOREACH(slot, &b->slots, in_buffer)
		consumer_send(slot->consumer, &m, sizeof(m.hdr) + size, -1);
}

int consumers_deliver(struct dev_slot *slot, uint64_t seq)
{
	struct {
		struct bufshare_ipc_updated hdr;
		struct virtio_bufshare_rect damage[BUFSHARE_IPC_MAX_DAMAGE];
	} m = { 0 };
	const struct dev_buffer *b = slot->buffer;
	struct consumer *c = slot->consumer;
	size_t size;
	unsigned int i, n = slot->damage.all ? 0 : slot->damage.n;
	int r;

	/* What waits comes first, the ADDED of this buffer perhaps. */
	if (c->doomed || !STAILQ_EMPTY(&c->queue))
		return -EAGAIN;

	size = sizeof(m.hdr) + n * sizeof(m.damage[0]);
	ipc_header(&m, BUFSHARE_IPC_UPDATED, size);
	m.hdr.buffer = htole64(b->id);
	m.hdr.seq = htole64(seq);
	m.hdr.time_ns = htole64(b->time_ns);
	m.hdr.host_time_ns = htole64(b->host_time_ns);
	m.hdr.flags = htole32(slot->merged > 1 ? BUFSHARE_IPC_UPDATED_COALESCED : 0);
	m.hdr.num_damage = htole32(n);
	for (i = 0; i < n; i++) {
		m.damage[i].x = htole32(slot->damage.v[i].x);
		m.damage[i].y = htole32(slot->damage.v[i].y);
		m.damage[i].width = htole32(slot->damage.v[i].width);
		m.damage[i].height = htole32(slot->damage.v[i].height);
	}
	r = ipc_send(c->sock, &m, size, -1);
	if (r == -EAGAIN)
		loop_source_set_events(c->source, EPOLLIN | EPOLLOUT);
	else if (r < 0)
		consumer_doom(c, strerror(-r));
	return r;
}

void consumers_set_state(struct consumers *cs, uint32_t state)
{
	struct bufshare_ipc_state m = { 0 };
	struct consumer *c;

	/* After a reset the guest runs; RESET is what happened, not what is. */
	cs->state = state == BUFSHARE_IPC_STATE_RESET ? BUFSHARE_IPC_STATE_RUNNING : state;
	ipc_header(&m, BUFSHARE_IPC_STATE, sizeof(m));
	m.state = htole32(state);
	m.epoch = htole64(cs->dev->epoch);
	LIST_FOREACH(c, &cs->list, link)
		if (c->welcome)
			consumer_send(c, &m, sizeof(m), -1);
}

/* ---- connections ---- */

static void consumer_free(struct consumer *c)
{
	struct dev_slot *slot;

	LIST_REMOVE(c, link);
	c->all->num--;
	while ((slot = LIST_FIRST(&c->slots)))
		dev_detach(slot, true);
	while (!STAILQ_EMPTY(&c->queue))
		drop_queued(c);
	loop_source_remove(c->source);
	close(c->sock);
	free(c);
}

static void reap(void *data)
{
	struct consumers *cs = data;
	struct consumer *c, *next;

	for (c = LIST_FIRST(&cs->list); c; c = next) {
		next = LIST_NEXT(c, link);
		if (c->doomed)
			consumer_free(c);
	}
}

static void refuse(int sock, int code, uint32_t type, const char *text)
{
	struct bufshare_ipc_error m = { 0 };

	ipc_header(&m, BUFSHARE_IPC_ERROR, sizeof(m));
	m.code = htole32((uint32_t)code);
	m.type = htole32(type);
	snprintf((char *)m.text, sizeof(m.text), "%s", text);
	ipc_send(sock, &m, sizeof(m), -1);
}

static void readable(struct consumer *c)
{
	union ipc_message msg;
	uint32_t type;
	int r, i;

	/* Not for ever: the guest and the other consumers have their turn too. */
	for (i = 0; i < 64 && !c->doomed; i++) {
		_cleanup_close_ int fd = -1;

		r = ipc_recv(c->sock, &msg, &fd);
		if (r == -EAGAIN)
			return;
		if (r == -ENOTCONN) {
			consumer_doom(c, "it closed the connection");
			return;
		}
		type = r < 0 ? 0 : le32toh(msg.hdr.type);
		if (r >= 0)
			r = fd < 0 ? consumer_message(c, &msg, (size_t)r) : -EPROTO;
		if (r < 0) {
			refuse(c->sock, -r, type, strerror(-r));
			if (r != -ENOSPC && r != -EOPNOTSUPP) /* which are no offence */
				consumer_doom(c, "it sent what it must not");
		}
	}
}

static void event(void *data, uint32_t events)
{
	struct consumer *c = data;

	if (events & EPOLLOUT)
		flush(c);
	if (!c->doomed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		readable(c);
}

/* The daemon's own user, and root. */
static bool allowed(int sock)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

int consumers_accept(struct consumers *cs, int sock)
{
	_cleanup_close_ int fd = sock;
	_cleanup_free_ struct consumer *c = NULL;
	int r;

	if (!allowed(fd)) {
		refuse(fd, EACCES, 0, "only the daemon's own user and root may connect");
		return -EACCES;
	}
	if (cs->num >= cs->config.max) {
		refuse(fd, ENOSPC, 0, "the daemon serves as many consumers as it may already");
		return -ENOSPC;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	r = loop_add_fd(cs->loop, fd, EPOLLIN, event, c, &c->source);
	if (r < 0)
		return r;
	c->all = cs;
	c->sock = steal_fd(&fd);
	LIST_INIT(&c->slots);
	STAILQ_INIT(&c->queue);
	LIST_INSERT_HEAD(&cs->list, c, link);
	cs->num++;
	steal_ptr(&c);
	return 0;
}

static void connecting(void *data, uint32_t events)
{
	struct consumers *cs = data;
	int sock = accept4(cs->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (sock < 0)
		return;
	r = consumers_accept(cs, sock);
	if (r < 0)
		log_warn("a consumer was turned away: %s", strerror(-r));
}

static void cleanup_consumers(struct consumers **cs)
{
	consumers_free(*cs);
}

int consumers_new(struct loop *loop, struct dev *dev, const struct consumers_config *config,
		  int listener, struct consumers **consumers)
{
	_cleanup_(cleanup_consumers) struct consumers *cs = calloc(1, sizeof(*cs));
	int r;

	if (!cs)
		return -ENOMEM;
	LIST_INIT(&cs->list);
	cs->config = *config;
	cs->loop = loop;
	cs->dev = dev;
	cs->listener = -1;
	r = loop_add_timer(loop, reap, cs, &cs->reaper);
	if (r < 0)
		return r;
	if (listener >= 0) {
		r = loop_add_fd(loop, listener, EPOLLIN, connecting, cs, &cs->source);
		if (r < 0)
			return r;
		cs->listener = listener;
	}
	*consumers = steal_ptr(&cs);
	return 0;
}

struct consumers *consumers_free(struct consumers *cs)
{
	struct consumer *c;

	if (!cs)
		return NULL;
	while ((c = LIST_FIRST(&cs->list)))
		consumer_free(c);
	loop_source_remove(cs->source);
	loop_source_remove(cs->reaper);
	if (cs->listener >= 0)
		close(cs->listener);
	free(cs);
	return NULL;
}
