/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * virtio-bufshare: the interface between guest programs and the driver.
 * Programs use libbufshare; virtio-bufshare(4) describes what the calls do.
 *
 * The rules of this interface:
 *
 * - Fixed-size types, naturally aligned, every structure a multiple of 8 bytes,
 *   padding explicit, no unions. The layout is the same for 32 and 64 bit.
 * - Pad fields and undefined flag bits must be zero, or the call is -EINVAL.
 * - Ioctls, flags, parameters and event types can be added, never renumbered.
 *   Structures can grow at the end; zero there means what it meant before.
 * - Every ioctl is allowed on render nodes.
 * - "out" fields are written on success only, but for status and detail of
 *   REGISTER, which say why it failed.
 * - Buffers are registered, and their ids valid, per open file.
 */
#ifndef _BUFSHARE_DRM_H_
#define _BUFSHARE_DRM_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

enum drm_bufshare_ioctl_id {
	DRM_BUFSHARE_GET_PARAM = 0,
	DRM_BUFSHARE_CREATE,
	DRM_BUFSHARE_MAP,
	DRM_BUFSHARE_REGISTER,
	DRM_BUFSHARE_UNREGISTER,
	DRM_BUFSHARE_SET_PROPERTIES,
	DRM_BUFSHARE_GET_PROPERTIES,
	DRM_BUFSHARE_UPDATE,
	DRM_BUFSHARE_INFO,
	DRM_BUFSHARE_LIST,
	DRM_BUFSHARE_RESET,
	DRM_BUFSHARE_PING,
	DRM_BUFSHARE_USER_MEMORY,
};

/* What GET_PARAM tells. */
enum drm_bufshare_param {
	DRM_BUFSHARE_PARAM_FEATURES		= 1, /* DRM_BUFSHARE_FEATURE_* of driver and device */
	DRM_BUFSHARE_PARAM_EPOCH		= 2, /* zero while the device is not initialised */
	DRM_BUFSHARE_PARAM_MAX_BUFFERS		= 3,
	DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE	= 4, /* bytes */
	DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE	= 5, /* bytes */
	DRM_BUFSHARE_PARAM_MAX_RANGES		= 6, /* of one buffer */
	DRM_BUFSHARE_PARAM_MAX_PROPERTIES	= 7, /* of one buffer */
	DRM_BUFSHARE_PARAM_MAX_PROPERTIES_SIZE	= 8, /* bytes of one property block */
	DRM_BUFSHARE_PARAM_MAX_DAMAGE		= 9, /* rectangles of one update */
	DRM_BUFSHARE_PARAM_MAX_UPDATES		= 10, /* entries of one UPDATE call */
};

/* A feature is there when its bit is set; versions say nothing. */
#define DRM_BUFSHARE_FEATURE_HOST_PROPERTIES	(1ULL << 0)
#define DRM_BUFSHARE_FEATURE_RECOVERY		(1ULL << 1)
#define DRM_BUFSHARE_FEATURE_ZERO_COPY		(1ULL << 2)
#define DRM_BUFSHARE_FEATURE_UUID_IMPORT	(1ULL << 3)
#define DRM_BUFSHARE_FEATURE_OFFERS		(1ULL << 4)
#define DRM_BUFSHARE_FEATURE_FENCES		(1ULL << 5)
#define DRM_BUFSHARE_FEATURE_IMPORT		(1ULL << 6) /* other drivers' dma-bufs */
#define DRM_BUFSHARE_FEATURE_USER_MEMORY	(1ULL << 7)
#define DRM_BUFSHARE_FEATURE_HUGE_PAGES		(1ULL << 8) /* CREATE_HUGE has an effect */

/* Sizes of strings include the terminating NUL. */
#define DRM_BUFSHARE_APPLICATION_SIZE		64
#define DRM_BUFSHARE_UUID_SIZE			16
#define DRM_BUFSHARE_PROPERTY_NAME_SIZE		64
#define DRM_BUFSHARE_PROPERTY_VALUE_SIZE	1024
#define DRM_BUFSHARE_MAX_PROPERTIES_SIZE	3072
#define DRM_BUFSHARE_MAX_DAMAGE			16
#define DRM_BUFSHARE_MAX_UPDATES		64
#define DRM_BUFSHARE_MAX_OUTSTANDING		64

/**
 * struct drm_bufshare_get_param - a constant of the driver or the device
 * @param: in: enum drm_bufshare_param; -EINVAL for one the driver does not know
 * @value: out
 */
struct drm_bufshare_get_param {
	__u64 param;
	__u64 value;
};

#define DRM_BUFSHARE_CREATE_HUGE	(1U << 0) /* of large pieces of memory, as far as there are */

/**
 * struct drm_bufshare_create - make a buffer of cached guest memory
 * @size: in/out: bytes; rounded up to whole pages
 * @flags: in: DRM_BUFSHARE_CREATE_*
 * @handle: out: GEM handle
 */
struct drm_bufshare_create {
	__u64 size;
	__u32 flags;
	__u32 handle;
};

/**
 * struct drm_bufshare_map - where to mmap() a buffer
 * @handle: in: GEM handle
 * @pad: in: zero
 * @offset: out: for mmap() of the node
 */
struct drm_bufshare_map {
	__u32 handle;
	__u32 pad;
	__u64 offset;
};

#define DRM_BUFSHARE_REGISTER_SHARE_RW	(1U << 0) /* other guests may map it, and so write it */

/**
 * struct drm_bufshare_register - let the host see a buffer
 * @handle: in: GEM handle; the registration keeps the buffer alive
 * @flags: in: DRM_BUFSHARE_REGISTER_*
 * @properties: in: pointer to a property block (see below), or zero
 * @properties_size: in: bytes of the block
 * @status: out: enum virtio_bufshare_status of the device's answer
 * @user_data: in: comes back in the events of this buffer
 * @id: out: of the registration; never used again in this epoch
 * @uuid: out: 128-bit identity, unique across VMs
 * @num_ranges: out: pieces of guest memory the buffer consists of
 * @detail: out: of the device's answer: which limit, or the host's errno
 * @application: in: NUL-terminated, zero behind it
 *
 * A property block is a sequence of NUL-terminated strings "name=value".
 * Waits for the host's answer; killable. Once per buffer at a time (-EALREADY).
 *
 * Memory that the device cannot reach is refused here, or where it is imported:
 * -EREMOTE if it lies in another device and not in RAM, -EXDEV if it is behind an
 * IOMMU that the device bypasses, -EADDRNOTAVAIL if it is reached through bounce
 * buffers only, -EOPNOTSUPP if it is not made of whole pages, each of them once.
 */
struct drm_bufshare_register {
	__u32 handle;
	__u32 flags;
	__u64 properties;
	__u32 properties_size;
	__u32 status;
	__u64 user_data;
	__u64 id;
	__u8 uuid[DRM_BUFSHARE_UUID_SIZE];
	__u32 num_ranges;
	__u32 detail;
	char application[DRM_BUFSHARE_APPLICATION_SIZE];
};

#define DRM_BUFSHARE_UNREGISTER_STILL_MAPPED	(1U << 0)

/**
 * struct drm_bufshare_unregister - take a buffer back
 * @id: in
 * @flags: in: zero; out: STILL_MAPPED if a host program did not let go of the pages;
 *	the driver keeps them from others until it does, if the device can tell
 * @pad: in: zero
 *
 * Waits for the host's answer; killable. The id is void in any case.
 */
struct drm_bufshare_unregister {
	__u64 id;
	__u32 flags;
	__u32 pad;
};

#define DRM_BUFSHARE_SET_PROPERTIES_ALL	(1U << 0) /* of any file's buffer; needs CAP_SYS_ADMIN */

/**
 * struct drm_bufshare_set_properties - set and remove properties
 * @id: in
 * @properties: in: pointer to a property block; "name" without "=" removes it
 * @properties_size: in: bytes of the block
 * @flags: in: DRM_BUFSHARE_SET_PROPERTIES_*
 *
 * All of the block takes effect or nothing. Names that begin with "host."
 * belong to the host side (-EPERM). If another file registered the buffer, that
 * one gets EVENT_PROPERTIES.
 */
struct drm_bufshare_set_properties {
	__u64 id;
	__u64 properties;
	__u32 properties_size;
	__u32 flags;
};

/**
 * struct drm_bufshare_get_properties - read all properties of a buffer
 * @id: in
 * @properties: in: pointer to where the block goes
 * @properties_size: in: room there; out: bytes of the block. If there is too
 *	little room nothing is written there and the call succeeds.
 * @flags: in: zero
 *
 * Sorted by name, both sides' properties.
 */
struct drm_bufshare_get_properties {
	__u64 id;
	__u64 properties;
	__u32 properties_size;
	__u32 flags;
};

/**
 * struct drm_bufshare_rect - damage
 * @x: left edge in pixels; for plain data the offset in bytes
 * @y: top edge in pixels; for plain data zero
 * @width: in pixels; for plain data bytes
 * @height: in pixels; for plain data one
 */
struct drm_bufshare_rect {
	__u32 x;
	__u32 y;
	__u32 width;
	__u32 height;
};

#define DRM_BUFSHARE_UPDATE_IN_FENCE_FD		(1U << 0)
#define DRM_BUFSHARE_UPDATE_IN_SYNCOBJ		(1U << 1)
#define DRM_BUFSHARE_UPDATE_IN_IMPLICIT		(1U << 2)
#define DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ	(1U << 3)

/**
 * struct drm_bufshare_update_entry - new contents of one buffer
 * @id: in
 * @seq: out: number of this update; counts up from 1 for each buffer
 * @damage: in: pointer to struct drm_bufshare_rect, or zero
 * @num_damage: in: rectangles there; zero: everything changed
 * @flags: in: DRM_BUFSHARE_UPDATE_*
 * @in_fence_fd: in: sync_file to wait for, with IN_FENCE_FD
 * @in_syncobj: in: syncobj to wait for, with IN_SYNCOBJ
 * @in_point: in: its point, zero for a binary syncobj
 * @release_syncobj: in: syncobj to signal at the release, with RELEASE_SYNCOBJ
 * @pad: in: zero
 * @release_point: in: its point, zero for a binary syncobj
 *
 * Fields without their flag are zero. Fences need FEATURE_FENCES (-EOPNOTSUPP).
 * A fence to wait for must be there already (-EINVAL). Of each buffer at most
 * MAX_OUTSTANDING updates wait, and as many have a release syncobj (-EBUSY).
 * Only fences and release syncobjs can fail for lack of memory (-ENOMEM).
 */
struct drm_bufshare_update_entry {
	__u64 id;
	__u64 seq;
	__u64 damage;
	__u32 num_damage;
	__u32 flags;
	__s32 in_fence_fd;
	__u32 in_syncobj;
	__u64 in_point;
	__u32 release_syncobj;
	__u32 pad;
	__u64 release_point;
};

/**
 * struct drm_bufshare_update - tell the host of new contents
 * @updates: in: pointer to struct drm_bufshare_update_entry; seq is written there
 * @count: in: entries, 1 to PARAM_MAX_UPDATES; a buffer stands at most once
 * @flags: in: zero
 *
 * Checks every entry first: all are done or none. Does not wait for the host;
 * each update is answered by a RELEASED event of the file.
 */
struct drm_bufshare_update {
	__u64 updates;
	__u32 count;
	__u32 flags;
};

#define DRM_BUFSHARE_INFO_BUSY		(1U << 0) /* an update is not released */
#define DRM_BUFSHARE_INFO_LOST		(1U << 1) /* the host dropped it: unregister */
#define DRM_BUFSHARE_INFO_IMPORTED	(1U << 2) /* another driver's dma-buf */
#define DRM_BUFSHARE_INFO_USER_MEMORY	(1U << 3)

/**
 * struct drm_bufshare_info - state of a registered buffer
 * @id: in; or zero, then by @handle
 * @handle: in: GEM handle, or zero; out: as given
 * @flags: in: zero; out: DRM_BUFSHARE_INFO_*
 * @size: out: bytes
 * @seq: out: of the newest update, zero if none
 * @released: out: every update up to this one is released
 * @user_data: out: of REGISTER
 * @uuid: out
 * @num_ranges: out
 * @path: out: enum virtio_bufshare_path
 * @consumers: out: that see the buffer
 * @pad: in: zero
 * @application: out: NUL-terminated
 */
struct drm_bufshare_info {
	__u64 id;
	__u32 handle;
	__u32 flags;
	__u64 size;
	__u64 seq;
	__u64 released;
	__u64 user_data;
	__u8 uuid[DRM_BUFSHARE_UUID_SIZE];
	__u32 num_ranges;
	__u32 path;
	__u32 consumers;
	__u32 pad;
	char application[DRM_BUFSHARE_APPLICATION_SIZE];
};

#define DRM_BUFSHARE_LIST_ALL		(1U << 0) /* of all files; needs CAP_SYS_ADMIN */

/**
 * struct drm_bufshare_list - the registered buffers, in order of their ids
 * @ids: in: pointer to __u64, or zero to count only
 * @count: in: room there; out: how many there are
 * @flags: in: DRM_BUFSHARE_LIST_*
 * @after: in: only ids greater than this one
 *
 * With LIST_ALL, INFO and GET_PROPERTIES of those ids are allowed too.
 */
struct drm_bufshare_list {
	__u64 ids;
	__u32 count;
	__u32 flags;
	__u64 after;
};

#define DRM_BUFSHARE_RESET_ALL		(1U << 0) /* of all files; needs CAP_SYS_ADMIN */

/**
 * struct drm_bufshare_reset - unregister many buffers at once
 * @flags: in: DRM_BUFSHARE_RESET_*; zero: the buffers of this file
 * @pad: in: zero
 */
struct drm_bufshare_reset {
	__u32 flags;
	__u32 pad;
};

/**
 * struct drm_bufshare_ping - a round trip to the device
 * @time_ns: out: how long it took
 * @flags: in: zero
 * @pad: in: zero
 */
struct drm_bufshare_ping {
	__u64 time_ns;
	__u32 flags;
	__u32 pad;
};

/**
 * struct drm_bufshare_user_memory - make a buffer of memory that the program has
 * @addr: in: where it begins; on a page boundary
 * @size: in: bytes, whole pages
 * @flags: in: zero
 * @handle: out: GEM handle
 *
 * The pages are pinned, and count against RLIMIT_MEMLOCK of the user (-ENOMEM),
 * until the handle is closed and the host has let go of them. They must be
 * writable (-EFAULT), and anonymous or shared memory: not a file's or a device's
 * (-EOPNOTSUPP). Needs FEATURE_USER_MEMORY (-EOPNOTSUPP). The buffer can be
 * neither mapped nor exported.
 */
struct drm_bufshare_user_memory {
	__u64 addr;
	__u64 size;
	__u32 flags;
	__u32 handle;
};

/* Events, read() from the node. Driver events begin at 0x80000000. */
#define DRM_BUFSHARE_EVENT_RELEASED	0x80000001 /* updates of id up to seq */
#define DRM_BUFSHARE_EVENT_CONSUMERS	0x80000002 /* value: consumers that see id now */
#define DRM_BUFSHARE_EVENT_PROPERTIES	0x80000003 /* others changed properties of id */
#define DRM_BUFSHARE_EVENT_BUFFER_LOST	0x80000004 /* value: enum virtio_bufshare_reason */
#define DRM_BUFSHARE_EVENT_RESTARTED	0x80000005 /* the host side came back; all is registered again */
#define DRM_BUFSHARE_EVENT_DEVICE_LOST	0x80000006 /* the last event of the file */
#define DRM_BUFSHARE_EVENT_OVERFLOW	0x80000007 /* events were dropped: ask INFO for the state */

#define DRM_BUFSHARE_RELEASED_NO_CONSUMER	(1U << 0) /* nobody saw the update */
#define DRM_BUFSHARE_RELEASED_CONSUMER_GONE	(1U << 1) /* a consumer went away holding it */
#define DRM_BUFSHARE_RELEASED_TIMEOUT		(1U << 2) /* a consumer held it too long */
#define DRM_BUFSHARE_RELEASED_HOST_GONE		(1U << 3) /* the host side went away holding it */

/**
 * struct drm_bufshare_event - all events of this driver
 * @base: type and length
 * @id: of the buffer, zero for the device
 * @seq: update number, zero if it says nothing
 * @user_data: of REGISTER
 * @time_ns: CLOCK_MONOTONIC when the driver got to know
 * @flags: by type
 * @value: by type
 */
struct drm_bufshare_event {
	struct drm_event base;
	__u64 id;
	__u64 seq;
	__u64 user_data;
	__u64 time_ns;
	__u32 flags;
	__u32 value;
};

#define DRM_IOCTL_BUFSHARE_GET_PARAM \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_GET_PARAM, struct drm_bufshare_get_param)
#define DRM_IOCTL_BUFSHARE_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_CREATE, struct drm_bufshare_create)
#define DRM_IOCTL_BUFSHARE_MAP \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_MAP, struct drm_bufshare_map)
#define DRM_IOCTL_BUFSHARE_REGISTER \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_REGISTER, struct drm_bufshare_register)
#define DRM_IOCTL_BUFSHARE_UNREGISTER \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_UNREGISTER, struct drm_bufshare_unregister)
#define DRM_IOCTL_BUFSHARE_SET_PROPERTIES \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_SET_PROPERTIES, struct drm_bufshare_set_properties)
#define DRM_IOCTL_BUFSHARE_GET_PROPERTIES \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_GET_PROPERTIES, struct drm_bufshare_get_properties)
#define DRM_IOCTL_BUFSHARE_UPDATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_UPDATE, struct drm_bufshare_update)
#define DRM_IOCTL_BUFSHARE_INFO \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_INFO, struct drm_bufshare_info)
#define DRM_IOCTL_BUFSHARE_LIST \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_LIST, struct drm_bufshare_list)
#define DRM_IOCTL_BUFSHARE_RESET \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_RESET, struct drm_bufshare_reset)
#define DRM_IOCTL_BUFSHARE_PING \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_PING, struct drm_bufshare_ping)
#define DRM_IOCTL_BUFSHARE_USER_MEMORY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_USER_MEMORY, struct drm_bufshare_user_memory)

#if defined(__cplusplus)
}
#endif

#endif /* _BUFSHARE_DRM_H_ */
