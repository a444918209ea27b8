/* SPDX-License-Identifier: MIT */
/* Writes the pixels of a PNG as bytes: blue, green, red, alpha. */
#include <stdio.h>
#include <string.h>

#include <png.h>

int main(int argc, char **argv)
{
	static unsigned char pixels[1 << 24];
	png_image image = { .version = PNG_IMAGE_VERSION };

	if (argc != 2 || !png_image_begin_read_from_file(&image, argv[1]))
		return 1;
	image.format = PNG_FORMAT_BGRA;
	if (PNG_IMAGE_SIZE(image) > sizeof(pixels) ||
	    !png_image_finish_read(&image, NULL, pixels, 0, NULL))
		return 1;
	return fwrite(pixels, 1, PNG_IMAGE_SIZE(image), stdout) != PNG_IMAGE_SIZE(image);
}
