// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Registrations: who owns them, what state they are in, and when the host has let go.
 *
 * A registration holds its GEM object, and so its pages, until the device has answered the
 * UNREGISTER command, whatever became of the program; and longer if the answer is that they
 * are still mapped (bufshare_kept.c).
 */
#include <linux/slab.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"

static void buffer_release(struct kref *ref)
{
	struct bufshare_buffer *buf = container_of(ref, struct bufshare_buffer, ref);
	struct bufshare_device *bdev = buf->bdev;

	spin_lock(&bdev->lock);
	if (buf->counted) {
		xa_erase(&bdev->buffers, buf->id);
		bdev->num_buffers--;
		bdev->total_size -= buf->size;
	}
	spin_unlock(&bdev->lock);

	bufshare_request_put(buf->unregister);
	bufshare_request_put(buf->update);
	drm_gem_object_put(buf->obj);
	mutex_destroy(&buf->props_mutex);
	kfree(buf->props);
	kfree(buf->host_props);
	kfree(buf);
}

void bufshare_buffer_put(struct bufshare_buffer *buf)
{
	kref_put(&buf->ref, buffer_release);
}

/* For programs it does not exist any more. Its own reference is the caller's now. */
static void make_gone_locked(struct bufshare_buffer *buf)
{
	struct bufshare_event *ev, *next;

	lockdep_assert_held(&buf->bdev->lock);
	buf->state = BUFSHARE_GONE;
	buf->file = NULL;
	list_del_init(&buf->file_link);
	list_del_init(&buf->bo_link);
	bufshare_cycle_gone_locked(buf);
	list_for_each_entry_safe(ev, next, &buf->events, link) {
		list_del_init(&ev->link);
		bufshare_event_cancel(buf->bdev, ev);
	}
}

/*
 * The same, and the UNREGISTER request to be submitted, to which the registration's own
 * reference goes: the pages stay until the device has answered.
 */
static struct bufshare_request *take_back_locked(struct bufshare_buffer *buf, u32 reason)
{
	struct bufshare_request *req = buf->unregister;
	struct virtio_bufshare_unregister *cmd = req->cmd;

	make_gone_locked(buf);
	buf->unregister = NULL;
	req->buffer = buf;
	req->keep = true;
	req->retry = true;
	req->answered = bufshare_kept_unregistered;
	buf->bdev->num_leaving++;
	cmd->buffer = cpu_to_le64(buf->id);
	cmd->reason = cpu_to_le32(reason);
	return req;
}

/* Registered by a program, and not taken back. */
static bool is_registered(const struct bufshare_buffer *buf)
{
	return buf->state == BUFSHARE_LIVE || buf->state == BUFSHARE_LOST;
}

/* NULL if there is none, or none any more. */
struct bufshare_buffer *bufshare_buffer_find_locked(struct bufshare_device *bdev, u64 id)
{
	struct bufshare_buffer *buf;

	lockdep_assert_held(&bdev->lock);
	if (id > ULONG_MAX)
		return NULL;
	buf = xa_load(&bdev->buffers, id);
	return buf && buf->state != BUFSHARE_GONE ? buf : NULL;
}

/* A reference to a registration of this file, or of any; NULL if there is none. */
struct bufshare_buffer *bufshare_buffer_get(struct bufshare_file *bfile, u64 id, bool any_file)
{
	struct bufshare_device *bdev = bfile->bdev;
	struct bufshare_buffer *buf;

	spin_lock(&bdev->lock);
	buf = bufshare_buffer_find_locked(bdev, id);
	if (buf && is_registered(buf) && (any_file || buf->file == bfile))
		kref_get(&buf->ref);
	else
		buf = NULL;
	spin_unlock(&bdev->lock);
	return buf;
}

static struct bufshare_buffer *find_by_obj_locked(struct bufshare_file *bfile,
						  struct drm_gem_object *obj)
{
	struct bufshare_buffer *buf;

	list_for_each_entry(buf, &to_bufshare_bo(obj)->buffers, bo_link) {
		if (buf->file == bfile)
			return buf;
	}
	return NULL;
}

struct bufshare_buffer *bufshare_buffer_get_by_obj(struct bufshare_file *bfile,
						   struct drm_gem_object *obj)
{
	struct bufshare_buffer *buf;

	spin_lock(&bfile->bdev->lock);
	buf = find_by_obj_locked(bfile, obj);
	if (buf && is_registered(buf))
		kref_get(&buf->ref);
	else
		buf = NULL;
	spin_unlock(&bfile->bdev->lock);
	return buf;
}

/* The block is checked; the registration keeps it sorted. */
static int copy_props(struct bufshare_buffer *buf, const char *props, size_t size)
{
	char *block;

	if (!size)
		return 0;
	block = kmalloc(BUFSHARE_PROPS_ROOM, GFP_KERNEL);
	if (!block)
		return -ENOMEM;

	buf->props_size = bufshare_props_apply(block, 0, props, size);
	buf->props = kmemdup(block, buf->props_size, GFP_KERNEL_ACCOUNT);
	kfree(block);
	return buf->props ? 0 : -ENOMEM;
}

static struct bufshare_buffer *buffer_new(struct bufshare_device *bdev, struct drm_gem_object *obj,
					  const struct drm_bufshare_register *args,
					  const char *props)
{
	struct bufshare_buffer *buf;

	buf = kzalloc(sizeof(*buf), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return NULL;

	kref_init(&buf->ref);
	INIT_LIST_HEAD(&buf->file_link);
	INIT_LIST_HEAD(&buf->bo_link);
	INIT_LIST_HEAD(&buf->waiting);
	INIT_LIST_HEAD(&buf->events);
	INIT_LIST_HEAD(&buf->releases);
	mutex_init(&buf->props_mutex);
	buf->bdev = bdev;
	buf->state = BUFSHARE_REGISTERING;
	buf->size = obj->size;
	buf->user_data = args->user_data;
	memcpy(buf->application, args->application, sizeof(buf->application));
	if (args->flags & DRM_BUFSHARE_REGISTER_SHARE_RW)
		buf->flags |= VIRTIO_BUFSHARE_REGISTER_SHARE_RW;
	drm_gem_object_get(obj);
	buf->obj = obj;

	buf->unregister = bufshare_command_unregister(bdev);
	buf->update = bufshare_cycle_request_new(bdev);
	if (!buf->unregister || !buf->update ||
	    copy_props(buf, props, args->properties_size)) {
		bufshare_buffer_put(buf);
		return NULL;
	}
	return buf;
}

/* The device would say the same, but only after the memory has been pinned. */
static int refuse(struct drm_bufshare_register *args, u32 limit)
{
	args->status = VIRTIO_BUFSHARE_STATUS_LIMIT;
	args->detail = limit;
	return -ENOSPC;
}

/* Lets it count, gives it an id, and puts it where others find it. */
static int admit_locked(struct bufshare_file *bfile, struct bufshare_buffer *buf,
			struct drm_bufshare_register *args)
{
	struct bufshare_device *bdev = bfile->bdev;
	u32 limit;

	if (!bdev->running)
		return -ENODEV;
	if (find_by_obj_locked(bfile, buf->obj))
		return -EALREADY;
	if (buf->size > bdev->config.max_buffer_size)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE);
	if (bdev->num_buffers >= bdev->config.max_buffers || bdev->last_id == ULONG_MAX)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_BUFFERS);
	if (bufshare_kept_too_much_locked(bdev) ||
	    bdev->total_size > bdev->config.max_total_size ||
	    buf->size > bdev->config.max_total_size - bdev->total_size)
		return refuse(args, VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE);
	if (!bufshare_command_props_fit(bdev, buf->props, buf->props_size, &limit))
		return refuse(args, limit);

	buf->id = ++bdev->last_id;
	buf->counted = true;
	bdev->num_buffers++;
	bdev->total_size += buf->size;
	buf->file = bfile;
	list_add_tail(&buf->file_link, &bfile->buffers);
	list_add_tail(&buf->bo_link, &to_bufshare_bo(buf->obj)->buffers);
	return 0;
}

static void register_sending(struct bufshare_request *req)
{
	req->buffer->stamp = req->stamp;
}

static void register_answered(struct bufshare_request *req)
{
	struct bufshare_buffer *buf = req->buffer;
	struct bufshare_device *bdev = buf->bdev;
	struct bufshare_request *unregister = NULL;
	bool host_has_it = !req->result;

	if (!req->result)
		req->result = bufshare_command_registered(req);

	spin_lock(&bdev->lock);
	if (!req->result && buf->state == BUFSHARE_REGISTERING) {
		buf->state = BUFSHARE_LIVE;
		if (buf->lost_early)
			bufshare_buffer_lose_locked(buf, buf->lost_reason);
		spin_unlock(&bdev->lock);
		return;
	}
	/* It failed, or the program did not wait. */
	if (host_has_it)
		unregister = take_back_locked(buf, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	else
		make_gone_locked(buf);
	spin_unlock(&bdev->lock);

	if (unregister) {
		bufshare_submit(unregister);
		bufshare_request_put(unregister);
	} else {
		bufshare_buffer_put(buf);
	}
}

/* Sends the command and waits. The registration's own reference is not the caller's any more. */
static int register_and_wait(struct bufshare_buffer *buf, struct bufshare_request *req)
{
	struct bufshare_device *bdev = buf->bdev;
	struct bufshare_request *unregister = NULL;
	int ret;

	req->retry = true;
	req->sending = register_sending;
	req->answered = register_answered;
	ret = bufshare_call(req);
	if (!ret)
		return 0;

	/* If it was not answered yet, the answer will find that nobody wants it. */
	spin_lock(&bdev->lock);
	if (buf->state == BUFSHARE_REGISTERING)
		make_gone_locked(buf);
	else if (is_registered(buf))
		unregister = take_back_locked(buf, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	spin_unlock(&bdev->lock);
	if (unregister) {
		bufshare_submit(unregister);
		bufshare_request_put(unregister);
	}
	return ret;
}

static void abandon(struct bufshare_buffer *buf)
{
	spin_lock(&buf->bdev->lock);
	make_gone_locked(buf);
	spin_unlock(&buf->bdev->lock);
	bufshare_buffer_put(buf);
}

/* Pins the memory and makes the command. On failure the registration is gone. */
static struct bufshare_request *prepare_register(struct bufshare_buffer *buf,
						 struct drm_bufshare_register *args)
{
	struct bufshare_device *bdev = buf->bdev;
	struct bufshare_request *req;
	int ret;

	ret = xa_err(xa_store(&bdev->buffers, buf->id, buf, GFP_KERNEL));
	if (ret)
		goto err_abandon;

	ret = bufshare_gem_ranges(bdev, buf->obj, NULL, 0);
	if (ret < 0)
		goto err_abandon;
	buf->num_ranges = ret;
	if (buf->num_ranges > bdev->config.max_ranges) {
		ret = refuse(args, VIRTIO_BUFSHARE_LIMIT_RANGES);
		goto err_abandon;
	}
	req = bufshare_command_register(buf, buf->flags);
	if (IS_ERR(req)) {
		ret = PTR_ERR(req);
		goto err_abandon;
	}
	return req;

err_abandon:
	abandon(buf);
	return ERR_PTR(ret);
}

/**
 * bufshare_buffer_register - register an object, and wait for the device
 * @bfile: whose registration it becomes
 * @obj: the object
 * @args: of the ioctl, checked; its results are written
 * @props: a checked block
 */
int bufshare_buffer_register(struct bufshare_file *bfile, struct drm_gem_object *obj,
			     struct drm_bufshare_register *args, const char *props)
{
	struct bufshare_device *bdev = bfile->bdev;
	struct bufshare_request *req;
	struct bufshare_buffer *buf;
	int ret;

	args->status = VIRTIO_BUFSHARE_STATUS_OK;
	args->detail = 0;
	buf = buffer_new(bdev, obj, args, props);
	if (!buf)
		return -ENOMEM;

	spin_lock(&bdev->lock);
	ret = admit_locked(bfile, buf, args);
	spin_unlock(&bdev->lock);
	if (ret) {
		bufshare_buffer_put(buf);
		return ret;
	}

	req = prepare_register(buf, args);
	if (IS_ERR(req))
		return PTR_ERR(req);

	ret = register_and_wait(buf, req);
	args->status = req->status;
	args->detail = req->detail;
	if (!ret) {
		args->id = buf->id;
		args->num_ranges = buf->num_ranges;
		spin_lock(&bdev->lock);
		export_uuid(args->uuid, &buf->uuid);
		spin_unlock(&bdev->lock);
	}
	bufshare_request_put(req);
	return ret;
}

/* What does not exist any more needs not be taken back. */
static int unregister_result(int ret)
{
	return ret == -ENOENT || ret == -ESTALE ? 0 : ret;
}

/**
 * bufshare_buffer_unregister - take a buffer back, and wait for the device
 * @buf: the registration
 * @flags: DRM_BUFSHARE_UNREGISTER_* go here
 */
int bufshare_buffer_unregister(struct bufshare_buffer *buf, u32 *flags)
{
	struct bufshare_request *req = NULL;
	int ret;

	spin_lock(&buf->bdev->lock);
	if (is_registered(buf))
		req = take_back_locked(buf, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	spin_unlock(&buf->bdev->lock);
	if (!req)
		return -ENOENT;

	ret = bufshare_call(req);
	if (!ret && READ_ONCE(buf->still_mapped))
		*flags |= DRM_BUFSHARE_UNREGISTER_STILL_MAPPED;
	bufshare_request_put(req);
	return unregister_result(ret);
}

int bufshare_buffer_info(struct bufshare_buffer *buf, struct drm_bufshare_info *args)
{
	int ret = 0;

	spin_lock(&buf->bdev->lock);
	if (is_registered(buf)) {
		args->id = buf->id;
		if (buf->released < buf->seq)
			args->flags |= DRM_BUFSHARE_INFO_BUSY;
		if (buf->state == BUFSHARE_LOST)
			args->flags |= DRM_BUFSHARE_INFO_LOST;
		if (buf->obj->import_attach)
			args->flags |= DRM_BUFSHARE_INFO_IMPORTED;
		if (bufshare_user_is(buf->obj))
			args->flags |= DRM_BUFSHARE_INFO_USER_MEMORY;
		args->size = buf->size;
		args->seq = buf->seq;
		args->released = buf->released;
		args->user_data = buf->user_data;
		export_uuid(args->uuid, &buf->uuid);
		args->num_ranges = buf->num_ranges;
		args->path = buf->path;
		args->consumers = buf->consumers;
		memcpy(args->application, buf->application, sizeof(args->application));
	} else {
		ret = -ENOENT;
	}
	spin_unlock(&buf->bdev->lock);
	return ret;
}

/* Writes at most @room ids greater than @after, in order, and returns how many there are. */
u32 bufshare_buffer_list(struct bufshare_file *bfile, bool all, u64 after, u64 *ids, u32 room)
{
	struct bufshare_device *bdev = bfile->bdev;
	struct bufshare_buffer *buf;
	unsigned long id = after;
	u32 n = 0;

	if (after >= ULONG_MAX)
		return 0;
	spin_lock(&bdev->lock);
	while ((buf = xa_find_after(&bdev->buffers, &id, ULONG_MAX, XA_PRESENT))) {
		if (!is_registered(buf) || !(all || buf->file == bfile))
			continue;
		if (n < room)
			ids[n] = id;
		n++;
	}
	spin_unlock(&bdev->lock);
	return n;
}

/**
 * bufshare_buffer_reset_file - take all buffers of a file back
 * @bfile: the file
 * @reason: enum virtio_bufshare_reason
 * @wait: for the device
 */
int bufshare_buffer_reset_file(struct bufshare_file *bfile, u32 reason, bool wait)
{
	struct bufshare_device *bdev = bfile->bdev;
	struct bufshare_request *req, *next_req;
	struct bufshare_buffer *buf, *next;
	LIST_HEAD(batch);
	int ret = 0;

	spin_lock(&bdev->lock);
	list_for_each_entry_safe(buf, next, &bfile->buffers, file_link) {
		if (is_registered(buf))
			list_add_tail(&take_back_locked(buf, reason)->batch, &batch);
	}
	spin_unlock(&bdev->lock);

	list_for_each_entry(req, &batch, batch)
		bufshare_submit(req);
	list_for_each_entry_safe(req, next_req, &batch, batch) {
		list_del_init(&req->batch);
		if (wait && !ret)
			ret = unregister_result(bufshare_wait(req));
		bufshare_request_put(req);
	}
	return ret;
}

/* What was registered before the reset is lost. */
static void reset_answered(struct bufshare_request *req)
{
	struct bufshare_device *bdev = req->bdev;
	struct bufshare_buffer *buf;
	unsigned long id;

	if (req->result)
		return;

	spin_lock(&bdev->lock);
	xa_for_each(&bdev->buffers, id, buf) {
		if (buf->state == BUFSHARE_LIVE && buf->stamp < req->stamp)
			bufshare_buffer_lose_locked(buf, VIRTIO_BUFSHARE_REASON_RESET);
	}
	spin_unlock(&bdev->lock);
}

/**
 * bufshare_buffer_reset_all - take all buffers of all files back, and wait for the device
 * @bfile: its buffers are unregistered; those of others are lost, of which their files hear
 */
int bufshare_buffer_reset_all(struct bufshare_file *bfile)
{
	struct bufshare_request *req;
	int ret;

	ret = bufshare_buffer_reset_file(bfile, VIRTIO_BUFSHARE_REASON_RESET, true);
	if (ret)
		return ret;

	req = bufshare_request_new(bfile->bdev, VIRTIO_BUFSHARE_CMD_RESET,
				   sizeof(struct virtio_bufshare_reset),
				   sizeof(struct virtio_bufshare_response),
				   sizeof(struct virtio_bufshare_response));
	if (!req)
		return -ENOMEM;

	req->retry = true;
	req->answered = reset_answered;
	ret = bufshare_call(req);
	bufshare_request_put(req);
	return ret;
}

/**
 * bufshare_buffer_lose_locked - the host does not have a buffer any more
 * @buf: the registration
 * @reason: enum virtio_bufshare_reason
 *
 * The program is told, and unregisters it. Whatever it waits for is released.
 */
void bufshare_buffer_lose_locked(struct bufshare_buffer *buf, u32 reason)
{
	lockdep_assert_held(&buf->bdev->lock);
	if (buf->state == BUFSHARE_REGISTERING) {
		buf->lost_early = true;
		buf->lost_reason = reason;
	}
	if (buf->state != BUFSHARE_LIVE)
		return;

	buf->state = BUFSHARE_LOST;
	bufshare_cycle_cancel_locked(buf);
	if (buf->released < buf->seq)
		bufshare_cycle_released_locked(buf, buf->seq, DRM_BUFSHARE_RELEASED_HOST_GONE);
	bufshare_event_send_locked(buf->file, DRM_BUFSHARE_EVENT_BUFFER_LOST, buf, 0, 0, reason);
}

/* The device is gone, and with it the host's knowledge of all buffers. */
void bufshare_buffer_drop_all(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buf, *next;
	unsigned long id;
	LIST_HEAD(gone);

	spin_lock(&bdev->lock);
	xa_for_each(&bdev->buffers, id, buf) {
		if (is_registered(buf)) {
			make_gone_locked(buf);
			list_add_tail(&buf->file_link, &gone);
		}
	}
	spin_unlock(&bdev->lock);
	list_for_each_entry_safe(buf, next, &gone, file_link) {
		list_del_init(&buf->file_link);
		bufshare_buffer_put(buf);
	}
}
