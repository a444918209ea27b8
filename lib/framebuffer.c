/* SPDX-License-Identifier: MIT */
/*
 * How large pictures are.
 */
#include <errno.h>

#include <drm_fourcc.h>

#include "lib/internal.h"

#define STRIDE_ALIGN 64

uint32_t format_bytes(uint32_t format)
{
	switch (format) {
	case DRM_FORMAT_C8:
	case DRM_FORMAT_R8:
	case DRM_FORMAT_RGB332:
		return 1;
	case DRM_FORMAT_R16:
	case DRM_FORMAT_GR88:
	case DRM_FORMAT_RG88:
	case DRM_FORMAT_RGB565:
	case DRM_FORMAT_BGR565:
	case DRM_FORMAT_XRGB1555:
	case DRM_FORMAT_ARGB1555:
	case DRM_FORMAT_XRGB4444:
	case DRM_FORMAT_ARGB4444:
		return 2;
	case DRM_FORMAT_RGB888:
	case DRM_FORMAT_BGR888:
		return 3;
	case DRM_FORMAT_XRGB8888:
	case DRM_FORMAT_ARGB8888:
	case DRM_FORMAT_XBGR8888:
	case DRM_FORMAT_ABGR8888:
	case DRM_FORMAT_RGBX8888:
	case DRM_FORMAT_RGBA8888:
	case DRM_FORMAT_BGRX8888:
	case DRM_FORMAT_BGRA8888:
	case DRM_FORMAT_XRGB2101010:
	case DRM_FORMAT_ARGB2101010:
	case DRM_FORMAT_XBGR2101010:
	case DRM_FORMAT_ABGR2101010:
		return 4;
	case DRM_FORMAT_XRGB16161616F:
	case DRM_FORMAT_ARGB16161616F:
	case DRM_FORMAT_XBGR16161616F:
	case DRM_FORMAT_ABGR16161616F:
		return 8;
	default:
		return 0;
	}
}

BUFSHARE_EXPORT int bufshare_buffer_new_framebuffer(struct bufshare_device *dev, uint32_t width,
						    uint32_t height, uint32_t format,
						    struct bufshare_buffer **buf)
{
	_cleanup_(buffer_unrefp) struct bufshare_buffer *b = NULL;
	struct bufshare_framebuffer fb = { .width = width, .height = height, .format = format };
	uint64_t stride;
	int r;

	if (!dev || !width || !height || !buf)
		return -EINVAL;
	if (!format_bytes(format))
		return -EOPNOTSUPP;
	stride = ((uint64_t)width * format_bytes(format) + STRIDE_ALIGN - 1) &
		 ~(uint64_t)(STRIDE_ALIGN - 1);
	if (stride > UINT32_MAX)
		return -EINVAL;
	fb.stride = (uint32_t)stride;

	r = bufshare_buffer_new(dev, stride * height, &b);
	if (r == 0)
		r = bufshare_buffer_set_framebuffer(b, &fb);
	if (r < 0)
		return r;
	*buf = steal_ptr(&b);
	return 0;
}
