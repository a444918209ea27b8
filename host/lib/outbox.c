/* SPDX-License-Identifier: MIT */
/*
 * What waits for room in the socket. RELEASE and CLOSED need no memory: there is at
 * most one of each per buffer, and a mark on the buffer keeps it. All others are
 * copied, up to HOST_MAX_QUEUED of them.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "host/lib/internal.h"

/* The program polls host->epoll for input; room for output must wake it as well. */
static void poll_for_room(struct bufshare_host *host)
{
	bool waits = host->num_out_messages || !TAILQ_EMPTY(&host->out_buffers);
	struct epoll_event event = { .events = EPOLLIN | (waits ? EPOLLOUT : 0) };

	if (waits == host->out_polled || host->sock < 0)
		return;

	epoll_ctl(host->epoll, EPOLL_CTL_MOD, host->sock, &event);
	host->out_polled = waits;
}

static void dequeue(struct bufshare_host_buffer *buf)
{
	if (!buf->out_queued)
		return;

	TAILQ_REMOVE(&buf->host->out_buffers, buf, out_link);
	buf->out_queued = false;
}

static void enqueue(struct bufshare_host_buffer *buf)
{
	if (buf->out_queued)
		return;

	TAILQ_INSERT_TAIL(&buf->host->out_buffers, buf, out_link);
	buf->out_queued = true;
}

void outbox_forget(struct bufshare_host_buffer *buf)
{
	if (!buf->host)
		return;

	dequeue(buf);
	buf->out_release = 0;
	if (buf->out_closed)
		buf->host->num_out_closed--;
	buf->out_closed = false;
}

void outbox_clear(struct bufshare_host *host)
{
	struct bufshare_host_buffer *buf;
	struct host_message *message;

	while ((message = STAILQ_FIRST(&host->out_messages))) {
		STAILQ_REMOVE_HEAD(&host->out_messages, link);
		free(message);
	}
	host->num_out_messages = 0;

	while ((buf = TAILQ_FIRST(&host->out_buffers))) {
		bool last = buf->out_closed;

		outbox_forget(buf);
		if (last)
			buffer_free(buf);
	}
}

static int flush_messages(struct bufshare_host *host)
{
	struct host_message *message;

	while ((message = STAILQ_FIRST(&host->out_messages))) {
		int r = ipc_send(host->sock, message->bytes, message->size, -1);

		if (r < 0)
			return r;

		STAILQ_REMOVE_HEAD(&host->out_messages, link);
		host->num_out_messages--;
		free(message);
	}
	return 0;
}

static int send_release(struct bufshare_host_buffer *buf)
{
	struct bufshare_ipc_release msg = {
		.buffer = htole64(buf->id),
		.seq = htole64(buf->out_release),
	};

	if (!buf->out_release)
		return 0;

	ipc_header(&msg, BUFSHARE_IPC_RELEASE, sizeof(msg));
	return ipc_send(buf->host->sock, &msg, sizeof(msg), -1);
}

static int send_closed(struct bufshare_host_buffer *buf)
{
	struct bufshare_ipc_buffer msg = { .buffer = htole64(buf->id) };

	/* Should the id mean another buffer by now, the daemon takes the oldest for meant. */
	if (!buf->out_closed)
		return 0;

	ipc_header(&msg, BUFSHARE_IPC_CLOSED, sizeof(msg));
	return ipc_send(buf->host->sock, &msg, sizeof(msg), -1);
}

static int flush_buffers(struct bufshare_host *host)
{
	struct bufshare_host_buffer *buf;

	while ((buf = TAILQ_FIRST(&host->out_buffers))) {
		bool last = buf->out_closed;
		int r;

		r = send_release(buf);
		if (r < 0)
			return r;
		buf->out_release = 0;

		r = send_closed(buf);
		if (r < 0)
			return r;

		outbox_forget(buf);
		if (last)
			buffer_free(buf);
	}
	return 0;
}

void outbox_flush(struct bufshare_host *host)
{
	int r;

	if (host->error || host->send_closed || host->sock < 0)
		return;

	r = flush_messages(host);
	if (r == 0)
		r = flush_buffers(host);

	/* Without memory the kernel has no room either. All else will not get better. */
	if (r < 0 && r != -EAGAIN && r != -ENOBUFS && r != -ENOMEM) {
		host->send_closed = true;
		outbox_clear(host);
	}
	poll_for_room(host);
}

int outbox_send(struct bufshare_host *host, const void *msg, size_t size)
{
	struct host_message *message;

	if (host->error || host->send_closed || host->sock < 0)
		return -ENOTCONN;
	if (host->num_out_messages >= HOST_MAX_QUEUED)
		outbox_flush(host);
	if (host->num_out_messages >= HOST_MAX_QUEUED)
		return -EAGAIN;

	message = malloc(sizeof(*message) + size);
	if (!message)
		return -ENOMEM;

	message->size = size;
	memcpy(message->bytes, msg, size);
	STAILQ_INSERT_TAIL(&host->out_messages, message, link);
	host->num_out_messages++;

	outbox_flush(host);
	return host->send_closed ? -ENOTCONN : 0;
}

void outbox_release(struct bufshare_host_buffer *buf, uint64_t seq)
{
	buf->out_release = seq;
	enqueue(buf);
	outbox_flush(buf->host);
}

void outbox_closed(struct bufshare_host_buffer *buf)
{
	struct bufshare_host *host = buf->host;

	buf->out_closed = true;
	host->num_out_closed++;
	enqueue(buf);
	outbox_flush(host);

	/* It makes buffers come and go, and reads nothing. */
	if (host->num_out_closed > HOST_MAX_BUFFERS)
		host_fail(host, -EPROTO);
}
