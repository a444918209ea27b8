/* SPDX-License-Identifier: MIT */
/*
 * The messages of the protocol as they are right, for tests that make one of them wrong.
 */
#ifndef TESTS_DAEMON_MESSAGES_H
#define TESTS_DAEMON_MESSAGES_H

#include "daemon/transport-fixture.h"

/* A request as the protocol has it. */
struct message {
	const char *name;
	uint32_t request;
	uint32_t size;
	uint32_t max_size;
	size_t num_fds;
	size_t max_fds;
	bool replies; /* by itself */
};

#define NUM_MESSAGES 22
extern const struct message messages[NUM_MESSAGES];

/* Bytes before the config space's in a message about it. */
#define MESSAGE_CONFIG_SIZE offsetof(struct vhost_user_config, bytes)

union message_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_mem_table table;
	struct vhost_user_mem_reg reg;
	struct vhost_user_config config;
	uint8_t bytes[FF_MAX_PAYLOAD];
};

/* What is right for a device that is connected and not started. */
void message_fill(struct fixture *f, uint32_t request, union message_payload *p);

/* Eventfds for queues, the guest's memory for everything else; borrowed. */
void message_fds(struct fixture *f, uint32_t request, int fds[FF_MAX_FDS]);

/* Connects, accepts features, adds a region of memory where the guest has none otherwise. */
void message_connect(struct fixture *f);

#endif /* TESTS_DAEMON_MESSAGES_H */
