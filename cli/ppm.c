/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <drm_fourcc.h>

#include "cli/ppm.h"

bool ppm_is(const void *bytes, uint64_t size)
{
	const uint8_t *p = bytes;

	return size > 3 && p[0] == 'P' && p[1] == '6' && (isspace(p[2]) || p[2] == '#');
}

/* Blanks, and comments to the end of their line. */
static const uint8_t *skip_blanks(const uint8_t *p, const uint8_t *end)
{
	while (p < end && (isspace(*p) || *p == '#')) {
		if (*p == '#')
			p = memchr(p, '\n', (size_t)(end - p)) ?: end;
		else
			p++;
	}
	return p;
}

/* A number from 1 to max behind blanks; NULL: there is none. */
static const uint8_t *number(const uint8_t *p, const uint8_t *end, uint32_t max, uint32_t *value)
{
	p = skip_blanks(p, end);
	for (*value = 0; p < end && isdigit(*p); p++) {
		*value = *value * 10 + (uint32_t)(*p - '0');
		if (*value > max)
			return NULL;
	}
	return *value ? p : NULL;
}

static uint8_t scale(uint8_t sample, uint32_t max)
{
	return (uint8_t)(sample >= max ? 255 : (sample * 255u + max / 2) / max);
}

int ppm_read(const void *bytes, uint64_t size, struct png_picture *picture, const char **why)
{
	const uint8_t *p = bytes, *end = p + size;
	uint32_t width, height, max;
	uint8_t *pixels;
	size_t i, n;

	*why = "a width, a height (to 32768) or a largest value (to 255) is missing or too large";
	p = number(p + 2, end, PICTURE_MAX_SIDE, &width);
	if (p)
		p = number(p, end, PICTURE_MAX_SIDE, &height);
	if (p)
		p = number(p, end, 255, &max);
	if (!p)
		return -EBADMSG;
	*why = "it ends before its last pixel";
	n = (size_t)width * height;
	if (n > PICTURE_MAX_BYTES / 4) {
		*why = "it is larger than 1 GiB";
		return -EBADMSG;
	}
	if (p == end || (uint64_t)(end - ++p) < 3 * (uint64_t)n)
		return -EBADMSG;
	pixels = malloc(4 * n);
	if (!pixels)
		return -ENOMEM;
	for (i = 0; i < n; i++, p += 3) {
		pixels[4 * i] = scale(p[2], max);
		pixels[4 * i + 1] = scale(p[1], max);
		pixels[4 * i + 2] = scale(p[0], max);
		pixels[4 * i + 3] = 255;
	}
	picture->width = width;
	picture->height = height;
	picture->format = DRM_FORMAT_XRGB8888;
	picture->pixels = pixels;
	return 0;
}
