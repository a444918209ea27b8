/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/internal.h"

struct bufshare_device *device_new(void)
{
	struct bufshare_device *dev = calloc(1, sizeof(*dev));

	if (dev) {
		dev->refs = 1;
		dev->fd = -1;
	}
	return dev;
}

void device_unrefp(struct bufshare_device **dev)
{
	bufshare_device_unref(*dev);
}

BUFSHARE_EXPORT struct bufshare_device *bufshare_device_ref(struct bufshare_device *dev)
{
	if (dev)
		dev->refs++;
	return dev;
}

BUFSHARE_EXPORT struct bufshare_device *bufshare_device_unref(struct bufshare_device *dev)
{
	if (!dev || --dev->refs > 0)
		return NULL;
	if (dev->fd >= 0)
		close(dev->fd);
	free(dev->name);
	free(dev->path);
	free(dev->card_path);
	free(dev);
	return NULL;
}

BUFSHARE_EXPORT const char *bufshare_device_get_label(const struct bufshare_device *dev)
{
	return dev ? dev->label : "";
}

BUFSHARE_EXPORT const char *bufshare_device_get_application(const struct bufshare_device *dev)
{
	return dev ? dev->application : "";
}

BUFSHARE_EXPORT const char *bufshare_device_get_path(const struct bufshare_device *dev)
{
	return dev ? dev->path : "";
}

BUFSHARE_EXPORT const char *bufshare_device_get_card_path(const struct bufshare_device *dev)
{
	return dev ? dev->card_path : "";
}

BUFSHARE_EXPORT const char *bufshare_device_get_name(const struct bufshare_device *dev)
{
	return dev ? dev->name : "";
}

BUFSHARE_EXPORT void bufshare_device_get_subsystem(const struct bufshare_device *dev,
						   uint16_t *vendor, uint16_t *device)
{
	if (vendor)
		*vendor = dev ? dev->vendor : 0;
	if (device)
		*device = dev ? dev->device : 0;
}

BUFSHARE_EXPORT int bufshare_device_get_uuid(const struct bufshare_device *dev,
					     uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	if (!dev || !uuid)
		return -EINVAL;
	memcpy(uuid, dev->uuid, sizeof(dev->uuid));
	return 0;
}

BUFSHARE_EXPORT int bufshare_device_get_limit(const struct bufshare_device *dev, int limit,
					      uint64_t *value)
{
	if (!dev || !value || limit < BUFSHARE_LIMIT_BUFFERS || limit >= NUM_LIMITS)
		return -EINVAL;
	*value = dev->limits[limit];
	return 0;
}

BUFSHARE_EXPORT int bufshare_device_open(struct bufshare_device *dev)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!dev)
		return -EINVAL;
	if (dev->fd >= 0)
		return 0;

	fd = open(dev->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? -ENODEV :
		       errno == EPERM ? -EACCES : -errno;

	r = ioctl_check_driver(fd);
	if (r < 0)
		return r;

	dev->fd = steal_fd(&fd);
	return 0;
}

int device_check_open(const struct bufshare_device *dev)
{
	return dev->fd < 0 ? -ENOTCONN : 0;
}

BUFSHARE_EXPORT int bufshare_device_get_fd(const struct bufshare_device *dev)
{
	if (!dev)
		return -EINVAL;
	return dev->fd < 0 ? -ENOTCONN : dev->fd;
}

BUFSHARE_EXPORT int bufshare_device_ping(struct bufshare_device *dev, uint64_t *time_ns)
{
	int r;

	if (!dev || !time_ns)
		return -EINVAL;
	r = device_check_open(dev);
	return r < 0 ? r : ioctl_ping(dev->fd, time_ns);
}

/* ---- what is registered ---- */

BUFSHARE_EXPORT int bufshare_device_list_buffers(struct bufshare_device *dev, int all,
						 uint64_t **ids, size_t *n)
{
	_cleanup_free_ uint64_t *list = NULL;
	uint32_t count = 0, room;
	int r;

	if (!dev || !ids || !n)
		return -EINVAL;
	r = device_check_open(dev);
	if (r == 0)
		r = ioctl_list(dev->fd, all, 0, NULL, &count);
	if (r < 0)
		return r;

	/* More may have come since they were counted. */
	do {
		free(list);
		room = count + 16;
		list = calloc(room, sizeof(*list));
		if (!list)
			return -ENOMEM;
		count = room;
		r = ioctl_list(dev->fd, all, 0, list, &count);
		if (r < 0)
			return r;
	} while (count > room);

	*ids = steal_ptr(&list);
	*n = count;
	return 0;
}

BUFSHARE_EXPORT int bufshare_device_get_buffer_info(struct bufshare_device *dev, uint64_t id,
						    struct bufshare_buffer_info *info)
{
	struct drm_bufshare_info args = { .id = id };
	int r;

	if (!dev || !id || !info)
		return -EINVAL;
	r = device_check_open(dev);
	if (r == 0)
		r = ioctl_info(dev->fd, &args);
	if (r < 0)
		return r;

	*info = (struct bufshare_buffer_info){
		.id = args.id,
		.size = args.size,
		.seq = args.seq,
		.released = args.released,
		.num_ranges = args.num_ranges,
		.path = args.path,
		.consumers = args.consumers,
		.lost = !!(args.flags & DRM_BUFSHARE_INFO_LOST),
	};
	memcpy(info->uuid, args.uuid, sizeof(info->uuid));
	memcpy(info->application, args.application, sizeof(info->application) - 1);
	return 0;
}

BUFSHARE_EXPORT int bufshare_device_dup_buffer_properties(struct bufshare_device *dev, uint64_t id,
							  char ***properties)
{
	/* Both sides have a block. */
	char block[2 * DRM_BUFSHARE_MAX_PROPERTIES_SIZE], *text, *p, **list;
	size_t size = sizeof(block), n = 0, i;
	int r;

	if (!dev || !id || !properties)
		return -EINVAL;
	r = device_check_open(dev);
	if (r == 0)
		r = ioctl_get_properties(dev->fd, id, block, &size);
	if (r < 0)
		return r;

	for (i = 0; i < size; i++)
		n += block[i] == '\0';
	list = malloc((n + 1) * sizeof(*list) + size);
	if (!list)
		return -ENOMEM;
	text = (char *)(list + n + 1);
	memcpy(text, block, size);
	for (p = text, i = 0; i < n; i++, p += strlen(p) + 1)
		list[i] = p;
	list[n] = NULL;
	*properties = list;
	return 0;
}
