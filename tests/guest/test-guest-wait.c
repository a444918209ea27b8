/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: wait for events and releases.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guest/guest-fixture.h"

#define MS 1000000LL

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void test_wait_event(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_event event;
	int64_t begin = now_ns();

	assert_int_equal(bufshare_device_wait(g->dev, 0), -ETIMEDOUT);
	assert_int_equal(bufshare_device_wait(g->dev, 20 * MS), -ETIMEDOUT);
	assert_true(now_ns() - begin >= 20 * MS);

	fake_host_consumers(g->fake, bufshare_buffer_get_id(buf), 3);
	assert_int_equal(bufshare_device_wait(g->dev, -1), 0);
	assert_int_equal(bufshare_device_wait(g->dev, INT64_MAX), 0);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.value, 3);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), -EAGAIN);
	assert_int_equal(bufshare_device_wait(g->dev, 0), -ETIMEDOUT);
	bufshare_buffer_unref(buf);
}

static void test_wait_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	struct bufshare_device *closed;

	assert_int_equal(bufshare_device_wait(NULL, 0), -EINVAL);
	assert_int_equal(bufshare_device_new_from_label(NULL, &closed), 0);
	assert_int_equal(bufshare_device_wait(closed, 0), -ENOTCONN);
	bufshare_device_unref(closed);

	assert_int_equal(bufshare_buffer_wait(NULL, 0, 0), -EINVAL);
	assert_int_equal(bufshare_buffer_wait(buf, 0, 0), -ENOENT);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_int_equal(bufshare_buffer_wait(buf, 1, 0), -EINVAL); /* no such update yet */
	assert_int_equal(bufshare_buffer_wait(buf, 0, 0), 0);
	bufshare_buffer_unref(buf);
}

static void test_wait_release(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const uint64_t id = bufshare_buffer_get_id(buf);
	struct bufshare_event event;
	uint64_t seq;

	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, &seq), 0);
	assert_int_equal(bufshare_buffer_wait(buf, seq, 5 * MS), -ETIMEDOUT);
	fake_host_release(g->fake, id, 1, 0);
	assert_int_equal(bufshare_buffer_wait(buf, 1, -1), 0);
	assert_int_equal(bufshare_buffer_wait(buf, seq, 5 * MS), -ETIMEDOUT);
	assert_int_equal(bufshare_buffer_wait(buf, 0, 5 * MS), -ETIMEDOUT);
	fake_host_release(g->fake, id, seq, BUFSHARE_RELEASED_TIMEOUT);
	assert_int_equal(bufshare_buffer_wait(buf, 0, -1), 0);

	/* No event was lost on it, and their order stands. */
	assert_int_equal(bufshare_device_wait(g->dev, 0), 0);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.seq, 1);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.seq, seq);
	assert_int_equal(event.flags, BUFSHARE_RELEASED_TIMEOUT);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), -EAGAIN);
	bufshare_buffer_unref(buf);
}

struct later {
	struct fake_device *fake;
	uint64_t id, seq;
};

static void *release_later(void *arg)
{
	const struct later *later = arg;

	usleep(20000);
	fake_host_release(later->fake, later->id, later->seq, 0);
	return NULL;
}

static void test_wait_blocks(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct later later = { g->fake, bufshare_buffer_get_id(buf), 1 };
	pthread_t thread;

	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, release_later, &later), 0);
	assert_int_equal(bufshare_buffer_wait(buf, 1, 10000 * MS), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	bufshare_buffer_unref(buf);
}

static void test_wait_lost(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_event event;

	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	fake_host_lose_buffer(g->fake, bufshare_buffer_get_id(buf), 0);
	assert_int_equal(bufshare_buffer_wait(buf, 1, -1), 0); /* which released it */

	assert_int_equal(bufshare_buffer_unregister(buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	fake_device_unplug(g->fake);
	assert_int_equal(bufshare_buffer_wait(buf, 1, -1), -ENODEV);
	while (bufshare_device_read_event(g->dev, &event) == 0)
		assert_int_equal(bufshare_device_wait(g->dev, -1),
				 event.type == BUFSHARE_EVENT_DEVICE_LOST ? -ENODEV : 0);
	assert_int_equal(event.type, BUFSHARE_EVENT_DEVICE_LOST);
	bufshare_buffer_unref(buf);
}

static void on_alarm(int signal)
{
}

static void test_wait_interrupted(void **state)
{
	const struct itimerval in_5ms = { .it_value = { .tv_usec = 5000 } };
	struct sigaction action = { .sa_handler = on_alarm }, before;
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);

	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &in_5ms, NULL);
	assert_int_equal(bufshare_device_wait(g->dev, 10000 * MS), -EINTR);
	setitimer(ITIMER_REAL, &in_5ms, NULL);
	assert_int_equal(bufshare_buffer_wait(buf, 1, 10000 * MS), -EINTR);
	sigaction(SIGALRM, &before, NULL);
	bufshare_buffer_unref(buf);
}

/* A program that waits and never reads: the library keeps what it can, then says so. */
static void test_never_reads(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const uint64_t id = bufshare_buffer_get_id(buf);
	struct bufshare_event event;
	unsigned int i, overflows = 0, consumers = 0;
	uint64_t newest = 0;

	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	for (i = 0; i < 1000; i++) {
		fake_host_consumers(g->fake, id, i);
		assert_int_equal(bufshare_buffer_wait(buf, 1, i % 10 ? 0 : MS / 10), -ETIMEDOUT);
	}
	fake_device_unplug(g->fake);
	while (bufshare_device_wait(g->dev, -1) == 0 &&
	       bufshare_device_read_event(g->dev, &event) == 0) {
		overflows += event.type == BUFSHARE_EVENT_OVERFLOW;
		if (event.type == BUFSHARE_EVENT_CONSUMERS) {
			assert_true(event.value > newest);
			newest = event.value;
			consumers++;
		}
	}
	assert_int_equal(newest, 999);
	assert_int_equal(overflows, 1);
	assert_true(consumers > 0 && consumers < 400);
	assert_int_equal(event.type, BUFSHARE_EVENT_DEVICE_LOST);
	bufshare_buffer_unref(buf);
}

/* A node that whoever opened it did not make non-blocking. */
static void test_blocking_fd(void **state)
{
	struct guest *g = *state;
	const int fd = bufshare_device_get_fd(g->dev);
	struct bufshare_buffer *buf;
	struct bufshare_device *dev;
	struct bufshare_event event;

	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
	assert_int_equal(bufshare_device_new_from_fd(fd, &dev), 0);
	assert_int_equal(bufshare_device_read_event(dev, &event), -EAGAIN);
	assert_int_equal(bufshare_device_wait(dev, 0), -ETIMEDOUT);
	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	fake_host_consumers(g->fake, bufshare_buffer_get_id(buf), 1);
	assert_int_equal(bufshare_device_wait(dev, -1), 0);
	assert_int_equal(bufshare_device_read_event(dev, &event), 0);
	assert_int_equal(bufshare_device_read_event(dev, &event), -EAGAIN);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK); /* that is not ours to change */
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_wait_event),
		guest_test(test_wait_wrong),
		guest_test(test_wait_release),
		guest_test(test_wait_blocks),
		guest_test(test_wait_lost),
		guest_test(test_wait_interrupted),
		guest_test(test_never_reads),
		guest_test(test_blocking_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
