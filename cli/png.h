/* SPDX-License-Identifier: MIT */
/*
 * PNG files to and from framebuffers, by libpng. What is read and written again is the
 * same picture, pixel by pixel.
 */
#ifndef CLI_PNG_H
#define CLI_PNG_H

#include <stdbool.h>
#include <stdint.h>

#include <bufshare-types.h>

/* Of what is read, so that a small file cannot make large memory. */
#define PICTURE_MAX_SIDE 32768
#define PICTURE_MAX_BYTES (1u << 30)

struct png_picture {
	uint32_t width;
	uint32_t height;
	uint32_t format; /* DRM_FORMAT_XRGB8888, or ARGB8888 if it has alpha */
	uint8_t *pixels; /* rows of width * 4 bytes; free() */
};

/* Whether the first bytes of a file are those of a PNG. */
bool png_is(const void *bytes, uint64_t size);

/*
 * Reads a PNG in memory, of any kind; 16 bits a channel become 8. -EBADMSG: damaged, or
 * too large; *why says how, static. -ENOMEM.
 */
int png_read(const void *bytes, uint64_t size, struct png_picture *picture, const char **why);

/* Formats that png_write_file() takes, and the bytes of a pixel, 0 of another one. */
bool png_format_known(uint32_t format);
uint32_t png_format_bytes(uint32_t format);

/*
 * Writes a PNG of the pixels, which begin at the first one of the framebuffer. The file
 * is there when it is whole, or not at all. -EOPNOTSUPP: not such a format.
 */
int png_write_file(const char *path, const struct bufshare_framebuffer *fb, const void *pixels);

#endif /* CLI_PNG_H */
