/* SPDX-License-Identifier: MIT */
/*
 * The limits of properties, and which names, values and labels are good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bufshare-types.h>
#include <drm/bufshare_drm.h>
#include <linux/virtio_bufshare.h>

#include "common/cleanup.h"
#include "common/props.h"

static void fill(char *s, char c, size_t n)
{
	memset(s, c, n);
	s[n] = '\0';
}

/* ---- limits ---- */

static void test_limits_of_virtqueue(void **state)
{
	assert_int_equal(PROPS_MAX, VIRTIO_BUFSHARE_MAX_PROPERTIES);
	assert_int_equal(PROPS_BLOCK_MAX, VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE);
	assert_int_equal(PROPS_NAME_SIZE, VIRTIO_BUFSHARE_PROPERTY_NAME_SIZE);
	assert_int_equal(PROPS_NAME_SIZE, VIRTIO_BUFSHARE_LABEL_SIZE);
	assert_int_equal(PROPS_NAME_SIZE, VIRTIO_BUFSHARE_APPLICATION_SIZE);
	assert_int_equal(PROPS_VALUE_SIZE, VIRTIO_BUFSHARE_PROPERTY_VALUE_SIZE);
	assert_string_equal(PROPS_HOST_PREFIX, VIRTIO_BUFSHARE_HOST_PREFIX);
}

static void test_limits_of_ioctls(void **state)
{
	assert_int_equal(PROPS_BLOCK_MAX, DRM_BUFSHARE_MAX_PROPERTIES_SIZE);
	assert_int_equal(PROPS_NAME_SIZE, DRM_BUFSHARE_PROPERTY_NAME_SIZE);
	assert_int_equal(PROPS_NAME_SIZE, DRM_BUFSHARE_APPLICATION_SIZE);
	assert_int_equal(PROPS_VALUE_SIZE, DRM_BUFSHARE_PROPERTY_VALUE_SIZE);
}

static void test_limits_of_libraries(void **state)
{
	assert_int_equal(PROPS_NAME_SIZE, BUFSHARE_PROPERTY_NAME_SIZE);
	assert_int_equal(PROPS_NAME_SIZE, BUFSHARE_LABEL_SIZE);
	assert_int_equal(PROPS_NAME_SIZE, BUFSHARE_APPLICATION_SIZE);
	assert_int_equal(PROPS_VALUE_SIZE, BUFSHARE_PROPERTY_VALUE_SIZE);
}

/* ---- names ---- */

static void test_name_good(void **state)
{
	char name[PROPS_NAME_SIZE];

	assert_true(props_name_valid("a"));
	assert_true(props_name_valid("0"));
	assert_true(props_name_valid("host."));
	assert_true(props_name_valid("az09._-"));
	fill(name, 'n', PROPS_NAME_SIZE - 1);
	assert_true(props_name_valid(name));
}

static void test_name_empty(void **state)
{
	assert_false(props_name_valid(""));
}

static void test_name_too_long(void **state)
{
	char name[PROPS_NAME_SIZE + 1];

	fill(name, 'n', PROPS_NAME_SIZE);
	assert_false(props_name_valid(name));
}

static void test_name_begins_with_mark(void **state)
{
	assert_false(props_name_valid(".a"));
	assert_false(props_name_valid("_a"));
	assert_false(props_name_valid("-a"));
}

static void test_name_bad_characters(void **state)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	char name[] = "a?b";

	for (int c = 1; c < 256; c++) {
		name[1] = (char)c;
		assert_int_equal(props_name_valid(name), strchr(good, c) != NULL);
	}
}

static void test_name_upper_case_first(void **state)
{
	assert_false(props_name_valid("Width"));
}

/* ---- values ---- */

static void test_value_good(void **state)
{
	char value[PROPS_VALUE_SIZE];

	assert_true(props_value_valid(""));
	assert_true(props_value_valid("a=b \t\n"));
	assert_true(props_value_valid("\x7f"));
	assert_true(props_value_valid("\xc2\x80\xdf\xbf"));
	assert_true(props_value_valid("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"));
	assert_true(props_value_valid("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
	fill(value, 'v', PROPS_VALUE_SIZE - 1);
	assert_true(props_value_valid(value));
}

static void test_value_too_long(void **state)
{
	char value[PROPS_VALUE_SIZE + 1];

	fill(value, 'v', PROPS_VALUE_SIZE);
	assert_false(props_value_valid(value));
}

static void test_value_not_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80", "\xbf", /* nothing before them */
		"\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", /* longer than needed */
		"\xed\xa0\x80", "\xed\xbf\xbf", /* surrogates */
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", /* too high */
		"\xc3", "\xe2\x82", "\xf0\x9f\x98", /* cut off */
		"\xc3z", "\xe2z\x82", "\xe2\x82z", "\xf0z\x98\x80", "\xf0\x9fz\x80", "\xf0\x9f\x98z",
		"good\xc3", "\xc3\xa4\xa4",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(props_value_valid(bad[i]));
}

/* A character that begins before the limit and would end behind it. */
static void test_value_cut_at_limit(void **state)
{
	char value[PROPS_VALUE_SIZE];

	fill(value, 'v', PROPS_VALUE_SIZE - 1);
	value[PROPS_VALUE_SIZE - 2] = '\xe2';
	assert_false(props_value_valid(value));
}

/* ---- labels ---- */

static void test_label_good(void **state)
{
	char label[PROPS_NAME_SIZE];

	assert_true(props_label_valid("A"));
	assert_true(props_label_valid("z"));
	assert_true(props_label_valid("9.Az-_"));
	fill(label, 'L', PROPS_NAME_SIZE - 1);
	assert_true(props_label_valid(label));
}

static void test_label_empty(void **state)
{
	assert_false(props_label_valid(""));
}

static void test_label_too_long(void **state)
{
	char label[PROPS_NAME_SIZE + 1];

	fill(label, 'L', PROPS_NAME_SIZE);
	assert_false(props_label_valid(label));
}

static void test_label_begins_with_mark(void **state)
{
	assert_false(props_label_valid(".."));
	assert_false(props_label_valid("-x"));
	assert_false(props_label_valid("_x"));
}

static void test_label_bad_characters(void **state)
{
	assert_false(props_label_valid("a/b"));
	assert_false(props_label_valid("a b"));
	assert_false(props_label_valid("a\n"));
	assert_false(props_label_valid("a=b"));
	assert_false(props_label_valid("\xc3\xa4"));
}

static void test_label_field(void **state)
{
	char field[16] = "label";
	char full[] = { 'f', 'u', 'l', 'l' };

	assert_true(props_label_field_valid(field, sizeof(field)));
	assert_false(props_label_field_valid(full, sizeof(full)));
	assert_false(props_label_field_valid(full, 0));

	memset(field, 0, sizeof(field));
	assert_true(props_label_field_valid(field, sizeof(field)));
}

static void test_label_field_not_padded(void **state)
{
	char field[16] = "label";

	field[sizeof(field) - 1] = 'x';
	assert_false(props_label_field_valid(field, sizeof(field)));
}

static void test_label_field_bad_label(void **state)
{
	char field[16] = "la/bel";

	assert_false(props_label_field_valid(field, sizeof(field)));
}

static void test_label_field_too_long(void **state)
{
	char field[2 * PROPS_NAME_SIZE] = "";

	memset(field, 'L', PROPS_NAME_SIZE);
	assert_false(props_label_field_valid(field, sizeof(field)));
	field[PROPS_NAME_SIZE - 1] = '\0';
	assert_true(props_label_field_valid(field, sizeof(field)));
}

static void test_is_host(void **state)
{
	assert_true(props_is_host("host."));
	assert_true(props_is_host("host.cursor"));
	assert_false(props_is_host("host"));
	assert_false(props_is_host("hostile"));
	assert_false(props_is_host("a.host."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_of_virtqueue),
		cmocka_unit_test(test_limits_of_ioctls),
		cmocka_unit_test(test_limits_of_libraries),
		cmocka_unit_test(test_name_good),
		cmocka_unit_test(test_name_empty),
		cmocka_unit_test(test_name_too_long),
		cmocka_unit_test(test_name_begins_with_mark),
		cmocka_unit_test(test_name_bad_characters),
		cmocka_unit_test(test_name_upper_case_first),
		cmocka_unit_test(test_value_good),
		cmocka_unit_test(test_value_too_long),
		cmocka_unit_test(test_value_not_utf8),
		cmocka_unit_test(test_value_cut_at_limit),
		cmocka_unit_test(test_label_good),
		cmocka_unit_test(test_label_empty),
		cmocka_unit_test(test_label_too_long),
		cmocka_unit_test(test_label_begins_with_mark),
		cmocka_unit_test(test_label_bad_characters),
		cmocka_unit_test(test_label_field),
		cmocka_unit_test(test_label_field_not_padded),
		cmocka_unit_test(test_label_field_bad_label),
		cmocka_unit_test(test_label_field_too_long),
		cmocka_unit_test(test_is_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
