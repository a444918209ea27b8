/* SPDX-License-Identifier: MIT */
#ifndef TESTS_HOST_RECONNECT_FIXTURE_H
#define TESTS_HOST_RECONNECT_FIXTURE_H

#include <sys/un.h>

#include "host/fake-daemon.h"

/* A daemon whose socket outlives its connections. */
struct world {
	struct fake_daemon f;
	int listener; /* -1: closed */
	struct sockaddr_un addr;
};

/* *state is a world with a connection that can come back. */
int world_setup(void **state);
int world_teardown(void **state);

/* The daemon closes the connection; its socket. */
void lose(struct world *w);
void listen_no_more(struct world *w);
void listen_again(struct world *w);

/* The fd that the program polls says that there is something, in good time. */
void assert_woken(struct world *w);

/* The daemon is there again: HELLO and the patterns came. */
void accept_again(struct world *w);

struct bufshare_ipc_welcome *welcome_fields(struct wire *wire);
void send_welcome(struct world *w, uint64_t epoch, uint32_t state);
void expect_state(struct world *w, uint64_t state);

/* All of that, with the same guest. */
void lose_and_come_back(struct world *w);

/* The event that the buffer, which was told again, is the same. */
void expect_again(struct world *w, uint64_t id);

/* The time for buffers to come back is over, at once. */
void end_grace(struct world *w);

#endif /* TESTS_HOST_RECONNECT_FIXTURE_H */
