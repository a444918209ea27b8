/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the fake driver share: the machine (fake-machine.c), the calls
 * (fake-ioctl.c, fake-buffer.c) and the host behind it (fake-host.c).
 */
#ifndef TESTS_FAKE_DRM_INTERNAL_H
#define TESTS_FAKE_DRM_INTERNAL_H

#include <stdnoreturn.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/props.h"
#include "guest/fake-drm.h"

#define FAKE_MAX_DEVICES 8
#define FAKE_MAX_HANDLES 256
#define FAKE_MAX_FAULTS 16
#define FAKE_MAX_SYNCOBJS 16
#define FAKE_MAX_FENCES DRM_BUFSHARE_MAX_OUTSTANDING /* of one buffer */
#define FAKE_NEWER_FLAG (1U << 31) /* what a newer driver may say */
#define FAKE_NUM_CALLS 256 /* ioctl numbers */
#define FAKE_PATH_MAX 256

/* A GEM object: its pages are a memfd's, or the program's. */
struct fake_object {
	LIST_ENTRY(fake_object) link;
	unsigned int refs; /* handles and registrations */
	int fd; /* -1: memory of the program, at map */
	ino_t inode;
	bool foreign;
	uint64_t size;
	uint64_t number; /* makes its mmap() offset */
	void *map; /* of fake_get_memory() */
};

/* A timeline; as binary syncobj point 1 is its being signalled. */
struct fake_syncobj {
	bool used;
	uint64_t point;
};

struct fake_file {
	TAILQ_ENTRY(fake_file) link;
	struct fake_device *dev;
	int kernel_end; /* of the socket that is the program's node */
	ino_t inode; /* of the program's end */
	bool card; /* not the render node */
	struct fake_object *handles[FAKE_MAX_HANDLES]; /* by handle */
	struct fake_syncobj syncobjs[FAKE_MAX_SYNCOBJS]; /* by handle */
};

/* The fences of an update. */
struct fake_fences {
	uint64_t seq; /* 0: not used */
	int acquire_fd; /* -1: none */
	uint32_t acquire_syncobj, release_syncobj;
	uint64_t acquire_point, release_point;
};

struct fake_buffer {
	TAILQ_ENTRY(fake_buffer) link;
	uint64_t id;
	struct fake_file *file;
	struct fake_object *object;
	struct props props; /* of both sides */
	uint64_t user_data, seq, released;
	uint32_t num_ranges, consumers;
	bool lost;
	struct fake_fences fences[FAKE_MAX_FENCES];
	uint8_t uuid[DRM_BUFSHARE_UUID_SIZE];
	char application[DRM_BUFSHARE_APPLICATION_SIZE];
};

struct fake_fault {
	unsigned long request; /* 0: not used */
	int error, count;
};

struct fake_device {
	struct fake_config config;
	bool plugged;
	unsigned int number; /* virtio(N+1), cardN, renderD(128+N) */
	char folder[FAKE_PATH_MAX]; /* of the attributes */
	char path[FAKE_PATH_MAX], card_path[FAKE_PATH_MAX];
	TAILQ_HEAD(fake_files, fake_file) files;
	TAILQ_HEAD(, fake_buffer) buffers; /* in order of their ids */
	uint64_t last_id;
	uint32_t num_ranges, consumers;
	uint32_t path_kind; /* enum virtio_bufshare_path */
	uint32_t refuse_status, refuse_detail;
	bool privileged, still_mapped, auto_release;
	int open_error, mmap_error, reset_error;
	struct fake_fault faults[FAKE_MAX_FAULTS];
	unsigned int calls[FAKE_NUM_CALLS], opens;
	struct drm_bufshare_rect damage[DRM_BUFSHARE_MAX_DAMAGE];
	size_t num_damage;
	uint32_t create_flags;
};

struct fake_machine {
	char root[64], sysfs[FAKE_PATH_MAX], dri[FAKE_PATH_MAX];
	struct fake_device devices[FAKE_MAX_DEVICES];
	unsigned int num_devices;
	LIST_HEAD(, fake_object) objects;
	LIST_HEAD(, fake_object) foreign; /* dma-bufs of another driver that can be shared */
	uint64_t last_object;
	int fds_before;
};

extern struct fake_machine fake;
/* See fake_in_driver(). For the compiler calloc() does not look at it. */
extern _Thread_local volatile bool fake_inside;

noreturn void fake_die(const char *what);

/* The open file behind a descriptor, NULL if it is none; notices files that were closed. */
struct fake_file *fake_file_find(int fd);
void fake_files_reap(struct fake_device *dev);

struct fake_object *fake_object_new(uint64_t size);
void fake_object_put(struct fake_object *object);

/* NULL: the file has no such handle. */
struct fake_object *fake_handle_find(struct fake_file *file, uint32_t handle);

/* Memory that the program has. */
struct fake_object *fake_object_new_user(void *addr, uint64_t size);

/* The fences of an update: checked as by the driver, and kept until it is released. */
int fake_fences_check(struct fake_file *file, const struct drm_bufshare_update_entry *entry);
void fake_fences_take(struct fake_buffer *buf, const struct drm_bufshare_update_entry *entry);

/* The calls for what is registered (fake-buffer.c), each with its structure. */
int fake_call_register(struct fake_file *file, void *data);
int fake_call_unregister(struct fake_file *file, void *data);
int fake_call_set_properties(struct fake_file *file, void *data);
int fake_call_get_properties(struct fake_file *file, void *data);
int fake_call_update(struct fake_file *file, void *data);
int fake_call_info(struct fake_file *file, void *data);
int fake_call_list(struct fake_file *file, void *data);
int fake_call_reset(struct fake_file *file, void *data);

int fake_syncobj_create(struct fake_file *file, void *data);
int fake_syncobj_destroy(struct fake_file *file, void *data);
int fake_syncobj_query(struct fake_file *file, void *data);
int fake_syncobj_signal(struct fake_file *file, void *data);

/* Signals what waits for the release of updates up to this one. */
void fake_fences_release(struct fake_buffer *buf, uint64_t seq);

struct fake_buffer *fake_buffer_find(struct fake_device *dev, uint64_t id);
void fake_buffer_free(struct fake_buffer *buf);
void fake_send_event(struct fake_file *file, uint32_t type, const struct fake_buffer *buf,
		     uint64_t seq, uint32_t flags, uint32_t value);

#endif /* TESTS_FAKE_DRM_INTERNAL_H */
