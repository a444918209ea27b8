/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What differs between the kernels the driver is built for, 6.1 and newer. All of it is here. */
#ifndef BUFSHARE_COMPAT_H
#define BUFSHARE_COMPAT_H

#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/pm.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

/*
 * What DRM_GEM_FOPS has beyond the operations that were always there. From 6.12 on DRM
 * refuses to open a node without FOP_UNSIGNED_OFFSET.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define BUFSHARE_COMPAT_FOPS \
	.get_unmapped_area = drm_gem_get_unmapped_area, \
	.fop_flags = FOP_UNSIGNED_OFFSET,
#elif defined(FOP_UNSIGNED_OFFSET)
#define BUFSHARE_COMPAT_FOPS \
	.fop_flags = FOP_UNSIGNED_OFFSET,
#else
#define BUFSHARE_COMPAT_FOPS
#endif

/* Fields of struct drm_driver that older kernels want and newer ones do not have. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define BUFSHARE_COMPAT_DRIVER \
	.prime_handle_to_fd = drm_gem_prime_handle_to_fd, \
	.prime_fd_to_handle = drm_gem_prime_fd_to_handle, \
	.gem_prime_mmap = drm_gem_prime_mmap, \
	.date = "0",
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
#define BUFSHARE_COMPAT_DRIVER \
	.date = "0",
#else
#define BUFSHARE_COMPAT_DRIVER
#endif

/* What of struct virtio_driver is about suspensions, and resets of the device alone. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define BUFSHARE_COMPAT_POWER(freeze_func, restore_func) \
	.freeze = pm_sleep_ptr(freeze_func), \
	.restore = pm_sleep_ptr(restore_func), \
	.reset_prepare = freeze_func, \
	.reset_done = restore_func,
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) || defined(CONFIG_PM)
#define BUFSHARE_COMPAT_POWER(freeze_func, restore_func) \
	.freeze = pm_sleep_ptr(freeze_func), \
	.restore = pm_sleep_ptr(restore_func),
#else
#define BUFSHARE_COMPAT_POWER(freeze_func, restore_func)
#endif

/*
 * For memory of programs, which the host uses at the same time and which may be mapped any
 * number of times. DMA debugging takes that for a mistake unless it is told.
 */
#ifdef DMA_ATTR_REQUIRE_COHERENT
#define BUFSHARE_COMPAT_DMA_ATTRS DMA_ATTR_REQUIRE_COHERENT
#else
#define BUFSHARE_COMPAT_DMA_ATTRS DMA_ATTR_SKIP_CPU_SYNC
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
struct virtqueue_info {
	const char *name;
	vq_callback_t *callback;
};

#define BUFSHARE_COMPAT_MAX_VQS 4

static inline int bufshare_compat_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
					   struct virtqueue *vqs[],
					   const struct virtqueue_info info[])
{
	vq_callback_t *callbacks[BUFSHARE_COMPAT_MAX_VQS];
	const char *names[BUFSHARE_COMPAT_MAX_VQS];
	unsigned int i;

	for (i = 0; i < nvqs && i < BUFSHARE_COMPAT_MAX_VQS; i++) {
		callbacks[i] = info[i].callback;
		names[i] = info[i].name;
	}
	return virtio_find_vqs(vdev, i, vqs, callbacks, names, NULL);
}
#else
static inline int bufshare_compat_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
					   struct virtqueue *vqs[], struct virtqueue_info info[])
{
	return virtio_find_vqs(vdev, nvqs, vqs, info, NULL);
}
#endif

/* Whether device addresses are an IOMMU's, translated by the kernel's DMA layer. */
static inline bool bufshare_compat_has_iommu(struct device *dev)
{
#ifdef CONFIG_IOMMU_API
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	return domain && iommu_is_dma_domain(domain);
#else
	return false;
#endif
}

/* Whether all of it is ordinary memory, and not a device's. UML has no resource tree of it. */
static inline bool bufshare_compat_is_ram(phys_addr_t phys, size_t size)
{
#ifdef CONFIG_UML
	return pfn_valid(PHYS_PFN(phys)) && pfn_valid(PHYS_PFN(phys + size - 1));
#else
	return region_intersects(phys, size, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) ==
	       REGION_INTERSECTS;
#endif
}

#endif /* BUFSHARE_COMPAT_H */
