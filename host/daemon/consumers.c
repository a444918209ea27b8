/* SPDX-License-Identifier: MIT */
/*
 * Connections of consumers: who may have one, and when it ends.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/fds.h"
#include "host/daemon/consumers.h"
#include "host/daemon/consumers-internal.h"
#include "host/daemon/log.h"

/* Messages of one consumer that are read before others have their turn. */
#define TURN 64

/* ---- the state of the guest ---- */

static int send_state_value(struct consumer *c, uint32_t state)
{
	struct bufshare_ipc_state m = {
		.state = htole32(state),
		.epoch = htole64(c->all->dev->epoch),
	};

	ipc_header(&m, BUFSHARE_IPC_STATE, sizeof(m));
	return consumer_send_now(c, &m, sizeof(m), -1);
}

static int send_state(struct consumer *c, struct out *out)
{
	int r = 0;

	if (c->state_void) {
		r = send_state_value(c, c->state_void);
		if (r < 0)
			return r;
		c->state_void = 0;
	}
	if (c->state_now >= 0)
		r = send_state_value(c, (uint32_t)c->state_now);
	if (r == 0)
		c->state_now = -1;
	return r;
}

static void tell_state(struct consumer *c, uint32_t state)
{
	if (state == BUFSHARE_IPC_STATE_RESET || state == BUFSHARE_IPC_STATE_GONE) {
		views_void(c);
		c->state_void = state;
		c->state_now = -1;
		consumer_unqueue(c, &c->state); /* what stands before it was before it */
	} else {
		c->state_now = state;
	}
	consumer_queue(c, &c->state);
}

void consumers_set_state(struct consumers *cs, uint32_t state)
{
	struct consumer *c;

	/* After a reset the guest runs; RESET is what happened, not what is. */
	cs->state = state == BUFSHARE_IPC_STATE_RESET ? BUFSHARE_IPC_STATE_RUNNING : state;
	LIST_FOREACH(c, &cs->list, link)
		if (c->welcome)
			tell_state(c, state);
}

/* ---- updates that are held too long ---- */

void consumers_expire_later(struct consumers *cs)
{
	if (cs->expiry_set || !cs->config.release_timeout_ns)
		return;
	loop_timer_set(cs->expiry, cs->config.release_timeout_ns, 0);
	cs->expiry_set = true;
}

static void expire(void *data)
{
	struct consumers *cs = data;
	uint64_t now = cs->dev->ops->now_ns(cs->dev->data), since;

	since = dev_take_back(cs->dev, now - cs->config.release_timeout_ns);
	cs->expiry_set = since != 0;
	if (since)
		loop_timer_set(cs->expiry, since + cs->config.release_timeout_ns - now, 0);
}

/* ---- connections ---- */

unsigned int consumer_rights(const struct consumer *c, const char *application)
{
	return access_rights(&c->peer, &c->all->config.access, application);
}

static bool has_answers_enough(const struct consumer *c)
{
	return c->num_answers + c->unsynced >= CONSUMERS_MAX_ANSWERS;
}

void consumer_listen(struct consumer *c)
{
	uint32_t events = 0;

	if (!has_answers_enough(c) && !c->pausing)
		events |= EPOLLIN;
	if (!TAILQ_EMPTY(&c->line) && !c->retrying && !c->deaf)
		events |= EPOLLOUT;
	if (events != c->events && c->source)
		loop_source_set_events(c->source, events);
	c->events = events;
}

void consumer_doom(struct consumer *c, const char *why)
{
	if (c->doomed)
		return;
	log_info("consumer %s is disconnected: %s", c->program[0] ? c->program : "(unnamed)", why);
	c->doomed = true;
	c->source = loop_source_remove(c->source);
	loop_timer_set(c->all->reaper, 0, 0);
}

static void consumer_free(struct consumer *c)
{
	c->doomed = true;
	LIST_REMOVE(c, link);
	c->all->num--;
	views_end(c);
	consumer_drop_answers(c);
	loop_source_remove(c->source);
	loop_source_remove(c->retry);
	loop_source_remove(c->pause);
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

static void make_error(struct bufshare_ipc_error *m, int code, uint32_t type, const char *text)
{
	*m = (struct bufshare_ipc_error){
		.code = htole32((uint32_t)code),
		.type = htole32(type),
	};
	ipc_header(m, BUFSHARE_IPC_ERROR, sizeof(*m));
	snprintf((char *)m->text, sizeof(m->text), "%s", text);
}

static void turn_away(int sock, int code, const char *text)
{
	struct bufshare_ipc_error m;

	make_error(&m, code, 0, text);
	ipc_send(sock, &m, sizeof(m), -1);
}

/* What was refused; some of it is no offence. */
static void refuse(struct consumer *c, int r, uint32_t type)
{
	struct bufshare_ipc_error m;

	make_error(&m, -r, type, strerror(-r));
	consumer_answer(c, &m, sizeof(m), -1);
	if (r != -ENOSPC && r != -EOPNOTSUPP)
		consumer_doom(c, "it sent what it must not");
}

/* ---- how much one may say, and how soon ---- */

static uint64_t now_ns(const struct consumer *c)
{
	struct dev *dev = c->all->dev;

	return dev->ops->now_ns(dev->data);
}

/* It is not listened to for a while. What it said before it left is read at once. */
static bool must_wait(struct consumer *c)
{
	uint64_t wait = c->deaf ? 0 : rate_wait(&c->rate, now_ns(c));

	if (!wait)
		return false;
	c->pausing = true;
	loop_timer_set(c->pause, wait, 0);
	consumer_listen(c);
	return true;
}

static void count_message(struct consumer *c)
{
	rate_count(&c->rate, now_ns(c));
	if (c->waited && !c->said_it_waits) {
		log_warn("consumer %s sends more than %u messages a second, and has to wait (--max-messages)",
			 c->program[0] ? c->program : "(unnamed)", c->rate.per_second);
		c->said_it_waits = true;
	}
}

/* What a message costs, of all that is done for one consumer at a time. */
static int cost(uint32_t type)
{
	/* These go through all buffers. */
	if (type == BUFSHARE_IPC_SUBSCRIBE || type == BUFSHARE_IPC_UNSUBSCRIBE ||
	    type == BUFSHARE_IPC_GET_STATS)
		return TURN;
	return 1;
}

/*
 * Not for ever: the guest and the other consumers have their turn too. Returns whether
 * everything was read.
 */
static bool readable(struct consumer *c)
{
	union ipc_message msg;
	uint32_t type;
	int r, turn;

	for (turn = 0; turn < TURN && !c->doomed; turn += cost(type)) {
		_cleanup_close_ int fd = -1;

		if (has_answers_enough(c) || must_wait(c))
			return false;
		r = ipc_recv(c->sock, &msg, &fd);
		if (r == -EAGAIN)
			return true;
		if (r == -ENOTCONN) {
			consumer_doom(c, "it closed the connection");
			return true;
		}
		count_message(c);
		if (r >= 0)
			consumer_trace(c, "from", &msg, (size_t)r);
		type = r < 0 ? 0 : le32toh(msg.hdr.type);
		if (r >= 0)
			r = fd < 0 ? consumer_message(c, &msg, (size_t)r) : -EPROTO;
		if (r < 0)
			refuse(c, r, type);
	}
	return false;
}

static void no_hello(struct consumer *c)
{
	struct bufshare_ipc_error m;

	make_error(&m, ETIMEDOUT, BUFSHARE_IPC_HELLO, "no HELLO came in time (--hello-timeout)");
	consumer_answer(c, &m, sizeof(m), -1);
	consumer_doom(c, "it did not say HELLO in time (--hello-timeout)");
}

static void pause_is_over(void *data)
{
	struct consumer *c = data;

	if (c->doomed)
		return;
	if (!c->pausing) {
		no_hello(c);
		return;
	}
	c->pausing = false;
	c->waited = true;
	readable(c);
	c->waited = false;
	if (!c->doomed)
		consumer_listen(c);
}

static void event(void *data, uint32_t events)
{
	struct consumer *c = data;

	if (events & EPOLLOUT)
		consumer_flush(c);
	if (c->doomed)
		return;
	/* Nobody will read the answers that keep it from being listened to. */
	if (events & (EPOLLHUP | EPOLLERR)) {
		c->deaf = true;
		consumer_drop_answers(c);
	}
	readable(c);
}

/* One that can not be told anything any more ends when all that it said is done. */
static void hear_out(struct consumer *c)
{
	consumer_drop_answers(c);
	if (!readable(c))
		loop_timer_set(c->retry, 0, 0);
	else
		consumer_doom(c, "it reads no more");
}

static void retry(void *data)
{
	struct consumer *c = data;

	c->retrying = false;
	if (c->doomed)
		return;
	if (c->deaf)
		hear_out(c);
	else
		consumer_flush(c);
}

static void cleanup_consumer(struct consumer **c)
{
	if (!*c)
		return;
	loop_source_remove((*c)->source);
	loop_source_remove((*c)->retry);
	loop_source_remove((*c)->pause);
	free(*c);
}

static int consumer_new(struct consumers *cs, int sock, const struct access_peer *peer)
{
	_cleanup_(cleanup_consumer) struct consumer *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = loop_add_fd(cs->loop, sock, EPOLLIN, event, c, &c->source);
	if (r == 0)
		r = loop_add_timer(cs->loop, retry, c, &c->retry);
	if (r == 0)
		r = loop_add_timer(cs->loop, pause_is_over, c, &c->pause);
	if (r == 0 && cs->config.hello_timeout_ns)
		r = loop_timer_set(c->pause, cs->config.hello_timeout_ns, 0);
	if (r < 0)
		return r;
	c->all = cs;
	c->rate.per_second = cs->config.max_messages;
	c->sock = sock;
	c->events = EPOLLIN;
	c->peer = *peer;
	c->state.send = send_state;
	c->synced.send = consumer_send_synced;
	c->state_now = -1;
	TAILQ_INIT(&c->views);
	TAILQ_INIT(&c->leaving);
	TAILQ_INIT(&c->line);
	LIST_INSERT_HEAD(&cs->list, c, link);
	cs->num++;
	steal_ptr(&c);
	return 0;
}

/* Those that said nothing so far, too. */
static unsigned int count_of(const struct consumers *cs, uid_t uid)
{
	const struct consumer *c;
	unsigned int n = 0;

	LIST_FOREACH(c, &cs->list, link)
		n += c->peer.uid == uid;
	return n;
}

int consumers_accept(struct consumers *cs, int sock)
{
	_cleanup_close_ int fd = sock;
	struct access_peer peer;
	int r;

	r = access_peer_init(&peer, &cs->config.access, fd);
	if (r < 0) {
		turn_away(fd, EACCES, "this user may not see any buffer (--allow-uid, --allow-gid)");
		return r;
	}
	if (cs->config.max_per_user && count_of(cs, peer.uid) >= cs->config.max_per_user) {
		turn_away(fd, ENOSPC, "this user has as many consumers as one may (--max-consumers-per-user)");
		return -ENOSPC;
	}
	if (cs->num >= cs->config.max) {
		turn_away(fd, ENOSPC, "the daemon serves as many consumers as it may (--max-consumers)");
		return -ENOSPC;
	}
	r = consumer_new(cs, fd, &peer);
	if (r == 0)
		steal_fd(&fd);
	return r;
}

static void connecting(void *data, uint32_t events)
{
	struct consumers *cs = data;
	int sock = accept4(cs->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (sock < 0 && fds_no_room(errno)) {
		log_warn("a consumer has to wait: %m");
		loop_source_set_events(cs->source, 0);
		loop_timer_set(cs->again, FDS_NO_ROOM_PAUSE_NS, 0);
	}
	if (sock < 0)
		return;
	r = consumers_accept(cs, sock);
	if (r < 0)
		log_warn("a consumer was turned away: %s", strerror(-r));
}

static void listen_again(void *data)
{
	struct consumers *cs = data;

	loop_source_set_events(cs->source, EPOLLIN);
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
	if (r == 0)
		r = loop_add_timer(loop, expire, cs, &cs->expiry);
	if (r == 0)
		r = loop_add_timer(loop, listen_again, cs, &cs->again);
	if (r == 0 && listener >= 0)
		r = loop_add_fd(loop, listener, EPOLLIN, connecting, cs, &cs->source);
	if (r < 0)
		return r;
	cs->listener = listener;
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
	loop_source_remove(cs->expiry);
	loop_source_remove(cs->again);
	if (cs->listener >= 0)
		close(cs->listener);
	free(cs);
	return NULL;
}
