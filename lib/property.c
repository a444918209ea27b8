/* SPDX-License-Identifier: MIT */
/*
 * Properties of a buffer: kept here, and by the driver too while it is registered.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/internal.h"

/* After the host changed properties the driver knows better. */
static int refresh(struct bufshare_buffer *buf)
{
	char block[2 * DRM_BUFSHARE_MAX_PROPERTIES_SIZE];
	const uint64_t changed = buf->dev->properties_changed;
	size_t size = sizeof(block);
	struct props props = { 0 };
	int r;

	if (!buf->id || buf->properties_seen == changed)
		return 0;
	r = ioctl_get_properties(buf->dev, buf->id, block, &size);
	if (r < 0)
		return r;
	r = props_apply(&props, block, size);
	if (r < 0)
		return r;
	props_clear(&buf->props);
	buf->props = props;
	buf->properties_seen = changed;
	return 0;
}

/* Several at once; an entry without "=" is a removal. */
static int set_block(struct bufshare_buffer *buf, const char *block, size_t size)
{
	struct props props = { 0 };
	int r;

	r = props_check_block(block, size, PROPS_GUEST | PROPS_REMOVALS);
	if (r < 0)
		return r;
	r = props_copy(&props, &buf->props);
	if (r == 0)
		r = props_apply(&props, block, size);
	if (r == 0 && buf->id)
		r = ioctl_set_properties(buf->dev, buf->id, block, size);
	if (r < 0) {
		props_clear(&props);
		return r;
	}
	props_clear(&buf->props);
	buf->props = props;
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_set_property(struct bufshare_buffer *buf, const char *name,
						 const char *value)
{
	char block[PROPS_NAME_SIZE + PROPS_VALUE_SIZE];
	int size;

	if (!buf || !name || !props_name_valid(name) || (value && !props_value_valid(value)))
		return -EINVAL;
	if (props_is_host(name))
		return -EPERM;
	if (!value && !props_get(&buf->props, name))
		return -ENOENT;
	size = snprintf(block, sizeof(block), "%s%s%s", name, value ? "=" : "", value ? value : "");
	return set_block(buf, block, (size_t)size + 1);
}

BUFSHARE_EXPORT int bufshare_buffer_get_property(struct bufshare_buffer *buf, const char *name,
						 const char **value)
{
	const char *found;
	int r;

	if (!buf || !name || !value)
		return -EINVAL;
	r = refresh(buf);
	if (r < 0)
		return r;
	found = props_get(&buf->props, name);
	if (!found)
		return -ENOENT;
	*value = found;
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_next_property(struct bufshare_buffer *buf, const char **name)
{
	const struct prop *next;
	int r = 0;

	if (!buf || !name)
		return -EINVAL;
	/* Not in the middle of a walk: the name that goes in is borrowed from the set. */
	if (!*name)
		r = refresh(buf);
	if (r < 0)
		return r;
	next = props_next(&buf->props, *name);
	if (!next)
		return -ENOENT;
	*name = next->name;
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_set_framebuffer(struct bufshare_buffer *buf,
						    const struct bufshare_framebuffer *fb)
{
	char block[256];
	int n;

	if (!buf || !fb || !fb->width || !fb->height || !fb->stride || !fb->format)
		return -EINVAL;
	n = snprintf(block, sizeof(block), "%s=%u%c%s=%u%c%s=%u%c%s=%c%c%c%c%c%s=%llu%c",
		     BUFSHARE_PROPERTY_WIDTH, fb->width, 0, BUFSHARE_PROPERTY_HEIGHT, fb->height, 0,
		     BUFSHARE_PROPERTY_STRIDE, fb->stride, 0, BUFSHARE_PROPERTY_FORMAT,
		     fb->format & 0xff, fb->format >> 8 & 0xff, fb->format >> 16 & 0xff,
		     fb->format >> 24, 0, BUFSHARE_PROPERTY_OFFSET,
		     (unsigned long long)fb->offset, 0);
	/* Linear is what no modifier means. */
	n += snprintf(block + n, sizeof(block) - (size_t)n, fb->modifier ? "%s=0x%llx%c" : "%s",
		      BUFSHARE_PROPERTY_MODIFIER, (unsigned long long)fb->modifier, 0);
	if (!fb->modifier)
		n++;
	return set_block(buf, block, (size_t)n);
}

static int number(struct bufshare_buffer *buf, const char *name, int base, uint64_t max,
		  uint64_t *value)
{
	const char *text;
	char *end;
	int r;

	r = bufshare_buffer_get_property(buf, name, &text);
	if (r < 0)
		return r;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, base);
	return errno || *end || *value > max ? -EINVAL : 0;
}

BUFSHARE_EXPORT int bufshare_buffer_get_framebuffer(struct bufshare_buffer *buf,
						    struct bufshare_framebuffer *fb)
{
	uint64_t width, height, stride, offset = 0, modifier = 0;
	const char *format;
	int r;

	if (!buf || !fb)
		return -EINVAL;
	r = number(buf, BUFSHARE_PROPERTY_WIDTH, 10, UINT32_MAX, &width);
	if (r == 0)
		r = number(buf, BUFSHARE_PROPERTY_HEIGHT, 10, UINT32_MAX, &height);
	if (r == 0)
		r = number(buf, BUFSHARE_PROPERTY_STRIDE, 10, UINT32_MAX, &stride);
	if (r == 0)
		r = bufshare_buffer_get_property(buf, BUFSHARE_PROPERTY_FORMAT, &format);
	if (r < 0)
		return r;
	r = number(buf, BUFSHARE_PROPERTY_OFFSET, 10, UINT64_MAX, &offset);
	if (r == 0 || r == -ENOENT)
		r = number(buf, BUFSHARE_PROPERTY_MODIFIER, 16, UINT64_MAX, &modifier);
	if (r < 0 && r != -ENOENT)
		return r;
	if (strlen(format) != 4)
		return -EINVAL;
	*fb = (struct bufshare_framebuffer){
		.width = (uint32_t)width,
		.height = (uint32_t)height,
		.stride = (uint32_t)stride,
		.format = (uint32_t)(unsigned char)format[0] |
			  (uint32_t)(unsigned char)format[1] << 8 |
			  (uint32_t)(unsigned char)format[2] << 16 |
			  (uint32_t)(unsigned char)format[3] << 24,
		.modifier = modifier,
		.offset = offset,
	};
	return 0;
}
