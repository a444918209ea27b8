/* SPDX-License-Identifier: MIT */
/*
 * The other side of the fake driver: what tests make happen, and what they ask.
 */
#include <errno.h>
#include <linux/virtio_bufshare.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "guest/fake-drm-internal.h"

/* ---- how calls go wrong ---- */

void fake_fail_ioctl(struct fake_device *dev, unsigned long request, int error, int count)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAX_FAULTS; i++) {
		struct fake_fault *f = &dev->faults[i];

		if (f->request && f->request != request)
			continue;
		*f = (struct fake_fault){ request, error, count };
		return;
	}
	fake_die("too many faults");
}

void fake_fail_open(struct fake_device *dev, int error)
{
	dev->open_error = error;
}

void fake_fail_mmap(struct fake_device *dev, int error)
{
	dev->mmap_error = error;
}

void fake_refuse_register(struct fake_device *dev, uint32_t status, uint32_t detail)
{
	dev->refuse_status = status;
	dev->refuse_detail = detail;
}

void fake_set_privileged(struct fake_device *dev, bool privileged)
{
	dev->privileged = privileged;
}

void fake_set_num_ranges(struct fake_device *dev, uint32_t num_ranges)
{
	dev->num_ranges = num_ranges;
}

void fake_set_reset_error(struct fake_device *dev, int error)
{
	dev->reset_error = error;
}

void fake_set_still_mapped(struct fake_device *dev, bool still_mapped)
{
	dev->still_mapped = still_mapped;
}

/* ---- what the host does ---- */

void fake_set_consumers(struct fake_device *dev, uint32_t consumers)
{
	dev->consumers = consumers;
}

void fake_set_auto_release(struct fake_device *dev, bool auto_release)
{
	dev->auto_release = auto_release;
}

static void send_bytes(const struct fake_file *file, const void *bytes, size_t size)
{
	if (send(file->kernel_end, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		fake_die("an event");
}

void fake_send_event(struct fake_file *file, uint32_t type, const struct fake_buffer *buf,
		     uint64_t seq, uint32_t flags, uint32_t value)
{
	static const struct drm_event unknown = { .type = 0x800000ff, .length = sizeof(unknown) };
	const struct fake_config *c = &file->dev->config;
	struct {
		struct drm_bufshare_event event;
		uint64_t more;
	} e = {
		.event = {
			.id = buf ? buf->id : 0,
			.seq = seq,
			.user_data = buf ? buf->user_data : 0,
			.time_ns = 12345,
			.flags = flags | (c->newer ? FAKE_NEWER_FLAG : 0),
			.value = value,
		},
		.more = UINT64_MAX,
	};
	const size_t length = c->older ? offsetof(struct drm_bufshare_event, flags) :
			      c->newer ? sizeof(e) : sizeof(e.event);

	e.event.base = (struct drm_event){ .type = type, .length = (uint32_t)length };
	if (c->newer)
		send_bytes(file, &unknown, sizeof(unknown));
	send_bytes(file, &e, length);
}

void fake_send_raw(struct fake_device *dev, const void *bytes, size_t size)
{
	const struct fake_file *file;

	fake_files_reap(dev);
	file = TAILQ_LAST(&dev->files, fake_files);
	if (!file)
		fake_die("no file is open");
	send_bytes(file, bytes, size);
}

static struct fake_buffer *registered(struct fake_device *dev, uint64_t id)
{
	struct fake_buffer *buf;

	fake_files_reap(dev);
	buf = fake_buffer_find(dev, id);
	if (!buf)
		fake_die("no such buffer");
	return buf;
}

void fake_host_release(struct fake_device *dev, uint64_t id, uint64_t seq, uint32_t flags)
{
	struct fake_buffer *buf = registered(dev, id);

	if (seq <= buf->released || seq > buf->seq)
		fake_die("no such update");
	buf->released = seq;
	fake_fences_release(buf, seq);
	fake_send_event(buf->file, DRM_BUFSHARE_EVENT_RELEASED, buf, seq, flags, 0);
}

void fake_host_consumers(struct fake_device *dev, uint64_t id, uint32_t consumers)
{
	struct fake_buffer *buf = registered(dev, id);

	buf->consumers = consumers;
	fake_send_event(buf->file, DRM_BUFSHARE_EVENT_CONSUMERS, buf, 0, 0, consumers);
}

void fake_host_set_property(struct fake_device *dev, uint64_t id, const char *name,
			    const char *value)
{
	struct fake_buffer *buf = registered(dev, id);

	if (!props_is_host(name) || props_set(&buf->props, name, value) < 0)
		fake_die("a property of the host");
	fake_send_event(buf->file, DRM_BUFSHARE_EVENT_PROPERTIES, buf, 0, 0, 0);
}

void fake_host_lose_buffer(struct fake_device *dev, uint64_t id, uint32_t reason)
{
	struct fake_buffer *buf = registered(dev, id);

	buf->lost = true;
	if (buf->released < buf->seq)
		fake_host_release(dev, id, buf->seq, DRM_BUFSHARE_RELEASED_HOST_GONE);
	fake_send_event(buf->file, DRM_BUFSHARE_EVENT_BUFFER_LOST, buf, 0, 0, reason);
}

void fake_host_restart(struct fake_device *dev)
{
	struct fake_buffer *buf;
	struct fake_file *file;

	fake_files_reap(dev);
	TAILQ_FOREACH(buf, &dev->buffers, link)
		if (buf->released < buf->seq)
			fake_host_release(dev, buf->id, buf->seq, DRM_BUFSHARE_RELEASED_HOST_GONE);
	TAILQ_FOREACH(file, &dev->files, link)
		fake_send_event(file, DRM_BUFSHARE_EVENT_RESTARTED, NULL, 0, 0, 0);
}

/* ---- what the driver knows ---- */

unsigned int fake_count_ioctl(const struct fake_device *dev, unsigned long request)
{
	return dev->calls[request & 0xff];
}

unsigned int fake_count_ioctls(const struct fake_device *dev)
{
	unsigned int i, n = 0;

	for (i = 0; i < FAKE_NUM_CALLS; i++)
		n += dev->calls[i];
	return n;
}

unsigned int fake_count_opens(const struct fake_device *dev)
{
	return dev->opens;
}

unsigned int fake_count_files(struct fake_device *dev)
{
	const struct fake_file *file;
	unsigned int n = 0;

	fake_files_reap(dev);
	TAILQ_FOREACH(file, &dev->files, link)
		n++;
	return n;
}

unsigned int fake_count_handles(struct fake_device *dev)
{
	const struct fake_file *file;
	unsigned int i, n = 0;

	fake_files_reap(dev);
	TAILQ_FOREACH(file, &dev->files, link)
		for (i = 0; i < FAKE_MAX_HANDLES; i++)
			n += file->handles[i] != NULL;
	return n;
}

unsigned int fake_count_registered(struct fake_device *dev)
{
	const struct fake_buffer *buf;
	unsigned int n = 0;

	fake_files_reap(dev);
	TAILQ_FOREACH(buf, &dev->buffers, link)
		n++;
	return n;
}

const char *fake_get_application(struct fake_device *dev, uint64_t id)
{
	return registered(dev, id)->application;
}

const char *fake_get_property(struct fake_device *dev, uint64_t id, const char *name)
{
	return props_get(&registered(dev, id)->props, name);
}

void *fake_get_memory(struct fake_device *dev, uint64_t id)
{
	struct fake_object *object = registered(dev, id)->object;

	if (!object->map) {
		object->map = mmap(NULL, object->size, PROT_READ | PROT_WRITE, MAP_SHARED,
				   object->fd, 0);
		if (object->map == MAP_FAILED)
			fake_die("a mapping");
	}
	return object->map;
}

size_t fake_get_damage(const struct fake_device *dev, const struct drm_bufshare_rect **rects)
{
	*rects = dev->damage;
	return dev->num_damage;
}

uint32_t fake_get_create_flags(const struct fake_device *dev)
{
	return dev->create_flags;
}
