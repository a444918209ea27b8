/* SPDX-License-Identifier: MIT */
/*
 * The fake driver's calls for what is registered. Each checks what the real one checks, in
 * the same order.
 */
#include <errno.h>
#include <linux/virtio_bufshare.h>
#include <stdlib.h>
#include <string.h>

#include "guest/fake-drm-internal.h"

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

int fake_call_register(struct fake_file *file, void *data)
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
	object = fake_handle_find(file, args->handle);
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

int fake_call_unregister(struct fake_file *file, void *data)
{
	struct drm_bufshare_unregister *args = data;
	struct fake_buffer *buf = own_buffer(file, args->id);

	if (args->flags || args->pad)
		return -EINVAL;
	if (!buf)
		return -ENOENT;
	fake_buffer_free(buf);
	args->flags = (file->dev->still_mapped ? DRM_BUFSHARE_UNREGISTER_STILL_MAPPED : 0) |
		      (file->dev->config.newer ? FAKE_NEWER_FLAG : 0);
	return 0;
}

int fake_call_set_properties(struct fake_file *file, void *data)
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

int fake_call_get_properties(struct fake_file *file, void *data)
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

int fake_call_update(struct fake_file *file, void *data)
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
	const struct fake_object *object = fake_handle_find(file, handle);
	struct fake_buffer *buf;

	TAILQ_FOREACH(buf, &file->dev->buffers, link)
		if (object && buf->object == object && buf->file == file)
			return buf;
	return NULL;
}

int fake_call_info(struct fake_file *file, void *data)
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
		      (buf->object->fd < 0 ? DRM_BUFSHARE_INFO_USER_MEMORY : 0) |
		      (file->dev->config.newer ? FAKE_NEWER_FLAG : 0);
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

int fake_call_list(struct fake_file *file, void *data)
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

int fake_call_reset(struct fake_file *file, void *data)
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
