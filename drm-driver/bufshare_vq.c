// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The two queues: how they are set up, what comes out of them, and how they end.
 */
#include <linux/slab.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"
#include "bufshare_trace.h"
#include "compat.h"

#define BUFSHARE_NUM_EVENTS	64

/* Updates in flight, if the queue takes as many. */
#define BUFSHARE_MAX_STOCK	128

/* Events taken in one go, so that a device cannot keep the worker to itself. */
#define BUFSHARE_EVENT_BATCH	256

static bool is_usable(const struct bufshare_device *bdev)
{
	return bdev->running && bdev->power != BUFSHARE_ASLEEP;
}

static void handle_answers(struct bufshare_device *bdev)
{
	struct bufshare_request *req, *next;
	LIST_HEAD(answered);
	LIST_HEAD(ended);
	unsigned int len;
	u64 failed = 0;
	int result;

	spin_lock(&bdev->lock);
	if (is_usable(bdev)) {
		do {
			virtqueue_disable_cb(bdev->ctrl_vq);
			while ((req = virtqueue_get_buf(bdev->ctrl_vq, &len))) {
				req->used = len;
				list_move_tail(&req->link, &answered);
			}
		} while (!virtqueue_enable_cb(bdev->ctrl_vq));
	}
	list_splice_tail_init(&bdev->ended, &ended);
	spin_unlock(&bdev->lock);

	list_for_each_entry_safe(req, next, &answered, link) {
		list_del_init(&req->link);
		result = bufshare_request_parse(req);
		trace_bufshare_answer(req, result);
		failed += result < 0;
		if (result == -ESTALE && bufshare_request_restart(req))
			continue;
		bufshare_request_finish(req, result);
	}
	list_for_each_entry_safe(req, next, &ended, link) {
		list_del_init(&req->link);
		bufshare_request_finish(req, req->result);
	}
	/* Now there is room in the queue, and the stock has the requests for updates again. */
	spin_lock(&bdev->lock);
	bdev->counters.failed += failed;
	bufshare_flush_locked(bdev);
	spin_unlock(&bdev->lock);
}

/* Gives the device a buffer for an event. */
static int post_event(struct bufshare_device *bdev, struct virtio_bufshare_event *event)
{
	struct scatterlist sg;

	sg_init_one(&sg, event, sizeof(*event));
	return virtqueue_add_inbuf(bdev->event_vq, &sg, 1, event, GFP_ATOMIC);
}

/*
 * Takes one event: a copy, because the buffer is the device's again at once. Whether there
 * was one.
 */
static bool take_event(struct bufshare_device *bdev, struct virtio_bufshare_event *copy,
		       unsigned int *len)
{
	struct virtio_bufshare_event *event = NULL;

	spin_lock(&bdev->lock);
	if (is_usable(bdev))
		event = virtqueue_get_buf(bdev->event_vq, len);
	if (event) {
		memcpy(copy, event, sizeof(*copy));
		post_event(bdev, event);
	}
	spin_unlock(&bdev->lock);
	return event;
}

/* Whether there are no more. */
static bool handle_events(struct bufshare_device *bdev)
{
	struct virtio_bufshare_event event;
	bool done = true;
	unsigned int len;
	int i;

	for (i = 0; i < BUFSHARE_EVENT_BATCH && take_event(bdev, &event, &len); i++) {
		if (len == sizeof(event))
			bufshare_event_handle(bdev, &event);
		else
			bufshare_bad_message(bdev, "size of an event", len);
	}
	spin_lock(&bdev->lock);
	if (is_usable(bdev)) {
		virtqueue_kick(bdev->event_vq);
		done = virtqueue_enable_cb(bdev->event_vq);
	}
	spin_unlock(&bdev->lock);
	return done;
}

/*
 * Events first: when the answer to an INIT is seen, so is whatever the device said of a
 * restart before it.
 */
static void queue_work_func(struct work_struct *work)
{
	struct bufshare_device *bdev = container_of(work, struct bufshare_device, queue_work);

	if (!handle_events(bdev))
		queue_work(bdev->wq, &bdev->queue_work);
	handle_answers(bdev);
	bufshare_release_signal(bdev);
	bufshare_kept_free(bdev);
}

/* Of both queues, in interrupt context. */
static void queue_callback(struct virtqueue *vq)
{
	struct bufshare_device *bdev = vq->vdev->priv;

	virtqueue_disable_cb(vq);
	queue_work(bdev->wq, &bdev->queue_work);
}

/* A REGISTER command must fit into the control queue, in pieces that are easily had. */
static u32 max_ranges(struct bufshare_device *bdev)
{
	unsigned int pieces = virtqueue_get_vring_size(bdev->ctrl_vq) - 1;
	size_t room = pieces * min(PAGE_SIZE << BUFSHARE_MAX_PIECE_ORDER, bdev->max_piece);

	room -= sizeof(struct virtio_bufshare_register) + VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE;
	return min_t(size_t, room / sizeof(struct virtio_bufshare_range),
		     VIRTIO_BUFSHARE_MAX_RANGES);
}

/* Unless a suspension did it already. */
static void delete_queues(struct bufshare_device *bdev)
{
	if (!bdev->ctrl_vq)
		return;
	virtio_reset_device(bdev->vdev);
	while (virtqueue_detach_unused_buf(bdev->ctrl_vq))
		;
	while (virtqueue_detach_unused_buf(bdev->event_vq))
		;
	bdev->vdev->config->del_vqs(bdev->vdev);
	bdev->ctrl_vq = NULL;
	bdev->event_vq = NULL;
}

static int fill_event_queue(struct bufshare_device *bdev)
{
	unsigned int i;
	int ret;

	for (i = 0; i < bdev->num_events; i++) {
		ret = post_event(bdev, &bdev->events[i]);
		if (ret)
			return ret;
	}
	virtqueue_kick(bdev->event_vq);
	return 0;
}

static int find_queues(struct bufshare_device *bdev)
{
	struct virtqueue_info info[VIRTIO_BUFSHARE_NUM_QUEUES] = {
		[VIRTIO_BUFSHARE_QUEUE_CONTROL] = { .name = "control", .callback = queue_callback },
		[VIRTIO_BUFSHARE_QUEUE_EVENT] = { .name = "event", .callback = queue_callback },
	};
	struct virtqueue *vqs[VIRTIO_BUFSHARE_NUM_QUEUES];
	int ret;

	ret = bufshare_compat_find_vqs(bdev->vdev, ARRAY_SIZE(vqs), vqs, info);
	if (ret)
		return ret;

	bdev->ctrl_vq = vqs[VIRTIO_BUFSHARE_QUEUE_CONTROL];
	bdev->event_vq = vqs[VIRTIO_BUFSHARE_QUEUE_EVENT];
	if (virtqueue_get_vring_size(bdev->ctrl_vq) >= 4)
		return 0;

	dev_err(&bdev->vdev->dev, "the control queue has only %u entries\n",
		virtqueue_get_vring_size(bdev->ctrl_vq));
	delete_queues(bdev);
	return -EINVAL;
}

static void set_limits(struct bufshare_device *bdev)
{
	bdev->max_pieces = virtqueue_get_vring_size(bdev->ctrl_vq) - 1;
	bdev->max_piece = clamp_t(size_t, virtio_max_dma_size(bdev->vdev), PAGE_SIZE, INT_MAX) &
			  PAGE_MASK;
	bdev->config.max_ranges = min(bdev->config.max_ranges, max_ranges(bdev));
	bdev->num_events = min_t(unsigned int, BUFSHARE_NUM_EVENTS,
				 virtqueue_get_vring_size(bdev->event_vq));
}

/* On success the queues run, and bufshare_vq_stop() and bufshare_vq_fini() end them. */
int bufshare_vq_init(struct bufshare_device *bdev)
{
	int ret;

	INIT_WORK(&bdev->queue_work, queue_work_func);
	INIT_WORK(&bdev->recovery_work, bufshare_recovery_work);
	bdev->wq = alloc_workqueue("virtio-bufshare", WQ_UNBOUND, 0);
	if (!bdev->wq)
		return -ENOMEM;

	ret = find_queues(bdev);
	if (ret)
		goto err_destroy_wq;

	set_limits(bdev);
	ret = bufshare_cycle_init(bdev, min_t(unsigned int, BUFSHARE_MAX_STOCK,
					      virtqueue_get_vring_size(bdev->ctrl_vq)));
	if (ret)
		goto err_fini_cycle;

	bdev->events = kcalloc(bdev->num_events, sizeof(*bdev->events), GFP_KERNEL);
	ret = -ENOMEM;
	if (!bdev->events)
		goto err_fini_cycle;

	virtio_device_ready(bdev->vdev);
	bdev->running = true;
	ret = fill_event_queue(bdev);
	if (ret)
		goto err_stop;
	return 0;

err_stop:
	bufshare_vq_stop(bdev);
	bufshare_vq_fini(bdev);
	return ret;
err_fini_cycle:
	bufshare_cycle_fini(bdev);
	delete_queues(bdev);
err_destroy_wq:
	destroy_workqueue(bdev->wq);
	return ret;
}

/* Nothing is sent any more, and nobody waits any longer. */
void bufshare_vq_stop(struct bufshare_device *bdev)
{
	struct list_head *lists[] = { &bdev->backlog, &bdev->in_flight };
	struct bufshare_request *req;
	unsigned int i;

	spin_lock(&bdev->lock);
	bdev->running = false;
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		list_for_each_entry(req, lists[i], link) {
			req->result = -ENODEV;
			req->queued = false;
			complete_all(&req->done);
		}
	}
	spin_unlock(&bdev->lock);
}

/* The device forgets all memory it was told of, and all requests end. */
void bufshare_vq_fini(struct bufshare_device *bdev)
{
	struct workqueue_struct *wq = bdev->wq;
	struct bufshare_request *req, *next;
	LIST_HEAD(unanswered);

	delete_queues(bdev);
	/* The works touch the queues only while running. */
	cancel_work_sync(&bdev->queue_work);
	cancel_work_sync(&bdev->recovery_work);

	spin_lock(&bdev->lock);
	list_splice_tail_init(&bdev->in_flight, &unanswered);
	list_splice_tail_init(&bdev->ended, &unanswered);
	list_splice_tail_init(&bdev->backlog, &unanswered);
	spin_unlock(&bdev->lock);
	list_for_each_entry_safe(req, next, &unanswered, link) {
		list_del_init(&req->link);
		bufshare_request_finish(req, -ENODEV);
	}
	bufshare_cycle_fini(bdev);

	kfree(bdev->events);
	bdev->events = NULL;
	spin_lock(&bdev->lock);
	bdev->wq = NULL;
	spin_unlock(&bdev->lock);
	destroy_workqueue(wq);
}

/* Waits until no recovery is under way, and lets none begin. */
static void hold_recovery(struct bufshare_device *bdev)
{
	spin_lock(&bdev->lock);
	bdev->power = BUFSHARE_FALLING_ASLEEP;
	spin_unlock(&bdev->lock);
	cancel_work_sync(&bdev->recovery_work);
}

/*
 * The device is reset, and forgets everything. Requests that it did not answer are sent once
 * more when it is awake, or end as if it had restarted; others wait in the backlog.
 */
void bufshare_vq_freeze(struct bufshare_device *bdev)
{
	struct bufshare_request *req, *next;
	LIST_HEAD(unanswered);

	hold_recovery(bdev);
	/* What it has answered needs not be done again. */
	queue_work(bdev->wq, &bdev->queue_work);
	flush_work(&bdev->queue_work);
	spin_lock(&bdev->lock);
	bdev->power = BUFSHARE_ASLEEP;
	list_splice_tail_init(&bdev->in_flight, &unanswered);
	spin_unlock(&bdev->lock);

	delete_queues(bdev);
	list_for_each_entry_safe(req, next, &unanswered, link) {
		list_del_init(&req->link);
		if (!bufshare_request_restart(req))
			bufshare_request_finish(req, -ESTALE);
	}
}

/* The other way round. The recovery that begins with it makes everything known again. */
int bufshare_vq_restore(struct bufshare_device *bdev)
{
	int ret;

	ret = find_queues(bdev);
	if (ret)
		return ret;
	if (max_ranges(bdev) < bdev->config.max_ranges ||
	    virtqueue_get_vring_size(bdev->event_vq) < bdev->num_events) {
		dev_err(&bdev->vdev->dev, "the device came back with smaller queues\n");
		delete_queues(bdev);
		return -EINVAL;
	}

	virtio_device_ready(bdev->vdev);
	spin_lock(&bdev->lock);
	ret = fill_event_queue(bdev);
	if (!ret) {
		bdev->power = BUFSHARE_AWAKE;
		bufshare_recovery_resume_locked(bdev);
	}
	spin_unlock(&bdev->lock);
	if (ret)
		delete_queues(bdev);
	return ret;
}
