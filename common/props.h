/* SPDX-License-Identifier: MIT */
/*
 * Properties: name = value, both text. A set of them in memory, and the property
 * block, the form in which they cross the three boundaries (virtio_bufshare.h).
 */
#ifndef COMMON_PROPS_H
#define COMMON_PROPS_H

#include <stdbool.h>
#include <stddef.h>

/* The limits of virtio_bufshare.h, which a test holds equal. */
#define PROPS_MAX 64
#define PROPS_BLOCK_MAX 3072
#define PROPS_NAME_SIZE 64
#define PROPS_VALUE_SIZE 1024
#define PROPS_HOST_PREFIX "host."

struct prop {
	char *name;
	char *value;
};

/* Sorted by name. All zero is an empty set. */
struct props {
	struct prop v[PROPS_MAX];
	size_t n;
	size_t block_size; /* bytes of the block with all of them */
};

enum props_flags {
	PROPS_REMOVALS = 1 << 0, /* "name" without "=" is allowed */
	PROPS_GUEST = 1 << 1, /* names of the guest are allowed */
	PROPS_HOST = 1 << 2, /* names of the host are allowed */
};

/* Bytes of the UTF-8 character at text, 0 if it is none. Stops at a NUL by itself. */
size_t props_character(const char *text);

/* [a-z0-9][a-z0-9._-]*, and short enough */
bool props_name_valid(const char *name);

/* UTF-8, and short enough */
bool props_value_valid(const char *value);

/* Labels and applications: [A-Za-z0-9][A-Za-z0-9._-]*, at most 63 bytes */
bool props_label_valid(const char *label);

/* The same for a field of size bytes that must be NUL-padded; empty is valid. */
bool props_label_field_valid(const void *field, size_t size);

bool props_is_host(const char *name);

/*
 * Checks a block of untrusted bytes. -EINVAL: malformed, a name twice, or a removal that
 * is not allowed; -EPERM: the name of a side that is not allowed; -ENOSPC: over a limit.
 */
int props_check_block(const char *block, size_t size, unsigned int flags);

/*
 * Applies a checked block: all of it or nothing. A removal of what is not there does
 * nothing. -ENOSPC: over a limit afterwards; -ENOMEM.
 */
int props_apply(struct props *props, const char *block, size_t size);

/* One property; NULL as value removes it (-ENOENT). -EINVAL, -ENOSPC, -ENOMEM. */
int props_set(struct props *props, const char *name, const char *value);

/* Borrowed until the set changes; NULL: not there. */
const char *props_get(const struct props *props, const char *name);

/* The first property whose name sorts behind this one; NULL begins, NULL is the end. */
const struct prop *props_next(const struct props *props, const char *name);

/* Writes those of the sides in flags; buf has room for block_size bytes. Returns bytes. */
size_t props_write_block(const struct props *props, unsigned int flags, char *buf);

/* Makes to an independent copy of from; to is empty or not. -ENOMEM: to is unchanged. */
int props_copy(struct props *to, const struct props *from);

/* Empties the set and frees what it holds. */
void props_clear(struct props *props);

#endif /* COMMON_PROPS_H */
