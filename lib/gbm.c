/* SPDX-License-Identifier: MIT */
/*
 * What is drawn through GBM. This is a library of its own, on top of what libbufshare
 * exports, so that only programs that draw need libgbm.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include <drm_fourcc.h>
#include <gbm.h>

#include <bufshare-gbm.h>

#include "common/cleanup.h"

#define BUFSHARE_EXPORT __attribute__((visibility("default")))

/* Buffers of a surface; Mesa has four. */
#define MAX_FRONTS 8

/* A buffer of the surface that has been in front. */
struct front {
	struct gbm_bo *bo; /* NULL: this place is free */
	struct bufshare_buffer *buf;
	bool locked;
};

struct bufshare_gbm_surface {
	int refs;
	struct bufshare_device *dev;
	struct gbm_surface *surface;
	char application[BUFSHARE_APPLICATION_SIZE];
	struct front fronts[MAX_FRONTS];
	struct front *newest; /* of the newest update */
};

static void cleanup_device(struct bufshare_device **dev)
{
	bufshare_device_unref(*dev);
}

static void cleanup_buffer(struct bufshare_buffer **buf)
{
	bufshare_buffer_unref(*buf);
}

/* ---- one bo ---- */

/* An open file has one handle for a buffer, which whoever closes it first closes for both. */
static bool same_file(int a, int b)
{
	const pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, (unsigned long)a, (unsigned long)b) == 0;
}

/* The dumb buffers that Mesa makes of our own nodes are linear, though it does not say so. */
static bool is_our_node(int fd)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;

	return bufshare_device_new_from_fd(fd, &dev) == 0;
}

static int get_modifier(struct gbm_bo *bo, uint64_t *modifier)
{
	const uint64_t m = gbm_bo_get_modifier(bo);

	if (m == DRM_FORMAT_MOD_INVALID && !is_our_node(gbm_device_get_fd(gbm_bo_get_device(bo))))
		return -EOPNOTSUPP;
	*modifier = m == DRM_FORMAT_MOD_INVALID ? DRM_FORMAT_MOD_LINEAR : m;
	return 0;
}

static uint32_t get_format(struct gbm_bo *bo)
{
	const uint32_t format = gbm_bo_get_format(bo);

	/* The names from before GBM took over those of DRM. */
	return format == GBM_BO_FORMAT_XRGB8888 ? DRM_FORMAT_XRGB8888 :
	       format == GBM_BO_FORMAT_ARGB8888 ? DRM_FORMAT_ARGB8888 : format;
}

static int describe(struct gbm_bo *bo, struct bufshare_framebuffer *fb)
{
	const int planes = gbm_bo_get_plane_count(bo);
	int i, r;

	if (planes < 1 || planes > BUFSHARE_MAX_PLANES)
		return -EOPNOTSUPP;
	*fb = (struct bufshare_framebuffer){
		.width = gbm_bo_get_width(bo),
		.height = gbm_bo_get_height(bo),
		.stride = gbm_bo_get_stride(bo),
		.format = get_format(bo),
		.offset = gbm_bo_get_offset(bo, 0),
		.num_more = (uint32_t)planes - 1,
	};
	r = get_modifier(bo, &fb->modifier);
	for (i = 1; i < planes && r == 0; i++) {
		if (gbm_bo_get_handle_for_plane(bo, i).u64 != gbm_bo_get_handle(bo).u64)
			r = -EOPNOTSUPP;
		fb->more[i - 1].offset = gbm_bo_get_offset(bo, i);
		fb->more[i - 1].stride = gbm_bo_get_stride_for_plane(bo, i);
	}
	return r;
}

BUFSHARE_EXPORT int bufshare_gbm_buffer_new(struct bufshare_device *dev, struct gbm_bo *bo,
					    struct bufshare_buffer **buf)
{
	_cleanup_(cleanup_buffer) struct bufshare_buffer *b = NULL;
	_cleanup_close_ int dmabuf = -1;
	struct bufshare_framebuffer fb;
	int fd, r;

	if (!dev || !bo || !buf)
		return -EINVAL;
	fd = bufshare_device_get_fd(dev);
	if (fd < 0)
		return fd;
	if (same_file(fd, gbm_device_get_fd(gbm_bo_get_device(bo))))
		return -EINVAL;
	r = describe(bo, &fb);
	if (r < 0)
		return r;

	dmabuf = gbm_bo_get_fd(bo);
	if (dmabuf < 0)
		return -EOPNOTSUPP;
	r = bufshare_buffer_import(dev, dmabuf, &b);
	if (r == 0)
		r = bufshare_buffer_set_framebuffer(b, &fb);
	if (r < 0)
		return r;
	*buf = steal_ptr(&b);
	return 0;
}

/* ---- a surface ---- */

BUFSHARE_EXPORT int bufshare_gbm_surface_new(struct bufshare_device *dev,
					     struct gbm_surface *surface, const char *application,
					     struct bufshare_gbm_surface **shared)
{
	struct bufshare_gbm_surface *s;
	int r;

	if (!dev || !surface || !application || !*application || !shared ||
	    strlen(application) >= sizeof(s->application))
		return -EINVAL;
	r = bufshare_device_get_fd(dev);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->refs = 1;
	s->dev = bufshare_device_ref(dev);
	s->surface = surface;
	memcpy(s->application, application, strlen(application) + 1);
	*shared = s;
	return 0;
}

BUFSHARE_EXPORT struct bufshare_gbm_surface *
bufshare_gbm_surface_ref(struct bufshare_gbm_surface *shared)
{
	if (shared)
		shared->refs++;
	return shared;
}

/* First the host lets go of it, then it can be drawn to again. */
static void front_drop(struct bufshare_gbm_surface *shared, struct front *front)
{
	bufshare_buffer_unref(front->buf);
	if (front->locked)
		gbm_surface_release_buffer(shared->surface, front->bo);
	*front = (struct front){ 0 };
	if (shared->newest == front)
		shared->newest = NULL;
}

BUFSHARE_EXPORT struct bufshare_gbm_surface *
bufshare_gbm_surface_unref(struct bufshare_gbm_surface *shared)
{
	size_t i;

	if (!shared || --shared->refs > 0)
		return NULL;
	for (i = 0; i < MAX_FRONTS; i++) {
		if (shared->fronts[i].bo)
			front_drop(shared, &shared->fronts[i]);
	}
	bufshare_device_unref(shared->dev);
	free(shared);
	return NULL;
}

/* Where a bo has its place, or can have it. */
static struct front *front_find(struct bufshare_gbm_surface *shared, const struct gbm_bo *bo)
{
	struct front *free_place = NULL;
	size_t i;

	for (i = 0; i < MAX_FRONTS; i++) {
		if (shared->fronts[i].bo == bo)
			return &shared->fronts[i];
		if (!shared->fronts[i].bo && !free_place)
			free_place = &shared->fronts[i];
	}
	return free_place;
}

/* Registered: for the first time, or again after the host dropped it. */
static int front_prepare(struct bufshare_gbm_surface *shared, struct front *front,
			 struct gbm_bo *bo)
{
	int r = 0;

	if (!front->bo) {
		r = bufshare_gbm_buffer_new(shared->dev, bo, &front->buf);
		if (r < 0)
			return r;
		front->bo = bo;
	}
	if (!bufshare_buffer_get_id(front->buf))
		r = bufshare_buffer_register(front->buf, shared->application);
	return r;
}

/* A GPU may still be drawing: the fences that it attached say when it is done. */
static int update(struct bufshare_gbm_surface *shared, struct front *front,
		  const struct bufshare_rect *damage, size_t n, uint64_t *seq)
{
	const bool fences = bufshare_device_has_feature(shared->dev, BUFSHARE_FEATURE_FENCES) > 0;
	struct bufshare_update u = {
		.buffer = front->buf,
		.damage = damage,
		.num_damage = n,
		.flags = fences ? BUFSHARE_UPDATE_ACQUIRE_IMPLICIT : 0,
	};
	int r;

	r = bufshare_device_update(shared->dev, &u, 1);
	if (r == 0 && seq)
		*seq = u.seq;
	return r;
}

static int front_update(struct bufshare_gbm_surface *shared, struct front *front,
			struct gbm_bo *bo, const struct bufshare_rect *damage, size_t n,
			uint64_t *seq)
{
	int r;

	r = front_prepare(shared, front, bo);
	if (r == 0)
		r = update(shared, front, damage, n, seq);
	if (r == -ESTALE) {
		bufshare_buffer_unregister(front->buf);
		r = front_prepare(shared, front, bo);
		if (r == 0)
			r = update(shared, front, damage, n, seq);
	}
	return r;
}

BUFSHARE_EXPORT int bufshare_gbm_surface_update(struct bufshare_gbm_surface *shared,
						const struct bufshare_rect *damage, size_t n,
						uint64_t *seq)
{
	struct front *front;
	struct gbm_bo *bo;
	int r;

	if (!shared || (n && !damage))
		return -EINVAL;
	bo = gbm_surface_lock_front_buffer(shared->surface);
	if (!bo)
		return -ENOENT;
	front = front_find(shared, bo);
	r = front ? front_update(shared, front, bo, damage, n, seq) : -ENOSPC;
	if (r < 0) {
		gbm_surface_release_buffer(shared->surface, bo);
		return r;
	}
	front->locked = true;
	shared->newest = front;
	return 0;
}

/* One that the host does not have, or will never have again, can be drawn to. */
static bool is_free(struct front *front)
{
	const int busy = bufshare_buffer_is_busy(front->buf);

	return busy == 0 || busy == -ENOENT || busy == -ENODEV;
}

BUFSHARE_EXPORT int bufshare_gbm_surface_unlock(struct bufshare_gbm_surface *shared)
{
	int locked = 0;
	size_t i;

	if (!shared)
		return -EINVAL;
	for (i = 0; i < MAX_FRONTS; i++) {
		struct front *front = &shared->fronts[i];

		if (!front->locked)
			continue;
		if (is_free(front)) {
			gbm_surface_release_buffer(shared->surface, front->bo);
			front->locked = false;
		} else {
			locked++;
		}
	}
	return locked;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Blocks until the driver has something to say; negative: for ever. */
static int wait_readable(struct bufshare_device *dev, int64_t timeout_ns)
{
	struct pollfd p = { .fd = bufshare_device_get_fd(dev), .events = POLLIN };
	const struct timespec left = {
		.tv_sec = (time_t)(timeout_ns / 1000000000),
		.tv_nsec = timeout_ns % 1000000000,
	};
	int r;

	if (p.fd < 0)
		return p.fd;
	r = ppoll(&p, 1, timeout_ns < 0 ? NULL : &left, NULL);
	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

/* Takes what the driver says into the library, where the program's own events stay. */
static int take_events(const struct bufshare_gbm_surface *shared)
{
	size_t i;
	int r;

	for (i = 0; i < MAX_FRONTS; i++) {
		if (!shared->fronts[i].locked)
			continue;
		r = bufshare_buffer_wait(shared->fronts[i].buf, 0, 0);
		return r == -ETIMEDOUT || r == -ESTALE ? 0 : r;
	}
	return 0;
}

BUFSHARE_EXPORT int bufshare_gbm_surface_wait(struct bufshare_gbm_surface *shared,
					      int64_t timeout_ns)
{
	const int64_t begin = now_ns();
	int64_t left = timeout_ns;
	int r = 0;

	if (!shared)
		return -EINVAL;
	while (r == 0) {
		r = bufshare_gbm_surface_unlock(shared);
		if (gbm_surface_has_free_buffers(shared->surface))
			return 0;
		if (r == 0)
			return -EBUSY;
		if (timeout_ns >= 0) {
			left = timeout_ns - (now_ns() - begin);
			left = left < 0 ? 0 : left;
		}
		r = wait_readable(shared->dev, left);
		if (r == 0)
			r = take_events(shared);
	}
	return r;
}

BUFSHARE_EXPORT struct bufshare_buffer *
bufshare_gbm_surface_get_buffer(const struct bufshare_gbm_surface *shared)
{
	return shared && shared->newest ? shared->newest->buf : NULL;
}
