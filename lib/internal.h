/* SPDX-License-Identifier: MIT */
/*
 * The insides of libbufshare. None of this is exported.
 */
#ifndef LIB_INTERNAL_H
#define LIB_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <drm/bufshare_drm.h>

#include <bufshare.h>

#include "common/cleanup.h"
#include "common/props.h"

#define BUFSHARE_EXPORT __attribute__((visibility("default")))

#define DRIVER_NAME "virtio-bufshare"
#define NUM_LIMITS (BUFSHARE_LIMIT_DAMAGE + 1)
#define LIMIT_NOT_TOLD UINT64_MAX

/* What the kernel gives at once: a file's whole event space. */
#define EVENT_SPACE 4096

/* Room for what came while the program waited for something else. */
#define EVENT_QUEUE (4 * EVENT_SPACE)

struct bufshare_device {
	int refs;
	char *name; /* virtioN */
	char *path; /* of the render node */
	char *card_path; /* "" if there is none */
	char label[BUFSHARE_LABEL_SIZE];
	char application[BUFSHARE_APPLICATION_SIZE];
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint16_t vendor, device;
	uint64_t limits[NUM_LIMITS];

	dev_t numbers[2]; /* of the nodes; 0: not known */
	ino_t folder; /* of its attributes; the kernel gives each device another number */

	int fd; /* -1: not open */
	bool blocking; /* whoever opened the node did not say O_NONBLOCK */
	const uint32_t *parent; /* 0 in a child of the process that opened; NULL: cannot tell */
	uint64_t features; /* DRM_BUFSHARE_FEATURE_*; of an open device */
	LIST_HEAD(buffer_list, bufshare_buffer) buffers;
	bool lost; /* DEVICE_LOST was read */
	uint64_t properties_changed; /* counts PROPERTIES events, for all buffers */
	size_t events_size, events_pos;
	union {
		uint64_t align;
		char bytes[EVENT_QUEUE];
	} events;
};

/* The kernel gives out one handle per file and object, however often it is imported. */
struct handle {
	int refs; /* buffers */
	uint32_t handle;
};

struct bufshare_buffer {
	int refs;
	struct bufshare_device *dev; /* a reference */
	LIST_ENTRY(bufshare_buffer) link; /* bufshare_device.buffers */
	struct handle *handle; /* NULL: none yet */
	uint64_t size;
	void *map; /* NULL: not mapped */
	bool user_memory; /* map is the program's own */
	uint64_t id; /* 0: not registered */
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint64_t user_data;
	char walk[BUFSHARE_PROPERTY_NAME_SIZE]; /* the name where a walk is */
	struct props props; /* registered: as of properties_seen */
	uint64_t properties_seen; /* bufshare_device.properties_changed at that time */
	char refusal[160];
};

/* Where sysfs and the nodes are; tests put them elsewhere. */
void device_set_roots(const char *sysfs, const char *dri);

struct bufshare_device *device_new(void);
void device_unrefp(struct bufshare_device **dev);
void buffer_unrefp(struct bufshare_buffer **buf);

/* The registration has ended, however that was. */
void buffer_set_unregistered(struct bufshare_buffer *buf);

/* An event waits in the library. */
bool device_has_event(struct bufshare_device *dev);

/* 0 or -ENOTCONN: not opened, or by the parent of this process. No system call. */
int device_check_open(const struct bufshare_device *dev);

/* 0, or -ENODEV if it is gone, even if another one has taken its name. */
int device_check_folder(const struct bufshare_device *dev);

/* Makes an open device of a node; takes the descriptor on success. */
int device_take_fd(struct bufshare_device *dev, int fd);

/*
 * Puts what events there are behind those that are not read yet. Blocks until there are
 * some or the time (CLOCK_MONOTONIC; NULL: never) has come: -ETIMEDOUT. -EINTR.
 */
int device_wait_events(struct bufshare_device *dev, const struct timespec *deadline);

/* Several properties at once; an entry without "=" is a removal. */
int buffer_set_block(struct bufshare_buffer *buf, const char *block, size_t size);

/*
 * ioctl.c: the ioctls, each with a negative errno; those that take a device are -ENOTCONN
 * if device_check_open() says so.
 */
int ioctl_check_driver(int fd);
int ioctl_get_features(int fd, uint64_t *features);
int ioctl_create(const struct bufshare_device *dev, uint32_t flags, uint64_t *size,
		 uint32_t *handle);
int ioctl_user_memory(const struct bufshare_device *dev, const void *addr, uint64_t size,
		      uint32_t *handle);
int ioctl_map(const struct bufshare_device *dev, uint32_t handle, uint64_t *offset);
int ioctl_close(const struct bufshare_device *dev, uint32_t handle);
int ioctl_export(const struct bufshare_device *dev, uint32_t handle, int *dmabuf);
int ioctl_import(const struct bufshare_device *dev, int dmabuf, uint32_t *handle);
int ioctl_register(const struct bufshare_device *dev, struct drm_bufshare_register *reg);
int ioctl_unregister(const struct bufshare_device *dev, uint64_t id, bool *still_mapped);
int ioctl_set_properties(const struct bufshare_device *dev, bool all, uint64_t id,
			 const char *block, size_t size);
int ioctl_get_properties(const struct bufshare_device *dev, uint64_t id, char *block,
			 size_t *size);
int ioctl_update(const struct bufshare_device *dev, struct drm_bufshare_update_entry *entries,
		 uint32_t count);
int ioctl_info(const struct bufshare_device *dev, struct drm_bufshare_info *info);
int ioctl_list(const struct bufshare_device *dev, bool all, uint64_t after, uint64_t *ids,
	       uint32_t *count);
int ioctl_reset(const struct bufshare_device *dev, bool all);
int ioctl_ping(const struct bufshare_device *dev, uint64_t *time_ns);

#endif /* LIB_INTERNAL_H */
