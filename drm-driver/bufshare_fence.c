// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Fences on both sides of the cycle: those that an update waits for before the device hears
 * of it, and the points of syncobjs that are signalled when it is released.
 *
 * What a program waits for at the release is never a fence of this driver: such a fence would
 * depend on programs of the host, and fences must end by themselves. The point gets its fence,
 * signalled already, only when the release is there.
 */
#include <linux/dma-fence.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/dma-resv.h>
#include <linux/slab.h>
#include <linux/sync_file.h>

#include <drm/drm_gem.h>
#include <drm/drm_syncobj.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"

/* A sync_file's, a syncobj's and the buffer's own. */
#define BUFSHARE_MAX_ACQUIRE 3

/**
 * struct bufshare_wait - an update's wait for a fence
 * @bdev: its device
 * @req: the update; NULL when it does not wait any more; under bufshare_device.lock
 * @fence: all of its fences in one
 * @cb: with @fence
 * @work: when @fence is signalled
 *
 * Freed by @work or, if that will not run, by whoever ends the wait.
 */
struct bufshare_wait {
	struct bufshare_device *bdev;
	struct bufshare_request *req;
	struct dma_fence *fence;
	struct dma_fence_cb cb;
	struct work_struct work;
};

static void wait_free(struct bufshare_wait *wait)
{
	dma_fence_put(wait->fence);
	kfree(wait);
}

static void wait_work(struct work_struct *work)
{
	struct bufshare_wait *wait = container_of(work, struct bufshare_wait, work);
	struct bufshare_request *req;

	spin_lock(&wait->bdev->lock);
	req = wait->req;
	if (req) {
		req->wait = NULL;
		bufshare_cycle_advance_locked(req->buffer);
	}
	spin_unlock(&wait->bdev->lock);
	wait_free(wait);
}

/* In any context, under locks of the fence. */
static void fence_signaled(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct bufshare_wait *wait = container_of(cb, struct bufshare_wait, cb);

	queue_work(wait->bdev->wq, &wait->work);
}

/* References to the fences of an entry; their number is written even if one is missing. */
static int get_fences(struct drm_file *file, struct drm_gem_object *obj,
		      const struct drm_bufshare_update_entry *entry, struct dma_fence **fences,
		      unsigned int *n)
{
	int ret = 0;

	*n = 0;
	if (entry->flags & DRM_BUFSHARE_UPDATE_IN_FENCE_FD) {
		fences[*n] = sync_file_get_fence(entry->in_fence_fd);
		if (!fences[*n])
			return -EINVAL;
		(*n)++;
	}
	if (entry->flags & DRM_BUFSHARE_UPDATE_IN_SYNCOBJ) {
		ret = drm_syncobj_find_fence(file, entry->in_syncobj, entry->in_point, 0,
					     &fences[*n]);
		if (ret)
			return ret;
		(*n)++;
	}
	if (entry->flags & DRM_BUFSHARE_UPDATE_IN_IMPLICIT) {
		/* The host only reads, so it waits for whoever writes. */
		ret = dma_resv_get_singleton(obj->resv, dma_resv_usage_rw(false), &fences[*n]);
		if (!ret && fences[*n])
			(*n)++;
	}
	return ret;
}

static struct bufshare_wait *wait_new(struct bufshare_device *bdev, struct dma_fence **fences,
				      unsigned int n)
{
	struct dma_fence_unwrap cursors[BUFSHARE_MAX_ACQUIRE];
	struct bufshare_wait *wait;

	wait = kzalloc(sizeof(*wait), GFP_KERNEL_ACCOUNT);
	if (!wait)
		return ERR_PTR(-ENOMEM);

	INIT_WORK(&wait->work, wait_work);
	wait->bdev = bdev;
	wait->fence = __dma_fence_unwrap_merge(n, fences, cursors);
	if (IS_ERR_OR_NULL(wait->fence)) {
		kfree(wait);
		return ERR_PTR(-ENOMEM);
	}
	return wait;
}

/**
 * bufshare_fence_get - find the fences that an update is to wait for
 * @bfile: the file of the syncobj
 * @obj: the buffer's object
 * @entry: the update, whose flags are valid
 *
 * Return: what to give to bufshare_fence_arm() or bufshare_fence_put(); NULL if there is
 * nothing to wait for; or an ERR_PTR().
 */
struct bufshare_wait *bufshare_fence_get(struct bufshare_file *bfile, struct drm_gem_object *obj,
					 const struct drm_bufshare_update_entry *entry)
{
	struct dma_fence *fences[BUFSHARE_MAX_ACQUIRE];
	struct bufshare_wait *wait = NULL;
	unsigned int i, n;
	int ret;

	ret = get_fences(bfile->drm_file, obj, entry, fences, &n);
	if (ret)
		wait = ERR_PTR(ret);
	else if (n)
		wait = wait_new(bfile->bdev, fences, n);
	for (i = 0; i < n; i++)
		dma_fence_put(fences[i]);
	return wait;
}

/* For a wait that was never armed. */
void bufshare_fence_put(struct bufshare_wait *wait)
{
	if (!IS_ERR_OR_NULL(wait))
		wait_free(wait);
}

/**
 * bufshare_fence_arm - begin to wait
 * @wait: given away, or NULL
 * @req: the update, which is not in a line yet
 *
 * From here on @req->wait is set until the fence is signalled. The device must not go before
 * the request is in line, where removal finds it, or the wait is cancelled.
 */
void bufshare_fence_arm(struct bufshare_wait *wait, struct bufshare_request *req)
{
	if (!wait)
		return;
	wait->req = req;
	req->wait = wait;
	if (dma_fence_add_callback(wait->fence, &wait->cb, fence_signaled)) {
		/* It is signalled already. */
		req->wait = NULL;
		wait_free(wait);
	}
}

/*
 * The update needs not wait any more. Without locks. The callback is removed under the lock,
 * because a wait that still has its update is not freed by its work before it gets that.
 */
void bufshare_fence_cancel(struct bufshare_request *req)
{
	struct bufshare_wait *wait;

	spin_lock(&req->bdev->lock);
	wait = req->wait;
	req->wait = NULL;
	if (wait) {
		wait->req = NULL;
		/* Too late: the work will run, and free it. */
		if (!dma_fence_remove_callback(wait->fence, &wait->cb))
			wait = NULL;
	}
	spin_unlock(&req->bdev->lock);
	if (wait)
		wait_free(wait);
}

/**
 * bufshare_release_new - prepare to signal a syncobj when an update is released
 * @bfile: the file of the syncobj
 * @entry: the update, whose flags are valid
 *
 * Return: NULL if it has none; or an ERR_PTR().
 */
struct bufshare_release *bufshare_release_new(struct bufshare_file *bfile,
					      const struct drm_bufshare_update_entry *entry)
{
	struct bufshare_release *release;

	if (!(entry->flags & DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ))
		return NULL;
	release = kzalloc(sizeof(*release), GFP_KERNEL_ACCOUNT);
	if (!release)
		return ERR_PTR(-ENOMEM);

	release->point = entry->release_point;
	if (release->point) {
		release->chain = dma_fence_chain_alloc();
		if (!release->chain)
			goto err_free;
	}
	release->syncobj = drm_syncobj_find(bfile->drm_file, entry->release_syncobj);
	if (!release->syncobj) {
		bufshare_release_free(release);
		return ERR_PTR(-ENOENT);
	}
	return release;

err_free:
	kfree(release);
	return ERR_PTR(-ENOMEM);
}

/* Without signalling anything. */
void bufshare_release_free(struct bufshare_release *release)
{
	if (IS_ERR_OR_NULL(release))
		return;
	if (release->chain)
		dma_fence_chain_free(release->chain);
	if (release->syncobj)
		drm_syncobj_put(release->syncobj);
	kfree(release);
}

static void signal_release(struct bufshare_release *release)
{
	struct dma_fence *fence = dma_fence_get_stub();

	if (release->chain)
		drm_syncobj_add_point(release->syncobj, release->chain, fence, release->point);
	else
		drm_syncobj_replace_fence(release->syncobj, fence);
	release->chain = NULL;
	dma_fence_put(fence);
	bufshare_release_free(release);
}

/* Signals what was released since the last time. Without locks. */
void bufshare_release_signal(struct bufshare_device *bdev)
{
	struct bufshare_release *release, *next;
	LIST_HEAD(released);

	spin_lock(&bdev->lock);
	list_splice_tail_init(&bdev->released, &released);
	spin_unlock(&bdev->lock);
	list_for_each_entry_safe(release, next, &released, link) {
		list_del(&release->link);
		signal_release(release);
	}
}
