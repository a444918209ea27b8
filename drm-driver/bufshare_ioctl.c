// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The calls of programs: everything but updates is copied and checked here, and nothing else
 * is done. bufshare_drm.h says what they do.
 */
#include <linux/capability.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"

#define BUFSHARE_FEATURES \
	(DRM_BUFSHARE_FEATURE_HOST_PROPERTIES | DRM_BUFSHARE_FEATURE_RECOVERY | \
	 DRM_BUFSHARE_FEATURE_ZERO_COPY)

/* What the driver can do with any device. */
#define BUFSHARE_OWN_FEATURES \
	(DRM_BUFSHARE_FEATURE_FENCES | DRM_BUFSHARE_FEATURE_IMPORT | \
	 DRM_BUFSHARE_FEATURE_USER_MEMORY)

/* What is passed on as it is. */
static_assert(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES == DRM_BUFSHARE_FEATURE_HOST_PROPERTIES);
static_assert(VIRTIO_BUFSHARE_CAP_RECOVERY == DRM_BUFSHARE_FEATURE_RECOVERY);
static_assert(VIRTIO_BUFSHARE_CAP_ZERO_COPY == DRM_BUFSHARE_FEATURE_ZERO_COPY);
static_assert(VIRTIO_BUFSHARE_APPLICATION_SIZE == DRM_BUFSHARE_APPLICATION_SIZE);
static_assert(VIRTIO_BUFSHARE_UUID_SIZE == DRM_BUFSHARE_UUID_SIZE);
static_assert(VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE == DRM_BUFSHARE_MAX_PROPERTIES_SIZE);

static u64 own_features(const struct bufshare_device *bdev)
{
	return BUFSHARE_OWN_FEATURES | (bdev->huge_always ? DRM_BUFSHARE_FEATURE_HUGE_PAGES : 0);
}

static u64 epoch_or_caps(struct bufshare_device *bdev, u64 param)
{
	u64 value;

	spin_lock(&bdev->lock);
	if (param == DRM_BUFSHARE_PARAM_EPOCH)
		value = bdev->epoch;
	else
		value = (bdev->caps & BUFSHARE_FEATURES) | own_features(bdev);
	spin_unlock(&bdev->lock);
	return value;
}

static int get_param_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct bufshare_device *bdev = to_bufshare_device(drm);
	struct drm_bufshare_get_param *args = data;

	switch (args->param) {
	case DRM_BUFSHARE_PARAM_FEATURES:
	case DRM_BUFSHARE_PARAM_EPOCH:
		args->value = epoch_or_caps(bdev, args->param);
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_BUFFERS:
		args->value = bdev->config.max_buffers;
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE:
		args->value = bdev->config.max_buffer_size;
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE:
		args->value = bdev->config.max_total_size;
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_RANGES:
		args->value = bdev->config.max_ranges;
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_PROPERTIES:
		args->value = bdev->config.max_properties;
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_PROPERTIES_SIZE:
		args->value = bdev->config.max_properties_size;
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_DAMAGE:
		args->value = bdev->config.max_damage;
		return 0;
	case DRM_BUFSHARE_PARAM_MAX_UPDATES:
		args->value = DRM_BUFSHARE_MAX_UPDATES;
		return 0;
	}
	return -EINVAL;
}

/* From here on the handle has the object, if there is one. */
static int give_handle(struct drm_file *file, struct drm_gem_object *obj, u32 *result)
{
	u32 handle;
	int ret;

	ret = drm_gem_handle_create(file, obj, &handle);
	drm_gem_object_put(obj);
	if (!ret)
		*result = handle;
	return ret;
}

static int create_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct bufshare_device *bdev = to_bufshare_device(drm);
	struct drm_bufshare_create *args = data;
	struct drm_gem_object *obj;
	size_t size;
	int ret;

	if (args->flags & ~DRM_BUFSHARE_CREATE_HUGE)
		return -EINVAL;
	if (!args->size || args->size > bdev->config.max_buffer_size)
		return -EINVAL;

	obj = bufshare_gem_create(drm, args->size, args->flags & DRM_BUFSHARE_CREATE_HUGE);
	if (IS_ERR(obj))
		return PTR_ERR(obj);

	size = obj->size;
	ret = give_handle(file, obj, &args->handle);
	if (!ret)
		args->size = size;
	return ret;
}

static int map_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_map *args = data;
	struct drm_gem_object *obj;
	int ret = -EOPNOTSUPP;

	if (args->pad)
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;

	if (!bufshare_user_is(obj)) {
		args->offset = drm_vma_node_offset_addr(&obj->vma_node);
		ret = 0;
	}
	drm_gem_object_put(obj);
	return ret;
}

/* A checked copy of a program's property block, to be freed. */
static char *copy_block(u64 pointer, u32 size, unsigned int flags)
{
	char *block;
	int ret;

	if (size > VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE)
		return ERR_PTR(-ENOSPC);
	block = memdup_user(u64_to_user_ptr(pointer), size);
	if (IS_ERR(block))
		return block;

	ret = bufshare_props_check(block, size, flags);
	if (ret) {
		kfree(block);
		return ERR_PTR(ret);
	}
	return block;
}

static int register_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_register *args = data;
	struct drm_gem_object *obj;
	char *block;
	int ret;

	args->status = VIRTIO_BUFSHARE_STATUS_OK;
	args->detail = 0;
	if (args->flags & ~DRM_BUFSHARE_REGISTER_SHARE_RW)
		return -EINVAL;
	if (!args->application[0] ||
	    !bufshare_label_valid(args->application, sizeof(args->application)))
		return -EINVAL;

	block = copy_block(args->properties, args->properties_size, BUFSHARE_PROPS_GUEST);
	if (IS_ERR(block)) {
		if (PTR_ERR(block) == -ENOSPC) {
			args->status = VIRTIO_BUFSHARE_STATUS_LIMIT;
			args->detail = args->properties_size > VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE ?
				VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE :
				VIRTIO_BUFSHARE_LIMIT_PROPERTIES;
		}
		return PTR_ERR(block);
	}

	ret = -ENOENT;
	obj = drm_gem_object_lookup(file, args->handle);
	if (obj) {
		ret = bufshare_buffer_register(file->driver_priv, obj, args, block);
		drm_gem_object_put(obj);
	}
	kfree(block);
	return ret;
}

static int unregister_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_unregister *args = data;
	struct bufshare_buffer *buf;
	int ret;

	if (args->flags || args->pad)
		return -EINVAL;
	buf = bufshare_buffer_get(file->driver_priv, args->id, false);
	if (!buf)
		return -ENOENT;

	ret = bufshare_buffer_unregister(buf, &args->flags);
	bufshare_buffer_put(buf);
	return ret;
}

static int set_properties_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_set_properties *args = data;
	struct bufshare_file *bfile = file->driver_priv;
	bool all = args->flags & DRM_BUFSHARE_SET_PROPERTIES_ALL;
	struct bufshare_buffer *buf;
	char *block;
	int ret;

	if (args->flags & ~DRM_BUFSHARE_SET_PROPERTIES_ALL)
		return -EINVAL;
	if (all && !capable(CAP_SYS_ADMIN))
		return -EACCES;
	block = copy_block(args->properties, args->properties_size,
			   BUFSHARE_PROPS_GUEST | BUFSHARE_PROPS_REMOVALS);
	if (IS_ERR(block))
		return PTR_ERR(block);

	ret = -ENOENT;
	buf = bufshare_buffer_get(bfile, args->id, all);
	if (buf) {
		ret = bufshare_command_set_props(buf, bfile, block, args->properties_size);
		bufshare_buffer_put(buf);
	}
	kfree(block);
	return ret;
}

/* A registration of this file or, for the administrator, of any; for reading only. */
static struct bufshare_buffer *get_to_read(struct drm_file *file, u64 id)
{
	struct bufshare_buffer *buf = bufshare_buffer_get(file->driver_priv, id, false);

	if (!buf && capable(CAP_SYS_ADMIN))
		buf = bufshare_buffer_get(file->driver_priv, id, true);
	return buf;
}

static int read_properties(struct bufshare_buffer *buf, struct drm_bufshare_get_properties *args)
{
	char *block;
	size_t size;
	int ret;

	block = kmalloc(BUFSHARE_PROPS_ROOM, GFP_KERNEL);
	if (!block)
		return -ENOMEM;

	ret = bufshare_command_get_props(buf, block, &size);
	if (!ret && size <= args->properties_size &&
	    copy_to_user(u64_to_user_ptr(args->properties), block, size))
		ret = -EFAULT;
	if (!ret)
		args->properties_size = size;
	kfree(block);
	return ret;
}

static int get_properties_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_get_properties *args = data;
	struct bufshare_buffer *buf;
	int ret;

	if (args->flags)
		return -EINVAL;
	buf = get_to_read(file, args->id);
	if (!buf)
		return -ENOENT;

	ret = read_properties(buf, args);
	bufshare_buffer_put(buf);
	return ret;
}

static int update_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_update *args = data;

	if (args->flags || !args->count || args->count > DRM_BUFSHARE_MAX_UPDATES)
		return -EINVAL;
	return bufshare_update(file->driver_priv, u64_to_user_ptr(args->updates), args->count);
}

static struct bufshare_buffer *get_by_handle(struct drm_file *file, u32 handle)
{
	struct bufshare_buffer *buf;
	struct drm_gem_object *obj;

	obj = drm_gem_object_lookup(file, handle);
	if (!obj)
		return NULL;

	buf = bufshare_buffer_get_by_obj(file->driver_priv, obj);
	drm_gem_object_put(obj);
	return buf;
}

static int info_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_info *args = data;
	struct bufshare_buffer *buf;
	int ret;

	if (args->flags || args->pad || !args->id == !args->handle)
		return -EINVAL;
	buf = args->id ? get_to_read(file, args->id) : get_by_handle(file, args->handle);
	if (!buf)
		return -ENOENT;

	ret = bufshare_buffer_info(buf, args);
	bufshare_buffer_put(buf);
	return ret;
}

static int list_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct bufshare_device *bdev = to_bufshare_device(drm);
	struct drm_bufshare_list *args = data;
	bool all = args->flags & DRM_BUFSHARE_LIST_ALL;
	u32 room, n;
	u64 *ids;

	if (args->flags & ~DRM_BUFSHARE_LIST_ALL)
		return -EINVAL;
	if (all && !capable(CAP_SYS_ADMIN))
		return -EACCES;

	room = args->ids ? min(args->count, bdev->config.max_buffers) : 0;
	ids = kvcalloc(max(room, 1U), sizeof(*ids), GFP_KERNEL);
	if (!ids)
		return -ENOMEM;

	n = bufshare_buffer_list(file->driver_priv, all, args->after, ids, room);
	if (copy_to_user(u64_to_user_ptr(args->ids), ids,
			 array_size(min(room, n), sizeof(*ids)))) {
		kvfree(ids);
		return -EFAULT;
	}
	kvfree(ids);
	args->count = n;
	return 0;
}

static int reset_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_reset *args = data;

	if (args->pad || args->flags & ~DRM_BUFSHARE_RESET_ALL)
		return -EINVAL;
	if (!args->flags)
		return bufshare_buffer_reset_file(file->driver_priv,
						  VIRTIO_BUFSHARE_REASON_RESET, true);
	if (!capable(CAP_SYS_ADMIN))
		return -EACCES;
	return bufshare_buffer_reset_all(file->driver_priv);
}

static int ping_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_bufshare_ping *args = data;
	u64 time_ns;
	int ret;

	if (args->flags || args->pad)
		return -EINVAL;
	ret = bufshare_command_ping(to_bufshare_device(drm), &time_ns);
	if (!ret)
		args->time_ns = time_ns;
	return ret;
}

static int user_memory_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct bufshare_device *bdev = to_bufshare_device(drm);
	struct drm_bufshare_user_memory *args = data;
	struct drm_gem_object *obj;

	if (args->flags || !args->size || !PAGE_ALIGNED(args->addr | args->size))
		return -EINVAL;
	if (args->size > bdev->config.max_buffer_size)
		return -EINVAL;
	if (args->addr > ULONG_MAX - args->size)
		return -EFAULT;

	obj = bufshare_user_create(drm, args->addr, args->size);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	return give_handle(file, obj, &args->handle);
}

const struct drm_ioctl_desc bufshare_ioctls[BUFSHARE_NUM_IOCTLS] = {
	DRM_IOCTL_DEF_DRV(BUFSHARE_GET_PARAM, get_param_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_CREATE, create_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_MAP, map_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_REGISTER, register_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_UNREGISTER, unregister_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_SET_PROPERTIES, set_properties_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_GET_PROPERTIES, get_properties_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_UPDATE, update_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_INFO, info_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_LIST, list_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_RESET, reset_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_PING, ping_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(BUFSHARE_USER_MEMORY, user_memory_ioctl, DRM_RENDER_ALLOW),
};
