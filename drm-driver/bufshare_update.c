// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The cycle of a buffer: an update makes it busy, a release frees it.
 *
 * An update never waits for the host. While the control queue is full, or the host side
 * restarts, a buffer has one update in the backlog, into which later ones are merged.
 */
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "bufshare_damage.h"
#include "bufshare_drv.h"

#define BUFSHARE_UPDATE_FLAGS \
	(DRM_BUFSHARE_UPDATE_IN_FENCE_FD | DRM_BUFSHARE_UPDATE_IN_SYNCOBJ | \
	 DRM_BUFSHARE_UPDATE_IN_IMPLICIT | DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ)

/* Both sides call damage the same. */
static_assert(sizeof(struct virtio_bufshare_rect) == sizeof(struct drm_bufshare_rect));
static_assert(VIRTIO_BUFSHARE_MAX_DAMAGE == DRM_BUFSHARE_MAX_DAMAGE);

/* The UPDATE command, with room for all damage that later updates may add. */
struct update_command {
	struct virtio_bufshare_update update;
	struct virtio_bufshare_rect rects[VIRTIO_BUFSHARE_MAX_DAMAGE];
};

static u32 num_damage(const struct update_command *cmd)
{
	return le32_to_cpu(cmd->update.num_damage);
}

static void set_num_damage(struct bufshare_request *req, u32 n)
{
	struct update_command *cmd = req->cmd;

	cmd->update.num_damage = cpu_to_le32(n);
	bufshare_request_trim(req, offsetof(struct update_command, rects[n]));
}

static void update_sending(struct bufshare_request *req)
{
	struct update_command *cmd = req->cmd;

	req->buffer->pending = NULL;
	req->buffer->sent = le64_to_cpu(cmd->update.seq);
}

static void update_answered(struct bufshare_request *req)
{
	struct bufshare_buffer *buf = req->buffer;

	if (!req->result)
		return;

	spin_lock(&buf->bdev->lock);
	if (buf->pending == req)
		buf->pending = NULL;
	/* What a restart swept away, the recovery releases. */
	if (req->result != -ESTALE && req->result != -ENODEV)
		bufshare_buffer_lose_locked(buf, VIRTIO_BUFSHARE_REASON_HOST);
	spin_unlock(&buf->bdev->lock);
}

/* Takes back an update that was not sent. */
void bufshare_update_cancel_locked(struct bufshare_buffer *buf)
{
	struct bufshare_device *bdev = buf->bdev;
	struct bufshare_request *req = buf->pending;

	lockdep_assert_held(&bdev->lock);
	buf->pending = NULL;
	if (!req || !req->queued)
		return;
	req->queued = false;
	req->result = -ESTALE;
	list_move_tail(&req->link, &bdev->failed);
	queue_work(bdev->wq, &bdev->queue_work);
}

/**
 * bufshare_update_released_locked - updates of a buffer are released
 * @buf: the registration
 * @seq: the updates up to this one
 * @flags: DRM_BUFSHARE_RELEASED_*
 *
 * One RELEASED event tells of all of them.
 */
void bufshare_update_released_locked(struct bufshare_buffer *buf, u64 seq, u32 flags)
{
	struct bufshare_event *ev, *next, *use = NULL;

	lockdep_assert_held(&buf->bdev->lock);
	buf->released = seq;
	list_for_each_entry_safe(ev, next, &buf->events, link) {
		if (ev->event.seq > seq)
			break;
		list_del_init(&ev->link);
		bufshare_event_cancel(buf->bdev, use);
		use = ev;
	}
	if (!use) {
		bufshare_event_send_locked(buf->file, DRM_BUFSHARE_EVENT_RELEASED, buf, seq, flags,
					   0);
		return;
	}
	use->event.seq = seq;
	use->event.flags = flags;
	bufshare_event_send_reserved_locked(buf->file, use);
}

/* One update of an UPDATE call. */
struct update {
	struct bufshare_buffer *buf;
	struct bufshare_request *req;
	struct bufshare_event *ev;
};

static int check_entry(struct bufshare_device *bdev, const struct drm_bufshare_update_entry *entry)
{
	if (entry->flags & ~BUFSHARE_UPDATE_FLAGS || entry->pad)
		return -EINVAL;
	if (entry->flags)
		return -EOPNOTSUPP;
	if (entry->in_fence_fd || entry->in_syncobj || entry->in_point ||
	    entry->release_syncobj || entry->release_point)
		return -EINVAL;
	if (entry->num_damage > bdev->config.max_damage)
		return -EINVAL;
	return 0;
}

static int read_damage(struct bufshare_request *req, const struct drm_bufshare_update_entry *entry)
{
	struct drm_bufshare_rect rects[DRM_BUFSHARE_MAX_DAMAGE];
	struct update_command *cmd = req->cmd;
	u32 i, n = entry->num_damage;

	if (copy_from_user(rects, u64_to_user_ptr(entry->damage), n * sizeof(rects[0])))
		return -EFAULT;
	for (i = 0; i < n; i++) {
		cmd->rects[i].x = cpu_to_le32(rects[i].x);
		cmd->rects[i].y = cpu_to_le32(rects[i].y);
		cmd->rects[i].width = cpu_to_le32(rects[i].width);
		cmd->rects[i].height = cpu_to_le32(rects[i].height);
	}
	if (!bufshare_damage_valid(cmd->rects, n))
		return -EINVAL;
	set_num_damage(req, n);
	return 0;
}

static int prepare(struct bufshare_file *bfile, const struct drm_bufshare_update_entry *entry,
		   struct update *update)
{
	struct bufshare_device *bdev = bfile->bdev;
	struct update_command *cmd;
	int ret;

	ret = check_entry(bdev, entry);
	if (ret)
		return ret;

	update->buf = bufshare_buffer_get(bfile, entry->id, false);
	if (!update->buf)
		return -ENOENT;

	update->ev = bufshare_event_new(DRM_BUFSHARE_EVENT_RELEASED, GFP_KERNEL);
	update->req = bufshare_request_new(bdev, VIRTIO_BUFSHARE_CMD_UPDATE, sizeof(*cmd),
					   sizeof(struct virtio_bufshare_response),
					   sizeof(struct virtio_bufshare_response));
	if (!update->ev || !update->req)
		return -ENOMEM;

	kref_get(&update->buf->ref);
	update->req->buffer = update->buf;
	update->req->sending = update_sending;
	update->req->answered = update_answered;
	cmd = update->req->cmd;
	cmd->update.buffer = cpu_to_le64(update->buf->id);
	return read_damage(update->req, entry);
}

static void merge(struct bufshare_request *into, const struct bufshare_request *req)
{
	const struct update_command *from = req->cmd;
	struct update_command *to = into->cmd;

	to->update.seq = from->update.seq;
	to->update.time_ns = from->update.time_ns;
	set_num_damage(into, bufshare_damage_merge(to->rects, num_damage(to), from->rects,
						   num_damage(from),
						   into->bdev->config.max_damage));
}

static void send(struct bufshare_file *bfile, struct update *update, u64 now)
{
	struct update_command *cmd = update->req->cmd;
	struct bufshare_buffer *buf = update->buf;

	buf->seq++;
	cmd->update.seq = cpu_to_le64(buf->seq);
	cmd->update.time_ns = cpu_to_le64(now);

	if (bufshare_event_reserve_locked(bfile, update->ev)) {
		update->ev->event.id = buf->id;
		update->ev->event.seq = buf->seq;
		update->ev->event.user_data = buf->user_data;
		list_add_tail(&update->ev->link, &buf->events);
		update->ev = NULL;
	}
	if (buf->pending && buf->pending->queued) {
		merge(buf->pending, update->req);
		return;
	}
	buf->pending = update->req;
	bufshare_queue_locked(update->req);
}

/* All of them or, if one cannot be, none. */
static int send_all(struct bufshare_file *bfile, struct update *updates,
		    struct drm_bufshare_update_entry *entries, u32 count)
{
	struct bufshare_device *bdev = bfile->bdev;
	u64 now = ktime_get_ns();
	int ret = 0;
	u32 i;

	spin_lock(&bdev->lock);
	if (!bdev->running)
		ret = -ENODEV;
	for (i = 0; i < count && !ret; i++) {
		if (updates[i].buf->state == BUFSHARE_LOST)
			ret = -ESTALE;
		else if (updates[i].buf->state != BUFSHARE_LIVE)
			ret = -ENOENT;
	}
	if (!ret) {
		for (i = 0; i < count; i++) {
			send(bfile, &updates[i], now);
			entries[i].seq = updates[i].buf->seq;
		}
		bufshare_flush_locked(bdev);
	}
	spin_unlock(&bdev->lock);
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

/**
 * bufshare_update - tell the device of new contents
 * @bfile: whose buffers they are
 * @entries: copied from the program; their seq is written
 * @count: of entries
 */
int bufshare_update(struct bufshare_file *bfile, struct drm_bufshare_update_entry *entries,
		    u32 count)
{
	struct update *updates;
	int ret = 0;
	u32 i;

	updates = kcalloc(count, sizeof(*updates), GFP_KERNEL);
	if (!updates)
		return -ENOMEM;

	for (i = 0; i < count && !ret; i++)
		ret = prepare(bfile, &entries[i], &updates[i]);
	if (!ret && has_twice(updates, count))
		ret = -EINVAL;
	if (!ret)
		ret = send_all(bfile, updates, entries, count);

	for (i = 0; i < count; i++) {
		/* What the queue or the buffer has taken is not ours any more. */
		bufshare_event_cancel(bfile->bdev, updates[i].ev);
		bufshare_request_put(updates[i].req);
		if (updates[i].buf)
			bufshare_buffer_put(updates[i].buf);
	}
	kfree(updates);
	return ret;
}
