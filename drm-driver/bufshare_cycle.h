/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Updates: the call, the cycle that they go through, and the fences on both sides of it. */
#ifndef BUFSHARE_CYCLE_H
#define BUFSHARE_CYCLE_H

#include "bufshare_drv.h"

/* The UPDATE command, with room for all damage that later updates may add. */
struct bufshare_update_command {
	struct virtio_bufshare_update update;
	struct virtio_bufshare_rect rects[VIRTIO_BUFSHARE_MAX_DAMAGE];
};

/* bufshare_update.c */
struct bufshare_updates *bufshare_updates_new(void);
void bufshare_updates_free(struct bufshare_updates *all);
int bufshare_update(struct bufshare_file *bfile, struct drm_bufshare_update_entry __user *user,
		    u32 count);

/* bufshare_cycle.c */
struct bufshare_request *bufshare_cycle_request_new(struct bufshare_device *bdev);
bool bufshare_cycle_recycle(struct bufshare_request *req);
int bufshare_cycle_init(struct bufshare_device *bdev, unsigned int max_stock);
void bufshare_cycle_fini(struct bufshare_device *bdev);
bool bufshare_cycle_may_send_locked(struct bufshare_request *req);
void bufshare_cycle_ended_locked(struct bufshare_request *req);
bool bufshare_cycle_may_add_locked(const struct bufshare_buffer *buf);
bool bufshare_cycle_add_locked(struct bufshare_buffer *buf, struct bufshare_request *fenced,
			       const struct bufshare_update_command *cmd);
void bufshare_cycle_advance_locked(struct bufshare_buffer *buf);
void bufshare_cycle_cancel_locked(struct bufshare_buffer *buf);
void bufshare_cycle_gone_locked(struct bufshare_buffer *buf);
void bufshare_cycle_stop(struct bufshare_device *bdev);
void bufshare_cycle_released_locked(struct bufshare_buffer *buf, u64 seq, u32 flags);

/* bufshare_fence.c */
struct bufshare_wait *bufshare_fence_get(struct bufshare_file *bfile, struct drm_gem_object *obj,
					 const struct drm_bufshare_update_entry *entry);
void bufshare_fence_put(struct bufshare_wait *wait);
void bufshare_fence_arm(struct bufshare_wait *wait, struct bufshare_request *req);
void bufshare_fence_cancel(struct bufshare_request *req);
struct bufshare_release *bufshare_release_new(struct bufshare_file *bfile,
					      const struct drm_bufshare_update_entry *entry);
void bufshare_release_free(struct bufshare_release *release);
void bufshare_release_signal(struct bufshare_device *bdev);

#endif /* BUFSHARE_CYCLE_H */
