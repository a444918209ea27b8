/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fds.h"
#include "host/daemon/log.h"
#include "host/daemon/vhost-user-internal.h"

#define HEADER_SIZE sizeof(struct vhost_user_header)

/* Room for as many descriptors as a message can have; the kernel closes what is beyond. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
};

static int error_of_socket(void)
{
	switch (errno) {
	case EPIPE:
	case ECONNRESET:
		return -ENOTCONN;
	default:
		return -errno;
	}
}

/* One read of at most size bytes. 0: there is nothing now. */
static ssize_t receive_some(struct vu *vu, void *buf, size_t size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	union control control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	do {
		n = recvmsg(vu->sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : error_of_socket();

	if (!fds_take(&mh, vu->in.fds, ARRAY_SIZE(vu->in.fds), &vu->in.num_fds))
		return -EPROTO;
	if (n == 0)
		return -ENOTCONN;
	/* Either there were more than any message has, or we can not have more. */
	if (mh.msg_flags & MSG_CTRUNC)
		return vu->in.num_fds == VHOST_USER_MAX_FDS ? -EPROTO : -EMFILE;
	return n;
}

/* Reads up to where the message has size bytes, header included. */
static int receive_up_to(struct vu *vu, size_t size)
{
	struct vu_message *msg = &vu->in;

	while (msg->received < size) {
		uint8_t *to = (uint8_t *)&msg->hdr + msg->received;
		ssize_t n;

		if (msg->received >= HEADER_SIZE)
			to = msg->payload.bytes + (msg->received - HEADER_SIZE);

		n = receive_some(vu, to, size - msg->received);
		if (n <= 0)
			return n;
		msg->received += n;
	}
	return 1;
}

int vu_receive(struct vu *vu)
{
	struct vu_message *msg = &vu->in;
	int r;

	if (msg->received < HEADER_SIZE) {
		r = receive_up_to(vu, HEADER_SIZE);
		if (r <= 0)
			return r;

		r = vu_check_header(&msg->hdr);
		if (r < 0)
			return r;
	}
	return receive_up_to(vu, HEADER_SIZE + msg->hdr.size);
}

void vu_message_done(struct vu_message *msg)
{
	size_t i;

	for (i = 0; i < msg->num_fds; i++)
		close(msg->fds[i]);
	msg->num_fds = 0;
	msg->received = 0;
}

int vu_send_on(struct vu *vu)
{
	struct vu_reply *out = &vu->out;
	size_t size = HEADER_SIZE + out->frame.hdr.size;

	while (out->sent < size) {
		const uint8_t *from = (const uint8_t *)&out->frame + out->sent;
		ssize_t n;

		do {
			n = send(vu->sock, from, size - out->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			return errno == EAGAIN ? 0 : error_of_socket();
		out->sent += n;
	}

	out->pending = false;
	return 1;
}

int vu_reply(struct vu *vu, uint32_t request, const void *payload, size_t size)
{
	struct vu_reply *out = &vu->out;
	int r;

	out->frame.hdr.request = request;
	out->frame.hdr.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	out->frame.hdr.size = size;
	memcpy(out->frame.payload, payload, size);
	out->sent = 0;
	out->pending = true;
	log_trace("vhost-user: the reply", payload, size);
	if (vu->sock < 0)
		return 0; /* it goes out with the answer of vu_feed() */

	r = vu_send_on(vu);
	return r < 0 ? r : 0;
}

static int take_message(struct vu_message *msg, const uint8_t *message, size_t size)
{
	if (size < HEADER_SIZE || size > HEADER_SIZE + VU_MAX_PAYLOAD)
		return -EPROTO;
	memcpy(&msg->hdr, message, HEADER_SIZE);
	if (size - HEADER_SIZE != msg->hdr.size)
		return -EPROTO;
	memcpy(msg->payload.bytes, message + HEADER_SIZE, msg->hdr.size);
	msg->received = size;
	return vu_check_header(&msg->hdr);
}

ssize_t vu_feed(struct vu *vu, const void *message, size_t size, const int *fds, size_t num_fds,
		void *reply, struct vu_note *note)
{
	struct vu_reply *out = &vu->out;
	size_t i;
	int r;

	_Static_assert(sizeof(out->frame) <= VU_MAX_REPLY, "no room for a reply");
	for (i = 0; i < num_fds && i < ARRAY_SIZE(vu->in.fds); i++)
		vu->in.fds[vu->in.num_fds++] = fds[i];
	for (; i < num_fds; i++)
		close(fds[i]);

	vu->note = (struct vu_note){ 0 };
	r = num_fds > ARRAY_SIZE(vu->in.fds) ? -EPROTO : take_message(&vu->in, message, size);
	if (r == 0)
		r = vu_handle(vu, &vu->in);
	if (r < 0)
		vu_log_close(vu, r);
	vu_message_done(&vu->in);
	if (r < 0)
		return r;
	*note = vu->note;
	if (!out->pending)
		return 0;
	out->pending = false;
	memcpy(reply, &out->frame, HEADER_SIZE + out->frame.hdr.size);
	return (ssize_t)(HEADER_SIZE + out->frame.hdr.size);
}
