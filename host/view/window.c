/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <drm_fourcc.h>

#include "common/cleanup.h"
#include "host/view/window.h"

/* What SDL's renderers take, as a rule. */
#define MAX_SIDE 16384

/* DRM names formats by their value as a little-endian number, as SDL's packed ones are. */
static const struct {
	uint32_t drm, sdl;
	uint8_t planes;
	uint8_t wide; /* a rectangle begins and ends at multiples of this many pixels */
} formats[] = {
	{ DRM_FORMAT_XRGB8888, SDL_PIXELFORMAT_RGB888, 1, 1 },
	{ DRM_FORMAT_ARGB8888, SDL_PIXELFORMAT_ARGB8888, 1, 1 },
	{ DRM_FORMAT_XBGR8888, SDL_PIXELFORMAT_BGR888, 1, 1 },
	{ DRM_FORMAT_ABGR8888, SDL_PIXELFORMAT_ABGR8888, 1, 1 },
	{ DRM_FORMAT_RGBX8888, SDL_PIXELFORMAT_RGBX8888, 1, 1 },
	{ DRM_FORMAT_RGBA8888, SDL_PIXELFORMAT_RGBA8888, 1, 1 },
	{ DRM_FORMAT_BGRX8888, SDL_PIXELFORMAT_BGRX8888, 1, 1 },
	{ DRM_FORMAT_BGRA8888, SDL_PIXELFORMAT_BGRA8888, 1, 1 },
	{ DRM_FORMAT_XRGB2101010, SDL_PIXELFORMAT_ARGB2101010, 1, 1 },
	{ DRM_FORMAT_RGB888, SDL_PIXELFORMAT_BGR24, 1, 1 }, /* SDL's are in order of bytes */
	{ DRM_FORMAT_BGR888, SDL_PIXELFORMAT_RGB24, 1, 1 },
	{ DRM_FORMAT_RGB565, SDL_PIXELFORMAT_RGB565, 1, 1 },
	{ DRM_FORMAT_BGR565, SDL_PIXELFORMAT_BGR565, 1, 1 },
	{ DRM_FORMAT_XRGB1555, SDL_PIXELFORMAT_RGB555, 1, 1 },
	{ DRM_FORMAT_ARGB1555, SDL_PIXELFORMAT_ARGB1555, 1, 1 },
	{ DRM_FORMAT_XRGB4444, SDL_PIXELFORMAT_RGB444, 1, 1 },
	{ DRM_FORMAT_ARGB4444, SDL_PIXELFORMAT_ARGB4444, 1, 1 },
	{ DRM_FORMAT_YUYV, SDL_PIXELFORMAT_YUY2, 1, 2 },
	{ DRM_FORMAT_UYVY, SDL_PIXELFORMAT_UYVY, 1, 2 },
	{ DRM_FORMAT_YVYU, SDL_PIXELFORMAT_YVYU, 1, 2 },
	{ DRM_FORMAT_NV12, SDL_PIXELFORMAT_NV12, 2, 2 },
	{ DRM_FORMAT_NV21, SDL_PIXELFORMAT_NV21, 2, 2 },
	{ DRM_FORMAT_YUV420, SDL_PIXELFORMAT_IYUV, 3, 2 },
	{ DRM_FORMAT_YVU420, SDL_PIXELFORMAT_YV12, 3, 2 },
};

static size_t find_format(uint32_t format)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i].drm == format)
			break;
	return i;
}

bool window_format_known(uint32_t format)
{
	return find_format(format) < ARRAY_SIZE(formats);
}

/* The largest of the same shape. */
static void shrink(const struct bufshare_framebuffer *fb, const SDL_Rect *into, int *w, int *h)
{
	const uint64_t width = (uint64_t)into->w, height = (uint64_t)into->h;

	if (fb->width * height > fb->height * width) {
		*w = into->w;
		*h = (int)(fb->height * width / fb->width);
	} else {
		*w = (int)(fb->width * height / fb->height);
		*h = into->h;
	}
	*w = *w ? *w : 1;
	*h = *h ? *h : 1;
}

/* A guest can say that its picture is as large as it likes: the screen is the limit. */
static void fit_screen(SDL_Window *window, const struct bufshare_framebuffer *fb, int *w, int *h)
{
	int display = window ? SDL_GetWindowDisplayIndex(window) : 0;
	SDL_Rect usable = { 0, 0, 640, 480 };

	SDL_GetDisplayUsableBounds(display < 0 ? 0 : display, &usable);
	*w = (int)fb->width;
	*h = (int)fb->height;
	if (fb->width > (uint32_t)usable.w || fb->height > (uint32_t)usable.h)
		shrink(fb, &usable, w, h);
}

static int new_texture(struct window *w)
{
	size_t i = find_format(w->fb.format);

	if (w->texture)
		SDL_DestroyTexture(w->texture);
	w->texture = NULL;
	if (i == ARRAY_SIZE(formats) || w->fb.modifier != DRM_FORMAT_MOD_LINEAR ||
	    w->fb.width > MAX_SIDE || w->fb.height > MAX_SIDE || w->fb.stride > INT_MAX)
		return SDL_SetError("format %.4s, modifier %#llx, cannot be shown",
				    (const char *)&w->fb.format,
				    (unsigned long long)w->fb.modifier);
	/* SDL reads whole pairs, which may not all be in the buffer. */
	if (w->fb.width % formats[i].wide || w->fb.height % formats[i].wide)
		return SDL_SetError("format %.4s cannot be shown in odd sizes",
				    (const char *)&w->fb.format);
	w->texture = SDL_CreateTexture(w->renderer, formats[i].sdl, SDL_TEXTUREACCESS_STREAMING,
				       (int)w->fb.width, (int)w->fb.height);
	if (!w->texture)
		return -1;
	SDL_SetTextureBlendMode(w->texture, SDL_BLENDMODE_NONE);
	/* It keeps its shape, whatever that of the window is. */
	SDL_RenderSetLogicalSize(w->renderer, (int)w->fb.width, (int)w->fb.height);
	return 0;
}

int window_open(struct window *w, const struct bufshare_framebuffer *fb, const char *title)
{
	int width, height;

	*w = (struct window){ .fb = *fb };
	fit_screen(NULL, fb, &width, &height);
	w->window = SDL_CreateWindow("", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, width,
				     height, SDL_WINDOW_RESIZABLE);
	if (!w->window)
		return -1;
	window_set_title(w, title);
	w->renderer = SDL_CreateRenderer(w->window, -1, 0);
	if (!w->renderer || new_texture(w) < 0) {
		window_close(w);
		return -1;
	}
	return 0;
}

void window_close(struct window *w)
{
	if (w->texture)
		SDL_DestroyTexture(w->texture);
	if (w->renderer)
		SDL_DestroyRenderer(w->renderer);
	if (w->window)
		SDL_DestroyWindow(w->window);
	*w = (struct window){ 0 };
}

int window_follow(struct window *w, const struct bufshare_framebuffer *fb)
{
	bool size = fb->width != w->fb.width || fb->height != w->fb.height;
	bool texture = size || fb->format != w->fb.format || fb->modifier != w->fb.modifier;
	int width, height;

	w->fb = *fb;
	if (size) {
		fit_screen(w->window, fb, &width, &height);
		SDL_SetWindowSize(w->window, width, height);
	}
	return texture || !w->texture ? new_texture(w) : 0;
}

void window_set_title(struct window *w, const char *title)
{
	size_t i;

	snprintf(w->title, sizeof(w->title), "%s", title);
	for (i = 0; w->title[i]; i++)
		if ((unsigned char)w->title[i] < 0x20 || w->title[i] == 0x7f)
			w->title[i] = ' ';
	SDL_SetWindowTitle(w->window, w->title);
}

/* Cut off at the picture's edges; false if nothing remains. */
static bool clip(const struct window *w, const struct bufshare_rect *from, SDL_Rect *to)
{
	uint32_t wide = formats[find_format(w->fb.format)].wide;
	uint32_t x = from->x / wide * wide, y = from->y / wide * wide;
	uint64_t right = ((uint64_t)from->x + from->width + wide - 1) / wide * wide;
	uint64_t bottom = ((uint64_t)from->y + from->height + wide - 1) / wide * wide;

	if (x >= w->fb.width || y >= w->fb.height)
		return false;
	if (right > w->fb.width)
		right = w->fb.width;
	if (bottom > w->fb.height)
		bottom = w->fb.height;
	*to = (SDL_Rect){ (int)x, (int)y, (int)(right - x), (int)(bottom - y) };
	return true;
}

static int update_one_plane(struct window *w, const uint8_t *map, const SDL_Rect *rect)
{
	uint32_t bytes = SDL_BYTESPERPIXEL(formats[find_format(w->fb.format)].sdl);
	const uint8_t *first = map + w->fb.offset + (uint64_t)rect->y * w->fb.stride +
			       (uint64_t)rect->x * bytes;

	return SDL_UpdateTexture(w->texture, rect, first, (int)w->fb.stride);
}

/* Pictures of several planes are taken as a whole. */
static int update_planes(struct window *w, const uint8_t *map, uint8_t planes)
{
	const struct bufshare_framebuffer *fb = &w->fb;
	const uint8_t *p[3] = { map + fb->offset, map + fb->more[0].offset, map + fb->more[1].offset };

	if (planes == 2)
		return SDL_UpdateNVTexture(w->texture, NULL, p[0], (int)fb->stride, p[1],
					   (int)fb->more[0].stride);
	/* SDL wants U before V, DRM's YV12 has V first. */
	if (fb->format == DRM_FORMAT_YVU420)
		return SDL_UpdateYUVTexture(w->texture, NULL, p[0], (int)fb->stride, p[2],
					    (int)fb->more[1].stride, p[1], (int)fb->more[0].stride);
	return SDL_UpdateYUVTexture(w->texture, NULL, p[0], (int)fb->stride, p[1],
				    (int)fb->more[0].stride, p[2], (int)fb->more[1].stride);
}

int window_update(struct window *w, const uint8_t *map, const struct bufshare_rect *damage,
		  size_t n)
{
	const struct bufshare_rect all = { .width = w->fb.width, .height = w->fb.height };
	SDL_Rect rect;
	size_t i;
	int r = 0;

	if (!w->texture)
		return 0;
	if (formats[find_format(w->fb.format)].planes > 1)
		return update_planes(w, map, formats[find_format(w->fb.format)].planes);
	if (!n) {
		damage = &all;
		n = 1;
	}
	for (i = 0; i < n && r == 0; i++)
		if (clip(w, &damage[i], &rect))
			r = update_one_plane(w, map, &rect);
	return r;
}

void window_present(struct window *w)
{
	SDL_RenderClear(w->renderer);
	if (w->texture)
		SDL_RenderCopy(w->renderer, w->texture, NULL, NULL);
	SDL_RenderPresent(w->renderer);
}
