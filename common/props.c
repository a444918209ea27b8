/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/props.h"

/* A block that replaces a full set by another one has this many strings. */
#define BLOCK_STRINGS_MAX ((size_t)2 * PROPS_MAX)

/* One string of a block; value is NULL if it is a removal. */
struct entry {
	const char *name;
	size_t name_len;
	const char *value;
};

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_mark(char c)
{
	return c == '.' || c == '_' || c == '-';
}

static bool name_valid(const char *name, size_t len)
{
	if (len == 0 || len >= PROPS_NAME_SIZE || !is_lower_alnum(name[0]))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_lower_alnum(name[i]) && !is_mark(name[i]))
			return false;
	}
	return true;
}

bool props_name_valid(const char *name)
{
	return name_valid(name, strnlen(name, PROPS_NAME_SIZE));
}

size_t props_character(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf; /* of the second byte */
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	/* Neither longer than needed, nor a surrogate, nor beyond U+10FFFF. */
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
	for (size_t i = 2; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

bool props_value_valid(const char *value)
{
	size_t size = strnlen(value, PROPS_VALUE_SIZE);
	size_t len;

	if (size >= PROPS_VALUE_SIZE)
		return false;
	for (size_t i = 0; i < size; i += len) {
		len = props_character(value + i);
		if (len == 0)
			return false;
	}
	return true;
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool label_valid(const char *label, size_t len)
{
	if (len == 0 || len >= PROPS_NAME_SIZE || !is_alnum(label[0]))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (!is_alnum(label[i]) && !is_mark(label[i]))
			return false;
	}
	return true;
}

bool props_label_valid(const char *label)
{
	return label_valid(label, strnlen(label, PROPS_NAME_SIZE));
}

bool props_label_field_valid(const void *field, size_t size)
{
	const char *label = field;
	size_t len = strnlen(label, size);

	if (len == size)
		return false;
	for (size_t i = len; i < size; i++) {
		if (label[i] != '\0')
			return false;
	}
	return len == 0 || label_valid(label, len);
}

bool props_is_host(const char *name)
{
	return strncmp(name, PROPS_HOST_PREFIX, strlen(PROPS_HOST_PREFIX)) == 0;
}

/* Takes the string at *pos of a block that ends with a NUL. */
static struct entry next_entry(const char *block, size_t *pos)
{
	const char *s = block + *pos;
	const char *equals = strchr(s, '=');
	struct entry e = { .name = s };

	e.name_len = equals ? (size_t)(equals - s) : strlen(s);
	e.value = equals ? equals + 1 : NULL;
	*pos += strlen(s) + 1;
	return e;
}

static int check_entry(const struct entry *e, unsigned int flags)
{
	if (!name_valid(e->name, e->name_len))
		return -EINVAL;
	if (!e->value && !(flags & PROPS_REMOVALS))
		return -EINVAL;
	if (e->value && !props_value_valid(e->value))
		return -EINVAL;
	if (!(flags & (props_is_host(e->name) ? PROPS_HOST : PROPS_GUEST)))
		return -EPERM;
	return 0;
}

static bool same_name(const struct entry *a, const struct entry *b)
{
	return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0;
}

int props_check_block(const char *block, size_t size, unsigned int flags)
{
	struct entry seen[BLOCK_STRINGS_MAX];
	size_t n = 0, settings = 0, pos = 0;
	int r;

	if (size == 0)
		return 0;
	if (size > PROPS_BLOCK_MAX)
		return -ENOSPC;
	if (block[size - 1] != '\0')
		return -EINVAL;

	while (pos < size) {
		struct entry e = next_entry(block, &pos);

		r = check_entry(&e, flags);
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			if (same_name(&seen[i], &e))
				return -EINVAL;
		}
		settings += e.value != NULL;
		if (settings > PROPS_MAX || n + 1 - settings > PROPS_MAX)
			return -ENOSPC;
		seen[n++] = e;
	}
	return 0;
}

/* Where name is, or would be. */
static size_t lower_bound(const struct props *props, const char *name)
{
	size_t low = 0, high = props->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(props->v[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_at(const struct props *props, size_t i, const char *name)
{
	return i < props->n && strcmp(props->v[i].name, name) == 0;
}

/* Bytes of "name=value" with its NUL. */
static size_t string_size(const char *name, const char *value)
{
	return strlen(name) + 1 + strlen(value) + 1;
}

/* One piece of memory: the name, and the value behind it. */
static int prop_new(const char *name, const char *value, struct prop *prop)
{
	size_t name_size = strlen(name) + 1;
	size_t value_size = strlen(value) + 1;
	char *s;

	s = malloc(name_size + value_size);
	if (!s)
		return -ENOMEM;

	memcpy(s, name, name_size);
	memcpy(s + name_size, value, value_size);
	prop->name = s;
	prop->value = s + name_size;
	return 0;
}

static void remove_at(struct props *props, size_t i)
{
	struct prop *p = &props->v[i];

	props->block_size -= string_size(p->name, p->value);
	free(p->name);
	props->n--;
	memmove(p, p + 1, (props->n - i) * sizeof(*p));
}

int props_set(struct props *props, const char *name, const char *value)
{
	size_t i, block_size;
	struct prop prop;
	bool there;
	int r;

	if (!props_name_valid(name) || (value && !props_value_valid(value)))
		return -EINVAL;

	i = lower_bound(props, name);
	there = is_at(props, i, name);
	if (!value) {
		if (!there)
			return -ENOENT;
		remove_at(props, i);
		return 0;
	}

	block_size = props->block_size + string_size(name, value);
	if (there)
		block_size -= string_size(name, props->v[i].value);
	if (block_size > PROPS_BLOCK_MAX || (!there && props->n == PROPS_MAX))
		return -ENOSPC;

	r = prop_new(name, value, &prop);
	if (r < 0)
		return r;

	if (there)
		remove_at(props, i);
	memmove(&props->v[i + 1], &props->v[i], (props->n - i) * sizeof(prop));
	props->v[i] = prop;
	props->n++;
	props->block_size = block_size;
	return 0;
}

/* For each string of the block: gone is what had its name, or there is what it sets. */
static int apply_strings(struct props *props, const char *block, size_t size, bool set)
{
	char name[PROPS_NAME_SIZE];
	size_t pos = 0;
	int r;

	while (pos < size) {
		struct entry e = next_entry(block, &pos);

		if (!name_valid(e.name, e.name_len))
			return -EINVAL;
		memcpy(name, e.name, e.name_len);
		name[e.name_len] = '\0';

		if (set && !e.value)
			continue;
		r = props_set(props, name, set ? e.value : NULL);
		if (r < 0 && (set || r != -ENOENT))
			return r;
	}
	return 0;
}

int props_apply(struct props *props, const char *block, size_t size)
{
	_cleanup_(props_clear) struct props new = { .n = 0 };
	struct props old;
	int r;

	if (size > 0 && block[size - 1] != '\0')
		return -EINVAL;

	r = props_copy(&new, props);
	if (r < 0)
		return r;

	/* The old values go first: the limits are those of the result. */
	r = apply_strings(&new, block, size, false);
	if (r < 0)
		return r;

	r = apply_strings(&new, block, size, true);
	if (r < 0)
		return r;

	old = *props;
	*props = new;
	new = old;
	return 0;
}

const char *props_get(const struct props *props, const char *name)
{
	size_t i = lower_bound(props, name);

	return is_at(props, i, name) ? props->v[i].value : NULL;
}

const struct prop *props_next(const struct props *props, const char *name)
{
	size_t i = 0;

	if (name) {
		i = lower_bound(props, name);
		i += is_at(props, i, name);
	}
	return i < props->n ? &props->v[i] : NULL;
}

size_t props_write_block(const struct props *props, unsigned int flags, char *buf)
{
	char *p = buf;

	for (size_t i = 0; i < props->n; i++) {
		const struct prop *prop = &props->v[i];

		if (!(flags & (props_is_host(prop->name) ? PROPS_HOST : PROPS_GUEST)))
			continue;
		p = stpcpy(p, prop->name);
		*p++ = '=';
		p = stpcpy(p, prop->value) + 1;
	}
	return (size_t)(p - buf);
}

int props_copy(struct props *to, const struct props *from)
{
	_cleanup_(props_clear) struct props new = { .n = 0 };
	struct props old;
	int r;

	for (size_t i = 0; i < from->n; i++) {
		r = prop_new(from->v[i].name, from->v[i].value, &new.v[i]);
		if (r < 0)
			return r;

		new.n++;
	}
	new.block_size = from->block_size;

	old = *to;
	*to = new;
	new = old;
	return 0;
}

void props_clear(struct props *props)
{
	for (size_t i = 0; i < props->n; i++)
		free(props->v[i].name);
	*props = (struct props){ .n = 0 };
}
