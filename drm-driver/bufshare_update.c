// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The cycle of a buffer: an update makes it busy, a release frees it.
 *
 * An update never waits for the host. While the control queue is full, or the host side
 * restarts, a buffer has one update in the backlog, into which later ones are merged. Updates
 * with fences stand in line before that, and so do those that come after them.
 */
#include <linux/err.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>

#include "bufshare_damage.h"
#include "bufshare_drv.h"
#include "bufshare_trace.h"

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

static void merge(struct bufshare_request *into, const struct bufshare_request *req)
{
	const struct update_command *from = req->cmd;
	struct update_command *to = into->cmd;

	into->bdev->counters.merged++;
	to->update.seq = from->update.seq;
	to->update.time_ns = from->update.time_ns;
	set_num_damage(into, bufshare_damage_merge(to->rects, num_damage(to), from->rects,
						   num_damage(from),
						   into->bdev->config.max_damage));
}

/* The request into which a new update without fences can be merged, or NULL. */
static struct bufshare_request *find_mergeable(struct bufshare_buffer *buf)
{
	struct bufshare_request *last;

	if (list_empty(&buf->waiting))
		return buf->pending && buf->pending->queued ? buf->pending : NULL;
	last = list_last_entry(&buf->waiting, struct bufshare_request, link);
	return last->wait ? NULL : last;
}

/* Sends the updates that stand in line as far as they wait for nothing. */
void bufshare_update_advance_locked(struct bufshare_buffer *buf)
{
	struct bufshare_request *req, *next;

	lockdep_assert_held(&buf->bdev->lock);
	list_for_each_entry_safe(req, next, &buf->waiting, link) {
		if (req->wait)
			break;
		buf->num_waiting--;
		if (buf->pending && buf->pending->queued) {
			merge(buf->pending, req);
			bufshare_end_locked(req, 0);
		} else {
			buf->pending = req;
			bufshare_requeue_locked(req);
		}
	}
	bufshare_flush_locked(buf->bdev);
}

static void cancel_waiting(struct bufshare_buffer *buf)
{
	struct bufshare_request *req, *next;

	list_for_each_entry_safe(req, next, &buf->waiting, link)
		bufshare_end_locked(req, -ESTALE);
	buf->num_waiting = 0;
}

/* Takes back what was not sent. */
void bufshare_update_cancel_locked(struct bufshare_buffer *buf)
{
	struct bufshare_request *req = buf->pending;

	lockdep_assert_held(&buf->bdev->lock);
	cancel_waiting(buf);
	buf->pending = NULL;
	if (req && req->queued)
		bufshare_end_locked(req, -ESTALE);
}

/* Has the syncobjs of the updates up to @seq signalled. */
static void release_syncobjs(struct bufshare_buffer *buf, u64 seq)
{
	struct bufshare_device *bdev = buf->bdev;
	struct bufshare_release *release, *next;

	list_for_each_entry_safe(release, next, &buf->releases, link) {
		if (release->seq > seq)
			break;
		buf->num_releases--;
		list_move_tail(&release->link, &bdev->released);
	}
	if (!list_empty(&bdev->released))
		bufshare_kick_locked(bdev);
}

/*
 * The program has given the buffer back: what waits for a fence will not be sent, and nobody
 * shall wait for a release that will not come.
 */
void bufshare_update_gone_locked(struct bufshare_buffer *buf)
{
	lockdep_assert_held(&buf->bdev->lock);
	cancel_waiting(buf);
	release_syncobjs(buf, U64_MAX);
}

/* The device goes: nothing waits for fences any more. */
void bufshare_update_stop(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buf;
	unsigned long id;

	spin_lock(&bdev->lock);
	xa_for_each(&bdev->buffers, id, buf)
		cancel_waiting(buf);
	spin_unlock(&bdev->lock);
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
	release_syncobjs(buf, seq);
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
	struct bufshare_wait *wait;
	struct bufshare_release *release;
};

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
	ret = read_damage(update->req, entry);
	if (ret)
		return ret;

	update->release = bufshare_release_new(bfile, entry);
	if (IS_ERR(update->release))
		return PTR_ERR(update->release);
	update->wait = bufshare_fence_get(bfile, update->buf->obj, entry);
	return PTR_ERR_OR_ZERO(update->wait);
}

/* To the backlog, or into line behind an update that waits. */
static void pass_on(struct bufshare_buffer *buf, struct bufshare_request *req)
{
	struct bufshare_request *into = req->wait ? NULL : find_mergeable(buf);

	if (into) {
		merge(into, req);
	} else if (req->wait || !list_empty(&buf->waiting)) {
		list_add_tail(&bufshare_request_get(req)->link, &buf->waiting);
		buf->num_waiting++;
	} else {
		buf->pending = req;
		bufshare_queue_locked(req);
	}
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
	if (update->release) {
		update->release->seq = buf->seq;
		list_add_tail(&update->release->link, &buf->releases);
		buf->num_releases++;
		update->release = NULL;
	}
	buf->bdev->counters.updates++;
	trace_bufshare_update(buf, num_damage(cmd), update->req->wait);
	pass_on(buf, update->req);
}

static int may_send(const struct update *update)
{
	const struct bufshare_buffer *buf = update->buf;

	if (buf->state == BUFSHARE_LOST)
		return -ESTALE;
	if (buf->state != BUFSHARE_LIVE)
		return -ENOENT;
	if (buf->num_waiting >= DRM_BUFSHARE_MAX_OUTSTANDING)
		return -EBUSY;
	if (update->release && buf->num_releases >= DRM_BUFSHARE_MAX_OUTSTANDING)
		return -EBUSY;
	return 0;
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
	for (i = 0; i < count && !ret; i++)
		ret = may_send(&updates[i]);
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

/*
 * The waits begin before it is known that all updates can be sent, because then nothing may
 * fail any more. Removal of the device comes before or after all this.
 */
static int arm_and_send(struct bufshare_file *bfile, struct update *updates,
			struct drm_bufshare_update_entry *entries, u32 count)
{
	int idx, ret;
	u32 i;

	if (!drm_dev_enter(bfile->bdev->drm, &idx))
		return -ENODEV;
	for (i = 0; i < count; i++) {
		bufshare_fence_arm(updates[i].wait, updates[i].req);
		updates[i].wait = NULL;
	}
	ret = send_all(bfile, updates, entries, count);
	for (i = 0; i < count && ret; i++)
		bufshare_fence_cancel(updates[i].req);
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
		ret = arm_and_send(bfile, updates, entries, count);

	for (i = 0; i < count; i++) {
		/* What the queue or the buffer has taken is not ours any more. */
		bufshare_event_cancel(bfile->bdev, updates[i].ev);
		bufshare_release_free(updates[i].release);
		bufshare_fence_put(updates[i].wait);
		bufshare_request_put(updates[i].req);
		if (updates[i].buf)
			bufshare_buffer_put(updates[i].buf);
	}
	kfree(updates);
	return ret;
}
