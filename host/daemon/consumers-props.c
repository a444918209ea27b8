/* SPDX-License-Identifier: MIT */
/*
 * Properties as a consumer knows them, and as they are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/consumers-internal.h"

struct snapshot *snapshot_new(const struct props *one, const struct props *two)
{
	struct snapshot *s = malloc(sizeof(*s) + one->block_size + two->block_size);

	if (!s)
		return NULL;
	s->refs = 1;
	s->size = props_write_block(one, PROPS_GUEST | PROPS_HOST, s->block);
	s->size += props_write_block(two, PROPS_GUEST | PROPS_HOST, s->block + s->size);
	return s;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	s->refs++;
	return s;
}

struct snapshot *snapshot_unref(struct snapshot *s)
{
	if (s && --s->refs == 0)
		free(s);
	return NULL;
}

static void cleanup_props(struct props *props)
{
	props_clear(props);
}

/* Names of what is in from and not in to; how many bytes. */
static size_t write_removals(const struct props *from, const struct props *to, char *block)
{
	size_t i, size = 0, len;

	for (i = 0; i < from->n; i++) {
		if (props_get(to, from->v[i].name))
			continue;
		len = strlen(from->v[i].name) + 1;
		memcpy(block + size, from->v[i].name, len);
		size += len;
	}
	return size;
}

/* What is in to and not the same in from. */
static size_t write_changes(const struct props *from, const struct props *to, char *block)
{
	size_t i, size = 0;

	for (i = 0; i < to->n; i++) {
		const struct prop *p = &to->v[i];
		const char *old = props_get(from, p->name);
		const size_t name = strlen(p->name), value = strlen(p->value) + 1;

		if (old && strcmp(old, p->value) == 0)
			continue;
		memcpy(block + size, p->name, name);
		block[size + name] = '=';
		memcpy(block + size + name + 1, p->value, value);
		size += name + 1 + value;
	}
	return size;
}

/* What a consumer knows that has been told of these removals. */
static int without(struct props *from, const char *removals, size_t size, struct snapshot **known)
{
	static const struct props none;
	int r = props_apply(from, removals, size);

	if (r == 0)
		*known = snapshot_new(from, &none);
	return r == 0 && !*known ? -ENOMEM : r;
}

int snapshot_diff(const struct snapshot *told, struct snapshot *now, char *block, size_t *size,
		  struct snapshot **known)
{
	_cleanup_(cleanup_props) struct props from = { 0 };
	_cleanup_(cleanup_props) struct props to = { 0 };
	size_t removals;
	int r;

	r = props_apply(&from, told->block, told->size);
	if (r == 0)
		r = props_apply(&to, now->block, now->size);
	if (r < 0)
		return r;
	removals = write_removals(&from, &to, block);
	*size = removals + write_changes(&from, &to, block + removals);
	if (*size <= PROPS_BLOCK_MAX) {
		*known = snapshot_ref(now);
		return 0;
	}
	*size = removals;
	return without(&from, block, removals, known);
}
