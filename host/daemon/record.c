/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fds.h"
#include "host/daemon/record.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
};

int record_send(int sock, const void *header, size_t header_size, const void *bytes, size_t size,
		const int *fds, size_t num_fds)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)header, .iov_len = header_size },
		{ .iov_base = (void *)bytes, .iov_len = size },
	};
	union control control = { 0 };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (num_fds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, num_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &mh, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

ssize_t record_receive(int sock, void *header, size_t header_size, void *bytes, size_t size,
		       int *fds, size_t *num_fds)
{
	struct iovec iov[2] = {
		{ .iov_base = header, .iov_len = header_size },
		{ .iov_base = bytes, .iov_len = size },
	};
	union control control;
	struct msghdr mh = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	*num_fds = 0;
	do {
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE)))
		return -ENOTCONN;
	if (n < 0)
		return -errno;

	if (fds_take(&mh, fds, VHOST_USER_MAX_FDS, num_fds) && (size_t)n >= header_size &&
	    !(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return n - (ssize_t)header_size;
	while (*num_fds > 0)
		close(fds[--*num_fds]);
	return -EPROTO;
}
