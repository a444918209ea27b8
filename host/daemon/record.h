/* SPDX-License-Identifier: MIT */
/*
 * Records with descriptors over the socket pair of keeper and worker.
 */
#ifndef BUFSHARE_DAEMON_RECORD_H
#define BUFSHARE_DAEMON_RECORD_H

#include <stddef.h>
#include <sys/types.h>

#include "host/daemon/vhost-user-proto.h"

/* Sends a header and what follows it as one record. Blocks as long as the socket is full. */
int record_send(int sock, const void *header, size_t header_size, const void *bytes, size_t size,
		const int *fds, size_t num_fds);

/*
 * Takes the next record: a whole header and at most size bytes behind it, of which it
 * returns how many there are, and up to VHOST_USER_MAX_FDS descriptors, which become the
 * caller's. -EAGAIN: none there; -ENOTCONN: the other side ended; -EPROTO: no such record.
 */
ssize_t record_receive(int sock, void *header, size_t header_size, void *bytes, size_t size,
		       int *fds, size_t *num_fds);

#endif /* BUFSHARE_DAEMON_RECORD_H */
