/* SPDX-License-Identifier: MIT */
/*
 * The parts of the driver that need no kernel, compiled for user space. What the rest of the
 * project has of the same kind must say the same.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <asm/byteorder.h>
#include <cmocka.h>

#include "common/props.h"
#include "drm-driver/bufshare_damage.h"
#include "drm-driver/bufshare_props.h"

#define BLOCK(literal) literal, sizeof(literal) - 1
#define ALL (BUFSHARE_PROPS_GUEST | BUFSHARE_PROPS_HOST | BUFSHARE_PROPS_REMOVALS)

static void label(void **state)
{
	static const struct {
		const char *field;
		bool valid;
	} cases[] = {
		{ "\0\0\0\0\0\0\0", true }, { "a\0\0\0\0\0\0", true }, { "Aa0.-_9", true },
		{ "0\0\0\0\0\0\0", true }, { "a\0b\0\0\0\0", false }, { "\0a\0\0\0\0\0", false },
		{ ".a\0\0\0\0\0", false }, { "-a\0\0\0\0\0", false }, { "_a\0\0\0\0\0", false },
		{ "a/b\0\0\0\0", false }, { "a b\0\0\0\0", false }, { "\xc3\xa4\0\0\0\0\0", false },
		{ "a:\0\0\0\0\0", false }, { "a@\0\0\0\0\0", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(bufshare_label_valid(cases[i].field, 8), cases[i].valid);
		assert_int_equal(props_label_field_valid(cases[i].field, 8), cases[i].valid);
	}
	/* not terminated */
	assert_false(bufshare_label_valid("12345678", 8));
}

static void check_flags(void **state)
{
	assert_int_equal(bufshare_props_check(BLOCK("a=1\0host.b=2\0c\0"), ALL), 0);
	assert_int_equal(bufshare_props_check(BLOCK("a\0"), BUFSHARE_PROPS_GUEST), -EINVAL);
	assert_int_equal(bufshare_props_check(BLOCK("host.a=1\0"), BUFSHARE_PROPS_GUEST), -EPERM);
	assert_int_equal(bufshare_props_check(BLOCK("host.a=1\0"), BUFSHARE_PROPS_HOST), 0);
	assert_int_equal(bufshare_props_check(BLOCK("a=1\0"), BUFSHARE_PROPS_HOST), -EPERM);
	assert_int_equal(bufshare_props_check(BLOCK("host=1\0hosta=2\0"), BUFSHARE_PROPS_GUEST), 0);
	assert_int_equal(bufshare_props_check("", 0, BUFSHARE_PROPS_GUEST), 0);
	assert_int_equal(bufshare_props_check(BLOCK("a=1"), ALL), -EINVAL);
	assert_int_equal(bufshare_props_check(BLOCK("a=1\0a=2\0"), ALL), -EINVAL);
	assert_int_equal(bufshare_props_check(BLOCK("a=1\0a\0"), ALL), -EINVAL);
	assert_int_equal(bufshare_props_check(BLOCK("a=1\0\0"), ALL), -EINVAL);
}

static void check_limits(void **state)
{
	char block[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE + 1];
	size_t size = 0;
	int i;

	memset(block, 0, sizeof(block));
	assert_int_equal(bufshare_props_check(block, sizeof(block), ALL), -ENOSPC);

	for (i = 0; i <= VIRTIO_BUFSHARE_MAX_PROPERTIES; i++) {
		memcpy(block + size, (char[]){ 'a' + i % 26, 'a' + i / 26, '=', 0 }, 4);
		size += 4;
	}
	assert_int_equal(bufshare_props_check(block, size, ALL), -ENOSPC);
	assert_int_equal(bufshare_props_check(block, size - 4, ALL), 0);
	assert_int_equal(bufshare_props_count(block, size - 4), VIRTIO_BUFSHARE_MAX_PROPERTIES);
}

/* As many removals as there can be, and as many settings: one full set for another. */
static void apply_full(void **state)
{
	char block[BUFSHARE_PROPS_ROOM], changes[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE];
	size_t size = 0, changes_size = 0;
	char i;

	for (i = 0; i < VIRTIO_BUFSHARE_MAX_PROPERTIES; i++) {
		memcpy(block + size, (char[]){ 'a', '0' + i / 10, '0' + i % 10, '=', 'x', 0 }, 6);
		size += 6;
		memcpy(changes + changes_size, (char[]){ 'a', '0' + i / 10, '0' + i % 10, 0 }, 4);
		changes_size += 4;
		memcpy(changes + changes_size, (char[]){ 'b', '0' + i / 10, '0' + i % 10, '=', 0 }, 5);
		changes_size += 5;
	}
	assert_int_equal(bufshare_props_check(changes, changes_size, ALL), 0);
	size = bufshare_props_apply(block, size, changes, changes_size);
	assert_int_equal(size, VIRTIO_BUFSHARE_MAX_PROPERTIES * 5);
	assert_int_equal(bufshare_props_count(block, size), VIRTIO_BUFSHARE_MAX_PROPERTIES);
	assert_string_equal(block, "b00=");
}

/* A block of a few strings, most of them right. Bytes. */
static size_t random_block(char *block)
{
	static const char *const names[] = {
		"a", "b", "a.b", "a-b", "ab", "host.a", "host.", "host", "z_9", "A", "", ".a", "a b",
	};
	static const char *const values[] = {
		"=", "=1", "=a=b", "=\xc3\xa4", "", "", "=\xe2\x82\xac", "=\xf0\x9f\x98\x80",
		"=\xff", "=\xc3", "=\xe0\x80\x80", "=\xed\xa0\x80", "=\xf4\x90\x80\x80",
	};
	/* The last ones are wrong, and rarer. */
	size_t num_names = rand() % 8 ? 9 : sizeof(names) / sizeof(names[0]);
	size_t num_values = rand() % 8 ? 8 : sizeof(values) / sizeof(values[0]);
	size_t size = 0;
	int n = rand() % 5;

	while (n-- > 0) {
		const char *name = names[(size_t)rand() % num_names];
		const char *value = values[(size_t)rand() % num_values];

		memcpy(block + size, name, strlen(name));
		size += strlen(name);
		memcpy(block + size, value, strlen(value) + 1);
		size += strlen(value) + 1;
	}
	return size;
}

static unsigned int random_flags(unsigned int *common)
{
	unsigned int flags = rand() % 4 ? ALL : (unsigned int)rand() & ALL;

	*common = (flags & BUFSHARE_PROPS_REMOVALS ? PROPS_REMOVALS : 0U) |
		  (flags & BUFSHARE_PROPS_GUEST ? PROPS_GUEST : 0U) |
		  (flags & BUFSHARE_PROPS_HOST ? PROPS_HOST : 0U);
	return flags;
}

/* Guest and host must agree on what is a block, and on what it does. */
static void same_as_common(void **state)
{
	char block[BUFSHARE_PROPS_ROOM], other[PROPS_BLOCK_MAX], changes[256];
	struct props props = { .n = 0 };
	unsigned int flags, common;
	size_t size = 0, n;
	int i, r, good = 0;

	srand(1);
	for (i = 0; i < 100000; i++) {
		n = random_block(changes);
		flags = random_flags(&common);
		r = bufshare_props_check(changes, n, flags);
		assert_int_equal(r, props_check_block(changes, n, common));
		if (r < 0)
			continue;
		good++;
		size = bufshare_props_apply(block, size, changes, n);
		assert_int_equal(props_apply(&props, changes, n), 0);
		assert_int_equal(props_write_block(&props, PROPS_GUEST | PROPS_HOST, other), size);
		assert_memory_equal(block, other, size);
		assert_int_equal(bufshare_props_count(block, size), props.n);
	}
	assert_true(good > 10000 && good < 90000);
	props_clear(&props);
}

static struct virtio_bufshare_rect rect(uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	return (struct virtio_bufshare_rect){
		__cpu_to_le32(x), __cpu_to_le32(y), __cpu_to_le32(width), __cpu_to_le32(height),
	};
}

static void damage_valid(void **state)
{
	struct virtio_bufshare_rect r[2] = { rect(1, 2, 3, 4), rect(0, 0, UINT32_MAX, UINT32_MAX) };

	assert_true(bufshare_damage_valid(r, 0));
	assert_true(bufshare_damage_valid(r, 2));
	r[1] = rect(UINT32_MAX - 1, UINT32_MAX - 1, 1, 1);
	assert_true(bufshare_damage_valid(r, 2));
	r[1] = rect(0, 0, 0, 1);
	assert_false(bufshare_damage_valid(r, 2));
	r[1] = rect(0, 0, 1, 0);
	assert_false(bufshare_damage_valid(r, 2));
	r[1] = rect(1, 0, UINT32_MAX, 1);
	assert_false(bufshare_damage_valid(r, 2));
	r[1] = rect(0, UINT32_MAX, 1, 1);
	assert_false(bufshare_damage_valid(r, 2));
}

static void damage_merge(void **state)
{
	struct virtio_bufshare_rect r[4] = { rect(10, 20, 5, 5), rect(0, 30, 1, 1) };
	struct virtio_bufshare_rect more[2] = { rect(100, 0, 10, 1), rect(50, 50, 1, 60) };
	struct virtio_bufshare_rect all = rect(0, 0, 110, 110);

	assert_int_equal(bufshare_damage_merge(r, 2, more, 2, 4), 4);
	assert_memory_equal(&r[2], more, sizeof(more));
	assert_int_equal(bufshare_damage_merge(r, 4, more, 1, 4), 1);
	assert_memory_equal(&r[0], &all, sizeof(all));
	/* everything stays everything */
	assert_int_equal(bufshare_damage_merge(r, 1, more, 0, 4), 0);
	assert_int_equal(bufshare_damage_merge(r, 0, more, 2, 4), 0);
}

static void damage_merge_extreme(void **state)
{
	struct virtio_bufshare_rect r = rect(UINT32_MAX - 1, 0, 1, UINT32_MAX);
	struct virtio_bufshare_rect more = rect(0, UINT32_MAX - 1, UINT32_MAX, 1);
	struct virtio_bufshare_rect all = rect(0, 0, UINT32_MAX, UINT32_MAX);

	assert_int_equal(bufshare_damage_merge(&r, 1, &more, 1, 1), 1);
	assert_memory_equal(&r, &all, sizeof(all));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(label),
		cmocka_unit_test(check_flags),
		cmocka_unit_test(check_limits),
		cmocka_unit_test(apply_full),
		cmocka_unit_test(same_as_common),
		cmocka_unit_test(damage_valid),
		cmocka_unit_test(damage_merge),
		cmocka_unit_test(damage_merge_extreme),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
