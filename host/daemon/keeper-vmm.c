/* SPDX-License-Identifier: MIT */
/*
 * The VMM's side of the keeper. One message is under way at a time: it is read, given to the
 * worker, and kept until that has answered, so that the next worker can be given it.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fds.h"
#include "host/daemon/keeper-internal.h"
#include "host/daemon/log.h"

#define HEADER_SIZE sizeof(struct vhost_user_header)

/* Workers that one message may end before it is the VMM's connection that is given up. */
#define MAX_KILLERS 20

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
};

void keeper_update_listening(struct keeper *k)
{
	bool can = k->ready && !k->closing && k->vmm < 0 && !k->ending && !k->no_room;

	if (k->listener_source)
		loop_source_set_events(k->listener_source, can ? EPOLLIN : 0);
}

/* What it waits for: to send on, or to read on. Nothing while the worker has its message. */
static void update_events(struct keeper *k)
{
	uint32_t events = EPOLLIN;

	if (k->reply_size)
		events = EPOLLOUT;
	else if (k->outstanding || !k->ready)
		events = 0;
	loop_source_set_events(k->vmm_source, events);
}

/* ---- reading ---- */

/* 1: more of the message is there; 0: nothing now. */
static int receive_some(struct keeper *k, size_t up_to)
{
	struct message *msg = &k->in;
	struct iovec iov = { .iov_base = msg->bytes + msg->size, .iov_len = up_to - msg->size };
	union control control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	do {
		n = recvmsg(k->vmm, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return errno == ECONNRESET ? -ENOTCONN : -errno;

	if (!fds_take(&mh, msg->fds, ARRAY_SIZE(msg->fds), &msg->num_fds))
		return -EPROTO;
	if (n == 0)
		return -ENOTCONN;
	if (mh.msg_flags & MSG_CTRUNC)
		return msg->num_fds == VHOST_USER_MAX_FDS ? -EPROTO : -EMFILE;
	msg->size += (size_t)n;
	return 1;
}

/* 1: the message is whole; 0: not yet. The one thing of it that is looked at is its size. */
static int receive(struct keeper *k)
{
	struct vhost_user_header hdr;
	size_t want = HEADER_SIZE;
	int r;

	for (;;) {
		if (k->in.size >= HEADER_SIZE) {
			memcpy(&hdr, k->in.bytes, HEADER_SIZE);
			if (hdr.size > sizeof(k->in.bytes) - HEADER_SIZE)
				return -EPROTO;
			want = HEADER_SIZE + hdr.size;
		}
		if (k->in.size == want && want >= HEADER_SIZE)
			return 1;
		r = receive_some(k, want);
		if (r <= 0)
			return r;
	}
}

/* ---- writing ---- */

static int send_on(struct keeper *k)
{
	while (k->reply_sent < k->reply_size) {
		ssize_t n = send(k->vmm, k->reply + k->reply_sent, k->reply_size - k->reply_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
		k->reply_sent += (size_t)n;
	}
	k->reply_size = k->reply_sent = 0;
	return 0;
}

/* ---- life ---- */

static void give(struct keeper *k)
{
	keeper_tell_message(k, KEEPER_MESSAGE, k->in.bytes, k->in.size, k->in.fds, k->in.num_fds);
}

static void on_vmm(void *data, uint32_t events)
{
	struct keeper *k = data;
	int r;

	if (k->reply_size) {
		r = send_on(k);
	} else if (k->outstanding || !k->ready) {
		/* There is nobody to tell an answer to. */
		r = events & (EPOLLHUP | EPOLLERR) ? -ENOTCONN : 0;
	} else {
		r = receive(k);
		if (r == 1) {
			k->outstanding = true;
			give(k);
		}
	}
	if (r < 0 && r != -ENOTCONN)
		log_err("vhost-user: %s: closing the connection",
			r == -EPROTO ? "malformed message" : strerror(-r));
	if (r < 0)
		keeper_disconnect(k, r == -ENOTCONN ? 0 : r);
	else
		update_events(k);
}

void keeper_answered(struct keeper *k, const struct worker_record *done, const void *reply,
		     size_t size)
{
	int r = done->error;

	if (!k->outstanding)
		return;
	if (r == 0)
		r = journal_note(&k->journal, &done->note, &k->in);
	k->outstanding = false;
	k->killers = 0;
	message_clear(&k->in);
	if (r == 0 && size) {
		memcpy(k->reply, reply, size);
		k->reply_size = size;
		k->reply_sent = 0;
		r = send_on(k);
	}
	if (r < 0)
		keeper_disconnect(k, r == -ENOTCONN ? 0 : r);
	else
		update_events(k);
}

void keeper_replay(struct keeper *k)
{
	struct journal_entry *e;

	if (k->vmm < 0)
		return;
	keeper_tell(k, KEEPER_VMM, 0);
	TAILQ_FOREACH(e, &k->journal.entries, link)
		keeper_tell_message(k, KEEPER_REPLAY, e->bytes, e->size, e->fds, e->num_fds);
	keeper_tell(k, KEEPER_REPLAYED, 0);
	if (k->outstanding && ++k->killers > MAX_KILLERS) {
		log_err("a message of the VMM ended %u workers: closing its connection", MAX_KILLERS);
		keeper_disconnect(k, -EIO);
		return;
	}
	if (k->outstanding)
		give(k);
	update_events(k);
}

int keeper_connect(struct keeper *k, int sock)
{
	int r;

	r = loop_add_fd(k->loop, sock, 0, on_vmm, k, &k->vmm_source);
	if (r < 0)
		return r;
	k->vmm = sock;
	k->served = true;
	keeper_update_listening(k);
	if (k->ready)
		keeper_replay(k);
	return 0;
}

static bool was_the_last(const struct keeper *k)
{
	return k->config.once || k->config.listener < 0 || k->ending;
}

void keeper_disconnect(struct keeper *k, int reason)
{
	k->vmm_source = loop_source_remove(k->vmm_source);
	close(k->vmm);
	k->vmm = -1;
	k->outstanding = false;
	k->killers = 0;
	k->reply_size = k->reply_sent = 0;
	message_clear(&k->in);
	journal_clear(&k->journal);
	k->closing = true;
	keeper_tell(k, KEEPER_GONE, reason);
	if (was_the_last(k))
		keeper_finish(k, reason);
}
