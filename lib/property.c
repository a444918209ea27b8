/* SPDX-License-Identifier: MIT */
/*
 * Properties of a buffer: kept here, and by the driver too while it is registered.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/internal.h"

#define ASSIGNMENT_SIZE (PROPS_NAME_SIZE + PROPS_VALUE_SIZE)

/* After others changed properties the driver knows better. */
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
	if (props_check_block(block, size, PROPS_GUEST | PROPS_HOST) < 0)
		return -EPROTO;
	r = props_apply(&props, block, size);
	if (r < 0)
		return r;
	props_clear(&buf->props);
	buf->props = props;
	buf->properties_seen = changed;
	return 0;
}

int buffer_set_block(struct bufshare_buffer *buf, const char *block, size_t size)
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
		r = ioctl_set_properties(buf->dev, false, buf->id, block, size);
	if (r < 0) {
		props_clear(&props);
		return r;
	}
	props_clear(&buf->props);
	buf->props = props;
	return 0;
}

/* A block of one string: "name=value", or "name" where value is NULL. */
static int write_assignment(char block[ASSIGNMENT_SIZE], size_t *size, const char *name,
			    const char *value)
{
	if (!name || !props_name_valid(name) || (value && !props_value_valid(value)))
		return -EINVAL;
	if (props_is_host(name))
		return -EPERM;
	*size = (size_t)snprintf(block, ASSIGNMENT_SIZE, "%s%s%s", name, value ? "=" : "",
				 value ? value : "") + 1;
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_set_property(struct bufshare_buffer *buf, const char *name,
						 const char *value)
{
	char block[ASSIGNMENT_SIZE];
	size_t size;
	int r;

	if (!buf)
		return -EINVAL;
	r = write_assignment(block, &size, name, value);
	if (r == 0 && !value)
		r = refresh(buf);
	if (r < 0)
		return r;
	if (!value && !props_get(&buf->props, name))
		return -ENOENT;
	return buffer_set_block(buf, block, size);
}

BUFSHARE_EXPORT int bufshare_device_set_buffer_property(struct bufshare_device *dev, uint64_t id,
							const char *name, const char *value)
{
	char block[ASSIGNMENT_SIZE];
	size_t size;
	int r;

	if (!dev || !id)
		return -EINVAL;
	r = write_assignment(block, &size, name, value);
	if (r == 0)
		r = ioctl_set_properties(dev, true, id, block, size);
	/* If it was a buffer of this program, its copy of them is old. */
	if (r == 0)
		dev->properties_changed++;
	return r;
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
	/* Not in the middle of a walk: it sees the host's properties as it began. */
	if (!*name)
		r = refresh(buf);
	if (r < 0)
		return r;
	next = props_next(&buf->props, *name);
	if (!next)
		return -ENOENT;
	/* A copy, so that properties can come and go during the walk. */
	memcpy(buf->walk, next->name, strlen(next->name) + 1);
	*name = buf->walk;
	return 0;
}
