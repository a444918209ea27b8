/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "host/daemon/listener.h"
#include "host/daemon/log.h"

static bool somebody_listens(const struct sockaddr_un *addr, int type)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return true;
	return errno != ECONNREFUSED;
}

/* A socket that nobody listens at was left behind by a daemon that was killed. */
static void remove_stale(const struct sockaddr_un *addr, int type)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && !somebody_listens(addr, type))
		unlink(addr->sun_path);
}

int listen_at(const char *path, int type, mode_t mode)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		log_err("the path of a socket has at most 107 bytes: %s", path);
		return -ENAMETOOLONG;
	}
	strcpy(addr.sun_path, path);
	remove_stale(&addr, type);

	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mask = umask(~mode & 0777); /* so it is from the first moment */
	r = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, 16) < 0)
		r = -errno;
	if (r < 0) {
		log_err("cannot listen at %s: %s%s", path, strerror(-r),
			r == -EADDRINUSE ? " (is another daemon running there?)" : "");
		return r;
	}
	return steal_fd(&fd);
}
