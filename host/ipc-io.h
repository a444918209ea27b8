/* SPDX-License-Identifier: MIT */
/*
 * One message of the consumer protocol in, or out, with its file descriptor.
 */
#ifndef BUFSHARE_HOST_IPC_IO_H
#define BUFSHARE_HOST_IPC_IO_H

#include <stddef.h>
#include <stdint.h>

#include "host/ipc.h"

/* Room for any message, aligned for any structure of ipc.h. */
union ipc_message {
	struct bufshare_ipc_header hdr;
	uint64_t align;
	char bytes[BUFSHARE_IPC_MAX_MESSAGE];
};

/* Fills in the header of a message of size bytes. */
void ipc_header(void *msg, uint32_t type, size_t size);

/*
 * Sends one message, with fd unless that is -1; the fd stays the caller's. Never
 * blocks. -EAGAIN: no room in the socket; -ENOTCONN: the other side is gone.
 */
int ipc_send(int sock, const void *msg, size_t size, int fd);

/*
 * Receives one message whose header agrees with the record's size. *fd becomes the
 * descriptor that came with it (close-on-exec, the caller's) or -1. Never blocks.
 * Returns its size. -EAGAIN: none; -ENOTCONN: the other side is gone; -EPROTO: not a
 * message, or more than one descriptor (all closed); -EMFILE: its descriptor did not fit
 * into this process, the message is lost.
 */
int ipc_recv(int sock, union ipc_message *msg, int *fd);

/* Copies s into a NUL-padded field; -EINVAL if it does not fit with its NUL. */
int ipc_field_set(uint8_t *field, size_t size, const char *s);

#endif /* BUFSHARE_HOST_IPC_IO_H */
