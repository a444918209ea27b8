/* SPDX-License-Identifier: MIT */
/*
 * How a picture lies in a buffer. The guest says it in properties, as text, and may
 * say anything.
 */
#include <errno.h>
#include <string.h>

#include "host/lib/internal.h"

/* Formats of one plane whose pixels are a whole number of bytes. */
static const struct {
	char fourcc[5];
	uint8_t bytes;
} formats[] = {
	{ "R8  ", 1 }, { "C8  ", 1 }, { "R16 ", 2 }, { "GR88", 2 }, { "RG16", 2 }, { "BG16", 2 },
	{ "XR15", 2 }, { "AR15", 2 }, { "XR12", 2 }, { "AR12", 2 }, { "YUYV", 2 }, { "YVYU", 2 },
	{ "UYVY", 2 }, { "VYUY", 2 }, { "RG24", 3 }, { "BG24", 3 }, { "XR24", 4 }, { "AR24", 4 },
	{ "XB24", 4 }, { "AB24", 4 }, { "RX24", 4 }, { "RA24", 4 }, { "BX24", 4 }, { "BA24", 4 },
	{ "XR30", 4 }, { "AR30", 4 }, { "XB30", 4 }, { "AB30", 4 }, { "XR48", 8 }, { "AR48", 8 },
	{ "XB48", 8 }, { "AB48", 8 }, { "XR4H", 8 }, { "AR4H", 8 }, { "XB4H", 8 }, { "AB4H", 8 },
};

/* The fewest bytes of a pixel in a row of the first plane. */
static uint8_t bytes_per_pixel(const char *fourcc)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(formats[i].fourcc, fourcc) == 0)
			return formats[i].bytes;
	}
	return 1;
}

/* Digits only: no sign, no space, no overflow. */
static int parse_number(const char *s, unsigned int base, uint64_t max, uint64_t *number)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t value = 0;

	if (!*s)
		return -EINVAL;

	for (; *s; s++) {
		char lower = *s >= 'A' && *s <= 'F' ? *s - 'A' + 'a' : *s;
		const char *digit = memchr(digits, lower, base);

		if (!digit || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit - digits, &value))
			return -EINVAL;
	}
	if (value > max)
		return -EINVAL;

	*number = value;
	return 0;
}

static int get_u32(const struct bufshare_host_buffer *buf, const char *name, uint32_t *number)
{
	uint64_t value;
	int r;

	r = parse_number(props_get(&buf->props, name), 10, UINT32_MAX, &value);
	if (r < 0)
		return r;

	*number = value;
	return 0;
}

static int get_offset(const struct bufshare_host_buffer *buf, uint64_t *offset)
{
	const char *s = props_get(&buf->props, BUFSHARE_PROPERTY_OFFSET);

	return s ? parse_number(s, 10, UINT64_MAX, offset) : 0;
}

static int get_modifier(const struct bufshare_host_buffer *buf, uint64_t *modifier)
{
	const char *s = props_get(&buf->props, BUFSHARE_PROPERTY_MODIFIER);

	if (!s)
		return 0;
	if (s[0] != '0' || s[1] != 'x')
		return -EINVAL;
	return parse_number(s + 2, 16, UINT64_MAX, modifier);
}

static int get_format(const struct bufshare_host_buffer *buf, uint32_t *format)
{
	const unsigned char *s =
		(const unsigned char *)props_get(&buf->props, BUFSHARE_PROPERTY_FORMAT);

	if (strlen((const char *)s) != 4)
		return -EINVAL;

	*format = s[0] | s[1] << 8 | s[2] << 16 | (uint32_t)s[3] << 24;
	return 0;
}

static bool is_framebuffer(const struct bufshare_host_buffer *buf)
{
	return props_get(&buf->props, BUFSHARE_PROPERTY_WIDTH) &&
	       props_get(&buf->props, BUFSHARE_PROPERTY_HEIGHT) &&
	       props_get(&buf->props, BUFSHARE_PROPERTY_STRIDE) &&
	       props_get(&buf->props, BUFSHARE_PROPERTY_FORMAT);
}

static bool lies_inside(const struct bufshare_host_buffer *buf,
			const struct bufshare_framebuffer *fb)
{
	uint64_t end = (uint64_t)fb->stride * fb->height;

	return !__builtin_add_overflow(end, fb->offset, &end) && end <= buf->size;
}

/* What a stride means in other layouts than linear only the modifier knows. */
static bool row_fits(const struct bufshare_host_buffer *buf, const struct bufshare_framebuffer *fb)
{
	uint8_t bytes = bytes_per_pixel(props_get(&buf->props, BUFSHARE_PROPERTY_FORMAT));

	return fb->modifier || (uint64_t)fb->width * bytes <= fb->stride;
}

BUFSHARE_EXPORT int bufshare_host_buffer_get_framebuffer(const struct bufshare_host_buffer *buf,
							 struct bufshare_framebuffer *fb)
{
	struct bufshare_framebuffer f = { 0 };

	if (!buf || !fb)
		return -EINVAL;
	if (!is_framebuffer(buf))
		return -ENOENT;

	if (get_u32(buf, BUFSHARE_PROPERTY_WIDTH, &f.width) < 0 ||
	    get_u32(buf, BUFSHARE_PROPERTY_HEIGHT, &f.height) < 0 ||
	    get_u32(buf, BUFSHARE_PROPERTY_STRIDE, &f.stride) < 0 ||
	    get_format(buf, &f.format) < 0 || get_offset(buf, &f.offset) < 0 ||
	    get_modifier(buf, &f.modifier) < 0)
		return -EINVAL;
	if (!f.width || !f.height || !f.stride || !row_fits(buf, &f) || !lies_inside(buf, &f))
		return -EINVAL;

	*fb = f;
	return 0;
}
