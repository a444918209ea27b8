/* SPDX-License-Identifier: MIT */
/*
 * Picture files, as "bufsharectl share" gets them from wherever they came. The input is the
 * file. All pixels of what is accepted must be there.
 */
#include <errno.h>
#include <stdlib.h>

#include <drm_fourcc.h>

#include "cli/png.h"
#include "cli/ppm.h"
#include "fuzz/fuzz.h"

const char fuzz_name[] = "picture";

static void look_at(const struct png_picture *picture)
{
	size_t i, size = (size_t)picture->width * picture->height * 4;
	uint8_t any = 0;

	fuzz_check(picture->width && picture->height);
	fuzz_check(picture->format == DRM_FORMAT_XRGB8888 || picture->format == DRM_FORMAT_ARGB8888);
	for (i = 0; i < size; i++)
		any |= picture->pixels[i];
	*(volatile uint8_t *)&any = any;
	free(picture->pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct png_picture picture = { 0 };
	const char *why = NULL;
	int r = -ENOTSUP;

	if (png_is(data, size))
		r = png_read(data, size, &picture, &why);
	else if (ppm_is(data, size))
		r = ppm_read(data, size, &picture, &why);
	if (r == 0)
		look_at(&picture);
	else
		fuzz_check(!picture.pixels);
	fuzz_check(r != -EBADMSG || (why && *why));
	return 0;
}
