/* SPDX-License-Identifier: MIT */
/*
 * Files that appear whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/file.h"
#include "common/cleanup.h"

static char folder[] = "/tmp/bufshare-test-file.XXXXXX";
static bool no_unnamed; /* as on a file system that has no files without a name */

int __real_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, mode_t mode);

int __wrap_open(const char *path, int flags, mode_t mode)
{
	if (no_unnamed && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_open(path, flags, mode);
}

static const char *path_of(const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

static int write_file(const char *path, const char *text, int error)
{
	struct new_file file;
	int r;

	r = new_file_begin(&file, path);
	if (r)
		return r;
	fputs(text, file.stream);
	if (error)
		new_file_fail(&file, error);
	return new_file_finish(&file);
}

static void expect_text(const char *path, const char *text)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	uint64_t size;

	assert_int_equal(read_whole_file(path, 1 << 20, &bytes, &size), 0);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(bytes, text, size);
}

static void test_new(void **state)
{
	struct stat st;
	mode_t mask = umask(027);

	assert_int_equal(write_file(path_of("a"), "one", 0), 0);
	umask(mask);
	expect_text(path_of("a"), "one");
	assert_int_equal(stat(path_of("a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_replaces(void **state)
{
	assert_int_equal(write_file(path_of("a"), "one", 0), 0);
	assert_int_equal(write_file(path_of("a"), "two", 0), 0);
	expect_text(path_of("a"), "two");
}

static void test_error_keeps_the_old(void **state)
{
	assert_int_equal(write_file(path_of("a"), "one", 0), 0);
	assert_int_equal(write_file(path_of("a"), "two", -EIO), -EIO);
	expect_text(path_of("a"), "one");
}

static void test_error_leaves_nothing(void **state)
{
	assert_int_equal(write_file(path_of("a"), "one", -EIO), -EIO);
	assert_int_equal(access(path_of("a"), F_OK), -1);
}

static void test_no_folder(void **state)
{
	assert_int_equal(write_file(path_of("none/a"), "one", 0), -ENOENT);
}

static void test_behind_a_link(void **state)
{
	struct stat st;

	assert_int_equal(write_file(path_of("a"), "one", 0), 0);
	assert_int_equal(symlink("a", path_of("b")), 0);
	assert_int_equal(write_file(path_of("b"), "two", 0), 0);
	expect_text(path_of("a"), "two");
	assert_int_equal(lstat(path_of("b"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
}

/* Root could put a file in the place of /dev/null. */
static void test_into_a_pipe(void **state)
{
	_cleanup_close_ int reader = -1;
	struct stat st;
	char text[8];

	assert_int_equal(mkfifo(path_of("a"), 0600), 0);
	reader = __real_open(path_of("a"), O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	assert_int_equal(write_file(path_of("a"), "one", 0), 0);
	assert_int_equal(read(reader, text, sizeof(text)), 3);
	assert_int_equal(stat(path_of("a"), &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
}

static void test_device_full(void **state)
{
	assert_int_equal(write_file("/dev/full", "one", 0), -ENOSPC);
}

static void test_folder(void **state)
{
	assert_int_equal(write_file(folder, "one", 0), -EISDIR);
}

static void test_second_name(void **state)
{
	no_unnamed = true;
	test_new(state);
	test_replaces(state);
	test_error_keeps_the_old(state);
}

static void test_second_name_leaves_nothing(void **state)
{
	no_unnamed = true;
	test_error_leaves_nothing(state);
	assert_int_equal(write_file(path_of("none/a"), "one", 0), -ENOENT);
}

static int make_folder(void **state)
{
	no_unnamed = false;
	strcpy(strrchr(folder, '.'), ".XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	unlink(path_of("a"));
	unlink(path_of("b"));
	return rmdir(folder); /* fails if anything else was left there */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new),
		TEST(test_replaces),
		TEST(test_error_keeps_the_old),
		TEST(test_error_leaves_nothing),
		TEST(test_no_folder),
		TEST(test_behind_a_link),
		TEST(test_into_a_pipe),
		TEST(test_device_full),
		TEST(test_folder),
		TEST(test_second_name),
		TEST(test_second_name_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
