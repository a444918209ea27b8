/* SPDX-License-Identifier: MIT */
/*
 * The only place that talks to the driver: one thin function per ioctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <xf86drm.h>

#include "lib/internal.h"

static int call_fd(int fd, unsigned long request, void *arg)
{
	return drmIoctl(fd, request, arg) < 0 ? -errno : 0;
}

static int call(const struct bufshare_device *dev, unsigned long request, void *arg)
{
	int r = device_check_open(dev);

	return r < 0 ? r : call_fd(dev->fd, request, arg);
}

int ioctl_check_driver(int fd)
{
	char name[sizeof(DRIVER_NAME)] = { 0 };
	struct drm_version version = { .name = name, .name_len = sizeof(name) };
	int r;

	r = call_fd(fd, DRM_IOCTL_VERSION, &version);
	if (r < 0)
		return r == -ENOTTY ? -EOPNOTSUPP : r;
	if (version.name_len != strlen(DRIVER_NAME) ||
	    memcmp(name, DRIVER_NAME, strlen(DRIVER_NAME)) != 0)
		return -EOPNOTSUPP;
	return 0;
}

int ioctl_get_features(int fd, uint64_t *features)
{
	struct drm_bufshare_get_param param = { .param = DRM_BUFSHARE_PARAM_FEATURES };
	int r;

	r = call_fd(fd, DRM_IOCTL_BUFSHARE_GET_PARAM, &param);
	if (r == 0)
		*features = param.value;
	return r;
}

int ioctl_create(const struct bufshare_device *dev, uint32_t flags, uint64_t *size,
		 uint32_t *handle)
{
	struct drm_bufshare_create create = { .size = *size, .flags = flags };
	int r;

	r = call(dev, DRM_IOCTL_BUFSHARE_CREATE, &create);
	if (r < 0)
		return r;
	*size = create.size;
	*handle = create.handle;
	return 0;
}

int ioctl_user_memory(const struct bufshare_device *dev, const void *addr, uint64_t size,
		      uint32_t *handle)
{
	struct drm_bufshare_user_memory args = { .addr = (uintptr_t)addr, .size = size };
	int r;

	r = call(dev, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args);
	if (r == 0)
		*handle = args.handle;
	return r;
}

int ioctl_map(const struct bufshare_device *dev, uint32_t handle, uint64_t *offset)
{
	struct drm_bufshare_map map = { .handle = handle };
	int r;

	r = call(dev, DRM_IOCTL_BUFSHARE_MAP, &map);
	if (r == 0)
		*offset = map.offset;
	return r;
}

int ioctl_close(const struct bufshare_device *dev, uint32_t handle)
{
	struct drm_gem_close args = { .handle = handle };

	return call(dev, DRM_IOCTL_GEM_CLOSE, &args);
}

int ioctl_export(const struct bufshare_device *dev, uint32_t handle, int *dmabuf)
{
	struct drm_prime_handle prime = {
		.handle = handle,
		.flags = O_CLOEXEC | O_RDWR,
		.fd = -1,
	};
	int r;

	r = call(dev, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);
	if (r == 0)
		*dmabuf = prime.fd;
	return r;
}

int ioctl_import(const struct bufshare_device *dev, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle prime = { .fd = dmabuf };
	int r;

	r = call(dev, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime);
	if (r == 0)
		*handle = prime.handle;
	return r;
}

int ioctl_register(const struct bufshare_device *dev, struct drm_bufshare_register *reg)
{
	return call(dev, DRM_IOCTL_BUFSHARE_REGISTER, reg);
}

int ioctl_unregister(const struct bufshare_device *dev, uint64_t id, bool *still_mapped)
{
	struct drm_bufshare_unregister args = { .id = id };
	int r;

	r = call(dev, DRM_IOCTL_BUFSHARE_UNREGISTER, &args);
	if (r == 0)
		*still_mapped = args.flags & DRM_BUFSHARE_UNREGISTER_STILL_MAPPED;
	return r;
}

int ioctl_set_properties(const struct bufshare_device *dev, bool all, uint64_t id,
			 const char *block, size_t size)
{
	struct drm_bufshare_set_properties args = {
		.id = id,
		.properties = (uintptr_t)block,
		.properties_size = (uint32_t)size,
		.flags = all ? DRM_BUFSHARE_SET_PROPERTIES_ALL : 0,
	};

	return call(dev, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
}

int ioctl_get_properties(const struct bufshare_device *dev, uint64_t id, char *block,
			 size_t *size)
{
	struct drm_bufshare_get_properties args = {
		.id = id,
		.properties = (uintptr_t)block,
		.properties_size = (uint32_t)*size,
	};
	int r;

	r = call(dev, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args);
	if (r < 0)
		return r;
	if (args.properties_size > *size)
		return -ENOSPC;
	*size = args.properties_size;
	return 0;
}

int ioctl_update(const struct bufshare_device *dev, struct drm_bufshare_update_entry *entries,
		 uint32_t count)
{
	struct drm_bufshare_update args = { .updates = (uintptr_t)entries, .count = count };

	return call(dev, DRM_IOCTL_BUFSHARE_UPDATE, &args);
}

int ioctl_info(const struct bufshare_device *dev, struct drm_bufshare_info *info)
{
	return call(dev, DRM_IOCTL_BUFSHARE_INFO, info);
}

int ioctl_list(const struct bufshare_device *dev, bool all, uint64_t after, uint64_t *ids,
	       uint32_t *count)
{
	struct drm_bufshare_list list = {
		.ids = (uintptr_t)ids,
		.count = *count,
		.flags = all ? DRM_BUFSHARE_LIST_ALL : 0,
		.after = after,
	};
	int r;

	r = call(dev, DRM_IOCTL_BUFSHARE_LIST, &list);
	if (r == 0)
		*count = list.count;
	return r;
}

int ioctl_reset(const struct bufshare_device *dev, bool all)
{
	struct drm_bufshare_reset reset = { .flags = all ? DRM_BUFSHARE_RESET_ALL : 0 };

	return call(dev, DRM_IOCTL_BUFSHARE_RESET, &reset);
}

int ioctl_ping(const struct bufshare_device *dev, uint64_t *time_ns)
{
	struct drm_bufshare_ping ping = { 0 };
	int r;

	r = call(dev, DRM_IOCTL_BUFSHARE_PING, &ping);
	if (r == 0)
		*time_ns = ping.time_ns;
	return r;
}
