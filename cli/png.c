/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <drm_fourcc.h>
#include <png.h>

#include "cli/png.h"
#include "cli/file.h"
#include "common/cleanup.h"

bool png_is(const void *bytes, uint64_t size)
{
	return size >= 8 && png_sig_cmp(bytes, 0, 8) == 0;
}

int png_read(const void *bytes, uint64_t size, struct png_picture *picture, const char **why)
{
	_cleanup_free_ uint8_t *pixels = NULL;
	png_image image = { .version = PNG_IMAGE_VERSION };
	static char message[sizeof(image.message)];
	bool alpha;

	*why = message;
	if (!png_image_begin_read_from_memory(&image, bytes, size)) {
		snprintf(message, sizeof(message), "%s", image.message);
		return -EBADMSG;
	}
	if (image.width > PICTURE_MAX_SIDE || image.height > PICTURE_MAX_SIDE ||
	    (uint64_t)image.width * image.height > PICTURE_MAX_BYTES / 4) {
		png_image_free(&image);
		*why = "it has more than 32768 pixels a side, or is larger than 1 GiB";
		return -EBADMSG;
	}
	alpha = image.format & PNG_FORMAT_FLAG_ALPHA;
	image.format = PNG_FORMAT_BGRA; /* in memory, which is ARGB8888 of DRM */
	image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; /* what they are if the file says nothing */
	pixels = malloc(PNG_IMAGE_SIZE(image));
	if (!pixels) {
		png_image_free(&image);
		return -ENOMEM;
	}
	if (!png_image_finish_read(&image, NULL, pixels, 0, NULL)) {
		snprintf(message, sizeof(message), "%s", image.message);
		return -EBADMSG;
	}
	picture->width = image.width;
	picture->height = image.height;
	picture->format = alpha ? DRM_FORMAT_ARGB8888 : DRM_FORMAT_XRGB8888;
	picture->pixels = steal_ptr(&pixels);
	return 0;
}

/* How bytes in memory become red, green, blue and alpha; x: none. */
static const struct layout {
	uint32_t format;
	uint8_t bytes;
	uint8_t r, g, b;
	int8_t a;
} layouts[] = {
	{ DRM_FORMAT_XRGB8888, 4, 2, 1, 0, -1 },
	{ DRM_FORMAT_ARGB8888, 4, 2, 1, 0, 3 },
	{ DRM_FORMAT_XBGR8888, 4, 0, 1, 2, -1 },
	{ DRM_FORMAT_ABGR8888, 4, 0, 1, 2, 3 },
	{ DRM_FORMAT_RGB888, 3, 2, 1, 0, -1 },
	{ DRM_FORMAT_BGR888, 3, 0, 1, 2, -1 },
	{ DRM_FORMAT_R8, 1, 0, 0, 0, -1 },
};

static const struct layout *find_layout(uint32_t format)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(layouts); i++)
		if (layouts[i].format == format)
			return &layouts[i];
	return NULL;
}

bool png_format_known(uint32_t format)
{
	return find_layout(format);
}

uint32_t png_format_bytes(uint32_t format)
{
	const struct layout *l = find_layout(format);

	return l ? l->bytes : 0;
}

static uint8_t *to_rgba(const struct layout *l, const struct bufshare_framebuffer *fb,
			const uint8_t *pixels)
{
	uint8_t *out = malloc((size_t)fb->width * fb->height * 4), *o = out;
	uint32_t x, y;

	for (y = 0; out && y < fb->height; y++) {
		const uint8_t *p = pixels + (size_t)y * fb->stride;

		for (x = 0; x < fb->width; x++, p += l->bytes, o += 4) {
			o[0] = p[l->r];
			o[1] = p[l->g];
			o[2] = p[l->b];
			o[3] = l->a < 0 ? 255 : p[l->a];
		}
	}
	return out;
}

static void drop_alpha(uint8_t *rgba, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		memmove(rgba + 3 * i, rgba + 4 * i, 3);
}

int png_write_file(const char *path, const struct bufshare_framebuffer *fb, const void *pixels)
{
	const struct layout *l = find_layout(fb->format);
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = fb->width,
		.height = fb->height,
		.format = PNG_FORMAT_RGBA,
	};
	_cleanup_free_ uint8_t *rgba = NULL;
	struct new_file file;
	int r;

	if (!l || fb->modifier)
		return -EOPNOTSUPP;
	rgba = to_rgba(l, fb, pixels);
	if (!rgba)
		return -ENOMEM;
	if (l->a < 0) {
		drop_alpha(rgba, (size_t)fb->width * fb->height);
		image.format = PNG_FORMAT_RGB;
	}
	r = new_file_begin(&file, path);
	if (r < 0)
		return r;
	errno = 0;
	if (!png_image_write_to_stdio(&image, file.stream, 0, rgba, 0, NULL))
		new_file_fail(&file, errno ? -errno : -EIO);
	return new_file_finish(&file);
}
