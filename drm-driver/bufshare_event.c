// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Events: those of the device, and those that programs read from their files.
 *
 * DRM gives a file room for some 80 events. DEVICE_LOST, OVERFLOW and RESTARTED have theirs
 * from the start, and no other event gets any while one of these has none, OVERFLOW before
 * all others. So where an event finds no room there is an OVERFLOW to send, or an unread one.
 */
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"
#include "bufshare_trace.h"

#define BUFSHARE_RELEASED_FLAGS \
	(VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER | VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE | \
	 VIRTIO_BUFSHARE_RELEASED_TIMEOUT)

/* The flags of a release go to the program as the device gave them. */
static_assert(VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER == DRM_BUFSHARE_RELEASED_NO_CONSUMER);
static_assert(VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE == DRM_BUFSHARE_RELEASED_CONSUMER_GONE);
static_assert(VIRTIO_BUFSHARE_RELEASED_TIMEOUT == DRM_BUFSHARE_RELEASED_TIMEOUT);

struct bufshare_event *bufshare_event_new(u32 type, gfp_t gfp)
{
	struct bufshare_event *ev;

	ev = kzalloc(sizeof(*ev), gfp);
	if (!ev)
		return NULL;

	INIT_LIST_HEAD(&ev->link);
	ev->event.base.type = type;
	ev->event.base.length = sizeof(ev->event);
	return ev;
}

/* Whether the file has room for the event, which is now kept for it. */
static bool reserve(struct bufshare_file *bfile, struct bufshare_event *ev)
{
	struct drm_device *drm = bfile->bdev->drm;
	struct drm_file *file = bfile->drm_file;
	bool reserved = false;
	unsigned long flags;

	spin_lock_irqsave(&drm->event_lock, flags);
	/*
	 * drm_read() may put back an event whose room is taken by then. DRM's own comparison
	 * takes what is less than nothing for a lot.
	 */
	if (file->event_space >= (int)sizeof(ev->event))
		reserved = !drm_event_reserve_init_locked(drm, file, &ev->base, &ev->event.base);
	spin_unlock_irqrestore(&drm->event_lock, flags);
	return reserved;
}

static void send_reserved(struct bufshare_file *bfile, struct bufshare_event *ev)
{
	ev->event.time_ns = ktime_get_ns();
	trace_bufshare_file_event(bfile, &ev->event);
	drm_send_event(bfile->bdev->drm, &ev->base);
}

/* Takes an event back that was not sent; it may not even be reserved. */
void bufshare_event_cancel(struct bufshare_device *bdev, struct bufshare_event *ev)
{
	if (!ev)
		return;
	if (ev->base.event)
		drm_event_cancel_free(bdev->drm, &ev->base);
	else
		kfree(ev);
}

static const u32 standing_types[BUFSHARE_NUM_STANDING] = {
	[BUFSHARE_STANDING_OVERFLOW] = DRM_BUFSHARE_EVENT_OVERFLOW,
	[BUFSHARE_STANDING_RESTARTED] = DRM_BUFSHARE_EVENT_RESTARTED,
};

/* Makes room for this and all earlier standing events, where they have none. */
static int arm(struct bufshare_file *bfile, enum bufshare_standing which)
{
	struct bufshare_event *ev;
	unsigned int i;

	for (i = 0; i <= which; i++) {
		if (bfile->standing[i])
			continue;
		ev = bufshare_event_new(standing_types[i], GFP_NOWAIT | __GFP_NOWARN);
		if (!ev)
			return -ENOMEM;
		if (!reserve(bfile, ev)) {
			kfree(ev);
			return -ENOSPC;
		}
		bfile->standing[i] = ev;
	}
	return 0;
}

/* Sends a standing event, at the latest when there is room for another event. */
void bufshare_event_send_standing_locked(struct bufshare_file *bfile,
					 enum bufshare_standing which)
{
	int ret;

	lockdep_assert_held(&bfile->bdev->lock);
	if (!bfile->live || bfile->bdev->lost)
		return;
	if (which == BUFSHARE_STANDING_OVERFLOW)
		bfile->bdev->counters.overflows++;
	ret = arm(bfile, which);
	if (!ret) {
		send_reserved(bfile, bfile->standing[which]);
		bfile->standing[which] = NULL;
	}
	/* An OVERFLOW has no room only where another one is unread, which says as much. */
	bfile->owed[which] = ret && (ret != -ENOSPC || which != BUFSHARE_STANDING_OVERFLOW);
}

/**
 * bufshare_event_reserve_locked - make room for an event in its file
 * @bfile: the file
 * @ev: to be sent later, or cancelled
 *
 * Return: whether there is room.
 */
bool bufshare_event_reserve_locked(struct bufshare_file *bfile, struct bufshare_event *ev)
{
	unsigned int i;

	lockdep_assert_held(&bfile->bdev->lock);
	if (!bfile->live || bfile->bdev->lost)
		return false;
	for (i = 0; i < BUFSHARE_NUM_STANDING; i++) {
		if (bfile->owed[i])
			bufshare_event_send_standing_locked(bfile, i);
	}
	return !arm(bfile, BUFSHARE_NUM_STANDING - 1) && reserve(bfile, ev);
}

void bufshare_event_send_reserved_locked(struct bufshare_file *bfile, struct bufshare_event *ev)
{
	lockdep_assert_held(&bfile->bdev->lock);
	if (bfile->bdev->lost)
		bufshare_event_cancel(bfile->bdev, ev);
	else
		send_reserved(bfile, ev);
}

/**
 * bufshare_event_send_locked - send an event that was not reserved
 * @bfile: the file; NULL: nobody
 * @type: DRM_BUFSHARE_EVENT_*
 * @buf: the registration it is about, or NULL
 * @seq: by type
 * @flags: by type
 * @value: by type
 *
 * Without room for it the file gets OVERFLOW.
 */
void bufshare_event_send_locked(struct bufshare_file *bfile, u32 type,
				const struct bufshare_buffer *buf, u64 seq, u32 flags, u32 value)
{
	struct bufshare_event *ev;

	if (!bfile)
		return;
	lockdep_assert_held(&bfile->bdev->lock);
	ev = bufshare_event_new(type, GFP_NOWAIT | __GFP_NOWARN);
	if (!ev || !bufshare_event_reserve_locked(bfile, ev)) {
		kfree(ev);
		bufshare_event_send_standing_locked(bfile, BUFSHARE_STANDING_OVERFLOW);
		return;
	}
	if (buf) {
		ev->event.id = buf->id;
		ev->event.user_data = buf->user_data;
	}
	ev->event.seq = seq;
	ev->event.flags = flags;
	ev->event.value = value;
	send_reserved(bfile, ev);
}

/* The name of what is wrong with the event; NULL if nothing. */
static const char *handle_released(struct bufshare_buffer *buf, u64 seq, u32 flags)
{
	if (buf->state != BUFSHARE_LIVE)
		return NULL;
	if (seq <= buf->released || seq > buf->sent)
		return "release of an update that is not out";
	bufshare_cycle_released_locked(buf, seq, flags & BUFSHARE_RELEASED_FLAGS);
	return NULL;
}

static void handle_consumers(struct bufshare_buffer *buf, u64 value)
{
	buf->consumers = min_t(u64, value, U32_MAX);
	buf->consumers_told = true;
	if (buf->state == BUFSHARE_LIVE)
		bufshare_event_send_locked(buf->file, DRM_BUFSHARE_EVENT_CONSUMERS, buf, 0, 0,
					   buf->consumers);
}

static void handle_properties(struct bufshare_buffer *buf, u64 generation)
{
	buf->host_newest = max(buf->host_newest, generation);
	if (buf->state == BUFSHARE_LIVE)
		bufshare_event_send_locked(buf->file, DRM_BUFSHARE_EVENT_PROPERTIES, buf, 0, 0, 0);
}

static const char *handle_buffer_lost(struct bufshare_buffer *buf, u64 reason)
{
	if (reason > VIRTIO_BUFSHARE_REASON_HOST)
		return "reason for which a buffer was lost";
	bufshare_buffer_lose_locked(buf, reason);
	return NULL;
}

/* Of a buffer that was taken back, which no other event is about. */
static const char *handle_unmapped(struct bufshare_device *bdev, u64 id)
{
	struct bufshare_buffer *buf = id <= ULONG_MAX ? xa_load(&bdev->buffers, id) : NULL;

	if (!buf)
		return id && id <= bdev->last_id ? NULL : "event of a buffer that never was";
	if (buf->state != BUFSHARE_GONE)
		return "end of mappings of a buffer that was not taken back";
	bufshare_kept_unmapped_locked(buf);
	return NULL;
}

static const char *handle_buffer_event(struct bufshare_device *bdev, u32 type,
				       const struct virtio_bufshare_event *event)
{
	u64 id = le64_to_cpu(event->buffer);
	u64 value = le64_to_cpu(event->value);
	struct bufshare_buffer *buf;

	if (type == VIRTIO_BUFSHARE_EVENT_UNMAPPED)
		return handle_unmapped(bdev, id);
	buf = bufshare_buffer_find_locked(bdev, id);
	if (!buf)
		/* The device may not have heard yet that it was unregistered. */
		return id && id <= bdev->last_id ? NULL : "event of a buffer that never was";

	switch (type) {
	case VIRTIO_BUFSHARE_EVENT_RELEASED:
		return handle_released(buf, le64_to_cpu(event->seq), le32_to_cpu(event->flags));
	case VIRTIO_BUFSHARE_EVENT_CONSUMERS:
		handle_consumers(buf, value);
		return NULL;
	case VIRTIO_BUFSHARE_EVENT_PROPERTIES:
		handle_properties(buf, value);
		return NULL;
	case VIRTIO_BUFSHARE_EVENT_BUFFER_LOST:
		return handle_buffer_lost(buf, value);
	}
	return NULL;
}

/* @event: a copy that the device cannot change. Types that the driver does not know are ignored. */
void bufshare_event_handle(struct bufshare_device *bdev,
			   const struct virtio_bufshare_event *event)
{
	u64 epoch = le64_to_cpu(event->epoch);
	u32 type = le32_to_cpu(event->type);
	const char *bad = NULL;

	trace_bufshare_event(bdev, event);
	spin_lock(&bdev->lock);
	bdev->counters.events[type < BUFSHARE_NUM_EVENT_TYPES ? type : 0]++;
	switch (type) {
	case VIRTIO_BUFSHARE_EVENT_RESTARTED:
		/* A device that just restarted may not know the epoch. */
		if (!epoch || epoch == bdev->epoch)
			bufshare_recovery_start_locked(bdev);
		break;
	case VIRTIO_BUFSHARE_EVENT_RELEASED:
	case VIRTIO_BUFSHARE_EVENT_CONSUMERS:
	case VIRTIO_BUFSHARE_EVENT_PROPERTIES:
	case VIRTIO_BUFSHARE_EVENT_BUFFER_LOST:
	case VIRTIO_BUFSHARE_EVENT_UNMAPPED:
		if (epoch == bdev->epoch)
			bad = handle_buffer_event(bdev, type, event);
		break;
	}
	spin_unlock(&bdev->lock);
	if (bad)
		bufshare_bad_message(bdev, bad, le64_to_cpu(event->buffer));
}

/* An event of a new file, for which there is always room. */
static struct bufshare_event *file_event_new(struct bufshare_file *bfile, u32 type)
{
	struct bufshare_event *ev;

	ev = bufshare_event_new(type, GFP_KERNEL);
	if (ev && !reserve(bfile, ev)) {
		kfree(ev);
		return NULL;
	}
	return ev;
}

static void file_free(struct bufshare_file *bfile)
{
	unsigned int i;

	bufshare_event_cancel(bfile->bdev, bfile->lost);
	for (i = 0; i < BUFSHARE_NUM_STANDING; i++)
		bufshare_event_cancel(bfile->bdev, bfile->standing[i]);
	bufshare_updates_free(bfile->updates);
	kfree(bfile);
}

int bufshare_file_open(struct drm_device *drm, struct drm_file *drm_file)
{
	struct bufshare_device *bdev = to_bufshare_device(drm);
	struct bufshare_file *bfile;
	int ret = -ENOMEM;
	unsigned int i;

	bfile = kzalloc(sizeof(*bfile), GFP_KERNEL);
	if (!bfile)
		return -ENOMEM;

	bfile->bdev = bdev;
	bfile->drm_file = drm_file;
	INIT_LIST_HEAD(&bfile->buffers);
	bfile->updates = bufshare_updates_new();
	if (!bfile->updates)
		goto err_free;
	bfile->lost = file_event_new(bfile, DRM_BUFSHARE_EVENT_DEVICE_LOST);
	if (!bfile->lost)
		goto err_free;
	for (i = 0; i < BUFSHARE_NUM_STANDING; i++) {
		bfile->standing[i] = file_event_new(bfile, standing_types[i]);
		if (!bfile->standing[i])
			goto err_free;
	}

	drm_file->driver_priv = bfile;
	spin_lock(&bdev->lock);
	ret = bdev->lost ? -ENODEV : 0;
	if (!ret)
		list_add_tail(&bfile->link, &bdev->files);
	spin_unlock(&bdev->lock);
	if (ret)
		goto err_free;
	return 0;

err_free:
	drm_file->driver_priv = NULL;
	file_free(bfile);
	return ret;
}

/*
 * Between drm_events_release() and postclose() nothing may be reserved in a file, so the
 * driver must know when the release begins.
 */
void bufshare_file_set_live(struct drm_file *drm_file, bool live)
{
	struct bufshare_file *bfile = drm_file->driver_priv;

	spin_lock(&bfile->bdev->lock);
	bfile->live = live;
	spin_unlock(&bfile->bdev->lock);
}

void bufshare_file_postclose(struct drm_device *drm, struct drm_file *drm_file)
{
	struct bufshare_file *bfile = drm_file->driver_priv;

	bufshare_buffer_reset_file(bfile, VIRTIO_BUFSHARE_REASON_PRODUCER_GONE, false);
	spin_lock(&bfile->bdev->lock);
	list_del(&bfile->link);
	spin_unlock(&bfile->bdev->lock);
	file_free(bfile);
}

/* The last event of every file. */
void bufshare_files_lost(struct bufshare_device *bdev)
{
	struct bufshare_file *bfile;

	spin_lock(&bdev->lock);
	bdev->lost = true;
	list_for_each_entry(bfile, &bdev->files, link) {
		if (bfile->lost)
			send_reserved(bfile, bfile->lost);
		bfile->lost = NULL;
	}
	spin_unlock(&bdev->lock);
}
