/* SPDX-License-Identifier: MIT */
/*
 * A whole daemon with a guest, and consumers that are no more than a socket: they say and
 * read raw messages of host/ipc.h. What should not happen fails the test.
 */
#ifndef TESTS_DAEMON_CONSUMER_FIXTURE_H
#define TESTS_DAEMON_CONSUMER_FIXTURE_H

#include "daemon/fake-frontend.h"
#include "host/daemon/backend.h"
#include "host/ipc-io.h"

#define CF_PAGE VIRTIO_BUFSHARE_PAGE_SIZE
#define CF_SIZE (3 * CF_PAGE) /* of a buffer: two pages, and one elsewhere */
#define CF_APPLICATION "test.app"
#define CF_PROPERTIES "title=x"

struct cf {
	struct loop *loop;
	struct backend *be;
	struct ff *ff;
	uint64_t epoch;
	uint64_t gpa[2];
	bool gone; /* the VMM is */
	int wait_ms; /* of a pump while a test waits */
};

/* Any message from the daemon. */
union cf_message {
	union ipc_message raw;
	struct bufshare_ipc_header hdr;
	struct bufshare_ipc_welcome welcome;
	struct bufshare_ipc_added added;
	struct bufshare_ipc_removed removed;
	struct bufshare_ipc_properties properties;
	struct bufshare_ipc_updated updated;
	struct bufshare_ipc_state state;
	struct bufshare_ipc_stats stats;
	struct bufshare_ipc_ping pong;
	struct bufshare_ipc_error error;
	struct bufshare_ipc_revoked revoked;
	struct bufshare_ipc_ranges ranges;
	struct bufshare_ipc_consumer consumer;
};

/* What a test may change before cf_start(). */
struct backend_config cf_config(void);

/* A daemon and a guest whose driver said INIT; counts descriptors from here on. */
struct cf *cf_start(const struct backend_config *config);
int cf_setup(void **state); /* with copies */
int cf_setup_memfd(void **state);
int cf_teardown(void **state);

/* The machine ends, and another one comes, whose driver said INIT. */
void cf_leave(struct cf *cf);
void cf_come(struct cf *cf);

/* Lets the daemon do all there is to do. */
void cf_pump(struct cf *cf);

/* ---- the guest ---- */

/* INIT of a new epoch, which cf_start() says, too. */
void cf_init(struct cf *cf);

void cf_register(struct cf *cf, uint64_t id);

/* Its status. */
uint32_t cf_try_register(struct cf *cf, uint64_t id);

/* The same with another application and property block. */
void cf_register_as(struct cf *cf, uint64_t id, const char *application, const char *block,
		    size_t size);

/* Answered later: a token for ff_is_used() and ff_wait(). */
unsigned int cf_unregister(struct cf *cf, uint64_t id);
unsigned int cf_unregister_for(struct cf *cf, uint64_t id, uint32_t reason);

/* The same with the answer: its flags. */
uint32_t cf_unregister_wait(struct cf *cf, uint64_t id);

/* A rectangle of damage; width 0: everything. */
void cf_update(struct cf *cf, uint64_t id, uint64_t seq, struct virtio_bufshare_rect damage);
void cf_set_properties(struct cf *cf, uint64_t id, const char *block, size_t size);
void cf_write(struct cf *cf, uint8_t byte);

/* What the guest is told of this buffer; events of other types and buffers are passed over. */
struct virtio_bufshare_event cf_event(struct cf *cf, uint32_t type, uint64_t id);

/* The newest such event that is there already, if any; all events are taken. */
bool cf_poll_event(struct cf *cf, uint32_t type, uint64_t id, struct virtio_bufshare_event *event);

/* ---- consumers ---- */

/* A connection, with nothing said. A narrow one has room for a few messages only. */
int cf_connect(struct cf *cf);
int cf_connect_narrow(struct cf *cf);

/* The same, and HELLO with all capabilities, WELCOME. */
int cf_hello(struct cf *cf);

/* The same, and SUBSCRIBE; what comes of that is still to be read. */
int cf_subscriber(struct cf *cf, const char *pattern);

/* A narrow one that read its ADDED and SYNCED, and from now on has no room left. */
int cf_full(struct cf *cf, uint64_t id);

/* Reads until a message of this type; what comes before is dropped. */
union cf_message cf_skip_to(struct cf *cf, int sock, uint32_t type);

/* Sends bytes as they are, and lets the daemon act. */
void cf_send(struct cf *cf, int sock, const void *msg, size_t size);
void cf_send_fd(struct cf *cf, int sock, const void *msg, size_t size, int fd);

/* Good messages. */
struct bufshare_ipc_hello cf_make_hello(void);
struct bufshare_ipc_subscribe cf_make_subscribe(uint32_t type, const char *pattern);
void cf_subscribe(struct cf *cf, int sock, uint32_t type, const char *pattern);
void cf_release(struct cf *cf, int sock, uint64_t id, uint64_t seq);
void cf_closed(struct cf *cf, int sock, uint64_t id);
size_t cf_make_set_properties(union ipc_message *msg, uint64_t id, const char *block, size_t size);

/* The next message: its type, 0 if there is none, or -ENOTCONN. fd: the caller's, or -1. */
int cf_next(struct cf *cf, int sock, union cf_message *msg, int *fd);

/* The next message must be of this type; a descriptor is closed. */
union cf_message cf_expect(struct cf *cf, int sock, uint32_t type);

/* ADDED must come next; the descriptor is the caller's. */
union cf_message cf_expect_added(struct cf *cf, int sock, int *fd);

/* Nothing is there to read, and the connection stands: PING is answered. */
void cf_expect_nothing(struct cf *cf, int sock);

/* ERROR comes next, with that errno and for a message of that type, and then the end. */
void cf_expect_refused(struct cf *cf, int sock, int code, uint32_t type);

/* The daemon closed the connection; what was there to read is dropped. */
void cf_expect_closed(struct cf *cf, int sock);

/* ---- what is commonly expected ---- */

/* The next message is this one. */
void cf_expect_added_id(struct cf *cf, int sock, uint64_t id);
union cf_message cf_expect_updated(struct cf *cf, int sock, uint64_t id, uint64_t seq);
void cf_expect_removed(struct cf *cf, int sock, uint64_t id, uint32_t reason);

/* The guest is told RELEASED next, or not at all. */
void cf_expect_released(struct cf *cf, uint64_t id, uint64_t seq, uint32_t flags);
void cf_expect_not_released(struct cf *cf, uint64_t id);

/* Subscribed to everything, and knows the n buffers there are. */
int cf_knows(struct cf *cf, unsigned int n);

#endif /* TESTS_DAEMON_CONSUMER_FIXTURE_H */
