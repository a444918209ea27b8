// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>

#include "bufshare_props.h"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_mark(char c)
{
	return c == '.' || c == '_' || c == '-';
}

/**
 * bufshare_label_valid - check a label or the name of an application
 * @field: NUL-padded; an empty one is valid
 * @size: bytes of the field
 */
bool bufshare_label_valid(const char *field, size_t size)
{
	size_t len = strnlen(field, size);
	size_t i;

	if (len == size)
		return false;
	for (i = len; i < size; i++) {
		if (field[i])
			return false;
	}
	if (!len)
		return true;
	if (!is_alnum(field[0]))
		return false;
	for (i = 1; i < len; i++) {
		if (!is_alnum(field[i]) && !is_mark(field[i]))
			return false;
	}
	return true;
}

static bool name_valid(const char *name, size_t len)
{
	size_t i;

	if (!len || len >= VIRTIO_BUFSHARE_PROPERTY_NAME_SIZE || !is_lower_alnum(name[0]))
		return false;
	for (i = 1; i < len; i++) {
		if (!is_lower_alnum(name[i]) && !is_mark(name[i]))
			return false;
	}
	return true;
}

/* Bytes of the character at @s, which a NUL ends; 0 if it is none. */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t i, len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	/* The second byte excludes long forms, surrogates, and what is beyond U+10FFFF. */
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (i = 2; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

static bool value_valid(const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t len;

	if (strlen(value) >= VIRTIO_BUFSHARE_PROPERTY_VALUE_SIZE)
		return false;
	for (; *s; s += len) {
		len = utf8_len(s);
		if (!len)
			return false;
	}
	return true;
}

static size_t name_len(const char *string)
{
	return strcspn(string, "=");
}

static bool is_removal(const char *string)
{
	return !string[name_len(string)];
}

static bool is_host(const char *string)
{
	return !strncmp(string, VIRTIO_BUFSHARE_HOST_PREFIX, strlen(VIRTIO_BUFSHARE_HOST_PREFIX));
}

/* The order of the names of two strings, as strcmp() would say. */
static int compare_names(const char *a, const char *b)
{
	size_t a_len = name_len(a), b_len = name_len(b);
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int check_string(const char *string, unsigned int flags)
{
	size_t len = name_len(string);

	if (!name_valid(string, len))
		return -EINVAL;
	if (is_removal(string) && !(flags & BUFSHARE_PROPS_REMOVALS))
		return -EINVAL;
	if (!is_removal(string) && !value_valid(string + len + 1))
		return -EINVAL;
	if (!(flags & (is_host(string) ? BUFSHARE_PROPS_HOST : BUFSHARE_PROPS_GUEST)))
		return -EPERM;
	return 0;
}

/**
 * bufshare_props_check - check a property block
 * @block: not to be changed by others any more
 * @size: bytes of the block
 * @flags: BUFSHARE_PROPS_*
 *
 * Return: 0; -EINVAL: malformed, a name twice, or a removal that is not allowed; -EPERM:
 * the name of a side that is not allowed; -ENOSPC: more than the interface allows.
 */
int bufshare_props_check(const char *block, size_t size, unsigned int flags)
{
	unsigned int settings = 0, removals = 0;
	const char *string, *earlier;
	int ret;

	if (!size)
		return 0;
	if (size > VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE)
		return -ENOSPC;
	if (block[size - 1])
		return -EINVAL;

	for (string = block; string < block + size; string += strlen(string) + 1) {
		ret = check_string(string, flags);
		if (ret)
			return ret;
		if (is_removal(string))
			removals++;
		else
			settings++;
		if (settings > VIRTIO_BUFSHARE_MAX_PROPERTIES ||
		    removals > VIRTIO_BUFSHARE_MAX_PROPERTIES)
			return -ENOSPC;
		for (earlier = block; earlier < string; earlier += strlen(earlier) + 1) {
			if (!compare_names(earlier, string))
				return -EINVAL;
		}
	}
	return 0;
}

/* One string. @size has room for it; the new size. */
static size_t apply_string(char *block, size_t size, const char *string)
{
	size_t old = 0, new = is_removal(string) ? 0 : strlen(string) + 1;
	char *at = block;

	while (at < block + size && compare_names(at, string) < 0)
		at += strlen(at) + 1;
	if (at < block + size && !compare_names(at, string))
		old = strlen(at) + 1;
	memmove(at + new, at + old, block + size - (at + old));
	memcpy(at, string, new);
	return size - old + new;
}

/**
 * bufshare_props_apply - apply a block of changes to a block
 * @block: sorted by name; has BUFSHARE_PROPS_ROOM
 * @size: bytes of it, at most VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE
 * @changes: a checked block, in any order
 * @changes_size: bytes of it
 *
 * Return: the new size of the block, which may be beyond the limit; it is still sorted.
 */
size_t bufshare_props_apply(char *block, size_t size, const char *changes, size_t changes_size)
{
	const char *string;

	for (string = changes; string < changes + changes_size; string += strlen(string) + 1)
		size = apply_string(block, size, string);
	return size;
}

/**
 * bufshare_props_count - count the properties of a checked block without removals
 * @block: the block
 * @size: bytes of it
 */
unsigned int bufshare_props_count(const char *block, size_t size)
{
	unsigned int count = 0;
	const char *string;

	for (string = block; string < block + size; string += strlen(string) + 1)
		count++;
	return count;
}
