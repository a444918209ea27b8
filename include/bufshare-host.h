/* SPDX-License-Identifier: MIT */
/*
 * libbufshare-host: receive the buffers that a virtual machine shares.
 *
 * Functions that can fail return 0 (or a count) or a negative errno; what each
 * code means is in libbufshare-host(3). Out-parameters are written on success only.
 * A NULL argument is -EINVAL unless said otherwise. Strings are UTF-8.
 *
 * The library has no global state and does not log. Different connections may be
 * used from different threads; one connection, with its buffers, from any thread, but
 * by one at a time. Memory that is mapped may be read by all threads at any time.
 * After fork() the child uses none of the parent's objects.
 *
 * Nothing blocks but what says so.
 */
#ifndef BUFSHARE_HOST_H
#define BUFSHARE_HOST_H

#include <stddef.h>
#include <stdint.h>

#include <bufshare-types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bufshare_host;		/* a connection to one daemon, which is one device of one VM */
struct bufshare_host_buffer;	/* a buffer of the guest */

/* ---- connection ---- */

/*
 * Connects to a daemon's consumer socket and subscribes to the buffers of an
 * application, or of several by a glob ("*", "?", "[...]"); NULL subscribes to none.
 * Blocks for at most 5 seconds. A reference, to be dropped with bufshare_host_unref().
 * -ENOENT: no such socket; -ECONNREFUSED: nobody listens; -EACCES: not allowed;
 * -EPROTO: not such a daemon, or of another version; -ETIMEDOUT: no answer.
 */
int bufshare_host_connect(const char *socket_path, const char *application,
			  struct bufshare_host **host);

/*
 * The same over a connected SOCK_SEQPACKET socket, which becomes the library's on success.
 * Such a connection does not come back when it is lost.
 */
int bufshare_host_new_from_fd(int socket_fd, const char *application, struct bufshare_host **host);

struct bufshare_host *bufshare_host_ref(struct bufshare_host *host);

/*
 * Drops a reference; the last one closes the connection, which releases whatever is
 * held. Buffers the program still has references to stay mapped. NULL is allowed.
 * Returns NULL.
 */
struct bufshare_host *bufshare_host_unref(struct bufshare_host *host);

/*
 * A connection that the daemon closes is made again from inside bufshare_host_read_event(),
 * without blocking: STATE with BUFSHARE_GUEST_RECOVERING tells that it is lost, nothing is
 * held any more, what was asked for is not answered, and calls that send are -ENOTCONN;
 * STATE with another value that it is back. The buffers stay, with id, UUID, mapping, and
 * the number of the dma-buf's fd; each is ADDED with BUFSHARE_ADDED_AGAIN, or REMOVED if
 * its guest no longer has it.
 *
 * This goes on for 5 seconds, but ends at once when nobody listens at the socket any more:
 * wait for somebody for this long instead; negative: for ever. -EOPNOTSUPP: the connection
 * is one of bufshare_host_new_from_fd().
 */
int bufshare_host_set_reconnect(struct bufshare_host *host, int timeout_ms);

/*
 * To poll for POLLIN, in any event loop: it is readable as long as there may be events,
 * now and then without one, and each time there is something new (for EPOLLET). Then read
 * one, or all until -EAGAIN, which costs less. The same for as long as the connection;
 * borrowed.
 */
int bufshare_host_get_fd(const struct bufshare_host *host);

/* What the daemon says of the device; strings are valid as long as the connection. */
const char *bufshare_host_get_label(const struct bufshare_host *host);
const char *bufshare_host_get_application(const struct bufshare_host *host);
int bufshare_host_get_uuid(const struct bufshare_host *host, uint8_t uuid[BUFSHARE_UUID_SIZE]);
int bufshare_host_get_state(const struct bufshare_host *host); /* enum bufshare_guest_state */

enum bufshare_host_limit {
	BUFSHARE_HOST_LIMIT_BUFFERS	= 1, /* that the guest can have registered at a time */
	BUFSHARE_HOST_LIMIT_SUBSCRIPTIONS = 2, /* of this connection */
	BUFSHARE_HOST_LIMIT_HELD_MS	= 3, /* how long an update can be held; 0: for ever */
};

/* One of the daemon's limits. -EINVAL: no such limit. */
int bufshare_host_get_limit(const struct bufshare_host *host, int limit, uint64_t *value);

/*
 * One more pattern, or one less. ADDED events and SYNCED follow, or REMOVED events.
 * -EALREADY: it is there; -ENOENT: it is not; -ENOSPC: more than 16; -EAGAIN: too much
 * waits to be sent: read events first; -ENOTCONN.
 */
int bufshare_host_subscribe(struct bufshare_host *host, const char *application);
int bufshare_host_unsubscribe(struct bufshare_host *host, const char *application);

/*
 * Takes the next event. Never blocks: -EAGAIN when there is none. -ENOTCONN: the daemon
 * is gone; -EACCES: it came back, and no longer allows us; -EPROTO: it sent nonsense. After
 * these the connection is closed for good.
 */
int bufshare_host_read_event(struct bufshare_host *host, struct bufshare_event *event);

/* Counters since a buffer's registration; of buffer 0: of all that this connection sees. */
struct bufshare_host_stats {
	uint64_t buffer_id;
	uint64_t updates;	/* that the guest sent */
	uint64_t delivered;	/* UPDATED events for this connection */
	uint64_t released;	/* that this connection gave back */
	uint64_t coalesced;	/* that it got as part of a later one */
	uint64_t bytes_copied;	/* by the daemon; of buffer 0: since it started */
	uint64_t consumers;	/* that see the buffer; of buffer 0: that are connected */
	uint64_t revoked;	/* that were taken from this connection */
	uint64_t held_ns;	/* how long this connection held updates, all together */
	uint64_t lag;		/* updates that it is still to be given */
	uint64_t reserved[2];	/* 0 */
};

/* What the daemon has counted of a program that is connected, since it connected. */
struct bufshare_host_consumer {
	char program[BUFSHARE_LABEL_SIZE]; /* its name; empty: it said none */
	uint32_t pid;		/* 0: cannot be known */
	uint32_t uid;
	uint32_t self;		/* 1: it is this connection */
	uint32_t buffers;	/* that it sees */
	uint64_t delivered;	/* the others as above, of all buffers */
	uint64_t released;
	uint64_t coalesced;
	uint64_t revoked;
	uint64_t held_ns;
	uint64_t lag;
	uint32_t queued;	/* messages that wait for room in its socket */
	uint32_t max_queued;	/* the most that ever did */
	uint64_t reserved[2];	/* 0 */
};

/*
 * Asks the daemon for its counters. Does not wait: a STATS event comes for each buffer in
 * sight, a CONSUMER event for each consumer that we may know of, then STATS for buffer 0. -ENOTCONN; -EAGAIN: too much waits to be sent: read events
 * first.
 */
int bufshare_host_request_stats(struct bufshare_host *host);

/* The counters of the STATS event that was read last. -ENOENT: none was. */
int bufshare_host_get_stats(const struct bufshare_host *host, struct bufshare_host_stats *stats);

/* The counters of the CONSUMER event that was read last. -ENOENT: none was. */
int bufshare_host_get_consumer(const struct bufshare_host *host,
			       struct bufshare_host_consumer *consumer);

/* A reference to a buffer that is in sight. -ENOENT: no such id, or removed. */
int bufshare_host_get_buffer(struct bufshare_host *host, uint64_t id,
			     struct bufshare_host_buffer **buf);

/*
 * Walks over the buffers in sight in the order of their ids: *id goes in as 0 or as
 * the id before, and comes out as the next. -ENOENT at the end.
 */
int bufshare_host_next_buffer(struct bufshare_host *host, uint64_t *id);

/* ---- buffers ---- */

struct bufshare_host_buffer *bufshare_host_buffer_ref(struct bufshare_host_buffer *buf);

/*
 * Drops a reference. The last one, after the buffer was removed, unmaps it and tells
 * the daemon that the guest's memory is let go. NULL is allowed. Returns NULL.
 */
struct bufshare_host_buffer *bufshare_host_buffer_unref(struct bufshare_host_buffer *buf);

uint64_t bufshare_host_buffer_get_id(const struct bufshare_host_buffer *buf);
uint64_t bufshare_host_buffer_get_size(const struct bufshare_host_buffer *buf); /* bytes */
uint64_t bufshare_host_buffer_get_seq(const struct bufshare_host_buffer *buf); /* newest known, 0: none */
int bufshare_host_buffer_get_path(const struct bufshare_host_buffer *buf); /* enum bufshare_path */

/* Why a buffer comes as a copy. */
enum bufshare_copy_reason {
	BUFSHARE_COPY_NOT		= 0, /* it does not */
	BUFSHARE_COPY_ASKED		= 1, /* the daemon was told to copy */
	BUFSHARE_COPY_NO_UDMABUF	= 2, /* there is no /dev/udmabuf */
	BUFSHARE_COPY_UDMABUF_DENIED	= 3, /* the daemon may not open it */
	BUFSHARE_COPY_NOT_SEALED	= 4, /* the VM's memory could shrink */
	BUFSHARE_COPY_RANGES		= 5, /* it has more ranges than udmabuf takes */
	BUFSHARE_COPY_SIZE		= 6, /* it has more bytes than udmabuf takes */
	BUFSHARE_COPY_KERNEL		= 7, /* udmabuf refused it for another reason */
	BUFSHARE_COPY_FILES		= 8, /* it lies in more than one file */
	BUFSHARE_COPY_DRIVER		= 9, /* the guest's driver does not do zero-copy */
	BUFSHARE_COPY_RIGHT		= 10, /* this program has no right to zero-copy */
	BUFSHARE_COPY_CAPABILITY	= 11, /* this program did not ask for zero-copy */
};
int bufshare_host_buffer_get_copy_reason(const struct bufshare_host_buffer *buf);

const char *bufshare_host_buffer_get_application(const struct bufshare_host_buffer *buf);
int bufshare_host_buffer_get_uuid(const struct bufshare_host_buffer *buf,
				  uint8_t uuid[BUFSHARE_UUID_SIZE]);

/*
 * A property. *value is valid until the next event is read. -ENOENT: no such property.
 */
int bufshare_host_buffer_get_property(const struct bufshare_host_buffer *buf, const char *name,
				      const char **value);

/*
 * Walks over the properties in the order of their names: *name goes in as NULL or as
 * the name before, and comes out as the next. -ENOENT at the end.
 */
int bufshare_host_buffer_next_property(const struct bufshare_host_buffer *buf, const char **name);

/*
 * Sets a property of the host side, whose name begins with "host."; NULL as value
 * removes it. Does not wait for the daemon, whose PROPERTIES event tells that it took
 * effect. -EINVAL: not such a name, or no UTF-8; -EPERM: a name of the guest; -EACCES:
 * this connection may not with this buffer; -EAGAIN: too much waits to be sent; -ENOTCONN.
 */
int bufshare_host_buffer_set_property(struct bufshare_host_buffer *buf, const char *name,
				      const char *value);

/*
 * How the picture lies in the buffer, checked to lie inside it. -ENOENT: not a
 * framebuffer; -EINVAL: its properties do not fit the buffer.
 */
int bufshare_host_buffer_get_framebuffer(const struct bufshare_host_buffer *buf,
					 struct bufshare_framebuffer *fb);

/*
 * The rectangles of the update that was read last; 0 of them: everything. The array
 * is valid until the next event is read.
 */
int bufshare_host_buffer_get_damage(const struct bufshare_host_buffer *buf,
				    const struct bufshare_rect **damage, size_t *n);

/*
 * The buffer as one piece of memory, for reading, whatever its path; mapped once, valid
 * as long as the buffer, also when the connection was lost. The guest may write at any
 * time: copy before you check.
 */
int bufshare_host_buffer_map(struct bufshare_host_buffer *buf, const void **addr);

/*
 * Brackets CPU access to the mapping. For a dma-buf they make caches agree and may
 * block for its fences; for the other paths they do nothing.
 */
int bufshare_host_buffer_begin_read(struct bufshare_host_buffer *buf);
int bufshare_host_buffer_end_read(struct bufshare_host_buffer *buf);

/*
 * The same mapping, at the same address, for writing too: what is written there is the
 * guest's memory from that moment on. Agree with the guest's program on when, for example
 * while an update is held, and on how it learns of it; it is told of nothing by this.
 * -EOPNOTSUPP: the path is BUFSHARE_PATH_COPY, so that nothing would reach the guest;
 * -EACCES: it is because this program has no right to zero-copy.
 *
 * A buffer that comes back as a copy, when the connection was lost, stays mapped for
 * writing, but what is written stays in this process.
 */
int bufshare_host_buffer_map_writable(struct bufshare_host_buffer *buf, void **addr);

/*
 * Brackets CPU access that writes, and may read, as begin_read and end_read do. The same
 * errors as bufshare_host_buffer_map_writable().
 */
int bufshare_host_buffer_begin_write(struct bufshare_host_buffer *buf);
int bufshare_host_buffer_end_write(struct bufshare_host_buffer *buf);

/*
 * The dma-buf, to import into other devices; borrowed, valid as long as the buffer.
 * -EOPNOTSUPP: its path is not BUFSHARE_PATH_UDMABUF.
 */
int bufshare_host_buffer_get_dmabuf(const struct bufshare_host_buffer *buf);

/*
 * Gives an update back, so that the guest may write to the buffer again. Does not
 * block. -EALREADY: this update is not held (any more); -ENOTCONN.
 */
int bufshare_host_buffer_release(struct bufshare_host_buffer *buf, uint64_t seq);

#ifdef __cplusplus
}
#endif

#endif /* BUFSHARE_HOST_H */
