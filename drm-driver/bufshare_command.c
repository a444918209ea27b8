// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The commands but UPDATE and RESET: how they are made, and what their answers may say. */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "bufshare_drv.h"

/* What the driver makes use of. */
#define BUFSHARE_CAPS \
	(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_RECOVERY | \
	 VIRTIO_BUFSHARE_CAP_ZERO_COPY | VIRTIO_BUFSHARE_CAP_UNMAPPED)

/**
 * bufshare_command_register - make a REGISTER command
 * @buf: the registration, whose ranges have been counted
 * @flags: VIRTIO_BUFSHARE_REGISTER_*
 *
 * Return: the request, which has a reference to @buf; or an ERR_PTR().
 */
struct bufshare_request *bufshare_command_register(struct bufshare_buffer *buf, u32 flags)
{
	struct bufshare_device *bdev = buf->bdev;
	size_t ranges_size = array_size(buf->num_ranges, sizeof(struct virtio_bufshare_range));
	bool again = flags & VIRTIO_BUFSHARE_REGISTER_AGAIN;
	size_t props_room = again ? VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE : buf->props_size;
	struct virtio_bufshare_register *cmd;
	struct bufshare_request *req;
	int n;

	req = bufshare_request_new(bdev, VIRTIO_BUFSHARE_CMD_REGISTER,
				   sizeof(*cmd) + ranges_size + props_room,
				   sizeof(struct virtio_bufshare_register_response),
				   sizeof(struct virtio_bufshare_register_response));
	if (!req)
		return ERR_PTR(-ENOMEM);

	kref_get(&buf->ref);
	req->buffer = buf;
	cmd = req->cmd;
	n = bufshare_gem_ranges(bdev, buf->obj, (void *)(cmd + 1), buf->num_ranges);
	if (n != buf->num_ranges) {
		bufshare_request_put(req);
		return ERR_PTR(n < 0 ? n : -EOPNOTSUPP);
	}

	cmd->hdr.flags = cpu_to_le32(flags);
	cmd->buffer = cpu_to_le64(buf->id);
	cmd->size = cpu_to_le64(buf->size);
	cmd->num_ranges = cpu_to_le32(buf->num_ranges);
	memcpy(cmd->application, buf->application, sizeof(cmd->application));

	/* Only of a buffer that is known already do they change. */
	spin_lock(&bdev->lock);
	cmd->seq = cpu_to_le64(buf->sent);
	cmd->properties_size = cpu_to_le32(buf->props_size);
	memcpy((char *)(cmd + 1) + ranges_size, buf->props, buf->props_size);
	spin_unlock(&bdev->lock);
	bufshare_request_trim(req, sizeof(*cmd) + ranges_size + le32_to_cpu(cmd->properties_size));
	return req;
}

/**
 * bufshare_command_registered - read the answer to a REGISTER command
 * @req: answered with OK
 *
 * Return: 0, and the registration has it; -EPROTO if it makes no sense.
 */
int bufshare_command_registered(struct bufshare_request *req)
{
	struct virtio_bufshare_register_response resp;
	struct bufshare_buffer *buf = req->buffer;
	u32 path;

	memcpy(&resp, req->resp, sizeof(resp));
	path = le32_to_cpu(resp.path);
	if (path < VIRTIO_BUFSHARE_PATH_COPY || path > VIRTIO_BUFSHARE_PATH_MEMFD) {
		bufshare_bad_message(buf->bdev, "path of a buffer", path);
		return -EPROTO;
	}
	if (!memchr_inv(resp.uuid, 0, sizeof(resp.uuid))) {
		bufshare_bad_message(buf->bdev, "no UUID for a buffer", buf->id);
		return -EPROTO;
	}

	spin_lock(&buf->bdev->lock);
	import_uuid(&buf->uuid, resp.uuid);
	buf->path = path;
	if (!buf->consumers_told)
		buf->consumers = le32_to_cpu(resp.consumers);
	spin_unlock(&buf->bdev->lock);
	return 0;
}

/* The buffer and the reason are filled in when it is sent. */
struct bufshare_request *bufshare_command_unregister(struct bufshare_device *bdev)
{
	return bufshare_request_new(bdev, VIRTIO_BUFSHARE_CMD_UNREGISTER,
				    sizeof(struct virtio_bufshare_unregister),
				    sizeof(struct virtio_bufshare_unregister_response),
				    sizeof(struct virtio_bufshare_unregister_response));
}

static void init_answered(struct bufshare_request *req)
{
	struct virtio_bufshare_init_response resp;
	struct virtio_bufshare_init *cmd = req->cmd;
	struct bufshare_device *bdev = req->bdev;
	u64 epoch, caps;

	if (req->result)
		return;

	memcpy(&resp, req->resp, sizeof(resp));
	epoch = le64_to_cpu(resp.epoch);
	caps = le64_to_cpu(resp.caps);
	if (!epoch || caps & ~le64_to_cpu(cmd->caps)) {
		bufshare_bad_message(bdev, "epoch or capabilities", caps);
		req->result = -EPROTO;
		return;
	}

	spin_lock(&bdev->lock);
	bdev->epoch = epoch;
	bdev->caps = caps;
	bdev->generation++;
	if (bdev->recovery == BUFSHARE_RECOVERY_INIT)
		bdev->recovery = BUFSHARE_RECOVERY_REGISTER;
	spin_unlock(&bdev->lock);
}

/**
 * bufshare_command_init - begin or resume an epoch, and wait for it
 * @bdev: the device
 * @epoch: to resume, or zero
 * @urgent: part of the recovery
 */
int bufshare_command_init(struct bufshare_device *bdev, u64 epoch, bool urgent)
{
	struct virtio_bufshare_init *cmd;
	struct bufshare_request *req;
	int ret;

	req = bufshare_request_new(bdev, VIRTIO_BUFSHARE_CMD_INIT, sizeof(*cmd),
				   sizeof(struct virtio_bufshare_init_response),
				   sizeof(struct virtio_bufshare_init_response));
	if (!req)
		return -ENOMEM;

	cmd = req->cmd;
	cmd->hdr.epoch = cpu_to_le64(epoch);
	cmd->version = cpu_to_le32(VIRTIO_BUFSHARE_VERSION);
	cmd->caps = cpu_to_le64(bdev->config.caps & BUFSHARE_CAPS);
	req->urgent = urgent;
	req->answered = init_answered;
	ret = bufshare_call(req);
	bufshare_request_put(req);
	return ret;
}

int bufshare_command_ping(struct bufshare_device *bdev, u64 *time_ns)
{
	struct virtio_bufshare_ping_response resp;
	struct virtio_bufshare_ping *cmd;
	struct bufshare_request *req;
	ktime_t begin;
	int ret;

	req = bufshare_request_new(bdev, VIRTIO_BUFSHARE_CMD_PING, sizeof(*cmd), sizeof(resp),
				   sizeof(resp));
	if (!req)
		return -ENOMEM;

	begin = ktime_get();
	cmd = req->cmd;
	cmd->cookie = cpu_to_le64(ktime_to_ns(begin));
	req->retry = true;
	ret = bufshare_call(req);
	if (!ret) {
		*time_ns = ktime_to_ns(ktime_sub(ktime_get(), begin));
		memcpy(&resp, req->resp, sizeof(resp));
		if (resp.cookie != cmd->cookie) {
			bufshare_bad_message(bdev, "cookie", le64_to_cpu(resp.cookie));
			ret = -EPROTO;
		}
	}
	bufshare_request_put(req);
	return ret;
}

/**
 * bufshare_command_props_fit - check a block against the limits of the device
 * @bdev: the device
 * @block: without removals
 * @size: bytes of it
 * @limit: where enum virtio_bufshare_limit goes if it does not fit
 */
bool bufshare_command_props_fit(struct bufshare_device *bdev, const char *block, size_t size,
				u32 *limit)
{
	if (size > bdev->config.max_properties_size) {
		*limit = VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE;
		return false;
	}
	if (bufshare_props_count(block, size) > bdev->config.max_properties) {
		*limit = VIRTIO_BUFSHARE_LIMIT_PROPERTIES;
		return false;
	}
	return true;
}

/*
 * Only here do the guest's properties change, when the device has them, one answer after
 * the other. So they are the same on both sides even if nobody waits for the answer any more.
 */
static void set_props_answered(struct bufshare_request *req)
{
	struct virtio_bufshare_set_properties *cmd = req->cmd;
	struct bufshare_device *bdev = req->bdev;
	struct bufshare_buffer *buf = req->buffer;
	char *block = req->scratch;
	size_t size;
	u32 limit;

	if (req->result)
		return;

	memcpy(block, buf->props, buf->props_size);
	size = bufshare_props_apply(block, buf->props_size, (char *)(cmd + 1),
				    le32_to_cpu(cmd->properties_size));
	if (!bufshare_command_props_fit(bdev, block, size, &limit)) {
		bufshare_bad_message(bdev, "took more properties than it can", size);
		req->result = -EPROTO;
		return;
	}

	/* The scratch is large, but will do where there is no memory. */
	block = kmemdup(req->scratch, size, GFP_KERNEL);
	if (!block) {
		block = req->scratch;
		req->scratch = NULL;
	}

	spin_lock(&bdev->lock);
	swap(buf->props, block);
	buf->props_size = size;
	if (req->tell_owner && buf->state == BUFSHARE_LIVE)
		bufshare_event_send_locked(buf->file, DRM_BUFSHARE_EVENT_PROPERTIES, buf, 0, 0, 0);
	spin_unlock(&bdev->lock);
	kfree(block);
}

static int set_props(struct bufshare_buffer *buf, struct bufshare_file *by,
		     struct bufshare_request *req, const char *changes, size_t size)
{
	struct virtio_bufshare_set_properties *cmd = req->cmd;
	struct bufshare_device *bdev = req->bdev;
	size_t new_size;
	u32 limit;
	int ret = 0;

	req->scratch = kmalloc(BUFSHARE_PROPS_ROOM, GFP_KERNEL);
	if (!req->scratch)
		return -ENOMEM;

	spin_lock(&bdev->lock);
	if (buf->state != BUFSHARE_LIVE)
		ret = buf->state == BUFSHARE_LOST ? -ESTALE : -ENOENT;
	req->tell_owner = buf->file != by;
	new_size = buf->props_size;
	memcpy(req->scratch, buf->props, new_size);
	spin_unlock(&bdev->lock);
	if (ret)
		return ret;

	new_size = bufshare_props_apply(req->scratch, new_size, changes, size);
	if (!bufshare_command_props_fit(bdev, req->scratch, new_size, &limit))
		return -ENOSPC;

	kref_get(&buf->ref);
	req->buffer = buf;
	req->retry = true;
	req->answered = set_props_answered;
	cmd->buffer = cpu_to_le64(buf->id);
	cmd->properties_size = cpu_to_le32(size);
	memcpy(cmd + 1, changes, size);
	return bufshare_call(req);
}

/**
 * bufshare_command_set_props - change the guest's properties, and wait for the device
 * @buf: the registration
 * @by: the file that does; another one that registered it gets an event
 * @changes: a checked block
 * @size: bytes of it
 */
int bufshare_command_set_props(struct bufshare_buffer *buf, struct bufshare_file *by,
			       const char *changes, size_t size)
{
	struct bufshare_request *req;
	int ret;

	req = bufshare_request_new(buf->bdev, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES,
				   sizeof(struct virtio_bufshare_set_properties) + size,
				   sizeof(struct virtio_bufshare_response),
				   sizeof(struct virtio_bufshare_response));
	if (!req)
		return -ENOMEM;

	ret = mutex_lock_killable(&buf->props_mutex);
	if (!ret) {
		ret = set_props(buf, by, req, changes, size);
		mutex_unlock(&buf->props_mutex);
	}
	bufshare_request_put(req);
	return ret;
}

/* Takes over what the device says of the host's properties. */
static int read_host_props(struct bufshare_buffer *buf, struct bufshare_request *req)
{
	struct virtio_bufshare_get_properties_response resp;
	char *block, *sorted;
	int ret = -EPROTO;
	u32 size;

	memcpy(&resp, req->resp, sizeof(resp));
	size = le32_to_cpu(resp.properties_size);
	if (size > req->used - sizeof(resp) || resp.reserved) {
		bufshare_bad_message(buf->bdev, "size of properties", size);
		return -EPROTO;
	}

	/* A copy, which the device cannot change after the check. */
	block = kmemdup(req->resp + sizeof(resp), size, GFP_KERNEL);
	sorted = kmalloc(BUFSHARE_PROPS_ROOM, GFP_KERNEL);
	if (!block || !sorted) {
		ret = -ENOMEM;
		goto out_free;
	}
	if (bufshare_props_check(block, size, BUFSHARE_PROPS_HOST)) {
		bufshare_bad_message(buf->bdev, "properties of a buffer", buf->id);
		goto out_free;
	}
	bufshare_props_apply(sorted, 0, block, size);
	memcpy(block, sorted, size);

	spin_lock(&buf->bdev->lock);
	swap(buf->host_props, block);
	buf->host_props_size = size;
	buf->host_generation = le64_to_cpu(resp.generation);
	buf->host_stale = false;
	spin_unlock(&buf->bdev->lock);
	ret = 0;

out_free:
	kfree(sorted);
	kfree(block);
	return ret;
}

/* Reads the host's properties if they changed. Under the mutex of the properties. */
static int refresh_host_props(struct bufshare_buffer *buf)
{
	struct bufshare_device *bdev = buf->bdev;
	struct virtio_bufshare_named *cmd;
	struct bufshare_request *req;
	bool fresh;
	int ret;

	spin_lock(&bdev->lock);
	fresh = buf->state != BUFSHARE_LIVE ||
		!(bdev->caps & VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES) ||
		(!buf->host_stale && buf->host_generation >= buf->host_newest);
	spin_unlock(&bdev->lock);
	if (fresh)
		return 0;

	req = bufshare_request_new(bdev, VIRTIO_BUFSHARE_CMD_GET_PROPERTIES, sizeof(*cmd),
				   sizeof(struct virtio_bufshare_get_properties_response) +
				   VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE,
				   sizeof(struct virtio_bufshare_get_properties_response));
	if (!req)
		return -ENOMEM;

	kref_get(&buf->ref);
	req->buffer = buf;
	req->retry = true;
	cmd = req->cmd;
	cmd->buffer = cpu_to_le64(buf->id);
	ret = bufshare_call(req);
	if (!ret)
		ret = read_host_props(buf, req);
	bufshare_request_put(req);
	return ret;
}

/**
 * bufshare_command_get_props - the properties of both sides, sorted by name
 * @buf: the registration
 * @block: BUFSHARE_PROPS_ROOM for them
 * @size: where their bytes go
 */
int bufshare_command_get_props(struct bufshare_buffer *buf, char *block, size_t *size)
{
	int ret;

	ret = mutex_lock_killable(&buf->props_mutex);
	if (ret)
		return ret;

	ret = refresh_host_props(buf);
	if (!ret) {
		spin_lock(&buf->bdev->lock);
		memcpy(block, buf->props, buf->props_size);
		*size = bufshare_props_apply(block, buf->props_size, buf->host_props,
					     buf->host_props_size);
		spin_unlock(&buf->bdev->lock);
	}
	mutex_unlock(&buf->props_mutex);
	return ret;
}
