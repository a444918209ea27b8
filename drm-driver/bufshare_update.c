// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The UPDATE call: all of its updates are copied and checked, and then sent or none of them.
 * What it works on was allocated when the file was opened. Only fences take memory, which the
 * call can be denied.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>

#include "bufshare_cycle.h"
#include "bufshare_damage.h"
#include "bufshare_drv.h"
#include "bufshare_trace.h"

#define BUFSHARE_UPDATE_FLAGS \
	(DRM_BUFSHARE_UPDATE_IN_FENCE_FD | DRM_BUFSHARE_UPDATE_IN_SYNCOBJ | \
	 DRM_BUFSHARE_UPDATE_IN_IMPLICIT | DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ)

/* One update of an UPDATE call. */
struct update {
	struct drm_bufshare_update_entry entry;
	struct bufshare_update_command cmd;
	struct bufshare_buffer *buf;
	struct bufshare_request *req; /* with fences; else the registration has one */
	struct bufshare_event *ev;
	struct bufshare_wait *wait;
	struct bufshare_release *release;
};

/**
 * struct bufshare_updates - what the UPDATE calls of a file work on
 * @mutex: for one call at a time
 * @updates: of that call
 */
struct bufshare_updates {
	struct mutex mutex;
	struct update updates[DRM_BUFSHARE_MAX_UPDATES];
};

struct bufshare_updates *bufshare_updates_new(void)
{
	struct bufshare_updates *all;

	all = kvzalloc(sizeof(*all), GFP_KERNEL_ACCOUNT);
	if (all)
		mutex_init(&all->mutex);
	return all;
}

void bufshare_updates_free(struct bufshare_updates *all)
{
	if (!all)
		return;
	mutex_destroy(&all->mutex);
	kvfree(all);
}

/* Fields of flags that are not there are zero. */
static bool fences_valid(const struct drm_bufshare_update_entry *entry)
{
	u32 flags = entry->flags;

	if (flags & DRM_BUFSHARE_UPDATE_IN_FENCE_FD ? entry->in_fence_fd < 0 : entry->in_fence_fd)
		return false;
	if (!(flags & DRM_BUFSHARE_UPDATE_IN_SYNCOBJ) && (entry->in_syncobj || entry->in_point))
		return false;
	return flags & DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ ||
	       (!entry->release_syncobj && !entry->release_point);
}

static int check_entry(struct bufshare_device *bdev, const struct drm_bufshare_update_entry *entry)
{
	if (entry->flags & ~BUFSHARE_UPDATE_FLAGS || entry->pad || !fences_valid(entry))
		return -EINVAL;
	if (entry->num_damage > bdev->config.max_damage)
		return -EINVAL;
	return 0;
}

static int read_damage(struct update *update)
{
	struct drm_bufshare_rect rects[DRM_BUFSHARE_MAX_DAMAGE];
	struct bufshare_update_command *cmd = &update->cmd;
	u32 i, n = update->entry.num_damage;

	if (copy_from_user(rects, u64_to_user_ptr(update->entry.damage), n * sizeof(rects[0])))
		return -EFAULT;
	for (i = 0; i < n; i++) {
		cmd->rects[i].x = cpu_to_le32(rects[i].x);
		cmd->rects[i].y = cpu_to_le32(rects[i].y);
		cmd->rects[i].width = cpu_to_le32(rects[i].width);
		cmd->rects[i].height = cpu_to_le32(rects[i].height);
	}
	if (!bufshare_damage_valid(cmd->rects, n))
		return -EINVAL;
	cmd->update.num_damage = cpu_to_le32(n);
	return 0;
}

/* A request that can stand in line, and one for the update behind it. */
static int prepare_request(struct update *update)
{
	struct bufshare_device *bdev = update->buf->bdev;

	update->req = bufshare_cycle_request_new(bdev);
	if (!update->req)
		return -ENOMEM;
	kref_get(&update->buf->ref);
	update->req->buffer = update->buf;
	update->req->spare = bufshare_cycle_request_new(bdev);
	return update->req->spare ? 0 : -ENOMEM;
}

static int prepare(struct bufshare_file *bfile, struct update *update)
{
	const struct drm_bufshare_update_entry *entry = &update->entry;
	int ret;

	ret = check_entry(bfile->bdev, entry);
	if (ret)
		return ret;

	update->buf = bufshare_buffer_get(bfile, entry->id, false);
	if (!update->buf)
		return -ENOENT;

	ret = read_damage(update);
	if (ret)
		return ret;

	/* Without it the release may be told by an OVERFLOW. */
	update->ev = bufshare_event_new(DRM_BUFSHARE_EVENT_RELEASED, GFP_KERNEL);
	update->release = bufshare_release_new(bfile, entry);
	if (IS_ERR(update->release))
		return PTR_ERR(update->release);
	update->wait = bufshare_fence_get(bfile, update->buf->obj, entry);
	if (IS_ERR(update->wait))
		return PTR_ERR(update->wait);
	return update->wait ? prepare_request(update) : 0;
}

static void send(struct bufshare_file *bfile, struct update *update, u64 now)
{
	struct bufshare_update_command *cmd = &update->cmd;
	struct bufshare_buffer *buf = update->buf;

	buf->seq++;
	update->entry.seq = buf->seq;
	cmd->update.seq = cpu_to_le64(buf->seq);
	cmd->update.time_ns = cpu_to_le64(now);

	if (update->ev && bufshare_event_reserve_locked(bfile, update->ev)) {
		update->ev->event.id = buf->id;
		update->ev->event.seq = buf->seq;
		update->ev->event.user_data = buf->user_data;
		list_add_tail(&update->ev->link, &buf->events);
		update->ev = NULL;
	}
	if (update->release) {
		update->release->seq = buf->seq;
		list_add_tail(&update->release->link, &buf->releases);
		buf->num_releases++;
		update->release = NULL;
	}
	buf->bdev->counters.updates++;
	trace_bufshare_update(buf, update->entry.num_damage, update->req && update->req->wait);
	if (bufshare_cycle_add_locked(buf, update->req, cmd))
		update->req = NULL;
}

static int may_send(const struct update *update)
{
	const struct bufshare_buffer *buf = update->buf;

	if (buf->state == BUFSHARE_LOST)
		return -ESTALE;
	if (buf->state != BUFSHARE_LIVE)
		return -ENOENT;
	if (!bufshare_cycle_may_add_locked(buf))
		return -EBUSY;
	if (update->release && buf->num_releases >= DRM_BUFSHARE_MAX_OUTSTANDING)
		return -EBUSY;
	return 0;
}

/* All of them or, if one cannot be, none. */
static int send_all(struct bufshare_file *bfile, struct update *updates, u32 count)
{
	struct bufshare_device *bdev = bfile->bdev;
	u64 now = ktime_get_ns();
	int ret = 0;
	u32 i;

	spin_lock(&bdev->lock);
	if (!bdev->running)
		ret = -ENODEV;
	for (i = 0; i < count && !ret; i++)
		ret = may_send(&updates[i]);
	if (!ret) {
		for (i = 0; i < count; i++)
			send(bfile, &updates[i], now);
		bufshare_flush_locked(bdev);
	}
	spin_unlock(&bdev->lock);
	return ret;
}

/*
 * The waits begin before it is known that all updates can be sent, because then nothing may
 * fail any more. Removal of the device comes before or after all this.
 */
static int arm_and_send(struct bufshare_file *bfile, struct update *updates, u32 count)
{
	int idx, ret;
	u32 i;

	if (!drm_dev_enter(bfile->bdev->drm, &idx))
		return -ENODEV;
	for (i = 0; i < count; i++) {
		bufshare_fence_arm(updates[i].wait, updates[i].req);
		updates[i].wait = NULL;
	}
	ret = send_all(bfile, updates, count);
	for (i = 0; i < count && ret; i++) {
		if (updates[i].req)
			bufshare_fence_cancel(updates[i].req);
	}
	drm_dev_exit(idx);
	return ret;
}

static bool has_twice(const struct update *updates, u32 count)
{
	u32 i, j;

	for (i = 0; i < count; i++) {
		for (j = 0; j < i; j++) {
			if (updates[i].buf == updates[j].buf)
				return true;
		}
	}
	return false;
}

/* What the queue or the registration has taken is not ours any more. */
static void clean_up(struct bufshare_device *bdev, struct update *update)
{
	bufshare_event_cancel(bdev, update->ev);
	bufshare_release_free(update->release);
	bufshare_fence_put(update->wait);
	bufshare_request_put(update->req);
	if (update->buf)
		bufshare_buffer_put(update->buf);
	memset(update, 0, sizeof(*update));
}

static int update_all(struct bufshare_file *bfile, struct update *updates, u32 count)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < count && !ret; i++)
		ret = prepare(bfile, &updates[i]);
	if (!ret && has_twice(updates, count))
		ret = -EINVAL;
	return ret ?: arm_and_send(bfile, updates, count);
}

/* Where the results cannot be written, nothing is to be done at all. */
static int read_entries(struct update *updates, struct drm_bufshare_update_entry __user *user,
			u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		if (copy_from_user(&updates[i].entry, &user[i], sizeof(user[i])) ||
		    copy_to_user(&user[i], &updates[i].entry, sizeof(user[i])))
			return -EFAULT;
	}
	return 0;
}

static int write_results(const struct update *updates,
			 struct drm_bufshare_update_entry __user *user, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		if (copy_to_user(&user[i].seq, &updates[i].entry.seq, sizeof(user[i].seq)))
			return -EFAULT;
	}
	return 0;
}

/**
 * bufshare_update - tell the device of new contents
 * @bfile: whose buffers they are
 * @user: the updates; their seq is written
 * @count: of them, checked
 */
int bufshare_update(struct bufshare_file *bfile, struct drm_bufshare_update_entry __user *user,
		    u32 count)
{
	struct bufshare_updates *all = bfile->updates;
	int ret;
	u32 i;

	ret = mutex_lock_killable(&all->mutex);
	if (ret)
		return ret;

	ret = read_entries(all->updates, user, count);
	if (!ret)
		ret = update_all(bfile, all->updates, count);
	if (!ret)
		ret = write_results(all->updates, user, count);
	for (i = 0; i < count; i++)
		clean_up(bfile->bdev, &all->updates[i]);
	mutex_unlock(&all->mutex);
	return ret;
}
