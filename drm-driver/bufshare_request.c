// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests: commands on their way to the device, and their answers. A request is submitted
 * to the backlog, goes to the control queue when there is room, and ends when it is answered.
 * It owns what the device reads and writes, and lives until the queue gives it back or the
 * device is reset, whoever waited for it.
 */
#include <linux/dma-mapping.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"
#include "bufshare_trace.h"

/* Commands and answers of at most so many bytes need no memory of their own. */
#define BUFSHARE_SMALL 512

unsigned int bufshare_timeout_ms = 10000;

/* Counts and tells what a correct device does not do. */
void bufshare_bad_message(struct bufshare_device *bdev, const char *what, u64 value)
{
	spin_lock(&bdev->lock);
	bdev->bad_messages++;
	spin_unlock(&bdev->lock);
	drm_err_ratelimited(bdev->drm, "the device sent nonsense: %s (%llu)\n", what, value);
}

static const int status_errors[] = {
	[VIRTIO_BUFSHARE_STATUS_OK] = 0,
	[VIRTIO_BUFSHARE_STATUS_UNSUPPORTED] = -EOPNOTSUPP,
	[VIRTIO_BUFSHARE_STATUS_INVALID] = -EINVAL,
	[VIRTIO_BUFSHARE_STATUS_EPOCH] = -ESTALE,
	[VIRTIO_BUFSHARE_STATUS_NOT_FOUND] = -ENOENT,
	[VIRTIO_BUFSHARE_STATUS_EXISTS] = -EEXIST,
	[VIRTIO_BUFSHARE_STATUS_LIMIT] = -ENOSPC,
	[VIRTIO_BUFSHARE_STATUS_MEMORY] = -EOPNOTSUPP,
	[VIRTIO_BUFSHARE_STATUS_DENIED] = -EACCES,
	[VIRTIO_BUFSHARE_STATUS_HOST] = -ENXIO,
};

/* The device wrote @req->used bytes of answer. */
int bufshare_request_parse(struct bufshare_request *req)
{
	struct virtio_bufshare_response hdr;
	u32 status;
	int error;

	if (req->used < sizeof(hdr) || req->used > req->resp_size) {
		bufshare_bad_message(req->bdev, "size of an answer", req->used);
		return -EPROTO;
	}
	memcpy(&hdr, req->resp, sizeof(hdr));
	status = le32_to_cpu(hdr.status);
	if (status >= ARRAY_SIZE(status_errors)) {
		bufshare_bad_message(req->bdev, "status of an answer", status);
		return -EPROTO;
	}
	req->status = status;
	req->detail = le32_to_cpu(hdr.detail);
	error = status_errors[status];
	if (!error && req->used < req->resp_min) {
		bufshare_bad_message(req->bdev, "size of an answer", req->used);
		return -EPROTO;
	}
	return error;
}

/*
 * Describes the memory piece by piece, where it is not contiguous; without @sg it only
 * counts them.
 */
static unsigned int map_pieces(struct bufshare_device *bdev, void *mem, size_t size,
			       struct scatterlist *sg)
{
	bool is_vmalloc = is_vmalloc_addr(mem);
	unsigned int n = 0;

	while (size) {
		size_t len = size;

		if (is_vmalloc) {
			phys_addr_t phys = page_to_phys(vmalloc_to_page(mem));

			/* Memory of vmalloc begins with a page. */
			for (len = PAGE_SIZE; len < size; len += PAGE_SIZE) {
				if (page_to_phys(vmalloc_to_page(mem + len)) != phys + len)
					break;
			}
			len = min(len, size);
		}
		len = min(len, bdev->max_piece);
		if (sg && is_vmalloc)
			sg_set_page(&sg[n], vmalloc_to_page(mem), len, 0);
		else if (sg)
			sg_set_buf(&sg[n], mem, len);
		mem += len;
		size -= len;
		n++;
	}
	return n;
}

/* Pages of 2^@order each, mapped one behind the other; for kvfree(). */
static void *alloc_large_pieces(size_t size, unsigned int order)
{
	unsigned int i, n = 0, max = DIV_ROUND_UP(size, PAGE_SIZE << order) << order;
	struct page **pages, *piece;
	void *mem = NULL;

	pages = kvmalloc_array(max, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return NULL;

	while (n < max) {
		piece = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN, order);
		if (!piece)
			goto err_free;
		split_page(piece, order);
		for (i = 0; i < 1U << order; i++)
			pages[n++] = piece + i;
	}
	/* From here on the pages, and the array of them, belong to the mapping. */
	mem = vmap(pages, n, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (mem)
		return mem;

err_free:
	while (n)
		__free_page(pages[--n]);
	kvfree(pages);
	return NULL;
}

/*
 * Memory for a command, zeroed. A chain has no more pieces than the queue has entries, and
 * the answer is one of them; so pieces are larger than a page where pages would be too many.
 */
static void *alloc_command(struct bufshare_device *bdev, size_t size)
{
	unsigned int order;

	if (size <= bdev->max_pieces * PAGE_SIZE)
		return kvzalloc(size, GFP_KERNEL);
	order = get_order(DIV_ROUND_UP(size, bdev->max_pieces));
	if (order > BUFSHARE_MAX_PIECE_ORDER)
		return NULL;
	return alloc_large_pieces(size, order);
}

/* Command and answer behind the request, each on cache lines of its own. */
static struct bufshare_request *alloc_small(size_t cmd_size, u32 resp_size)
{
	size_t align = max_t(size_t, dma_get_cache_alignment(), sizeof(u64));
	struct bufshare_request *req;
	size_t cmd, resp;

	cmd = ALIGN(struct_size(req, cmd_sg, 1), align);
	resp = ALIGN(cmd + cmd_size, align);
	req = kzalloc(ALIGN(resp + resp_size, align), GFP_KERNEL);
	if (!req)
		return NULL;

	req->cmd = (void *)req + cmd;
	req->resp = (void *)req + resp;
	req->num_sg = 1;
	return req;
}

static struct bufshare_request *alloc_large(struct bufshare_device *bdev, size_t cmd_size,
					    u32 resp_size)
{
	struct bufshare_request *req;
	unsigned int n;
	void *cmd;

	cmd = alloc_command(bdev, cmd_size);
	if (!cmd)
		return NULL;

	n = map_pieces(bdev, cmd, cmd_size, NULL);
	req = kvzalloc(struct_size(req, cmd_sg, n), GFP_KERNEL);
	if (!req)
		goto err_free_cmd;

	req->resp = kzalloc(resp_size, GFP_KERNEL);
	if (!req->resp)
		goto err_free_req;

	req->apart = true;
	req->cmd = cmd;
	req->num_sg = n;
	return req;

err_free_req:
	kvfree(req);
err_free_cmd:
	kvfree(cmd);
	return NULL;
}

/**
 * bufshare_request_new - make a request
 * @bdev: the device
 * @type: enum virtio_bufshare_command
 * @cmd_size: bytes of the command, which is zeroed but for its type
 * @resp_size: bytes of the longest answer
 * @resp_min: bytes of the shortest answer that says OK
 */
struct bufshare_request *bufshare_request_new(struct bufshare_device *bdev, u32 type,
					      size_t cmd_size, u32 resp_size, u32 resp_min)
{
	struct virtio_bufshare_request *hdr;
	struct bufshare_request *req;

	if (cmd_size <= BUFSHARE_SMALL && resp_size <= BUFSHARE_SMALL)
		req = alloc_small(cmd_size, resp_size);
	else
		req = alloc_large(bdev, cmd_size, resp_size);
	if (!req)
		return NULL;

	kref_init(&req->ref);
	INIT_LIST_HEAD(&req->link);
	INIT_LIST_HEAD(&req->batch);
	init_completion(&req->done);
	req->bdev = bdev;
	req->type = type;
	req->cmd_size = cmd_size;
	req->resp_size = resp_size;
	req->resp_min = resp_min;
	hdr = req->cmd;
	hdr->type = cpu_to_le32(type);
	return req;
}

/* As new, but for the command. Nobody has a reference. */
void bufshare_request_renew(struct bufshare_request *req)
{
	kref_init(&req->ref);
	INIT_LIST_HEAD(&req->link);
	reinit_completion(&req->done);
	req->buffer = NULL;
	req->queued = false;
	req->retried = false;
	req->stamp = 0;
	req->result = 0;
	req->status = 0;
	req->detail = 0;
}

/* The command is shorter than it might have been. */
void bufshare_request_trim(struct bufshare_request *req, size_t cmd_size)
{
	req->cmd_size = cmd_size;
	req->num_sg = map_pieces(req->bdev, req->cmd, cmd_size, NULL);
}

static void request_release(struct kref *ref)
{
	struct bufshare_request *req = container_of(ref, struct bufshare_request, ref);

	if (req->buffer)
		bufshare_buffer_put(req->buffer);
	bufshare_request_put(req->spare);
	req->spare = NULL;
	if (req->type == VIRTIO_BUFSHARE_CMD_UPDATE && bufshare_cycle_recycle(req))
		return;
	kfree(req->scratch);
	if (req->apart) {
		kvfree(req->cmd);
		kfree(req->resp);
	}
	kvfree(req);
}

struct bufshare_request *bufshare_request_get(struct bufshare_request *req)
{
	kref_get(&req->ref);
	return req;
}

void bufshare_request_put(struct bufshare_request *req)
{
	if (req)
		kref_put(&req->ref, request_release);
}

/* The end of a request for the queue. Without locks. */
void bufshare_request_finish(struct bufshare_request *req, int result)
{
	req->result = result;
	bufshare_fence_cancel(req);
	if (req->answered)
		req->answered(req);
	complete_all(&req->done);
	bufshare_request_put(req);
}

static int ring_add(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;
	struct scatterlist *sgs[] = { req->cmd_sg, &req->resp_sg };
	struct virtio_bufshare_request *hdr = req->cmd;

	/* INIT says itself which epoch it wants. */
	if (req->type != VIRTIO_BUFSHARE_CMD_INIT)
		hdr->epoch = cpu_to_le64(bdev->epoch);
	req->generation = bdev->generation;

	sg_init_table(req->cmd_sg, req->num_sg);
	map_pieces(bdev, req->cmd, req->cmd_size, req->cmd_sg);
	memset(req->resp, 0, req->resp_size);
	sg_init_one(&req->resp_sg, req->resp, req->resp_size);
	return virtqueue_add_sgs(bdev->ctrl_vq, sgs, 1, 1, req, GFP_ATOMIC);
}

/* The queue has a reference. To be followed by bufshare_flush_locked(). */
void bufshare_requeue_locked(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;

	lockdep_assert_held(&bdev->lock);
	req->queued = true;
	if (req->urgent)
		list_move(&req->link, &bdev->backlog);
	else
		list_move_tail(&req->link, &bdev->backlog);
}

/* The same, and takes the reference. */
void bufshare_queue_locked(struct bufshare_request *req)
{
	bufshare_requeue_locked(bufshare_request_get(req));
}

/*
 * Has the work see to what has ended or is released, also when the device is of no use any
 * more, until the queues' end does.
 */
void bufshare_kick_locked(struct bufshare_device *bdev)
{
	lockdep_assert_held(&bdev->lock);
	if (bdev->wq)
		queue_work(bdev->wq, &bdev->queue_work);
}

/* The end of a request that is not with the device. */
void bufshare_end_locked(struct bufshare_request *req, int result)
{
	struct bufshare_device *bdev = req->bdev;

	lockdep_assert_held(&bdev->lock);
	req->queued = false;
	req->result = result;
	bufshare_cycle_ended_locked(req);
	list_move_tail(&req->link, &bdev->ended);
	bufshare_kick_locked(bdev);
}

/* Sends what the queue has room for. */
void bufshare_flush_locked(struct bufshare_device *bdev)
{
	struct bufshare_request *req, *next;
	bool kick = false;
	int ret;

	lockdep_assert_held(&bdev->lock);
	if (!bdev->running || bdev->power == BUFSHARE_ASLEEP)
		return;

	list_for_each_entry_safe(req, next, &bdev->backlog, link) {
		if (bdev->recovery != BUFSHARE_RECOVERY_NONE && !req->urgent)
			break;
		if (!bufshare_cycle_may_send_locked(req))
			break;
		ret = ring_add(req);
		/* What is in flight makes room when it is answered. */
		if (ret == -ENOSPC || (ret == -ENOMEM && !list_empty(&bdev->in_flight)))
			break;
		if (ret) {
			bufshare_end_locked(req, ret);
			continue;
		}
		req->queued = false;
		req->stamp = ++bdev->stamp;
		req->sent = ktime_get();
		bdev->counters.commands[req->type]++;
		trace_bufshare_command(req);
		list_move_tail(&req->link, &bdev->in_flight);
		if (req->sending)
			req->sending(req);
		kick = true;
	}
	if (kick)
		virtqueue_kick(bdev->ctrl_vq);
}

/**
 * bufshare_submit - send a request, now or when there is room
 * @req: the request; the queue takes a reference of its own
 *
 * Whatever happens, @req->answered is called and @req->done completed, at the latest when
 * the device goes.
 */
void bufshare_submit(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;
	bool running;

	spin_lock(&bdev->lock);
	running = bdev->running;
	if (running) {
		bufshare_queue_locked(req);
		bufshare_flush_locked(bdev);
	}
	spin_unlock(&bdev->lock);

	if (!running)
		bufshare_request_finish(bufshare_request_get(req), -ENODEV);
}

/* Whether the request was still in the backlog, and is not any more. */
static bool request_withdraw(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;
	bool withdrawn;

	spin_lock(&bdev->lock);
	withdrawn = req->queued && !req->keep;
	if (withdrawn) {
		req->queued = false;
		list_del_init(&req->link);
	}
	spin_unlock(&bdev->lock);
	return withdrawn;
}

static void count_timeout(struct bufshare_device *bdev)
{
	spin_lock(&bdev->lock);
	bdev->counters.timeouts++;
	spin_unlock(&bdev->lock);
}

/**
 * bufshare_wait - wait for the answer to a submitted request
 * @req: the request
 *
 * Return: its result; or -ETIMEDOUT, or -ERESTARTSYS if the program is being killed. In these
 * cases the request stays with the queue, unless the device has not seen it yet.
 */
int bufshare_wait(struct bufshare_request *req)
{
	unsigned int ms = max(READ_ONCE(bufshare_timeout_ms), 1U);
	long left;
	int ret;

	left = wait_for_completion_killable_timeout(&req->done, msecs_to_jiffies(ms));
	if (left > 0)
		return req->result;

	ret = left ? left : -ETIMEDOUT;
	if (ret == -ETIMEDOUT)
		count_timeout(req->bdev);
	if (request_withdraw(req))
		bufshare_request_finish(req, ret);
	else if (ret == -ETIMEDOUT)
		drm_err_ratelimited(req->bdev->drm, "no answer to command %u in %u ms\n",
				    req->type, ms);
	return ret;
}

int bufshare_call(struct bufshare_request *req)
{
	bufshare_submit(req);
	return bufshare_wait(req);
}

/* Nobody is there any more who wants it done. */
static bool is_obsolete(const struct bufshare_request *req)
{
	return req->type != VIRTIO_BUFSHARE_CMD_UNREGISTER && req->buffer &&
	       req->buffer->state == BUFSHARE_GONE;
}

/*
 * The answer says that the device restarted. Whether the request will be sent again: the
 * program that made it is still there, and does not mind that it takes longer. And the device
 * may know of a buffer that was taken back whether it is still mapped.
 */
bool bufshare_request_restart(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;
	bool again;

	spin_lock(&bdev->lock);
	if (req->generation == bdev->generation && req->type != VIRTIO_BUFSHARE_CMD_INIT)
		bufshare_recovery_start_locked(bdev);
	again = bdev->running && req->retry && !req->retried && !is_obsolete(req);
	if (again) {
		req->retried = true;
		bufshare_requeue_locked(req);
		bufshare_flush_locked(bdev);
	}
	spin_unlock(&bdev->lock);
	return again;
}
