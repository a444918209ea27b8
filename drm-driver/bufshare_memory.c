// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The memory of buffers as the device is told of it. What it could not reach, or where it
 * would find something else, is refused, and the kernel's debug log says why.
 */
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "bufshare_drv.h"
#include "compat.h"

/* Not the device's to reach but a copy that the kernel makes for it, as far as is known. */
static bool may_bounce(struct bufshare_device *bdev)
{
	struct device *dev = bdev->drm->dev;

	return !bufshare_compat_has_iommu(dev) && dma_max_mapping_size(dev) != SIZE_MAX;
}

/**
 * bufshare_memory_map_error - what it means that memory could not be mapped for the device
 * @bdev: the device
 * @error: of the mapping
 */
int bufshare_memory_map_error(struct bufshare_device *bdev, int error)
{
	if (error != -EIO || !may_bounce(bdev))
		return error;
	drm_dbg_driver(bdev->drm, "refusing memory: it bounces, and there is no room for that\n");
	return -EADDRNOTAVAIL;
}

/**
 * bufshare_memory_reachable - whether the device can reach any memory at all
 * @bdev: the device
 *
 * Return: 0, or -EXDEV: what the kernel maps for the device is not what it is told.
 */
int bufshare_memory_reachable(struct bufshare_device *bdev)
{
	if (!bdev->dma_quirk || !bufshare_compat_has_iommu(bdev->drm->dev))
		return 0;
	drm_dbg_driver(bdev->drm, "refusing memory: it is behind an IOMMU, which is bypassed\n");
	return -EXDEV;
}

/*
 * The address by which the device reaches a piece of memory that is mapped for the parent's
 * DMA.
 */
static int device_address(struct bufshare_device *bdev, dma_addr_t dma, size_t size, u64 *addr)
{
	struct device *dev = bdev->drm->dev;
	phys_addr_t phys;

	if (!size || !IS_ALIGNED(dma | size, VIRTIO_BUFSHARE_PAGE_SIZE)) {
		drm_dbg_driver(bdev->drm, "refusing memory: it is not made of whole pages\n");
		return -EOPNOTSUPP;
	}
	if (bufshare_compat_has_iommu(dev)) {
		*addr = dma;
		return bufshare_memory_reachable(bdev);
	}
	/* Not before the test for an IOMMU, which may look like bouncing too. */
	if (dma_need_sync(dev, dma)) {
		drm_dbg_driver(bdev->drm, "refusing memory: it bounces through swiotlb\n");
		return -EADDRNOTAVAIL;
	}
	phys = dma_to_phys(dev, dma);
	if (!bufshare_compat_is_ram(phys, size)) {
		drm_dbg_driver(bdev->drm, "refusing memory: it is not RAM\n");
		return -EREMOTE;
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
 * bufshare_memory_ranges - the memory of a buffer as the device is told it
 * @bdev: the device
 * @sgt: mapped for the parent's DMA; only the addresses are looked at, never the pages
 * @size: bytes that it must have
 * @ranges: where to write the ranges, or NULL
 * @room: for that many
 *
 * Return: the number of ranges, adjacent ones merged, even if @room is less; or why the
 * device cannot reach it, as bufshare_drm.h says: -EREMOTE, -EXDEV, -EADDRNOTAVAIL or
 * -EOPNOTSUPP.
 */
int bufshare_memory_ranges(struct bufshare_device *bdev, struct sg_table *sgt, u64 size,
			   struct virtio_bufshare_range *ranges, u32 room)
{
	struct virtio_bufshare_range last = {};
	struct scatterlist *sg;
	u64 addr, sum = 0;
	u32 count = 0;
	int i, ret;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		u32 len = sg_dma_len(sg);

		ret = device_address(bdev, sg_dma_address(sg), len, &addr);
		if (ret)
			return ret;
		add_piece(addr, len, &last, &count, ranges, room);
		sum += len;
	}
	if (!size || sum != size) {
		drm_dbg_driver(bdev->drm, "refusing memory: %llu bytes, and not %llu\n", sum, size);
		return -EOPNOTSUPP;
	}
	return count;
}

static int compare_ranges(const void *a, const void *b)
{
	u64 x = le64_to_cpu(((const struct virtio_bufshare_range *)a)->addr);
	u64 y = le64_to_cpu(((const struct virtio_bufshare_range *)b)->addr);

	return x < y ? -1 : x > y;
}

/* Whether each range begins behind the end of the one before it. */
static bool is_ascending(const struct virtio_bufshare_range *ranges, u32 count)
{
	u64 end = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		if (le64_to_cpu(ranges[i].addr) < end)
			return false;
		end = le64_to_cpu(ranges[i].addr) + le64_to_cpu(ranges[i].size);
	}
	return true;
}

/**
 * bufshare_memory_check - whether memory that is not the driver's own can be a buffer
 * @bdev: the device
 * @sgt: mapped for the parent's DMA
 * @size: bytes that it must have
 *
 * Return: 0, or an error of bufshare_memory_ranges(), or -ENOMEM; -EOPNOTSUPP also if a page
 * is there twice, which the device must not be told.
 */
int bufshare_memory_check(struct bufshare_device *bdev, struct sg_table *sgt, u64 size)
{
	struct virtio_bufshare_range *ranges;
	int count, ret = 0;

	count = bufshare_memory_ranges(bdev, sgt, size, NULL, 0);
	if (count < 0)
		return count;
	ranges = kvmalloc_array(count, sizeof(*ranges), GFP_KERNEL);
	if (!ranges)
		return -ENOMEM;

	bufshare_memory_ranges(bdev, sgt, size, ranges, count);
	if (!is_ascending(ranges, count)) {
		sort(ranges, count, sizeof(*ranges), compare_ranges, NULL);
		if (!is_ascending(ranges, count)) {
			drm_dbg_driver(bdev->drm, "refusing memory: a page is there twice\n");
			ret = -EOPNOTSUPP;
		}
	}
	kvfree(ranges);
	return ret;
}
