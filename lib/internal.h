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

#include <drm/bufshare_drm.h>

#include <bufshare.h>

#include "common/cleanup.h"
#include "common/props.h"

#define BUFSHARE_EXPORT __attribute__((visibility("default")))

#define DRIVER_NAME "virtio-bufshare"
#define NUM_LIMITS (BUFSHARE_LIMIT_DAMAGE + 1)

/* Room for what the kernel gives at once: a file's whole event space. */
#define EVENT_SPACE 4096

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

	int fd; /* -1: not open */
	LIST_HEAD(buffer_list, bufshare_buffer) buffers;
	bool lost; /* DEVICE_LOST was read */
	uint64_t properties_changed; /* counts PROPERTIES events, for all buffers */
	size_t events_size, events_pos;
	union {
		uint64_t align;
		char bytes[EVENT_SPACE];
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
	uint64_t id; /* 0: not registered */
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint64_t user_data;
	struct props props; /* registered: as of properties_seen */
	uint64_t properties_seen; /* bufshare_device.properties_changed at that time */
	char refusal[160];
};

/* Where sysfs and the nodes are; tests put them elsewhere. */
void device_set_roots(const char *sysfs, const char *dri);

struct bufshare_device *device_new(void);
void device_unrefp(struct bufshare_device **dev);
void buffer_unrefp(struct bufshare_buffer **buf);

/* 0 or why not; every ioctl passes here. */
int device_check_open(const struct bufshare_device *dev);

/* Bytes per pixel of a linear format of one plane, 0: not known. */
uint32_t format_bytes(uint32_t format);

/* ioctl.c: the ioctls, each with a negative errno. */
int ioctl_check_driver(int fd);
int ioctl_create(int fd, uint64_t *size, uint32_t *handle);
int ioctl_map(int fd, uint32_t handle, uint64_t *offset);
int ioctl_close(int fd, uint32_t handle);
int ioctl_export(int fd, uint32_t handle, int *dmabuf);
int ioctl_import(int fd, int dmabuf, uint32_t *handle);
int ioctl_register(int fd, struct drm_bufshare_register *reg);
int ioctl_unregister(int fd, uint64_t id, bool *still_mapped);
int ioctl_set_properties(int fd, uint64_t id, const char *block, size_t size);
int ioctl_get_properties(int fd, uint64_t id, char *block, size_t *size);
int ioctl_update(int fd, struct drm_bufshare_update_entry *entry);
int ioctl_info(int fd, struct drm_bufshare_info *info);
int ioctl_list(int fd, bool all, uint64_t after, uint64_t *ids, uint32_t *count);
int ioctl_ping(int fd, uint64_t *time_ns);

#endif /* LIB_INTERNAL_H */
