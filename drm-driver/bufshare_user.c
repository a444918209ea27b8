// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Buffers of memory that a program has already. Its pages are pinned, and count against what
 * its user may lock, from here until nobody holds the object: neither a handle nor a
 * registration that the host has not let go of.
 */
#include <linux/backing-dev.h>
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>

#include "bufshare_drv.h"
#include "compat.h"

/* Pages pinned in one go. */
#define BUFSHARE_PIN_BATCH 4096

/**
 * struct bufshare_user_bo - a GEM object of a program's pages
 * @bo: first: as it is of every object of this driver
 * @sgt: the pages, mapped for the device
 * @num_pages: how many
 * @mm: whose they were; only its counter is of interest
 * @user: whom they count against; NULL if there is no limit
 */
struct bufshare_user_bo {
	struct bufshare_bo bo;
	struct sg_table sgt;
	unsigned long num_pages;
	struct mm_struct *mm;
	struct user_struct *user;
};

static struct bufshare_user_bo *to_user_bo(struct drm_gem_object *obj)
{
	return container_of(to_bufshare_bo(obj), struct bufshare_user_bo, bo);
}

/* By the user and not by the program, or forking would multiply what may be locked. */
static int charge(struct bufshare_user_bo *ubo)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct user_struct *user;
	long locked;

	if (!capable(CAP_IPC_LOCK)) {
		user = get_uid(current_user());
		locked = atomic_long_add_return(ubo->num_pages, &user->locked_vm);
		if (locked > limit) {
			atomic_long_sub(ubo->num_pages, &user->locked_vm);
			free_uid(user);
			return -ENOMEM;
		}
		ubo->user = user;
	}
	mmgrab(current->mm);
	ubo->mm = current->mm;
	atomic64_add(ubo->num_pages, &ubo->mm->pinned_vm);
	return 0;
}

static void uncharge(struct bufshare_user_bo *ubo)
{
	atomic64_sub(ubo->num_pages, &ubo->mm->pinned_vm);
	mmdrop(ubo->mm);
	if (ubo->user) {
		atomic_long_sub(ubo->num_pages, &ubo->user->locked_vm);
		free_uid(ubo->user);
	}
}

/* Anonymous, shared or huge pages: nothing that is written back to a file, or a device's. */
static bool is_plain_memory(struct page *page)
{
	struct folio *folio = page_folio(page);

	return !folio_is_zone_device(folio) &&
	       (folio_test_anon(folio) || folio_test_swapbacked(folio) ||
		folio_test_hugetlb(folio));
}

/* A device's, or a file's that wants to know when it is written to. */
static bool is_for_others(const struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		return true;
	return vma->vm_file && vma->vm_flags & VM_SHARED &&
	       ((vma->vm_ops && vma->vm_ops->page_mkwrite) ||
		mapping_can_writeback(vma->vm_file->f_mapping));
}

/* Why the pages could not be pinned: they are not there, or they are not for this. */
static int explain_fault(unsigned long addr, unsigned long size)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long next = addr;
	int ret = -EFAULT;

	mmap_read_lock(mm);
	while (ret == -EFAULT) {
		vma = find_vma(mm, next);
		if (!vma || vma->vm_start >= addr + size)
			break;
		if (is_for_others(vma))
			ret = -EOPNOTSUPP;
		next = vma->vm_end;
	}
	mmap_read_unlock(mm);
	return ret;
}

/* All of them, or an error and none. */
static int pin_pages(unsigned long addr, unsigned long num_pages, struct page **pages)
{
	unsigned long pinned = 0, i;
	int ret = 0;

	while (!ret && pinned < num_pages) {
		ret = pin_user_pages_fast(addr + pinned * PAGE_SIZE,
					  min_t(unsigned long, num_pages - pinned,
						BUFSHARE_PIN_BATCH),
					  FOLL_WRITE | FOLL_LONGTERM, pages + pinned);
		if (ret > 0) {
			pinned += ret;
			ret = fatal_signal_pending(current) ? -EINTR : 0;
			cond_resched();
		} else if (!ret || ret == -EFAULT) {
			ret = explain_fault(addr, num_pages * PAGE_SIZE);
		}
	}
	for (i = 0; !ret && i < num_pages; i++) {
		if (!is_plain_memory(pages[i]))
			ret = -EOPNOTSUPP;
	}
	if (ret)
		unpin_user_pages(pages, pinned);
	return ret;
}

/* Maps the pages for the device, and looks whether it can reach them. */
static int map_pages(struct bufshare_user_bo *ubo, struct bufshare_device *bdev,
		     struct page **pages)
{
	struct device *dev = bdev->drm->dev;
	int idx, ret;

	/* The parent may be gone with the device, and with it what maps memory for it. */
	if (!drm_dev_enter(bdev->drm, &idx))
		return -ENODEV;

	ret = sg_alloc_table_from_pages_segment(&ubo->sgt, pages, ubo->num_pages, 0,
						ubo->num_pages * PAGE_SIZE,
						dma_get_max_seg_size(dev), GFP_KERNEL);
	if (ret)
		goto out_exit;

	ret = dma_map_sgtable(dev, &ubo->sgt, DMA_BIDIRECTIONAL, BUFSHARE_COMPAT_DMA_ATTRS);
	if (ret) {
		ret = bufshare_memory_map_error(bdev, ret);
		goto err_free_table;
	}

	ret = bufshare_memory_check(bdev, &ubo->sgt, ubo->num_pages * PAGE_SIZE);
	if (!ret)
		goto out_exit;

	dma_unmap_sgtable(dev, &ubo->sgt, DMA_BIDIRECTIONAL, BUFSHARE_COMPAT_DMA_ATTRS);
err_free_table:
	sg_free_table(&ubo->sgt);
out_exit:
	drm_dev_exit(idx);
	return ret;
}

/* To pin them may take as long as the program likes, so the device may go meanwhile. */
static int take_pages(struct bufshare_user_bo *ubo, struct bufshare_device *bdev,
		      unsigned long addr)
{
	struct page **pages;
	int ret;

	pages = kvmalloc_array(ubo->num_pages, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;

	ret = pin_pages(addr, ubo->num_pages, pages);
	if (!ret) {
		ret = map_pages(ubo, bdev, pages);
		if (ret)
			unpin_user_pages(pages, ubo->num_pages);
	}
	kvfree(pages);
	return ret;
}

/* The host may have written to any of them. */
static void give_back_pages(struct bufshare_user_bo *ubo, struct device *dev)
{
	struct scatterlist *sg;
	int i;

	dma_unmap_sgtable(dev, &ubo->sgt, DMA_BIDIRECTIONAL, BUFSHARE_COMPAT_DMA_ATTRS);
	for_each_sgtable_sg(&ubo->sgt, sg, i) {
		unpin_user_page_range_dirty_lock(sg_page(sg), sg->length / PAGE_SIZE, true);
		cond_resched();
	}
	sg_free_table(&ubo->sgt);
}

static void user_free(struct drm_gem_object *obj)
{
	struct bufshare_user_bo *ubo = to_user_bo(obj);

	give_back_pages(ubo, obj->dev->dev);
	uncharge(ubo);
	drm_gem_object_release(obj);
	kfree(ubo);
}

/* The program has a mapping, and a dma-buf would let others outlive it. */
static struct dma_buf *user_export(struct drm_gem_object *obj, int flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static const struct drm_gem_object_funcs user_funcs = {
	.free = user_free,
	.export = user_export,
};

bool bufshare_user_is(const struct drm_gem_object *obj)
{
	return obj->funcs == &user_funcs;
}

struct sg_table *bufshare_user_sgt(struct drm_gem_object *obj)
{
	return &to_user_bo(obj)->sgt;
}

/**
 * bufshare_user_create - make an object of memory of the calling program
 * @drm: the device
 * @addr: where it begins, on a page boundary
 * @size: bytes, whole pages
 */
struct drm_gem_object *bufshare_user_create(struct drm_device *drm, unsigned long addr,
					    size_t size)
{
	struct bufshare_user_bo *ubo;
	int ret;

	ubo = kzalloc(sizeof(*ubo), GFP_KERNEL);
	if (!ubo)
		return ERR_PTR(-ENOMEM);

	ubo->num_pages = size >> PAGE_SHIFT;
	ret = charge(ubo);
	if (ret)
		goto err_free;

	ret = take_pages(ubo, to_bufshare_device(drm), addr);
	if (ret)
		goto err_uncharge;

	INIT_LIST_HEAD(&ubo->bo.buffers);
	ubo->bo.base.base.funcs = &user_funcs;
	drm_gem_private_object_init(drm, &ubo->bo.base.base, size);
	return &ubo->bo.base.base;

err_uncharge:
	uncharge(ubo);
err_free:
	kfree(ubo);
	return ERR_PTR(ret);
}
