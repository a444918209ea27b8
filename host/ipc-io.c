/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/fds.h"
#include "host/ipc-io.h"

/* Room for one descriptor; the kernel's alignment leaves room for a second one. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

void ipc_header(void *msg, uint32_t type, size_t size)
{
	struct bufshare_ipc_header *hdr = msg;

	hdr->type = htole32(type);
	hdr->size = htole32(size);
}

static void attach_fd(struct msghdr *mh, union control *control, int fd)
{
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(*control));
	mh->msg_control = control;
	mh->msg_controllen = sizeof(control->bytes);

	cmsg = CMSG_FIRSTHDR(mh);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
}

int ipc_send(int sock, const void *msg, size_t size, int fd)
{
	struct iovec iov = { .iov_base = (void *)msg, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t n;

	if (size < sizeof(struct bufshare_ipc_header) || size > BUFSHARE_IPC_MAX_MESSAGE)
		return -EINVAL;

	if (fd >= 0)
		attach_fd(&mh, &control, fd);

	do {
		n = sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;

	switch (errno) {
	case EPIPE:
	case ECONNRESET:
	case ECONNREFUSED:
		return -ENOTCONN;
	default:
		return -errno;
	}
}

static bool header_agrees(const union ipc_message *msg, size_t size)
{
	return size >= sizeof(msg->hdr) && le32toh(msg->hdr.size) == size;
}

int ipc_recv(int sock, union ipc_message *msg, int *fd)
{
	struct iovec iov = { .iov_base = msg, .iov_len = sizeof(*msg) };
	_cleanup_close_ int got = -1;
	union control control;
	struct msghdr mh;
	size_t num_fds = 0;
	ssize_t n;
	bool one;

	/* ECONNRESET is told once and before what the other side sent until it closed. */
	do {
		mh = (struct msghdr){
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control.bytes),
		};
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;

	one = fds_take(&mh, &got, 1, &num_fds);

	/* The kernel cuts off the only descriptor when it can not install it. */
	if ((mh.msg_flags & MSG_CTRUNC) && num_fds == 0)
		return -EMFILE;
	if (n == 0 && num_fds == 0)
		return -ENOTCONN;
	if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !one || !header_agrees(msg, n))
		return -EPROTO;

	*fd = steal_fd(&got);
	return n;
}

int ipc_field_set(uint8_t *field, size_t size, const char *s)
{
	size_t len = strnlen(s, size);

	if (len == size)
		return -EINVAL;

	memset(field, 0, size);
	memcpy(field, s, len);
	return 0;
}
