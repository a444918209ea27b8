/* SPDX-License-Identifier: MIT */
/*
 * Updates that are held too long, and processes that are stopped and killed. Time is real,
 * and short.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"

#define ALL ((struct virtio_bufshare_rect){ 0 })
#define MS 1000000ull
#define TIMEOUT (500 * MS)

static int setup_with(void **state, uint64_t timeout_ns)
{
	struct backend_config config = cf_config();

	config.release_timeout_ns = timeout_ns;
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf_start(&config);
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, TIMEOUT);
}

static int setup_for_ever(void **state)
{
	return setup_with(state, 0);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Lets the daemon live on for so long. */
static void pass(struct cf *cf, uint64_t ns)
{
	uint64_t end = now_ns() + ns;

	while (now_ns() < end)
		loop_iterate(cf->loop, 1);
	cf_pump(cf);
}

static int knows(struct cf *cf)
{
	int sock = cf_subscriber(cf, "*");

	cf_skip_to(cf, sock, BUFSHARE_IPC_SYNCED);
	return sock;
}

static union cf_message assert_seq(struct cf *cf, int sock, uint32_t type, uint64_t seq)
{
	union cf_message msg = cf_expect(cf, sock, type);

	/* UPDATED and REVOKED begin alike. */
	assert_int_equal(le64toh(msg.revoked.buffer), 1);
	assert_int_equal(le64toh(msg.revoked.seq), seq);
	return msg;
}

static void assert_released(struct cf *cf, uint64_t seq, uint32_t flags)
{
	struct virtio_bufshare_event ev = cf_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, 1);

	assert_int_equal(le64toh(ev.seq), seq);
	assert_int_equal(le32toh(ev.flags), flags);
}

static void assert_not_released(struct cf *cf)
{
	struct virtio_bufshare_event ev;

	assert_false(cf_poll_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, 1, &ev));
}

static void test_revoked(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	uint64_t begin;

	cf_register(cf, 1);
	sock = knows(cf);
	begin = now_ns();
	cf_update(cf, 1, 1, ALL);
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 1);
	assert_not_released(cf);
	assert_released(cf, 1, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);
	assert_true(now_ns() - begin >= TIMEOUT);
	assert_seq(cf, sock, BUFSHARE_IPC_REVOKED, 1);
	cf_expect_nothing(cf, sock);

	/* It answers, and all is as before. */
	cf_release(cf, sock, 1, 1);
	assert_not_released(cf);
	cf_update(cf, 1, 2, ALL);
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 2);
	assert_not_released(cf);
	cf_release(cf, sock, 1, 2);
	assert_released(cf, 2, 0);
	pass(cf, 2 * TIMEOUT);
	cf_expect_nothing(cf, sock);
}

/* In time is in time, again and again. */
static void test_not_revoked(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	uint64_t seq;

	cf_register(cf, 1);
	sock = knows(cf);
	for (seq = 1; seq <= 6; seq++) {
		cf_update(cf, 1, seq, ALL);
		assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, seq);
		pass(cf, TIMEOUT / 4);
		cf_release(cf, sock, 1, seq);
		assert_released(cf, seq, 0);
	}
	cf_expect_nothing(cf, sock);
}

static void test_no_timeout(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	cf_register(cf, 1);
	sock = knows(cf);
	cf_update(cf, 1, 1, ALL);
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 1);
	pass(cf, 3 * TIMEOUT);
	assert_not_released(cf);
	cf_expect_nothing(cf, sock);
}

/* Who does not answer is not waited for, at the pace of the others, and misses no change. */
static void test_does_not_answer(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int bad = -1, good = -1;
	union cf_message msg;
	uint64_t seq, begin;

	cf_register(cf, 1);
	bad = knows(cf);
	good = knows(cf);
	cf_update(cf, 1, 1, ALL);
	assert_seq(cf, good, BUFSHARE_IPC_UPDATED, 1);
	cf_release(cf, good, 1, 1);
	assert_released(cf, 1, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);

	begin = now_ns();
	for (seq = 2; seq <= 100; seq++) {
		cf_update(cf, 1, seq, (struct virtio_bufshare_rect){ 10, 20, 30, 40 });
		assert_seq(cf, good, BUFSHARE_IPC_UPDATED, seq);
		cf_release(cf, good, 1, seq);
		assert_released(cf, seq, 0);
	}
	assert_true(now_ns() - begin < 99 * TIMEOUT);

	assert_seq(cf, bad, BUFSHARE_IPC_UPDATED, 1);
	assert_seq(cf, bad, BUFSHARE_IPC_REVOKED, 1);
	cf_expect_nothing(cf, bad);

	/* Then it does. The newest is released already: it is to see, not to hold. */
	cf_release(cf, bad, 1, 1);
	msg = assert_seq(cf, bad, BUFSHARE_IPC_UPDATED, 100);
	assert_int_equal(le32toh(msg.updated.flags), BUFSHARE_IPC_UPDATED_COALESCED);
	assert_int_equal(le32toh(msg.updated.num_damage), 1);
	assert_seq(cf, bad, BUFSHARE_IPC_REVOKED, 100);
	cf_release(cf, bad, 1, 100);
	cf_expect_nothing(cf, bad);
	cf_update(cf, 1, 101, ALL);
	assert_seq(cf, bad, BUFSHARE_IPC_UPDATED, 101);
	assert_seq(cf, good, BUFSHARE_IPC_UPDATED, 101);
	cf_release(cf, good, 1, 101);
	assert_not_released(cf);
	cf_release(cf, bad, 1, 101);
	assert_released(cf, 101, 0);
}

/* When nobody answers at all the guest goes on as if nobody were there. */
static void test_nobody_answers(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	uint64_t seq;

	cf_register(cf, 1);
	sock = knows(cf);
	cf_update(cf, 1, 1, ALL);
	assert_released(cf, 1, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);
	for (seq = 2; seq <= 20; seq++) {
		cf_update(cf, 1, seq, ALL);
		assert_released(cf, seq, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	}
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 1);
	assert_seq(cf, sock, BUFSHARE_IPC_REVOKED, 1);
	cf_expect_nothing(cf, sock);
}

/* It gave it back while the daemon took it: one RELEASE is the answer to both. */
static void test_crossing(void **state)
{
	struct bufshare_ipc_release m = { .buffer = htole64(1), .seq = htole64(1) };
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	ipc_header(&m, BUFSHARE_IPC_RELEASE, sizeof(m));
	cf_register(cf, 1);
	sock = knows(cf);
	cf_update(cf, 1, 1, ALL);
	assert_released(cf, 1, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);
	cf_send(cf, sock, &m, sizeof(m)); /* before it read REVOKED */
	cf_update(cf, 1, 2, ALL);
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 1);
	assert_seq(cf, sock, BUFSHARE_IPC_REVOKED, 1);
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 2);
	cf_release(cf, sock, 1, 2);
	assert_released(cf, 2, 0);
}

/* To whom nothing can be sent, from him nothing can be taken, and he is not waited for. */
static void test_full_socket(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;
	uint64_t seq;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	cf_update(cf, 1, 1, ALL);
	assert_not_released(cf);
	assert_released(cf, 1, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);
	for (seq = 2; seq <= 20; seq++) {
		cf_update(cf, 1, seq, ALL);
		assert_released(cf, seq, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	}
	msg = cf_skip_to(cf, sock, BUFSHARE_IPC_UPDATED);
	assert_int_equal(le64toh(msg.updated.seq), 20);
	assert_seq(cf, sock, BUFSHARE_IPC_REVOKED, 20);
	cf_release(cf, sock, 1, 20);
	cf_expect_nothing(cf, sock);
	cf_update(cf, 1, 21, ALL);
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 21);
	assert_not_released(cf);
	cf_release(cf, sock, 1, 21);
	assert_released(cf, 21, 0);
}

/* Taken from it, the buffer can leave, and the counters know of it. */
static void test_revoked_and_removed(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	struct bufshare_ipc_empty stats;
	union cf_message msg;

	cf_register(cf, 1);
	cf_register(cf, 2);
	sock = knows(cf);
	cf_update(cf, 1, 1, ALL);
	assert_released(cf, 1, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);
	cf_unregister_wait(cf, 1);
	assert_seq(cf, sock, BUFSHARE_IPC_UPDATED, 1);
	assert_seq(cf, sock, BUFSHARE_IPC_REVOKED, 1);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_REMOVED);
	assert_int_equal(le64toh(msg.removed.buffer), 1);
	cf_release(cf, sock, 1, 1); /* too late to mean anything */

	ipc_header(&stats, BUFSHARE_IPC_GET_STATS, sizeof(stats));
	cf_send(cf, sock, &stats, sizeof(stats));
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATS);
	assert_int_equal(le64toh(msg.stats.buffer), 2);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_CONSUMER);
	assert_int_equal(le64toh(msg.consumer.revoked), 1);
	assert_int_equal(le64toh(msg.consumer.released), 0);
	assert_true(le64toh(msg.consumer.held_ns) >= TIMEOUT);
}

/* WELCOME tells how long it may. */
static void test_told_in_welcome(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect(cf);
	union cf_message msg;

	cf_send(cf, sock, &hello, sizeof(hello));
	msg = cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	assert_int_equal(le32toh(msg.welcome.release_timeout_ms), TIMEOUT / MS);
	assert_int_equal(le32toh(msg.welcome.max_buffers), 1100);
	assert_int_equal(le32toh(msg.welcome.max_subscriptions), BUFSHARE_IPC_MAX_SUBSCRIPTIONS);
}

/* ---- processes ---- */

/* Releases, and answers, whatever it gets until the daemon ends. */
static void live(int sock)
{
	struct bufshare_ipc_release m;
	union cf_message msg;
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	int r, fd;

	for (;;) {
		fd = -1;
		poll(&pfd, 1, -1);
		r = ipc_recv(sock, &msg.raw, &fd);
		if (r < 0)
			_exit(0);
		if (fd >= 0)
			close(fd);
		if (le32toh(msg.hdr.type) != BUFSHARE_IPC_UPDATED &&
		    le32toh(msg.hdr.type) != BUFSHARE_IPC_REVOKED)
			continue;
		m = (struct bufshare_ipc_release){ .buffer = msg.revoked.buffer,
						   .seq = msg.revoked.seq };
		ipc_header(&m, BUFSHARE_IPC_RELEASE, sizeof(m));
		ipc_send(sock, &m, sizeof(m), -1);
	}
}

static pid_t consumer_process(struct cf *cf)
{
	int sock = knows(cf);
	pid_t pid = fork();

	if (pid == 0)
		live(sock);
	assert_true(pid > 0);
	close(sock);
	return pid;
}

/* A process that is stopped costs the guest one timeout, and is back when it goes on. */
static void test_stopped_process(void **state)
{
	struct cf *cf = *state;
	struct virtio_bufshare_event ev;
	uint64_t seq;
	int status, i;
	pid_t pid;

	cf_register(cf, 1);
	pid = consumer_process(cf);
	for (seq = 1; seq <= 10; seq++) {
		cf_update(cf, 1, seq, ALL);
		assert_released(cf, seq, 0);
	}
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	cf_update(cf, 1, seq, ALL);
	assert_released(cf, seq, VIRTIO_BUFSHARE_RELEASED_TIMEOUT);
	for (i = 0; i < 1000; i++) {
		cf_update(cf, 1, ++seq, ALL);
		assert_released(cf, seq, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	}
	kill(pid, SIGCONT);
	do {
		cf_update(cf, 1, ++seq, ALL);
		ev = cf_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, 1);
		assert_int_equal(le64toh(ev.seq), seq);
	} while (le32toh(ev.flags));
	for (i = 0; i < 10; i++) {
		cf_update(cf, 1, ++seq, ALL);
		assert_released(cf, seq, 0);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_killed_process(void **state)
{
	struct cf *cf = *state;
	uint64_t seq = 0;
	int status, i;
	pid_t pid;

	cf_register(cf, 1);
	for (i = 0; i < 5; i++) {
		pid = consumer_process(cf);
		cf_update(cf, 1, ++seq, ALL);
		assert_released(cf, seq, 0);
		kill(pid, SIGSTOP);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		cf_update(cf, 1, ++seq, ALL);
		assert_not_released(cf);
		kill(pid, SIGKILL);
		assert_released(cf, seq, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, cf_teardown)
#define FOR_EVER(name) cmocka_unit_test_setup_teardown(name, setup_for_ever, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_revoked),
		TEST(test_not_revoked),
		FOR_EVER(test_no_timeout),
		TEST(test_does_not_answer),
		TEST(test_nobody_answers),
		TEST(test_crossing),
		TEST(test_full_socket),
		TEST(test_revoked_and_removed),
		TEST(test_told_in_welcome),
		TEST(test_stopped_process),
		FOR_EVER(test_killed_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
