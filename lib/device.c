/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

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
	if (dev->parent)
		munmap((void *)dev->parent, (size_t)sysconf(_SC_PAGESIZE));
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
	if (dev->limits[limit] == LIMIT_NOT_TOLD)
		return -EOPNOTSUPP;
	*value = dev->limits[limit];
	return 0;
}

/*
 * The kernel zeroes this page in children, so that telling a child apart costs no call. A
 * child that went on would act on its parent's buffers: they share the open file.
 */
static const uint32_t *mark_parent(void)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t *page;

	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, size, MADV_WIPEONFORK) < 0) {
		munmap(page, size);
		return NULL;
	}
	*page = 1;
	return page;
}

int device_take_fd(struct bufshare_device *dev, int fd)
{
	const int flags = fcntl(fd, F_GETFL);
	uint64_t features = 0;
	int r;

	if (flags < 0)
		return -errno;
	r = ioctl_check_driver(fd);
	if (r == 0)
		r = ioctl_get_features(fd, &features);
	if (r < 0 && r != -EINVAL) /* a driver from before there were features */
		return r;

	dev->features = features;
	dev->blocking = !(flags & O_NONBLOCK);
	dev->parent = mark_parent();
	dev->fd = fd;
	return 0;
}

BUFSHARE_EXPORT int bufshare_device_open(struct bufshare_device *dev)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!dev)
		return -EINVAL;
	if (dev->fd >= 0)
		return device_check_open(dev);

	fd = open(dev->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? -ENODEV :
		       errno == EPERM ? -EACCES : -errno;

	/* Now that the node is held: if the device is there, the node was its own. */
	r = device_check_folder(dev);
	if (r == 0)
		r = device_take_fd(dev, fd);
	if (r == 0)
		steal_fd(&fd);
	return r;
}

int device_check_open(const struct bufshare_device *dev)
{
	return dev->fd < 0 || (dev->parent && !*dev->parent) ? -ENOTCONN : 0;
}

BUFSHARE_EXPORT int bufshare_device_get_fd(const struct bufshare_device *dev)
{
	int r;

	if (!dev)
		return -EINVAL;
	r = device_check_open(dev);
	return r < 0 ? r : dev->fd;
}

BUFSHARE_EXPORT int bufshare_device_has_feature(const struct bufshare_device *dev, int feature)
{
	static const uint64_t bits[] = {
		[BUFSHARE_FEATURE_HOST_PROPERTIES] = DRM_BUFSHARE_FEATURE_HOST_PROPERTIES,
		[BUFSHARE_FEATURE_RECOVERY] = DRM_BUFSHARE_FEATURE_RECOVERY,
		[BUFSHARE_FEATURE_ZERO_COPY] = DRM_BUFSHARE_FEATURE_ZERO_COPY,
		[BUFSHARE_FEATURE_UUID_IMPORT] = DRM_BUFSHARE_FEATURE_UUID_IMPORT,
		[BUFSHARE_FEATURE_OFFERS] = DRM_BUFSHARE_FEATURE_OFFERS,
		[BUFSHARE_FEATURE_FENCES] = DRM_BUFSHARE_FEATURE_FENCES,
		[BUFSHARE_FEATURE_IMPORT] = DRM_BUFSHARE_FEATURE_IMPORT,
		[BUFSHARE_FEATURE_USER_MEMORY] = DRM_BUFSHARE_FEATURE_USER_MEMORY,
		[BUFSHARE_FEATURE_HUGE_PAGES] = DRM_BUFSHARE_FEATURE_HUGE_PAGES,
	};
	int r;

	if (!dev || feature < 1 || (size_t)feature >= ARRAY_SIZE(bits))
		return -EINVAL;
	r = device_check_open(dev);
	return r < 0 ? r : !!(dev->features & bits[feature]);
}

BUFSHARE_EXPORT int bufshare_device_ping(struct bufshare_device *dev, uint64_t *time_ns)
{
	if (!dev || !time_ns)
		return -EINVAL;
	return ioctl_ping(dev, time_ns);
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
	r = ioctl_list(dev, all, 0, NULL, &count);
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
		r = ioctl_list(dev, all, 0, list, &count);
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
	r = ioctl_info(dev, &args);
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
		.imported = !!(args.flags & DRM_BUFSHARE_INFO_IMPORTED),
		.user_memory = !!(args.flags & DRM_BUFSHARE_INFO_USER_MEMORY),
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
	r = ioctl_get_properties(dev, id, block, &size);
	if (r < 0)
		return r;

	if (size && block[size - 1])
		return -EPROTO;
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

BUFSHARE_EXPORT int bufshare_device_reset(struct bufshare_device *dev, int all)
{
	struct bufshare_buffer *buf;
	int r;

	if (!dev)
		return -EINVAL;
	r = ioctl_reset(dev, all);
	/* One that failed half way, or was not answered, may have taken some. */
	LIST_FOREACH(buf, &dev->buffers, link) {
		struct drm_bufshare_info info = { .id = buf->id };

		if (r == 0 || (buf->id && ioctl_info(dev, &info) == -ENOENT))
			buffer_set_unregistered(buf);
	}
	return r;
}
