/* SPDX-License-Identifier: MIT */
/*
 * Updates and their releases. What makes an update is on the stack: the only call is the
 * ioctl, and nothing is allocated.
 */
#include <errno.h>
#include <time.h>

#include "lib/internal.h"

#define UPDATE_FLAGS                                                                           \
	(BUFSHARE_UPDATE_ACQUIRE_FD | BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ |                        \
	 BUFSHARE_UPDATE_ACQUIRE_IMPLICIT | BUFSHARE_UPDATE_RELEASE_SYNCOBJ)

_Static_assert(BUFSHARE_MAX_UPDATES == DRM_BUFSHARE_MAX_UPDATES, "updates of one call");
_Static_assert(BUFSHARE_UPDATE_ACQUIRE_FD == DRM_BUFSHARE_UPDATE_IN_FENCE_FD &&
	       BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ == DRM_BUFSHARE_UPDATE_IN_SYNCOBJ &&
	       BUFSHARE_UPDATE_ACQUIRE_IMPLICIT == DRM_BUFSHARE_UPDATE_IN_IMPLICIT &&
	       BUFSHARE_UPDATE_RELEASE_SYNCOBJ == DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ, "flags");
/* The driver reads the rectangles where the program has them. */
_Static_assert(sizeof(struct bufshare_rect) == sizeof(struct drm_bufshare_rect) &&
	       offsetof(struct bufshare_rect, y) == offsetof(struct drm_bufshare_rect, y) &&
	       offsetof(struct bufshare_rect, width) == offsetof(struct drm_bufshare_rect, width) &&
	       offsetof(struct bufshare_rect, height) == offsetof(struct drm_bufshare_rect, height),
	       "rectangles");

/* Of a size, and with edges that are numbers. */
static bool rect_valid(const struct bufshare_rect *r)
{
	return r->width && r->height && r->width <= UINT32_MAX - r->x &&
	       r->height <= UINT32_MAX - r->y;
}

/* One rectangle around all. */
static struct drm_bufshare_rect around(const struct bufshare_rect *r, size_t n)
{
	uint32_t left = r[0].x, top = r[0].y, right = left, bottom = top;
	size_t i;

	for (i = 0; i < n; i++) {
		if (r[i].x < left)
			left = r[i].x;
		if (r[i].y < top)
			top = r[i].y;
		if (r[i].x + r[i].width > right)
			right = r[i].x + r[i].width;
		if (r[i].y + r[i].height > bottom)
			bottom = r[i].y + r[i].height;
	}
	return (struct drm_bufshare_rect){ left, top, right - left, bottom - top };
}

/* A field has a value if its flag is there, and is zero if not. */
static bool fences_valid(const struct bufshare_update *u)
{
	const bool fd = u->flags & BUFSHARE_UPDATE_ACQUIRE_FD;
	const bool acquire = u->flags & BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ;
	const bool release = u->flags & BUFSHARE_UPDATE_RELEASE_SYNCOBJ;

	return !(u->flags & ~UPDATE_FLAGS) && (fd ? u->acquire_fd >= 0 : !u->acquire_fd) &&
	       acquire == !!u->acquire_syncobj && (acquire || !u->acquire_point) &&
	       release == !!u->release_syncobj && (release || !u->release_point);
}

static int check_update(const struct bufshare_device *dev, const struct bufshare_update *u)
{
	size_t i;

	if (!u->buffer || u->buffer->dev != dev || (u->num_damage && !u->damage) ||
	    !fences_valid(u) || u->reserved[0] || u->reserved[1])
		return -EINVAL;
	for (i = 0; i < u->num_damage; i++) {
		if (!rect_valid(&u->damage[i]))
			return -EINVAL;
	}
	if (!u->buffer->id)
		return -ENOENT;
	return u->flags && !(dev->features & DRM_BUFSHARE_FEATURE_FENCES) ? -EOPNOTSUPP : 0;
}

/* all is where one rectangle has room. */
static void fill_entry(const struct bufshare_update *u, struct drm_bufshare_update_entry *entry,
		       struct drm_bufshare_rect *all)
{
	*entry = (struct drm_bufshare_update_entry){
		.id = u->buffer->id,
		.damage = u->num_damage ? (uintptr_t)u->damage : 0,
		.num_damage = (uint32_t)u->num_damage,
		.flags = u->flags,
		.in_fence_fd = u->acquire_fd,
		.in_syncobj = u->acquire_syncobj,
		.in_point = u->acquire_point,
		.release_syncobj = u->release_syncobj,
		.release_point = u->release_point,
	};
	if (u->num_damage > BUFSHARE_MAX_DAMAGE ||
	    u->num_damage > u->buffer->dev->limits[BUFSHARE_LIMIT_DAMAGE]) {
		*all = around(u->damage, u->num_damage);
		entry->damage = (uintptr_t)all;
		entry->num_damage = 1;
	}
}

BUFSHARE_EXPORT int bufshare_device_update(struct bufshare_device *dev,
					   struct bufshare_update *updates, size_t n)
{
	struct drm_bufshare_update_entry entries[BUFSHARE_MAX_UPDATES];
	struct drm_bufshare_rect all[BUFSHARE_MAX_UPDATES];
	size_t i;
	int r;

	if (!dev || !updates || !n || n > BUFSHARE_MAX_UPDATES)
		return -EINVAL;
	r = device_check_open(dev);
	for (i = 0; i < n && r == 0; i++)
		r = check_update(dev, &updates[i]);
	if (r < 0)
		return r;

	for (i = 0; i < n; i++)
		fill_entry(&updates[i], &entries[i], &all[i]);
	r = ioctl_update(dev, entries, (uint32_t)n);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++)
		updates[i].seq = entries[i].seq;
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_update(struct bufshare_buffer *buf,
					   const struct bufshare_rect *damage, size_t n,
					   uint64_t *seq)
{
	struct bufshare_update update = { .buffer = buf, .damage = damage, .num_damage = n };
	int r;

	if (!buf)
		return -EINVAL;
	r = bufshare_device_update(buf->dev, &update, 1);
	if (r == 0 && seq)
		*seq = update.seq;
	return r;
}

BUFSHARE_EXPORT int bufshare_buffer_is_busy(struct bufshare_buffer *buf)
{
	struct drm_bufshare_info info = { 0 };
	int r;

	if (!buf)
		return -EINVAL;
	if (!buf->id)
		return -ENOENT;
	info.id = buf->id;
	r = ioctl_info(buf->dev, &info);
	return r < 0 ? r : !!(info.flags & DRM_BUFSHARE_INFO_BUSY);
}

/* NULL: never. */
static const struct timespec *get_deadline(int64_t timeout_ns, struct timespec *deadline)
{
	const int64_t second = 1000000000;
	struct timespec now;
	int64_t ns;

	if (timeout_ns < 0 || timeout_ns > INT64_MAX / 2)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = now.tv_nsec + timeout_ns % second;
	deadline->tv_sec = now.tv_sec + (time_t)(timeout_ns / second + ns / second);
	deadline->tv_nsec = ns % second;
	return deadline;
}

BUFSHARE_EXPORT int bufshare_buffer_wait(struct bufshare_buffer *buf, uint64_t seq,
					 int64_t timeout_ns)
{
	struct timespec time;
	const struct timespec *deadline = get_deadline(timeout_ns, &time);
	int r = 0;

	if (!buf)
		return -EINVAL;
	if (!buf->id)
		return -ENOENT;
	while (r == 0) {
		struct drm_bufshare_info info = { .id = buf->id };

		r = ioctl_info(buf->dev, &info);
		if (r < 0)
			return r;
		if (seq > info.seq)
			return -EINVAL;
		seq = seq ?: info.seq;
		if (info.released >= seq)
			return 0;
		if (info.flags & DRM_BUFSHARE_INFO_LOST)
			return -ESTALE;
		r = device_wait_events(buf->dev, deadline);
	}
	return r;
}

BUFSHARE_EXPORT int bufshare_device_wait(struct bufshare_device *dev, int64_t timeout_ns)
{
	struct timespec time;
	const struct timespec *deadline = get_deadline(timeout_ns, &time);
	int r;

	if (!dev)
		return -EINVAL;
	r = device_check_open(dev);
	while (r == 0 && !device_has_event(dev)) {
		if (dev->lost)
			return -ENODEV;
		r = device_wait_events(dev, deadline);
	}
	return r;
}
