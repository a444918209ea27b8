/* SPDX-License-Identifier: MIT */
/*
 * Is a picture on the screen, pixel by pixel?
 *
 *	find-picture SCREEN WIDTH HEIGHT PIXELS [TOLERANCE]
 *
 * SCREEN is what Xvfb -fbdir writes, an XWD file of 32 bits a pixel; PIXELS has blue, green,
 * red and what is not looked at, each of which may differ by TOLERANCE. Prints where it
 * is, or ends with 1.
 */
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE (1u << 26)

/* What the beginning of the file says, in order; all big-endian. */
enum { HEADER_SIZE, WIDTH = 4, HEIGHT, BITS_PER_PIXEL = 11, BYTES_PER_LINE, NUM_COLORS = 19,
       NUM_FIELDS = 25 };
#define COLOR_SIZE 12

static uint8_t screen[MAX_FILE], picture[MAX_FILE];

static size_t read_file(const char *path, uint8_t *bytes)
{
	FILE *f = fopen(path, "re");
	size_t size;

	if (!f)
		exit(2);
	size = fread(bytes, 1, MAX_FILE, f);
	fclose(f);
	return size;
}

static int tolerance;

static int same_pixels(const uint8_t *a, const uint8_t *b, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < 4 * n; i++)
		if (i % 4 != 3 && abs(a[i] - b[i]) > tolerance)
			return 0;
	return 1;
}

static int is_at(const uint8_t *corner, uint32_t stride, uint32_t width, uint32_t height)
{
	uint32_t y;

	for (y = 0; y < height; y++)
		if (!same_pixels(corner + (size_t)y * stride, picture + (size_t)y * width * 4, width))
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	uint32_t header[NUM_FIELDS], width, height, x, y;
	uint8_t *first;
	size_t screen_size, size;
	int i;

	if (argc != 5 && argc != 6)
		return 2;
	tolerance = argc == 6 ? atoi(argv[5]) : 0;
	width = (uint32_t)atoi(argv[2]);
	height = (uint32_t)atoi(argv[3]);
	screen_size = read_file(argv[1], screen);
	size = read_file(argv[4], picture);
	if (size < (size_t)width * height * 4 || screen_size < sizeof(header))
		return 2;
	memcpy(header, screen, sizeof(header));
	for (i = 0; i < NUM_FIELDS; i++)
		header[i] = be32toh(header[i]);
	if (header[BITS_PER_PIXEL] != 32 || header[WIDTH] < width || header[HEIGHT] < height ||
	    screen_size < header[HEADER_SIZE] + (size_t)header[NUM_COLORS] * COLOR_SIZE +
				  (size_t)header[BYTES_PER_LINE] * header[HEIGHT])
		return 2;
	first = screen + header[HEADER_SIZE] + (size_t)header[NUM_COLORS] * COLOR_SIZE;
	for (y = 0; y <= header[HEIGHT] - height; y++)
		for (x = 0; x <= header[WIDTH] - width; x++)
			if (is_at(first + (size_t)y * header[BYTES_PER_LINE] + (size_t)x * 4,
				  header[BYTES_PER_LINE], width, height)) {
				printf("%u %u\n", x, y);
				return 0;
			}
	return 1;
}
