/* SPDX-License-Identifier: MIT */
/*
 * What the worker can not do any more once it is in the sandbox, and what it can.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/skip-test.h"
#include "host/daemon/sandbox.h"

/* As in the sandbox: the leak check needs calls that are not allowed there. */
#if defined(HAVE_LIBSECCOMP) && !defined(__SANITIZE_ADDRESS__)
#define FILTERED 1
#else
#define FILTERED 0
#endif

/* Runs in a child, which is inside; returns whether it was as it should be. */
static void inside(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_drop(SANDBOX_AUTO) < 0 || sandbox_enter(SANDBOX_AUTO) < 0)
			_exit(2);
		_exit(fn() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int no_privileges(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

/* prctl() itself is not allowed inside. */
static void test_privileges(void **state)
{
	FILE *f;
	char line[128];
	unsigned int found = 0;
	int status;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		char c;

		if (sandbox_drop(SANDBOX_AUTO) < 0 || sandbox_enter(SANDBOX_AUTO) < 0 ||
		    write(fds[1], "x", 1) != 1)
			_exit(1);
		close(fds[1]);
		raise(SIGSTOP);
		_exit(read(fds[0], &c, 1) < 0);
	}
	assert_int_equal(read(fds[0], line, 1), 1);
	snprintf(line, sizeof(line), "/proc/%d/status", pid);
	f = fopen(line, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		found += strcmp(line, "NoNewPrivs:\t1\n") == 0;
#ifdef HAVE_LIBCAP_NG
		found += strcmp(line, "CapEff:\t0000000000000000\n") == 0;
		found += strcmp(line, "CapPrm:\t0000000000000000\n") == 0;
#endif
		found += FILTERED && strcmp(line, "Seccomp:\t2\n") == 0;
	}
	fclose(f);
	close(fds[0]);
	close(fds[1]);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
#ifdef HAVE_LIBCAP_NG
	found -= 2;
#endif
	found -= FILTERED;
	assert_int_equal(found, 1);
}

static void test_off(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(sandbox_drop(SANDBOX_OFF) == 0 && sandbox_enter(SANDBOX_OFF) == 0 && !no_privileges() ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- what it needs ---- */

static int copies(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), again;
	char path[64];
	void *map;

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return 0;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	return again >= 0 && munmap(map, 4096) == 0 && close(fd) == 0;
}

static int allocates(void)
{
	char *p = malloc(64 << 20);

	if (!p)
		return 0;
	memset(p, 1, 64 << 20);
	free(p);
	return 1;
}

static void test_needed(void **state)
{
	inside(copies);
	inside(allocates);
}

/* ---- what it has no need of ---- */

#if FILTERED
static int refused(long result)
{
	return result < 0 && errno == EPERM;
}

static int opens_to_write(void)
{
	return refused(open("/dev/null", O_RDWR)) && refused(open("/dev/null", O_WRONLY)) &&
	       refused(open("/tmp/bufshare-sandbox", O_RDONLY | O_CREAT, 0600));
}

static int starts(void)
{
	char *const argv[] = { (char *)"/bin/true", NULL };

	return refused(execv(argv[0], argv)) && refused(fork());
}

static int talks(void)
{
	int fds[2];

	return refused(socket(AF_UNIX, SOCK_STREAM, 0)) && refused(socket(AF_INET, SOCK_STREAM, 0)) &&
	       refused(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
}

static int spies(void)
{
	return refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)) && refused(kill(getpid(), 0)) &&
	       refused(prctl(PR_SET_DUMPABLE, 1));
}

static int executes(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && refused(mprotect(p, 4096, PROT_READ | PROT_EXEC)) &&
	       mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		       MAP_FAILED;
}

static int controls(void)
{
	int n;

	return refused(ioctl(0, FIONREAD, &n)) && refused(unshare(CLONE_NEWNS));
}

static int raises_limits(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 && refused(setrlimit(RLIMIT_NOFILE, &limit));
}

static int removes(void)
{
	return refused(unlink("/nothing")) && refused(rename("/nothing", "/something")) &&
	       refused(chdir("/"));
}

static void test_forbidden(void **state)
{
	inside(opens_to_write);
	inside(starts);
	inside(talks);
	inside(spies);
	inside(executes);
	inside(controls);
	inside(raises_limits);
	inside(removes);
}
#else
static void test_forbidden(void **state)
{
	SKIP_TEST("built without libseccomp, or with sanitizers");
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_privileges),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_forbidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
