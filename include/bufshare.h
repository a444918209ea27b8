/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: share buffers of this virtual machine with programs on its host.
 *
 * Functions that can fail return 0 (or a count) or a negative errno; what each
 * code means is in libbufshare(3). Out-parameters are written on success only.
 * A NULL argument is -EINVAL unless said otherwise. Strings are UTF-8.
 *
 * The library has no global state and does not log. Different devices may be
 * used from different threads at the same time; one device, with its buffers, from
 * any thread, but one at a time. A child of fork() can only drop its references to
 * the parent's objects, which does not disturb the parent; other calls that reach the
 * device are -ENOTCONN. It makes devices of its own instead.
 *
 * The library works with older and newer drivers: what a driver cannot do is
 * -EOPNOTSUPP, and bufshare_device_has_feature() tells beforehand.
 */
#ifndef BUFSHARE_H
#define BUFSHARE_H

#include <stddef.h>
#include <stdint.h>

#include <bufshare-types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bufshare_device; /* a virtio-bufshare device: known from sysfs, opened on request */
struct bufshare_buffer; /* a buffer of an open device */

/* ---- devices ---- */

/*
 * Finds the devices of this machine by reading sysfs; opens no device node. *devs
 * becomes an array of *n devices in the order of their nodes, to be freed with
 * bufshare_device_list_free(). No device is no error: *n is 0. -ENOMEM; -EMFILE, -ENFILE:
 * no file descriptor is left to look with.
 */
int bufshare_device_enumerate(struct bufshare_device ***devs, size_t *n);

/* Drops the array and its references. NULL is allowed. */
void bufshare_device_list_free(struct bufshare_device **devs, size_t n);

/*
 * Finds one device without opening it. The label is the one given by the VM's
 * owner; the path is that of either of its nodes. A reference, to be dropped with
 * bufshare_device_unref(). NULL as label is the only device there is. -ENOENT: no
 * such device; -ENOTUNIQ: more than one.
 */
int bufshare_device_new_from_label(const char *label, struct bufshare_device **dev);
int bufshare_device_new_from_path(const char *path, struct bufshare_device **dev);

/*
 * The device of an open node, of either kind, which another program may have passed. The
 * device is open and has a duplicate of the descriptor; the open file is shared: its GEM
 * handles and events are the same, and whoever else has it must not read the events.
 * -EOPNOTSUPP: not a node of this driver; -ENODEV: unplugged.
 */
int bufshare_device_new_from_fd(int fd, struct bufshare_device **dev);

struct bufshare_device *bufshare_device_ref(struct bufshare_device *dev);

/* Drops a reference; the last one closes the node. NULL is allowed. Returns NULL. */
struct bufshare_device *bufshare_device_unref(struct bufshare_device *dev);

/*
 * What sysfs says of the device; needs no open. The strings are valid as long as
 * the device and empty if the VM's owner set none. The UUID is in RFC 9562 byte order.
 */
const char *bufshare_device_get_label(const struct bufshare_device *dev);
const char *bufshare_device_get_application(const struct bufshare_device *dev);
const char *bufshare_device_get_path(const struct bufshare_device *dev);	/* /dev/dri/renderDN */
const char *bufshare_device_get_card_path(const struct bufshare_device *dev);	/* /dev/dri/cardN */
const char *bufshare_device_get_name(const struct bufshare_device *dev);	/* virtioN */
void bufshare_device_get_subsystem(const struct bufshare_device *dev, uint16_t *vendor,
				   uint16_t *device);
int bufshare_device_get_uuid(const struct bufshare_device *dev, uint8_t uuid[BUFSHARE_UUID_SIZE]);

/*
 * Opens the render node; does nothing if it is open. -ENODEV: unplugged since;
 * -EACCES: no permission; -EOPNOTSUPP: the node is not of this driver.
 */
int bufshare_device_open(struct bufshare_device *dev);

/* The file descriptor of the open node, to poll for POLLIN; borrowed. -ENOTCONN: not open. */
int bufshare_device_get_fd(const struct bufshare_device *dev);

enum bufshare_limit {
	BUFSHARE_LIMIT_BUFFERS		= 1, /* registered at the same time */
	BUFSHARE_LIMIT_BUFFER_SIZE	= 2, /* bytes of one buffer */
	BUFSHARE_LIMIT_TOTAL_SIZE	= 3, /* bytes of all registered buffers */
	BUFSHARE_LIMIT_RANGES		= 4, /* pieces of memory of one buffer */
	BUFSHARE_LIMIT_PROPERTIES	= 5, /* of one buffer */
	BUFSHARE_LIMIT_PROPERTIES_SIZE	= 6, /* bytes of one buffer's names and values */
	BUFSHARE_LIMIT_DAMAGE		= 7, /* rectangles of one update */
};

/*
 * One of the device's limits, from sysfs; needs no open. -EINVAL: no such limit;
 * -EOPNOTSUPP: the driver does not tell it.
 */
int bufshare_device_get_limit(const struct bufshare_device *dev, int limit, uint64_t *value);

enum bufshare_feature {
	BUFSHARE_FEATURE_HOST_PROPERTIES = 1, /* host programs can set properties */
	BUFSHARE_FEATURE_RECOVERY	= 2, /* registrations outlive a restart of the host side */
	BUFSHARE_FEATURE_ZERO_COPY	= 3, /* the host can show the memory without copying it */
	BUFSHARE_FEATURE_UUID_IMPORT	= 4, /* buffers of other virtio devices, by their UUID */
	BUFSHARE_FEATURE_OFFERS		= 5, /* the host can offer buffers to the guest */
	BUFSHARE_FEATURE_FENCES		= 6, /* BUFSHARE_UPDATE_* */
	BUFSHARE_FEATURE_IMPORT		= 7, /* dma-bufs of other drivers */
	BUFSHARE_FEATURE_USER_MEMORY	= 8, /* bufshare_buffer_new_from_memory() */
	BUFSHARE_FEATURE_HUGE_PAGES	= 9, /* BUFSHARE_BUFFER_HUGE has an effect */
};

/*
 * Whether driver and device can do it: 1 or 0. Does not block. -ENOTCONN: not open;
 * -EINVAL: a feature that this library does not know.
 */
int bufshare_device_has_feature(const struct bufshare_device *dev, int feature);

/*
 * Takes the next event. Never blocks: -EAGAIN when there is none. -ENOTCONN: not
 * open; -ENODEV: the device is gone and all its events have been read.
 */
int bufshare_device_read_event(struct bufshare_device *dev, struct bufshare_event *event);

/*
 * Blocks until there is an event to take, at most for timeout_ns; negative: for ever.
 * -ETIMEDOUT; -EINTR: a signal was handled; -ENODEV as above.
 */
int bufshare_device_wait(struct bufshare_device *dev, int64_t timeout_ns);

/*
 * A round trip to the device, in nanoseconds. Blocks until its answer.
 * -ETIMEDOUT: the host did not answer; -ENODEV.
 */
int bufshare_device_ping(struct bufshare_device *dev, uint64_t *time_ns);

/* A registered buffer as the driver knows it, whoever registered it. */
struct bufshare_buffer_info {
	uint64_t id;
	uint64_t size;		/* bytes */
	uint64_t seq;		/* of the newest update, 0: none */
	uint64_t released;	/* every update up to this one is released */
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint32_t num_ranges;
	uint32_t path;		/* enum bufshare_path */
	uint32_t consumers;	/* host programs that see it */
	uint32_t lost;		/* 1: the host dropped it */
	char application[BUFSHARE_APPLICATION_SIZE];
	uint32_t imported;	/* 1: of another driver's dma-buf */
	uint32_t user_memory;	/* 1: of memory the program had */
	uint64_t reserved[7];	/* 0 */
};

/*
 * The ids of this program's registered buffers, in ascending order; with all set,
 * of every program's (-EACCES without CAP_SYS_ADMIN). The caller frees *ids.
 */
int bufshare_device_list_buffers(struct bufshare_device *dev, int all, uint64_t **ids, size_t *n);

/* State of a registered buffer. -ENOENT: no such id, or another program's. */
int bufshare_device_get_buffer_info(struct bufshare_device *dev, uint64_t id,
				    struct bufshare_buffer_info *info);

/*
 * Properties of a registered buffer: a NULL-terminated array of "name=value", sorted
 * by name, in one piece of memory that the caller frees with free(). -ENOENT as above.
 */
int bufshare_device_dup_buffer_properties(struct bufshare_device *dev, uint64_t id,
					  char ***properties);

/*
 * Sets a property of a registered buffer, whoever registered it, for the administrator
 * (-EACCES without CAP_SYS_ADMIN); NULL as value removes it, if it is there. Its program
 * gets BUFSHARE_EVENT_PROPERTIES. Blocks for the host's answer. -EINVAL, -EPERM,
 * -ENOSPC: as bufshare_buffer_set_property(); -ENOENT: no such id; -ESTALE.
 */
int bufshare_device_set_buffer_property(struct bufshare_device *dev, uint64_t id,
					const char *name, const char *value);

/*
 * Unregisters all buffers that this program registered with the device; with all set,
 * every program's (-EACCES without CAP_SYS_ADMIN), which then get
 * BUFSHARE_EVENT_BUFFER_LOST. Blocks for the host's answer. -ETIMEDOUT.
 */
int bufshare_device_reset(struct bufshare_device *dev, int all);

/* ---- buffers ---- */

/*
 * Makes a buffer of size bytes, rounded up to whole pages and zeroed. The device
 * must be open (-ENOTCONN) and stays so as long as the buffer lives. -ENOMEM;
 * -EINVAL: 0 or more than BUFSHARE_LIMIT_BUFFER_SIZE.
 */
int bufshare_buffer_new(struct bufshare_device *dev, uint64_t size, struct bufshare_buffer **buf);

/*
 * A wish for large pieces of memory even if a part of the last one is not used; without it
 * those that fit are used. The host maps them faster, and some hosts need them for large
 * buffers. Without BUFSHARE_FEATURE_HUGE_PAGES it has no effect.
 */
#define BUFSHARE_BUFFER_HUGE	(1U << 0)

/* The same with BUFSHARE_BUFFER_* flags. */
int bufshare_buffer_new_with_flags(struct bufshare_device *dev, uint64_t size, uint32_t flags,
				   struct bufshare_buffer **buf);

/*
 * Makes a buffer of memory the program has: whole pages, writable, anonymous or shared
 * (memfd), not a file's or a device's. The pages are pinned, and count against
 * RLIMIT_MEMLOCK, until the buffer is dropped and the host has let go; the program keeps
 * the mapping at least as long. The buffer cannot be exported. -EINVAL: not whole pages;
 * -EFAULT: not writable; -ENOMEM: too much to pin; -EOPNOTSUPP: no
 * BUFSHARE_FEATURE_USER_MEMORY, or another kind of memory.
 */
int bufshare_buffer_new_from_memory(struct bufshare_device *dev, void *addr, uint64_t size,
				    struct bufshare_buffer **buf);

/*
 * Makes a buffer for a picture in a DRM format, linear, planes one behind the other, and
 * sets the framebuffer properties. Rows begin at multiples of 64 bytes: read the strides
 * with bufshare_buffer_get_framebuffer(). -EOPNOTSUPP: a format the library does not know.
 */
int bufshare_buffer_new_framebuffer(struct bufshare_device *dev, uint32_t width, uint32_t height,
				    uint32_t format, struct bufshare_buffer **buf);

/*
 * Makes a buffer of the memory of a dma-buf; the fd stays the caller's. Its size is
 * the dma-buf's. A buffer of the same memory may be there already. -EOPNOTSUPP: the
 * driver cannot share that kind of memory, -EREMOTE: it is not RAM, -EXDEV: it is behind
 * an IOMMU, -EADDRNOTAVAIL: it is reached through bounce buffers.
 */
int bufshare_buffer_import(struct bufshare_device *dev, int dmabuf_fd, struct bufshare_buffer **buf);

struct bufshare_buffer *bufshare_buffer_ref(struct bufshare_buffer *buf);

/*
 * Drops a reference. The last one unregisters and unmaps the buffer, and may block
 * for the host's answer. NULL is allowed. Returns NULL.
 */
struct bufshare_buffer *bufshare_buffer_unref(struct bufshare_buffer *buf);

uint64_t bufshare_buffer_get_size(const struct bufshare_buffer *buf);	/* bytes */
uint32_t bufshare_buffer_get_handle(const struct bufshare_buffer *buf);	/* GEM handle, for libdrm */

/*
 * Maps the buffer for reading and writing, once; valid as long as the buffer. Memory the
 * program had is where it was.
 */
int bufshare_buffer_map(struct bufshare_buffer *buf, void **addr);

/* A new dma-buf fd of the buffer, close-on-exec; the caller closes it. */
int bufshare_buffer_export(struct bufshare_buffer *buf, int *dmabuf_fd);

/* Comes back in this buffer's events; takes effect at the next registration. */
void bufshare_buffer_set_user_data(struct bufshare_buffer *buf, uint64_t user_data);

/* ---- properties ---- */

/*
 * Sets a property; NULL as value removes it. On a registered buffer the host sees it
 * when the call returns, which then blocks for the host's answer; otherwise it is
 * registered with the buffer. -EINVAL: the name does not match [a-z0-9][a-z0-9._-]*,
 * or the value is not UTF-8, or one is too long; -EPERM: names that begin with "host."
 * are the host's; -ENOSPC: too many or too large; -ENOENT: nothing to remove.
 */
int bufshare_buffer_set_property(struct bufshare_buffer *buf, const char *name, const char *value);

/*
 * A property of either side. *value is valid until the next call that changes or
 * reads properties of this buffer, or unregisters it. Blocks for the host's answer if a
 * BUFSHARE_EVENT_PROPERTIES said that others changed properties. -ENOENT: no such property.
 */
int bufshare_buffer_get_property(struct bufshare_buffer *buf, const char *name, const char **value);

/*
 * Walks over the properties in the order of their names: *name goes in as NULL or as
 * any name, and comes out as the first one behind it, valid until the next step of a walk
 * over this buffer. Properties may be set and removed meanwhile. The host's are those of
 * the beginning, which may block as above. -ENOENT at the end.
 */
int bufshare_buffer_next_property(struct bufshare_buffer *buf, const char **name);

/*
 * The framebuffer properties in one go. Set: one change for all. Get: -ENOENT if
 * width, height, stride or format is missing. Both: -EINVAL if a field cannot be, or the
 * picture does not lie inside the buffer; the last row may end with its last pixel.
 */
int bufshare_buffer_set_framebuffer(struct bufshare_buffer *buf,
				    const struct bufshare_framebuffer *fb);
int bufshare_buffer_get_framebuffer(struct bufshare_buffer *buf, struct bufshare_framebuffer *fb);

/* ---- sharing ---- */

/*
 * Lets programs on the host see the buffer with all its properties, under the name of
 * an application protocol ([A-Za-z0-9][A-Za-z0-9._-]*). Blocks for the host's answer.
 * -EALREADY: registered; -ENOSPC: a limit of the host; -EACCES: the host forbids it;
 * -EOPNOTSUPP: memory the host cannot reach, with -EREMOTE, -EXDEV and -EADDRNOTAVAIL as
 * for an import; -ENXIO: the host failed; -ETIMEDOUT: the host does not answer, as when
 * no daemon is there. bufshare_buffer_get_refusal() says more.
 */
int bufshare_buffer_register(struct bufshare_buffer *buf, const char *application);

/* Why the last registration failed, for people; "" if it did not. Valid until the next one. */
const char *bufshare_buffer_get_refusal(const struct bufshare_buffer *buf);

/*
 * Takes the buffer back; blocks until no host program reaches the memory any more, or
 * the host gave up waiting. Returns 0, or 1 if a program may still see the memory.
 * -ENOENT: not registered. Whatever is returned, it is not registered afterwards.
 */
int bufshare_buffer_unregister(struct bufshare_buffer *buf);

/*
 * Tells the host that the buffer has new contents in n rectangles; n = 0: everywhere.
 * Does not wait for the host. *seq, unless NULL, becomes the number of the update, from
 * 1 on; BUFSHARE_EVENT_RELEASED comes with it, or a later one, when all host programs
 * are done with it. Until then do not write to the buffer. -ENOENT: not registered;
 * -ESTALE: the host dropped the buffer; -EINVAL: a rectangle of no size, or with an edge
 * beyond 32 bits.
 */
int bufshare_buffer_update(struct bufshare_buffer *buf, const struct bufshare_rect *damage, size_t n,
			   uint64_t *seq);

/* Updates of one call. */
#define BUFSHARE_MAX_UPDATES	64

/* What the fences of an update are; BUFSHARE_FEATURE_FENCES. */
#define BUFSHARE_UPDATE_ACQUIRE_FD		(1U << 0) /* acquire_fd */
#define BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ		(1U << 1) /* acquire_syncobj, acquire_point */
#define BUFSHARE_UPDATE_ACQUIRE_IMPLICIT	(1U << 2) /* the fences of whoever writes to it */
#define BUFSHARE_UPDATE_RELEASE_SYNCOBJ		(1U << 3) /* release_syncobj, release_point */

/*
 * An update with all there is. Fields whose flag is not set are 0, as is what is not
 * used. The host is told when all acquire fences are signalled, which nobody waits for;
 * the release fence is signalled when the update is released, or the registration ends.
 * Syncobjs are handles of bufshare_device_get_fd(), made and waited for with libdrm.
 */
struct bufshare_update {
	struct bufshare_buffer *buffer;
	const struct bufshare_rect *damage;
	size_t num_damage;		/* 0: everywhere */
	uint64_t seq;			/* out: number of the update */
	uint32_t flags;			/* BUFSHARE_UPDATE_* */
	int32_t acquire_fd;		/* a sync_file; stays the caller's */
	uint64_t acquire_point;		/* 0: the syncobj is binary */
	uint64_t release_point;		/* 0: the syncobj is binary */
	uint32_t acquire_syncobj;
	uint32_t release_syncobj;
	uint64_t reserved[2];
};

/*
 * Updates n buffers of the device, 1 to BUFSHARE_MAX_UPDATES and each once, as
 * bufshare_buffer_update() does: all of them or none. Makes one system call and
 * allocates nothing. -EINVAL also: a buffer of another device, a fence that is none or a
 * syncobj that has none yet; -EBUSY: 64 updates of a buffer have fences that are not
 * signalled; -EOPNOTSUPP: fences without BUFSHARE_FEATURE_FENCES.
 */
int bufshare_device_update(struct bufshare_device *dev, struct bufshare_update *updates, size_t n);

/*
 * Blocks until the update seq and those before it are released, at most for timeout_ns;
 * negative: for ever. 0 as seq is the newest update. Events that come meanwhile are kept
 * for bufshare_device_read_event(); if it is never called, BUFSHARE_EVENT_OVERFLOW stands
 * for them in the end. -ENOENT: not registered; -EINVAL: no such update; -ETIMEDOUT;
 * -EINTR: a signal was handled; -ESTALE: the host dropped the buffer; -ENODEV.
 */
int bufshare_buffer_wait(struct bufshare_buffer *buf, uint64_t seq, int64_t timeout_ns);

uint64_t bufshare_buffer_get_id(const struct bufshare_buffer *buf);	/* 0: not registered */

/* 128-bit identity of the registration, unique across VMs. -ENOENT: not registered. */
int bufshare_buffer_get_uuid(const struct bufshare_buffer *buf, uint8_t uuid[BUFSHARE_UUID_SIZE]);

/* 1 while an update is not released, else 0; asks the driver, does not block. -ENOENT. */
int bufshare_buffer_is_busy(struct bufshare_buffer *buf);

#ifdef __cplusplus
}
#endif

#endif /* BUFSHARE_H */
