/* SPDX-License-Identifier: MIT */
/*
 * Runs each input of a fuzzer's corpus once, without libFuzzer, and says so in TAP.
 *
 *   fuzz-NAME [FILE...]
 *
 * Without an argument it takes $srcdir/tests/fuzz/corpus/NAME. An input that crashes or
 * hangs ends the program, and its name is the last one on standard error.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fuzz/fuzz.h"

#define INPUT_SIZE (1 << 20)
#define SECONDS 20 /* for one input; it takes milliseconds */

static int read_file(const char *path, uint8_t **data, size_t *size)
{
	_cleanup_free_ uint8_t *buf = malloc(INPUT_SIZE);
	FILE *f = fopen(path, "re");

	if (!f || !buf) {
		if (f)
			fclose(f);
		return -EIO;
	}
	*size = fread(buf, 1, INPUT_SIZE, f);
	fclose(f);
	/* Of just that size, so that a sanitizer sees a read beyond the end. */
	*data = realloc(steal_ptr(&buf), *size ? *size : 1);
	return *data ? 0 : -ENOMEM;
}

static bool run(const char *path, int number)
{
	_cleanup_free_ uint8_t *data = NULL;
	const char *name = strrchr(path, '/');
	size_t size;
	int before;

	name = name ? name + 1 : path;
	if (read_file(path, &data, &size) < 0) {
		printf("not ok %d - %s: can not be read\n", number, name);
		return false;
	}
	fprintf(stderr, "%s\n", path);
	before = fuzz_lowest_fd();
	alarm(SECONDS);
	LLVMFuzzerTestOneInput(data, size);
	alarm(0);
	if (fuzz_lowest_fd() != before) {
		printf("not ok %d - %s: a descriptor is open still\n", number, name);
		return false;
	}
	printf("ok %d - %s\n", number, name);
	return true;
}

static int run_corpus(void)
{
	const char *srcdir = getenv("srcdir");
	_cleanup_free_ char *folder = NULL;
	struct dirent **entries;
	int n, i, number = 0, failed = 0;

	if (asprintf(&folder, "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", fuzz_name) < 0)
		return -ENOMEM;
	n = scandir(folder, &entries, NULL, alphasort);
	for (i = 0; i < n; i++) {
		_cleanup_free_ char *path = NULL;

		if (entries[i]->d_name[0] != '.' &&
		    asprintf(&path, "%s/%s", folder, entries[i]->d_name) > 0)
			failed += !run(path, ++number);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	if (!number) {
		printf("Bail out! no corpus in %s\n", folder);
		return 1;
	}
	printf("1..%d\n", number);
	return failed;
}

int main(int argc, char **argv)
{
	static const uint8_t nothing[1];
	int i, failed = 0;

	/* What is made once and kept is no leak. */
	LLVMFuzzerTestOneInput(nothing, 0);
	if (argc < 2)
		return run_corpus() ? 1 : 0;
	for (i = 1; i < argc; i++)
		failed += !run(argv[i], i);
	printf("1..%d\n", argc - 1);
	return failed ? 1 : 0;
}
