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
#include <linux/shmem_fs.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "bufshare_drv.h"

/* fdinfo is DRM's since 6.5, and before that each driver's own. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define BUFSHARE_COMPAT_FDINFO_FOPS .show_fdinfo = drm_show_fdinfo,
#define BUFSHARE_COMPAT_FDINFO_DRIVER .show_fdinfo = bufshare_show_fdinfo,

static inline void bufshare_compat_show_memory(struct drm_printer *p, struct drm_file *file)
{
	drm_show_memory_stats(p, file);
}
#else
#define BUFSHARE_COMPAT_FDINFO_FOPS .show_fdinfo = bufshare_compat_show_fdinfo,
#define BUFSHARE_COMPAT_FDINFO_DRIVER

static inline void bufshare_compat_show_memory(struct drm_printer *p, struct drm_file *file)
{
	struct drm_gem_object *obj;
	u64 total = 0;
	int id;

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, obj, id)
		total += obj->size;
	spin_unlock(&file->table_lock);
	drm_printf(p, "drm-total-memory:\t%llu KiB\n", total >> 10);
}

static inline void bufshare_compat_show_fdinfo(struct seq_file *m, struct file *f)
{
	struct drm_file *file = f->private_data;
	struct drm_printer p = drm_seq_file_printer(m);
	int idx;

	if (!drm_dev_enter(file->minor->dev, &idx))
		return;
	drm_printf(&p, "drm-driver:\t%s\n", file->minor->dev->driver->name);
	bufshare_show_fdinfo(&p, file);
	drm_dev_exit(idx);
}
#endif

/* The process that opened the file, or took it over. */
static inline int bufshare_compat_pid(struct drm_file *file)
{
	int nr;

	rcu_read_lock();
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	nr = pid_nr(rcu_dereference(file->pid));
#else
	nr = pid_nr(file->pid);
#endif
	rcu_read_unlock();
	return nr;
}

/*
 * What DRM_GEM_FOPS has beyond the operations that were always there. From 6.12 on DRM
 * refuses to open a node without FOP_UNSIGNED_OFFSET.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define BUFSHARE_COMPAT_FOPS \
	BUFSHARE_COMPAT_FDINFO_FOPS \
	.get_unmapped_area = drm_gem_get_unmapped_area, \
	.fop_flags = FOP_UNSIGNED_OFFSET,
#elif defined(FOP_UNSIGNED_OFFSET)
#define BUFSHARE_COMPAT_FOPS \
	BUFSHARE_COMPAT_FDINFO_FOPS \
	.fop_flags = FOP_UNSIGNED_OFFSET,
#else
#define BUFSHARE_COMPAT_FOPS BUFSHARE_COMPAT_FDINFO_FOPS
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
	BUFSHARE_COMPAT_FDINFO_DRIVER \
	.date = "0",
#else
#define BUFSHARE_COMPAT_DRIVER BUFSHARE_COMPAT_FDINFO_DRIVER
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

static inline struct file *bufshare_compat_shmem_file(struct vfsmount *mnt, const char *name,
						      loff_t size)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	return shmem_file_setup_with_mnt(mnt, name, size, mk_vma_flags(VMA_NORESERVE_BIT));
#else
	return shmem_file_setup_with_mnt(mnt, name, size, VM_NORESERVE);
#endif
}

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
