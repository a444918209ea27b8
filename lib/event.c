/* SPDX-License-Identifier: MIT */
/*
 * Events: the kernel gives as many as there are at once, the program takes one by one.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "lib/internal.h"

static int translate(const struct drm_bufshare_event *from, struct bufshare_event *to)
{
	uint32_t type;

	switch (from->base.type) {
	case DRM_BUFSHARE_EVENT_RELEASED:
		type = BUFSHARE_EVENT_RELEASED;
		break;
	case DRM_BUFSHARE_EVENT_CONSUMERS:
		type = BUFSHARE_EVENT_CONSUMERS;
		break;
	case DRM_BUFSHARE_EVENT_PROPERTIES:
		type = BUFSHARE_EVENT_PROPERTIES;
		break;
	case DRM_BUFSHARE_EVENT_BUFFER_LOST:
		type = BUFSHARE_EVENT_BUFFER_LOST;
		break;
	case DRM_BUFSHARE_EVENT_RESTARTED:
		type = BUFSHARE_EVENT_RESTARTED;
		break;
	case DRM_BUFSHARE_EVENT_DEVICE_LOST:
		type = BUFSHARE_EVENT_DEVICE_LOST;
		break;
	case DRM_BUFSHARE_EVENT_OVERFLOW:
		type = BUFSHARE_EVENT_OVERFLOW;
		break;
	default:
		return -ENOENT; /* of a newer driver */
	}
	*to = (struct bufshare_event){
		.type = type,
		.flags = from->flags,
		.buffer_id = from->id,
		.seq = from->seq,
		.time_ns = from->time_ns,
		.user_data = from->user_data,
		.value = from->value,
	};
	return 0;
}

/*
 * The next of what was read that this library knows. -ENOENT: none is left. pos is where it
 * begins, and behind it when it is taken.
 */
static int peek_event(struct bufshare_device *dev, struct bufshare_event *event, size_t *size)
{
	while (dev->events_size - dev->events_pos >= sizeof(struct drm_event)) {
		const char *at = dev->events.bytes + dev->events_pos;
		struct drm_bufshare_event e = { 0 };
		struct drm_event base;

		memcpy(&base, at, sizeof(base));
		if (base.length < sizeof(base) || base.length > dev->events_size - dev->events_pos)
			break;
		memcpy(&e, at, base.length < sizeof(e) ? base.length : sizeof(e));
		*size = base.length;
		if (translate(&e, event) == 0)
			return 0;
		dev->events_pos += base.length;
	}
	dev->events_pos = dev->events_size = 0;
	return -ENOENT;
}

bool device_has_event(struct bufshare_device *dev)
{
	struct bufshare_event event;
	size_t size;

	return peek_event(dev, &event, &size) == 0;
}

/* Takes it, with what it means for the library itself. */
static int next_event(struct bufshare_device *dev, struct bufshare_event *event)
{
	size_t size;
	int r;

	r = peek_event(dev, event, &size);
	if (r < 0)
		return r;
	dev->events_pos += size;

	/* Which buffers' copies are old is found out when somebody looks at them. */
	if (event->type == BUFSHARE_EVENT_PROPERTIES || event->type == BUFSHARE_EVENT_OVERFLOW ||
	    event->type == BUFSHARE_EVENT_RESTARTED)
		dev->properties_changed++;
	if (event->type == BUFSHARE_EVENT_DEVICE_LOST)
		dev->lost = true;
	return 0;
}

static void append_event(struct bufshare_device *dev, uint32_t type, uint64_t time_ns)
{
	const struct drm_bufshare_event e = {
		.base = { .type = type, .length = sizeof(e) },
		.time_ns = time_ns,
	};

	memcpy(dev->events.bytes + dev->events_size, &e, sizeof(e));
	dev->events_size += sizeof(e);
}

/* For a program that waits but never reads: it is told as the driver tells it. */
static void drop_events(struct bufshare_device *dev)
{
	struct bufshare_event event = { 0 };

	while (next_event(dev, &event) == 0)
		;
	append_event(dev, DRM_BUFSHARE_EVENT_OVERFLOW, event.time_ns);
	if (dev->lost)
		append_event(dev, DRM_BUFSHARE_EVENT_DEVICE_LOST, event.time_ns);
	dev->lost = false;
}

/* Puts what there is behind what was read before. -EAGAIN: nothing. Does not block. */
static int read_events(struct bufshare_device *dev)
{
	struct pollfd p = { .fd = dev->fd, .events = POLLIN };
	ssize_t n;

	memmove(dev->events.bytes, dev->events.bytes + dev->events_pos,
		dev->events_size - dev->events_pos);
	dev->events_size -= dev->events_pos;
	dev->events_pos = 0;
	if (sizeof(dev->events.bytes) - dev->events_size < EVENT_SPACE)
		drop_events(dev);

	if (dev->blocking && poll(&p, 1, 0) == 0)
		return -EAGAIN;
	do {
		n = read(dev->fd, dev->events.bytes + dev->events_size, EVENT_SPACE);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	dev->events_size += (size_t)n;
	return n ? 0 : -EAGAIN;
}

static int64_t remaining_ns(const struct timespec *deadline)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (deadline->tv_sec - now.tv_sec) * 1000000000LL + deadline->tv_nsec - now.tv_nsec;
}

int device_wait_events(struct bufshare_device *dev, const struct timespec *deadline)
{
	struct pollfd p = { .fd = dev->fd, .events = POLLIN };
	struct timespec left;
	int64_t ns;
	int r;

	do {
		ns = deadline ? remaining_ns(deadline) : 0;
		if (ns < 0)
			ns = 0;
		left = (struct timespec){ (time_t)(ns / 1000000000), ns % 1000000000 };
		r = ppoll(&p, 1, deadline ? &left : NULL, NULL);
		if (r < 0)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		if (!(p.revents & POLLIN))
			return -ENODEV;
		r = read_events(dev);
	} while (r == -EAGAIN);
	return r;
}

BUFSHARE_EXPORT int bufshare_device_read_event(struct bufshare_device *dev,
					       struct bufshare_event *event)
{
	int r;

	if (!dev || !event)
		return -EINVAL;
	r = device_check_open(dev);
	while (r == 0 && next_event(dev, event) < 0)
		r = dev->lost ? -ENODEV : read_events(dev);
	return r;
}
