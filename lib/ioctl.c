/* SPDX-License-Identifier: MIT */
/*
 * The only place that talks to the driver: one thin function per ioctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <xf86drm.h>

#include "lib/internal.h"

static int call(int fd, unsigned long request, void *arg)
{
	return drmIoctl(fd, request, arg) < 0 ? -errno : 0;
}

int ioctl_check_driver(int fd)
{
	char name[sizeof(DRIVER_NAME)] = { 0 };
	struct drm_version version = { .name = name, .name_len = sizeof(name) };
	int r;

	r = call(fd, DRM_IOCTL_VERSION, &version);
	if (r < 0)
		return r == -ENOTTY ? -EOPNOTSUPP : r;
	if (version.name_len != strlen(DRIVER_NAME) ||
	    memcmp(name, DRIVER_NAME, strlen(DRIVER_NAME)) != 0)
		return -EOPNOTSUPP;
	return 0;
}

int ioctl_create(int fd, uint64_t *size, uint32_t *handle)
{
	struct drm_bufshare_create create = { .size = *size };
	int r;

	r = call(fd, DRM_IOCTL_BUFSHARE_CREATE, &create);
	if (r < 0)
		return r;
	*size = create.size;
	*handle = create.handle;
	return 0;
}

int ioctl_map(int fd, uint32_t handle, uint64_t *offset)
{
	struct drm_bufshare_map map = { .handle = handle };
	int r;

	r = call(fd, DRM_IOCTL_BUFSHARE_MAP, &map);
	if (r == 0)
		*offset = map.offset;
	return r;
}

int ioctl_close(int fd, uint32_t handle)
{
	struct drm_gem_close args = { .handle = handle };

	return call(fd, DRM_IOCTL_GEM_CLOSE, &args);
}

int ioctl_export(int fd, uint32_t handle, int *dmabuf)
{
	struct drm_prime_handle prime = {
		.handle = handle,
		.flags = O_CLOEXEC | O_RDWR,
		.fd = -1,
	};
	int r;

	r = call(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);
	if (r == 0)
		*dmabuf = prime.fd;
	return r;
}

int ioctl_import(int fd, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle prime = { .fd = dmabuf };
	int r;

	r = call(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime);
	if (r == 0)
		*handle = prime.handle;
	return r;
}

int ioctl_register(int fd, struct drm_bufshare_register *reg)
{
	return call(fd, DRM_IOCTL_BUFSHARE_REGISTER, reg);
}

int ioctl_unregister(int fd, uint64_t id, bool *still_mapped)
{
	struct drm_bufshare_unregister args = { .id = id };
	int r;

	r = call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args);
	if (r == 0)
		*still_mapped = args.flags & DRM_BUFSHARE_UNREGISTER_STILL_MAPPED;
	return r;
}

int ioctl_set_properties(int fd, uint64_t id, const char *block, size_t size)
{
	struct drm_bufshare_set_properties args = {
		.id = id,
		.properties = (uintptr_t)block,
		.properties_size = (uint32_t)size,
	};

	return call(fd, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
}

int ioctl_get_properties(int fd, uint64_t id, char *block, size_t *size)
{
	struct drm_bufshare_get_properties args = {
		.id = id,
		.properties = (uintptr_t)block,
		.properties_size = (uint32_t)*size,
	};
	int r;

	r = call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args);
	if (r < 0)
		return r;
	if (args.properties_size > *size)
		return -ENOSPC;
	*size = args.properties_size;
	return 0;
}

int ioctl_update(int fd, struct drm_bufshare_update_entry *entry)
{
	struct drm_bufshare_update args = { .updates = (uintptr_t)entry, .count = 1 };

	return call(fd, DRM_IOCTL_BUFSHARE_UPDATE, &args);
}

int ioctl_info(int fd, struct drm_bufshare_info *info)
{
	return call(fd, DRM_IOCTL_BUFSHARE_INFO, info);
}

int ioctl_list(int fd, bool all, uint64_t after, uint64_t *ids, uint32_t *count)
{
	struct drm_bufshare_list list = {
		.ids = (uintptr_t)ids,
		.count = *count,
		.flags = all ? DRM_BUFSHARE_LIST_ALL : 0,
		.after = after,
	};
	int r;

	r = call(fd, DRM_IOCTL_BUFSHARE_LIST, &list);
	if (r == 0)
		*count = list.count;
	return r;
}

int ioctl_ping(int fd, uint64_t *time_ns)
{
	struct drm_bufshare_ping ping = { 0 };
	int r;

	r = call(fd, DRM_IOCTL_BUFSHARE_PING, &ping);
	if (r == 0)
		*time_ns = ping.time_ns;
	return r;
}
