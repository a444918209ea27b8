/* SPDX-License-Identifier: MIT */
/*
 * The host library in event loops of several kinds, and with a daemon that does not read:
 * nothing blocks, nothing is lost, nobody turns in circles.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/fd-leak.h"
#include "host/fake-daemon.h"

#define NUM_BUFFERS 5

/* Whatever blocks is ended, and so is the test. */
#define PATIENCE_S 60

/* ---- kinds of loops ---- */

struct loop {
	bool (*is_woken)(struct loop *loop); /* without waiting */
	bool one; /* it reads one event each time it is woken */
	int fd;
	int epoll; /* -1: not needed */
};

static bool by_poll(struct loop *loop)
{
	struct pollfd p = { .fd = loop->fd, .events = POLLIN };

	assert_in_range(poll(&p, 1, 0), 0, 1);
	assert_int_equal(p.revents & ~POLLIN, 0);
	return p.revents;
}

static bool by_select(struct loop *loop)
{
	struct timeval now = { 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(loop->fd, &set);
	return select(loop->fd + 1, &set, NULL, NULL, &now) == 1;
}

static bool by_epoll(struct loop *loop)
{
	struct epoll_event event;

	return epoll_wait(loop->epoll, &event, 1, 0) == 1;
}

static void loop_begin(struct loop *loop, struct bufshare_host *host, uint32_t epoll_events)
{
	struct epoll_event event = { .events = epoll_events };

	loop->fd = bufshare_host_get_fd(host);
	loop->epoll = -1;
	if (!epoll_events)
		return;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	assert_true(loop->epoll >= 0);
	assert_int_equal(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->fd, &event), 0);
}

/* Returns how many events the program was woken for, until it is woken no more. */
static int run(struct loop *loop, struct bufshare_host *host)
{
	struct bufshare_event event;
	int turns = 0, n = 0, r;

	while (loop->is_woken(loop)) {
		assert_true(++turns < 1000);
		do {
			r = bufshare_host_read_event(host, &event);
			n += r == 0;
		} while (r == 0 && !loop->one);
		assert_true(r == 0 || r == -EAGAIN);
	}
	return n;
}

/* What is in the socket, what is not, noise, and nothing at all. */
static void works_in(struct fake_daemon *f, struct loop loop, uint32_t epoll_events)
{
	uint64_t id;
	int i;

	loop_begin(&loop, f->host, epoll_events);
	assert_int_equal(run(&loop, f->host), 0);
	for (id = 1; id <= NUM_BUFFERS; id++)
		send_added(f, id, FAKE_PAGE);
	send_empty(f, BUFSHARE_IPC_SYNCED);
	assert_int_equal(run(&loop, f->host), NUM_BUFFERS + 1);
	for (id = 1; id <= NUM_BUFFERS; id++)
		send_updated(f, id, 2);
	assert_int_equal(run(&loop, f->host), NUM_BUFFERS);

	/* More messages without an event than it reads at a time. */
	for (i = 0; i < 3 * HOST_MAX_SKIPPED; i++)
		send_empty(f, 1000);
	send_empty(f, BUFSHARE_IPC_SYNCED);
	assert_int_equal(run(&loop, f->host), 1);

	/* One message that is many events. */
	send_state(f, BUFSHARE_IPC_STATE_GONE, 0);
	assert_int_equal(run(&loop, f->host), NUM_BUFFERS + 1);
	assert_int_equal(run(&loop, f->host), 0);
	if (loop.epoll >= 0)
		close(loop.epoll);
}

static void in_poll(void **state)
{
	works_in(*state, (struct loop){ .is_woken = by_poll }, 0);
}

static void in_poll_one_at_a_time(void **state)
{
	works_in(*state, (struct loop){ .is_woken = by_poll, .one = true }, 0);
}

static void in_select(void **state)
{
	works_in(*state, (struct loop){ .is_woken = by_select }, 0);
}

static void in_epoll(void **state)
{
	works_in(*state, (struct loop){ .is_woken = by_epoll }, EPOLLIN);
}

static void in_epoll_one_at_a_time(void **state)
{
	works_in(*state, (struct loop){ .is_woken = by_epoll, .one = true }, EPOLLIN);
}

static void in_edge_triggered_epoll(void **state)
{
	works_in(*state, (struct loop){ .is_woken = by_epoll }, EPOLLIN | EPOLLET);
}

/* A loop that asks without having been woken is told that there is nothing. */
static void woken_for_nothing(void **state)
{
	struct fake_daemon *f = *state;

	expect_nothing(f);
	expect_nothing(f);
	send_empty(f, BUFSHARE_IPC_SYNCED);
	expect_event(f, BUFSHARE_EVENT_SYNCED, 0);
	expect_nothing(f);
}

/* Somebody else closes the connection: each loop is woken, as long as it does not care. */
static void woken_by_the_end(void **state)
{
	struct fake_daemon *f = *state;
	struct loop loop = { .is_woken = by_poll };
	struct bufshare_event event;
	int i;

	loop_begin(&loop, f->host, 0);
	cleanup_close(&f->sock);
	f->sock = -1;
	for (i = 0; i < 3; i++) {
		assert_true(by_poll(&loop));
		assert_int_equal(bufshare_host_read_event(f->host, &event), -ENOTCONN);
	}
}

/* ---- a daemon that does not read ---- */

struct full {
	struct bufshare_host_buffer *kept, *gone;
	unsigned int asked; /* for counters, before there was no more room at all */
};

/* Two buffers of which an update is held, one of them removed; and no room. */
static struct full fill(struct fake_daemon *f)
{
	const int room = 1; /* which the kernel makes its least */
	struct full full = { .asked = 0 };
	int r;

	full.kept = add_buffer(f, 1, FAKE_PAGE);
	full.gone = add_buffer(f, 2, FAKE_PAGE);
	send_updated(f, 1, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 1);
	assert_int_equal(setsockopt(f->host->sock, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	while ((r = bufshare_host_request_stats(f->host)) == 0)
		assert_true(++full.asked < 10000);
	assert_int_equal(r, -EAGAIN);
	assert_true(full.asked > HOST_MAX_QUEUED);
	return full;
}

static void full_socket(void **state)
{
	struct fake_daemon *f = *state;
	struct loop loop = { .is_woken = by_poll };
	struct full full;

	loop_begin(&loop, f->host, 0);
	full = fill(f);

	/* What needs memory is refused; what gives something back is kept. */
	assert_int_equal(bufshare_host_subscribe(f->host, "other"), -EAGAIN);
	assert_int_equal(bufshare_host_unsubscribe(f->host, "*"), -EAGAIN);
	assert_int_equal(bufshare_host_buffer_set_property(full.kept, "host.x", "1"), -EAGAIN);
	assert_int_equal(bufshare_host_buffer_release(full.kept, 2), 0);
	assert_int_equal(bufshare_host_buffer_release(full.kept, 2), -EALREADY);

	/* The other way is free. */
	send_removed(f, 2, VIRTIO_BUFSHARE_REASON_HOST);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 2);
	bufshare_host_buffer_unref(full.gone);
	expect_nothing(f);
	assert_false(by_poll(&loop));

	/* The daemon reads: the program is woken until all is sent, each thing once. */
	while (!fake_find(f, 2)->closed) {
		fake_pump(f);
		assert_true(by_poll(&loop) || fake_find(f, 2)->closed);
		expect_nothing(f);
	}
	assert_int_equal(f->num_get_stats, full.asked);
	assert_int_equal(fake_find(f, 1)->released, 2);
	assert_int_equal(fake_find(f, 1)->ignored, 0);
	assert_int_equal(f->num_set_properties, 0);
	assert_int_equal(f->num_patterns, 1);
	expect_nothing(f);
	assert_false(by_poll(&loop));
	assert_int_equal(bufshare_host_subscribe(f->host, "other"), 0);
	fake_pump(f);
	assert_int_equal(f->num_patterns, 2);
	bufshare_host_buffer_unref(full.kept);
}

/* What waits goes with the connection. */
static void full_socket_and_the_end(void **state)
{
	struct fake_daemon *f = *state;
	struct full full = fill(f);

	assert_int_equal(bufshare_host_buffer_release(full.kept, 2), 0);
	send_removed(f, 2, VIRTIO_BUFSHARE_REASON_HOST);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 2);
	bufshare_host_buffer_unref(full.gone);
	f->host = bufshare_host_unref(f->host);
	assert_int_equal(bufshare_host_buffer_release(full.kept, 2), -ENOTCONN);
	bufshare_host_buffer_unref(full.kept);
}

static int setup(void **state)
{
	alarm(PATIENCE_S);
	return fake_setup(state);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_poll),
		TEST(in_poll_one_at_a_time),
		TEST(in_select),
		TEST(in_epoll),
		TEST(in_epoll_one_at_a_time),
		TEST(in_edge_triggered_epoll),
		TEST(woken_for_nothing),
		TEST(woken_by_the_end),
		TEST(full_socket),
		TEST(full_socket_and_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
