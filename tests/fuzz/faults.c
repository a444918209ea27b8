/* SPDX-License-Identifier: MIT */
/*
 * Runs good inputs of a fuzzer again and again, each time with another one of the calls
 * that can fail for want of something failing: memory, descriptors, room, a thread; or
 * interrupted. What the fuzzer checks holds all the same, and nothing crashes or leaks.
 *
 *   faults-NAME [FILE...]
 *
 * Without an argument it takes $srcdir/tests/fuzz/corpus/NAME/good.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fuzz/fuzz.h"

#define INPUT_SIZE (1 << 16)
#define SECONDS 60 /* for one run; it takes milliseconds */

static atomic_bool on;
static atomic_uint calls;
static unsigned int fails; /* number of the call that does, from 1 on */

void fuzz_faults(bool wanted)
{
	on = wanted;
}

bool fuzz_fault(void)
{
	return calls >= fails;
}

static bool is_it(int error)
{
	if (!on || ++calls != fails)
		return false;
	errno = error;
	return true;
}

/* ---- the calls ---- */

#define WRAPPED(type, name, params, args, error, failure) \
	type __real_##name params;                        \
	type __wrap_##name params;                        \
	type __wrap_##name params                         \
	{                                                 \
		return is_it(error) ? (failure) : __real_##name args; \
	}

WRAPPED(void *, malloc, (size_t n), (n), ENOMEM, NULL)
WRAPPED(void *, calloc, (size_t n, size_t size), (n, size), ENOMEM, NULL)
WRAPPED(void *, realloc, (void *p, size_t n), (p, n), ENOMEM, NULL)
WRAPPED(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size), ENOMEM, NULL)
WRAPPED(char *, strdup, (const char *s), (s), ENOMEM, NULL)
WRAPPED(char *, strndup, (const char *s, size_t n), (s, n), ENOMEM, NULL)
WRAPPED(void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t offset),
	(p, n, prot, flags, fd, offset), ENOMEM, MAP_FAILED)
WRAPPED(int, pthread_create,
	(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *data),
	(thread, attr, fn, data), EAGAIN, EAGAIN)

WRAPPED(int, memfd_create, (const char *name, unsigned int flags), (name, flags), EMFILE, -1)
WRAPPED(int, eventfd, (unsigned int value, int flags), (value, flags), EMFILE, -1)
WRAPPED(int, timerfd_create, (int clock, int flags), (clock, flags), EMFILE, -1)
WRAPPED(int, epoll_create1, (int flags), (flags), EMFILE, -1)
WRAPPED(int, accept4, (int fd, struct sockaddr *addr, socklen_t *size, int flags),
	(fd, addr, size, flags), EMFILE, -1)

WRAPPED(int, ftruncate, (int fd, off_t size), (fd, size), ENOSPC, -1)

WRAPPED(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags), EINTR, -1)
WRAPPED(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags), EINTR, -1)
WRAPPED(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), EINTR, -1)

int __real_epoll_ctl(int fd, int op, int what, struct epoll_event *event);
int __wrap_epoll_ctl(int fd, int op, int what, struct epoll_event *event);

/* Only the first look at a descriptor needs anything. */
int __wrap_epoll_ctl(int fd, int op, int what, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && is_it(ENOSPC))
		return -1;
	return __real_epoll_ctl(fd, op, what, event);
}

/* ---- the runs ---- */

static bool run(const char *path, int number)
{
	_cleanup_free_ uint8_t *data = malloc(INPUT_SIZE);
	FILE *f = fopen(path, "re");
	size_t size;
	int before;

	if (!f || !data) {
		if (f)
			fclose(f);
		printf("not ok %d - %s: can not be read\n", number, path);
		return false;
	}
	size = fread(data, 1, INPUT_SIZE, f);
	fclose(f);
	for (fails = 1;; fails++) {
		calls = 0;
		before = fuzz_lowest_fd();
		alarm(SECONDS);
		LLVMFuzzerTestOneInput(data, size);
		fuzz_check(!on);
		alarm(0);
		if (calls < fails)
			break;
		if (fuzz_lowest_fd() != before) {
			printf("not ok %d - %s: without call %u a descriptor is open still\n",
			       number, path, fails);
			return false;
		}
	}
	/* An input that calls nothing shows nothing. */
	printf("%sok %d - each of %u calls failed once\n", fails > 1 ? "" : "not ", number, fails - 1);
	return fails > 1;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir");
	_cleanup_free_ char *good = NULL;
	static const uint8_t nothing[1];
	int i, failed = 0;

	/* What is made once is made. */
	LLVMFuzzerTestOneInput(nothing, 0);
	if (argc < 2) {
		if (asprintf(&good, "%s/tests/fuzz/corpus/%s/good", srcdir ?: ".", fuzz_name) < 0)
			return 1;
		failed += !run(good, 1);
	}
	for (i = 1; i < argc; i++)
		failed += !run(argv[i], i);
	printf("1..%d\n", argc < 2 ? 1 : argc - 1);
	return failed ? 1 : 0;
}
