/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_bufshare.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/internal.h"

void buffer_unrefp(struct bufshare_buffer **buf)
{
	bufshare_buffer_unref(*buf);
}

static struct bufshare_buffer *buffer_alloc(struct bufshare_device *dev)
{
	struct bufshare_buffer *buf = calloc(1, sizeof(*buf));

	if (buf) {
		buf->refs = 1;
		buf->dev = bufshare_device_ref(dev);
		LIST_INSERT_HEAD(&dev->buffers, buf, link);
	}
	return buf;
}

/* Gives the buffer a new handle of the kernel's, which is closed in any case. */
static int own_handle(struct bufshare_buffer *buf, uint32_t handle)
{
	buf->handle = calloc(1, sizeof(*buf->handle));
	if (!buf->handle) {
		ioctl_close(buf->dev, handle);
		return -ENOMEM;
	}
	*buf->handle = (struct handle){ .refs = 1, .handle = handle };
	return 0;
}

/* The same for one that another buffer may have already. */
static int share_handle(struct bufshare_buffer *buf, uint32_t handle)
{
	struct bufshare_buffer *other;

	LIST_FOREACH(other, &buf->dev->buffers, link) {
		if (other->handle && other->handle->handle == handle) {
			buf->handle = other->handle;
			buf->handle->refs++;
			return 0;
		}
	}
	return own_handle(buf, handle);
}

static void put_handle(struct bufshare_buffer *buf)
{
	if (!buf->handle || --buf->handle->refs > 0)
		return;
	ioctl_close(buf->dev, buf->handle->handle);
	free(buf->handle);
}

BUFSHARE_EXPORT int bufshare_buffer_new(struct bufshare_device *dev, uint64_t size,
					struct bufshare_buffer **buf)
{
	return bufshare_buffer_new_with_flags(dev, size, 0, buf);
}

BUFSHARE_EXPORT int bufshare_buffer_new_with_flags(struct bufshare_device *dev, uint64_t size,
						   uint32_t flags, struct bufshare_buffer **buf)
{
	_cleanup_(buffer_unrefp) struct bufshare_buffer *b = NULL;
	uint32_t handle;
	int r;

	if (!dev || !size || !buf || size > dev->limits[BUFSHARE_LIMIT_BUFFER_SIZE] ||
	    flags & ~BUFSHARE_BUFFER_HUGE)
		return -EINVAL;
	r = device_check_open(dev);
	if (r < 0)
		return r;

	b = buffer_alloc(dev);
	if (!b)
		return -ENOMEM;
	b->size = size;
	/* A wish: an older driver does as well as it can, but would refuse the flag. */
	r = ioctl_create(dev, flags && dev->features & DRM_BUFSHARE_FEATURE_HUGE_PAGES ?
			 DRM_BUFSHARE_CREATE_HUGE : 0, &b->size, &handle);
	if (r == 0)
		r = own_handle(b, handle);
	if (r < 0)
		return r;

	*buf = steal_ptr(&b);
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_new_from_memory(struct bufshare_device *dev, void *addr,
						    uint64_t size, struct bufshare_buffer **buf)
{
	_cleanup_(buffer_unrefp) struct bufshare_buffer *b = NULL;
	const uint64_t in_page = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	uint32_t handle;
	int r;

	if (!dev || !addr || !size || !buf || ((uintptr_t)addr | size) & in_page ||
	    size > dev->limits[BUFSHARE_LIMIT_BUFFER_SIZE])
		return -EINVAL;
	r = device_check_open(dev);
	if (r < 0)
		return r;
	if (!(dev->features & DRM_BUFSHARE_FEATURE_USER_MEMORY))
		return -EOPNOTSUPP;

	b = buffer_alloc(dev);
	if (!b)
		return -ENOMEM;
	b->size = size;
	b->map = addr;
	b->user_memory = true;
	r = ioctl_user_memory(dev, addr, size, &handle);
	if (r == 0)
		r = own_handle(b, handle);
	if (r < 0)
		return r;

	*buf = steal_ptr(&b);
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_import(struct bufshare_device *dev, int dmabuf_fd,
					   struct bufshare_buffer **buf)
{
	_cleanup_(buffer_unrefp) struct bufshare_buffer *b = NULL;
	uint32_t handle;
	off_t size;
	int r;

	if (!dev || dmabuf_fd < 0 || !buf)
		return -EINVAL;
	r = device_check_open(dev);
	if (r < 0)
		return r;

	b = buffer_alloc(dev);
	if (!b)
		return -ENOMEM;
	r = ioctl_import(dev, dmabuf_fd, &handle);
	if (r == 0)
		r = share_handle(b, handle);
	if (r < 0)
		return r;
	/* Now that it is a dma-buf: of a file this would move the position. */
	size = lseek(dmabuf_fd, 0, SEEK_END);
	if (size <= 0)
		return -EINVAL;
	b->size = (uint64_t)size;

	*buf = steal_ptr(&b);
	return 0;
}

BUFSHARE_EXPORT struct bufshare_buffer *bufshare_buffer_ref(struct bufshare_buffer *buf)
{
	if (buf)
		buf->refs++;
	return buf;
}

BUFSHARE_EXPORT struct bufshare_buffer *bufshare_buffer_unref(struct bufshare_buffer *buf)
{
	if (!buf || --buf->refs > 0)
		return NULL;
	if (buf->id)
		bufshare_buffer_unregister(buf);
	if (buf->map && !buf->user_memory)
		munmap(buf->map, buf->size);
	put_handle(buf);
	LIST_REMOVE(buf, link);
	props_clear(&buf->props);
	bufshare_device_unref(buf->dev);
	free(buf);
	return NULL;
}

BUFSHARE_EXPORT uint64_t bufshare_buffer_get_size(const struct bufshare_buffer *buf)
{
	return buf ? buf->size : 0;
}

BUFSHARE_EXPORT uint32_t bufshare_buffer_get_handle(const struct bufshare_buffer *buf)
{
	return buf ? buf->handle->handle : 0;
}

BUFSHARE_EXPORT int bufshare_buffer_map(struct bufshare_buffer *buf, void **addr)
{
	uint64_t offset;
	void *map;
	int r;

	if (!buf || !addr)
		return -EINVAL;
	if (!buf->map) {
		if (buf->size != (size_t)buf->size)
			return -ENOMEM; /* larger than this process */
		r = ioctl_map(buf->dev, buf->handle->handle, &offset);
		if (r < 0)
			return r;
		map = mmap(NULL, buf->size, PROT_READ | PROT_WRITE, MAP_SHARED, buf->dev->fd,
			   (off_t)offset);
		if (map == MAP_FAILED)
			return -errno;
		buf->map = map;
	}
	*addr = buf->map;
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_export(struct bufshare_buffer *buf, int *dmabuf_fd)
{
	if (!buf || !dmabuf_fd)
		return -EINVAL;
	return buf->user_memory ? -EOPNOTSUPP :
	       ioctl_export(buf->dev, buf->handle->handle, dmabuf_fd);
}

BUFSHARE_EXPORT void bufshare_buffer_set_user_data(struct bufshare_buffer *buf, uint64_t user_data)
{
	if (buf)
		buf->user_data = user_data;
}

/* ---- sharing ---- */

_Static_assert((int)VIRTIO_BUFSHARE_LIMIT_BUFFERS == BUFSHARE_LIMIT_BUFFERS &&
	       (int)VIRTIO_BUFSHARE_LIMIT_DAMAGE == BUFSHARE_LIMIT_DAMAGE, "limits have one number");

static void explain_limit(struct bufshare_buffer *buf, const struct drm_bufshare_register *reg)
{
	const uint64_t *limits = buf->dev->limits;
	char *text = buf->refusal;
	const size_t size = sizeof(buf->refusal);

	switch (reg->detail < NUM_LIMITS && limits[reg->detail] == LIMIT_NOT_TOLD ? 0 : reg->detail) {
	case VIRTIO_BUFSHARE_LIMIT_BUFFERS:
		snprintf(text, size, "the host takes at most %" PRIu64 " buffers at a time",
			 limits[BUFSHARE_LIMIT_BUFFERS]);
		break;
	case VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE:
		snprintf(text, size, "the host takes at most %" PRIu64 " bytes, this buffer has %" PRIu64,
			 limits[BUFSHARE_LIMIT_BUFFER_SIZE], buf->size);
		break;
	case VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE:
		snprintf(text, size, "the host takes at most %" PRIu64 " bytes in all buffers together",
			 limits[BUFSHARE_LIMIT_TOTAL_SIZE]);
		break;
	case VIRTIO_BUFSHARE_LIMIT_RANGES:
		if (reg->num_ranges)
			snprintf(text, size, "the host takes at most %" PRIu64
				 " ranges, this buffer has %u", limits[BUFSHARE_LIMIT_RANGES],
				 reg->num_ranges);
		else
			snprintf(text, size, "this buffer has more ranges than the host takes");
		break;
	case VIRTIO_BUFSHARE_LIMIT_PROPERTIES:
	case VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE:
		snprintf(text, size, "the host takes at most %" PRIu64 " properties of %" PRIu64
			 " bytes", limits[BUFSHARE_LIMIT_PROPERTIES],
			 limits[BUFSHARE_LIMIT_PROPERTIES_SIZE]);
		break;
	default:
		snprintf(text, size, "a limit of the host (%u) is reached", reg->detail);
	}
}

/* What the driver says by itself, in more words than strerror() has. */
static const char *explain_error(int error)
{
	switch (error) {
	case -EREMOTE:
		return "the memory lies in another device and not in RAM";
	case -EXDEV:
		return "the memory is behind an IOMMU that the device bypasses";
	case -EADDRNOTAVAIL:
		return "the memory is reached through bounce buffers only (a confidential machine has no other)";
	case -ENODEV:
		return "the device was unplugged";
	case -ETIMEDOUT:
		return "the host does not answer (is its daemon running?)";
	default:
		return strerror(-error);
	}
}

static void explain(struct bufshare_buffer *buf, const struct drm_bufshare_register *reg, int error)
{
	switch (reg->status) {
	case VIRTIO_BUFSHARE_STATUS_LIMIT:
		explain_limit(buf, reg);
		break;
	case VIRTIO_BUFSHARE_STATUS_MEMORY:
		snprintf(buf->refusal, sizeof(buf->refusal),
			 "the host cannot reach this memory (start the VM with shared memory: bufsharectl qemu-args)");
		break;
	case VIRTIO_BUFSHARE_STATUS_DENIED:
		snprintf(buf->refusal, sizeof(buf->refusal), "the host's policy forbids it");
		break;
	case VIRTIO_BUFSHARE_STATUS_HOST:
		snprintf(buf->refusal, sizeof(buf->refusal), "the host failed: %s",
			 strerror((int)reg->detail));
		break;
	default:
		snprintf(buf->refusal, sizeof(buf->refusal), "%s", explain_error(error));
	}
}

BUFSHARE_EXPORT int bufshare_buffer_register(struct bufshare_buffer *buf, const char *application)
{
	char block[PROPS_BLOCK_MAX];
	struct drm_bufshare_register reg = { 0 };
	int r;

	if (!buf || !application || !props_label_valid(application))
		return -EINVAL;
	if (buf->id)
		return -EALREADY;

	buf->refusal[0] = '\0';
	reg.handle = buf->handle->handle;
	reg.user_data = buf->user_data;
	reg.properties = (uintptr_t)block;
	reg.properties_size = (uint32_t)props_write_block(&buf->props, PROPS_GUEST, block);
	memcpy(reg.application, application, strlen(application));
	r = ioctl_register(buf->dev, &reg);
	if (r < 0) {
		explain(buf, &reg, r);
		return r;
	}
	buf->id = reg.id;
	buf->properties_seen = buf->dev->properties_changed;
	memcpy(buf->uuid, reg.uuid, sizeof(buf->uuid));
	return 0;
}

BUFSHARE_EXPORT const char *bufshare_buffer_get_refusal(const struct bufshare_buffer *buf)
{
	return buf ? buf->refusal : "";
}

void buffer_set_unregistered(struct bufshare_buffer *buf)
{
	const struct prop *p;

	buf->id = 0;
	/* What the host side said of this registration ends with it. */
	while ((p = props_next(&buf->props, PROPS_HOST_PREFIX)) && props_is_host(p->name))
		props_set(&buf->props, p->name, NULL);
}

BUFSHARE_EXPORT int bufshare_buffer_unregister(struct bufshare_buffer *buf)
{
	bool still_mapped = false;
	int r;

	if (!buf)
		return -EINVAL;
	if (!buf->id)
		return -ENOENT;
	r = ioctl_unregister(buf->dev, buf->id, &still_mapped);
	buffer_set_unregistered(buf);
	return r < 0 ? r : still_mapped;
}

BUFSHARE_EXPORT uint64_t bufshare_buffer_get_id(const struct bufshare_buffer *buf)
{
	return buf ? buf->id : 0;
}

BUFSHARE_EXPORT int bufshare_buffer_get_uuid(const struct bufshare_buffer *buf,
					     uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	if (!buf || !uuid)
		return -EINVAL;
	if (!buf->id)
		return -ENOENT;
	memcpy(uuid, buf->uuid, sizeof(buf->uuid));
	return 0;
}
