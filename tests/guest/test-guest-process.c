/* SPDX-License-Identifier: MIT */
/*
 * libbufshare among threads and processes, and what an update costs.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/skip-test.h"
#include "guest/guest-fixture.h"

/* ---- what the linker puts in the way ---- */

static _Thread_local unsigned int allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	allocations++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	allocations++;
	return __real_realloc(p, size);
}

void __wrap_free(void *p)
{
	allocations++;
	__real_free(p);
}

/* ---- what an update costs ---- */

static unsigned int update_calls;

static int only_updates(unsigned long request, void *arg)
{
	if (request != DRM_IOCTL_BUFSHARE_UPDATE)
		return -ENOTTY;
	update_calls++;
	return 0;
}

/* Enough for a merged rectangle too. */
static void many_updates(struct bufshare_device *dev, struct bufshare_update *updates, size_t n)
{
	static struct bufshare_rect damage[BUFSHARE_MAX_DAMAGE + 1];
	size_t i;

	for (i = 0; i < BUFSHARE_MAX_DAMAGE + 1; i++)
		damage[i] = (struct bufshare_rect){ (uint32_t)i, 0, 1, 1 };
	updates[1].damage = damage;
	for (i = 0; i < 100; i++) {
		updates[1].num_damage = i % (BUFSHARE_MAX_DAMAGE + 2);
		if (bufshare_device_update(dev, updates, n) < 0 ||
		    bufshare_buffer_update(updates[0].buffer, damage, 1 + i % 17, NULL) < 0)
			return;
	}
}

static void test_update_allocates_nothing(void **state)
{
	struct guest *g = *state;
	struct bufshare_update updates[2] = {
		{ .buffer = guest_registered(g), .flags = BUFSHARE_UPDATE_ACQUIRE_IMPLICIT },
		{ .buffer = guest_registered(g) },
	};
	unsigned int before;

	fake_set_ioctl_hook(only_updates);
	update_calls = 0;
	before = allocations;
	assert_true(before > 0); /* the wrapper is in place */
	many_updates(g->dev, updates, 2);
	assert_int_equal(allocations, before);
	assert_int_equal(update_calls, 200);
	fake_set_ioctl_hook(NULL);
	bufshare_buffer_unref(updates[0].buffer);
	bufshare_buffer_unref(updates[1].buffer);
}

/* The kernel kills the child at its first call other than the one ioctl, which is no call here. */
static void test_update_makes_one_call(void **state)
{
	struct guest *g = *state;
	struct bufshare_update updates[2] = {
		{ .buffer = guest_registered(g) },
		{ .buffer = guest_registered(g) },
	};
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* A child cannot use its parent's device: it makes its own. */
		struct bufshare_device *dev;

		if (bufshare_device_new_from_label(NULL, &dev) < 0 || bufshare_device_open(dev) < 0 ||
		    bufshare_buffer_new(dev, 1, &updates[0].buffer) < 0 ||
		    bufshare_buffer_new(dev, 1, &updates[1].buffer) < 0 ||
		    bufshare_buffer_register(updates[0].buffer, "app") < 0 ||
		    bufshare_buffer_register(updates[1].buffer, "app") < 0)
			_exit(1);
		fake_set_ioctl_hook(only_updates);
		update_calls = 0;
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
			_exit(77);
		many_updates(dev, updates, 2);
		syscall(SYS_exit, update_calls == 200 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	bufshare_buffer_unref(updates[0].buffer);
	bufshare_buffer_unref(updates[1].buffer);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP_TEST("seccomp() is not allowed");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- processes ---- */

/* 0, or which of what the child does is not answered as it should be. */
static int use_as_child(struct guest *g, struct bufshare_buffer *buf)
{
	struct bufshare_update update = { .buffer = buf };
	struct bufshare_buffer_info info;
	struct bufshare_event event;
	struct bufshare_buffer *other;
	uint64_t *ids, time_ns;
	unsigned int calls = fake_count_ioctls(g->fake);
	size_t n;
	int fd;
	const int answers[] = {
		bufshare_device_open(g->dev),
		bufshare_device_get_fd(g->dev),
		bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_FENCES),
		bufshare_device_read_event(g->dev, &event),
		bufshare_device_wait(g->dev, 0),
		bufshare_device_ping(g->dev, &time_ns),
		bufshare_device_reset(g->dev, 0),
		bufshare_device_update(g->dev, &update, 1),
		bufshare_device_list_buffers(g->dev, 0, &ids, &n),
		bufshare_device_get_buffer_info(g->dev, 1, &info),
		bufshare_buffer_new(g->dev, 1, &other),
		bufshare_buffer_export(buf, &fd),
		bufshare_buffer_set_property(buf, "title", "t"),
		bufshare_buffer_update(buf, NULL, 0, NULL),
		bufshare_buffer_is_busy(buf),
		bufshare_buffer_wait(buf, 0, 0),
	};
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (answers[i] != -ENOTCONN)
			return 1 + (int)i;
	}
	/* It can let go, and no call is made: they would act on the parent's. */
	bufshare_buffer_unref(buf);
	if (fake_count_ioctls(g->fake) != calls)
		return 100;
	bufshare_device_unref(g->dev);
	return fake_count_ioctls(g->fake) == calls ? 0 : 101;
}

static void test_fork(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_event event;
	uint64_t seq;
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(use_as_child(g, buf));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);

	/* The parent goes on. */
	assert_int_equal(fake_count_registered(g->fake), 1);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, &seq), 0);
	fake_host_release(g->fake, bufshare_buffer_get_id(buf), seq, 0);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.seq, seq);
	bufshare_buffer_unref(buf);
}

/* ---- threads ---- */

/* In place of the fake driver, which takes one caller at a time. */
static int answer_all(unsigned long request, void *arg)
{
	return 0;
}

struct worker {
	struct bufshare_device *dev;
	struct bufshare_update updates[2];
};

static void *work(void *arg)
{
	struct worker *w = arg;
	const char *value;
	intptr_t failed = 0;
	char text[32];
	int i;

	for (i = 0; i < 1000; i++) {
		struct bufshare_event event;

		snprintf(text, sizeof(text), "%d", i);
		failed |= bufshare_device_update(w->dev, w->updates, 2);
		failed |= bufshare_device_read_event(w->dev, &event) != -EAGAIN;
		failed |= bufshare_buffer_set_property(w->updates[1].buffer, "title", text);
		failed |= bufshare_buffer_get_property(w->updates[1].buffer, "title", &value);
		failed |= strcmp(value, text) != 0;
	}
	return (void *)failed;
}

/* Different devices in different threads, and one that moves from thread to thread. */
static void test_threads(void **state)
{
	struct worker workers[2];
	pthread_t threads[2];
	void *failed;
	int i, round;

	for (i = 0; i < 2; i++) {
		fake_device_add(&(struct fake_config){ .label = i ? "b" : "a" });
		assert_int_equal(bufshare_device_new_from_label(i ? "b" : "a", &workers[i].dev), 0);
		assert_int_equal(bufshare_device_open(workers[i].dev), 0);
		memset(workers[i].updates, 0, sizeof(workers[i].updates));
		assert_int_equal(bufshare_buffer_new(workers[i].dev, 1,
						     &workers[i].updates[0].buffer), 0);
		assert_int_equal(bufshare_buffer_new(workers[i].dev, 1,
						     &workers[i].updates[1].buffer), 0);
		assert_int_equal(bufshare_buffer_register(workers[i].updates[0].buffer, "app"), 0);
		assert_int_equal(bufshare_buffer_register(workers[i].updates[1].buffer, "app"), 0);
	}
	fake_set_ioctl_hook(answer_all);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i ^ round]), 0);
		for (i = 0; i < 2; i++) {
			assert_int_equal(pthread_join(threads[i], &failed), 0);
			assert_null(failed);
		}
	}
	fake_set_ioctl_hook(NULL);
	for (i = 0; i < 2; i++) {
		bufshare_buffer_unref(workers[i].updates[0].buffer);
		bufshare_buffer_unref(workers[i].updates[1].buffer);
		bufshare_device_unref(workers[i].dev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_update_allocates_nothing),
		guest_test(test_update_makes_one_call),
		guest_test(test_fork),
		machine_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
