/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: properties, before and while a buffer is registered.
 */
#include <drm_fourcc.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/guest-fixture.h"

static void test_unregistered(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	const char *value = NULL;
	unsigned int calls = fake_count_ioctls(g->fake);

	assert_int_equal(bufshare_buffer_get_property(buf, "title", &value), -ENOENT);
	assert_null(value);
	assert_int_equal(bufshare_buffer_set_property(buf, "title", "one"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "title", "two"), 0);
	assert_int_equal(bufshare_buffer_get_property(buf, "title", &value), 0);
	assert_string_equal(value, "two");
	assert_int_equal(bufshare_buffer_set_property(buf, "title", NULL), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "title", NULL), -ENOENT);
	assert_int_equal(bufshare_buffer_get_property(buf, "title", &value), -ENOENT);
	assert_int_equal(fake_count_ioctls(g->fake), calls);
	bufshare_buffer_unref(buf);
}

static void test_registered_with(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	uint64_t id;

	assert_int_equal(bufshare_buffer_set_property(buf, "title", "one"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "empty", ""), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	id = bufshare_buffer_get_id(buf);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_SET_PROPERTIES), 0);
	assert_string_equal(fake_get_property(g->fake, id, "title"), "one");
	assert_string_equal(fake_get_property(g->fake, id, "empty"), "");
	assert_int_equal(bufshare_buffer_set_property(buf, "title", "two"), 0);
	assert_string_equal(fake_get_property(g->fake, id, "title"), "two");
	assert_int_equal(bufshare_buffer_set_property(buf, "empty", NULL), 0);
	assert_null(fake_get_property(g->fake, id, "empty"));
	bufshare_buffer_unref(buf);
}

static void test_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	char longest[BUFSHARE_PROPERTY_NAME_SIZE + 1], large[BUFSHARE_PROPERTY_VALUE_SIZE + 1];
	const char *value = NULL, *name = NULL;

	memset(longest, 'n', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memset(large, 'v', sizeof(large));
	large[sizeof(large) - 1] = '\0';

	assert_int_equal(bufshare_buffer_set_property(NULL, "a", "b"), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, NULL, "b"), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, "", "b"), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, "A", "b"), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, "a=", "b"), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, longest, "b"), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, "a", "\xff"), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, "a", large), -EINVAL);
	assert_int_equal(bufshare_buffer_set_property(buf, "host.a", "b"), -EPERM);
	assert_int_equal(bufshare_buffer_set_property(buf, "host.a", NULL), -EPERM);
	assert_int_equal(bufshare_buffer_get_property(NULL, "a", &value), -EINVAL);
	assert_int_equal(bufshare_buffer_get_property(buf, NULL, &value), -EINVAL);
	assert_int_equal(bufshare_buffer_get_property(buf, "a", NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_next_property(NULL, &name), -EINVAL);
	assert_int_equal(bufshare_buffer_next_property(buf, NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_next_property(buf, &name), -ENOENT);
	assert_null(name);
	bufshare_buffer_unref(buf);
}

static void test_longest(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	char longest[BUFSHARE_PROPERTY_NAME_SIZE], large[BUFSHARE_PROPERTY_VALUE_SIZE];
	const char *value;

	memset(longest, 'n', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memset(large, 'v', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	assert_int_equal(bufshare_buffer_set_property(buf, longest, large), 0);
	assert_int_equal(bufshare_buffer_get_property(buf, longest, &value), 0);
	assert_string_equal(value, large);
	bufshare_buffer_unref(buf);
}

static void test_too_many(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	char name[16];
	int i;

	for (i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		assert_int_equal(bufshare_buffer_set_property(buf, name, "v"), 0);
	}
	assert_int_equal(bufshare_buffer_set_property(buf, "n64", "v"), -ENOSPC);
	assert_int_equal(bufshare_buffer_set_property(buf, "n0", "w"), 0);
	bufshare_buffer_unref(buf);
}

static void test_too_large(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	char large[BUFSHARE_PROPERTY_VALUE_SIZE];

	memset(large, 'v', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	assert_int_equal(bufshare_buffer_set_property(buf, "a", large), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "b", large), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "c", large), -ENOSPC);
	assert_int_equal(bufshare_buffer_set_property(buf, "c", "short"), 0);
	bufshare_buffer_unref(buf);
}

/* A change that the host refuses is no change. */
static void test_refused(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const char *value;

	assert_int_equal(bufshare_buffer_set_property(buf, "title", "one"), 0);
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, ENOSPC, 1);
	assert_int_equal(bufshare_buffer_set_property(buf, "title", "two"), -ENOSPC);
	assert_int_equal(bufshare_buffer_get_property(buf, "title", &value), 0);
	assert_string_equal(value, "one");
	bufshare_buffer_unref(buf);
}

static void test_walk(void **state)
{
	static const char *const expected[] = { "a", "b-1", "b.1", "host.z", "title" };
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	const char *name = NULL;
	size_t i;
	struct bufshare_event event;

	assert_int_equal(bufshare_buffer_set_property(buf, "title", "t"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "b.1", "x"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "a", "x"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "b-1", "x"), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	fake_host_set_property(g->fake, bufshare_buffer_get_id(buf), "host.z", "1");
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(bufshare_buffer_next_property(buf, &name), 0);
		assert_string_equal(name, expected[i]);
	}
	assert_int_equal(bufshare_buffer_next_property(buf, &name), -ENOENT);
	assert_string_equal(name, "title");
	bufshare_buffer_unref(buf);
}

/* ---- the host's ---- */

static void test_host_property(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	uint64_t id = bufshare_buffer_get_id(buf);
	unsigned int calls;
	struct bufshare_event event;
	const char *value;

	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), -ENOENT);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_GET_PROPERTIES), 0);
	fake_host_set_property(g->fake, id, "host.x", "1");
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.type, BUFSHARE_EVENT_PROPERTIES);
	assert_int_equal(event.buffer_id, id);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), 0);
	assert_string_equal(value, "1");

	/* Once read it is known. */
	calls = fake_count_ioctls(g->fake);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), 0);
	assert_int_equal(fake_count_ioctls(g->fake), calls);

	/* The guest's own stay. */
	assert_int_equal(bufshare_buffer_set_property(buf, "title", "mine"), 0);
	fake_host_set_property(g->fake, id, "host.x", NULL);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), -ENOENT);
	assert_int_equal(bufshare_buffer_get_property(buf, "title", &value), 0);
	assert_string_equal(value, "mine");
	bufshare_buffer_unref(buf);
}

/* The administrator's: the owner hears of it, and reads what is there now. */
static void test_set_of_other(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	uint64_t id = bufshare_buffer_get_id(buf);
	struct bufshare_device *other;
	struct bufshare_event event;
	const char *value;

	assert_int_equal(bufshare_buffer_set_property(buf, "title", "mine"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "old", "1"), 0);
	assert_int_equal(bufshare_device_new_from_label("desk", &other), 0);
	assert_int_equal(bufshare_device_set_buffer_property(other, id, "title", "x"), -ENOTCONN);
	assert_int_equal(bufshare_device_open(other), 0);
	assert_int_equal(bufshare_device_set_buffer_property(other, id, "title", "x"), -EACCES);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), -EAGAIN);

	fake_set_privileged(g->fake, true);
	assert_int_equal(bufshare_device_set_buffer_property(other, id, "title", "theirs"), 0);
	assert_int_equal(bufshare_device_set_buffer_property(other, id, "old", NULL), 0);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.type, BUFSHARE_EVENT_PROPERTIES);
	assert_int_equal(event.buffer_id, id);
	assert_int_equal(bufshare_buffer_get_property(buf, "title", &value), 0);
	assert_string_equal(value, "theirs");
	assert_int_equal(bufshare_buffer_get_property(buf, "old", &value), -ENOENT);

	/* What came meanwhile can be removed by the owner. */
	assert_int_equal(bufshare_device_set_buffer_property(other, id, "new", "1"), 0);
	while (bufshare_device_read_event(g->dev, &event) == 0)
		;
	assert_int_equal(bufshare_buffer_set_property(buf, "new", NULL), 0);
	assert_null(fake_get_property(g->fake, id, "new"));

	/* Their own they may change so too. */
	assert_int_equal(bufshare_device_set_buffer_property(g->dev, id, "title", "again"), 0);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), -EAGAIN);
	assert_int_equal(bufshare_buffer_get_property(buf, "title", &value), 0);
	assert_string_equal(value, "again");
	bufshare_device_unref(other);
	bufshare_buffer_unref(buf);
}

static void test_set_of_other_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	uint64_t id = bufshare_buffer_get_id(buf);

	fake_set_privileged(g->fake, true);
	assert_int_equal(bufshare_device_set_buffer_property(NULL, id, "a", "1"), -EINVAL);
	assert_int_equal(bufshare_device_set_buffer_property(g->dev, 0, "a", "1"), -EINVAL);
	assert_int_equal(bufshare_device_set_buffer_property(g->dev, id, NULL, "1"), -EINVAL);
	assert_int_equal(bufshare_device_set_buffer_property(g->dev, id, "A", "1"), -EINVAL);
	assert_int_equal(bufshare_device_set_buffer_property(g->dev, id, "a", "\xff"), -EINVAL);
	assert_int_equal(bufshare_device_set_buffer_property(g->dev, id, "host.a", "1"), -EPERM);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_SET_PROPERTIES), 0);
	assert_int_equal(bufshare_device_set_buffer_property(g->dev, id + 1, "a", "1"), -ENOENT);
	bufshare_buffer_unref(buf);
}

/* They belong to the registration. */
static void test_host_property_ends(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_event event;
	const char *value;

	assert_int_equal(bufshare_buffer_set_property(buf, "title", "t"), 0);
	fake_host_set_property(g->fake, bufshare_buffer_get_id(buf), "host.x", "1");
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), 0);
	assert_int_equal(bufshare_buffer_unregister(buf), 0);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), -ENOENT);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_null(fake_get_property(g->fake, bufshare_buffer_get_id(buf), "host.x"));
	assert_string_equal(fake_get_property(g->fake, bufshare_buffer_get_id(buf), "title"), "t");
	bufshare_buffer_unref(buf);
}

static void test_host_property_error(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_event event;
	const char *value, *name = NULL;

	fake_host_set_property(g->fake, bufshare_buffer_get_id(buf), "host.x", "1");
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, ETIMEDOUT, 2);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), -ETIMEDOUT);
	assert_int_equal(bufshare_buffer_next_property(buf, &name), -ETIMEDOUT);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), 0);
	bufshare_buffer_unref(buf);
}

/* ---- framebuffers ---- */

static const struct bufshare_framebuffer good = {
	.width = 16, .height = 16, .stride = 64, .format = DRM_FORMAT_XRGB8888, .offset = 128,
};

static void test_framebuffer(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_framebuffer fb = good, out;
	uint64_t id = bufshare_buffer_get_id(buf);

	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), 0);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_SET_PROPERTIES), 1);
	assert_string_equal(fake_get_property(g->fake, id, "width"), "16");
	assert_string_equal(fake_get_property(g->fake, id, "offset"), "128");
	assert_string_equal(fake_get_property(g->fake, id, "format"), "XR24");
	fb.modifier = 0x100000000000001;
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), 0);
	assert_string_equal(fake_get_property(g->fake, id, "modifier"), "0x100000000000001");
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &out), 0);
	assert_memory_equal(&fb, &out, sizeof(fb));
	fb.modifier = 0;
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), 0);
	assert_null(fake_get_property(g->fake, id, "modifier"));
	bufshare_buffer_unref(buf);
}

static void test_set_framebuffer_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	struct bufshare_framebuffer fb;

	assert_int_equal(bufshare_buffer_set_framebuffer(NULL, &good), -EINVAL);
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, NULL), -EINVAL);
	fb = good;
	fb.width = 0;
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), -EINVAL);
	fb = good;
	fb.height = 0;
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), -EINVAL);
	fb = good;
	fb.stride = 0;
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), -EINVAL);
	fb = good;
	fb.format = 0;
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), -EINVAL);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), -ENOENT);
	bufshare_buffer_unref(buf);
}

/* Properties that a program set one by one need not make sense. */
static void check_framebuffer(struct guest *g, const char *name, const char *value, int expected)
{
	struct bufshare_buffer *buf = guest_buffer(g);
	struct bufshare_framebuffer fb;

	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &good), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, name, value), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), expected);
	bufshare_buffer_unref(buf);
}

static void test_get_framebuffer_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	struct bufshare_framebuffer fb;

	check_framebuffer(g, "width", NULL, -ENOENT);
	check_framebuffer(g, "height", NULL, -ENOENT);
	check_framebuffer(g, "stride", NULL, -ENOENT);
	check_framebuffer(g, "format", NULL, -ENOENT);
	check_framebuffer(g, "offset", NULL, 0);
	check_framebuffer(g, "width", "4294967296", -EINVAL);
	check_framebuffer(g, "width", "-1", -EINVAL);
	check_framebuffer(g, "width", "16 ", -EINVAL);
	check_framebuffer(g, "width", "", -EINVAL);
	check_framebuffer(g, "format", "XR2", -EINVAL);
	check_framebuffer(g, "offset", "x", -EINVAL);
	check_framebuffer(g, "modifier", "green", -EINVAL);
	check_framebuffer(g, "modifier", "0x10000000000000000", -EINVAL);
	assert_int_equal(bufshare_buffer_get_framebuffer(NULL, &fb), -EINVAL);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, NULL), -EINVAL);
	bufshare_buffer_unref(buf);
}

/* The planes are properties too, and go when a picture has fewer. */
static void test_planes(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const uint64_t id = bufshare_buffer_get_id(buf);
	const struct bufshare_framebuffer planes = {
		.width = 16, .height = 16, .stride = 32, .format = DRM_FORMAT_YUV420,
		.num_more = 2, .more = { { .offset = 512, .stride = 16 }, { .offset = 1024, .stride = 8 } },
	};
	struct bufshare_framebuffer fb;

	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &planes), 0);
	assert_string_equal(fake_get_property(g->fake, id, "plane1.offset"), "512");
	assert_string_equal(fake_get_property(g->fake, id, "plane1.stride"), "16");
	assert_string_equal(fake_get_property(g->fake, id, "plane2.offset"), "1024");
	assert_string_equal(fake_get_property(g->fake, id, "plane2.stride"), "8");
	assert_null(fake_get_property(g->fake, id, "offset"));
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_memory_equal(&fb, &planes, sizeof(fb));
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &good), 0);
	assert_null(fake_get_property(g->fake, id, "plane1.offset"));
	assert_null(fake_get_property(g->fake, id, "plane2.stride"));
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_memory_equal(&fb, &good, sizeof(fb));
	bufshare_buffer_unref(buf);
}

/* Set and get refuse alike, and what is refused changes nothing. */
static void test_outside(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	struct bufshare_framebuffer fb = {
		.width = 8, .height = 129, .stride = 32, .format = DRM_FORMAT_XRGB8888,
	};

	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), -EINVAL);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), -ENOENT);
	fb.height = 128;
	assert_int_equal(bufshare_buffer_set_framebuffer(buf, &fb), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "height", "129"), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), -EINVAL);
	assert_int_equal(fb.height, 128);
	bufshare_buffer_unref(buf);
}

/* A walk goes on whatever becomes of the property it is at. */
static void test_walk_and_change(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const char *name = NULL, *value;
	struct bufshare_event event;
	char seen[64] = "";

	assert_int_equal(bufshare_buffer_set_property(buf, "a", "1"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "b", "2"), 0);
	assert_int_equal(bufshare_buffer_set_property(buf, "d", "4"), 0);
	while (bufshare_buffer_next_property(buf, &name) == 0) {
		strcat(seen, name);
		assert_int_equal(bufshare_buffer_set_property(buf, name, NULL), 0);
		if (strcmp(name, "b") == 0)
			assert_int_equal(bufshare_buffer_set_property(buf, "c", "3"), 0);
		fake_host_set_property(g->fake, bufshare_buffer_get_id(buf), "host.x", name);
		assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
		assert_int_equal(bufshare_buffer_get_property(buf, "host.x", &value), 0);
		assert_string_equal(value, name);
		if (strcmp(name, "d") == 0)
			break;
	}
	assert_string_equal(seen, "abcd");
	bufshare_buffer_unref(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_unregistered),
		guest_test(test_registered_with),
		guest_test(test_wrong),
		guest_test(test_longest),
		guest_test(test_too_many),
		guest_test(test_too_large),
		guest_test(test_refused),
		guest_test(test_walk),
		guest_test(test_host_property),
		guest_test(test_set_of_other),
		guest_test(test_set_of_other_wrong),
		guest_test(test_host_property_ends),
		guest_test(test_host_property_error),
		guest_test(test_framebuffer),
		guest_test(test_set_framebuffer_wrong),
		guest_test(test_get_framebuffer_wrong),
		guest_test(test_planes),
		guest_test(test_outside),
		guest_test(test_walk_and_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
