// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Buffers are GEM objects of shmem pages, mapped cached: the host's mapping of the same
 * pages is, too.
 */
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/virtio_dma_buf.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_prime.h>

#include "bufshare_drv.h"
#include "compat.h"

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

/* A dma-buf of this device is the object itself. */
struct drm_gem_object *bufshare_gem_import(struct drm_device *drm, struct dma_buf *buf)
{
	struct drm_gem_object *obj;

	if (buf->ops == &bufshare_dma_buf_ops.ops) {
		obj = buf->priv;
		if (obj->dev == drm) {
			drm_gem_object_get(obj);
			return obj;
		}
	}
	drm_dbg_prime(drm, "refusing a dma-buf of %s: only those of this device can be imported\n",
		      buf->exp_name);
	return ERR_PTR(-EOPNOTSUPP);
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

/*
 * The address by which the device reaches a piece of memory that is mapped for the parent's
 * DMA; or -EOPNOTSUPP if what it reached there would not be the buffer.
 */
static int device_address(struct bufshare_device *bdev, dma_addr_t dma, size_t size, u64 *addr)
{
	struct device *dev = bdev->drm->dev;
	phys_addr_t phys;

	if (bufshare_compat_has_iommu(dev)) {
		if (bdev->dma_quirk) {
			drm_dbg_driver(bdev->drm, "behind an IOMMU that the device bypasses\n");
			return -EOPNOTSUPP;
		}
		*addr = dma;
		return 0;
	}
	/* Not before the test for an IOMMU, which may look like bouncing too. */
	if (dma_need_sync(dev, dma)) {
		drm_dbg_driver(bdev->drm, "memory bounces through swiotlb\n");
		return -EOPNOTSUPP;
	}
	phys = dma_to_phys(dev, dma);
	if (!bufshare_compat_is_ram(phys, size)) {
		drm_dbg_driver(bdev->drm, "not ordinary memory\n");
		return -EOPNOTSUPP;
	}
	*addr = bdev->dma_quirk ? phys : dma;
	return 0;
}

/* Appends a piece, to the range before it if it continues that. */
static void add_piece(u64 addr, u64 size, struct virtio_bufshare_range *last, u32 *count,
		      struct virtio_bufshare_range *ranges, u32 room)
{
	u64 last_addr = le64_to_cpu(last->addr), last_size = le64_to_cpu(last->size);

	if (*count && last_addr + last_size == addr) {
		last->size = cpu_to_le64(last_size + size);
	} else {
		last->addr = cpu_to_le64(addr);
		last->size = cpu_to_le64(size);
		(*count)++;
	}
	if (ranges && *count <= room)
		ranges[*count - 1] = *last;
}

/**
 * bufshare_gem_ranges - the memory of an object as the device is told it
 * @bdev: the device
 * @obj: pinned by this, for as long as it lives
 * @ranges: where to write the ranges, or NULL
 * @room: for that many
 *
 * Return: the number of ranges, adjacent ones merged, even if @room is less; or -ENOMEM;
 * or -EOPNOTSUPP if the device cannot reach the memory.
 */
int bufshare_gem_ranges(struct bufshare_device *bdev, struct drm_gem_object *obj,
			struct virtio_bufshare_range *ranges, u32 room)
{
	struct virtio_bufshare_range last = {};
	struct scatterlist *sg;
	struct sg_table *sgt;
	u64 addr, sum = 0;
	u32 count = 0;
	int i, ret;

	sgt = bufshare_user_is(obj) ? bufshare_user_sgt(obj) :
				      drm_gem_shmem_get_pages_sgt(to_drm_gem_shmem_obj(obj));
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);

	for_each_sgtable_dma_sg(sgt, sg, i) {
		u32 size = sg_dma_len(sg);

		ret = device_address(bdev, sg_dma_address(sg), size, &addr);
		if (ret)
			return ret;
		if (!size || !IS_ALIGNED(addr | size, VIRTIO_BUFSHARE_PAGE_SIZE)) {
			drm_dbg_driver(bdev->drm, "memory is not made of whole pages\n");
			return -EOPNOTSUPP;
		}
		add_piece(addr, size, &last, &count, ranges, room);
		sum += size;
	}
	return sum == obj->size ? count : -EOPNOTSUPP;
}
