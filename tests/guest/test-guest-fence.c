/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: updates of several buffers, and with fences.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>

#include "guest/guest-fixture.h"

/* libdrm's own functions do not pass the fake. */
static int fenced_ioctl(struct guest *g, unsigned long request, void *arg)
{
	return drmIoctl(bufshare_device_get_fd(g->dev), request, arg);
}

static uint32_t syncobj_new(struct guest *g)
{
	struct drm_syncobj_create args = { 0 };

	assert_int_equal(fenced_ioctl(g, DRM_IOCTL_SYNCOBJ_CREATE, &args), 0);
	return args.handle;
}

static uint64_t syncobj_point(struct guest *g, uint32_t syncobj)
{
	uint64_t point = 0;
	struct drm_syncobj_timeline_array args = {
		.handles = (uintptr_t)&syncobj,
		.points = (uintptr_t)&point,
		.count_handles = 1,
	};

	assert_int_equal(fenced_ioctl(g, DRM_IOCTL_SYNCOBJ_QUERY, &args), 0);
	return point;
}

static void syncobj_signal(struct guest *g, uint32_t syncobj, uint64_t point)
{
	struct drm_syncobj_timeline_array args = {
		.handles = (uintptr_t)&syncobj,
		.points = (uintptr_t)&point,
		.count_handles = 1,
	};

	assert_int_equal(fenced_ioctl(g, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &args), 0);
}

static void test_acquire_fd(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const uint64_t id = bufshare_buffer_get_id(buf);
	const int fence = fake_fence_new();
	struct bufshare_update update = {
		.buffer = buf,
		.flags = BUFSHARE_UPDATE_ACQUIRE_FD,
		.acquire_fd = fence,
	};

	assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	assert_int_equal(update.seq, 1);
	assert_false(fake_host_was_told(g->fake, id, 1));
	fake_fence_signal(fence);
	assert_true(fake_host_was_told(g->fake, id, 1));

	/* It stays the caller's, and may be closed before it is signalled. */
	assert_int_equal(close(fence), 0);
	assert_true(fake_host_was_told(g->fake, id, 1));
	bufshare_buffer_unref(buf);
}

static void test_acquire_syncobj(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const uint64_t id = bufshare_buffer_get_id(buf);
	struct bufshare_update update = {
		.buffer = buf,
		.flags = BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ,
		.acquire_syncobj = syncobj_new(g),
		.acquire_point = 5,
	};

	assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	syncobj_signal(g, update.acquire_syncobj, 4);
	assert_false(fake_host_was_told(g->fake, id, 1));
	syncobj_signal(g, update.acquire_syncobj, 5);
	assert_true(fake_host_was_told(g->fake, id, 1));
	bufshare_buffer_unref(buf);
}

static void test_too_many(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_update update = {
		.buffer = buf,
		.flags = BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ,
		.acquire_syncobj = syncobj_new(g),
	};
	int i;

	for (i = 0; i < DRM_BUFSHARE_MAX_OUTSTANDING; i++)
		assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	assert_int_equal(bufshare_device_update(g->dev, &update, 1), -EBUSY);
	fake_host_release(g->fake, bufshare_buffer_get_id(buf), 1, 0);
	assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	bufshare_buffer_unref(buf);
}

static void test_acquire_implicit(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_update update = {
		.buffer = buf,
		.flags = BUFSHARE_UPDATE_ACQUIRE_IMPLICIT,
	};

	assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	assert_true(fake_host_was_told(g->fake, bufshare_buffer_get_id(buf), update.seq));
	bufshare_buffer_unref(buf);
}

static void test_release_syncobj(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const uint64_t id = bufshare_buffer_get_id(buf);
	const uint32_t syncobj = syncobj_new(g);
	struct bufshare_update update = {
		.buffer = buf,
		.flags = BUFSHARE_UPDATE_RELEASE_SYNCOBJ,
		.release_syncobj = syncobj,
	};

	for (update.release_point = 7; update.release_point < 9; update.release_point++)
		assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	assert_int_equal(syncobj_point(g, syncobj), 0);
	fake_host_release(g->fake, id, 1, 0);
	assert_int_equal(syncobj_point(g, syncobj), 7);
	fake_host_release(g->fake, id, 2, 0);
	assert_int_equal(syncobj_point(g, syncobj), 8);

	/* The end of the registration releases too. */
	update.release_point = 9;
	assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	assert_int_equal(bufshare_buffer_unregister(buf), 0);
	assert_int_equal(syncobj_point(g, syncobj), 9);
	bufshare_buffer_unref(buf);
}

/* An update that is right, and each way in which its fences can be wrong. */
static void test_fences_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const uint32_t syncobj = syncobj_new(g);
	const int fence = fake_fence_new();
	const struct bufshare_update right = {
		.buffer = buf,
		.flags = BUFSHARE_UPDATE_ACQUIRE_FD | BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ |
			 BUFSHARE_UPDATE_ACQUIRE_IMPLICIT | BUFSHARE_UPDATE_RELEASE_SYNCOBJ,
		.acquire_fd = fence,
		.acquire_syncobj = syncobj,
		.acquire_point = 1,
		.release_syncobj = syncobj,
		.release_point = 2,
	};
	struct bufshare_update update;
	const unsigned int calls = fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_UPDATE);

#define REFUSED(error, ...) \
	do { \
		update = right; \
		__VA_ARGS__; \
		assert_int_equal(bufshare_device_update(g->dev, &update, 1), error); \
		assert_int_equal(update.seq, 0); \
	} while (0)
	REFUSED(-EINVAL, update.flags |= 1U << 4);
	REFUSED(-EINVAL, update.flags &= ~BUFSHARE_UPDATE_ACQUIRE_FD);
	REFUSED(-EINVAL, update.acquire_fd = -1);
	REFUSED(-EINVAL, update.acquire_syncobj = 0);
	REFUSED(-EINVAL, update.flags &= ~BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ);
	REFUSED(-EINVAL, update.flags &= ~BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ; update.acquire_point = 0);
	REFUSED(-EINVAL, update.flags &= ~BUFSHARE_UPDATE_ACQUIRE_SYNCOBJ; update.acquire_syncobj = 0);
	REFUSED(-EINVAL, update.release_syncobj = 0);
	REFUSED(-EINVAL, update.flags &= ~BUFSHARE_UPDATE_RELEASE_SYNCOBJ);
	REFUSED(-EINVAL, update.flags &= ~BUFSHARE_UPDATE_RELEASE_SYNCOBJ; update.release_point = 0);
	REFUSED(-EINVAL, update.flags &= ~BUFSHARE_UPDATE_RELEASE_SYNCOBJ; update.release_syncobj = 0);
	REFUSED(-EINVAL, update.reserved[0] = 1);
	REFUSED(-EINVAL, update.reserved[1] = 1);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_UPDATE), calls);

	/* What only the driver can know. */
	REFUSED(-EINVAL, update.acquire_fd = STDERR_FILENO);
	REFUSED(-ENOENT, update.acquire_syncobj = 9);
	REFUSED(-ENOENT, update.release_syncobj = 9);
	update = right;
	assert_int_equal(bufshare_device_update(g->dev, &update, 1), 0);
	close(fence);
	bufshare_buffer_unref(buf);
}

/* With a driver or a host that has no fences. */
static void test_no_fences(void **state)
{
	struct bufshare_update update = { .flags = BUFSHARE_UPDATE_ACQUIRE_IMPLICIT };
	struct bufshare_device *dev;
	struct fake_device *fake;

	fake = fake_device_add(&(struct fake_config){ .no_features = DRM_BUFSHARE_FEATURE_FENCES });
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_open(dev), 0);
	assert_int_equal(bufshare_device_has_feature(dev, BUFSHARE_FEATURE_FENCES), 0);
	assert_int_equal(bufshare_buffer_new(dev, 1, &update.buffer), 0);
	assert_int_equal(bufshare_buffer_register(update.buffer, "app"), 0);
	assert_int_equal(bufshare_device_update(dev, &update, 1), -EOPNOTSUPP);
	assert_int_equal(fake_count_ioctl(fake, DRM_IOCTL_BUFSHARE_UPDATE), 0);
	update.flags = 0;
	assert_int_equal(bufshare_device_update(dev, &update, 1), 0);
	bufshare_buffer_unref(update.buffer);
	bufshare_device_unref(dev);
}

static void test_batch(void **state)
{
	const struct bufshare_rect damage = { 1, 2, 3, 4 };
	struct bufshare_update updates[BUFSHARE_MAX_UPDATES] = { 0 };
	struct guest *g = *state;
	unsigned int calls, i;

	for (i = 0; i < BUFSHARE_MAX_UPDATES; i++)
		updates[i].buffer = guest_registered(g);
	assert_int_equal(bufshare_buffer_update(updates[1].buffer, NULL, 0, NULL), 0);
	updates[2].damage = &damage;
	updates[2].num_damage = 1;

	calls = fake_count_ioctls(g->fake);
	assert_int_equal(bufshare_device_update(g->dev, updates, BUFSHARE_MAX_UPDATES), 0);
	assert_int_equal(fake_count_ioctls(g->fake), calls + 1);
	for (i = 0; i < BUFSHARE_MAX_UPDATES; i++) {
		assert_int_equal(updates[i].seq, i == 1 ? 2 : 1);
		assert_int_equal(bufshare_buffer_is_busy(updates[i].buffer), 1);
	}
	for (i = 0; i < BUFSHARE_MAX_UPDATES; i++)
		bufshare_buffer_unref(updates[i].buffer);
}

/* All or none. */
static void test_batch_wrong(void **state)
{
	const struct bufshare_rect empty = { 0, 0, 1, 0 };
	struct bufshare_update updates[BUFSHARE_MAX_UPDATES + 1] = { 0 };
	struct guest *g = *state;
	struct bufshare_buffer *first = guest_registered(g), *second = guest_registered(g);
	struct bufshare_buffer *foreign, *loose = guest_buffer(g);
	struct bufshare_device *other;
	const unsigned int calls = fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_UPDATE);

	fake_device_add(&(struct fake_config){ .label = "other" });
	assert_int_equal(bufshare_device_new_from_label("other", &other), 0);
	assert_int_equal(bufshare_device_open(other), 0);
	assert_int_equal(bufshare_buffer_new(other, 1, &foreign), 0);
	assert_int_equal(bufshare_buffer_register(foreign, "app"), 0);

	updates[0].buffer = first;
	assert_int_equal(bufshare_device_update(NULL, updates, 1), -EINVAL);
	assert_int_equal(bufshare_device_update(g->dev, NULL, 1), -EINVAL);
	assert_int_equal(bufshare_device_update(g->dev, updates, 0), -EINVAL);
	assert_int_equal(bufshare_device_update(g->dev, updates, BUFSHARE_MAX_UPDATES + 1), -EINVAL);
	assert_int_equal(bufshare_device_update(g->dev, updates, 2), -EINVAL); /* no buffer */
	updates[1].buffer = foreign;
	assert_int_equal(bufshare_device_update(g->dev, updates, 2), -EINVAL);
	updates[1].buffer = loose;
	assert_int_equal(bufshare_device_update(g->dev, updates, 2), -ENOENT);
	updates[1].buffer = second;
	updates[1].num_damage = 1;
	assert_int_equal(bufshare_device_update(g->dev, updates, 2), -EINVAL);
	updates[1].damage = &empty;
	assert_int_equal(bufshare_device_update(g->dev, updates, 2), -EINVAL);
	updates[1].num_damage = 0;
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_UPDATE), calls);

	/* What the driver says. */
	updates[1].buffer = first;
	assert_int_equal(bufshare_device_update(g->dev, updates, 2), -EINVAL); /* twice */
	updates[1].buffer = second;
	fake_host_lose_buffer(g->fake, bufshare_buffer_get_id(second), 0);
	assert_int_equal(bufshare_device_update(g->dev, updates, 2), -ESTALE);
	assert_int_equal(bufshare_buffer_is_busy(first), 0);
	assert_int_equal(updates[0].seq, 0);

	bufshare_buffer_unref(first);
	bufshare_buffer_unref(second);
	bufshare_buffer_unref(loose);
	bufshare_buffer_unref(foreign);
	bufshare_device_unref(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_acquire_fd),
		guest_test(test_acquire_syncobj),
		guest_test(test_acquire_implicit),
		guest_test(test_too_many),
		guest_test(test_release_syncobj),
		guest_test(test_fences_wrong),
		machine_test(test_no_fences),
		guest_test(test_batch),
		guest_test(test_batch_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
