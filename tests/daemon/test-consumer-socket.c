/* SPDX-License-Identifier: MIT */
/*
 * Who gets into a daemon that runs by itself: its options, the permissions of its socket,
 * and processes of other users.
 */
#include <endian.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/process.h"
#include "host/ipc-io.h"

#define SOMEBODY 4242
#define GROUP 4300
#define CONSUMERS "s.consumers"

static struct process daemon_;

static int setup(void **state)
{
	daemon_ = (struct process){ .log = -1 };
	return fd_leak_setup(state);
}

static int teardown(void **state)
{
	process_clean_up(&daemon_);
	unlink(process_path("s"));
	unlink(process_path(CONSUMERS));
	process_rmdir();
	return fd_leak_teardown(state);
}

/* The daemon with up to three options of interest. */
static void start(const char *a, const char *b, const char *c)
{
	static char option[128];

	snprintf(option, sizeof(option), "--socket-path=%s", process_path("s"));
	process_start(&daemon_, -1, option, a, b, c, NULL);
	close(process_connect(process_path("s"), SOCK_STREAM));
	assert_int_equal(chmod(process_dir(), 0755), 0);
}

static mode_t mode(void)
{
	struct stat st;

	assert_int_equal(lstat(process_path(CONSUMERS), &st), 0);
	return st.st_mode & 07777;
}

/* What HELLO with all capabilities is answered with: them, or a negative errno. */
static int say_hello(int sock)
{
	struct bufshare_ipc_hello hello = {
		.magic = htole32(BUFSHARE_IPC_MAGIC),
		.version = htole32(BUFSHARE_IPC_VERSION),
		.caps = htole64(7),
	};
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	union {
		union ipc_message raw;
		struct bufshare_ipc_welcome welcome;
		struct bufshare_ipc_error error;
	} m;
	int r, fd = -1;

	ipc_header(&hello, BUFSHARE_IPC_HELLO, sizeof(hello));
	ipc_send(sock, &hello, sizeof(hello), -1);
	poll(&pfd, 1, PROCESS_TIMEOUT_MS);
	r = ipc_recv(sock, &m.raw, &fd);
	if (r < 0)
		return r;
	if (le32toh(m.raw.hdr.type) == BUFSHARE_IPC_ERROR)
		return -(int)le32toh(m.error.code);
	if (le32toh(m.raw.hdr.type) != BUFSHARE_IPC_WELCOME)
		return -EPROTO;
	return (int)le64toh(m.welcome.caps);
}

/* The same as a process of this user and one more group. */
static int hello_as(uid_t uid, gid_t group)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int status, pipes[2], result = -1;
	pid_t pid;

	strcpy(addr.sun_path, process_path(CONSUMERS));
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		if (setgroups(1, &group) < 0 || setgid(uid) < 0 || setuid(uid) < 0)
			_exit(1);
		result = connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno :
										     say_hello(sock);
		_exit(write(pipes[1], &result, sizeof(result)) != sizeof(result));
	}
	assert_true(pid > 0);
	close(pipes[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(pipes[0], &result, sizeof(result)), sizeof(result));
	close(pipes[0]);
	return result;
}

static int hello_as_myself(void)
{
	int sock = process_connect(process_path(CONSUMERS), SOCK_SEQPACKET);
	int r = say_hello(sock);

	close(sock);
	return r;
}

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("# SKIPPED: only root becomes another user\n");
	return false;
}

static void test_mode(void **state)
{
	start("--consumer-mode=0664", NULL, NULL);
	assert_int_equal(mode(), 0664);
	assert_int_equal(hello_as_myself(), 7);
}

static void test_default(void **state)
{
	start(NULL, NULL, NULL);
	assert_int_equal(mode(), 0600);
	assert_int_equal(hello_as_myself(), 7);
	if (is_root())
		assert_int_equal(hello_as(SOMEBODY, GROUP), -EACCES); /* by the kernel */
}

/* The socket is open to all, the daemon is not. */
static void test_reachable_is_not_allowed(void **state)
{
	start("--consumer-mode=0666", "--allow-uid=4243", NULL);
	assert_int_equal(hello_as_myself(), 7);
	if (is_root())
		assert_int_equal(hello_as(SOMEBODY, GROUP), -EACCES);
}

/* The daemon is open, the socket is not; which is said. */
static void test_allowed_is_not_reachable(void **state)
{
	start("--allow-uid=4242:all", NULL, NULL);
	process_says(&daemon_, "nobody but this user can reach the consumers' socket");
	if (is_root())
		assert_int_equal(hello_as(SOMEBODY, GROUP), -EACCES);
}

static void test_allowed(void **state)
{
	start("--consumer-mode=0666", "--allow-uid=4242:see", "--allow-gid=4300:properties:view");
	if (!is_root())
		return;
	assert_int_equal(hello_as(SOMEBODY, 1), BUFSHARE_IPC_CAP_STATS);
	assert_int_equal(hello_as(SOMEBODY, GROUP),
			 BUFSHARE_IPC_CAP_STATS | BUFSHARE_IPC_CAP_SET_PROPERTIES);
	assert_int_equal(hello_as(SOMEBODY + 1, GROUP),
			 BUFSHARE_IPC_CAP_STATS | BUFSHARE_IPC_CAP_SET_PROPERTIES);
	assert_int_equal(hello_as(SOMEBODY + 1, 1), -EACCES);
	assert_int_equal(hello_as_myself(), 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mode),
		TEST(test_default),
		TEST(test_reachable_is_not_allowed),
		TEST(test_allowed_is_not_reachable),
		TEST(test_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
