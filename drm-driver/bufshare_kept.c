// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Pages that programs of the host did not let go of.
 *
 * A registration whose UNREGISTER was answered STILL_MAPPED keeps its pages, so that nobody
 * else gets them, until the device says that the last of those programs let go, with an event
 * or in answer to another UNREGISTER. It counts against the device's limits like any other,
 * and where too much of the guest's memory is kept nothing more can be registered. While there
 * is one the module cannot be unloaded; the end of the device is its end too.
 */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/wait_bit.h>

#include "bufshare_drv.h"

/* Of the guest's memory this part may be kept before nothing is registered any more. */
#define BUFSHARE_KEPT_PART 4

/**
 * bufshare_kept_too_much_locked - whether nothing is to be registered for now
 * @bdev: the device
 */
bool bufshare_kept_too_much_locked(const struct bufshare_device *bdev)
{
	lockdep_assert_held(&bdev->lock);
	return bdev->kept_size >> PAGE_SHIFT > totalram_pages() / BUFSHARE_KEPT_PART;
}

/* The device cannot say when it is over if it does not have the capability. */
static void keep(struct bufshare_buffer *buf)
{
	struct bufshare_device *bdev = buf->bdev;
	bool kept;

	spin_lock(&bdev->lock);
	buf->still_mapped = true;
	kept = bdev->running && bdev->caps & VIRTIO_BUFSHARE_CAP_UNMAPPED && !buf->unmapped &&
	       !buf->kept;
	if (kept) {
		kref_get(&buf->ref);
		buf->kept = true;
		bdev->num_kept++;
		bdev->kept_size += buf->size;
		__module_get(THIS_MODULE);
	}
	spin_unlock(&bdev->lock);
	if (kept)
		drm_dbg_driver(bdev->drm, "keeping the pages of buffer %llu: still mapped\n",
			       buf->id);
}

/* Its reference is dropped by bufshare_kept_free(). */
static void let_go_locked(struct bufshare_buffer *buf)
{
	struct bufshare_device *bdev = buf->bdev;

	lockdep_assert_held(&bdev->lock);
	if (!buf->kept)
		return;
	buf->kept = false;
	bdev->num_kept--;
	bdev->kept_size -= buf->size;
	list_add_tail(&buf->file_link, &bdev->let_go);
	bufshare_kick_locked(bdev);
}

static bool is_still_mapped(const struct bufshare_request *req)
{
	struct virtio_bufshare_unregister_response resp;

	if (req->result)
		return false;
	memcpy(&resp, req->resp, sizeof(resp));
	return resp.flags & cpu_to_le32(VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED);
}

/* The answer to the first UNREGISTER of a registration. */
void bufshare_kept_unregistered(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;

	if (is_still_mapped(req))
		keep(req->buffer);
	spin_lock(&bdev->lock);
	bdev->num_leaving--;
	spin_unlock(&bdev->lock);
	wake_up_var(&bdev->num_leaving);
}

/**
 * bufshare_kept_unmapped_locked - the device says that nobody has the pages any more
 * @buf: the registration; its UNREGISTER may not be answered yet, as far as the driver saw
 */
void bufshare_kept_unmapped_locked(struct bufshare_buffer *buf)
{
	lockdep_assert_held(&buf->bdev->lock);
	buf->unmapped = true;
	let_go_locked(buf);
}

/* The answer to another UNREGISTER. What is not known to be let go stays. */
static void asked(struct bufshare_request *req)
{
	if (is_still_mapped(req) || (req->result && req->result != -ENOENT))
		return;
	spin_lock(&req->bdev->lock);
	let_go_locked(req->buffer);
	spin_unlock(&req->bdev->lock);
}

static void ask(struct bufshare_buffer *buf)
{
	struct virtio_bufshare_unregister *cmd;
	struct bufshare_request *req;

	req = bufshare_command_unregister(buf->bdev);
	if (!req)
		return;

	kref_get(&buf->ref);
	req->buffer = buf;
	req->keep = true;
	req->answered = asked;
	cmd = req->cmd;
	cmd->buffer = cpu_to_le64(buf->id);
	cmd->reason = cpu_to_le32(VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	bufshare_submit(req);
	bufshare_request_put(req);
}

/* A reference to the next one that is kept; NULL if there is none. */
static struct bufshare_buffer *next_kept(struct bufshare_device *bdev, unsigned long *id)
{
	struct bufshare_buffer *buf;

	spin_lock(&bdev->lock);
	do {
		buf = xa_find_after(&bdev->buffers, id, ULONG_MAX, XA_PRESENT);
	} while (buf && !buf->kept);
	if (buf)
		kref_get(&buf->ref);
	spin_unlock(&bdev->lock);
	return buf;
}

/* After an INIT: what the device said in the meantime, or what it forgot, is not known. */
void bufshare_kept_ask(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buf;
	unsigned long id = 0;

	while ((buf = next_kept(bdev, &id))) {
		ask(buf);
		bufshare_buffer_put(buf);
	}
}

/* Frees what was let go of. Without locks. */
void bufshare_kept_free(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buf, *next;
	LIST_HEAD(let_go);

	spin_lock(&bdev->lock);
	list_splice_tail_init(&bdev->let_go, &let_go);
	spin_unlock(&bdev->lock);
	list_for_each_entry_safe(buf, next, &let_go, file_link) {
		list_del_init(&buf->file_link);
		bufshare_buffer_put(buf);
		/* Whoever unloads it waits for this work to end. */
		module_put(THIS_MODULE);
	}
}

/*
 * The device goes: who takes buffers back gets an answer before, if the device has one, and
 * its consumers the time to let go.
 */
void bufshare_kept_wait(struct bufshare_device *bdev)
{
	unsigned int ms = max(READ_ONCE(bufshare_timeout_ms), 1U);

	if (bdev->ctrl_vq && !virtqueue_is_broken(bdev->ctrl_vq))
		wait_var_event_timeout(&bdev->num_leaving, !READ_ONCE(bdev->num_leaving),
				       msecs_to_jiffies(ms));
}

/* The device is gone, and nobody will say any more what is mapped. */
void bufshare_kept_drop_all(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buf;
	unsigned long id;

	spin_lock(&bdev->lock);
	if (bdev->num_kept)
		dev_warn(bdev->drm->dev,
			 "programs of the host still have %u buffers of %llu bytes, which are freed\n",
			 bdev->num_kept, bdev->kept_size);
	xa_for_each(&bdev->buffers, id, buf)
		let_go_locked(buf);
	spin_unlock(&bdev->lock);
	bufshare_kept_free(bdev);
}
