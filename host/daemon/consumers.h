/* SPDX-License-Identifier: MIT */
/*
 * The programs that receive buffers: their socket, what each may see, and the messages to
 * and from them (host/ipc.h). A consumer is not trusted: one that sends what it must not
 * loses its connection, and one that does not read learns less and later; nothing else
 * happens.
 */
#ifndef BUFSHARE_DAEMON_CONSUMERS_H
#define BUFSHARE_DAEMON_CONSUMERS_H

#include "host/daemon/access.h"
#include "host/daemon/device.h"
#include "host/daemon/loop.h"
#include "host/ipc.h"

struct consumers;

struct consumers_config {
	const struct virtio_bufshare_config *device; /* borrowed */
	unsigned int max; /* consumers at the same time */
	unsigned int max_per_user; /* 0: as many */
	unsigned int max_messages; /* of one in a second, 0: without limit */
	uint64_t hello_timeout_ns; /* how long one can say nothing, 0: without limit */
	uint64_t release_timeout_ns; /* how long an update can be held, 0: without limit */
	struct access_rules access;
};

/* Listens on a socket (-1: on none) that becomes the consumers'. */
int consumers_new(struct loop *loop, struct dev *dev, const struct consumers_config *config,
		  int listener, struct consumers **consumers);

/* Closes every connection. NULL is fine. Returns NULL. */
struct consumers *consumers_free(struct consumers *cs);

/* One more connection; the socket becomes the consumers', whatever is returned. */
int consumers_accept(struct consumers *cs, int sock);

/* Tells everybody; enum bufshare_ipc_state_value. */
void consumers_set_state(struct consumers *cs, uint32_t state);

/* What the device model asks for (dev_ops). */
void consumers_added(struct consumers *cs, struct dev_buffer *buffer);
void consumers_removed(struct consumers *cs, struct dev_buffer *buffer, uint32_t reason);
void consumers_properties(struct consumers *cs, struct dev_buffer *buffer, const char *block,
			  size_t size);
void consumers_filled(struct dev_slot *slot);
int consumers_deliver(struct dev_slot *slot, uint64_t seq);
void consumers_revoked(struct dev_slot *slot, uint64_t seq);
void consumers_detached(struct dev_slot *slot);

#endif /* BUFSHARE_DAEMON_CONSUMERS_H */
