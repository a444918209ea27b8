/* SPDX-License-Identifier: MIT */
/*
 * The process that keeps what must not be lost: the VMM's connection, the descriptors that
 * it sent, the listening sockets. It starts the worker and starts it again when it ends; the
 * VMM never notices. It understands nothing of what it relays but how long a message is.
 */
#ifndef BUFSHARE_DAEMON_KEEPER_H
#define BUFSHARE_DAEMON_KEEPER_H

#include <stdbool.h>
#include <linux/virtio_bufshare.h>

#include "host/daemon/loop.h"

struct keeper;

struct keeper_config {
	char **argv; /* of the program; the worker is started with the same and one more */
	const struct virtio_bufshare_config *device; /* as the guest sees it; borrowed */
	int listener; /* for the VMM, borrowed; -1: vmm */
	int vmm; /* a connected socket, the keeper's on success; -1: listener */
	int consumers; /* the listening socket, borrowed; -1: none */
	bool once;
	unsigned int linger_s; /* how long the end waits for the VMM to go first */
};

/* Starts the worker. It quits the loop when all is over. */
int keeper_new(struct loop *loop, const struct keeper_config *config, struct keeper **keeper);

/* Ends the worker without a word. NULL is fine. Returns NULL. */
struct keeper *keeper_free(struct keeper *keeper);

/* Comes to an orderly end, which the VMM delays for linger_s; at the second call, at once. */
void keeper_end(struct keeper *keeper);

/* Of this process and the worker. */
void keeper_set_log_level(struct keeper *keeper, int level);

#endif /* BUFSHARE_DAEMON_KEEPER_H */
