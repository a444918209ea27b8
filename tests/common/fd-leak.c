/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>

#include "common/fd-leak.h"

static int before;

int fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the folder itself */
}

int fd_leak_setup(void **state)
{
	before = fd_count();
	return before < 0 ? -1 : 0;
}

int fd_leak_teardown(void **state)
{
	int after = fd_count();

	if (after == before)
		return 0;
	fprintf(stderr, "# descriptors: %d before the test, %d after\n", before, after);
	return -1;
}
