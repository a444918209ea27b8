/* SPDX-License-Identifier: MIT */
/*
 * The moving test picture: each frame shows its number to people, as digits, and to
 * programs, as a row of black and white cells.
 */
#ifndef COMMON_PATTERN_H
#define COMMON_PATTERN_H

#include <stdint.h>

#include <bufshare-types.h>

/* Room for the cells and one digit. */
#define PATTERN_MIN_WIDTH 160
#define PATTERN_MIN_HEIGHT 64

/* Draws frame n. -EOPNOTSUPP: not a format of 32 bits a pixel; -EINVAL: too small. */
int pattern_draw(const struct bufshare_framebuffer *fb, void *pixels, uint32_t n);

/* Reads the number back. -EPROTO: the picture shows none. */
int pattern_read(const struct bufshare_framebuffer *fb, const void *pixels, uint32_t *n);

#endif /* COMMON_PATTERN_H */
