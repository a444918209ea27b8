/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/framebuffer.h"

#define INVALID_MODIFIER 0x00ffffffffffffffULL

/* A block of pixels, the smallest piece of a plane that is whole bytes. */
struct block {
	uint8_t bytes;
	uint8_t width, height; /* pixels of the picture */
};

static const struct format {
	char fourcc[5];
	uint8_t num_planes;
	struct block planes[3];
} formats[] = {
	{ "C8  ", 1, { { 1, 1, 1 } } },
	{ "R8  ", 1, { { 1, 1, 1 } } },
	{ "RGB8", 1, { { 1, 1, 1 } } },
	{ "BGR8", 1, { { 1, 1, 1 } } },
	{ "R16 ", 1, { { 2, 1, 1 } } },
	{ "GR88", 1, { { 2, 1, 1 } } },
	{ "RG88", 1, { { 2, 1, 1 } } },
	{ "RG16", 1, { { 2, 1, 1 } } },
	{ "BG16", 1, { { 2, 1, 1 } } },
	{ "XR15", 1, { { 2, 1, 1 } } },
	{ "AR15", 1, { { 2, 1, 1 } } },
	{ "XR12", 1, { { 2, 1, 1 } } },
	{ "AR12", 1, { { 2, 1, 1 } } },
	{ "RG24", 1, { { 3, 1, 1 } } },
	{ "BG24", 1, { { 3, 1, 1 } } },
	{ "GR32", 1, { { 4, 1, 1 } } },
	{ "XR24", 1, { { 4, 1, 1 } } },
	{ "AR24", 1, { { 4, 1, 1 } } },
	{ "XB24", 1, { { 4, 1, 1 } } },
	{ "AB24", 1, { { 4, 1, 1 } } },
	{ "RX24", 1, { { 4, 1, 1 } } },
	{ "RA24", 1, { { 4, 1, 1 } } },
	{ "BX24", 1, { { 4, 1, 1 } } },
	{ "BA24", 1, { { 4, 1, 1 } } },
	{ "XR30", 1, { { 4, 1, 1 } } },
	{ "AR30", 1, { { 4, 1, 1 } } },
	{ "XB30", 1, { { 4, 1, 1 } } },
	{ "AB30", 1, { { 4, 1, 1 } } },
	{ "XR48", 1, { { 8, 1, 1 } } },
	{ "AR48", 1, { { 8, 1, 1 } } },
	{ "XB48", 1, { { 8, 1, 1 } } },
	{ "AB48", 1, { { 8, 1, 1 } } },
	{ "XR4H", 1, { { 8, 1, 1 } } },
	{ "AR4H", 1, { { 8, 1, 1 } } },
	{ "XB4H", 1, { { 8, 1, 1 } } },
	{ "AB4H", 1, { { 8, 1, 1 } } },
	{ "YUYV", 1, { { 4, 2, 1 } } },
	{ "YVYU", 1, { { 4, 2, 1 } } },
	{ "UYVY", 1, { { 4, 2, 1 } } },
	{ "VYUY", 1, { { 4, 2, 1 } } },
	{ "AYUV", 1, { { 4, 1, 1 } } },
	{ "XYUV", 1, { { 4, 1, 1 } } },
	{ "NV12", 2, { { 1, 1, 1 }, { 2, 2, 2 } } },
	{ "NV21", 2, { { 1, 1, 1 }, { 2, 2, 2 } } },
	{ "NV16", 2, { { 1, 1, 1 }, { 2, 2, 1 } } },
	{ "NV61", 2, { { 1, 1, 1 }, { 2, 2, 1 } } },
	{ "NV24", 2, { { 1, 1, 1 }, { 2, 1, 1 } } },
	{ "NV42", 2, { { 1, 1, 1 }, { 2, 1, 1 } } },
	{ "P010", 2, { { 2, 1, 1 }, { 4, 2, 2 } } },
	{ "P012", 2, { { 2, 1, 1 }, { 4, 2, 2 } } },
	{ "P016", 2, { { 2, 1, 1 }, { 4, 2, 2 } } },
	{ "P210", 2, { { 2, 1, 1 }, { 4, 2, 1 } } },
	{ "YU12", 3, { { 1, 1, 1 }, { 1, 2, 2 }, { 1, 2, 2 } } },
	{ "YV12", 3, { { 1, 1, 1 }, { 1, 2, 2 }, { 1, 2, 2 } } },
	{ "YU16", 3, { { 1, 1, 1 }, { 1, 2, 1 }, { 1, 2, 1 } } },
	{ "YV16", 3, { { 1, 1, 1 }, { 1, 2, 1 }, { 1, 2, 1 } } },
	{ "YU24", 3, { { 1, 1, 1 }, { 1, 1, 1 }, { 1, 1, 1 } } },
	{ "YV24", 3, { { 1, 1, 1 }, { 1, 1, 1 }, { 1, 1, 1 } } },
};

static const char *const plane_offsets[BUFSHARE_MAX_PLANES] = {
	BUFSHARE_PROPERTY_OFFSET, BUFSHARE_PROPERTY_PLANE1_OFFSET,
	BUFSHARE_PROPERTY_PLANE2_OFFSET, BUFSHARE_PROPERTY_PLANE3_OFFSET,
};

static const char *const plane_strides[BUFSHARE_MAX_PLANES] = {
	BUFSHARE_PROPERTY_STRIDE, BUFSHARE_PROPERTY_PLANE1_STRIDE,
	BUFSHARE_PROPERTY_PLANE2_STRIDE, BUFSHARE_PROPERTY_PLANE3_STRIDE,
};

static void format_name(uint32_t format, char fourcc[5])
{
	int i;

	for (i = 0; i < 4; i++)
		fourcc[i] = (char)(format >> 8 * i);
	fourcc[4] = '\0';
}

static const struct format *find_format(uint32_t format)
{
	char fourcc[5];
	size_t i;

	format_name(format, fourcc);
	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		if (memcmp(formats[i].fourcc, fourcc, 5) == 0)
			return &formats[i];
	}
	return NULL;
}

/* Fields of a plane, the first of which stands in the framebuffer itself. */
static struct bufshare_plane get_plane(const struct bufshare_framebuffer *fb, uint32_t i)
{
	return i ? fb->more[i - 1] :
	       (struct bufshare_plane){ .offset = fb->offset, .stride = fb->stride };
}

static uint64_t round_up(uint64_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

static uint64_t row_bytes(const struct block *block, uint32_t width)
{
	return round_up(width, block->width) / block->width * block->bytes;
}

static uint64_t num_rows(const struct block *block, uint32_t height)
{
	return round_up(height, block->height) / block->height;
}

int framebuffer_layout(uint32_t width, uint32_t height, uint32_t format, uint32_t align,
		       struct bufshare_framebuffer *fb, uint64_t *size)
{
	struct bufshare_framebuffer f = { .width = width, .height = height, .format = format };
	const struct format *known = find_format(format);
	uint64_t end = 0, stride, bytes;
	uint32_t i;

	if (!known)
		return -EOPNOTSUPP;
	if (!width || !height)
		return -EINVAL;
	f.num_more = known->num_planes - 1U;
	for (i = 0; i < known->num_planes; i++) {
		stride = round_up(row_bytes(&known->planes[i], width), align);
		if (stride > UINT32_MAX)
			return -EINVAL;
		if (i) {
			f.more[i - 1].offset = end;
			f.more[i - 1].stride = (uint32_t)stride;
		} else {
			f.stride = (uint32_t)stride;
		}
		bytes = stride * num_rows(&known->planes[i], height);
		if (__builtin_add_overflow(end, bytes, &end))
			return -EINVAL;
	}
	*fb = f;
	*size = end;
	return 0;
}

/*
 * Rows of a plane that lie at their whole stride, and the bytes of the last row, which may
 * be shorter. What a stride means in other layouts than linear only the modifier knows.
 */
static bool plane_fits(const struct bufshare_framebuffer *fb, const struct format *known,
		       uint32_t i, uint64_t size)
{
	const struct bufshare_plane plane = get_plane(fb, i);
	uint64_t last = plane.stride, rows = 1, end;

	if (!plane.stride || plane.reserved)
		return false;
	if (!fb->modifier && known) {
		last = row_bytes(&known->planes[i], fb->width);
		rows = num_rows(&known->planes[i], fb->height);
	} else if (!fb->modifier && i == 0) {
		rows = fb->height;
	}
	if (last > plane.stride)
		return false;
	end = plane.stride * (rows - 1) + last;
	return !__builtin_add_overflow(end, plane.offset, &end) && end <= size;
}

int framebuffer_check(const struct bufshare_framebuffer *fb, uint64_t size)
{
	const struct format *known = find_format(fb->format);
	char fourcc[5];
	uint32_t i;

	format_name(fb->format, fourcc);
	for (i = 0; i < 4; i++) {
		if (fourcc[i] < ' ' || fourcc[i] > '~')
			return -EINVAL;
	}
	if (!fb->width || !fb->height || fb->modifier == INVALID_MODIFIER || fb->reserved ||
	    fb->num_more >= BUFSHARE_MAX_PLANES ||
	    (known && !fb->modifier && fb->num_more != known->num_planes - 1U))
		return -EINVAL;
	for (i = 0; i <= fb->num_more; i++) {
		if (!plane_fits(fb, known, i, size))
			return -EINVAL;
	}
	for (; i < BUFSHARE_MAX_PLANES; i++) {
		if (fb->more[i - 1].offset || fb->more[i - 1].stride || fb->more[i - 1].reserved)
			return -EINVAL;
	}
	return 0;
}

/* ---- as properties ---- */

/* Digits only: no sign, no space, no overflow. */
static int parse_number(const char *s, unsigned int base, uint64_t max, uint64_t *number)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t value = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		const char lower = *s >= 'A' && *s <= 'F' ? *s - 'A' + 'a' : *s;
		const char *digit = memchr(digits, lower, base);

		if (!digit || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(digit - digits), &value))
			return -EINVAL;
	}
	if (value > max)
		return -EINVAL;
	*number = value;
	return 0;
}

/* -ENOENT: not there, and number is as it was. */
static int get_u64(const struct props *props, const char *name, uint64_t *number)
{
	const char *s = props_get(props, name);

	return s ? parse_number(s, 10, UINT64_MAX, number) : -ENOENT;
}

static int get_u32(const struct props *props, const char *name, uint32_t *number)
{
	const char *s = props_get(props, name);
	uint64_t value;
	int r;

	r = s ? parse_number(s, 10, UINT32_MAX, &value) : -ENOENT;
	if (r == 0)
		*number = (uint32_t)value;
	return r;
}

static int get_format(const struct props *props, uint32_t *format)
{
	const unsigned char *s = (const unsigned char *)props_get(props, BUFSHARE_PROPERTY_FORMAT);

	if (!s)
		return -ENOENT;
	if (strlen((const char *)s) != 4)
		return -EINVAL;
	*format = s[0] | s[1] << 8 | s[2] << 16 | (uint32_t)s[3] << 24;
	return 0;
}

static int get_modifier(const struct props *props, uint64_t *modifier)
{
	const char *s = props_get(props, BUFSHARE_PROPERTY_MODIFIER);

	if (!s)
		return -ENOENT;
	return s[0] == '0' && s[1] == 'x' ? parse_number(s + 2, 16, UINT64_MAX, modifier) : -EINVAL;
}

/* Those behind the first, of which both properties are there, without a gap. */
static int get_planes(const struct props *props, struct bufshare_framebuffer *fb)
{
	uint32_t i;

	for (i = 1; i < BUFSHARE_MAX_PLANES; i++) {
		struct bufshare_plane *plane = &fb->more[i - 1];
		const int offset = get_u64(props, plane_offsets[i], &plane->offset);
		const int stride = get_u32(props, plane_strides[i], &plane->stride);

		if (offset == -ENOENT && stride == -ENOENT)
			continue;
		if (offset < 0 || stride < 0 || fb->num_more != i - 1)
			return -EINVAL;
		fb->num_more = i;
	}
	return 0;
}

int framebuffer_read(const struct props *props, struct bufshare_framebuffer *fb)
{
	struct bufshare_framebuffer f = { 0 };
	const int needed[] = {
		get_u32(props, BUFSHARE_PROPERTY_WIDTH, &f.width),
		get_u32(props, BUFSHARE_PROPERTY_HEIGHT, &f.height),
		get_u32(props, BUFSHARE_PROPERTY_STRIDE, &f.stride),
		get_format(props, &f.format),
	};
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		if (needed[i] == -ENOENT)
			return -ENOENT;
	}
	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		if (needed[i] < 0)
			return needed[i];
	}
	r = get_u64(props, BUFSHARE_PROPERTY_OFFSET, &f.offset);
	if (r == 0 || r == -ENOENT)
		r = get_modifier(props, &f.modifier);
	if (r == 0 || r == -ENOENT)
		r = get_planes(props, &f);
	if (r < 0)
		return r;
	*fb = f;
	return 0;
}

struct writer {
	char *block;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct writer *w, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(w->block + w->n, FRAMEBUFFER_BLOCK_MAX - w->n, format, args);
	va_end(args);
	w->n += (size_t)n + 1;
}

/* What is 0 has no property. */
static void add_or_remove(struct writer *w, const struct props *now, const char *name,
			  const char *format, uint64_t value)
{
	char text[32];

	if (value) {
		snprintf(text, sizeof(text), format[1] == 'x' ? "0x%" PRIx64 : "%" PRIu64, value);
		add(w, "%s=%s", name, text);
	} else if (props_get(now, name)) {
		add(w, "%s", name);
	}
}

size_t framebuffer_write(const struct bufshare_framebuffer *fb, const struct props *now,
			 char block[FRAMEBUFFER_BLOCK_MAX])
{
	struct writer w = { .block = block };
	char fourcc[5];
	uint32_t i;

	format_name(fb->format, fourcc);
	add(&w, "%s=%" PRIu32, BUFSHARE_PROPERTY_WIDTH, fb->width);
	add(&w, "%s=%" PRIu32, BUFSHARE_PROPERTY_HEIGHT, fb->height);
	add(&w, "%s=%" PRIu32, BUFSHARE_PROPERTY_STRIDE, fb->stride);
	add(&w, "%s=%s", BUFSHARE_PROPERTY_FORMAT, fourcc);
	add_or_remove(&w, now, BUFSHARE_PROPERTY_OFFSET, "%u", fb->offset);
	add_or_remove(&w, now, BUFSHARE_PROPERTY_MODIFIER, "%x", fb->modifier);
	for (i = 1; i < BUFSHARE_MAX_PLANES; i++) {
		if (i <= fb->num_more)
			add(&w, "%s=%" PRIu64, plane_offsets[i], fb->more[i - 1].offset);
		else
			add_or_remove(&w, now, plane_offsets[i], "%u", 0);
		add_or_remove(&w, now, plane_strides[i], "%u",
			      i <= fb->num_more ? fb->more[i - 1].stride : 0);
	}
	return w.n;
}
