/* SPDX-License-Identifier: MIT */
/*
 * virtio-bufshare: the messages between the daemon and a consumer.
 * docs/consumer-protocol.md is the specification. Private: programs use
 * libbufshare-host, and a change here needs no more than a new version.
 *
 * The rules of this interface:
 *
 * - A Unix socket of type SOCK_SEQPACKET; one record is one message of at most
 *   BUFSHARE_IPC_MAX_MESSAGE bytes with at most one file descriptor.
 * - All fields are little-endian and naturally aligned, every structure is a
 *   multiple of 8 bytes, padding is explicit and zero. Undefined flags are zero.
 * - HELLO comes first, from the consumer. Then either side may send at any time.
 * - The daemon closes the connection of a consumer that sends what it must not,
 *   after an ERROR message where there is room for one.
 * - The consumer ignores message types it does not know, and closes on anything
 *   malformed: it does not trust the daemon.
 */
#ifndef BUFSHARE_HOST_IPC_H
#define BUFSHARE_HOST_IPC_H

#include <linux/types.h>
#include <linux/virtio_bufshare.h>

#define BUFSHARE_IPC_MAGIC		0x69687362 /* "bshi" */
#define BUFSHARE_IPC_VERSION		1
#define BUFSHARE_IPC_MAX_MESSAGE	4096
#define BUFSHARE_IPC_NAME_SIZE		64 /* labels, applications, patterns, program names */
#define BUFSHARE_IPC_UUID_SIZE		16
#define BUFSHARE_IPC_MAX_DAMAGE		VIRTIO_BUFSHARE_MAX_DAMAGE
#define BUFSHARE_IPC_MAX_PROPERTIES_SIZE VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE
#define BUFSHARE_IPC_MAX_SUBSCRIPTIONS	16

/* Consumer to daemon: below 64. Daemon to consumer: from 64 on. */
enum bufshare_ipc_type {
	BUFSHARE_IPC_HELLO		= 1,
	BUFSHARE_IPC_SUBSCRIBE		= 2,
	BUFSHARE_IPC_UNSUBSCRIBE	= 3,
	BUFSHARE_IPC_RELEASE		= 4,
	BUFSHARE_IPC_CLOSED		= 5,
	BUFSHARE_IPC_SET_PROPERTIES	= 6,
	BUFSHARE_IPC_GET_STATS		= 7,
	BUFSHARE_IPC_PING		= 8,

	BUFSHARE_IPC_WELCOME		= 64,
	BUFSHARE_IPC_SYNCED		= 65,
	BUFSHARE_IPC_ADDED		= 66,
	BUFSHARE_IPC_REMOVED		= 67,
	BUFSHARE_IPC_PROPERTIES		= 68,
	BUFSHARE_IPC_UPDATED		= 69,
	BUFSHARE_IPC_STATE		= 70,
	BUFSHARE_IPC_STATS		= 71,
	BUFSHARE_IPC_PONG		= 72,
	BUFSHARE_IPC_ERROR		= 73,
	BUFSHARE_IPC_REVOKED		= 74,
	BUFSHARE_IPC_RANGES		= 75,
	BUFSHARE_IPC_CONSUMER		= 76,
};

/**
 * struct bufshare_ipc_header - begins every message
 * @type: enum bufshare_ipc_type
 * @size: bytes of the whole message; equals the record's
 */
struct bufshare_ipc_header {
	__le32 type;
	__le32 size;
};

#define BUFSHARE_IPC_CAP_SET_PROPERTIES	(1ULL << 0) /* may set "host." properties */
#define BUFSHARE_IPC_CAP_ZERO_COPY	(1ULL << 1) /* may get the guest's pages */
#define BUFSHARE_IPC_CAP_STATS		(1ULL << 2)

/**
 * struct bufshare_ipc_hello - the first message of a consumer
 * @hdr: HELLO
 * @magic: BUFSHARE_IPC_MAGIC
 * @version: BUFSHARE_IPC_VERSION
 * @caps: BUFSHARE_IPC_CAP_* that the consumer wants; unknown bits are ignored
 * @program: name for listings, NUL-padded
 */
struct bufshare_ipc_hello {
	struct bufshare_ipc_header hdr;
	__le32 magic;
	__le32 version;
	__le64 caps;
	__u8 program[BUFSHARE_IPC_NAME_SIZE];
};

enum bufshare_ipc_state_value {
	BUFSHARE_IPC_STATE_NO_GUEST	= 0, /* no driver has begun an epoch */
	BUFSHARE_IPC_STATE_RUNNING	= 1,
	BUFSHARE_IPC_STATE_SUSPENDED	= 2, /* the VM is paused; nothing is lost */
	BUFSHARE_IPC_STATE_RESET	= 3, /* everything of the old epoch is void */
	BUFSHARE_IPC_STATE_RECOVERING	= 4, /* the daemon restarted; buffers come back */
	BUFSHARE_IPC_STATE_GONE		= 5, /* the VMM closed the device */
};

/**
 * struct bufshare_ipc_welcome - the answer to HELLO
 * @hdr: WELCOME
 * @magic: BUFSHARE_IPC_MAGIC
 * @version: the version in force
 * @caps: granted
 * @epoch: in force, zero if none
 * @uuid: of the device
 * @label: of the device, NUL-padded
 * @application: of the device, NUL-padded
 * @state: enum bufshare_ipc_state_value
 * @release_timeout_ms: how long an update can be held; zero: without limit
 * @max_buffers: that the guest can have registered at the same time
 * @max_subscriptions: patterns of this consumer
 */
struct bufshare_ipc_welcome {
	struct bufshare_ipc_header hdr;
	__le32 magic;
	__le32 version;
	__le64 caps;
	__le64 epoch;
	__u8 uuid[BUFSHARE_IPC_UUID_SIZE];
	__u8 label[BUFSHARE_IPC_NAME_SIZE];
	__u8 application[BUFSHARE_IPC_NAME_SIZE];
	__le32 state;
	__le32 release_timeout_ms;
	__le32 max_buffers;
	__le32 max_subscriptions;
};

/**
 * struct bufshare_ipc_subscribe - see, or no longer see, buffers of applications
 * @hdr: SUBSCRIBE or UNSUBSCRIBE
 * @pattern: application or glob of fnmatch(3) with "*", "?" and "[...]", NUL-padded
 *
 * SUBSCRIBE is answered by ADDED for each buffer that is there, then SYNCED.
 */
struct bufshare_ipc_subscribe {
	struct bufshare_ipc_header hdr;
	__u8 pattern[BUFSHARE_IPC_NAME_SIZE];
};

/* Names a buffer: CLOSED (nothing of it is mapped any more, no fd open). */
struct bufshare_ipc_buffer {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
};

/**
 * struct bufshare_ipc_release - the consumer is done with an update
 * @hdr: RELEASE
 * @buffer: the buffer; one that is not there (any more) is ignored
 * @seq: of the UPDATED it has; anything else is ignored
 */
struct bufshare_ipc_release {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le64 seq;
};

/**
 * struct bufshare_ipc_properties - properties of a buffer
 * @hdr: SET_PROPERTIES or PROPERTIES; the property block follows the structure
 * @buffer: the buffer
 * @properties_size: bytes of the block
 * @reserved: zero
 *
 * Both carry changes; "name" without "=" is a removal.
 */
struct bufshare_ipc_properties {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le32 properties_size;
	__le32 reserved;
};

/**
 * struct bufshare_ipc_range - a piece of the file that comes with ADDED
 * @offset: bytes from its start
 * @size: bytes
 *
 * Both are multiples of VIRTIO_BUFSHARE_PAGE_SIZE, @size is not zero.
 */
struct bufshare_ipc_range {
	__le64 offset;
	__le64 size;
};

/**
 * struct bufshare_ipc_ranges - where a buffer lies in guest memory
 * @hdr: RANGES; with the fd of a sealed memfd that holds the ranges
 * @buffer: the buffer, whose ADDED follows next
 * @num_ranges: struct bufshare_ipc_range in the memfd; it is of just that size
 * @reserved: zero
 *
 * Only for PATH_MEMFD.
 */
struct bufshare_ipc_ranges {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le32 num_ranges;
	__le32 reserved;
};

#define BUFSHARE_IPC_ADDED_AGAIN	(1U << 0) /* known from before a restart: same UUID */
#define BUFSHARE_IPC_ADDED_WRITABLE	(1U << 1) /* the fd can be mapped for writing */
#define BUFSHARE_IPC_ADDED_SETTABLE	(1U << 2) /* this consumer may set its "host." properties */

/* Why a consumer gets a copy. */
enum bufshare_ipc_why {
	BUFSHARE_IPC_WHY_NONE		= 0, /* it does not */
	BUFSHARE_IPC_WHY_ASKED		= 1, /* the daemon was told to copy */
	BUFSHARE_IPC_WHY_NO_UDMABUF	= 2, /* there is no /dev/udmabuf */
	BUFSHARE_IPC_WHY_UDMABUF_DENIED	= 3, /* the daemon may not open it */
	BUFSHARE_IPC_WHY_NOT_SEALED	= 4, /* the VM's memory has no F_SEAL_SHRINK */
	BUFSHARE_IPC_WHY_RANGES		= 5, /* more ranges than udmabuf takes */
	BUFSHARE_IPC_WHY_SIZE		= 6, /* more bytes than udmabuf takes */
	BUFSHARE_IPC_WHY_KERNEL		= 7, /* udmabuf refused it for another reason */
	BUFSHARE_IPC_WHY_FILES		= 8, /* it lies in more than one file */
	BUFSHARE_IPC_WHY_DRIVER		= 9, /* the guest's driver did not ask for zero-copy */
	BUFSHARE_IPC_WHY_RIGHT		= 10, /* this consumer has no right to zero-copy */
	BUFSHARE_IPC_WHY_CAP		= 11, /* this consumer did not ask for zero-copy */
};

/**
 * struct bufshare_ipc_added - a buffer came into sight
 * @hdr: ADDED; with the buffer's fd; the property block follows the structure
 * @buffer: id, unique within the epoch
 * @size: bytes
 * @seq: of the newest update, zero if none: that much contents is there to read
 * @uuid: 128-bit identity
 * @application: NUL-padded
 * @path: enum virtio_bufshare_path: the fd is a sealed memfd of @size bytes (COPY),
 *	a dma-buf of @size bytes (UDMABUF), or all guest memory (MEMFD)
 * @flags: BUFSHARE_IPC_ADDED_*
 * @properties_size: bytes of the property block
 * @why: enum bufshare_ipc_why
 */
struct bufshare_ipc_added {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le64 size;
	__le64 seq;
	__u8 uuid[BUFSHARE_IPC_UUID_SIZE];
	__u8 application[BUFSHARE_IPC_NAME_SIZE];
	__le32 path;
	__le32 flags;
	__le32 properties_size;
	__le32 why;
};

/**
 * struct bufshare_ipc_removed - a buffer went out of sight
 * @hdr: REMOVED
 * @buffer: the buffer
 * @reason: enum virtio_bufshare_reason
 * @reserved: zero
 *
 * The consumer unmaps it, closes its fd and says CLOSED: once for each ADDED.
 */
struct bufshare_ipc_removed {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le32 reason;
	__le32 reserved;
};

#define BUFSHARE_IPC_UPDATED_COALESCED	(1U << 0) /* stands for earlier updates too */

/**
 * struct bufshare_ipc_updated - new contents; the consumer holds them until RELEASE
 * @hdr: UPDATED
 * @buffer: the buffer
 * @seq: of the newest update
 * @time_ns: guest CLOCK_MONOTONIC of that update
 * @host_time_ns: host CLOCK_MONOTONIC when the daemon got that update
 * @flags: BUFSHARE_IPC_UPDATED_*
 * @num_damage: struct virtio_bufshare_rect that follow; zero: everything
 *
 * No other UPDATED of the buffer comes before its RELEASE.
 */
struct bufshare_ipc_updated {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le64 seq;
	__le64 time_ns;
	__le64 host_time_ns;
	__le32 flags;
	__le32 num_damage;
};

/**
 * struct bufshare_ipc_revoked - a held update was taken from the consumer
 * @hdr: REVOKED
 * @buffer: the buffer
 * @seq: the update; the guest may write to the buffer again
 *
 * Answered by RELEASE of that update, once the consumer knows; until then it is given no
 * other one, and the guest does not wait for it.
 */
struct bufshare_ipc_revoked {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le64 seq;
};

/**
 * struct bufshare_ipc_state - the device changed its state
 * @hdr: STATE
 * @state: enum bufshare_ipc_state_value
 * @reserved: zero
 * @epoch: in force, zero if none
 *
 * RESET and GONE make every buffer void without a REMOVED for each; CLOSED is due all the
 * same.
 */
struct bufshare_ipc_state {
	struct bufshare_ipc_header hdr;
	__le32 state;
	__le32 reserved;
	__le64 epoch;
};

/* No more than a header: GET_STATS, SYNCED. */
struct bufshare_ipc_empty {
	struct bufshare_ipc_header hdr;
};

/**
 * struct bufshare_ipc_stats - counters of a buffer since its registration
 * @hdr: STATS
 * @buffer: the buffer; zero ends the list and sums up this consumer
 * @updates: that the guest sent
 * @delivered: UPDATED messages to this consumer
 * @released: RELEASE messages of this consumer
 * @coalesced: updates that this consumer got as part of a later one
 * @revoked: updates that were taken from this consumer
 * @held_ns: how long this consumer held updates, all together
 * @lag: updates that this consumer is still to be given
 * @bytes_copied: by the daemon, for all consumers; in the sum, since it started
 * @consumers: that see the buffer; in the sum, that are connected
 * @path: enum virtio_bufshare_path for this consumer; zero in the sum
 *
 * A consumer that a rule limits finds zero bytes and one consumer in the sum.
 */
struct bufshare_ipc_stats {
	struct bufshare_ipc_header hdr;
	__le64 buffer;
	__le64 updates;
	__le64 delivered;
	__le64 released;
	__le64 coalesced;
	__le64 revoked;
	__le64 held_ns;
	__le64 lag;
	__le64 bytes_copied;
	__le32 consumers;
	__le32 path;
};

#define BUFSHARE_IPC_CONSUMER_SELF	(1U << 0) /* the one that asked */

/**
 * struct bufshare_ipc_consumer - counters of a consumer since it connected
 * @hdr: CONSUMER
 * @program: as in its HELLO, NUL-padded; empty: it said none
 * @pid: of its process when it connected, zero if that can not be known
 * @uid: of its user then
 * @flags: BUFSHARE_IPC_CONSUMER_*
 * @buffers: that it sees
 * @delivered: UPDATED messages to it
 * @released: RELEASE messages of it
 * @coalesced: updates that it got as part of a later one
 * @revoked: updates that were taken from it
 * @held_ns: how long it held updates, all together
 * @lag: updates that it is still to be given
 * @queued: messages and buffers that wait for room in its socket
 * @max_queued: the most that ever did
 *
 * The counters include buffers that it no longer sees.
 */
struct bufshare_ipc_consumer {
	struct bufshare_ipc_header hdr;
	__u8 program[BUFSHARE_IPC_NAME_SIZE];
	__le32 pid;
	__le32 uid;
	__le32 flags;
	__le32 buffers;
	__le64 delivered;
	__le64 released;
	__le64 coalesced;
	__le64 revoked;
	__le64 held_ns;
	__le64 lag;
	__le32 queued;
	__le32 max_queued;
};

/* PING, PONG: @cookie comes back. */
struct bufshare_ipc_ping {
	struct bufshare_ipc_header hdr;
	__le64 cookie;
};

/**
 * struct bufshare_ipc_error - a message was refused
 * @hdr: ERROR
 * @code: Linux errno, positive
 * @type: of the message that was refused
 * @text: for people, NUL-terminated
 */
struct bufshare_ipc_error {
	struct bufshare_ipc_header hdr;
	__le32 code;
	__le32 type;
	__u8 text[240];
};

#endif /* BUFSHARE_HOST_IPC_H */
