/* SPDX-License-Identifier: MIT */
/*
 * The calls of the fake driver. Each checks what the real one checks, in the same order.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_bufshare.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xf86drm.h>

#include "guest/fake-drm-internal.h"

#define FEATURES                                                                               \
	(DRM_BUFSHARE_FEATURE_HOST_PROPERTIES | DRM_BUFSHARE_FEATURE_FENCES |                  \
	 DRM_BUFSHARE_FEATURE_IMPORT | DRM_BUFSHARE_FEATURE_USER_MEMORY |                      \
	 DRM_BUFSHARE_FEATURE_HUGE_PAGES)

static bool lacks(const struct fake_file *file, uint64_t feature)
{
	return file->dev->config.no_features & feature;
}

struct fake_object *fake_handle_find(struct fake_file *file, uint32_t handle)
{
	return handle < FAKE_MAX_HANDLES ? file->handles[handle] : NULL;
}

/* Takes over the reference. */
static int handle_new(struct fake_file *file, struct fake_object *object, uint32_t *handle)
{
	uint32_t i;

	for (i = 1; i < FAKE_MAX_HANDLES; i++) {
		if (file->handles[i])
			continue;
		file->handles[i] = object;
		*handle = i;
		return 0;
	}
	fake_object_put(object);
	return -ENOSPC;
}

static int do_version(struct fake_file *file, void *data)
{
	const char *name = file->dev->config.driver_name;
	struct drm_version *version = data;

	if (version->name && version->name_len)
		memcpy(version->name, name,
		       strlen(name) < version->name_len ? strlen(name) : version->name_len);
	version->name_len = strlen(name);
	return 0;
}

static int do_gem_close(struct fake_file *file, void *data)
{
	struct drm_gem_close *args = data;
	struct fake_object *object = fake_handle_find(file, args->handle);

	if (!object)
		return -EINVAL;
	file->handles[args->handle] = NULL;
	fake_object_put(object);
	return 0;
}

static int do_export(struct fake_file *file, void *data)
{
	struct drm_prime_handle *args = data;
	struct fake_object *object = fake_handle_find(file, args->handle);
	int fd;

	if (args->flags & ~(uint32_t)(DRM_CLOEXEC | DRM_RDWR))
		return -EINVAL;
	if (!object)
		return -ENOENT;
	if (object->fd < 0)
		return -EOPNOTSUPP;
	fd = fcntl(object->fd, args->flags & DRM_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	if (fd < 0)
		return -errno;
	args->fd = fd;
	return 0;
}

/* What a file imports twice has one handle, as in every DRM driver. */
static int do_import(struct fake_file *file, void *data)
{
	struct drm_prime_handle *args = data;
	struct fake_object *object;
	struct stat st;
	uint32_t i;

	if (fstat(args->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	for (i = 1; i < FAKE_MAX_HANDLES; i++) {
		if (file->handles[i] && file->handles[i]->inode == st.st_ino) {
			args->handle = i;
			return 0;
		}
	}
	LIST_FOREACH(object, &fake.objects, link)
		if (object->inode == st.st_ino)
			break;
	if (!object)
		LIST_FOREACH(object, &fake.foreign, link)
			if (object->inode == st.st_ino)
				break;
	if (!object)
		return -EOPNOTSUPP;
	object->refs++;
	return handle_new(file, object, &args->handle);
}

static int do_get_param(struct fake_file *file, void *data)
{
	const struct fake_config *c = &file->dev->config;
	struct drm_bufshare_get_param *args = data;
	const uint64_t values[] = {
		[DRM_BUFSHARE_PARAM_FEATURES] = (FEATURES & ~c->no_features) |
						(c->newer ? ~0ULL << 32 : 0),
		[DRM_BUFSHARE_PARAM_EPOCH] = 1,
		[DRM_BUFSHARE_PARAM_MAX_BUFFERS] = c->max_buffers,
		[DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE] = c->max_buffer_size,
		[DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE] = c->max_total_size,
		[DRM_BUFSHARE_PARAM_MAX_RANGES] = c->max_ranges,
		[DRM_BUFSHARE_PARAM_MAX_PROPERTIES] = c->max_properties,
		[DRM_BUFSHARE_PARAM_MAX_PROPERTIES_SIZE] = c->max_properties_size,
		[DRM_BUFSHARE_PARAM_MAX_DAMAGE] = c->max_damage,
		[DRM_BUFSHARE_PARAM_MAX_UPDATES] = DRM_BUFSHARE_MAX_UPDATES,
	};

	if (!args->param || args->param >= sizeof(values) / sizeof(values[0]))
		return -EINVAL;
	args->value = values[args->param];
	return 0;
}

static int do_create(struct fake_file *file, void *data)
{
	struct drm_bufshare_create *args = data;
	uint64_t size;
	int r;

	if (args->flags & ~DRM_BUFSHARE_CREATE_HUGE || !args->size ||
	    args->size > file->dev->config.max_buffer_size)
		return -EINVAL;
	if (args->flags && lacks(file, DRM_BUFSHARE_FEATURE_HUGE_PAGES))
		return -EINVAL; /* as an older driver */
	file->dev->create_flags = args->flags;
	size = (args->size + VIRTIO_BUFSHARE_PAGE_SIZE - 1) & ~(VIRTIO_BUFSHARE_PAGE_SIZE - 1ULL);
	r = handle_new(file, fake_object_new(size), &args->handle);
	if (r == 0)
		args->size = size;
	return r;
}

static int do_user_memory(struct fake_file *file, void *data)
{
	struct drm_bufshare_user_memory *args = data;

	if (lacks(file, DRM_BUFSHARE_FEATURE_USER_MEMORY))
		return -EINVAL; /* an older driver does not know the call */
	if (args->flags || !args->size || (args->addr | args->size) % VIRTIO_BUFSHARE_PAGE_SIZE)
		return -EINVAL;
	return handle_new(file, fake_object_new_user((void *)(uintptr_t)args->addr, args->size),
			  &args->handle);
}

static int do_map(struct fake_file *file, void *data)
{
	struct drm_bufshare_map *args = data;
	const struct fake_object *object = fake_handle_find(file, args->handle);

	if (args->pad)
		return -EINVAL;
	if (!object)
		return -ENOENT;
	if (object->fd < 0)
		return -EOPNOTSUPP;
	args->offset = object->number << 32;
	return 0;
}

static int do_ping(struct fake_file *file, void *data)
{
	struct drm_bufshare_ping *args = data;

	if (args->flags || args->pad)
		return -EINVAL;
	args->time_ns = 1000;
	return 0;
}

/* ---- the one way in ---- */

static const struct {
	unsigned long request;
	int (*call)(struct fake_file *file, void *data);
} calls[] = {
	{ DRM_IOCTL_VERSION, do_version },
	{ DRM_IOCTL_GEM_CLOSE, do_gem_close },
	{ DRM_IOCTL_PRIME_HANDLE_TO_FD, do_export },
	{ DRM_IOCTL_PRIME_FD_TO_HANDLE, do_import },
	{ DRM_IOCTL_SYNCOBJ_CREATE, fake_syncobj_create },
	{ DRM_IOCTL_SYNCOBJ_DESTROY, fake_syncobj_destroy },
	{ DRM_IOCTL_SYNCOBJ_QUERY, fake_syncobj_query },
	{ DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, fake_syncobj_signal },
	{ DRM_IOCTL_BUFSHARE_GET_PARAM, do_get_param },
	{ DRM_IOCTL_BUFSHARE_CREATE, do_create },
	{ DRM_IOCTL_BUFSHARE_USER_MEMORY, do_user_memory },
	{ DRM_IOCTL_BUFSHARE_MAP, do_map },
	{ DRM_IOCTL_BUFSHARE_REGISTER, fake_call_register },
	{ DRM_IOCTL_BUFSHARE_UNREGISTER, fake_call_unregister },
	{ DRM_IOCTL_BUFSHARE_SET_PROPERTIES, fake_call_set_properties },
	{ DRM_IOCTL_BUFSHARE_GET_PROPERTIES, fake_call_get_properties },
	{ DRM_IOCTL_BUFSHARE_UPDATE, fake_call_update },
	{ DRM_IOCTL_BUFSHARE_INFO, fake_call_info },
	{ DRM_IOCTL_BUFSHARE_LIST, fake_call_list },
	{ DRM_IOCTL_BUFSHARE_RESET, fake_call_reset },
	{ DRM_IOCTL_BUFSHARE_PING, do_ping },
};

static int fault(struct fake_device *dev, unsigned long request)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAX_FAULTS; i++) {
		struct fake_fault *f = &dev->faults[i];

		if (f->request != request || !f->count)
			continue;
		if (f->count > 0)
			f->count--;
		return -f->error;
	}
	return 0;
}

static int dispatch(int fd, unsigned long request, void *arg)
{
	struct fake_file *file = fake_file_find(fd);
	unsigned int i;
	int r;

	if (!file)
		return -ENOTTY;
	file->dev->calls[request & 0xff]++;
	r = fault(file->dev, request);
	if (r < 0)
		return r;
	/* Handles can be closed after the device is gone. */
	if (!file->dev->plugged && request != DRM_IOCTL_GEM_CLOSE)
		return -ENODEV;
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].request == request)
			return calls[i].call(file, arg);
	return -EINVAL;
}

static int (*ioctl_hook)(unsigned long request, void *arg);

void fake_set_ioctl_hook(int (*hook)(unsigned long request, void *arg))
{
	ioctl_hook = hook;
}

int __wrap_drmIoctl(int fd, unsigned long request, void *arg);

int __wrap_drmIoctl(int fd, unsigned long request, void *arg)
{
	int r;

	fake_inside = true;
	r = ioctl_hook ? ioctl_hook(request, arg) : dispatch(fd, request, arg);
	fake_inside = false;
	if (r == 0)
		return 0;
	errno = -r;
	return -1;
}
