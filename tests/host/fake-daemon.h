/* SPDX-License-Identifier: MIT */
/*
 * The daemon's end of a connection, in the same process and thread as the library:
 * it sends what a test tells it to, and keeps what the consumer said. What only a
 * broken consumer would send fails the test.
 */
#ifndef TESTS_HOST_FAKE_DAEMON_H
#define TESTS_HOST_FAKE_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/ipc-io.h"
#include "host/lib/internal.h"

#define FAKE_MAX_BUFFERS 1024
#define FAKE_LABEL "camera-vm"
#define FAKE_APPLICATION "viewer"
#define FAKE_PAGE VIRTIO_BUFSHARE_PAGE_SIZE

/* What the daemon knows of a buffer at this consumer. */
struct fake_buffer {
	uint64_t id;
	uint64_t held; /* seq that was sent and is not released, 0: none */
	uint64_t released; /* seq of the newest RELEASE that was right */
	unsigned int ignored; /* RELEASEs that were not */
	bool removed;
	bool closed;
};

struct fake_daemon {
	int sock;
	int client; /* the other end, until the library has it */
	struct bufshare_host *host;
	bool hung_up; /* the consumer closed its end */

	struct bufshare_ipc_hello hello;
	unsigned int num_hellos;
	char patterns[BUFSHARE_IPC_MAX_SUBSCRIPTIONS][BUFSHARE_IPC_NAME_SIZE];
	size_t num_patterns;
	struct fake_buffer buffers[FAKE_MAX_BUFFERS];
	size_t num_buffers;
	uint64_t properties_buffer;
	char properties[BUFSHARE_IPC_MAX_PROPERTIES_SIZE]; /* of the last SET_PROPERTIES */
	size_t properties_size;
	unsigned int num_set_properties;
	unsigned int num_get_stats;
	unsigned int num_messages;
};

/* A message to be sent, that a test can spoil first. */
struct wire {
	union ipc_message msg;
	size_t size;
	int fd; /* closed when it was sent; -1: none */
};

void fake_open(struct fake_daemon *f);
void fake_close(struct fake_daemon *f);

/* HELLO, SUBSCRIBE and WELCOME: afterwards f->host is there. */
void fake_connect(struct fake_daemon *f, const char *application);

/* Reads all that the consumer sent. */
void fake_pump(struct fake_daemon *f);

/* NULL: it never was added. */
struct fake_buffer *fake_find(struct fake_daemon *f, uint64_t id);

/* Sends, and keeps in mind what that means if it means something. */
void fake_send(struct fake_daemon *f, struct wire *w);

/* ---- messages, each as it should be ---- */

void wire_welcome(struct wire *w);
void wire_error(struct wire *w, int code, uint32_t type);
void wire_empty(struct wire *w, uint32_t type);

/* With a sealed memfd of this size, or what the path needs. */
void wire_added(struct wire *w, uint64_t id, uint64_t size);
void wire_added_path(struct wire *w, uint64_t id, uint64_t size, uint32_t path, int fd);

/* Adds "name=value" to the property block at the end of ADDED or PROPERTIES. */
void wire_add_property(struct wire *w, const char *entry);

void wire_removed(struct wire *w, uint64_t id, uint32_t reason);
void wire_properties(struct wire *w, uint64_t id, const char *entry);
void wire_updated(struct wire *w, uint64_t id, uint64_t seq);
void wire_add_damage(struct wire *w, uint32_t x, uint32_t y, uint32_t width, uint32_t height);
void wire_revoked(struct wire *w, uint64_t id, uint64_t seq);
void wire_state(struct wire *w, uint32_t state, uint64_t epoch);
void wire_stats(struct wire *w, uint64_t id, uint64_t updates);
void wire_consumer(struct wire *w, const char *program);
void wire_ranges(struct wire *w, uint64_t id, const struct bufshare_ipc_range *ranges, uint32_t n);

/* A memfd with these contents and seals. */
int make_memfd(const void *data, size_t size, int seals);

/* ---- all at once ---- */

void send_added(struct fake_daemon *f, uint64_t id, uint64_t size);
void send_removed(struct fake_daemon *f, uint64_t id, uint32_t reason);
void send_updated(struct fake_daemon *f, uint64_t id, uint64_t seq);
void send_state(struct fake_daemon *f, uint32_t state, uint64_t epoch);
void send_empty(struct fake_daemon *f, uint32_t type);

/* Reads the next event, which must be of this type and buffer. */
struct bufshare_event expect_event(struct fake_daemon *f, uint32_t type, uint64_t id);

/* There must be none. */
void expect_nothing(struct fake_daemon *f);

/* ADDED and its event; a reference to the buffer. */
struct bufshare_host_buffer *add_buffer(struct fake_daemon *f, uint64_t id, uint64_t size);

/* Setup and teardown with descriptor check; *state is a connected struct fake_daemon. */
int fake_setup(void **state);
int fake_teardown(void **state);

#endif /* TESTS_HOST_FAKE_DAEMON_H */
