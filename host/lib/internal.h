/* SPDX-License-Identifier: MIT */
/*
 * The insides of libbufshare-host. None of this is exported.
 */
#ifndef HOST_LIB_INTERNAL_H
#define HOST_LIB_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <bufshare-host.h>

#include "common/cleanup.h"
#include "common/props.h"
#include "host/ipc-io.h"

#define BUFSHARE_EXPORT __attribute__((visibility("default")))

#define HOST_TIMEOUT_MS 5000

/* Between two attempts to connect again: at first, and at most. */
#define HOST_RETRY_MS 10
#define HOST_RETRY_MAX_MS 500

/* How long a guest may take to register its buffers again. */
#define HOST_GRACE_MS 3000

/* What a daemon may make this process keep. */
#define HOST_MAX_BUFFERS VIRTIO_BUFSHARE_MAX_BUFFERS
#define HOST_MAX_RANGES (4 * VIRTIO_BUFSHARE_MAX_RANGES)

/* Messages that wait for room in the socket, beside one RELEASE and one CLOSED per buffer. */
#define HOST_MAX_QUEUED 64

/* Messages without an event that one bufshare_host_read_event() reads. */
#define HOST_MAX_SKIPPED 64

/* A piece of the file of a buffer of BUFSHARE_PATH_MEMFD. */
struct host_range {
	uint64_t offset;
	uint64_t size;
};

struct host_ranges {
	struct host_range *v;
	size_t n;
	uint64_t size; /* bytes of all of them */
	uint64_t end; /* of the one that lies highest in the file */
};

struct bufshare_host_buffer {
	int refs; /* the program's, and one of the table while the buffer is in sight */
	struct bufshare_host *host; /* NULL: the connection was dropped before the buffer */
	LIST_ENTRY(bufshare_host_buffer) link; /* bufshare_host.buffers */
	bool in_sight;
	bool is_stale; /* of before the connection was lost; whether it is still there is open */
	bool is_void; /* its epoch ended: the daemon wants to hear no more than CLOSED */
	bool is_unknown; /* to the daemon of this connection, which does not wait for CLOSED */

	uint64_t id;
	uint64_t size;
	uint64_t seq;
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	char application[BUFSHARE_APPLICATION_SIZE];
	int path;
	int copy_reason;
	bool settable;
	struct props props;

	uint64_t held; /* seq of the update that the program has, 0: none */
	struct bufshare_rect damage[BUFSHARE_MAX_DAMAGE];
	size_t num_damage;

	int fd;
	struct host_ranges ranges;
	void *addr; /* NULL: not mapped yet */
	bool writable; /* the mapping */

	TAILQ_ENTRY(bufshare_host_buffer) out_link; /* bufshare_host.out_buffers */
	bool out_queued;
	bool out_closed;
	uint64_t out_release; /* seq, 0: none */
};

/* A message that waits for room in the socket. */
struct host_message {
	STAILQ_ENTRY(host_message) link; /* bufshare_host.out_messages */
	size_t size;
	char bytes[];
};

/* How a connection that was lost comes back. */
struct host_recovery {
	char *path; /* of the socket; NULL: it can not */
	int patience_ms; /* how long to wait for somebody to listen; < 0: for ever */
	int timer; /* timerfd, in the epoll */
	bool running; /* lost, and no WELCOME since */
	bool grace; /* buffers that do not come back soon are gone */
	int64_t lost_ms;
	int retry_ms;
	size_t syncs; /* SYNCED that are still to come */
	size_t num_stale; /* buffers that are */
};

struct bufshare_host {
	int refs;
	int sock; /* -1: lost, and not there again */
	int epoll; /* readable when there is something to read, or room for what waits */
	int more; /* eventfd, in the epoll: there are events that the socket does not show */
	bool more_set;
	struct host_recovery recovery;
	int error; /* why the connection was closed, 0: it is open */
	bool send_closed; /* the daemon reads no more, but may have sent something before */
	bool welcome;
	bool stats_valid;
	struct bufshare_host_stats stats; /* of the newest STATS */
	bool consumer_valid;
	struct bufshare_host_consumer consumer; /* of the newest CONSUMER */
	uint64_t limits[BUFSHARE_HOST_LIMIT_HELD_MS + 1];

	uint64_t caps;
	uint64_t epoch;
	int state;
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	char label[BUFSHARE_LABEL_SIZE];
	char application[BUFSHARE_APPLICATION_SIZE];

	char patterns[BUFSHARE_IPC_MAX_SUBSCRIPTIONS][BUFSHARE_IPC_NAME_SIZE];
	size_t num_patterns;

	/* The buffers in sight, sorted by id, and every one that still knows the connection. */
	struct bufshare_host_buffer **table;
	size_t table_size;
	size_t table_room;
	LIST_HEAD(, bufshare_host_buffer) buffers;
	size_t num_ranges; /* of all of them */

	/* RANGES came, its ADDED comes next. */
	uint64_t ranges_buffer; /* 0: no */
	struct host_ranges ranges;

	/* RESET or GONE came: a REMOVED for each buffer in sight comes before its event. */
	bool voiding;
	int voiding_state;
	int voiding_reason;

	STAILQ_HEAD(, host_message) out_messages;
	size_t num_out_messages;
	TAILQ_HEAD(, bufshare_host_buffer) out_buffers;
	size_t num_out_closed;
	bool out_polled; /* epoll waits for room */
};

/* ---- connection.c ---- */

/*
 * The halves of bufshare_host_new_from_fd(), for a program that is its own daemon:
 * host_begin() sends HELLO and, unless application is NULL, SUBSCRIBE; the socket is
 * the library's on success. host_finish() never blocks: -EAGAIN until WELCOME came. Until
 * it returned 0, nothing may be called but host_finish(), _get_fd() and _unref().
 */
int host_begin(int sock, const char *application, struct bufshare_host **host);
int host_finish(struct bufshare_host *host);

/* bufshare_host_connect() and bufshare_host_new_from_fd() with a time limit. */
int host_connect(const char *socket_path, const char *application, int timeout_ms,
		 struct bufshare_host **host);
int host_new_from_fd(int sock, const char *application, int timeout_ms,
		     struct bufshare_host **host);

/* Closes the connection for good, for the reason r; returns r. */
int host_fail(struct bufshare_host *host, int r);

/* A WELCOME that was received, checked and kept: 0 or -EPROTO. */
int host_welcome(struct bufshare_host *host, const union ipc_message *msg, size_t size);

/* What an ERROR in the place of WELCOME comes to; never 0. */
int host_refusal(const union ipc_message *msg, size_t size);

/* Sends HELLO and the patterns. */
int host_hello(struct bufshare_host *host);

/* Connects without waiting: -EAGAIN: there are many before us. */
int host_connect_now(const char *path, int *sock);

/* Whether the program is to be woken for events that are not in the socket. */
void host_set_more(struct bufshare_host *host, bool more);

/* The program polls the epoll, which looks at this socket from now on. */
int host_watch(struct bufshare_host *host, int sock);

int64_t now_ms(void);

/* ---- recovery.c ---- */

int recovery_init(struct bufshare_host *host, const char *path);
void recovery_clear(struct bufshare_host *host);

/*
 * The daemon closed the connection. 1: it is on the way back, and here is the event that
 * says so; 0: it is back on the way already; -ENOTCONN: it can not come back.
 */
int recovery_lost(struct bufshare_host *host, struct bufshare_event *event);

/* The program's fd becomes readable, if only to tell it of an error. */
void recovery_wake(struct bufshare_host *host);

/* What is due by now; the same results, without 0 there is more to read. -EAGAIN: nothing. */
int recovery_tick(struct bufshare_host *host, struct bufshare_event *event);

/* The first message of a new connection. */
int recovery_begins(struct bufshare_host *host, const union ipc_message *msg, size_t size,
		    struct bufshare_event *event);

/* SYNCED came, or the state changed, or a buffer is no longer stale. */
void recovery_synced(struct bufshare_host *host);
void recovery_state(struct bufshare_host *host);
void recovery_buffer(struct bufshare_host *host, struct bufshare_host_buffer *buf);

/* ---- subscription.c ---- */

/* Sends SUBSCRIBE or UNSUBSCRIBE. */
int subscription_send(struct bufshare_host *host, uint32_t type, const char *pattern);

/* ---- event.c ---- */

/* Fills in an event; always 1. */
int tell(struct bufshare_event *event, uint32_t type, uint64_t buffer);
int tell_state(struct bufshare_host *host, struct bufshare_event *event);

/* All buffers are void; the first of the events that say so, which end with STATE. */
int tell_voiding(struct bufshare_host *host, int state, int reason, struct bufshare_event *event);

/* ---- table.c ---- */

struct bufshare_host_buffer *table_find(const struct bufshare_host *host, uint64_t id);

/* The first buffer whose id is greater; NULL: none. */
struct bufshare_host_buffer *table_next(const struct bufshare_host *host, uint64_t id);

/* Takes over the reference. -EEXIST: the id is in use; -ENOSPC; -ENOMEM. */
int table_add(struct bufshare_host *host, struct bufshare_host_buffer *buf);

/* Takes the buffer out; the reference is the caller's. */
void table_remove(struct bufshare_host *host, struct bufshare_host_buffer *buf);

/* The same with the one of the greatest id; NULL: the table is empty. */
struct bufshare_host_buffer *table_pop(struct bufshare_host *host);

/* ---- outbox.c ---- */

/* Sends a message, or queues it. -EAGAIN: too many wait already; -ENOTCONN; -ENOMEM. */
int outbox_send(struct bufshare_host *host, const void *msg, size_t size);

/* Sends RELEASE or CLOSED as soon as there is room. CLOSED frees the buffer. */
void outbox_release(struct bufshare_host_buffer *buf, uint64_t seq);
void outbox_closed(struct bufshare_host_buffer *buf);

/* Forgets what waits for the buffer. */
void outbox_forget(struct bufshare_host_buffer *buf);

/* Sends what there is room for. */
void outbox_flush(struct bufshare_host *host);

/* Forgets all that waits. */
void outbox_clear(struct bufshare_host *host);

/* ---- message.c ---- */

/* Whether the fields of a received message are what host/ipc.h says: 0 or -EPROTO. */
int check_welcome(const struct bufshare_ipc_welcome *m, uint64_t caps);
int check_added(const struct bufshare_ipc_added *m, size_t size, const char *block);
int check_updated(const struct bufshare_ipc_updated *m, size_t size,
		  const struct virtio_bufshare_rect *damage);
int check_properties(const struct bufshare_ipc_properties *m, size_t size, const char *block);
int check_error(const struct bufshare_ipc_error *m);
int check_consumer(const struct bufshare_ipc_consumer *m);

/* ---- buffer.c ---- */

/*
 * Makes a buffer with one reference of an ADDED that was checked, with its property
 * block. Takes over the fd and the ranges on success.
 */
int buffer_new(struct bufshare_host *host, const struct bufshare_ipc_added *m, const char *block,
	       int *fd, struct host_ranges *ranges, struct bufshare_host_buffer **buf);

/* The same for a buffer that is there already, and stale: the new parts take the place of the old. */
int buffer_renew(struct bufshare_host_buffer *buf, const struct bufshare_ipc_added *m,
		 const char *block, int *fd, struct host_ranges *ranges);

/* The buffer is no longer in sight; drops the reference of the table. */
void buffer_out_of_sight(struct bufshare_host_buffer *buf);

/* Frees everything, whatever the references. */
void buffer_free(struct bufshare_host_buffer *buf);

/* ---- mapping.c ---- */

/* Whether mapping the fd is safe, and all of the buffer is there: 0 or -EPROTO. */
int mapping_check(int path, int fd, uint64_t size, const struct host_ranges *ranges);

/* Reads and checks the file that comes with RANGES. -EPROTO; -ENOMEM. */
int ranges_read(int fd, size_t n, struct host_ranges *ranges);
void ranges_clear(struct host_ranges *ranges);

/*
 * The buffer's fd and ranges become these; what is mapped shows them at the same address,
 * and the number of the fd stays. Takes them over on success.
 */
int mapping_replace(struct bufshare_host_buffer *buf, int path, int *fd,
		    struct host_ranges *ranges);

/* Unmaps the buffer and closes its fd. */
void mapping_drop(struct bufshare_host_buffer *buf);

#endif /* HOST_LIB_INTERNAL_H */
