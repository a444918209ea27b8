/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/fd.h"
#include "common/cleanup.h"

/* A descriptor of another program, as a debugger gets it. */
static int take_fd(pid_t pid, int fd)
{
	_cleanup_close_ int process = -1;
	int taken;

	process = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process < 0)
		return -errno;
	taken = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	return taken < 0 ? -errno : taken;
}

/* "FD" is ours by inheritance, "PID:FD" another program's, anything else a path. */
static int open_what(const char *what, int flags)
{
	_cleanup_free_ char *pid = strdup(what);
	uint64_t fd, process;
	char *colon;
	int r;

	if (!pid)
		return -ENOMEM;
	colon = strchr(pid, ':');
	if (colon)
		*colon = '\0';
	if (colon && parse_u64(pid, INT32_MAX, &process) && parse_u64(colon + 1, INT32_MAX, &fd))
		return take_fd((pid_t)process, (int)fd);
	if (parse_u64(what, INT32_MAX, &fd))
		r = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
	else
		r = open(what, flags | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

static int open_failed(struct ctl *ctl, const char *what, int r)
{
	const char *hint = NULL;

	if (r == -EBADF)
		hint = "no such descriptor is open there; as in: bufsharectl import 3 3<>FILE";
	else if (r == -EPERM)
		hint = "descriptors of programs that are not yours are for root";
	else if (r == -ESRCH)
		hint = "no such process";
	else if (r == -ENXIO)
		hint = "what has no name is given as FD or PID:FD";
	return fail(ctl, r, hint, "cannot open %s", what);
}

int open_fd(struct ctl *ctl, const char *what, int flags, int *fd)
{
	int r;

	signals_kill(true); /* a pipe waits for its other end */
	r = open_what(what, flags);
	signals_kill(false);
	if (r < 0)
		return open_failed(ctl, what, r);
	*fd = r;
	return EXIT_OK;
}
