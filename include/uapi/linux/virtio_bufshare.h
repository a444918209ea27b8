/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * virtio-bufshare: the virtqueue interface between the guest driver and the
 * device. docs/virtio-bufshare.md is its specification.
 *
 * The rules of this interface:
 *
 * - All fields are little-endian and naturally aligned, every structure is a
 *   multiple of 8 bytes, padding is explicit. No unions, no bit fields.
 * - Reserved fields and undefined flag bits are zero. The receiver checks them
 *   and refuses the message if they are not, so that they can gain a meaning.
 * - Commands, events, status codes and flags can be added, never renumbered.
 *   A command the device does not know is answered UNSUPPORTED; an event the
 *   driver does not know is ignored.
 * - Every length is checked against the bytes that are really there, every
 *   count against the limit named below and the one in the config space.
 * - The config space never changes while the device is there. Whatever changes
 *   is told by an event.
 */
#ifndef _LINUX_VIRTIO_BUFSHARE_H
#define _LINUX_VIRTIO_BUFSHARE_H

#include <linux/types.h>

/* Reserved as VIRTIO_ID_DMABUF in linux/virtio_ids.h; PCI device 1af4:1065. */
#define VIRTIO_BUFSHARE_ID			37

#define VIRTIO_BUFSHARE_MAGIC			0x72687362 /* "bshr" */
#define VIRTIO_BUFSHARE_VERSION			1

#define VIRTIO_BUFSHARE_QUEUE_CONTROL		0 /* driver to device: commands */
#define VIRTIO_BUFSHARE_QUEUE_EVENT		1 /* device to driver: events */
#define VIRTIO_BUFSHARE_NUM_QUEUES		2

/*
 * The limits of the interface. A device may have lower ones: they are in its
 * config space. Strings are UTF-8; sizes include the terminating NUL.
 */
#define VIRTIO_BUFSHARE_LABEL_SIZE		64
#define VIRTIO_BUFSHARE_APPLICATION_SIZE	64
#define VIRTIO_BUFSHARE_UUID_SIZE		16
#define VIRTIO_BUFSHARE_MAX_BUFFERS		65536
#define VIRTIO_BUFSHARE_MAX_BUFFER_SIZE		(1ULL << 30)
#define VIRTIO_BUFSHARE_MAX_RANGES		262144 /* 1 GiB of single 4 KiB pages */
#define VIRTIO_BUFSHARE_MAX_DAMAGE		16
#define VIRTIO_BUFSHARE_MAX_PROPERTIES		64 /* of one buffer, both sides together */
#define VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE	3072 /* bytes of the block with all of them */
#define VIRTIO_BUFSHARE_PROPERTY_NAME_SIZE	64
#define VIRTIO_BUFSHARE_PROPERTY_VALUE_SIZE	1024

/* Addresses and sizes of ranges are multiples of this, whatever the guest's page size. */
#define VIRTIO_BUFSHARE_PAGE_SIZE		4096

/*
 * A property block is a sequence of NUL-terminated strings "name=value". A
 * string without "=" removes that name (only in SET_PROPERTIES). Names match
 * [a-z0-9][a-z0-9._-]*, no name stands twice in a block, values are UTF-8.
 * Names that begin with "host." belong to the host side, all others to the guest.
 */
#define VIRTIO_BUFSHARE_HOST_PREFIX		"host."

/* What the device can do: virtio_bufshare_config.caps and virtio_bufshare_init.caps. */
#define VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES	(1ULL << 0) /* host programs may set "host." properties */
#define VIRTIO_BUFSHARE_CAP_RECOVERY		(1ULL << 1) /* an epoch survives a restart of the device */
#define VIRTIO_BUFSHARE_CAP_ZERO_COPY		(1ULL << 2) /* consumers can get the guest's pages */
#define VIRTIO_BUFSHARE_CAP_UUID_IMPORT		(1ULL << 3) /* REGISTER_BY_UUID */
#define VIRTIO_BUFSHARE_CAP_OFFERS		(1ULL << 4) /* the host offers buffers to the guest */
#define VIRTIO_BUFSHARE_CAP_UNMAPPED		(1ULL << 5) /* EVENT_UNMAPPED follows STILL_MAPPED */

/**
 * struct virtio_bufshare_config - the config space, constant and read-only
 * @magic: VIRTIO_BUFSHARE_MAGIC; other devices use this virtio id too
 * @version: VIRTIO_BUFSHARE_VERSION; the driver refuses a version it does not know
 * @caps: VIRTIO_BUFSHARE_CAP_*
 * @uuid: identity of the device, RFC 9562 byte order; zero if it has none
 * @label: name given by the VM's owner, NUL-padded, same character set as an application
 * @application: the application protocol this device serves, NUL-padded; empty: any
 * @subsystem_vendor: of the registry of reserved ids; zero if none
 * @subsystem_device: of the registry of reserved ids; zero if none
 * @max_buffers: registered at the same time
 * @max_buffer_size: bytes of one buffer
 * @max_total_size: bytes of all registered buffers
 * @max_ranges: ranges of one buffer, adjacent ones merged
 * @max_properties: properties of one buffer, of both sides together
 * @max_properties_size: bytes of the property block with all of them
 * @max_damage: rectangles of one update
 * @offer_region_size: bytes of shared memory region 1, for offers; zero without CAP_OFFERS
 * @max_commands: in a second, beyond which they wait in the queue; zero: without limit
 * @reserved: zero
 */
struct virtio_bufshare_config {
	__le32 magic;
	__le32 version;
	__le64 caps;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__u8 label[VIRTIO_BUFSHARE_LABEL_SIZE];
	__u8 application[VIRTIO_BUFSHARE_APPLICATION_SIZE];
	__le16 subsystem_vendor;
	__le16 subsystem_device;
	__le32 max_buffers;
	__le64 max_buffer_size;
	__le64 max_total_size;
	__le32 max_ranges;
	__le32 max_properties;
	__le32 max_properties_size;
	__le32 max_damage;
	__le64 offer_region_size;
	__le32 max_commands;
	__u8 reserved[44];
};

/* Commands: virtio_bufshare_request.type. */
enum virtio_bufshare_command {
	VIRTIO_BUFSHARE_CMD_INIT		= 1,
	VIRTIO_BUFSHARE_CMD_REGISTER		= 2,
	VIRTIO_BUFSHARE_CMD_UNREGISTER		= 3,
	VIRTIO_BUFSHARE_CMD_UPDATE		= 4,
	VIRTIO_BUFSHARE_CMD_SET_PROPERTIES	= 5,
	VIRTIO_BUFSHARE_CMD_GET_PROPERTIES	= 6,
	VIRTIO_BUFSHARE_CMD_RESET		= 7,
	VIRTIO_BUFSHARE_CMD_QUERY		= 8,
	VIRTIO_BUFSHARE_CMD_PING		= 9,
	VIRTIO_BUFSHARE_CMD_OFFER_MAP		= 10,
	VIRTIO_BUFSHARE_CMD_OFFER_UNMAP		= 11,
	VIRTIO_BUFSHARE_CMD_OFFER_RELEASE	= 12,
};

/* Answers: virtio_bufshare_response.status. */
enum virtio_bufshare_status {
	VIRTIO_BUFSHARE_STATUS_OK		= 0,
	VIRTIO_BUFSHARE_STATUS_UNSUPPORTED	= 1, /* unknown command, flag or capability */
	VIRTIO_BUFSHARE_STATUS_INVALID		= 2, /* malformed: size, reserved field, string */
	VIRTIO_BUFSHARE_STATUS_EPOCH		= 3, /* not the epoch in force: INIT first */
	VIRTIO_BUFSHARE_STATUS_NOT_FOUND	= 4, /* no such buffer, offer or UUID */
	VIRTIO_BUFSHARE_STATUS_EXISTS		= 5, /* the buffer id is in use */
	VIRTIO_BUFSHARE_STATUS_LIMIT		= 6, /* detail: enum virtio_bufshare_limit */
	VIRTIO_BUFSHARE_STATUS_MEMORY		= 7, /* a range is not memory the device can share */
	VIRTIO_BUFSHARE_STATUS_DENIED		= 8, /* the host's policy forbids it */
	VIRTIO_BUFSHARE_STATUS_HOST		= 9, /* the host failed; detail: Linux errno */
};

/* Which limit was reached: detail of STATUS_LIMIT. */
enum virtio_bufshare_limit {
	VIRTIO_BUFSHARE_LIMIT_BUFFERS		= 1,
	VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE	= 2,
	VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE	= 3,
	VIRTIO_BUFSHARE_LIMIT_RANGES		= 4,
	VIRTIO_BUFSHARE_LIMIT_PROPERTIES	= 5,
	VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE	= 6,
	VIRTIO_BUFSHARE_LIMIT_DAMAGE		= 7,
	VIRTIO_BUFSHARE_LIMIT_OFFER_REGION	= 8,
};

/* How a buffer reaches the consumers: virtio_bufshare_register_response.path. */
enum virtio_bufshare_path {
	VIRTIO_BUFSHARE_PATH_COPY		= 1, /* copied at each update */
	VIRTIO_BUFSHARE_PATH_UDMABUF		= 2, /* the guest's pages, as a dma-buf */
	VIRTIO_BUFSHARE_PATH_MEMFD		= 3, /* the guest's memory and the ranges */
};

/**
 * struct virtio_bufshare_request - begins every command
 * @type: enum virtio_bufshare_command
 * @flags: of the command; undefined bits are zero
 * @epoch: the epoch that INIT answered; in INIT, zero or the epoch to resume
 */
struct virtio_bufshare_request {
	__le32 type;
	__le32 flags;
	__le64 epoch;
};

/**
 * struct virtio_bufshare_response - begins every answer
 * @status: enum virtio_bufshare_status
 * @detail: says more of some statuses, else zero
 */
struct virtio_bufshare_response {
	__le32 status;
	__le32 detail;
};

/**
 * struct virtio_bufshare_init - begin or resume an epoch
 * @hdr: epoch: zero for a new one; after RESTARTED, or at resume from a suspension, the
 *	one that was in force
 * @version: VIRTIO_BUFSHARE_VERSION
 * @reserved: zero
 * @caps: the capabilities of the config space that the driver uses; the others are not
 *	in force until the next INIT
 *
 * Whatever the epoch, the device has no buffers after INIT.
 */
struct virtio_bufshare_init {
	struct virtio_bufshare_request hdr;
	__le32 version;
	__le32 reserved;
	__le64 caps;
};

/**
 * struct virtio_bufshare_init_response - answer to INIT
 * @hdr: status
 * @epoch: the epoch in force, never zero; equals the one asked for if it was resumed
 * @caps: the capabilities in force, a subset of those asked for
 */
struct virtio_bufshare_init_response {
	struct virtio_bufshare_response hdr;
	__le64 epoch;
	__le64 caps;
};

/**
 * struct virtio_bufshare_range - a piece of guest memory
 * @addr: guest-physical address
 * @size: bytes
 *
 * Both are non-zero multiples of VIRTIO_BUFSHARE_PAGE_SIZE (@addr may be zero).
 */
struct virtio_bufshare_range {
	__le64 addr;
	__le64 size;
};

#define VIRTIO_BUFSHARE_REGISTER_AGAIN		(1U << 0) /* known from before a restart or suspend */
#define VIRTIO_BUFSHARE_REGISTER_BY_UUID	(1U << 1) /* another device's object, no ranges */
#define VIRTIO_BUFSHARE_REGISTER_SHARE_RW	(1U << 2) /* other guests may map it, and so write it */

/**
 * struct virtio_bufshare_register - register a buffer, whole or not at all
 * @hdr: flags: VIRTIO_BUFSHARE_REGISTER_*
 * @buffer: id chosen by the driver, not zero, never used before in this epoch
 * @size: bytes, the sum of the ranges
 * @seq: with AGAIN of the last update, zero if there was none; else zero
 * @num_ranges: struct virtio_bufshare_range that follow; zero with BY_UUID
 * @properties_size: bytes of the property block behind the ranges
 * @application: NUL-padded, [A-Za-z0-9][A-Za-z0-9._-]*
 * @uuid: with BY_UUID the object, else zero
 */
struct virtio_bufshare_register {
	struct virtio_bufshare_request hdr;
	__le64 buffer;
	__le64 size;
	__le64 seq;
	__le32 num_ranges;
	__le32 properties_size;
	__u8 application[VIRTIO_BUFSHARE_APPLICATION_SIZE];
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
};

/**
 * struct virtio_bufshare_register_response - answer to REGISTER
 * @hdr: status
 * @uuid: of the buffer, made by the device; unique across VMs
 * @path: enum virtio_bufshare_path
 * @consumers: that see the buffer now
 */
struct virtio_bufshare_register_response {
	struct virtio_bufshare_response hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le32 path;
	__le32 consumers;
};

/* Why a buffer goes: virtio_bufshare_unregister.reason. */
enum virtio_bufshare_reason {
	VIRTIO_BUFSHARE_REASON_UNREGISTERED	= 0, /* the program asked for it */
	VIRTIO_BUFSHARE_REASON_PRODUCER_GONE	= 1, /* the program ended */
	VIRTIO_BUFSHARE_REASON_RESET		= 2, /* the epoch, or the application, was reset */
	VIRTIO_BUFSHARE_REASON_MEMORY		= 3, /* the host lost the memory behind it */
	VIRTIO_BUFSHARE_REASON_HOST		= 4, /* the host's administrator or policy */
};

/**
 * struct virtio_bufshare_unregister - take a buffer back
 * @hdr: no flags
 * @buffer: the buffer
 * @reason: enum virtio_bufshare_reason, told to the consumers
 * @reserved: zero
 *
 * Answered when every consumer that could reach the guest's pages has let go
 * of them, or after a time of the device's choice with STILL_MAPPED. For a
 * buffer that was taken back before it asks whether it still is mapped.
 */
struct virtio_bufshare_unregister {
	struct virtio_bufshare_request hdr;
	__le64 buffer;
	__le32 reason;
	__le32 reserved;
};

#define VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED	(1U << 0)

/**
 * struct virtio_bufshare_unregister_response - answer to UNREGISTER
 * @hdr: status
 * @flags: STILL_MAPPED: a consumer may still see the pages; with CAP_UNMAPPED
 *	in force EVENT_UNMAPPED follows when none does any more
 * @reserved: zero
 */
struct virtio_bufshare_unregister_response {
	struct virtio_bufshare_response hdr;
	__le32 flags;
	__le32 reserved;
};

/**
 * struct virtio_bufshare_rect - damage
 * @x: of the left edge, in pixels; for plain data the offset in bytes
 * @y: of the top edge, in pixels; for plain data zero
 * @width: in pixels, not zero; for plain data bytes
 * @height: in pixels, not zero; for plain data one
 */
struct virtio_bufshare_rect {
	__le32 x;
	__le32 y;
	__le32 width;
	__le32 height;
};

/**
 * struct virtio_bufshare_update - the buffer has new contents
 * @hdr: no flags
 * @buffer: the buffer
 * @seq: greater than that of every earlier update of the buffer
 * @time_ns: guest CLOCK_MONOTONIC of the update
 * @num_damage: struct virtio_bufshare_rect that follow; zero: everything
 * @reserved: zero
 *
 * Answered at once with a bare response; RELEASED follows as an event.
 */
struct virtio_bufshare_update {
	struct virtio_bufshare_request hdr;
	__le64 buffer;
	__le64 seq;
	__le64 time_ns;
	__le32 num_damage;
	__le32 reserved;
};

/**
 * struct virtio_bufshare_set_properties - set and remove guest properties
 * @hdr: no flags
 * @buffer: the buffer
 * @properties_size: bytes of the property block that follows
 * @reserved: zero
 *
 * All of the block takes effect, or nothing.
 */
struct virtio_bufshare_set_properties {
	struct virtio_bufshare_request hdr;
	__le64 buffer;
	__le32 properties_size;
	__le32 reserved;
};

/* Names one buffer or offer: the request of GET_PROPERTIES, QUERY, OFFER_MAP, OFFER_UNMAP. */
struct virtio_bufshare_named {
	struct virtio_bufshare_request hdr;
	__le64 buffer;
};

/**
 * struct virtio_bufshare_get_properties_response - the host's properties of a buffer
 * @hdr: status
 * @generation: as in the newest PROPERTIES event that this answer covers
 * @properties_size: bytes of the property block that follows
 * @reserved: zero
 */
struct virtio_bufshare_get_properties_response {
	struct virtio_bufshare_response hdr;
	__le64 generation;
	__le32 properties_size;
	__le32 reserved;
};

/**
 * struct virtio_bufshare_reset - all buffers, or those of one application, are void
 * @hdr: no flags
 * @application: NUL-padded; empty: all
 */
struct virtio_bufshare_reset {
	struct virtio_bufshare_request hdr;
	__u8 application[VIRTIO_BUFSHARE_APPLICATION_SIZE];
};

/**
 * struct virtio_bufshare_query_response - what the device knows of a buffer
 * @hdr: status
 * @seq: of the newest update, zero if none
 * @released: every update up to this one is released
 * @updates: since the registration
 * @bytes_copied: by the device since the registration
 * @path: enum virtio_bufshare_path
 * @consumers: that see the buffer now
 */
struct virtio_bufshare_query_response {
	struct virtio_bufshare_response hdr;
	__le64 seq;
	__le64 released;
	__le64 updates;
	__le64 bytes_copied;
	__le32 path;
	__le32 consumers;
};

/**
 * struct virtio_bufshare_ping - a round trip
 * @hdr: no flags
 * @cookie: comes back
 */
struct virtio_bufshare_ping {
	struct virtio_bufshare_request hdr;
	__le64 cookie;
};

/**
 * struct virtio_bufshare_ping_response - answer to PING
 * @hdr: status
 * @cookie: of the request
 */
struct virtio_bufshare_ping_response {
	struct virtio_bufshare_response hdr;
	__le64 cookie;
};

/**
 * struct virtio_bufshare_offer_map_response - a host buffer became reachable
 * @hdr: status
 * @uuid: of the buffer
 * @offset: in shared memory region 1
 * @size: bytes
 * @seq: of the newest update
 * @properties_size: bytes of the property block that follows
 * @reserved: zero
 * @application: NUL-padded
 */
struct virtio_bufshare_offer_map_response {
	struct virtio_bufshare_response hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le64 offset;
	__le64 size;
	__le64 seq;
	__le32 properties_size;
	__le32 reserved;
	__u8 application[VIRTIO_BUFSHARE_APPLICATION_SIZE];
};

/**
 * struct virtio_bufshare_offer_release - the guest is done with an update of an offer
 * @hdr: no flags
 * @buffer: the offer
 * @seq: every update up to this one is released
 */
struct virtio_bufshare_offer_release {
	struct virtio_bufshare_request hdr;
	__le64 buffer;
	__le64 seq;
};

/* Events: virtio_bufshare_event.type. */
enum virtio_bufshare_event_type {
	VIRTIO_BUFSHARE_EVENT_RELEASED		= 1, /* updates of buffer up to seq */
	VIRTIO_BUFSHARE_EVENT_CONSUMERS		= 2, /* value: consumers of buffer now */
	VIRTIO_BUFSHARE_EVENT_PROPERTIES	= 3, /* host changed its properties; value: generation */
	VIRTIO_BUFSHARE_EVENT_RESTARTED		= 4, /* nothing is registered any more; epoch: below */
	VIRTIO_BUFSHARE_EVENT_BUFFER_LOST	= 5, /* buffer was dropped; value: reason */
	VIRTIO_BUFSHARE_EVENT_OFFER_ADDED	= 6, /* buffer: the offer */
	VIRTIO_BUFSHARE_EVENT_OFFER_UPDATED	= 7, /* buffer: the offer, seq; all of it changed */
	VIRTIO_BUFSHARE_EVENT_OFFER_REMOVED	= 8, /* buffer: the offer, value: reason */
	VIRTIO_BUFSHARE_EVENT_UNMAPPED		= 9, /* no consumer sees the pages; after STILL_MAPPED */
};

#define VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER	(1U << 0) /* nobody saw the update */
#define VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE	(1U << 1) /* a consumer went away holding it */
#define VIRTIO_BUFSHARE_RELEASED_TIMEOUT	(1U << 2) /* taken from a consumer that held it too long */

/**
 * struct virtio_bufshare_event - one buffer of the event queue
 * @type: enum virtio_bufshare_event_type
 * @flags: of the event; undefined bits are ignored
 * @epoch: in which it happened; the driver ignores events of another epoch. RESTARTED: the
 *	epoch that can be resumed, or zero from a device that does not know it; zero is
 *	meant for every driver
 * @buffer: the buffer or offer it concerns, zero for the device
 * @seq: update number, zero if it says nothing
 * @value: by type, else zero
 * @reserved: zero
 */
struct virtio_bufshare_event {
	__le32 type;
	__le32 flags;
	__le64 epoch;
	__le64 buffer;
	__le64 seq;
	__le64 value;
	__u8 reserved[24];
};

#endif /* _LINUX_VIRTIO_BUFSHARE_H */
