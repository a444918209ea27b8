/* SPDX-License-Identifier: MIT */
#ifndef BUFSHARE_DAEMON_CONSUMERS_INTERNAL_H
#define BUFSHARE_DAEMON_CONSUMERS_INTERNAL_H

#include <stdbool.h>

#include "host/daemon/consumers.h"
#include "host/ipc-io.h"

/* A message that waits for room in a socket. */
struct queued {
	STAILQ_ENTRY(queued) link; /* consumer.queue */
	size_t size;
	int fd; /* its own, -1: none */
	char bytes[];
};

struct consumer {
	LIST_ENTRY(consumer) link; /* consumers.list */
	LIST_HEAD(, dev_slot) slots;
	STAILQ_HEAD(, queued) queue;
	struct consumers *all;
	struct loop_source *source;
	int sock;
	unsigned int num_queued;
	bool welcome; /* it said HELLO */
	bool doomed; /* to be dropped when nobody walks over it any more */
	uint64_t caps;
	char program[BUFSHARE_IPC_NAME_SIZE];
	char patterns[BUFSHARE_IPC_MAX_SUBSCRIPTIONS][BUFSHARE_IPC_NAME_SIZE];
	unsigned int num_patterns;
};

struct consumers {
	LIST_HEAD(, consumer) list;
	struct consumers_config config;
	struct loop *loop;
	struct loop_source *source; /* of the listener */
	struct loop_source *reaper;
	struct dev *dev;
	int listener;
	unsigned int num;
	uint32_t state;
};

/* Sends, or queues behind what waits already. Dooms the consumer when that can not be. */
void consumer_send(struct consumer *c, const void *message, size_t size, int fd);

void consumer_doom(struct consumer *c, const char *why);

bool consumer_wants(const struct consumer *c, const struct dev_buffer *buffer);

/* Makes the buffer visible to the consumer. */
void consumer_add(struct consumer *c, struct dev_buffer *buffer);

/* Acts on one message. 0, or the errno it is refused with; the consumer is then dropped. */
int consumer_message(struct consumer *c, const union ipc_message *msg, size_t size);

#endif /* BUFSHARE_DAEMON_CONSUMERS_INTERNAL_H */
