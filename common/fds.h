/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that come with messages of sockets.
 */
#ifndef COMMON_FDS_H
#define COMMON_FDS_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Takes every descriptor out of the control data and adds it to the *n there are, of at most
 * max. Those for which there is no room are closed; false then.
 */
static inline bool fds_take(struct msghdr *mh, int *fds, size_t max, size_t *n)
{
	struct cmsghdr *cmsg;
	bool all = true;

	for (cmsg = CMSG_FIRSTHDR(mh); cmsg; cmsg = CMSG_NXTHDR(mh, cmsg)) {
		size_t i, count;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
			if (*n < max) {
				fds[(*n)++] = fd;
			} else {
				close(fd);
				all = false;
			}
		}
	}
	return all;
}

/*
 * accept() said so of errno: there is no room for another connection, which waits, and the
 * listening socket is readable as long as it does. Whoever looks again at once gets nothing
 * else done.
 */
static inline bool fds_no_room(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}
#define FDS_NO_ROOM_PAUSE_NS 100000000ull

#endif /* COMMON_FDS_H */
