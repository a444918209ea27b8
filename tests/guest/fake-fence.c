/* SPDX-License-Identifier: MIT */
/*
 * The fences of the fake driver. A sync_file is an eventfd; a syncobj is a number that goes
 * up.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xf86drm.h>

#include "guest/fake-drm-internal.h"

#define FLAGS                                                                                  \
	(DRM_BUFSHARE_UPDATE_IN_FENCE_FD | DRM_BUFSHARE_UPDATE_IN_SYNCOBJ |                    \
	 DRM_BUFSHARE_UPDATE_IN_IMPLICIT | DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ)

int fake_fence_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0)
		fake_die("a fence");
	return fd;
}

void fake_fence_signal(int fd)
{
	if (eventfd_write(fd, 1) < 0)
		fake_die("a fence");
}

static bool is_fence(int fd)
{
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "eventfd");
}

static bool is_signalled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* ---- syncobjs ---- */

static struct fake_syncobj *lookup(struct fake_file *file, uint32_t handle)
{
	return handle && handle < FAKE_MAX_SYNCOBJS && file->syncobjs[handle].used ?
	       &file->syncobjs[handle] : NULL;
}

int fake_syncobj_create(struct fake_file *file, void *data)
{
	struct drm_syncobj_create *args = data;
	uint32_t i;

	for (i = 1; i < FAKE_MAX_SYNCOBJS; i++) {
		if (file->syncobjs[i].used)
			continue;
		file->syncobjs[i] = (struct fake_syncobj){
			.used = true,
			.point = args->flags & DRM_SYNCOBJ_CREATE_SIGNALED,
		};
		args->handle = i;
		return 0;
	}
	return -ENOSPC;
}

int fake_syncobj_destroy(struct fake_file *file, void *data)
{
	struct drm_syncobj_destroy *args = data;
	struct fake_syncobj *syncobj = lookup(file, args->handle);

	if (!syncobj)
		return -EINVAL;
	syncobj->used = false;
	return 0;
}

/* Both: handles and points are arrays. */
static int each_point(struct fake_file *file, void *data, bool set)
{
	struct drm_syncobj_timeline_array *args = data;
	const uint32_t *handles = (const void *)(uintptr_t)args->handles;
	uint64_t *points = (void *)(uintptr_t)args->points;
	uint32_t i;

	for (i = 0; i < args->count_handles; i++) {
		struct fake_syncobj *syncobj = lookup(file, handles[i]);

		if (!syncobj)
			return -ENOENT;
		if (set)
			syncobj->point = points[i];
		else
			points[i] = syncobj->point;
	}
	return 0;
}

int fake_syncobj_query(struct fake_file *file, void *data)
{
	return each_point(file, data, false);
}

int fake_syncobj_signal(struct fake_file *file, void *data)
{
	return each_point(file, data, true);
}

/* ---- of updates ---- */

static unsigned int outstanding(struct fake_device *dev, uint64_t id)
{
	const struct fake_buffer *buf = fake_buffer_find(dev, id);
	unsigned int i, n = 0;

	for (i = 0; buf && i < FAKE_MAX_FENCES; i++)
		n += buf->fences[i].seq != 0;
	return n;
}

int fake_fences_check(struct fake_file *file, const struct drm_bufshare_update_entry *entry)
{
	const bool fd = entry->flags & DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
	const bool in = entry->flags & DRM_BUFSHARE_UPDATE_IN_SYNCOBJ;
	const bool out = entry->flags & DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ;

	if (entry->flags & ~FLAGS || (!fd && entry->in_fence_fd) ||
	    (!in && (entry->in_syncobj || entry->in_point)) ||
	    (!out && (entry->release_syncobj || entry->release_point)))
		return -EINVAL;
	if (entry->flags && file->dev->config.no_features & DRM_BUFSHARE_FEATURE_FENCES)
		return -EOPNOTSUPP;
	if (fd && !is_fence(entry->in_fence_fd))
		return -EINVAL;
	if ((in && !lookup(file, entry->in_syncobj)) || (out && !lookup(file, entry->release_syncobj)))
		return -ENOENT;
	return entry->flags && outstanding(file->dev, entry->id) == FAKE_MAX_FENCES ? -EBUSY : 0;
}

void fake_fences_take(struct fake_buffer *buf, const struct drm_bufshare_update_entry *entry)
{
	const bool fd = entry->flags & DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
	unsigned int i;

	if (!entry->flags)
		return;
	for (i = 0; i < FAKE_MAX_FENCES && buf->fences[i].seq; i++)
		;
	if (i == FAKE_MAX_FENCES)
		fake_die("too many updates with fences");
	buf->fences[i] = (struct fake_fences){
		.seq = entry->seq,
		.acquire_fd = fd ? fcntl(entry->in_fence_fd, F_DUPFD_CLOEXEC, 0) : -1,
		.acquire_syncobj = entry->in_syncobj,
		.acquire_point = entry->in_point,
		.release_syncobj = entry->release_syncobj,
		.release_point = entry->release_point,
	};
}

void fake_fences_release(struct fake_buffer *buf, uint64_t seq)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAX_FENCES; i++) {
		struct fake_fences *f = &buf->fences[i];
		struct fake_syncobj *syncobj = lookup(buf->file, f->release_syncobj);

		if (!f->seq || f->seq > seq)
			continue;
		if (syncobj)
			syncobj->point = f->release_point ?: 1;
		if (f->acquire_fd >= 0)
			close(f->acquire_fd);
		f->seq = 0;
	}
}

bool fake_host_was_told(struct fake_device *dev, uint64_t id, uint64_t seq)
{
	const struct fake_syncobj *syncobj;
	struct fake_buffer *buf;
	unsigned int i;

	buf = fake_buffer_find(dev, id);
	if (!buf || seq > buf->seq || seq <= buf->released)
		fake_die("no such update");
	for (i = 0; i < FAKE_MAX_FENCES; i++) {
		const struct fake_fences *f = &buf->fences[i];

		if (f->seq != seq)
			continue;
		syncobj = lookup(buf->file, f->acquire_syncobj);
		return (f->acquire_fd < 0 || is_signalled(f->acquire_fd)) &&
		       (!syncobj || syncobj->point >= (f->acquire_point ?: 1));
	}
	return true;
}
