// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Buffers are GEM objects of shmem pages, mapped cached, because the host's mapping of the
 * same pages is too; or of the memory behind another driver's dma-buf.
 */
#include <linux/dma-buf.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/virtio_dma_buf.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_prime.h>

#include "bufshare_drv.h"

/* What other virtio drivers import the buffer by: there is one once it is registered. */
static int get_uuid(struct dma_buf *buf, uuid_t *uuid)
{
	struct drm_gem_object *obj = buf->priv;
	struct bufshare_device *bdev = to_bufshare_device(obj->dev);
	struct bufshare_buffer *registration;
	int ret = -ENODEV;

	spin_lock(&bdev->lock);
	list_for_each_entry(registration, &to_bufshare_bo(obj)->buffers, bo_link) {
		if (registration->state != BUFSHARE_LIVE)
			continue;
		uuid_copy(uuid, &registration->uuid);
		ret = 0;
		break;
	}
	spin_unlock(&bdev->lock);
	return ret;
}

static const struct virtio_dma_buf_ops bufshare_dma_buf_ops = {
	.ops = {
		.attach = virtio_dma_buf_attach,
		.detach = drm_gem_map_detach,
		.map_dma_buf = drm_gem_map_dma_buf,
		.unmap_dma_buf = drm_gem_unmap_dma_buf,
		.release = drm_gem_dmabuf_release,
		.mmap = drm_gem_dmabuf_mmap,
		.vmap = drm_gem_dmabuf_vmap,
		.vunmap = drm_gem_dmabuf_vunmap,
	},
	.device_attach = drm_gem_map_attach,
	.get_uuid = get_uuid,
};

static struct dma_buf *bufshare_gem_export(struct drm_gem_object *obj, int flags)
{
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct dma_buf *buf;

	exp_info.owner = obj->dev->driver->fops->owner;
	exp_info.ops = &bufshare_dma_buf_ops.ops;
	exp_info.size = obj->size;
	exp_info.flags = flags;
	exp_info.priv = obj;
	exp_info.resv = obj->resv;
	buf = virtio_dma_buf_export(&exp_info);
	if (IS_ERR(buf))
		return buf;

	/* Both are dropped by drm_gem_dmabuf_release(). */
	drm_dev_get(obj->dev);
	drm_gem_object_get(obj);
	return buf;
}

/*
 * A dma-buf of this device is the object itself. All others are attached to for as long as
 * the object lives, and statically, so that their memory stays where it is. The host is not
 * told here: DRM holds locks.
 */
struct drm_gem_object *bufshare_gem_import(struct drm_device *drm, struct dma_buf *buf)
{
	struct drm_gem_object *obj;
	int idx;

	if (buf->ops == &bufshare_dma_buf_ops.ops) {
		obj = buf->priv;
		if (obj->dev == drm) {
			drm_gem_object_get(obj);
			return obj;
		}
	}
	if (!drm_dev_enter(drm, &idx))
		return ERR_PTR(-ENODEV);
	obj = drm_gem_prime_import(drm, buf);
	drm_dev_exit(idx);
	if (!IS_ERR(obj))
		return obj;

	drm_dbg_prime(drm, "a dma-buf of %s cannot be imported (%ld)\n", buf->exp_name,
		      PTR_ERR(obj));
	return ERR_PTR(bufshare_memory_map_error(to_bufshare_device(drm), PTR_ERR(obj)));
}

/* Memory that could not be registered is refused here already. */
struct drm_gem_object *bufshare_gem_import_sg_table(struct drm_device *drm,
						    struct dma_buf_attachment *attach,
						    struct sg_table *sgt)
{
	int ret;

	ret = bufshare_memory_check(to_bufshare_device(drm), sgt, PAGE_ALIGN(attach->dmabuf->size));
	if (ret)
		return ERR_PTR(ret);
	return drm_gem_shmem_prime_import_sg_table(drm, attach, sgt);
}

static const struct drm_gem_object_funcs bufshare_gem_funcs = {
	.free = drm_gem_shmem_object_free,
	.print_info = drm_gem_shmem_object_print_info,
	.export = bufshare_gem_export,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = drm_gem_shmem_object_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

struct drm_gem_object *bufshare_gem_create_object(struct drm_device *drm, size_t size)
{
	struct bufshare_bo *bo;

	bo = kzalloc(sizeof(*bo), GFP_KERNEL);
	if (!bo)
		return ERR_PTR(-ENOMEM);

	INIT_LIST_HEAD(&bo->buffers);
	bo->base.base.funcs = &bufshare_gem_funcs;
	return &bo->base.base;
}

/**
 * bufshare_gem_create - make an object of memory of its own
 * @drm: the device
 * @size: bytes; rounded up to whole pages
 * @huge: of large pages even if a part of the last one is not used
 */
struct drm_gem_object *bufshare_gem_create(struct drm_device *drm, size_t size, bool huge)
{
	struct drm_gem_shmem_object *shmem;
	int ret;

	shmem = drm_gem_shmem_create(drm, size);
	if (IS_ERR(shmem))
		return ERR_CAST(shmem);

	ret = bufshare_huge_use(to_bufshare_device(drm), &shmem->base, huge);
	if (ret) {
		drm_gem_object_put(&shmem->base);
		return ERR_PTR(ret);
	}
	return &shmem->base;
}

/* DRM has checked that the numbers do not overflow. */
int bufshare_gem_create_dumb(struct drm_file *file, struct drm_device *drm,
			     struct drm_mode_create_dumb *args)
{
	struct drm_gem_object *obj;
	int ret;

	args->pitch = DIV_ROUND_UP(args->width * args->bpp, 8);
	args->size = PAGE_ALIGN((u64)args->pitch * args->height);
	obj = bufshare_gem_create(drm, args->size, false);
	if (IS_ERR(obj))
		return PTR_ERR(obj);

	ret = drm_gem_handle_create(file, obj, &args->handle);
	drm_gem_object_put(obj);
	return ret;
}

/**
 * bufshare_gem_ranges - the memory of an object as the device is told it
 * @bdev: the device
 * @obj: pinned by this, for as long as it lives
 * @ranges: where to write the ranges, or NULL
 * @room: for that many
 *
 * Return: as bufshare_memory_ranges() does, or -ENOMEM, or -ENODEV.
 */
int bufshare_gem_ranges(struct bufshare_device *bdev, struct drm_gem_object *obj,
			struct virtio_bufshare_range *ranges, u32 room)
{
	struct sg_table *sgt;
	int idx, ret;

	/* The parent may be gone with the device, and with it what maps memory for it. */
	if (!drm_dev_enter(bdev->drm, &idx))
		return -ENODEV;

	ret = bufshare_memory_reachable(bdev);
	if (ret)
		goto out_exit;
	sgt = bufshare_user_is(obj) ? bufshare_user_sgt(obj) :
				      drm_gem_shmem_get_pages_sgt(to_drm_gem_shmem_obj(obj));
	if (IS_ERR(sgt))
		ret = bufshare_memory_map_error(bdev, PTR_ERR(sgt));
	else
		ret = bufshare_memory_ranges(bdev, sgt, obj->size, ranges, room);

out_exit:
	drm_dev_exit(idx);
	return ret;
}
