/* SPDX-License-Identifier: MIT */
/*
 * The daemon as a program: its sockets and files, its signals, how it starts and ends.
 */
#include <endian.h>
#include <errno.h>
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

#include <linux/virtio_bufshare.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/fake-frontend.h"
#include "daemon/process.h"
#include "host/ipc-io.h"

static struct process one, two;

static int setup(void **state)
{
	one = two = (struct process){ .log = -1 };
	return fd_leak_setup(state);
}

static int teardown(void **state)
{
	process_clean_up(&one);
	process_clean_up(&two);
	unlink(process_path("s"));
	unlink(process_path("s.consumers"));
	process_rmdir();
	return fd_leak_teardown(state);
}

static const char *socket_option(void)
{
	static char option[128];

	strcpy(option, "--socket-path=");
	return strcat(option, process_path("s"));
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(process_path(name), &st) == 0;
}

static void assert_no_files(void)
{
	assert_false(exists("s"));
	assert_false(exists("s.consumers"));
}

static void assert_exited(int status, int with)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), with);
}

/* A VMM that starts, and a driver that says INIT. */
static void serve_a_vm(int sock)
{
	const struct virtio_bufshare_init req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
	};
	struct virtio_bufshare_init_response resp;
	struct ff *ff = ff_new(sock, process_pump, NULL);

	ff_start(ff);
	assert_int_equal(ff_command(ff, &req, sizeof(req), &resp, sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
	ff_free(ff);
}

static void test_sockets(void **state)
{
	struct stat st;

	process_start(&one, -1, socket_option(), NULL);
	close(process_connect(process_path("s.consumers"), SOCK_SEQPACKET));
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	assert_int_equal(lstat(process_path("s"), &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(lstat(process_path("s.consumers"), &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	process_says(&one, "the VMM closed the device");
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM)); /* and the next one */
	assert_exited(process_kill(&one, SIGTERM), 0);
	assert_no_files();
}

/* There never was a VMM. */
static void test_sigterm_at_once(void **state)
{
	process_start(&one, -1, socket_option(), NULL);
	close(process_connect(process_path("s.consumers"), SOCK_SEQPACKET));
	assert_exited(process_kill(&one, SIGTERM), 0);
	assert_no_files();
}

static void test_sigint(void **state)
{
	process_start(&one, -1, socket_option(), NULL);
	close(process_connect(process_path("s"), SOCK_STREAM));
	process_says(&one, "the VMM closed the device");
	assert_exited(process_kill(&one, SIGINT), 0);
	assert_no_files();
}

/* QEMU does not survive us: it has some time to go first. */
static void test_linger(void **state)
{
	struct ff *ff;

	process_start(&one, -1, socket_option(), "--linger=60", NULL);
	ff = ff_new(process_connect(process_path("s"), SOCK_STREAM), process_pump, NULL);
	ff_start(ff);
	assert_int_equal(kill(one.pid, SIGTERM), 0);
	process_says(&one, "ending when the VMM does, or in 60 s");
	ff_get_u64(ff, VHOST_USER_GET_FEATURES); /* it is served all the same */
	ff_free(ff);
	assert_exited(process_end(&one), 0);
	assert_no_files();
}

static void test_linger_is_over(void **state)
{
	struct ff *ff;

	process_start(&one, -1, socket_option(), "--linger=1", NULL);
	ff = ff_new(process_connect(process_path("s"), SOCK_STREAM), process_pump, NULL);
	ff_start(ff);
	assert_exited(process_kill(&one, SIGTERM), 0);
	assert_non_null(strstr(one.text, "ending before the VMM; QEMU does not survive that"));
	ff_expect_closed(ff);
	ff_free(ff);
	assert_no_files();
}

static void test_sigterm_twice(void **state)
{
	struct ff *ff;

	process_start(&one, -1, socket_option(), "--linger=60", NULL);
	ff = ff_new(process_connect(process_path("s"), SOCK_STREAM), process_pump, NULL);
	ff_start(ff);
	assert_int_equal(kill(one.pid, SIGTERM), 0);
	process_says(&one, "ending when the VMM does");
	assert_exited(process_kill(&one, SIGTERM), 0);
	ff_expect_closed(ff);
	ff_free(ff);
}

static void test_sighup(void **state)
{
	struct ff *ff;

	process_start(&one, -1, socket_option(), "--log-level=err", NULL);
	ff = ff_new(process_connect(process_path("s"), SOCK_STREAM), process_pump, NULL);
	ff_connect(ff);
	assert_null(strstr(one.text, "GET_FEATURES"));
	assert_int_equal(kill(one.pid, SIGHUP), 0);
	process_says(&one, "the log has everything now");
	ff_get_u64(ff, VHOST_USER_GET_FEATURES);
	process_says(&one, "<7>vhost-user: GET_FEATURES"); /* the worker was told */
	assert_int_equal(kill(one.pid, SIGHUP), 0);
	ff_free(ff);
	assert_exited(process_kill(&one, SIGTERM), 0);
}

/* A consumer that says HELLO and waits for the answer. */
static void consume(void)
{
	_cleanup_close_ int sock = process_connect(process_path("s.consumers"), SOCK_SEQPACKET);
	struct bufshare_ipc_hello hello = {
		.magic = htole32(BUFSHARE_IPC_MAGIC),
		.version = htole32(BUFSHARE_IPC_VERSION),
		.program = "tracer",
	};
	struct bufshare_ipc_welcome welcome;

	ipc_header(&hello, BUFSHARE_IPC_HELLO, sizeof(hello));
	assert_int_equal(ipc_send(sock, &hello, sizeof(hello), -1), 0);
	assert_int_equal(recv(sock, &welcome, sizeof(welcome), 0), sizeof(welcome));
}

static void test_trace(void **state)
{
	process_start(&one, -1, socket_option(), "--trace", NULL);
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	consume();
	process_says(&one, "<7>vhost-user: the reply, 8 bytes: ");
	process_says(&one, "<7>the guest's command, 32 bytes: 01 00 00 00 00");
	process_says(&one, "<7>the answer to the guest, 24 bytes: 00 00 00 00");
	process_says(&one, "<7>from consumer (unnamed) (process ");
	process_says(&one, ", 88 bytes: 01 00 00 00 ");
	process_says(&one, "<7>to consumer tracer (process ");
	assert_int_equal(kill(one.pid, SIGHUP), 0);
	process_says(&one, "the log has less now");
	assert_exited(process_kill(&one, SIGTERM), 0);
}

static void test_socket_in_use(void **state)
{
	process_start(&one, -1, socket_option(), NULL);
	close(process_connect(process_path("s.consumers"), SOCK_SEQPACKET));
	process_start(&two, -1, socket_option(), NULL);
	assert_exited(process_end(&two), 1);
	assert_non_null(strstr(two.text, "Address already in use (is another daemon running there?)"));

	/* The one that was there first goes on. */
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	assert_exited(process_kill(&one, SIGTERM), 0);
	assert_no_files();
}

/* Two daemons with a consumer socket each, and one socket for the VMM. */
static void test_vmm_socket_in_use(void **state)
{
	char option[128] = "--consumer-socket=";

	strcat(option, process_path("other"));
	process_start(&one, -1, socket_option(), NULL);
	close(process_connect(process_path("s.consumers"), SOCK_SEQPACKET));
	close(process_connect(process_path("s"), SOCK_STREAM));
	process_start(&two, -1, socket_option(), option, NULL);
	assert_exited(process_end(&two), 1);
	assert_false(exists("other"));
	assert_true(exists("s"));
	assert_exited(process_kill(&one, SIGTERM), 0);
	assert_no_files();
}

static void test_stale_sockets(void **state)
{
	int status;

	process_start(&one, -1, socket_option(), NULL);
	close(process_connect(process_path("s.consumers"), SOCK_SEQPACKET));
	close(process_connect(process_path("s"), SOCK_STREAM));
	status = process_kill(&one, SIGKILL);
	assert_true(WIFSIGNALED(status));
	assert_true(exists("s"));
	assert_true(exists("s.consumers"));

	process_start(&two, -1, socket_option(), NULL);
	process_says(&two, "is ready");
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	assert_exited(process_kill(&two, SIGTERM), 0);
	assert_no_files();
}

/* What was left behind is removed only if it is a socket. */
static void test_other_file(void **state)
{
	assert_int_equal(mkdir(process_path("s"), 0700), 0);
	process_start(&one, -1, socket_option(), NULL);
	assert_exited(process_end(&one), 1);
	assert_false(exists("s.consumers"));
	assert_int_equal(rmdir(process_path("s")), 0);
}

static void test_once(void **state)
{
	process_start(&one, -1, socket_option(), "--once", NULL);
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	assert_exited(process_end(&one), 0);
	assert_no_files();
}

static void test_malformed_with_once(void **state)
{
	static const uint8_t nonsense[12] = { 0xff, 0xff, 0xff, 0xff, 0xff };
	int sock;

	process_start(&one, -1, socket_option(), "--once", NULL);
	sock = process_connect(process_path("s"), SOCK_STREAM);
	assert_int_equal(write(sock, nonsense, sizeof(nonsense)), sizeof(nonsense));
	assert_exited(process_end(&one), 1);
	assert_non_null(strstr(one.text, "malformed message"));
	assert_no_files();
	close(sock);
}

static void fd_option(char *option, int fd)
{
	snprintf(option, 32, "--fd=%d", fd);
}

static void test_fd_connected(void **state)
{
	char option[32];
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	fd_option(option, sockets[1]);
	process_start(&one, sockets[1], option, NULL);
	close(sockets[1]);
	serve_a_vm(sockets[0]);
	assert_exited(process_end(&one), 0); /* there can not be another one */
	assert_no_files();
}

static int listening(const char *name, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	strcpy(addr.sun_path, process_path(name));
	assert_int_equal(bind(sock, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(sock, 1), 0);
	return sock;
}

static void test_fd_listening(void **state)
{
	int sock = listening("s", SOCK_STREAM);
	char option[32];

	fd_option(option, sock);
	process_start(&one, sock, option, NULL);
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	assert_exited(process_kill(&one, SIGTERM), 0);
	assert_true(exists("s")); /* it is not the daemon's to remove */
	assert_false(exists("s.consumers"));
	close(sock);
}

static void test_activated(void **state)
{
	const int fds[2] = { listening("s.consumers", SOCK_SEQPACKET), listening("s", SOCK_STREAM) };

	process_activate(fds, 2);
	process_start(&one, -1, NULL);
	close(process_connect(process_path("s.consumers"), SOCK_SEQPACKET));
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	serve_a_vm(process_connect(process_path("s"), SOCK_STREAM));
	assert_exited(process_kill(&one, SIGTERM), 0);
	assert_true(exists("s")); /* they are the service manager's */
	assert_true(exists("s.consumers"));
	close(fds[0]);
	close(fds[1]);
}

static void activated_wrong(const int *fds, int n, const char *text)
{
	process_activate(fds, n);
	process_start(&one, -1, NULL);
	assert_exited(process_end(&one), 1);
	assert_non_null(strstr(one.text, text));
	process_clean_up(&one);
}

static void test_activated_wrong(void **state)
{
	const int fds[3] = { listening("s.consumers", SOCK_SEQPACKET), listening("s", SOCK_STREAM),
			     socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	const int twice[2] = { fds[1], fds[1] };

	activated_wrong(fds, 1, "gave no socket for a VMM");
	activated_wrong(fds, 3, "which is no socket that listens");
	activated_wrong(twice, 2, "gave two sockets for a VMM");
	process_activate(fds, 2);
	process_start(&one, -1, socket_option(), NULL);
	assert_exited(process_end(&one), 2); /* which of them? */
	close(fds[0]);
	close(fds[1]);
	close(fds[2]);
}

static void test_fd_of_another_type(void **state)
{
	char option[32];
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets), 0);
	fd_option(option, sockets[1]);
	process_start(&one, sockets[1], option, NULL);
	assert_exited(process_end(&one), 1);
	assert_non_null(strstr(one.text, "not a stream socket"));
	close(sockets[0]);
	close(sockets[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sockets),
		TEST(test_sigterm_at_once),
		TEST(test_sigint),
		TEST(test_linger),
		TEST(test_linger_is_over),
		TEST(test_sigterm_twice),
		TEST(test_sighup),
		TEST(test_trace),
		TEST(test_socket_in_use),
		TEST(test_vmm_socket_in_use),
		TEST(test_stale_sockets),
		TEST(test_other_file),
		TEST(test_once),
		TEST(test_malformed_with_once),
		TEST(test_fd_connected),
		TEST(test_fd_listening),
		TEST(test_fd_of_another_type),
		TEST(test_activated),
		TEST(test_activated_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
