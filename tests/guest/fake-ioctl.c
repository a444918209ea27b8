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

static struct fake_object *lookup(struct fake_file *file, uint32_t handle)
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
	struct fake_object *object = lookup(file, args->handle);

	if (!object)
		return -EINVAL;
	file->handles[args->handle] = NULL;
	fake_object_put(object);
	return 0;
}

static int do_export(struct fake_file *file, void *data)
{
	struct drm_prime_handle *args = data;
	struct fake_object *object = lookup(file, args->handle);
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
		[DRM_BUFSHARE_PARAM_FEATURES] = FEATURES & ~c->no_features,
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
	const struct fake_object *object = lookup(file, args->handle);

	if (args->pad)
		return -EINVAL;
	if (!object)
		return -ENOENT;
	if (object->fd < 0)
		return -EOPNOTSUPP;
	args->offset = object->number << 32;
	return 0;
}

/* ---- registrations ---- */

struct fake_buffer *fake_buffer_find(struct fake_device *dev, uint64_t id)
{
	struct fake_buffer *buf;

	TAILQ_FOREACH(buf, &dev->buffers, link)
		if (buf->id == id)
			return buf;
	return NULL;
}

void fake_buffer_free(struct fake_buffer *buf)
{
	fake_fences_release(buf, UINT64_MAX);
	TAILQ_REMOVE(&buf->file->dev->buffers, buf, link);
	fake_object_put(buf->object);
	props_clear(&buf->props);
	free(buf);
}

static struct fake_buffer *own_buffer(struct fake_file *file, uint64_t id)
{
	struct fake_buffer *buf = fake_buffer_find(file->dev, id);

	return buf && buf->file == file ? buf : NULL;
}

static struct fake_buffer *any_buffer(struct fake_file *file, uint64_t id)
{
	struct fake_buffer *buf = fake_buffer_find(file->dev, id);

	return buf && (buf->file == file || file->dev->privileged) ? buf : NULL;
}

static int refuse(struct drm_bufshare_register *args, uint32_t limit)
{
	args->status = VIRTIO_BUFSHARE_STATUS_LIMIT;
	args->detail = limit;
	return -ENOSPC;
}

static int check_limits(struct fake_device *dev, const struct fake_object *object,
			struct drm_bufshare_register *args)
{
	const struct fake_config *c = &dev->config;
	uint64_t total = object->size, n = 0;
	const struct fake_buffer *buf;

	TAILQ_FOREACH(buf, &dev->buffers, link) {
		total += buf->object->size;
		n++;
	}
	if (object->size > c->max_buffer_size)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE);
	if (n >= c->max_buffers)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_BUFFERS);
	if (total > c->max_total_size)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE);
	if (args->properties_size > c->max_properties_size)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE);
	if (dev->num_ranges > c->max_ranges)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_RANGES);
	return 0;
}

/* As the real driver translates what the device says. */
static int status_error(uint32_t status)
{
	switch (status) {
	case VIRTIO_BUFSHARE_STATUS_LIMIT:
		return -ENOSPC;
	case VIRTIO_BUFSHARE_STATUS_DENIED:
		return -EACCES;
	case VIRTIO_BUFSHARE_STATUS_MEMORY:
	case VIRTIO_BUFSHARE_STATUS_UNSUPPORTED:
		return -EOPNOTSUPP;
	case VIRTIO_BUFSHARE_STATUS_HOST:
		return -ENXIO;
	default:
		return -EINVAL;
	}
}

static struct fake_buffer *buffer_new(struct fake_file *file, struct fake_object *object,
				      const struct drm_bufshare_register *args)
{
	struct fake_buffer *buf = calloc(1, sizeof(*buf));
	struct fake_device *dev = file->dev;

	if (!buf)
		fake_die("a registration");
	buf->id = ++dev->last_id;
	buf->file = file;
	buf->object = object;
	object->refs++;
	buf->user_data = args->user_data;
	buf->num_ranges = dev->num_ranges;
	buf->consumers = dev->consumers;
	memcpy(buf->application, args->application, sizeof(buf->application));
	buf->uuid[0] = (uint8_t)(dev->number + 1);
	memcpy(buf->uuid + 8, &buf->id, sizeof(buf->id));
	TAILQ_INSERT_TAIL(&dev->buffers, buf, link);
	return buf;
}

static int do_register(struct fake_file *file, void *data)
{
	struct drm_bufshare_register *args = data;
	struct fake_device *dev = file->dev;
	struct fake_object *object;
	struct fake_buffer *buf;
	int r;

	args->status = 0;
	args->detail = 0;
	if (args->flags & ~DRM_BUFSHARE_REGISTER_SHARE_RW || !args->application[0] ||
	    !props_label_field_valid(args->application, sizeof(args->application)))
		return -EINVAL;
	r = props_check_block((const char *)(uintptr_t)args->properties, args->properties_size,
			      PROPS_GUEST);
	if (r < 0)
		return r;
	object = lookup(file, args->handle);
	if (!object)
		return -ENOENT;
	TAILQ_FOREACH(buf, &dev->buffers, link)
		if (buf->file == file && buf->object == object)
			return -EALREADY;
	r = check_limits(dev, object, args);
	if (r < 0)
		return r;
	if (dev->refuse_status) {
		args->status = dev->refuse_status;
		args->detail = dev->refuse_detail;
		return status_error(args->status);
	}
	buf = buffer_new(file, object, args);
	r = props_apply(&buf->props, (const char *)(uintptr_t)args->properties,
			args->properties_size);
	if (r < 0)
		fake_die("properties");
	args->id = buf->id;
	args->num_ranges = buf->num_ranges;
	memcpy(args->uuid, buf->uuid, sizeof(args->uuid));
	return 0;
}

static int do_unregister(struct fake_file *file, void *data)
{
	struct drm_bufshare_unregister *args = data;
	struct fake_buffer *buf = own_buffer(file, args->id);

	if (args->flags || args->pad)
		return -EINVAL;
	if (!buf)
		return -ENOENT;
	fake_buffer_free(buf);
	if (file->dev->still_mapped)
		args->flags = DRM_BUFSHARE_UNREGISTER_STILL_MAPPED;
	return 0;
}

static int do_set_properties(struct fake_file *file, void *data)
{
	struct drm_bufshare_set_properties *args = data;
	const char *block = (const char *)(uintptr_t)args->properties;
	struct props props = { 0 };
	struct fake_buffer *buf;
	int r;

	if (args->flags & ~DRM_BUFSHARE_SET_PROPERTIES_ALL)
		return -EINVAL;
	if (args->flags && !file->dev->privileged)
		return -EACCES;
	r = props_check_block(block, args->properties_size, PROPS_GUEST | PROPS_REMOVALS);
	if (r < 0)
		return r;
	buf = args->flags ? any_buffer(file, args->id) : own_buffer(file, args->id);
	if (!buf)
		return -ENOENT;
	r = props_copy(&props, &buf->props);
	if (r == 0)
		r = props_apply(&props, block, args->properties_size);
	if (r == 0 && (props.n > file->dev->config.max_properties ||
		       props.block_size > file->dev->config.max_properties_size))
		r = -ENOSPC;
	if (r < 0) {
		props_clear(&props);
		return r;
	}
	props_clear(&buf->props);
	buf->props = props;
	if (buf->file != file)
		fake_send_event(buf->file, DRM_BUFSHARE_EVENT_PROPERTIES, buf, 0, 0, 0);
	return 0;
}

static int do_get_properties(struct fake_file *file, void *data)
{
	struct drm_bufshare_get_properties *args = data;
	struct fake_buffer *buf = any_buffer(file, args->id);

	if (args->flags)
		return -EINVAL;
	if (!buf)
		return -ENOENT;
	if (buf->props.block_size <= args->properties_size)
		props_write_block(&buf->props, PROPS_GUEST | PROPS_HOST,
				  (char *)(uintptr_t)args->properties);
	args->properties_size = (uint32_t)buf->props.block_size;
	return 0;
}

/* ---- updates ---- */

static int check_entry(struct fake_file *file, const struct drm_bufshare_update_entry *entry)
{
	const struct drm_bufshare_rect *rects = (const void *)(uintptr_t)entry->damage;
	const struct fake_buffer *buf;
	uint32_t i;
	int r;

	if (entry->pad || entry->num_damage > file->dev->config.max_damage)
		return -EINVAL;
	r = fake_fences_check(file, entry);
	if (r < 0)
		return r;
	buf = own_buffer(file, entry->id);
	if (!buf)
		return -ENOENT;
	for (i = 0; i < entry->num_damage; i++)
		if (!rects[i].width || !rects[i].height)
			return -EINVAL;
	return buf->lost ? -ESTALE : 0;
}

static void update_one(struct fake_file *file, struct drm_bufshare_update_entry *entry)
{
	struct fake_buffer *buf = own_buffer(file, entry->id);
	struct fake_device *dev = file->dev;

	entry->seq = ++buf->seq;
	fake_fences_take(buf, entry);
	dev->num_damage = entry->num_damage;
	if (entry->num_damage)
		memcpy(dev->damage, (const void *)(uintptr_t)entry->damage,
		       entry->num_damage * sizeof(dev->damage[0]));
	if (dev->auto_release)
		fake_host_release(dev, buf->id, buf->seq,
				  buf->consumers ? 0 : DRM_BUFSHARE_RELEASED_NO_CONSUMER);
}

static int do_update(struct fake_file *file, void *data)
{
	struct drm_bufshare_update *args = data;
	struct drm_bufshare_update_entry *entries = (void *)(uintptr_t)args->updates;
	uint32_t i, j;
	int r = 0;

	if (args->flags || !args->count || args->count > DRM_BUFSHARE_MAX_UPDATES)
		return -EINVAL;
	for (i = 0; i < args->count && r == 0; i++) {
		r = check_entry(file, &entries[i]);
		for (j = 0; j < i && r == 0; j++)
			if (entries[j].id == entries[i].id)
				r = -EINVAL;
	}
	for (i = 0; i < args->count && r == 0; i++)
		update_one(file, &entries[i]);
	return r;
}

static struct fake_buffer *by_handle(struct fake_file *file, uint32_t handle)
{
	const struct fake_object *object = lookup(file, handle);
	struct fake_buffer *buf;

	TAILQ_FOREACH(buf, &file->dev->buffers, link)
		if (object && buf->object == object && buf->file == file)
			return buf;
	return NULL;
}

static int do_info(struct fake_file *file, void *data)
{
	struct drm_bufshare_info *args = data;
	const struct fake_buffer *buf;

	if (args->flags || args->pad || !args->id == !args->handle)
		return -EINVAL;
	buf = args->id ? any_buffer(file, args->id) : by_handle(file, args->handle);
	if (!buf)
		return -ENOENT;
	args->id = buf->id;
	args->flags = (buf->released < buf->seq ? DRM_BUFSHARE_INFO_BUSY : 0) |
		      (buf->lost ? DRM_BUFSHARE_INFO_LOST : 0) |
		      (buf->object->foreign ? DRM_BUFSHARE_INFO_IMPORTED : 0) |
		      (buf->object->fd < 0 ? DRM_BUFSHARE_INFO_USER_MEMORY : 0);
	args->size = buf->object->size;
	args->seq = buf->seq;
	args->released = buf->released;
	args->user_data = buf->user_data;
	memcpy(args->uuid, buf->uuid, sizeof(args->uuid));
	args->num_ranges = buf->num_ranges;
	args->path = file->dev->path_kind ?: VIRTIO_BUFSHARE_PATH_COPY;
	args->consumers = buf->consumers;
	memcpy(args->application, buf->application, sizeof(args->application));
	return 0;
}

static int do_list(struct fake_file *file, void *data)
{
	struct drm_bufshare_list *args = data;
	const bool all = args->flags & DRM_BUFSHARE_LIST_ALL;
	uint64_t *ids = (uint64_t *)(uintptr_t)args->ids;
	const struct fake_buffer *buf;
	uint32_t n = 0;

	if (args->flags & ~DRM_BUFSHARE_LIST_ALL)
		return -EINVAL;
	if (all && !file->dev->privileged)
		return -EACCES;
	TAILQ_FOREACH(buf, &file->dev->buffers, link) {
		if (buf->id <= args->after || !(all || buf->file == file))
			continue;
		if (ids && n < args->count)
			ids[n] = buf->id;
		n++;
	}
	args->count = n;
	return 0;
}

static int do_reset(struct fake_file *file, void *data)
{
	struct drm_bufshare_reset *args = data;
	struct fake_buffer *buf, *next;

	if (args->pad || args->flags & ~DRM_BUFSHARE_RESET_ALL)
		return -EINVAL;
	if (args->flags && !file->dev->privileged)
		return -EACCES;
	for (buf = TAILQ_FIRST(&file->dev->buffers); buf; buf = next) {
		next = TAILQ_NEXT(buf, link);
		if (buf->file == file)
			fake_buffer_free(buf);
		else if (args->flags)
			fake_host_lose_buffer(file->dev, buf->id, VIRTIO_BUFSHARE_REASON_RESET);
	}
	return -file->dev->reset_error;
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
	{ DRM_IOCTL_BUFSHARE_REGISTER, do_register },
	{ DRM_IOCTL_BUFSHARE_UNREGISTER, do_unregister },
	{ DRM_IOCTL_BUFSHARE_SET_PROPERTIES, do_set_properties },
	{ DRM_IOCTL_BUFSHARE_GET_PROPERTIES, do_get_properties },
	{ DRM_IOCTL_BUFSHARE_UPDATE, do_update },
	{ DRM_IOCTL_BUFSHARE_INFO, do_info },
	{ DRM_IOCTL_BUFSHARE_LIST, do_list },
	{ DRM_IOCTL_BUFSHARE_RESET, do_reset },
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
	int r = ioctl_hook ? ioctl_hook(request, arg) : dispatch(fd, request, arg);

	if (r == 0)
		return 0;
	errno = -r;
	return -1;
}
