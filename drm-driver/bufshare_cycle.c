// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The cycle of a buffer: an update makes it busy, a release frees it.
 *
 * An update waits neither for the host nor for memory. Each registration has a request for
 * its next update. While the control queue is full, or the host side restarts, that one stands
 * in the backlog, and later updates are merged into it. When it is sent the registration gets
 * another one from the device's stock, to which requests return once they are answered. The
 * stock is as large as the queue, up to a limit; without stock nothing is sent, like without
 * room.
 *
 * Updates with fences stand in line before that, and so do those that come after them. They
 * bring a request of their own, and one more for the update that follows.
 */
#include "bufshare_cycle.h"
#include "bufshare_damage.h"
#include "bufshare_drv.h"

/* Both sides call damage the same. */
static_assert(sizeof(struct virtio_bufshare_rect) == sizeof(struct drm_bufshare_rect));
static_assert(VIRTIO_BUFSHARE_MAX_DAMAGE == DRM_BUFSHARE_MAX_DAMAGE);

static u32 num_damage(const struct bufshare_update_command *cmd)
{
	return le32_to_cpu(cmd->update.num_damage);
}

static size_t command_size(u32 num_damage)
{
	return offsetof(struct bufshare_update_command, rects[num_damage]);
}

/* ---- requests ---- */

/* The registration's request is not free for its next update any more. */
static void replace_own(struct bufshare_buffer *buf)
{
	struct bufshare_device *bdev = buf->bdev;

	buf->update = list_first_entry_or_null(&bdev->stock, struct bufshare_request, link);
	if (!buf->update)
		return;
	list_del_init(&buf->update->link);
	bdev->num_stock--;
}

static void update_sending(struct bufshare_request *req)
{
	struct bufshare_update_command *cmd = req->cmd;
	struct bufshare_buffer *buf = req->buffer;

	buf->pending = NULL;
	buf->sent = le64_to_cpu(cmd->update.seq);
	if (buf->update == req)
		replace_own(buf);
}

/**
 * bufshare_cycle_may_send_locked - whether there is a request for the update after this one
 * @req: in the backlog, of whatever type
 */
bool bufshare_cycle_may_send_locked(struct bufshare_request *req)
{
	lockdep_assert_held(&req->bdev->lock);
	return !req->buffer || req->buffer->update != req || req->bdev->num_stock;
}

/* The request ends without being sent. */
void bufshare_cycle_ended_locked(struct bufshare_request *req)
{
	lockdep_assert_held(&req->bdev->lock);
	if (req->buffer && req->buffer->update == req)
		replace_own(req->buffer);
}

static void update_answered(struct bufshare_request *req)
{
	struct bufshare_buffer *buf = req->buffer;

	if (!req->result)
		return;

	spin_lock(&buf->bdev->lock);
	bufshare_cycle_ended_locked(req);
	if (buf->pending == req)
		buf->pending = NULL;
	/* What a restart swept away, the recovery releases. */
	if (req->result != -ESTALE && req->result != -ENODEV)
		bufshare_buffer_lose_locked(buf, VIRTIO_BUFSHARE_REASON_HOST);
	spin_unlock(&buf->bdev->lock);
}

/**
 * bufshare_cycle_request_new - make a request for an update that is not known yet
 * @bdev: the device
 */
struct bufshare_request *bufshare_cycle_request_new(struct bufshare_device *bdev)
{
	struct bufshare_request *req;

	req = bufshare_request_new(bdev, VIRTIO_BUFSHARE_CMD_UPDATE,
				   sizeof(struct bufshare_update_command),
				   sizeof(struct virtio_bufshare_response),
				   sizeof(struct virtio_bufshare_response));
	if (!req)
		return NULL;

	req->sending = update_sending;
	req->answered = update_answered;
	return req;
}

/**
 * bufshare_cycle_recycle - put a request into the stock
 * @req: for an update; nobody has a reference
 *
 * Return: whether it is there, or else to be freed.
 */
bool bufshare_cycle_recycle(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;
	bool wanted;

	spin_lock(&bdev->lock);
	wanted = bdev->running && bdev->num_stock < bdev->max_stock;
	if (wanted) {
		bufshare_request_renew(req);
		list_add(&req->link, &bdev->stock);
		bdev->num_stock++;
	}
	spin_unlock(&bdev->lock);
	return wanted;
}

/* As many as the queue takes, so that one is missing only where there is no room. */
int bufshare_cycle_init(struct bufshare_device *bdev, unsigned int max_stock)
{
	struct bufshare_request *req;

	bdev->max_stock = max_stock;
	while (bdev->num_stock < max_stock) {
		req = bufshare_cycle_request_new(bdev);
		if (!req)
			return -ENOMEM;
		list_add(&req->link, &bdev->stock);
		bdev->num_stock++;
	}
	return 0;
}

/* The device does not run any more. */
void bufshare_cycle_fini(struct bufshare_device *bdev)
{
	struct bufshare_request *req, *next;
	LIST_HEAD(stock);

	spin_lock(&bdev->lock);
	list_splice_init(&bdev->stock, &stock);
	bdev->num_stock = 0;
	spin_unlock(&bdev->lock);
	list_for_each_entry_safe(req, next, &stock, link) {
		list_del_init(&req->link);
		bufshare_request_put(req);
	}
}

/* ---- updates that are not sent yet ---- */

static void fill(struct bufshare_request *req, struct bufshare_buffer *buf,
		 const struct bufshare_update_command *from)
{
	struct bufshare_update_command *cmd = req->cmd;
	size_t size = command_size(num_damage(from));

	memcpy(cmd, from, size);
	cmd->update.hdr.type = cpu_to_le32(VIRTIO_BUFSHARE_CMD_UPDATE);
	cmd->update.buffer = cpu_to_le64(buf->id);
	bufshare_request_trim(req, size);
	if (!req->buffer) {
		kref_get(&buf->ref);
		req->buffer = buf;
	}
}

static void merge(struct bufshare_request *into, const struct bufshare_update_command *from)
{
	struct bufshare_update_command *to = into->cmd;
	u32 n;

	into->bdev->counters.merged++;
	n = bufshare_damage_merge(to->rects, num_damage(to), from->rects, num_damage(from),
				  into->bdev->config.max_damage);
	to->update.seq = from->update.seq;
	to->update.time_ns = from->update.time_ns;
	to->update.num_damage = cpu_to_le32(n);
	bufshare_request_trim(into, command_size(n));
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

/* In line behind those that wait. */
static void stand_in_line(struct bufshare_buffer *buf, struct bufshare_request *req)
{
	list_add_tail(&req->link, &buf->waiting);
	buf->num_waiting++;
}

/**
 * bufshare_cycle_may_add_locked - whether a registration can take another update
 * @buf: LIVE
 */
bool bufshare_cycle_may_add_locked(const struct bufshare_buffer *buf)
{
	return buf->update && buf->num_waiting < DRM_BUFSHARE_MAX_OUTSTANDING;
}

/**
 * bufshare_cycle_add_locked - to the backlog, or into line behind an update that waits
 * @buf: may take it
 * @fenced: with fences: a request with a spare one, for which a wait was begun; or NULL
 * @cmd: but its type and buffer
 *
 * Return: whether @fenced was taken: it still waits. To be followed by bufshare_flush_locked().
 */
bool bufshare_cycle_add_locked(struct bufshare_buffer *buf, struct bufshare_request *fenced,
			       const struct bufshare_update_command *cmd)
{
	struct bufshare_request *into, *last;

	lockdep_assert_held(&buf->bdev->lock);
	if (fenced && fenced->wait) {
		fill(fenced, buf, cmd);
		stand_in_line(buf, fenced);
		return true;
	}
	into = find_mergeable(buf);
	if (into) {
		merge(into, cmd);
	} else if (!list_empty(&buf->waiting)) {
		last = list_last_entry(&buf->waiting, struct bufshare_request, link);
		fill(last->spare, buf, cmd);
		stand_in_line(buf, last->spare);
		last->spare = NULL;
	} else {
		fill(buf->update, buf, cmd);
		buf->pending = buf->update;
		bufshare_requeue_locked(buf->update);
	}
	return false;
}

/* Sends the updates that stand in line as far as they wait for nothing. */
void bufshare_cycle_advance_locked(struct bufshare_buffer *buf)
{
	struct bufshare_request *req, *next;

	lockdep_assert_held(&buf->bdev->lock);
	list_for_each_entry_safe(req, next, &buf->waiting, link) {
		if (req->wait)
			break;
		buf->num_waiting--;
		if (buf->pending && buf->pending->queued) {
			merge(buf->pending, req->cmd);
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
void bufshare_cycle_cancel_locked(struct bufshare_buffer *buf)
{
	struct bufshare_request *req = buf->pending;

	lockdep_assert_held(&buf->bdev->lock);
	cancel_waiting(buf);
	buf->pending = NULL;
	if (req && req->queued)
		bufshare_end_locked(req, -ESTALE);
}

/* ---- releases ---- */

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
void bufshare_cycle_gone_locked(struct bufshare_buffer *buf)
{
	lockdep_assert_held(&buf->bdev->lock);
	cancel_waiting(buf);
	release_syncobjs(buf, U64_MAX);
}

/* The device goes: nothing waits for fences any more. */
void bufshare_cycle_stop(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buf;
	unsigned long id;

	spin_lock(&bdev->lock);
	xa_for_each(&bdev->buffers, id, buf)
		cancel_waiting(buf);
	spin_unlock(&bdev->lock);
}

/**
 * bufshare_cycle_released_locked - updates of a buffer are released
 * @buf: the registration
 * @seq: the updates up to this one
 * @flags: DRM_BUFSHARE_RELEASED_*
 *
 * One RELEASED event tells of all of them.
 */
void bufshare_cycle_released_locked(struct bufshare_buffer *buf, u64 seq, u32 flags)
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

