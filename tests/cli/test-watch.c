/* SPDX-License-Identifier: MIT */
/*
 * What root finds of other programs' buffers, look after look.
 */
#include <errno.h>
#include <string.h>

#include "guest/guest-fixture.h"

/* cli.h has a function by the name of a macro of cmocka.h. */
#undef fail
#include "cli/watch.h"

static struct bufshare_event ev;
static struct bufshare_buffer_info info;

static struct watch *begin(struct guest *g)
{
	struct watch *w;

	fake_set_privileged(g->fake, true);
	assert_int_equal(watch_new(g->dev, 0, &w), 0);
	return w;
}

static void expect(struct watch *w, uint32_t type, uint64_t id, uint64_t seq, uint64_t value)
{
	memset(&ev, 0xff, sizeof(ev));
	assert_int_equal(watch_next(w, &ev, &info), 0);
	assert_int_equal(ev.type, type);
	assert_int_equal(ev.buffer_id, id);
	assert_int_equal(info.id, id);
	assert_int_equal(ev.seq, seq);
	assert_int_equal(ev.value, value);
	assert_true(ev.time_ns > 0 && ev.time_ns <= now_ns());
	assert_int_equal(ev.flags, 0);
	assert_int_equal(ev.user_data, 0);
}

static void expect_none(struct watch *w)
{
	assert_int_equal(watch_next(w, &ev, &info), -EAGAIN);
}

static void test_none(void **state)
{
	struct watch *w = begin(*state);

	expect(w, BUFSHARE_EVENT_SYNCED, 0, 0, 0);
	expect_none(w);
	expect_none(w);
	watch_free(w);
}

static void test_there_before(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *a = guest_registered(g), *b = guest_registered(g);
	struct watch *w;

	assert_int_equal(bufshare_buffer_update(b, NULL, 0, NULL), 0);
	w = begin(g);
	expect(w, BUFSHARE_EVENT_ADDED, 1, 0, 0);
	assert_string_equal(info.application, "app");
	expect(w, BUFSHARE_EVENT_ADDED, 2, 1, 0);
	expect(w, BUFSHARE_EVENT_SYNCED, 0, 0, 0);
	expect_none(w);
	watch_free(w);
	bufshare_buffer_unref(a);
	bufshare_buffer_unref(b);
}

static void test_changes(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct watch *w = begin(g);

	expect(w, BUFSHARE_EVENT_ADDED, 1, 0, 0);
	expect(w, BUFSHARE_EVENT_SYNCED, 0, 0, 0);
	fake_host_consumers(g->fake, 1, 3);
	expect(w, BUFSHARE_EVENT_CONSUMERS, 1, 0, 3);
	expect_none(w);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	expect(w, BUFSHARE_EVENT_UPDATED, 1, 1, 0);
	expect_none(w);
	fake_host_release(g->fake, 1, 1, 0);
	expect(w, BUFSHARE_EVENT_RELEASED, 1, 1, 0);
	expect_none(w);

	/* Between two looks: the newest, and everything of it. */
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	fake_host_release(g->fake, 1, 2, 0);
	fake_host_lose_buffer(g->fake, 1, 0);
	expect(w, BUFSHARE_EVENT_UPDATED, 1, 3, 0);
	expect(w, BUFSHARE_EVENT_RELEASED, 1, 3, 0);
	expect(w, BUFSHARE_EVENT_BUFFER_LOST, 1, 0, UINT64_MAX);
	expect_none(w);
	watch_free(w);
	bufshare_buffer_unref(buf);
}

/* In front of, between and behind those that stay. */
static void test_come_and_go(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf[5];
	struct watch *w;
	size_t i;

	for (i = 0; i < 5; i++)
		buf[i] = guest_registered(g);
	w = begin(g);
	for (i = 0; i < 5; i++)
		expect(w, BUFSHARE_EVENT_ADDED, i + 1, 0, 0);
	expect(w, BUFSHARE_EVENT_SYNCED, 0, 0, 0);
	for (i = 0; i < 5; i += 2)
		assert_int_equal(bufshare_buffer_unregister(buf[i]), 0);
	assert_int_equal(bufshare_buffer_update(buf[1], NULL, 0, NULL), 0);
	assert_int_equal(bufshare_buffer_register(buf[0], "org.example.again"), 0);
	expect(w, BUFSHARE_EVENT_REMOVED, 1, 0, UINT64_MAX);
	expect(w, BUFSHARE_EVENT_UPDATED, 2, 1, 0);
	expect(w, BUFSHARE_EVENT_REMOVED, 3, 0, UINT64_MAX);
	expect(w, BUFSHARE_EVENT_REMOVED, 5, 0, UINT64_MAX);
	expect(w, BUFSHARE_EVENT_ADDED, 6, 0, 0);
	assert_string_equal(info.application, "org.example.again");
	expect_none(w);
	for (i = 0; i < 5; i++)
		bufshare_buffer_unref(buf[i]);
	expect(w, BUFSHARE_EVENT_REMOVED, 2, 0, UINT64_MAX);
	expect(w, BUFSHARE_EVENT_REMOVED, 4, 0, UINT64_MAX);
	expect(w, BUFSHARE_EVENT_REMOVED, 6, 0, UINT64_MAX);
	expect_none(w);
	watch_free(w);
}

/* In the middle of a comparison, and in time. */
static void test_freed_and_due(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct watch *w;

	fake_set_privileged(g->fake, true);
	assert_int_equal(watch_new(g->dev, 3600000000000ull, &w), 0);
	assert_true(watch_due(w) <= now_ns());
	expect(w, BUFSHARE_EVENT_ADDED, 1, 0, 0);
	watch_free(w);
	watch_free(NULL);
	assert_int_equal(watch_new(g->dev, 3600000000000ull, &w), 0);
	expect(w, BUFSHARE_EVENT_ADDED, 1, 0, 0);
	expect(w, BUFSHARE_EVENT_SYNCED, 0, 0, 0);
	assert_true(watch_due(w) > now_ns());
	bufshare_buffer_unref(buf);
	expect_none(w); /* it is not time to look */
	watch_free(w);
}

static void test_not_root(void **state)
{
	struct guest *g = *state;
	struct watch *w = NULL;

	assert_int_equal(watch_new(g->dev, 0, &w), -EACCES);
	assert_null(w);
}

static void test_device_gone(void **state)
{
	struct guest *g = *state;
	struct watch *w = begin(g);

	expect(w, BUFSHARE_EVENT_SYNCED, 0, 0, 0);
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_LIST, ENODEV, 1);
	assert_int_equal(watch_next(w, &ev, &info), -ENODEV);
	expect_none(w);
	watch_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_none),
		guest_test(test_there_before),
		guest_test(test_changes),
		guest_test(test_come_and_go),
		guest_test(test_freed_and_due),
		guest_test(test_not_root),
		guest_test(test_device_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
