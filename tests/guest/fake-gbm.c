/* SPDX-License-Identifier: MIT */
#include <drm_fourcc.h>
#include <fcntl.h>
#include <unistd.h>

#include "guest/fake-drm-internal.h"
#include "guest/fake-gbm.h"

void fake_gbm_bo_init(struct gbm_bo *bo, struct gbm_device *device)
{
	*bo = (struct gbm_bo){
		.device = device,
		.dmabuf = fake_dmabuf_new(4096, true),
		.width = 8,
		.height = 8,
		.format = DRM_FORMAT_XRGB8888,
		.modifier = DRM_FORMAT_MOD_LINEAR,
		.num_planes = 1,
		.strides = { 64 },
		.handles = { 1, 1, 1, 1 },
	};
}

void fake_gbm_bo_fini(struct gbm_bo *bo)
{
	if (bo->dmabuf >= 0)
		close(bo->dmabuf);
}

void fake_gbm_surface_init(struct gbm_surface *surface, struct gbm_device *device)
{
	int i;

	surface->front = NULL;
	for (i = 0; i < FAKE_GBM_BUFFERS; i++)
		fake_gbm_bo_init(&surface->bos[i], device);
}

void fake_gbm_surface_fini(struct gbm_surface *surface)
{
	int i;

	for (i = 0; i < FAKE_GBM_BUFFERS; i++)
		fake_gbm_bo_fini(&surface->bos[i]);
}

bool fake_gbm_draw(struct gbm_surface *surface)
{
	int i;

	for (i = 0; i < FAKE_GBM_BUFFERS; i++) {
		struct gbm_bo *bo = &surface->bos[i];

		if (bo->locked || bo == surface->front)
			continue;
		surface->front = bo;
		return true;
	}
	return false;
}

int fake_gbm_count_locked(const struct gbm_surface *surface)
{
	int i, n = 0;

	for (i = 0; i < FAKE_GBM_BUFFERS; i++)
		n += surface->bos[i].locked;
	return n;
}

/* ---- what libgbm has ---- */

struct gbm_bo *gbm_surface_lock_front_buffer(struct gbm_surface *surface)
{
	struct gbm_bo *bo = surface->front;

	surface->front = NULL;
	if (bo)
		bo->locked = true;
	return bo;
}

void gbm_surface_release_buffer(struct gbm_surface *surface, struct gbm_bo *bo)
{
	if (!bo->locked)
		fake_die("a buffer is given back that was not locked");
	bo->locked = false;
}

int gbm_surface_has_free_buffers(struct gbm_surface *surface)
{
	return fake_gbm_count_locked(surface) + (surface->front != NULL) < FAKE_GBM_BUFFERS;
}

int gbm_device_get_fd(struct gbm_device *device)
{
	return device->fd;
}

struct gbm_device *gbm_bo_get_device(struct gbm_bo *bo)
{
	return bo->device;
}

uint32_t gbm_bo_get_width(struct gbm_bo *bo)
{
	return bo->width;
}

uint32_t gbm_bo_get_height(struct gbm_bo *bo)
{
	return bo->height;
}

uint32_t gbm_bo_get_format(struct gbm_bo *bo)
{
	return bo->format;
}

uint64_t gbm_bo_get_modifier(struct gbm_bo *bo)
{
	return bo->modifier;
}

int gbm_bo_get_plane_count(struct gbm_bo *bo)
{
	return bo->num_planes;
}

uint32_t gbm_bo_get_stride(struct gbm_bo *bo)
{
	return bo->strides[0];
}

uint32_t gbm_bo_get_stride_for_plane(struct gbm_bo *bo, int plane)
{
	return bo->strides[plane];
}

uint32_t gbm_bo_get_offset(struct gbm_bo *bo, int plane)
{
	return bo->offsets[plane];
}

union gbm_bo_handle gbm_bo_get_handle(struct gbm_bo *bo)
{
	return (union gbm_bo_handle){ .u64 = bo->handles[0] };
}

union gbm_bo_handle gbm_bo_get_handle_for_plane(struct gbm_bo *bo, int plane)
{
	return (union gbm_bo_handle){ .u64 = bo->handles[plane] };
}

int gbm_bo_get_fd(struct gbm_bo *bo)
{
	return bo->dmabuf < 0 ? -1 : fcntl(bo->dmabuf, F_DUPFD_CLOEXEC, 0);
}
