/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <drm_fourcc.h>

#include "common/pattern.h"

/* 32 cells of the number, 8 of its checksum. */
#define CELLS 40
#define CELL_HEIGHT 8
#define WHITE 0xffffffffu
#define BLACK 0xff000000u

static int check(const struct bufshare_framebuffer *fb)
{
	switch (fb->format) {
	case DRM_FORMAT_XRGB8888:
	case DRM_FORMAT_ARGB8888:
	case DRM_FORMAT_XBGR8888:
	case DRM_FORMAT_ABGR8888:
		break;
	default:
		return -EOPNOTSUPP;
	}
	return fb->width < PATTERN_MIN_WIDTH || fb->height < PATTERN_MIN_HEIGHT ? -EINVAL : 0;
}

/* A frame of zeros, or one that is half drawn, must not pass for a number. */
static uint8_t checksum(uint32_t n)
{
	return (uint8_t)((n ^ n >> 8 ^ n >> 16 ^ n >> 24) + 0x5a);
}

static uint32_t *row(const struct bufshare_framebuffer *fb, void *pixels, uint32_t y)
{
	return (uint32_t *)((uint8_t *)pixels + (size_t)y * fb->stride);
}

static void rectangle(const struct bufshare_framebuffer *fb, void *pixels,
		      const struct bufshare_rect *r, uint32_t colour)
{
	uint32_t x, y;

	for (y = r->y; y < r->y + r->height && y < fb->height; y++)
		for (x = r->x; x < r->x + r->width && x < fb->width; x++)
			row(fb, pixels, y)[x] = colour;
}

/* Seven segments: top, upper left, upper right, middle, lower left, lower right, bottom. */
static void digit(const struct bufshare_framebuffer *fb, void *pixels, uint32_t x, uint32_t y,
		  uint32_t unit, unsigned int value)
{
	static const uint8_t segments[10] = { 0x77, 0x24, 0x5d, 0x6d, 0x2e, 0x6b, 0x7b, 0x25, 0x7f, 0x6f };
	const struct bufshare_rect where[7] = {
		{ x, y, 4 * unit, unit },
		{ x, y, unit, 4 * unit },
		{ x + 3 * unit, y, unit, 4 * unit },
		{ x, y + 3 * unit, 4 * unit, unit },
		{ x, y + 3 * unit, unit, 4 * unit },
		{ x + 3 * unit, y + 3 * unit, unit, 4 * unit },
		{ x, y + 6 * unit, 4 * unit, unit },
	};
	unsigned int i;

	for (i = 0; i < 7; i++)
		if (segments[value] & 1 << i)
			rectangle(fb, pixels, &where[i], WHITE);
}

static void digits(const struct bufshare_framebuffer *fb, void *pixels, uint32_t n)
{
	uint32_t unit = fb->height / 16, x;
	char text[16];
	int i, length;

	length = snprintf(text, sizeof(text), "%u", n);
	if (unit * 5 * (uint32_t)length > fb->width)
		unit = fb->width / (5 * (uint32_t)length);
	x = (fb->width - unit * 5 * (uint32_t)length) / 2;
	for (i = 0; i < length; i++)
		digit(fb, pixels, x + unit * 5 * (uint32_t)i, fb->height / 2 - unit * 3, unit,
		      (unsigned int)(text[i] - '0'));
}

int pattern_draw(const struct bufshare_framebuffer *fb, void *pixels, uint32_t n)
{
	const uint64_t code = (uint64_t)checksum(n) << 32 | n;
	const uint32_t cell = fb->width / CELLS;
	uint32_t x, y, i;
	int r;

	r = check(fb);
	if (r < 0)
		return r;
	for (y = 0; y < fb->height; y++) {
		uint32_t *p = row(fb, pixels, y);

		for (x = 0; x < fb->width; x++)
			p[x] = BLACK | ((x + 4 * n) & 0xff) << 16 | ((y + 2 * n) & 0xff) << 8 |
			       ((x ^ y) & 0x3f);
	}
	digits(fb, pixels, n);
	for (i = 0; i < CELLS; i++) {
		const struct bufshare_rect r_cell = { i * cell, 0, cell, CELL_HEIGHT };

		rectangle(fb, pixels, &r_cell, code >> i & 1 ? WHITE : BLACK);
	}
	return 0;
}

int pattern_read(const struct bufshare_framebuffer *fb, const void *pixels, uint32_t *n)
{
	const uint32_t cell = fb->width / CELLS;
	const uint32_t *p;
	uint64_t code = 0;
	uint32_t i;
	int r;

	r = check(fb);
	if (r < 0)
		return r;
	p = (const uint32_t *)((const uint8_t *)pixels + (size_t)(CELL_HEIGHT / 2) * fb->stride);
	for (i = 0; i < CELLS; i++) {
		uint32_t colour = p[i * cell + cell / 2];

		if (colour != WHITE && colour != BLACK)
			return -EPROTO;
		code |= (uint64_t)(colour == WHITE) << i;
	}
	if (code >> 32 != checksum((uint32_t)code))
		return -EPROTO;
	*n = (uint32_t)code;
	return 0;
}
