/* SPDX-License-Identifier: MIT */
/*
 * Events: the kernel gives as many as there are at once, the program takes one by one.
 */
#include <errno.h>
#include <string.h>

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

/* Takes events out of what was read until one is known. -ENOENT: none is left. */
static int next_event(struct bufshare_device *dev, struct bufshare_event *event)
{
	while (dev->events_size - dev->events_pos >= sizeof(struct drm_event)) {
		const char *at = dev->events.bytes + dev->events_pos;
		struct drm_bufshare_event e = { 0 };
		struct drm_event base;

		memcpy(&base, at, sizeof(base));
		if (base.length < sizeof(base) || base.length > dev->events_size - dev->events_pos)
			break;
		dev->events_pos += base.length;
		memcpy(&e, at, base.length < sizeof(e) ? base.length : sizeof(e));
		if (translate(&e, event) == 0)
			return 0;
	}
	dev->events_pos = dev->events_size = 0;
	return -ENOENT;
}

BUFSHARE_EXPORT int bufshare_device_read_event(struct bufshare_device *dev,
					       struct bufshare_event *event)
{
	ssize_t n;
	int r;

	if (!dev || !event)
		return -EINVAL;
	r = device_check_open(dev);
	if (r < 0)
		return r;

	while (next_event(dev, event) < 0) {
		if (dev->lost)
			return -ENODEV;
		n = read(dev->fd, dev->events.bytes, sizeof(dev->events.bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EAGAIN;
		dev->events_size = (size_t)n;
	}
	/* Which buffers' copies are old is found out when somebody looks at them. */
	if (event->type == BUFSHARE_EVENT_PROPERTIES || event->type == BUFSHARE_EVENT_OVERFLOW ||
	    event->type == BUFSHARE_EVENT_RESTARTED)
		dev->properties_changed++;
	if (event->type == BUFSHARE_EVENT_DEVICE_LOST)
		dev->lost = true;
	return 0;
}
