/* SPDX-License-Identifier: MIT */
/*
 * The line in which everything stands that a consumer is to be told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/consumers-internal.h"
#include "host/daemon/log.h"

#define RETRY_NS 100000000ull

/* What is wrong with the host, and not with this consumer, passes. */
static bool passes(int r)
{
	return r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM;
}

void consumer_trace(const struct consumer *c, const char *what, const void *message, size_t size)
{
	char text[128];

	if (!log_enabled(LOG_LEVEL_TRACE))
		return;
	snprintf(text, sizeof(text), "%s consumer %s (process %d)", what,
		 c->program[0] ? c->program : "(unnamed)", (int)c->peer.pid);
	log_trace(text, message, size);
}

int consumer_send_now(struct consumer *c, const void *message, size_t size, int fd)
{
	int r = ipc_send(c->sock, message, size, fd);

	if (r == 0)
		consumer_trace(c, fd < 0 ? "to" : "with a descriptor, to", message, size);
	if (passes(r)) {
		/* The socket itself may have room, so its events would not tell. */
		c->retrying = true;
		loop_timer_set(c->retry, RETRY_NS, 0);
		return -EAGAIN;
	}
	return r;
}

bool consumer_has_line(const struct consumer *c)
{
	return !c->doomed && !c->deaf && (c->sending || !TAILQ_EMPTY(&c->line));
}

int consumer_try(struct consumer *c, const void *message, size_t size, int fd)
{
	if (c->doomed || c->deaf)
		return -ENOTCONN;
	if (consumer_has_line(c))
		return -EAGAIN;
	return consumer_send_now(c, message, size, fd);
}

void consumer_failed(struct consumer *c, int r)
{
	/* What it said before it left still counts. */
	if (r != -ENOTCONN) {
		consumer_doom(c, strerror(-r));
		return;
	}
	c->deaf = true;
	loop_timer_set(c->retry, 0, 0);
}

void consumer_unqueue(struct consumer *c, struct out *out)
{
	if (!out->queued)
		return;
	TAILQ_REMOVE(&c->line, out, link);
	out->queued = false;
	c->num_queued--;
}

static void queue_first(struct consumer *c, struct out *out)
{
	consumer_unqueue(c, out);
	TAILQ_INSERT_HEAD(&c->line, out, link);
	out->queued = true;
	c->num_queued++;
}

void consumer_flush(struct consumer *c)
{
	struct out *out;
	int r = 0;

	if (c->sending) /* its function came here: what it added has its turn afterwards */
		return;
	while (r == 0 && !c->doomed && !c->deaf && (out = TAILQ_FIRST(&c->line))) {
		consumer_unqueue(c, out);
		c->sending = out;
		r = out->send(c, out);
		/* An answer that was sent, and a view that is done, are no more. */
		c->sending = NULL;
		if (r == -EAGAIN)
			queue_first(c, out);
		else if (r < 0)
			consumer_failed(c, r);
	}
	if (!c->doomed)
		consumer_listen(c);
}

void consumer_queue_behind(struct consumer *c, struct out *out)
{
	if (out->queued || c->doomed || c->deaf)
		return;
	TAILQ_INSERT_TAIL(&c->line, out, link);
	out->queued = true;
	if (++c->num_queued > c->max_queued)
		c->max_queued = c->num_queued;
	consumer_listen(c);
}

void consumer_queue(struct consumer *c, struct out *out)
{
	bool first = TAILQ_EMPTY(&c->line);

	consumer_queue_behind(c, out);
	if (first)
		consumer_flush(c);
}

/* ---- answers ---- */

static void free_answer(struct consumer *c, struct answer *a)
{
	c->num_answers--;
	if (a->fd >= 0)
		close(a->fd);
	free(a);
}

static int send_answer(struct consumer *c, struct out *out)
{
	struct answer *a = (struct answer *)out;
	int r = consumer_send_now(c, a->bytes, a->size, a->fd);

	if (r != -EAGAIN)
		free_answer(c, a);
	return r;
}

static int new_answer(struct consumer *c, const void *message, size_t size, int fd,
		      struct answer **answer)
{
	_cleanup_free_ struct answer *a = malloc(sizeof(*a) + size);

	if (!a)
		return -ENOMEM;
	*a = (struct answer){ .out.send = send_answer, .size = size, .fd = -1 };
	if (fd >= 0) {
		a->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (a->fd < 0)
			return -errno;
	}
	memcpy(a->bytes, message, size);
	c->num_answers++;
	*answer = steal_ptr(&a);
	return 0;
}

int consumer_answer_first(struct consumer *c, const void *message, size_t size, int fd)
{
	struct answer *a;
	int r = new_answer(c, message, size, fd, &a);

	if (r == 0)
		queue_first(c, &a->out);
	return r;
}

void consumer_answer(struct consumer *c, const void *message, size_t size, int fd)
{
	struct answer *a = NULL;
	int r;

	if (c->doomed || c->deaf)
		return;
	r = consumer_try(c, message, size, fd);
	if (r == -EAGAIN)
		r = new_answer(c, message, size, fd, &a);
	if (r < 0)
		consumer_failed(c, r);
	else if (a)
		consumer_queue_behind(c, &a->out);
}

void consumer_drop_answers(struct consumer *c)
{
	struct out *out, *next;

	for (out = TAILQ_FIRST(&c->line); out; out = next) {
		next = TAILQ_NEXT(out, link);
		if (out->send != send_answer)
			continue;
		consumer_unqueue(c, out);
		free_answer(c, (struct answer *)out);
	}
	consumer_unqueue(c, &c->synced);
	c->unsynced = 0;
}
