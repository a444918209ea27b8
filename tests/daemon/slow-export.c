/* SPDX-License-Identifier: MIT */
/*
 * Copies that say when they begin, and wait until they may go on: two pipes in a folder, at
 * each of which the thread stands until somebody opens it to write, or it is gone.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/daemon/export-internal.h"

void __real_export_run_copy(struct export_job *job);
void __wrap_export_run_copy(struct export_job *job);

static void stand_at(const char *name)
{
	const char *dir = getenv("BUFSHARE_TEST_DIR");
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
}

void __wrap_export_run_copy(struct export_job *job)
{
	stand_at("begun");
	stand_at("go");
	__real_export_run_copy(job);
}
