/* SPDX-License-Identifier: MIT */
/*
 * Are two PNG files the same picture, pixel by pixel? Decoded by libpng alone, so that
 * nothing of this project's own reading and writing of PNG is taken on trust.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "common/cleanup.h"

static void *decode(const char *path, png_image *image)
{
	void *pixels;

	memset(image, 0, sizeof(*image));
	image->version = PNG_IMAGE_VERSION;
	if (!png_image_begin_read_from_file(image, path)) {
		fprintf(stderr, "%s: %s\n", path, image->message);
		return NULL;
	}
	image->format = PNG_FORMAT_RGBA;
	pixels = malloc(PNG_IMAGE_SIZE(*image));
	if (!pixels || !png_image_finish_read(image, NULL, pixels, 0, NULL)) {
		fprintf(stderr, "%s: %s\n", path, pixels ? image->message : "no memory");
		free(pixels);
		png_image_free(image);
		return NULL;
	}
	return pixels;
}

int main(int argc, char **argv)
{
	_cleanup_free_ void *a = NULL, *b = NULL;
	png_image ia, ib;

	if (argc != 3) {
		fprintf(stderr, "usage: demo-compare ONE.png OTHER.png\n");
		return 2;
	}
	a = decode(argv[1], &ia);
	b = decode(argv[2], &ib);
	if (!a || !b)
		return 2;
	if (ia.width != ib.width || ia.height != ib.height) {
		fprintf(stderr, "sizes differ: %ux%u and %ux%u\n", ia.width, ia.height, ib.width,
			ib.height);
		return 1;
	}
	return memcmp(a, b, PNG_IMAGE_SIZE(ia)) != 0;
}
