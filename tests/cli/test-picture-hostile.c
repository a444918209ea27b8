/* SPDX-License-Identifier: MIT */
/*
 * Pictures of every kind, and files that only claim to be one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <drm_fourcc.h>
#include <png.h>

#include "cli/png.h"
#include "cli/ppm.h"
#include "common/cleanup.h"

#define W 5
#define H 3
#define MAX_FILE 8192

/* A file in memory. */
struct file {
	uint8_t bytes[MAX_FILE];
	size_t size;
};

static void put(png_structp png, png_bytep bytes, size_t n)
{
	struct file *f = png_get_io_ptr(png);

	assert_true(f->size + n <= MAX_FILE);
	memcpy(f->bytes + f->size, bytes, n);
	f->size += n;
}

static void flush(png_structp png)
{
}

/* All rows are the same; row has room for W pixels of any kind. */
static void make_png(struct file *f, int color, int depth, int interlace, const uint8_t *row,
		     void (*more)(png_structp png, png_infop info))
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	png_bytep rows[H];
	int y;

	f->size = 0;
	for (y = 0; y < H; y++)
		rows[y] = (png_bytep)row;
	png_set_write_fn(png, f, put, flush);
	png_set_check_for_invalid_index(png, 0);
	png_set_IHDR(png, info, W, H, depth, color, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
		     PNG_FILTER_TYPE_DEFAULT);
	if (more)
		more(png, info);
	png_set_rows(png, info, rows);
	png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
	png_destroy_write_struct(&png, &info);
}

/* The first two pixels of each row, as blue, green, red, alpha. */
static void expect(const struct file *f, uint32_t format, const uint8_t wanted[8])
{
	struct png_picture p = { 0 };
	const char *why;
	int y;

	assert_true(png_is(f->bytes, f->size));
	assert_int_equal(png_read(f->bytes, f->size, &p, &why), 0);
	assert_int_equal(p.width, W);
	assert_int_equal(p.height, H);
	assert_int_equal(p.format, format);
	for (y = 0; y < H; y++)
		assert_memory_equal(p.pixels + y * W * 4, wanted, 8);
	free(p.pixels);
}

static void expect_refused(const void *bytes, size_t size)
{
	struct png_picture p = { 0 };
	const char *why = NULL;

	assert_int_equal(png_read(bytes, size, &p, &why), -EBADMSG);
	assert_non_null(why);
	assert_true(strlen(why) > 0);
	assert_null(p.pixels);
}

/* ---- kinds ---- */

static const uint8_t rgb[W * 3] = { 0x10, 0x20, 0x30, 0xff, 0x00, 0x80 };
static const uint8_t rgb_wanted[] = { 0x30, 0x20, 0x10, 0xff, 0x80, 0x00, 0xff, 0xff };

static void test_rgb(void **state)
{
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, rgb, NULL);
	expect(&f, DRM_FORMAT_XRGB8888, rgb_wanted);
}

static void test_interlaced(void **state)
{
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_ADAM7, rgb, NULL);
	expect(&f, DRM_FORMAT_XRGB8888, rgb_wanted);
}

static void test_alpha(void **state)
{
	static const uint8_t row[W * 4] = { 0x10, 0x20, 0x30, 0x40, 0xff, 0x00, 0x80, 0x00 };
	static const uint8_t wanted[] = { 0x30, 0x20, 0x10, 0x40, 0x80, 0x00, 0xff, 0x00 };
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_RGB_ALPHA, 8, PNG_INTERLACE_NONE, row, NULL);
	expect(&f, DRM_FORMAT_ARGB8888, wanted);
}

static void test_gray(void **state)
{
	static const uint8_t row[W] = { 0x10, 0xff };
	static const uint8_t wanted[] = { 0x10, 0x10, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_GRAY, 8, PNG_INTERLACE_NONE, row, NULL);
	expect(&f, DRM_FORMAT_XRGB8888, wanted);
}

static void test_gray_alpha(void **state)
{
	static const uint8_t row[W * 2] = { 0x10, 0x20, 0xff, 0x40 };
	static const uint8_t wanted[] = { 0x10, 0x10, 0x10, 0x20, 0xff, 0xff, 0xff, 0x40 };
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_GRAY_ALPHA, 8, PNG_INTERLACE_NONE, row, NULL);
	expect(&f, DRM_FORMAT_ARGB8888, wanted);
}

static void test_one_bit(void **state)
{
	static const uint8_t row[] = { 0x40 };
	static const uint8_t wanted[] = { 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_GRAY, 1, PNG_INTERLACE_ADAM7, row, NULL);
	expect(&f, DRM_FORMAT_XRGB8888, wanted);
}

/* The upper half of each channel: the file says nothing of another curve. */
static void test_sixteen_bits(void **state)
{
	static const uint8_t row[W * 6] = { 0x10, 0x10, 0x20, 0x20, 0x30, 0x30,
					    0xff, 0xff, 0x00, 0x00, 0x80, 0x80 };
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_RGB, 16, PNG_INTERLACE_NONE, row, NULL);
	expect(&f, DRM_FORMAT_XRGB8888, rgb_wanted);
}

static void two_colors(png_structp png, png_infop info)
{
	const png_color colors[] = { { 0x10, 0x20, 0x30 }, { 0xff, 0x00, 0x80 } };

	png_set_PLTE(png, info, colors, 2);
}

static const uint8_t indices[] = { 0x40 }; /* 0, 1, 0 ... */

static void test_palette(void **state)
{
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_PALETTE, 1, PNG_INTERLACE_NONE, indices, two_colors);
	expect(&f, DRM_FORMAT_XRGB8888, rgb_wanted);
}

static void two_colors_and_alpha(png_structp png, png_infop info)
{
	const png_byte alphas[] = { 0x40, 0xff };

	two_colors(png, info);
	png_set_tRNS(png, info, alphas, 2, NULL);
}

static void test_palette_alpha(void **state)
{
	static const uint8_t wanted[] = { 0x30, 0x20, 0x10, 0x40, 0x80, 0x00, 0xff, 0xff };
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_PALETTE, 1, PNG_INTERLACE_NONE, indices, two_colors_and_alpha);
	expect(&f, DRM_FORMAT_ARGB8888, wanted);
}

/* ---- what is wrong ---- */

/* An index that the palette does not have is some colour, and no memory behind it. */
static void test_palette_too_short(void **state)
{
	static const uint8_t row[W] = { 0, 255, 2, 17, 128 };
	struct png_picture p = { 0 };
	const char *why;
	struct file f;
	int r;

	make_png(&f, PNG_COLOR_TYPE_PALETTE, 8, PNG_INTERLACE_NONE, row, two_colors);
	r = png_read(f.bytes, f.size, &p, &why);
	assert_true(r == 0 || r == -EBADMSG);
	free(p.pixels);
}

/* A file is cut anywhere. Without its end mark alone it may still be whole. */
static void test_truncated(void **state)
{
	static const int kinds[] = { PNG_INTERLACE_NONE, PNG_INTERLACE_ADAM7 };
	struct file f;
	size_t k, n;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		make_png(&f, PNG_COLOR_TYPE_RGB, 8, kinds[k], rgb, NULL);
		for (n = 0; n + 16 < f.size; n++) {
			_cleanup_free_ uint8_t *exact = malloc(n + 1);

			/* Memory of just that size, so that a checker sees a read behind it. */
			memcpy(exact, f.bytes, n);
			expect_refused(exact, n);
		}
	}
}

/* Any one byte is another: a picture or none, and nothing else happens. */
static void test_changed(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	struct file f, changed;
	size_t i, k;

	make_png(&f, PNG_COLOR_TYPE_PALETTE, 1, PNG_INTERLACE_ADAM7, indices, two_colors_and_alpha);
	for (i = 0; i < f.size; i++) {
		for (k = 0; k < ARRAY_SIZE(masks); k++) {
			struct png_picture p = { 0 };
			const char *why;
			int r;

			changed = f;
			changed.bytes[i] ^= masks[k];
			r = png_read(changed.bytes, changed.size, &p, &why);
			assert_true(r == -EBADMSG ? !p.pixels : r == 0);
			free(p.pixels);
		}
	}
}

static uint32_t crc(const uint8_t *p, size_t n)
{
	uint32_t c = UINT32_MAX;
	int k;

	for (; n; n--, p++) {
		c ^= *p;
		for (k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320 ^ (c >> 1) : c >> 1;
	}
	return ~c;
}

static void put_be32(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

/* The header claims another size, and its checksum is right. */
static void claim(struct file *f, uint32_t width, uint32_t height)
{
	make_png(f, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, rgb, NULL);
	put_be32(f->bytes + 16, width);
	put_be32(f->bytes + 20, height);
	put_be32(f->bytes + 29, crc(f->bytes + 12, 17));
}

static void test_huge(void **state)
{
	static const struct {
		uint32_t width, height;
	} sizes[] = {
		{ 0, 3 }, { 5, 0 }, { INT32_MAX, INT32_MAX }, { UINT32_MAX, 3 }, { 5, UINT32_MAX },
		{ PICTURE_MAX_SIDE + 1, 1 }, { 1, PICTURE_MAX_SIDE + 1 },
		{ PICTURE_MAX_SIDE, PICTURE_MAX_SIDE }, { 16385, 16384 }, { 65536, 16384 },
	};
	struct file f;
	size_t i;

	claim(&f, W, H);
	expect(&f, DRM_FORMAT_XRGB8888, rgb_wanted); /* the way to claim is right */
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		claim(&f, sizes[i].width, sizes[i].height);
		expect_refused(f.bytes, f.size);
	}
}

/* More rows than there are, within the limits. */
static void test_more_rows(void **state)
{
	struct file f;

	claim(&f, W, H + 1);
	expect_refused(f.bytes, f.size);
	claim(&f, 1000, H);
	expect_refused(f.bytes, f.size);
}

static void test_wrong_checksum(void **state)
{
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, rgb, NULL);
	f.bytes[29] ^= 1;
	expect_refused(f.bytes, f.size);
}

static void test_only_signature(void **state)
{
	struct file f;

	make_png(&f, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE, rgb, NULL);
	assert_false(png_is(f.bytes, 7));
	assert_true(png_is(f.bytes, 8));
	expect_refused(f.bytes, 8);
	f.bytes[0] = 0;
	assert_false(png_is(f.bytes, f.size));
}

static void test_ppm_truncated(void **state)
{
	static const char file[] = "P6 2 2 255\nabcdefghijkl";
	struct png_picture p;
	const char *why;
	size_t n;

	for (n = 3; n < sizeof(file); n++) {
		_cleanup_free_ char *exact = malloc(n);

		memcpy(exact, file, n);
		p.pixels = NULL;
		assert_int_equal(ppm_read(exact, n, &p, &why), n < sizeof(file) - 1 ? -EBADMSG : 0);
		free(p.pixels);
	}
}

static void test_ppm_huge(void **state)
{
	static const char *const files[] = {
		"P6 32768 32768 255\nabc", "P6 16385 16384 255\nabc", "P6 32769 1 255\nabc",
		"P6 99999999999999999999 1 255\nabc", "P6 1 1 65535\nabcdef",
	};
	struct png_picture p;
	const char *why;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		assert_int_equal(ppm_read(files[i], strlen(files[i]), &p, &why), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rgb),
		cmocka_unit_test(test_interlaced),
		cmocka_unit_test(test_alpha),
		cmocka_unit_test(test_gray),
		cmocka_unit_test(test_gray_alpha),
		cmocka_unit_test(test_one_bit),
		cmocka_unit_test(test_sixteen_bits),
		cmocka_unit_test(test_palette),
		cmocka_unit_test(test_palette_alpha),
		cmocka_unit_test(test_palette_too_short),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_more_rows),
		cmocka_unit_test(test_wrong_checksum),
		cmocka_unit_test(test_only_signature),
		cmocka_unit_test(test_ppm_truncated),
		cmocka_unit_test(test_ppm_huge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
