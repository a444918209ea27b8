/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "host/daemon/log.h"
#include "host/daemon/loop.h"
#include "common/fd-leak.h"

#define MS 1000000ULL

/* Something that happens, and what it does then. */
struct thing {
	struct loop *loop;
	struct loop_source *source;
	struct thing *other;
	int fd;
	int calls;
	uint32_t events;
	int signo;
};

static void free_loop(struct loop **loop)
{
	loop_free(*loop);
}

#define _cleanup_loop_ _cleanup_(free_loop)

static struct loop *new_loop(void)
{
	struct loop *loop;

	assert_int_equal(loop_new(&loop), 0);
	return loop;
}

static int new_eventfd(unsigned int value)
{
	int fd = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void count_fd(void *data, uint32_t events)
{
	struct thing *thing = data;

	thing->calls++;
	thing->events = events;
}

static void count_timer(void *data)
{
	struct thing *thing = data;

	thing->calls++;
}

static void test_fd(void **state)
{
	_cleanup_close_ int fd = new_eventfd(0);
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };
	uint64_t value = 1;

	assert_int_equal(loop_add_fd(loop, fd, EPOLLIN, count_fd, &thing, &thing.source), 0);
	assert_int_equal(loop_iterate(loop, 0), 0);
	assert_int_equal(write(fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(thing.events, EPOLLIN);

	/* Level-triggered: again and again. */
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(loop_iterate(loop, 0), 0);
	assert_int_equal(thing.calls, 2);
}

static void test_fd_events(void **state)
{
	_cleanup_close_ int fd = new_eventfd(0);
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };

	assert_int_equal(loop_add_fd(loop, fd, 0, count_fd, &thing, &thing.source), 0);
	assert_int_equal(loop_iterate(loop, 0), 0);
	assert_int_equal(loop_source_set_events(thing.source, EPOLLIN | EPOLLOUT), 0);
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(thing.events, EPOLLOUT);
	assert_int_equal(loop_source_set_events(thing.source, EPOLLIN), 0);
	assert_int_equal(loop_iterate(loop, 0), 0);
}

static void test_fd_twice(void **state)
{
	_cleanup_close_ int fd = new_eventfd(0);
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };

	assert_int_equal(loop_add_fd(loop, fd, 0, count_fd, &thing, &thing.source), 0);
	assert_int_equal(loop_add_fd(loop, fd, 0, count_fd, &thing, &thing.source), -EEXIST);
	thing.source = loop_source_remove(thing.source);
	assert_null(thing.source);
	assert_int_equal(loop_add_fd(loop, fd, 0, count_fd, &thing, &thing.source), 0);
}

static void test_fd_of_file(void **state)
{
	char name[] = "/tmp/test-loop-XXXXXX";
	_cleanup_close_ int fd = mkstemp(name);
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(loop_add_fd(loop, fd, EPOLLIN, count_fd, &thing, &thing.source), -EPERM);
}

static void remove_both(void *data, uint32_t events)
{
	struct thing *thing = data;

	thing->calls++;
	thing->source = loop_source_remove(thing->source);
	thing->other->source = loop_source_remove(thing->other->source);
}

/* Both have an event on its way; whichever comes first must be the only one. */
static void test_remove_in_callback(void **state)
{
	_cleanup_close_ int a = new_eventfd(1);
	_cleanup_close_ int b = new_eventfd(1);
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing things[2] = { { .other = &things[1] }, { .other = &things[0] } };

	assert_int_equal(loop_add_fd(loop, a, EPOLLIN, remove_both, &things[0], &things[0].source),
			 0);
	assert_int_equal(loop_add_fd(loop, b, EPOLLIN, remove_both, &things[1], &things[1].source),
			 0);
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(things[0].calls + things[1].calls, 1);
	assert_int_equal(loop_iterate(loop, 0), 0);
}

/* Closes the other's fd and adds a source for a new one, which gets the same number. */
static void replace_other(void *data, uint32_t events)
{
	struct thing *thing = data;
	struct thing *other = thing->other;

	thing->calls++;
	if (!other)
		return;

	loop_source_remove(other->source);
	close(other->fd);
	other->other = NULL;
	other->fd = new_eventfd(0);
	assert_int_equal(loop_add_fd(thing->loop, other->fd, EPOLLIN, replace_other, other,
				     &other->source),
			 0);
	thing->other = NULL;
}

static void test_replace_in_callback(void **state)
{
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing things[2] = {
		{ .loop = loop, .other = &things[1], .fd = new_eventfd(1) },
		{ .loop = loop, .other = &things[0], .fd = new_eventfd(1) },
	};
	int i;

	for (i = 0; i < 2; i++)
		assert_int_equal(loop_add_fd(loop, things[i].fd, EPOLLIN, replace_other, &things[i],
					     &things[i].source),
				 0);
	/* The old event of the one that was replaced is not given to the new one. */
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(things[0].calls + things[1].calls, 1);
	for (i = 0; i < 2; i++) {
		loop_source_remove(things[i].source);
		close(things[i].fd);
	}
}

static void iterate_within(void *data, uint32_t events)
{
	struct thing *thing = data;
	int others = thing->other->source ? 1 : 0;

	thing->calls++;
	thing->source = loop_source_remove(thing->source);
	assert_int_equal(loop_iterate(thing->loop, 0), others);
}

/* An iteration within a callback must not free what the outer one still has before it. */
static void test_nested(void **state)
{
	_cleanup_close_ int a = new_eventfd(1);
	_cleanup_close_ int b = new_eventfd(1);
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing things[2] = { { .loop = loop, .other = &things[1] },
				   { .loop = loop, .other = &things[0] } };

	assert_int_equal(loop_add_fd(loop, a, EPOLLIN, iterate_within, &things[0],
				     &things[0].source),
			 0);
	assert_int_equal(loop_add_fd(loop, b, EPOLLIN, iterate_within, &things[1],
				     &things[1].source),
			 0);
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(things[0].calls, 1);
	assert_int_equal(things[1].calls, 1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void test_timer_once(void **state)
{
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };
	uint64_t start;

	assert_int_equal(loop_add_timer(loop, count_timer, &thing, &thing.source), 0);
	assert_int_equal(loop_iterate(loop, 0), 0);

	start = now_ns();
	assert_int_equal(loop_timer_set(thing.source, 20 * MS, 0), 0);
	assert_int_equal(loop_iterate(loop, 5000), 1);
	assert_true(now_ns() - start >= 20 * MS);
	assert_int_equal(loop_iterate(loop, 40), 0);

	assert_int_equal(loop_timer_set(thing.source, 0, 0), 0);
	assert_int_equal(loop_iterate(loop, 5000), 1);
	assert_int_equal(thing.calls, 2);
}

static void test_timer_periodic(void **state)
{
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };
	uint64_t start = now_ns();

	assert_int_equal(loop_add_timer(loop, count_timer, &thing, &thing.source), 0);
	assert_int_equal(loop_timer_set(thing.source, 10 * MS, 10 * MS), 0);
	while (thing.calls < 3)
		assert_true(loop_iterate(loop, 5000) >= 0);
	assert_true(now_ns() - start >= 30 * MS);

	assert_int_equal(loop_timer_stop(thing.source), 0);
	assert_int_equal(loop_iterate(loop, 40), 0);
}

static void test_timer_busy(void **state)
{
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };

	assert_int_equal(loop_add_timer(loop, count_timer, &thing, &thing.source), 0);
	assert_int_equal(loop_timer_set(thing.source, MS, 100000 * MS), 0);
	assert_int_equal(loop_timer_set(thing.source, MS, MS), 0);
	usleep(20000);
	assert_int_equal(loop_iterate(loop, 0), 1);
	assert_int_equal(thing.calls, 1);
}

static void set_far(void *data, uint32_t events)
{
	struct thing *thing = data;

	thing->calls++;
	thing->other->calls = 0;
	assert_int_equal(loop_timer_set(thing->other->source, 1000000 * MS, 0), 0);
	thing->source = loop_source_remove(thing->source);
}

/* It ran out, but before its callback another one sets it anew: then it did not. */
static void test_timer_set_in_callback(void **state)
{
	_cleanup_close_ int fd = new_eventfd(1);
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing timer = { 0 };
	struct thing thing = { .other = &timer };

	assert_int_equal(loop_add_fd(loop, fd, EPOLLIN, set_far, &thing, &thing.source), 0);
	assert_int_equal(loop_add_timer(loop, count_timer, &timer, &timer.source), 0);
	assert_int_equal(loop_timer_set(timer.source, 0, 0), 0);
	usleep(1000);
	assert_true(loop_iterate(loop, 0) >= 1);
	assert_int_equal(thing.calls, 1);
	assert_int_equal(loop_iterate(loop, 10), 0);
	assert_int_equal(timer.calls, 0);
}

static void count_signal(void *data, int signo)
{
	struct thing *thing = data;

	thing->calls++;
	thing->signo = signo;
}

static void test_signal(void **state)
{
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { 0 };
	sigset_t set;

	assert_int_equal(loop_add_signal(loop, SIGTERM, count_signal, &thing, &thing.source), 0);
	kill(getpid(), SIGTERM);
	assert_int_equal(loop_iterate(loop, 5000), 1);
	assert_int_equal(thing.signo, SIGTERM);
	assert_int_equal(loop_iterate(loop, 0), 0);

	/* One that is pending when the source goes must not kill. */
	kill(getpid(), SIGTERM);
	loop_source_remove(thing.source);
	assert_int_equal(thing.calls, 1);
	sigprocmask(SIG_SETMASK, NULL, &set);
	assert_false(sigismember(&set, SIGTERM));

	assert_int_equal(loop_add_signal(loop, 12345, count_signal, &thing, &thing.source),
			 -EINVAL);
}

static void test_sigpipe(void **state)
{
	int fds[2];

	loop_free(new_loop());
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(write(fds[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
}

static void quit(void *data)
{
	struct thing *thing = data;

	loop_quit(thing->loop, 42);
}

static void test_run(void **state)
{
	_cleanup_loop_ struct loop *loop = new_loop();
	struct thing thing = { .loop = loop };

	assert_int_equal(loop_add_timer(loop, quit, &thing, &thing.source), 0);
	assert_int_equal(loop_timer_set(thing.source, MS, 0), 0);
	assert_int_equal(loop_run(loop), 42);

	loop_quit(loop, 7);
	assert_int_equal(loop_run(loop), 7);
}

/* What log_warn() writes to stderr. */
static ssize_t logged(const char *text, char *buf, size_t size)
{
	int saved = dup(STDERR_FILENO);
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	errno = EBADMSG;
	log_debug("not written");
	log_warn("%s", text);
	n = errno == EBADMSG ? 0 : -1;
	dup2(saved, STDERR_FILENO);
	close(saved);
	if (n == 0)
		n = read(fds[0], buf, size);
	close(fds[0]);
	return n;
}

static void test_log(void **state)
{
	char text[1000];
	char buf[2000];
	ssize_t n;

	n = logged("a\nb\x1b[0m\x7f\xc3\xa9", buf, sizeof(buf));
	assert_int_equal(n, 14);
	assert_memory_equal(buf, "<4>a?b?[0m?\xc3\xa9\n", 14);

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	n = logged(text, buf, sizeof(buf));
	assert_int_equal(n, 512);
	assert_memory_equal(buf, "<4>xxx", 6);
	assert_int_equal(buf[n - 1], '\n');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fd_leak_setup, fd_leak_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fd),
		TEST(test_fd_events),
		TEST(test_fd_twice),
		TEST(test_fd_of_file),
		TEST(test_remove_in_callback),
		TEST(test_replace_in_callback),
		TEST(test_nested),
		TEST(test_timer_once),
		TEST(test_timer_periodic),
		TEST(test_timer_busy),
		TEST(test_timer_set_in_callback),
		TEST(test_signal),
		TEST(test_sigpipe),
		TEST(test_run),
		TEST(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
