/* SPDX-License-Identifier: MIT */
/*
 * Pictures to PNG and back, and the numbers of test patterns.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <drm_fourcc.h>

#include "cli/file.h"
#include "cli/png.h"
#include "cli/ppm.h"
#include "common/cleanup.h"
#include "common/pattern.h"

#define W 160
#define H 64

static char folder[] = "/tmp/test-picture.XXXXXX";

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static struct bufshare_framebuffer fb_of(uint32_t format, uint32_t stride)
{
	return (struct bufshare_framebuffer){ .width = W, .height = H, .stride = stride,
					      .format = format };
}

/* Writes, reads, compares; pixels are 4 bytes, blue first. */
static void round_trip(uint32_t format, uint32_t expected, uint8_t alpha)
{
	const struct bufshare_framebuffer fb = fb_of(format, W * 4 + 64);
	_cleanup_free_ uint8_t *pixels = calloc(H, fb.stride), *bytes = NULL, *read = NULL;
	struct png_picture p = { 0 };
	const char *why;
	uint64_t size;
	uint32_t x, y;

	for (y = 0; y < H; y++)
		for (x = 0; x < W * 4; x++)
			pixels[y * fb.stride + x] = x % 4 == 3 ? (uint8_t)(alpha ? y * 4 : 0) :
								 (uint8_t)(x * 7 + y * 13);
	assert_int_equal(png_write_file(path_of("a.png"), &fb, pixels), 0);
	assert_int_equal(read_whole_file(path_of("a.png"), 1 << 20, &bytes, &size), 0);
	assert_true(png_is(bytes, size));
	assert_int_equal(png_read(bytes, size, &p, &why), 0);
	read = p.pixels;
	assert_int_equal(p.width, W);
	assert_int_equal(p.height, H);
	assert_int_equal(p.format, expected);
	for (y = 0; y < H; y++)
		for (x = 0; x < W * 4; x++)
			if (x % 4 != 3 || alpha)
				assert_int_equal(read[y * W * 4 + x], pixels[y * fb.stride + x]);
}

static void test_xrgb(void **state)
{
	round_trip(DRM_FORMAT_XRGB8888, DRM_FORMAT_XRGB8888, 0);
}

static void test_argb(void **state)
{
	round_trip(DRM_FORMAT_ARGB8888, DRM_FORMAT_ARGB8888, 1);
}

static void test_unknown_format(void **state)
{
	const struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_NV12, W * 4);
	static uint8_t pixels[W * H * 4];

	assert_int_equal(png_write_file(path_of("n.png"), &fb, pixels), -EOPNOTSUPP);
	assert_int_equal(access(path_of("n.png"), F_OK), -1);
}

static void test_modifier(void **state)
{
	struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_XRGB8888, W * 4);
	static uint8_t pixels[W * H * 4];

	fb.modifier = 1;
	assert_int_equal(png_write_file(path_of("m.png"), &fb, pixels), -EOPNOTSUPP);
}

static void test_no_folder(void **state)
{
	const struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_XRGB8888, W * 4);
	static uint8_t pixels[W * H * 4];

	assert_int_equal(png_write_file(path_of("none/a.png"), &fb, pixels), -ENOENT);
}

static void test_damaged(void **state)
{
	const struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_XRGB8888, W * 4);
	_cleanup_free_ uint8_t *bytes = NULL;
	static uint8_t pixels[W * H * 4];
	struct png_picture p = { 0 };
	const char *why;
	uint64_t size;

	assert_int_equal(png_write_file(path_of("d.png"), &fb, pixels), 0);
	assert_int_equal(read_whole_file(path_of("d.png"), 1 << 20, &bytes, &size), 0);
	assert_int_equal(png_read(bytes, size / 2, &p, &why), -EBADMSG);
	assert_null(p.pixels);
}

static void test_replaces(void **state)
{
	const struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_XRGB8888, W * 4);
	static uint8_t pixels[W * H * 4];

	assert_int_equal(png_write_file(path_of("r.png"), &fb, pixels), 0);
	assert_int_equal(png_write_file(path_of("r.png"), &fb, pixels), 0);
}

static void test_too_large(void **state)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t size;

	assert_int_equal(read_whole_file(path_of("r.png"), 10, &bytes, &size), -EFBIG);
	assert_null(bytes);
}

static void test_pattern_numbers(void **state)
{
	static const uint32_t numbers[] = { 0, 1, 9, 119, 65535, 0xdeadbeef, UINT32_MAX };
	const struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_XRGB8888, W * 4);
	static uint32_t pixels[W * H];
	uint32_t n;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_int_equal(pattern_draw(&fb, pixels, numbers[i]), 0);
		assert_int_equal(pattern_read(&fb, pixels, &n), 0);
		assert_int_equal(n, numbers[i]);
	}
}

/* What was never drawn, or only half, shows no number. */
static void test_pattern_none(void **state)
{
	const struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_XRGB8888, W * 4);
	static uint32_t pixels[W * H];
	uint32_t n;

	memset(pixels, 0, sizeof(pixels));
	assert_int_equal(pattern_read(&fb, pixels, &n), -EPROTO);
	assert_int_equal(pattern_draw(&fb, pixels, 7), 0);
	pixels[4 * W + 2] ^= 0xffffff;
	assert_int_equal(pattern_read(&fb, pixels, &n), -EPROTO);
}

static void test_pattern_refuses(void **state)
{
	struct bufshare_framebuffer fb = fb_of(DRM_FORMAT_R8, W);
	static uint32_t pixels[W * H];

	assert_int_equal(pattern_draw(&fb, pixels, 0), -EOPNOTSUPP);
	fb = fb_of(DRM_FORMAT_XRGB8888, W * 4);
	fb.width = PATTERN_MIN_WIDTH - 1;
	assert_int_equal(pattern_draw(&fb, pixels, 0), -EINVAL);
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const files[] = { "a.png", "d.png", "r.png" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		unlink(path_of(files[i]));
	return rmdir(folder); /* fails if anything else was left there */
}

/* ---- PPM ---- */

static void test_ppm(void **state)
{
	static const char file[] = "P6\n# a comment\n2 1 # another\n15\n\x0f\x00\x05\x01\x02\x0e";
	static const uint8_t wanted[] = { 85, 0, 255, 255, 238, 34, 17, 255 };
	struct png_picture picture;
	const char *why;

	assert_true(ppm_is(file, sizeof(file) - 1));
	assert_int_equal(ppm_read(file, sizeof(file) - 1, &picture, &why), 0);
	assert_int_equal(picture.width, 2);
	assert_int_equal(picture.height, 1);
	assert_int_equal(picture.format, DRM_FORMAT_XRGB8888);
	assert_memory_equal(picture.pixels, wanted, sizeof(wanted));
	free(picture.pixels);
}

/* Blanks right behind the largest value are one character; the next is a pixel. */
static void test_ppm_pixel_like_a_blank(void **state)
{
	static const char file[] = "P6 1 1 255\n\n#\n";
	static const uint8_t wanted[] = { '\n', '#', '\n', 255 };
	struct png_picture picture;
	const char *why;

	assert_int_equal(ppm_read(file, sizeof(file) - 1, &picture, &why), 0);
	assert_memory_equal(picture.pixels, wanted, sizeof(wanted));
	free(picture.pixels);
}

static void test_ppm_malformed(void **state)
{
	static const char *const files[] = {
		"P6 ", "P6 1", "P6 1 1", "P6 1 1 255", "P6 1 1 255\nab", "P6 0 1 255\nabc",
		"P6 1 0 255\nabc", "P6 1 1 0\nabc", "P6 1 1 256\nabc", "P6 32769 1 255\nabc",
		"P6 4294967297 1 255\nabc", "P6 -1 1 255\nabc", "P6 x 1 255\nabc", "P6 #1 1 255",
	};
	struct png_picture picture;
	const char *why;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		assert_int_equal(ppm_read(files[i], strlen(files[i]), &picture, &why), -EBADMSG);
}

static void test_ppm_is(void **state)
{
	assert_false(ppm_is("P6", 2));
	assert_false(ppm_is("P5 1", 4));
	assert_false(ppm_is("P63 ", 4));
	assert_false(ppm_is("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xrgb),
		cmocka_unit_test(test_argb),
		cmocka_unit_test(test_unknown_format),
		cmocka_unit_test(test_modifier),
		cmocka_unit_test(test_no_folder),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_replaces),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_ppm),
		cmocka_unit_test(test_ppm_pixel_like_a_blank),
		cmocka_unit_test(test_ppm_malformed),
		cmocka_unit_test(test_ppm_is),
		cmocka_unit_test(test_pattern_numbers),
		cmocka_unit_test(test_pattern_none),
		cmocka_unit_test(test_pattern_refuses),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
