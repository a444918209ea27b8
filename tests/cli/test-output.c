/* SPDX-License-Identifier: MIT */
/*
 * What becomes text for people: formats, values, and what a terminal must not obey.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Before cmocka.h, which has a macro by the name of our fail(). */
#include "cli/cli.h"

#include <cmocka.h>

/* What is written to standard output meanwhile. */
static int real_stdout;
static FILE *caught;

static void catch_begin(void)
{
	fflush(stdout);
	real_stdout = dup(STDOUT_FILENO);
	caught = tmpfile();
	assert_non_null(caught);
	assert_true(dup2(fileno(caught), STDOUT_FILENO) >= 0);
}

static void catch_end(const char *wanted)
{
	char text[512];
	size_t n;

	fflush(stdout);
	assert_true(dup2(real_stdout, STDOUT_FILENO) >= 0);
	close(real_stdout);
	rewind(caught);
	n = fread(text, 1, sizeof(text) - 1, caught);
	text[n] = '\0';
	fclose(caught);
	assert_string_equal(text, wanted);
}

static struct json_object *updated(void)
{
	const struct bufshare_event ev = {
		.type = BUFSHARE_EVENT_UPDATED,
		.flags = BUFSHARE_UPDATED_COALESCED | 1U << 7,
		.buffer_id = 7,
		.seq = 9,
		.time_ns = 1000,
	};

	return event_json(&ev);
}

static void test_format(void **state)
{
	static const char *const lines[][2] = {
		{ "%e %b %s", "updated 7 9\n" },
		{ "%{event}:%{buffer}", "updated:7\n" },
		{ "100%% %t", "100% 1000\n" },
		{ "a\\tb\\nc\\\\", "a\tb\nc\\\n" },
		{ "%f", "coalesced,128\n" },
		{ "%a %{no such key}", "- -\n" },
		{ "", "\n" },
	};
	struct json_object *o = updated();
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		catch_begin();
		format_print(lines[i][0], o);
		catch_end(lines[i][1]);
	}
	json_object_put(o);
}

static void test_format_damage(void **state)
{
	struct json_object *o = updated();

	json_object_object_add(o, "damage", json_tokener_parse("[[0,1,2,3],[4,5,6,7]]"));
	catch_begin();
	format_print("%d", o);
	catch_end("0,1,2,3 4,5,6,7\n");
	json_object_put(o);
}

static void test_event_keys(void **state)
{
	struct json_object *o = updated();

	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
			    "{\"schema\":1,\"event\":\"updated\",\"buffer\":7,\"seq\":9,"
			    "\"flags\":[\"coalesced\",128],\"time_ns\":1000}");
	json_object_put(o);
}

static void test_clean(void **state)
{
	catch_begin();
	print_clean("a\033[31m\r\n\x7f \xc2\x9b" "2J \xc3\xa4 \xc2\xa9 \xc2");
	catch_end("a?[31m??? ?2J \xc3\xa4 \xc2\xa9 ?");
	catch_begin();
	print_clean("\x9b" "2J \xff \xed\xa0\x80 \xe2\x82\xac \xf0\x9f\x98\x80 \xe2\x82");
	catch_end("?2J ? ??? \xe2\x82\xac \xf0\x9f\x98\x80 ??");
}

/* JSON keeps the value, in a form that no terminal obeys and every reader takes. */
static void test_clean_json(void **state)
{
	const struct ctl ctl = { .json = JSON_SHORT };
	struct json_object *o = json_object_new_object();

	json_add_string(o, "a", "\033[2J\n\x7f\xc2\x9b" "2J\xc3\xa4\xff\"\\");
	catch_begin();
	json_print(&ctl, o);
	catch_end("{\"a\":\"\\u001b[2J\\n\\u007f\\u009b2J\xc3\xa4\\ufffd\\\"\\\\\"}\n");
	json_object_put(o);
}

/* Columns are as wide as what stands in them, not as its bytes. */
static void test_columns(void **state)
{
	static const char *const keys[] = { "a", "b", NULL };
	const struct ctl ctl = { .json = JSON_OFF };
	struct json_object *list = json_object_new_array(), *o;
	size_t i;

	for (i = 0; i < 2; i++) {
		o = json_object_new_object();
		json_add_string(o, "a", i ? "\xc3\xa4\xe2\x82\xac\n" : "four");
		json_add_string(o, "b", "x");
		json_object_array_add(list, o);
	}
	catch_begin();
	print_list(&ctl, "list", list, keys);
	catch_end("four  x\n\xc3\xa4\xe2\x82\xac?   x\n");
	json_object_put(list);
}

static void test_empty_list(void **state)
{
	struct json_object *o = json_object_new_array();

	catch_begin();
	print_value(o);
	catch_end("");
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_format_damage),
		cmocka_unit_test(test_event_keys),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_json),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_empty_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
