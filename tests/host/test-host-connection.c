/* SPDX-License-Identifier: MIT */
/*
 * Connections of the host library: how they are made, what they know, how they end. What
 * the two sides say first is in test-host-welcome.c.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "host/fake-daemon.h"
#include "common/fd-leak.h"

#define SHORT_MS 50

/* ---- the socket's path ---- */

struct listener {
	char dir[32];
	char path[64];
	int sock;
};

static void listener_open(struct listener *l, int type, int backlog)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	strcpy(l->dir, "/tmp/bufshare-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	snprintf(l->path, sizeof(l->path), "%s/socket", l->dir);
	strcpy(addr.sun_path, l->path);
	l->sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	assert_true(l->sock >= 0);
	assert_int_equal(bind(l->sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(l->sock, backlog), 0);
}

static void listener_close(struct listener *l)
{
	if (l->sock >= 0)
		close(l->sock);
	unlink(l->path);
	rmdir(l->dir);
}

/* A daemon in a process of its own: takes one connection and ends when that ends. */
static pid_t spawn_daemon(const struct listener *l)
{
	union ipc_message msg;
	struct wire w;
	pid_t pid = fork();
	int sock;

	if (pid)
		return pid;

	sock = accept4(l->sock, NULL, NULL, SOCK_CLOEXEC);
	wire_welcome(&w);
	ipc_send(sock, &w.msg, w.size, -1);
	while (recv(sock, &msg, sizeof(msg), 0) > 0)
		;
	_exit(0);
}

static void connect_by_path(void **state)
{
	struct bufshare_host *host;
	struct listener l;
	int status;
	pid_t pid;

	listener_open(&l, SOCK_SEQPACKET, 1);
	pid = spawn_daemon(&l);
	assert_true(pid > 0);
	assert_int_equal(bufshare_host_connect(l.path, "*", &host), 0);
	assert_string_equal(bufshare_host_get_label(host), FAKE_LABEL);
	assert_null(bufshare_host_unref(host));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	listener_close(&l);
}

static void connect_errors(void **state)
{
	struct bufshare_host *host = (void *)0x1;
	struct listener l;

	listener_open(&l, SOCK_SEQPACKET, 1);
	assert_int_equal(bufshare_host_connect("/nonexistent/socket", "*", &host), -ENOENT);
	close(steal_fd(&l.sock));
	assert_int_equal(bufshare_host_connect(l.path, "*", &host), -ECONNREFUSED);
	listener_close(&l);

	listener_open(&l, SOCK_STREAM, 1);
	assert_int_equal(bufshare_host_connect(l.path, "*", &host), -EPROTO);
	listener_close(&l);
	assert_ptr_equal(host, (void *)0x1);
}

static void connect_without_permission(void **state)
{
	const uid_t uid = geteuid();
	struct bufshare_host *host;
	struct listener l;

	listener_open(&l, SOCK_SEQPACKET, 1);
	assert_int_equal(chmod(l.path, 0), 0);
	if (uid == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(bufshare_host_connect(l.path, "*", &host), -EACCES);
	assert_int_equal(seteuid(uid), 0);
	listener_close(&l);
}

static void wrong_arguments_of_connect(void **state)
{
	struct bufshare_host *host;
	char path[200];

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(bufshare_host_connect(NULL, "*", &host), -EINVAL);
	assert_int_equal(bufshare_host_connect("/tmp/x", "*", NULL), -EINVAL);
	assert_int_equal(bufshare_host_connect("", "*", &host), -EINVAL);
	assert_int_equal(bufshare_host_connect(path, "*", &host), -EINVAL);
}

/* Nobody accepts, and then there is not even room to wait for that. */
static void connect_times_out(void **state)
{
	struct bufshare_host *host;
	struct listener l;
	int waiting[2];
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t i;

	listener_open(&l, SOCK_SEQPACKET, 0);
	assert_int_equal(host_connect(l.path, "*", SHORT_MS, &host), -ETIMEDOUT);

	strcpy(addr.sun_path, l.path);
	for (i = 0; i < ARRAY_SIZE(waiting); i++) {
		waiting[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(waiting[i], (struct sockaddr *)&addr, sizeof(addr));
	}
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(host_connect(l.path, "*", SHORT_MS, &host), -ETIMEDOUT);
	for (i = 0; i < ARRAY_SIZE(waiting); i++)
		close(waiting[i]);
	listener_close(&l);
}

/* ---- subscriptions ---- */

static void subscribe_and_unsubscribe(void **state)
{
	struct fake_daemon *f = *state;

	assert_int_equal(bufshare_host_subscribe(f->host, "camera.[0-9]?"), 0);
	fake_pump(f);
	assert_int_equal(f->num_patterns, 2);
	assert_string_equal(f->patterns[1], "camera.[0-9]?");

	assert_int_equal(bufshare_host_unsubscribe(f->host, "*"), 0);
	fake_pump(f);
	assert_int_equal(f->num_patterns, 1);
	assert_string_equal(f->patterns[0], "camera.[0-9]?");

	assert_int_equal(bufshare_host_unsubscribe(f->host, "*"), -ENOENT);
	assert_int_equal(bufshare_host_subscribe(f->host, "camera.[0-9]?"), -EALREADY);
	assert_int_equal(bufshare_host_subscribe(f->host, "*"), 0);
	fake_pump(f);
	assert_int_equal(f->num_patterns, 2);
}

static void subscribe_to_16_at_most(void **state)
{
	struct fake_daemon *f = *state;
	char name[16];
	int i;

	for (i = 1; i < BUFSHARE_IPC_MAX_SUBSCRIPTIONS; i++) {
		snprintf(name, sizeof(name), "a%d", i);
		assert_int_equal(bufshare_host_subscribe(f->host, name), 0);
	}
	assert_int_equal(bufshare_host_subscribe(f->host, "one-more"), -ENOSPC);
	assert_int_equal(bufshare_host_unsubscribe(f->host, "a1"), 0);
	assert_int_equal(bufshare_host_subscribe(f->host, "one-more"), 0);
	fake_pump(f);
	assert_int_equal(f->num_patterns, BUFSHARE_IPC_MAX_SUBSCRIPTIONS);
}

static void wrong_arguments_of_subscribe(void **state)
{
	struct fake_daemon *f = *state;
	char name[BUFSHARE_IPC_NAME_SIZE + 1];

	memset(name, 'a', BUFSHARE_IPC_NAME_SIZE);
	name[BUFSHARE_IPC_NAME_SIZE] = 0;
	assert_int_equal(bufshare_host_subscribe(NULL, "a"), -EINVAL);
	assert_int_equal(bufshare_host_subscribe(f->host, NULL), -EINVAL);
	assert_int_equal(bufshare_host_subscribe(f->host, ""), -EINVAL);
	assert_int_equal(bufshare_host_subscribe(f->host, "a b"), -EINVAL);
	assert_int_equal(bufshare_host_subscribe(f->host, "a\xc3\xa4"), -EINVAL);
	assert_int_equal(bufshare_host_subscribe(f->host, name), -EINVAL);
	name[BUFSHARE_IPC_NAME_SIZE - 1] = 0;
	assert_int_equal(bufshare_host_subscribe(f->host, name), 0);

	assert_int_equal(bufshare_host_unsubscribe(NULL, "a"), -EINVAL);
	assert_int_equal(bufshare_host_unsubscribe(f->host, NULL), -EINVAL);
	assert_int_equal(bufshare_host_unsubscribe(f->host, ""), -EINVAL);
}

/* ---- counters ---- */

static void counters(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_stats stats;
	struct wire w;

	assert_int_equal(bufshare_host_get_stats(f->host, &stats), -ENOENT);
	assert_int_equal(bufshare_host_request_stats(f->host), 0);
	fake_pump(f);
	assert_int_equal(f->num_get_stats, 1);

	wire_stats(&w, 3, 10);
	fake_send(f, &w);
	expect_event(f, BUFSHARE_EVENT_STATS, 3);
	assert_int_equal(bufshare_host_get_stats(f->host, &stats), 0);
	assert_int_equal(stats.buffer_id, 3);
	assert_int_equal(stats.updates, 10);
	assert_int_equal(stats.delivered, 9);
	assert_int_equal(stats.released, 8);
	assert_int_equal(stats.coalesced, 1);
	assert_int_equal(stats.bytes_copied, 10 * FAKE_PAGE);
	assert_int_equal(stats.consumers, 2);
	assert_int_equal(stats.revoked, 3);
	assert_int_equal(stats.held_ns, 4000);
	assert_int_equal(stats.lag, 5);
	assert_int_equal(stats.reserved[0], 0);

	assert_int_equal(bufshare_host_request_stats(NULL), -EINVAL);
	assert_int_equal(bufshare_host_get_stats(NULL, &stats), -EINVAL);
	assert_int_equal(bufshare_host_get_stats(f->host, NULL), -EINVAL);
}

static void consumers(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_consumer consumer;
	struct wire w;

	assert_int_equal(bufshare_host_get_consumer(f->host, &consumer), -ENOENT);
	wire_consumer(&w, "viewer");
	fake_send(f, &w);
	expect_event(f, BUFSHARE_EVENT_CONSUMER, 0);
	assert_int_equal(bufshare_host_get_consumer(f->host, &consumer), 0);
	assert_string_equal(consumer.program, "viewer");
	assert_int_equal(consumer.pid, 100);
	assert_int_equal(consumer.uid, 1000);
	assert_int_equal(consumer.self, 1);
	assert_int_equal(consumer.buffers, 1);
	assert_int_equal(consumer.delivered, 10);
	assert_int_equal(consumer.released, 9);
	assert_int_equal(consumer.coalesced, 8);
	assert_int_equal(consumer.revoked, 7);
	assert_int_equal(consumer.held_ns, 6);
	assert_int_equal(consumer.lag, 5);
	assert_int_equal(consumer.queued, 4);
	assert_int_equal(consumer.max_queued, 11);
	assert_int_equal(bufshare_host_get_consumer(NULL, &consumer), -EINVAL);
	assert_int_equal(bufshare_host_get_consumer(f->host, NULL), -EINVAL);
}

static void limits(void **state)
{
	struct fake_daemon *f = *state;
	uint64_t value;

	assert_int_equal(bufshare_host_get_limit(f->host, BUFSHARE_HOST_LIMIT_BUFFERS, &value), 0);
	assert_int_equal(value, 1024);
	assert_int_equal(bufshare_host_get_limit(f->host, BUFSHARE_HOST_LIMIT_SUBSCRIPTIONS,
						 &value), 0);
	assert_int_equal(value, 16);
	assert_int_equal(bufshare_host_get_limit(f->host, BUFSHARE_HOST_LIMIT_HELD_MS, &value), 0);
	assert_int_equal(value, 10000);
	assert_int_equal(bufshare_host_get_limit(f->host, 0, &value), -EINVAL);
	assert_int_equal(bufshare_host_get_limit(f->host, BUFSHARE_HOST_LIMIT_HELD_MS + 1, &value),
			 -EINVAL);
	assert_int_equal(bufshare_host_get_limit(f->host, 1, NULL), -EINVAL);
	assert_int_equal(bufshare_host_get_limit(NULL, 1, &value), -EINVAL);
}

/* ---- references and the end ---- */

static void references(void **state)
{
	struct fake_daemon *f = *state;

	assert_ptr_equal(bufshare_host_ref(f->host), f->host);
	assert_null(bufshare_host_unref(f->host));
	fake_pump(f);
	assert_false(f->hung_up);
	f->host = bufshare_host_unref(f->host);
	assert_null(f->host);
	fake_pump(f);
	assert_true(f->hung_up);
}

static void null_is_no_connection(void **state)
{
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	struct bufshare_host_buffer *buf;
	struct bufshare_event event;
	uint64_t id = 0;

	assert_null(bufshare_host_ref(NULL));
	assert_null(bufshare_host_unref(NULL));
	assert_int_equal(bufshare_host_get_fd(NULL), -EINVAL);
	assert_null(bufshare_host_get_label(NULL));
	assert_null(bufshare_host_get_application(NULL));
	assert_int_equal(bufshare_host_get_uuid(NULL, uuid), -EINVAL);
	assert_int_equal(bufshare_host_get_state(NULL), -EINVAL);
	assert_int_equal(bufshare_host_read_event(NULL, &event), -EINVAL);
	assert_int_equal(bufshare_host_get_buffer(NULL, 1, &buf), -EINVAL);
	assert_int_equal(bufshare_host_next_buffer(NULL, &id), -EINVAL);
}

static void null_for_results(void **state)
{
	struct fake_daemon *f = *state;

	assert_int_equal(bufshare_host_get_uuid(f->host, NULL), -EINVAL);
	assert_int_equal(bufshare_host_read_event(f->host, NULL), -EINVAL);
	assert_int_equal(bufshare_host_get_buffer(f->host, 1, NULL), -EINVAL);
	assert_int_equal(bufshare_host_next_buffer(f->host, NULL), -EINVAL);
}

/* What the daemon said before it closed is read first, whatever the program sends. */
static void daemon_closes(void **state)
{
	struct fake_daemon *f = *state;
	struct pollfd poll_fd = { .fd = bufshare_host_get_fd(f->host), .events = POLLIN };
	struct bufshare_host_buffer *buf;
	struct bufshare_event event;

	buf = add_buffer(f, 1, FAKE_PAGE);
	send_updated(f, 1, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 1);
	send_state(f, BUFSHARE_IPC_STATE_SUSPENDED, 1);
	close(steal_fd(&f->sock));

	assert_int_equal(bufshare_host_buffer_release(buf, 2), -ENOTCONN);
	assert_int_equal(bufshare_host_subscribe(f->host, "more"), -ENOTCONN);
	assert_int_equal(bufshare_host_request_stats(f->host), -ENOTCONN);
	assert_int_equal(poll(&poll_fd, 1, 0), 1);
	expect_event(f, BUFSHARE_EVENT_STATE, 0);
	assert_int_equal(bufshare_host_read_event(f->host, &event), -ENOTCONN);
	assert_int_equal(bufshare_host_read_event(f->host, &event), -ENOTCONN);
	assert_int_equal(poll(&poll_fd, 1, 0), 1);
	bufshare_host_buffer_unref(buf);
}

static void fd_tells_of_events(void **state)
{
	struct fake_daemon *f = *state;
	struct pollfd poll_fd = { .fd = bufshare_host_get_fd(f->host), .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	send_empty(f, BUFSHARE_IPC_SYNCED);
	assert_int_equal(poll(&poll_fd, 1, 0), 1);
	expect_event(f, BUFSHARE_EVENT_SYNCED, 0);
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fd_leak_setup, fd_leak_teardown)
#define TEST_CONNECTED(fn) cmocka_unit_test_setup_teardown(fn, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connect_by_path),
		TEST(connect_errors),
		TEST(connect_without_permission),
		TEST(wrong_arguments_of_connect),
		TEST(connect_times_out),
		TEST_CONNECTED(subscribe_and_unsubscribe),
		TEST_CONNECTED(subscribe_to_16_at_most),
		TEST_CONNECTED(wrong_arguments_of_subscribe),
		TEST_CONNECTED(counters),
		TEST_CONNECTED(consumers),
		TEST_CONNECTED(limits),
		TEST_CONNECTED(references),
		TEST(null_is_no_connection),
		TEST_CONNECTED(null_for_results),
		TEST_CONNECTED(daemon_closes),
		TEST_CONNECTED(fd_tells_of_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
