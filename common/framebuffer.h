/* SPDX-License-Identifier: MIT */
/*
 * How a picture lies in a buffer: the formats that are known, and the one rule about what
 * fits, which both libraries go by. docs/properties.md says it in words.
 */
#ifndef COMMON_FRAMEBUFFER_H
#define COMMON_FRAMEBUFFER_H

#include <bufshare-types.h>

#include "common/props.h"

/* Room for a picture's property block. */
#define FRAMEBUFFER_BLOCK_MAX 512

/*
 * Lays a picture of a known format out, linear, planes one behind the other, rows beginning
 * at multiples of align bytes. size becomes what it takes. -EOPNOTSUPP: the format is not
 * known; -EINVAL: a size of 0, or too large.
 */
int framebuffer_layout(uint32_t width, uint32_t height, uint32_t format, uint32_t align,
		       struct bufshare_framebuffer *fb, uint64_t *size);

/* -EINVAL: a field that cannot be, or the picture is not inside a buffer of size bytes. */
int framebuffer_check(const struct bufshare_framebuffer *fb, uint64_t size);

/*
 * What the properties say, unchecked but for being numbers. -ENOENT: width, height, stride
 * or format is missing; -EINVAL: one cannot be read.
 */
int framebuffer_read(const struct props *props, struct bufshare_framebuffer *fb);

/*
 * Writes the block that makes properties say it, with removals of what they say now and it
 * does not. Returns bytes.
 */
size_t framebuffer_write(const struct bufshare_framebuffer *fb, const struct props *now,
			 char block[FRAMEBUFFER_BLOCK_MAX]);

#endif /* COMMON_FRAMEBUFFER_H */
