// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * After a restart of the host side, or a suspension, it knows nothing. The driver resumes the
 * epoch and registers all buffers again; meanwhile, what programs ask for waits in the backlog.
 */
#include <linux/err.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"

/* A device that restarts each time is not worth more. */
#define BUFSHARE_RECOVERY_ATTEMPTS 8

/* The device restarted, or said that it does not know the epoch. */
void bufshare_recovery_start_locked(struct bufshare_device *bdev)
{
	lockdep_assert_held(&bdev->lock);
	/* After a suspension there is one anyway. */
	if (!bdev->running || bdev->power != BUFSHARE_AWAKE)
		return;
	switch (bdev->recovery) {
	case BUFSHARE_RECOVERY_NONE:
		bdev->recovery = BUFSHARE_RECOVERY_INIT;
		queue_work(bdev->wq, &bdev->recovery_work);
		break;
	case BUFSHARE_RECOVERY_INIT:
		/* That INIT will be answered by whoever is there now. */
		break;
	case BUFSHARE_RECOVERY_REGISTER:
		bdev->restart_again = true;
		break;
	}
}

/* The device was reset, whatever had been begun before. */
void bufshare_recovery_resume_locked(struct bufshare_device *bdev)
{
	lockdep_assert_held(&bdev->lock);
	if (!bdev->running)
		return;
	bdev->recovery = BUFSHARE_RECOVERY_INIT;
	queue_work(bdev->wq, &bdev->recovery_work);
	queue_work(bdev->wq, &bdev->queue_work);
}

/* Nobody holds what the host side was told before it restarted. */
static void begin(struct bufshare_device *bdev, u64 *epoch)
{
	struct bufshare_buffer *buf;
	unsigned long id;

	spin_lock(&bdev->lock);
	bdev->recovery = BUFSHARE_RECOVERY_INIT;
	bdev->restart_again = false;
	*epoch = bdev->epoch;
	xa_for_each(&bdev->buffers, id, buf) {
		if (buf->state == BUFSHARE_LIVE && buf->released < buf->sent)
			bufshare_cycle_released_locked(buf, buf->sent,
						       DRM_BUFSHARE_RELEASED_HOST_GONE);
	}
	spin_unlock(&bdev->lock);
}

/*
 * A reference to the next registration to be made again; NULL if there is none. An ERR_PTR()
 * if the device restarted again.
 */
static struct bufshare_buffer *next_buffer(struct bufshare_device *bdev, unsigned long *id)
{
	struct bufshare_buffer *buf;

	spin_lock(&bdev->lock);
	do {
		buf = xa_find_after(&bdev->buffers, id, ULONG_MAX, XA_PRESENT);
	} while (buf && buf->state != BUFSHARE_LIVE);
	if (bdev->restart_again) {
		buf = ERR_PTR(-ESTALE);
	} else if (buf) {
		kref_get(&buf->ref);
		buf->consumers_told = false;
		buf->host_stale = true;
	}
	spin_unlock(&bdev->lock);
	return buf;
}

static void again_answered(struct bufshare_request *req)
{
	if (!req->result)
		req->result = bufshare_command_registered(req);
}

static int send_again(struct bufshare_buffer *buf)
{
	struct bufshare_request *req;
	int ret;

	req = bufshare_command_register(buf, buf->flags | VIRTIO_BUFSHARE_REGISTER_AGAIN);
	if (IS_ERR(req))
		return PTR_ERR(req);

	req->urgent = true;
	req->answered = again_answered;
	ret = bufshare_call(req);
	bufshare_request_put(req);
	return ret;
}

/* Fails only where there is no use in going on; a buffer that is refused is lost. */
static int register_again(struct bufshare_buffer *buf)
{
	u32 consumers = buf->consumers;
	int ret;

	ret = send_again(buf);
	if (ret == -ESTALE || ret == -ENODEV || ret == -ETIMEDOUT)
		return ret;

	spin_lock(&buf->bdev->lock);
	if (ret)
		bufshare_buffer_lose_locked(buf, VIRTIO_BUFSHARE_REASON_HOST);
	else if (buf->state == BUFSHARE_LIVE && buf->consumers != consumers)
		bufshare_event_send_locked(buf->file, DRM_BUFSHARE_EVENT_CONSUMERS, buf, 0, 0,
					   buf->consumers);
	spin_unlock(&buf->bdev->lock);
	return 0;
}

static int recover(struct bufshare_device *bdev, unsigned int *count)
{
	struct bufshare_buffer *buf;
	unsigned long id = 0;
	u64 epoch;
	int ret;

	*count = 0;
	begin(bdev, &epoch);
	ret = bufshare_command_init(bdev, epoch, true);
	if (ret) {
		spin_lock(&bdev->lock);
		bdev->epoch = 0;
		spin_unlock(&bdev->lock);
		return ret;
	}
	while ((buf = next_buffer(bdev, &id))) {
		if (IS_ERR(buf))
			return PTR_ERR(buf);
		ret = register_again(buf);
		bufshare_buffer_put(buf);
		if (ret)
			return ret;
		(*count)++;
	}
	return 0;
}

static void tell_files(struct bufshare_device *bdev)
{
	struct bufshare_file *bfile;

	list_for_each_entry(bfile, &bdev->files, link)
		bufshare_event_send_standing_locked(bfile, BUFSHARE_STANDING_RESTARTED);
}

static void lose_all(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buf;
	unsigned long id;

	xa_for_each(&bdev->buffers, id, buf)
		bufshare_buffer_lose_locked(buf, VIRTIO_BUFSHARE_REASON_HOST);
}

static void end(struct bufshare_device *bdev, int result)
{
	spin_lock(&bdev->lock);
	if (!result)
		tell_files(bdev);
	else if (bdev->running)
		lose_all(bdev);
	bdev->recovery = BUFSHARE_RECOVERY_NONE;
	if (bdev->restart_again && !result)
		bufshare_recovery_start_locked(bdev);
	bdev->restart_again = false;
	bufshare_flush_locked(bdev);
	spin_unlock(&bdev->lock);
}

void bufshare_recovery_work(struct work_struct *work)
{
	struct bufshare_device *bdev = container_of(work, struct bufshare_device, recovery_work);
	unsigned int attempts = 0, count;
	int ret;

	do {
		ret = recover(bdev, &count);
	} while (ret == -ESTALE && ++attempts < BUFSHARE_RECOVERY_ATTEMPTS);
	end(bdev, ret);
	bufshare_kept_ask(bdev);

	if (!ret)
		dev_info_ratelimited(bdev->drm->dev,
				     "the host side began anew; %u buffers are registered again\n",
				     count);
	else if (ret != -ENODEV)
		drm_err_ratelimited(bdev->drm,
				    "the host side began anew and is of no use: all buffers are lost (%d)\n",
				    ret);
}
