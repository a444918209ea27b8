/* SPDX-License-Identifier: MIT */
/*
 * The registry of subsystem ids: how it is read, and that ours keeps to its own rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/ids.h"

static char *find(const char *text, uint16_t vendor, uint16_t device)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	char *found;

	assert_non_null(file);
	found = ids_find(file, vendor, device);
	fclose(file);
	return found;
}

#define assert_found(text, vendor, device, wanted)           \
	do {                                                 \
		char *found_ = find(text, vendor, device);   \
		assert_non_null(found_);                     \
		assert_string_equal(found_, wanted);         \
		free(found_);                                \
	} while (0)

static const char registry[] =
	"# 0001  a comment\n"
	"0000  Ours\n"
	"\t0001  app.one  The first one\n"
	"\n"
	"\t00a2  -  Without application\n"
	"1af4  Theirs\n"
	"\t0001  app.three  Another\n"
	"\t0002  alone";

static void test_found(void **state)
{
	assert_found(registry, 0, 1, "The first one");
	assert_found(registry, 0, 0xa2, "Without application");
	assert_found(registry, 0x1af4, 1, "Another");
	assert_found(registry, 0x1af4, 2, "alone");
}

static void test_not_found(void **state)
{
	assert_null(find(registry, 0, 2));
	assert_null(find(registry, 0x1af5, 1));
	assert_null(find("", 0, 1));
}

/* Each is wrong in one way, with a line that is right behind it. */
static void test_left_out(void **state)
{
	static const char *const wrong[] = {
		"\t001  a  b\n", "\t00001  a  b\n", "\t0001 a  b\n", "\t000G  a  b\n",
		"\t000A  a  b\n", "0001  a  b\n0000  Ours\n", "\t\t0001  a  b\n", " 0001  a  b\n",
		"\t# 0001  a  b\n", "\t\n",
	};
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "0000  Ours\n%s\t0001  app  Right\n", wrong[i]);
		assert_found(text, 0, 1, "Right");
	}
}

static void test_lookup(void **state)
{
	char *found;

	assert_null(ids_lookup(0, 0)); /* is none, whatever the file says */
	found = ids_lookup(0, 2);
	assert_non_null(found);
	assert_string_equal(found, "The moving test picture of bufsharectl");
	free(found);
	setenv("BUFSHARE_IDS", "/nonexistent", 1);
	assert_null(ids_lookup(0, 2));
}

/* Every line is understood, and the ids go up, so that none is there twice. */
static void test_ours(void **state)
{
	FILE *file = fopen(getenv("BUFSHARE_IDS"), "re");
	unsigned int id, vendor = 0, device = 0, entries = 0;
	char *line = NULL, name[64];
	size_t room = 0;
	int n;

	assert_non_null(file);
	while (getline(&line, &room, file) >= 0) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		n = 0;
		if (line[0] == '\t') {
			sscanf(line, "\t%4x  %63[A-Za-z0-9._-]  %n", &id, name, &n);
			assert_true(n && line[n] > ' ');
			assert_true(id > device && (vendor || id < 0xff00));
			device = id;
			entries++;
		} else {
			sscanf(line, "%4x  %n", &id, &n);
			assert_int_equal(n, 6);
			assert_true(!entries || id > vendor);
			vendor = id;
			device = 0;
		}
	}
	assert_true(entries > 0);
	free(line);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_lookup),
	};
	const char *srcdir = getenv("srcdir");
	char path[256];

	snprintf(path, sizeof(path), "%s/share/applications.ids", srcdir ?: ".");
	setenv("BUFSHARE_IDS", path, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
