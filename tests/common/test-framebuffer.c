/* SPDX-License-Identifier: MIT */
/*
 * How pictures lie in buffers: one test for each rule.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <drm_fourcc.h>

#include "common/cleanup.h"
#include "common/framebuffer.h"

#define SIZE 4096

/* A picture that fills SIZE exactly, and one of several planes that does. */
static const struct bufshare_framebuffer plain = {
	.width = 8, .height = 64, .stride = 60, .format = DRM_FORMAT_XRGB8888, .offset = 284,
};

static const struct bufshare_framebuffer planar = {
	.width = 31, .height = 63, .stride = 32, .format = DRM_FORMAT_NV12,
	.num_more = 1, .more = { { .offset = 3072, .stride = 32 } },
};

static void test_good(void **state)
{
	assert_int_equal(framebuffer_check(&plain, SIZE), 0);
	assert_int_equal(framebuffer_check(&planar, SIZE), 0);
}

static void test_wrong(void **state)
{
	struct bufshare_framebuffer fb;

#define REFUSED(base, ...) \
	do { \
		fb = base; \
		__VA_ARGS__; \
		assert_int_equal(framebuffer_check(&fb, SIZE), -EINVAL); \
	} while (0)
	REFUSED(plain, fb.width = 0);
	REFUSED(plain, fb.height = 0);
	REFUSED(plain, fb.stride = 0);
	REFUSED(plain, fb.stride = 31); /* less than a row */
	REFUSED(plain, fb.format = 0);
	REFUSED(plain, fb.format = 0x1f343258); /* not printable */
	REFUSED(plain, fb.format = 0x7f343258);
	REFUSED(plain, fb.modifier = DRM_FORMAT_MOD_INVALID);
	REFUSED(plain, fb.reserved = 1);
	REFUSED(plain, fb.num_more = 1; fb.more[0].stride = 4); /* the format has one plane */
	REFUSED(plain, fb.more[2].stride = 4); /* not used */
	REFUSED(plain, fb.more[0].offset = 4);
	REFUSED(plain, fb.more[1].reserved = 1);
	REFUSED(plain, fb.num_more = 4);
	REFUSED(plain, fb.num_more = UINT32_MAX);
	REFUSED(planar, fb.num_more = 0; fb.more[0].stride = 0; fb.more[0].offset = 0);
	REFUSED(planar, fb.more[0].stride = 0);
	REFUSED(planar, fb.more[0].stride = 31); /* 16 times 2 bytes */
	REFUSED(planar, fb.more[0].offset++);
	REFUSED(planar, fb.more[0].reserved = 1);
	REFUSED(planar, fb.more[0].offset = UINT64_MAX);
}

/* The last row ends with its last pixel, not with its stride. */
static void test_last_row(void **state)
{
	struct bufshare_framebuffer fb = plain;

	assert_int_equal(framebuffer_check(&fb, SIZE), 0); /* 284 + 63 * 60 + 8 * 4 */
	assert_int_equal(framebuffer_check(&fb, SIZE - 1), -EINVAL);
	fb.offset++;
	assert_int_equal(framebuffer_check(&fb, SIZE), -EINVAL);
	fb.offset = UINT64_MAX;
	assert_int_equal(framebuffer_check(&fb, SIZE), -EINVAL);
	fb = plain;
	fb.height = UINT32_MAX;
	fb.stride = UINT32_MAX;
	assert_int_equal(framebuffer_check(&fb, UINT64_MAX), 0);
	assert_int_equal(framebuffer_check(&fb, SIZE), -EINVAL);

	/* Of a format that is not known nobody knows how long a row is. */
	fb = plain;
	fb.format = DRM_FORMAT_NV15;
	assert_int_equal(framebuffer_check(&fb, 284 + 64 * 60), 0);
	assert_int_equal(framebuffer_check(&fb, 284 + 64 * 60 - 1), -EINVAL);
}

/* In other layouts than linear a stride means what the modifier says. */
static void test_modifier(void **state)
{
	struct bufshare_framebuffer fb = plain;

	fb.modifier = I915_FORMAT_MOD_X_TILED;
	fb.height = 10000;
	fb.num_more = 1;
	fb.more[0] = (struct bufshare_plane){ .offset = SIZE - 64, .stride = 64 };
	assert_int_equal(framebuffer_check(&fb, SIZE), 0);
	fb.more[0].offset++;
	assert_int_equal(framebuffer_check(&fb, SIZE), -EINVAL);
}

static void test_blocks(void **state)
{
	struct bufshare_framebuffer fb = {
		.width = 3, .height = 1, .stride = 8, .format = DRM_FORMAT_YUYV,
	};

	assert_int_equal(framebuffer_check(&fb, 8), 0);
	assert_int_equal(framebuffer_check(&fb, 7), -EINVAL);
	fb.stride = 7; /* two blocks of two pixels */
	assert_int_equal(framebuffer_check(&fb, 8), -EINVAL);
}

/* ---- layout ---- */

static void test_layout(void **state)
{
	struct bufshare_framebuffer fb;
	uint64_t size;

	assert_int_equal(framebuffer_layout(10, 4, DRM_FORMAT_RGB888, 64, &fb, &size), 0);
	assert_int_equal(fb.stride, 64);
	assert_int_equal(fb.num_more, 0);
	assert_int_equal(size, 256);
	assert_int_equal(framebuffer_layout(65, 3, DRM_FORMAT_NV12, 64, &fb, &size), 0);
	assert_int_equal(fb.stride, 128);
	assert_int_equal(fb.num_more, 1);
	assert_int_equal(fb.more[0].offset, 384);
	assert_int_equal(fb.more[0].stride, 128);
	assert_int_equal(size, 384 + 256);
	assert_int_equal(framebuffer_check(&fb, size), 0);
}

static void test_layout_wrong(void **state)
{
	struct bufshare_framebuffer fb;
	uint64_t size = 1;

	assert_int_equal(framebuffer_layout(8, 8, DRM_FORMAT_NV15, 64, &fb, &size), -EOPNOTSUPP);
	assert_int_equal(framebuffer_layout(0, 8, DRM_FORMAT_R8, 64, &fb, &size), -EINVAL);
	assert_int_equal(framebuffer_layout(8, 0, DRM_FORMAT_R8, 64, &fb, &size), -EINVAL);
	assert_int_equal(framebuffer_layout(1 << 30, 8, DRM_FORMAT_XRGB8888, 64, &fb, &size), -EINVAL);
	assert_int_equal(size, 1);
	assert_int_equal(framebuffer_layout((1 << 30) - 16, UINT32_MAX, DRM_FORMAT_XRGB8888, 64, &fb,
					    &size), 0);
	assert_true(size > UINT32_MAX);
}

/* The formats are written as text: each is one of the kernel's, and lies as it says. */
static void test_formats(void **state)
{
	static const uint32_t known[] = {
		DRM_FORMAT_C8, DRM_FORMAT_R8, DRM_FORMAT_RGB332, DRM_FORMAT_BGR233, DRM_FORMAT_R16,
		DRM_FORMAT_GR88, DRM_FORMAT_RG88, DRM_FORMAT_RGB565, DRM_FORMAT_BGR565,
		DRM_FORMAT_XRGB1555, DRM_FORMAT_ARGB1555, DRM_FORMAT_XRGB4444, DRM_FORMAT_ARGB4444,
		DRM_FORMAT_RGB888, DRM_FORMAT_BGR888, DRM_FORMAT_GR1616, DRM_FORMAT_XRGB8888,
		DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888, DRM_FORMAT_ABGR8888, DRM_FORMAT_RGBX8888,
		DRM_FORMAT_RGBA8888, DRM_FORMAT_BGRX8888, DRM_FORMAT_BGRA8888,
		DRM_FORMAT_XRGB2101010, DRM_FORMAT_ARGB2101010, DRM_FORMAT_XBGR2101010,
		DRM_FORMAT_ABGR2101010, DRM_FORMAT_XRGB16161616, DRM_FORMAT_ARGB16161616,
		DRM_FORMAT_XBGR16161616, DRM_FORMAT_ABGR16161616, DRM_FORMAT_XRGB16161616F,
		DRM_FORMAT_ARGB16161616F, DRM_FORMAT_XBGR16161616F, DRM_FORMAT_ABGR16161616F,
		DRM_FORMAT_YUYV, DRM_FORMAT_YVYU, DRM_FORMAT_UYVY, DRM_FORMAT_VYUY, DRM_FORMAT_AYUV,
		DRM_FORMAT_XYUV8888, DRM_FORMAT_NV12, DRM_FORMAT_NV21, DRM_FORMAT_NV16,
		DRM_FORMAT_NV61, DRM_FORMAT_NV24, DRM_FORMAT_NV42, DRM_FORMAT_P010, DRM_FORMAT_P012,
		DRM_FORMAT_P016, DRM_FORMAT_P210, DRM_FORMAT_YUV420, DRM_FORMAT_YVU420,
		DRM_FORMAT_YUV422, DRM_FORMAT_YVU422, DRM_FORMAT_YUV444, DRM_FORMAT_YVU444,
	};
	struct bufshare_framebuffer fb;
	uint64_t size;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (framebuffer_layout(64, 64, known[i], 1, &fb, &size) < 0)
			fail_msg("%.4s is not known", (const char *)&known[i]);
		assert_int_equal(framebuffer_check(&fb, size), 0);
		assert_int_equal(framebuffer_check(&fb, size - 1), -EINVAL);
	}
}

/* ---- as properties ---- */

static void test_round_trip(void **state)
{
	struct bufshare_framebuffer fb = planar, out;
	char block[FRAMEBUFFER_BLOCK_MAX];
	struct props props = { 0 };
	size_t n;

	fb.modifier = UINT64_MAX;
	fb.offset = UINT64_MAX;
	fb.num_more = 3;
	fb.more[0] = fb.more[1] = fb.more[2] = (struct bufshare_plane){ UINT64_MAX, UINT32_MAX, 0 };
	fb.width = fb.height = fb.stride = UINT32_MAX;
	n = framebuffer_write(&fb, &props, block);
	assert_true(n <= sizeof(block));
	assert_int_equal(props_check_block(block, n, PROPS_GUEST), 0);
	assert_int_equal(props_apply(&props, block, n), 0);
	assert_int_equal(framebuffer_read(&props, &out), 0);
	assert_memory_equal(&out, &fb, sizeof(fb));

	/* What it does not say any more goes. */
	n = framebuffer_write(&plain, &props, block);
	assert_true(n <= sizeof(block));
	assert_int_equal(props_check_block(block, n, PROPS_GUEST | PROPS_REMOVALS), 0);
	assert_int_equal(props_apply(&props, block, n), 0);
	assert_int_equal(props.n, 5);
	assert_int_equal(framebuffer_read(&props, &out), 0);
	assert_memory_equal(&out, &plain, sizeof(out));

	/* Nothing is removed that is not there. */
	assert_int_equal(framebuffer_write(&plain, &props, block), props.block_size);
	props_clear(&props);
}

static void check_read(const char *name, const char *value, int expected)
{
	static const char *const base[][2] = {
		{ "width", "8" }, { "height", "4" }, { "stride", "32" }, { "format", "XR24" },
		{ "offset", "0" }, { "modifier", "0x0" }, { "plane1.offset", "0" },
		{ "plane1.stride", "1" }, { "plane2.offset", "0" }, { "plane2.stride", "1" },
	};
	struct bufshare_framebuffer fb;
	struct props props = { 0 };
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(base); i++)
		assert_int_equal(props_set(&props, base[i][0], base[i][1]), 0);
	assert_int_equal(framebuffer_read(&props, &fb), 0);
	assert_int_equal(fb.num_more, 2);
	assert_int_equal(props_set(&props, name, value), 0);
	r = framebuffer_read(&props, &fb);
	if (r != expected)
		fail_msg("%s=%s: %d", name, value ?: "(removed)", r);
	props_clear(&props);
}

static void test_read_wrong(void **state)
{
	static const char *const numbers[] = {
		"width", "height", "stride", "offset", "plane1.offset", "plane1.stride",
		"plane2.offset", "plane2.stride",
	};
	static const char *const wrong[] = {
		"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "one", "18446744073709551616",
	};
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		for (j = 0; j < ARRAY_SIZE(wrong); j++)
			check_read(numbers[i], wrong[j], -EINVAL);
	}
	check_read("width", "4294967296", -EINVAL);
	check_read("plane1.stride", "4294967296", -EINVAL);
	check_read("offset", "18446744073709551615", 0);
	check_read("format", "XR2", -EINVAL);
	check_read("format", "XR245", -EINVAL);
	check_read("format", "", -EINVAL);
	check_read("modifier", "1", -EINVAL);
	check_read("modifier", "0x", -EINVAL);
	check_read("modifier", "0X1", -EINVAL);
	check_read("modifier", "0xg", -EINVAL);
	check_read("modifier", "0x10000000000000000", -EINVAL);
	check_read("modifier", "0xFFFFFFFFffffffff", 0);
	check_read("width", NULL, -ENOENT);
	check_read("height", NULL, -ENOENT);
	check_read("stride", NULL, -ENOENT);
	check_read("format", NULL, -ENOENT);
	check_read("offset", NULL, 0);
	check_read("modifier", NULL, 0);
	check_read("plane2.offset", NULL, -EINVAL); /* half a plane */
	check_read("plane2.stride", NULL, -EINVAL);
	check_read("plane3.stride", "1", -EINVAL);
}

/* A plane that is there though the one before is not. */
static void test_read_gap(void **state)
{
	static const char block[] =
		"width=8\0height=4\0stride=32\0format=XR24\0plane2.offset=0\0plane2.stride=1";
	struct bufshare_framebuffer fb;
	struct props props = { 0 };

	assert_int_equal(props_apply(&props, block, sizeof(block)), 0);
	assert_int_equal(framebuffer_read(&props, &fb), -EINVAL);
	props_clear(&props);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_last_row),
		cmocka_unit_test(test_modifier),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_layout_wrong),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_read_wrong),
		cmocka_unit_test(test_read_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
