/* SPDX-License-Identifier: MIT */
/*
 * Property blocks, and sets of properties.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/props.h"

#define BOTH_SIDES (PROPS_GUEST | PROPS_HOST)

/* A string literal as a block: its own NUL ends the last string. */
#define CHECK(block, flags) props_check_block(block, sizeof(block), flags)
#define APPLY(props, block) props_apply(props, block, sizeof(block))

static void fill(char *s, char c, size_t n)
{
	memset(s, c, n);
	s[n] = '\0';
}

/* name00=, name01=, ...; returns the bytes. */
static size_t numbered_block(char *block, unsigned int n, const char *end)
{
	char *p = block;

	for (unsigned int i = 0; i < n; i++)
		p += sprintf(p, "name%02u%s", i, end) + 1;
	return (size_t)(p - block);
}

/* ---- blocks ---- */

static void test_block_good(void **state)
{
	assert_int_equal(props_check_block(NULL, 0, 0), 0);
	assert_int_equal(CHECK("a=1", PROPS_GUEST), 0);
	assert_int_equal(CHECK("a=\0b=x=y\0a.b=\xc3\xa4", PROPS_GUEST), 0);
	assert_int_equal(CHECK("host.a=1", PROPS_HOST), 0);
	assert_int_equal(CHECK("host=1", PROPS_GUEST), 0);
	assert_int_equal(CHECK("host.a=1\0a=2", BOTH_SIDES), 0);
	assert_int_equal(CHECK("a\0b=1", PROPS_GUEST | PROPS_REMOVALS), 0);
}

static void test_block_not_terminated(void **state)
{
	assert_int_equal(props_check_block("a=1", 3, PROPS_GUEST), -EINVAL);
	assert_int_equal(props_check_block("a=1\0b=2", 7, PROPS_GUEST), -EINVAL);
}

static void test_block_empty_string(void **state)
{
	assert_int_equal(CHECK("", PROPS_GUEST | PROPS_REMOVALS), -EINVAL);
	assert_int_equal(CHECK("a=1\0", PROPS_GUEST | PROPS_REMOVALS), -EINVAL);
	assert_int_equal(CHECK("\0a=1", PROPS_GUEST | PROPS_REMOVALS), -EINVAL);
}

static void test_block_no_name(void **state)
{
	assert_int_equal(CHECK("=1", PROPS_GUEST), -EINVAL);
}

static void test_block_bad_name(void **state)
{
	assert_int_equal(CHECK("Width=1", PROPS_GUEST), -EINVAL);
	assert_int_equal(CHECK("a b=1", PROPS_GUEST), -EINVAL);
}

static void test_block_long_name(void **state)
{
	char block[PROPS_NAME_SIZE + 2];

	fill(block, 'n', PROPS_NAME_SIZE);
	strcat(block, "=");
	assert_int_equal(CHECK(block, PROPS_GUEST), -EINVAL);
	assert_int_equal(props_check_block(block + 1, sizeof(block) - 1, PROPS_GUEST), 0);
}

static void test_block_bad_value(void **state)
{
	assert_int_equal(CHECK("a=\xff", PROPS_GUEST), -EINVAL);
}

static void test_block_long_value(void **state)
{
	char block[PROPS_VALUE_SIZE + 3] = "a=";

	fill(block + 2, 'v', PROPS_VALUE_SIZE);
	assert_int_equal(CHECK(block, PROPS_GUEST), -EINVAL);
	block[PROPS_VALUE_SIZE + 1] = '\0';
	assert_int_equal(props_check_block(block, PROPS_VALUE_SIZE + 2, PROPS_GUEST), 0);
}

static void test_block_name_twice(void **state)
{
	assert_int_equal(CHECK("a=1\0b=2\0a=3", PROPS_GUEST), -EINVAL);
	assert_int_equal(CHECK("ab=1\0a=3", PROPS_GUEST), 0);
}

static void test_block_set_and_remove(void **state)
{
	assert_int_equal(CHECK("a=1\0a", PROPS_GUEST | PROPS_REMOVALS), -EINVAL);
}

static void test_block_removal_not_allowed(void **state)
{
	assert_int_equal(CHECK("a", PROPS_GUEST), -EINVAL);
}

static void test_block_host_not_allowed(void **state)
{
	assert_int_equal(CHECK("a=1\0host.a=1", PROPS_GUEST), -EPERM);
	assert_int_equal(CHECK("host.a", PROPS_GUEST | PROPS_REMOVALS), -EPERM);
}

static void test_block_guest_not_allowed(void **state)
{
	assert_int_equal(CHECK("host.a=1\0a=1", PROPS_HOST), -EPERM);
	assert_int_equal(CHECK("host=1", PROPS_HOST), -EPERM);
	assert_int_equal(CHECK("a=1", 0), -EPERM);
}

/* Three strings of all bytes there may be, and of one more. */
static void test_block_too_large(void **state)
{
	char block[PROPS_BLOCK_MAX + 1];

	memset(block, 'v', sizeof(block));
	for (size_t i = 0; i < 3; i++) {
		char *s = block + i * PROPS_BLOCK_MAX / 3;

		s[0] = (char)('a' + i);
		s[1] = '=';
		s[PROPS_BLOCK_MAX / 3 - 1] = '\0';
	}
	assert_int_equal(props_check_block(block, PROPS_BLOCK_MAX, PROPS_GUEST), 0);

	block[PROPS_BLOCK_MAX - 1] = 'v';
	block[PROPS_BLOCK_MAX] = '\0';
	assert_int_equal(props_check_block(block, PROPS_BLOCK_MAX + 1, PROPS_GUEST), -ENOSPC);
}

static void test_block_too_many_settings(void **state)
{
	char block[PROPS_BLOCK_MAX];
	size_t size;

	size = numbered_block(block, PROPS_MAX, "=");
	assert_int_equal(props_check_block(block, size, PROPS_GUEST), 0);
	size = numbered_block(block, PROPS_MAX + 1, "=");
	assert_int_equal(props_check_block(block, size, PROPS_GUEST), -ENOSPC);
}

static void test_block_too_many_removals(void **state)
{
	char block[PROPS_BLOCK_MAX];
	size_t size;

	size = numbered_block(block, PROPS_MAX, "");
	assert_int_equal(props_check_block(block, size, PROPS_GUEST | PROPS_REMOVALS), 0);
	size = numbered_block(block, PROPS_MAX + 1, "");
	assert_int_equal(props_check_block(block, size, PROPS_GUEST | PROPS_REMOVALS), -ENOSPC);
}

/* One block can replace a full set by another one. */
static void test_block_exchange_all(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };
	char block[PROPS_BLOCK_MAX];
	size_t size;

	size = numbered_block(block, PROPS_MAX, "=1");
	assert_int_equal(props_apply(&props, block, size), 0);

	size = numbered_block(block, PROPS_MAX, ".new=1");
	size += numbered_block(block + size, PROPS_MAX, "");
	assert_int_equal(props_check_block(block, size, PROPS_GUEST | PROPS_REMOVALS), 0);
	assert_int_equal(props_apply(&props, block, size), 0);
	assert_int_equal(props.n, PROPS_MAX);
	assert_string_equal(props.v[0].name, "name00.new");
}

/* ---- sets ---- */

static void test_set_get(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };

	assert_null(props_get(&props, "b"));
	assert_int_equal(props_set(&props, "b", "2"), 0);
	assert_int_equal(props_set(&props, "a", "1"), 0);
	assert_int_equal(props_set(&props, "c", ""), 0);
	assert_int_equal(props.n, 3);
	assert_int_equal(props.block_size, sizeof("a=1\0b=2\0c="));
	assert_string_equal(props_get(&props, "a"), "1");
	assert_string_equal(props_get(&props, "b"), "2");
	assert_string_equal(props_get(&props, "c"), "");
	assert_null(props_get(&props, "d"));

	assert_int_equal(props_set(&props, "b", "longer"), 0);
	assert_int_equal(props.n, 3);
	assert_string_equal(props_get(&props, "b"), "longer");

	assert_int_equal(props_set(&props, "b", NULL), 0);
	assert_null(props_get(&props, "b"));
	assert_int_equal(props.n, 2);
	assert_int_equal(props.block_size, sizeof("a=1\0c="));
}

static void test_set_own_strings(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };
	const struct prop *a;

	assert_int_equal(props_set(&props, "a", "1"), 0);
	a = props_next(&props, NULL);
	assert_int_equal(props_set(&props, a->name, a->value), 0);
	assert_string_equal(props_get(&props, "a"), "1");
}

static void test_set_bad_name(void **state)
{
	struct props props = { .n = 0 };

	assert_int_equal(props_set(&props, "A", "1"), -EINVAL);
	assert_int_equal(props_set(&props, "", NULL), -EINVAL);
	assert_int_equal(props.n, 0);
}

static void test_set_bad_value(void **state)
{
	struct props props = { .n = 0 };

	assert_int_equal(props_set(&props, "a", "\xff"), -EINVAL);
	assert_int_equal(props.n, 0);
}

static void test_remove_nothing(void **state)
{
	struct props props = { .n = 0 };

	assert_int_equal(props_set(&props, "a", NULL), -ENOENT);
}

static void test_set_too_many(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };
	char block[PROPS_BLOCK_MAX];
	size_t size = numbered_block(block, PROPS_MAX, "=");

	assert_int_equal(props_apply(&props, block, size), 0);
	assert_int_equal(props_set(&props, "one.more", ""), -ENOSPC);
	assert_int_equal(props_set(&props, "name00", "other"), 0);
	assert_int_equal(props_set(&props, "name00", NULL), 0);
	assert_int_equal(props_set(&props, "one.more", ""), 0);
}

/* Three of 1024 bytes fill it to the last byte. */
static void test_set_too_large(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };
	char value[PROPS_VALUE_SIZE];

	fill(value, 'v', 1024 - sizeof("a="));
	assert_int_equal(props_set(&props, "a", value), 0);
	assert_int_equal(props_set(&props, "b", value), 0);
	assert_int_equal(props_set(&props, "c", value), 0);
	assert_int_equal(props.block_size, PROPS_BLOCK_MAX);
	assert_int_equal(props_set(&props, "d", ""), -ENOSPC);

	fill(value, 'v', 1024 - sizeof("a=") + 1);
	assert_int_equal(props_set(&props, "c", value), -ENOSPC);
	assert_int_equal(strlen(props_get(&props, "c")), 1024 - sizeof("c="));
	assert_int_equal(props.block_size, PROPS_BLOCK_MAX);
}

static void test_walk(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };
	const struct prop *p;

	assert_null(props_next(&props, NULL));
	assert_int_equal(APPLY(&props, "b=2\0d=4\0a=1"), 0);
	p = props_next(&props, NULL);
	assert_string_equal(p->name, "a");
	p = props_next(&props, p->name);
	assert_string_equal(p->name, "b");
	assert_string_equal(p->value, "2");
	p = props_next(&props, "c");
	assert_string_equal(p->name, "d");
	assert_null(props_next(&props, "d"));
	assert_null(props_next(&props, "z"));
}

static void test_apply(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };

	assert_int_equal(props_apply(&props, NULL, 0), 0);
	assert_int_equal(APPLY(&props, "a=1\0b=2\0c=3"), 0);
	assert_int_equal(APPLY(&props, "b=new\0a\0d=\0nothing"), 0);
	assert_int_equal(props.n, 3);
	assert_null(props_get(&props, "a"));
	assert_string_equal(props_get(&props, "b"), "new");
	assert_string_equal(props_get(&props, "c"), "3");
	assert_string_equal(props_get(&props, "d"), "");
	assert_int_equal(props.block_size, sizeof("b=new\0c=3\0d="));
}

static void test_apply_all_or_nothing(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };
	char block[PROPS_BLOCK_MAX];
	size_t size = numbered_block(block, PROPS_MAX - 1, "=");

	assert_int_equal(props_apply(&props, block, size), 0);
	assert_int_equal(APPLY(&props, "name00=changed\0x=1\0y=2"), -ENOSPC);
	assert_int_equal(props.n, PROPS_MAX - 1);
	assert_string_equal(props_get(&props, "name00"), "");
	assert_null(props_get(&props, "x"));
}

/* Only the result must be within the limits, whatever the order in the block. */
static void test_apply_limits_of_result(void **state)
{
	_cleanup_(props_clear) struct props props = { .n = 0 };
	char block[PROPS_BLOCK_MAX];
	size_t size = numbered_block(block, PROPS_MAX, "=");

	assert_int_equal(props_apply(&props, block, size), 0);
	assert_int_equal(APPLY(&props, "x=1\0name63"), 0);
	assert_int_equal(props.n, PROPS_MAX);
	assert_string_equal(props_get(&props, "x"), "1");
}

static void test_apply_not_terminated(void **state)
{
	struct props props = { .n = 0 };

	assert_int_equal(props_apply(&props, "a=1", 3), -EINVAL);
	assert_int_equal(props.n, 0);
}

static void test_write_block(void **state)
{
	static const char all[] = "a=1\0host.b=2\0i=", guest[] = "a=1\0i=", host[] = "host.b=2";
	_cleanup_(props_clear) struct props props = { .n = 0 };
	char buf[sizeof(all)];

	assert_int_equal(props_write_block(&props, BOTH_SIDES, buf), 0);
	assert_int_equal(APPLY(&props, "i=\0host.b=2\0a=1"), 0);
	assert_int_equal(props.block_size, sizeof(all));
	assert_int_equal(props_write_block(&props, BOTH_SIDES, buf), sizeof(all));
	assert_memory_equal(buf, all, sizeof(all));
	assert_int_equal(props_write_block(&props, PROPS_GUEST, buf), sizeof(guest));
	assert_memory_equal(buf, guest, sizeof(guest));
	assert_int_equal(props_write_block(&props, PROPS_HOST, buf), sizeof(host));
	assert_memory_equal(buf, host, sizeof(host));
	assert_int_equal(props_write_block(&props, 0, buf), 0);
}

static void test_copy(void **state)
{
	_cleanup_(props_clear) struct props from = { .n = 0 }, to = { .n = 0 };

	assert_int_equal(APPLY(&from, "a=1\0b=2"), 0);
	assert_int_equal(APPLY(&to, "z=26"), 0);
	assert_int_equal(props_copy(&to, &from), 0);
	assert_int_equal(props_set(&from, "a", "changed"), 0);
	assert_int_equal(to.n, 2);
	assert_int_equal(to.block_size, sizeof("a=1\0b=2"));
	assert_string_equal(props_get(&to, "a"), "1");
	assert_null(props_get(&to, "z"));

	assert_int_equal(props_copy(&to, &to), 0);
	assert_string_equal(props_get(&to, "b"), "2");
}

static void test_clear(void **state)
{
	struct props props = { .n = 0 };

	assert_int_equal(APPLY(&props, "a=1\0b=2"), 0);
	props_clear(&props);
	assert_int_equal(props.n, 0);
	assert_int_equal(props.block_size, 0);
	assert_null(props_get(&props, "a"));
	props_clear(&props);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_good),
		cmocka_unit_test(test_block_not_terminated),
		cmocka_unit_test(test_block_empty_string),
		cmocka_unit_test(test_block_no_name),
		cmocka_unit_test(test_block_bad_name),
		cmocka_unit_test(test_block_long_name),
		cmocka_unit_test(test_block_bad_value),
		cmocka_unit_test(test_block_long_value),
		cmocka_unit_test(test_block_name_twice),
		cmocka_unit_test(test_block_set_and_remove),
		cmocka_unit_test(test_block_removal_not_allowed),
		cmocka_unit_test(test_block_host_not_allowed),
		cmocka_unit_test(test_block_guest_not_allowed),
		cmocka_unit_test(test_block_too_large),
		cmocka_unit_test(test_block_too_many_settings),
		cmocka_unit_test(test_block_too_many_removals),
		cmocka_unit_test(test_block_exchange_all),
		cmocka_unit_test(test_set_get),
		cmocka_unit_test(test_set_own_strings),
		cmocka_unit_test(test_set_bad_name),
		cmocka_unit_test(test_set_bad_value),
		cmocka_unit_test(test_remove_nothing),
		cmocka_unit_test(test_set_too_many),
		cmocka_unit_test(test_set_too_large),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_apply),
		cmocka_unit_test(test_apply_all_or_nothing),
		cmocka_unit_test(test_apply_limits_of_result),
		cmocka_unit_test(test_apply_not_terminated),
		cmocka_unit_test(test_write_block),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
