/* SPDX-License-Identifier: MIT */
/*
 * What libbufshare (guest) and libbufshare-host have in common.
 */
#ifndef BUFSHARE_TYPES_H
#define BUFSHARE_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sizes of strings and identities; strings include their NUL. */
#define BUFSHARE_UUID_SIZE		16
#define BUFSHARE_LABEL_SIZE		64
#define BUFSHARE_APPLICATION_SIZE	64
#define BUFSHARE_PROPERTY_NAME_SIZE	64
#define BUFSHARE_PROPERTY_VALUE_SIZE	1024

/* Rectangles of one update; more are sent as the smallest one around all. */
#define BUFSHARE_MAX_DAMAGE		16

/* Names of properties that say how a framebuffer lies in its buffer. */
#define BUFSHARE_PROPERTY_WIDTH		"width"		/* pixels, decimal */
#define BUFSHARE_PROPERTY_HEIGHT	"height"	/* pixels, decimal */
#define BUFSHARE_PROPERTY_STRIDE	"stride"	/* bytes from row to row, decimal */
#define BUFSHARE_PROPERTY_FORMAT	"format"	/* DRM fourcc, four characters: "XR24" */
#define BUFSHARE_PROPERTY_OFFSET	"offset"	/* bytes to the first pixel, decimal; "0" if not there */
#define BUFSHARE_PROPERTY_MODIFIER	"modifier"	/* DRM format modifier, "0x" and hex; linear if not there */

/* The planes behind the first, of formats that have some: both or none. */
#define BUFSHARE_PROPERTY_PLANE1_OFFSET	"plane1.offset"	/* bytes to its first pixel, decimal */
#define BUFSHARE_PROPERTY_PLANE1_STRIDE	"plane1.stride"	/* bytes from row to row, decimal */
#define BUFSHARE_PROPERTY_PLANE2_OFFSET	"plane2.offset"
#define BUFSHARE_PROPERTY_PLANE2_STRIDE	"plane2.stride"
#define BUFSHARE_PROPERTY_PLANE3_OFFSET	"plane3.offset"
#define BUFSHARE_PROPERTY_PLANE3_STRIDE	"plane3.stride"

/* How the picture is meant to be shown; properties.md lists the values. */
#define BUFSHARE_PROPERTY_COLOUR_SPACE		"colour-space"
#define BUFSHARE_PROPERTY_TRANSFER_FUNCTION	"transfer-function"
#define BUFSHARE_PROPERTY_COLOUR_RANGE		"colour-range"
#define BUFSHARE_PROPERTY_ALPHA			"alpha"
#define BUFSHARE_PROPERTY_TRANSFORM		"transform"

/* Of any buffer. */
#define BUFSHARE_PROPERTY_SIZE		"size"		/* bytes that mean something, decimal; all if not there */
#define BUFSHARE_PROPERTY_TITLE		"title"		/* for people */

/* Part of a buffer. For plain data x and width are bytes, y is 0, height is 1. */
struct bufshare_rect {
	uint32_t x;
	uint32_t y;
	uint32_t width;		/* pixels */
	uint32_t height;	/* pixels */
};

#define BUFSHARE_MAX_PLANES		4

/* A plane of a picture behind the first one. */
struct bufshare_plane {
	uint64_t offset;	/* bytes from the start of the buffer to its first pixel */
	uint32_t stride;	/* bytes from row to row */
	uint32_t reserved;	/* 0 */
};

/* A picture in a buffer; what is not used is 0. */
struct bufshare_framebuffer {
	uint32_t width;		/* pixels */
	uint32_t height;	/* pixels */
	uint32_t stride;	/* bytes from row to row, of the first plane */
	uint32_t format;	/* DRM fourcc */
	uint64_t modifier;	/* DRM format modifier; 0 is linear */
	uint64_t offset;	/* bytes to the first pixel of the first plane */
	uint32_t num_more;	/* planes behind the first, as the format has */
	uint32_t reserved;
	struct bufshare_plane more[BUFSHARE_MAX_PLANES - 1];
};

/* How a buffer's contents reach the programs on the host. */
enum bufshare_path {
	BUFSHARE_PATH_NONE	= 0,
	BUFSHARE_PATH_COPY	= 1, /* the daemon copies at each update */
	BUFSHARE_PATH_UDMABUF	= 2, /* the guest's pages, as a dma-buf */
	BUFSHARE_PATH_MEMFD	= 3, /* the guest's pages, through the guest's memory file */
};

/* Why a buffer went away. */
enum bufshare_reason {
	BUFSHARE_REASON_UNREGISTERED	= 0, /* its program took it back */
	BUFSHARE_REASON_PRODUCER_GONE	= 1, /* its program ended */
	BUFSHARE_REASON_RESET		= 2, /* the guest reset its buffers */
	BUFSHARE_REASON_MEMORY		= 3, /* the host lost the memory behind it */
	BUFSHARE_REASON_HOST		= 4, /* the host's administrator or policy */
};

enum bufshare_event_type {
	/* In the guest. */
	BUFSHARE_EVENT_RELEASED		= 1, /* buffer_id, seq: updates up to seq; flags: BUFSHARE_RELEASED_* */
	BUFSHARE_EVENT_CONSUMERS	= 2, /* buffer_id; value: how many host programs see it now */
	BUFSHARE_EVENT_BUFFER_LOST	= 3, /* buffer_id; value: enum bufshare_reason; unregister it */
	BUFSHARE_EVENT_RESTARTED	= 4, /* the host side came back, all is registered again: update */
	BUFSHARE_EVENT_DEVICE_LOST	= 5, /* the last one: the device was unplugged */
	BUFSHARE_EVENT_OVERFLOW		= 6, /* events were dropped: look at the buffers' states */

	/* On both sides. */
	BUFSHARE_EVENT_PROPERTIES	= 16, /* buffer_id: others changed properties */

	/* On the host. */
	BUFSHARE_EVENT_ADDED		= 32, /* buffer_id came into sight; seq: of its contents, 0: none yet; flags */
	BUFSHARE_EVENT_REMOVED		= 33, /* buffer_id went out of sight; value: enum bufshare_reason */
	BUFSHARE_EVENT_UPDATED		= 34, /* buffer_id, seq: new contents, to be released */
	BUFSHARE_EVENT_REVOKED		= 35, /* buffer_id, seq: held too long, the guest has it back */
	BUFSHARE_EVENT_SYNCED		= 36, /* every buffer that is there has been told */
	BUFSHARE_EVENT_STATE		= 37, /* value: enum bufshare_guest_state */
	BUFSHARE_EVENT_STATS		= 38, /* buffer_id, 0: the sum, which comes last: bufshare_host_get_stats() */
	BUFSHARE_EVENT_CONSUMER		= 39, /* before the last STATS: bufshare_host_get_consumer() */
};

/* Flags of BUFSHARE_EVENT_RELEASED. */
#define BUFSHARE_RELEASED_NO_CONSUMER	(1U << 0) /* nobody saw the update */
#define BUFSHARE_RELEASED_CONSUMER_GONE	(1U << 1) /* a host program ended while it held it */
#define BUFSHARE_RELEASED_TIMEOUT	(1U << 2) /* a host program held it too long */
#define BUFSHARE_RELEASED_HOST_GONE	(1U << 3) /* the host side restarted while it held it */

/* Flags of BUFSHARE_EVENT_ADDED. */
#define BUFSHARE_ADDED_AGAIN		(1U << 0) /* after the daemon restarted: the same buffer */

/* Flags of BUFSHARE_EVENT_UPDATED. */
#define BUFSHARE_UPDATED_COALESCED	(1U << 0) /* stands for earlier updates too */

/* What a host program knows of the guest. */
enum bufshare_guest_state {
	BUFSHARE_GUEST_NONE		= 0, /* no driver is there */
	BUFSHARE_GUEST_RUNNING		= 1,
	BUFSHARE_GUEST_SUSPENDED	= 2, /* the VM is paused; nothing is lost */
	BUFSHARE_GUEST_RESET		= 3, /* all buffers are void */
	BUFSHARE_GUEST_RECOVERING	= 4, /* the daemon restarted; the buffers come back */
	BUFSHARE_GUEST_GONE		= 5, /* the VM ended; all buffers are void */
};

/* 64 bytes; fields that a type does not name are 0. */
struct bufshare_event {
	uint32_t type;		/* enum bufshare_event_type */
	uint32_t flags;
	uint64_t buffer_id;
	uint64_t seq;
	uint64_t time_ns;	/* CLOCK_MONOTONIC of this side when the event became known */
	uint64_t user_data;	/* guest: as given to bufshare_buffer_set_user_data() */
	uint64_t value;
	uint64_t guest_time_ns;	/* host, UPDATED: CLOCK_MONOTONIC of the guest at the update */
	uint64_t reserved;
};

#ifdef __cplusplus
}
#endif

#endif /* BUFSHARE_TYPES_H */
