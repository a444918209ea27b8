/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: events, also those of a newer driver and broken ones.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "guest/guest-fixture.h"

static void expect(struct guest *g, uint32_t type, uint64_t id, uint64_t seq, uint32_t flags,
		   uint64_t value)
{
	struct bufshare_event event;

	memset(&event, 0xff, sizeof(event));
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.type, type);
	assert_int_equal(event.buffer_id, id);
	assert_int_equal(event.seq, seq);
	assert_int_equal(event.flags, flags);
	assert_int_equal(event.value, value);
	assert_int_equal(event.time_ns, 12345);
	assert_int_equal(event.user_data, id ? 77 : 0);
	assert_int_equal(event.guest_time_ns, 0);
	assert_int_equal(event.reserved, 0);
}

static void expect_none(struct guest *g)
{
	struct bufshare_event event;

	assert_int_equal(bufshare_device_read_event(g->dev, &event), -EAGAIN);
}

static void test_every_type(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	uint64_t id = bufshare_buffer_get_id(buf);

	expect_none(g);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	fake_host_release(g->fake, id, 1, DRM_BUFSHARE_RELEASED_CONSUMER_GONE);
	expect(g, BUFSHARE_EVENT_RELEASED, id, 1, BUFSHARE_RELEASED_CONSUMER_GONE, 0);
	fake_host_consumers(g->fake, id, 4);
	expect(g, BUFSHARE_EVENT_CONSUMERS, id, 0, 0, 4);
	fake_host_set_property(g->fake, id, "host.x", "1");
	expect(g, BUFSHARE_EVENT_PROPERTIES, id, 0, 0, 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	fake_host_restart(g->fake);
	expect(g, BUFSHARE_EVENT_RELEASED, id, 2, BUFSHARE_RELEASED_HOST_GONE, 0);
	expect(g, BUFSHARE_EVENT_RESTARTED, 0, 0, 0, 0);
	fake_host_lose_buffer(g->fake, id, BUFSHARE_REASON_MEMORY);
	expect(g, BUFSHARE_EVENT_BUFFER_LOST, id, 0, 0, BUFSHARE_REASON_MEMORY);
	expect_none(g);
	bufshare_buffer_unref(buf);
}

static void test_arguments(void **state)
{
	struct guest *g = *state;
	struct bufshare_event event;

	assert_int_equal(bufshare_device_read_event(NULL, &event), -EINVAL);
	assert_int_equal(bufshare_device_read_event(g->dev, NULL), -EINVAL);
}

/* Several in one read(), as the kernel gives them. */
static void test_many_at_once(void **state)
{
	struct guest *g = *state;
	struct drm_bufshare_event events[3] = { 0 };
	int i;

	for (i = 0; i < 3; i++) {
		events[i].base.type = DRM_BUFSHARE_EVENT_CONSUMERS;
		events[i].base.length = sizeof(events[i]);
		events[i].id = 5;
		events[i].value = (uint32_t)i;
		events[i].time_ns = 12345;
		events[i].user_data = 77;
	}
	fake_send_raw(g->fake, events, sizeof(events));
	for (i = 0; i < 3; i++)
		expect(g, BUFSHARE_EVENT_CONSUMERS, 5, 0, 0, (uint64_t)i);
	expect_none(g);
}

static void test_overflow(void **state)
{
	struct guest *g = *state;
	const struct drm_bufshare_event event = {
		.base = { .type = DRM_BUFSHARE_EVENT_OVERFLOW, .length = sizeof(event) },
		.time_ns = 12345,
	};

	fake_send_raw(g->fake, &event, sizeof(event));
	expect(g, BUFSHARE_EVENT_OVERFLOW, 0, 0, 0, 0);
}

/* After a lost event the library trusts its copies of properties no more. */
static void test_overflow_properties(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const struct drm_bufshare_event event = {
		.base = { .type = DRM_BUFSHARE_EVENT_OVERFLOW, .length = sizeof(event) },
		.time_ns = 12345,
	};
	const char *value;

	fake_send_raw(g->fake, &event, sizeof(event));
	expect(g, BUFSHARE_EVENT_OVERFLOW, 0, 0, 0, 0);
	fake_host_set_property(g->fake, bufshare_buffer_get_id(buf), "host.x", "1");
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), 0);
	bufshare_buffer_unref(buf);
}

/* Types and lengths of a newer driver. */
static void test_newer(void **state)
{
	struct guest *g = *state;
	struct {
		struct drm_bufshare_event event;
		uint64_t more[2];
	} longer = {
		.event = {
			.base = { .type = DRM_BUFSHARE_EVENT_CONSUMERS, .length = sizeof(longer) },
			.id = 5, .user_data = 77, .time_ns = 12345, .value = 1,
		},
	};
	const struct drm_event unknown[2] = {
		{ .type = 0x800000ff, .length = sizeof(unknown[0]) },
		{ .type = DRM_EVENT_VBLANK, .length = sizeof(unknown[1]) },
	};

	fake_send_raw(g->fake, unknown, sizeof(unknown));
	fake_send_raw(g->fake, &longer, sizeof(longer));
	expect(g, BUFSHARE_EVENT_CONSUMERS, 5, 0, 0, 1);
	fake_send_raw(g->fake, unknown, sizeof(unknown));
	expect_none(g);
}

/* An older driver's event ends early: the rest is zero. */
static void test_older(void **state)
{
	struct guest *g = *state;
	struct drm_bufshare_event event = {
		.base = { .type = DRM_BUFSHARE_EVENT_CONSUMERS,
			  .length = offsetof(struct drm_bufshare_event, flags) },
		.id = 5, .user_data = 77, .time_ns = 12345,
	};

	fake_send_raw(g->fake, &event, event.base.length);
	expect(g, BUFSHARE_EVENT_CONSUMERS, 5, 0, 0, 0);
}

static void check_broken(struct guest *g, uint32_t length)
{
	const struct drm_bufshare_event event = {
		.base = { .type = DRM_BUFSHARE_EVENT_CONSUMERS, .length = length },
	};

	fake_send_raw(g->fake, &event, sizeof(event));
	expect_none(g);
}

static void test_broken(void **state)
{
	struct guest *g = *state;
	const uint32_t half = DRM_BUFSHARE_EVENT_CONSUMERS;

	check_broken(g, 0);
	check_broken(g, sizeof(struct drm_event) - 1);
	check_broken(g, sizeof(struct drm_bufshare_event) + 1);
	check_broken(g, UINT32_MAX);
	fake_send_raw(g->fake, &half, sizeof(half));
	expect_none(g);
}

static void test_poll(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct pollfd p = { .fd = bufshare_device_get_fd(g->dev), .events = POLLIN };

	assert_int_equal(poll(&p, 1, 0), 0);
	fake_host_consumers(g->fake, bufshare_buffer_get_id(buf), 1);
	assert_int_equal(poll(&p, 1, 0), 1);
	expect(g, BUFSHARE_EVENT_CONSUMERS, bufshare_buffer_get_id(buf), 0, 0, 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	bufshare_buffer_unref(buf);
}

/* What was read before the end is still given out, then it is the end for good. */
static void test_lost(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	uint64_t id = bufshare_buffer_get_id(buf);
	struct bufshare_event event;

	fake_host_consumers(g->fake, id, 1);
	fake_device_unplug(g->fake);
	expect(g, BUFSHARE_EVENT_CONSUMERS, id, 0, 0, 1);
	expect(g, BUFSHARE_EVENT_DEVICE_LOST, 0, 0, 0, 0);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), -ENODEV);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), -ENODEV);
	bufshare_buffer_unref(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_every_type),
		guest_test(test_arguments),
		guest_test(test_many_at_once),
		guest_test(test_overflow),
		guest_test(test_overflow_properties),
		guest_test(test_newer),
		guest_test(test_older),
		guest_test(test_broken),
		guest_test(test_poll),
		guest_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
