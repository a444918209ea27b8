/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/file.h"
#include "common/cleanup.h"

/* A file without a name: the kernel drops it if we die. */
static int open_unnamed(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	int fd;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	return fd < 0 ? -errno : fd;
}

/* For file systems that have none: EISDIR is what they say that do not know the flag. */
static int open_second(struct new_file *file)
{
	mode_t mask;
	int fd;

	if (asprintf(&file->second, "%s.XXXXXX", file->path) < 0) {
		file->second = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(file->second, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	return fd;
}

static int open_new(struct new_file *file, const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		/* A device or a pipe is written to; nothing can take its place. */
		fd = open(path, O_WRONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	/* What a link points to is replaced, not the link. */
	file->path = realpath(path, NULL);
	if (!file->path)
		file->path = strdup(path);
	if (!file->path)
		return -ENOMEM;
	fd = open_unnamed(file->path);
	return fd == -EOPNOTSUPP || fd == -EISDIR ? open_second(file) : fd;
}

static void drop(struct new_file *file)
{
	if (file->second)
		unlink(file->second);
	free(file->second);
	free(file->path);
	file->second = file->path = NULL;
}

int new_file_begin(struct new_file *file, const char *path)
{
	int fd;

	*file = (struct new_file){ 0 };
	if (strcmp(path, "-") == 0) {
		file->stream = stdout;
		return 0;
	}
	fd = open_new(file, path);
	if (fd >= 0) {
		file->stream = fdopen(fd, "w");
		if (file->stream)
			return 0;
		close(fd);
		fd = -ENOMEM;
	}
	drop(file);
	return fd;
}

void new_file_fail(struct new_file *file, int error)
{
	if (!file->error)
		file->error = error;
}

/* linkat() does not replace, so the name goes over a second one. */
static int give_name(int fd, const char *path)
{
	_cleanup_free_ char *second = NULL;
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (asprintf(&second, "%s.%d", path, (int)getpid()) < 0) {
		second = NULL;
		return -ENOMEM;
	}
	if (linkat(AT_FDCWD, self, AT_FDCWD, second, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	if (rename(second, path) < 0) {
		int r = -errno;

		unlink(second);
		return r;
	}
	return 0;
}

int new_file_finish(struct new_file *file)
{
	if (fflush(file->stream) != 0)
		new_file_fail(file, -errno);
	if (file->stream == stdout)
		return file->error;
	if (!file->error && file->second) {
		if (rename(file->second, file->path) < 0)
			new_file_fail(file, -errno);
	} else if (!file->error && file->path) {
		new_file_fail(file, give_name(fileno(file->stream), file->path));
	}
	if (fclose(file->stream) != 0)
		new_file_fail(file, -errno);
	drop(file);
	return file->error;
}

int read_whole_file(const char *path, uint64_t max, uint8_t **bytes, uint64_t *size)
{
	_cleanup_close_ int opened = -1;
	_cleanup_free_ uint8_t *buf = NULL;
	uint64_t n = 0, room = 0;
	int fd = STDIN_FILENO;

	if (strcmp(path, "-") != 0) {
		fd = opened = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	for (;;) {
		ssize_t got;

		if (n == room) {
			uint8_t *more;

			room = room ? 2 * room : 1 << 16;
			more = realloc(buf, room);
			if (!more)
				return -ENOMEM;
			buf = more;
		}
		got = read(fd, buf + n, room - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (uint64_t)got;
		if (n > max)
			return -EFBIG;
	}
	*bytes = steal_ptr(&buf);
	*size = n;
	return 0;
}
