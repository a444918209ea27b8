/* SPDX-License-Identifier: MIT */
/*
 * A daemon without a descriptor left: whoever connects waits, the daemon does other things
 * meanwhile, and goes on when there is room.
 */
#include <endian.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"
#include "daemon/process.h"

static struct process one;

static int setup(void **state)
{
	one = (struct process){ .log = -1 };
	return fd_leak_setup(state);
}

static int teardown(void **state)
{
	process_clean_up(&one);
	unlink(process_path("s"));
	unlink(process_path("s.consumers"));
	process_rmdir();
	return fd_leak_teardown(state);
}

/* No new descriptor from now on; the limit that was. */
static struct rlimit take_room(pid_t pid)
{
	struct rlimit was, none;

	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &was), 0);
	none = was;
	none.rlim_cur = 0;
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &none, NULL), 0);
	return was;
}

static void give_room(pid_t pid, struct rlimit was)
{
	assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &was, NULL), 0);
}

/* A listening socket in the abstract name space, and a connection to it. */
static void listen_and_connect(int *listener, int *sock)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(addr);

	*listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(*listener >= 0);
	assert_int_equal(bind(*listener, (const struct sockaddr *)&addr, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(*listener, 4), 0);
	assert_int_equal(getsockname(*listener, (struct sockaddr *)&addr, &size), 0);
	*sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(*sock >= 0);
	assert_int_equal(connect(*sock, (const struct sockaddr *)&addr, size), 0);
}

static void test_consumer_waits(void **state)
{
	const struct backend_config config = cf_config();
	struct bufshare_ipc_hello hello = { .magic = htole32(BUFSHARE_IPC_MAGIC) };
	struct pollfd answer = { .events = POLLIN };
	struct backend *be;
	struct loop *loop;
	struct rlimit was;
	int listener, i;

	listen_and_connect(&listener, &answer.fd);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(backend_new(loop, &config, listener, &be), 0);
	ipc_header(&hello, BUFSHARE_IPC_HELLO, sizeof(hello));
	hello.version = htole32(BUFSHARE_IPC_VERSION);
	ipc_field_set(hello.program, sizeof(hello.program), "test");
	assert_int_equal(ipc_send(answer.fd, &hello, sizeof(hello), -1), 0);

	was = take_room(0);
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(loop_iterate(loop, 0), 0); /* it is not looked at all the time */
	give_room(0, was);
	for (i = 0; i < 100 && poll(&answer, 1, 0) == 0; i++)
		loop_iterate(loop, 100);
	assert_int_equal(answer.revents, POLLIN);

	backend_free(be);
	loop_free(loop);
	close(answer.fd);
}

static unsigned int times(const char *text, const char *what)
{
	unsigned int n = 0;

	while ((text = strstr(text, what))) {
		text++;
		n++;
	}
	return n;
}

static void test_vmm_waits(void **state)
{
	static char option[128];
	struct pollfd answer = { .events = POLLIN };
	struct rlimit was;

	snprintf(option, sizeof(option), "--socket-path=%s", process_path("s"));
	process_start(&one, -1, option, NULL);
	process_says(&one, "the device is ready");
	was = take_room(one.pid);
	answer.fd = process_connect(process_path("s"), SOCK_STREAM);
	process_says(&one, "a VMM has to wait");
	process_sleep_ms(300);
	give_room(one.pid, was);
	process_says(&one, "a VMM is here");
	/* It was looked at again, and not all the time. */
	assert_in_range(times(one.text, "a VMM has to wait"), 1, 20);
	close(answer.fd);
	assert_true(WIFEXITED(process_kill(&one, SIGTERM)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_consumer_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vmm_waits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
