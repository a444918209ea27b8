/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: register, update, unregister.
 */
#include <errno.h>
#include <linux/virtio_bufshare.h>
#include <stdlib.h>
#include <string.h>

#include "guest/guest-fixture.h"

static void test_register(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	uint8_t uuid[BUFSHARE_UUID_SIZE], zero[BUFSHARE_UUID_SIZE] = { 0 };
	uint64_t first;

	assert_int_equal(bufshare_buffer_get_uuid(buf, uuid), -ENOENT);
	assert_int_equal(bufshare_buffer_register(buf, "org.example_1-a"), 0);
	first = bufshare_buffer_get_id(buf);
	assert_int_not_equal(first, 0);
	assert_string_equal(fake_get_application(g->fake, first), "org.example_1-a");
	assert_int_equal(bufshare_buffer_get_uuid(buf, uuid), 0);
	assert_memory_not_equal(uuid, zero, sizeof(uuid));
	assert_int_equal(bufshare_buffer_get_uuid(NULL, uuid), -EINVAL);
	assert_int_equal(bufshare_buffer_get_uuid(buf, NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_register(buf, "app"), -EALREADY);

	assert_int_equal(bufshare_buffer_unregister(buf), 0);
	assert_int_equal(bufshare_buffer_get_id(buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_true(bufshare_buffer_get_id(buf) > first);
	bufshare_buffer_unref(buf);
	assert_int_equal(fake_count_registered(g->fake), 0);
}

static void test_register_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	char longest[BUFSHARE_APPLICATION_SIZE + 1];

	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(bufshare_buffer_register(NULL, "app"), -EINVAL);
	assert_int_equal(bufshare_buffer_register(buf, NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_register(buf, ""), -EINVAL);
	assert_int_equal(bufshare_buffer_register(buf, ".app"), -EINVAL);
	assert_int_equal(bufshare_buffer_register(buf, "a/b"), -EINVAL);
	assert_int_equal(bufshare_buffer_register(buf, longest), -EINVAL);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_REGISTER), 0);
	longest[sizeof(longest) - 2] = '\0';
	assert_int_equal(bufshare_buffer_register(buf, longest), 0);
	bufshare_buffer_unref(buf);
}

static void check_refused(struct guest *g, uint32_t status, uint32_t detail, int error,
			  const char *says)
{
	struct bufshare_buffer *buf = guest_buffer(g);

	fake_refuse_register(g->fake, status, detail);
	assert_int_equal(bufshare_buffer_register(buf, "app"), error);
	assert_int_equal(bufshare_buffer_get_id(buf), 0);
	if (!strstr(bufshare_buffer_get_refusal(buf), says))
		fail_msg("refusal: %s; expected: %s", bufshare_buffer_get_refusal(buf), says);

	/* It does not stick. */
	fake_refuse_register(g->fake, 0, 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_string_equal(bufshare_buffer_get_refusal(buf), "");
	bufshare_buffer_unref(buf);
}

static void test_refusals(void **state)
{
	struct guest *g = *state;
	const uint32_t limit = VIRTIO_BUFSHARE_STATUS_LIMIT;

	check_refused(g, limit, VIRTIO_BUFSHARE_LIMIT_BUFFERS, -ENOSPC, "64 buffers");
	check_refused(g, limit, VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE, -ENOSPC,
		      "67108864 bytes, this buffer has 4096");
	check_refused(g, limit, VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE, -ENOSPC,
		      "268435456 bytes in all");
	check_refused(g, limit, VIRTIO_BUFSHARE_LIMIT_RANGES, -ENOSPC, "more ranges");
	check_refused(g, limit, VIRTIO_BUFSHARE_LIMIT_PROPERTIES, -ENOSPC, "64 properties");
	check_refused(g, limit, VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE, -ENOSPC, "3072 bytes");
	check_refused(g, limit, 99, -ENOSPC, "(99)");
	check_refused(g, VIRTIO_BUFSHARE_STATUS_MEMORY, 0, -EOPNOTSUPP, "qemu-args");
	check_refused(g, VIRTIO_BUFSHARE_STATUS_DENIED, 0, -EACCES, "policy");
	check_refused(g, VIRTIO_BUFSHARE_STATUS_HOST, ENOMEM, -ENXIO, strerror(ENOMEM));
}

static void test_register_error(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);

	static const struct {
		int error;
		const char *says;
	} errors[] = {
		{ ETIMEDOUT, "does not answer" }, { EREMOTE, "in another device" },
		{ EXDEV, "IOMMU" }, { EADDRNOTAVAIL, "bounce buffers" }, { ENODEV, "unplugged" },
	};
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_REGISTER, errors[i].error, 1);
		assert_int_equal(bufshare_buffer_register(buf, "app"), -errors[i].error);
		assert_non_null(strstr(bufshare_buffer_get_refusal(buf), errors[i].says));
	}
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_REGISTER, ENFILE, 1);
	assert_int_equal(bufshare_buffer_register(buf, "app"), -ENFILE);
	assert_string_equal(bufshare_buffer_get_refusal(buf), strerror(ENFILE));
	bufshare_buffer_unref(buf);
}

/* The limits of the device itself. */
static void test_register_limits(void **state)
{
	struct bufshare_buffer *bufs[3];
	struct bufshare_device *dev;
	int i;

	fake_device_add(&(struct fake_config){ .max_buffers = 2 });
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_open(dev), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(bufshare_buffer_new(dev, 1, &bufs[i]), 0);
		assert_int_equal(bufshare_buffer_register(bufs[i], "app"), i < 2 ? 0 : -ENOSPC);
	}
	bufshare_buffer_unref(bufs[0]);
	assert_int_equal(bufshare_buffer_register(bufs[2], "app"), 0);
	bufshare_buffer_unref(bufs[1]);
	bufshare_buffer_unref(bufs[2]);
	bufshare_device_unref(dev);
}

static void test_unregister(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);

	assert_int_equal(bufshare_buffer_unregister(NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_unregister(buf), -ENOENT);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	fake_set_still_mapped(g->fake, true);
	assert_int_equal(bufshare_buffer_unregister(buf), 1);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);

	/* Whatever is returned, it is not registered afterwards. */
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_UNREGISTER, ETIMEDOUT, 1);
	assert_int_equal(bufshare_buffer_unregister(buf), -ETIMEDOUT);
	assert_int_equal(bufshare_buffer_get_id(buf), 0);
	bufshare_buffer_unref(buf);
}

/* ---- updates ---- */

static void test_update(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const struct drm_bufshare_rect *rects;
	uint64_t seq = 0;

	assert_int_equal(bufshare_buffer_is_busy(buf), 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, &seq), 0);
	assert_int_equal(seq, 1);
	assert_int_equal(fake_get_damage(g->fake, &rects), 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(bufshare_buffer_is_busy(buf), 1);
	fake_host_release(g->fake, bufshare_buffer_get_id(buf), 1, 0);
	assert_int_equal(bufshare_buffer_is_busy(buf), 1);
	fake_host_release(g->fake, bufshare_buffer_get_id(buf), 2, 0);
	assert_int_equal(bufshare_buffer_is_busy(buf), 0);
	bufshare_buffer_unref(buf);
}

/* One call of the driver, and nothing else, however many rectangles. */
static void test_update_cost(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const struct bufshare_rect rect = { 1, 2, 3, 4 };
	unsigned int calls = fake_count_ioctls(g->fake);
	int i;

	for (i = 0; i < 10; i++)
		assert_int_equal(bufshare_buffer_update(buf, &rect, 1, NULL), 0);
	assert_int_equal(fake_count_ioctls(g->fake), calls + 10);
	bufshare_buffer_unref(buf);
}

static void test_damage(void **state)
{
	const struct bufshare_rect damage[] = { { 1, 2, 3, 4 }, { 10, 20, 30, 40 } };
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const struct drm_bufshare_rect *rects;

	assert_int_equal(bufshare_buffer_update(buf, damage, 2, NULL), 0);
	assert_int_equal(fake_get_damage(g->fake, &rects), 2);
	assert_int_equal(rects[1].x, 10);
	assert_int_equal(rects[1].y, 20);
	assert_int_equal(rects[1].width, 30);
	assert_int_equal(rects[1].height, 40);
	bufshare_buffer_unref(buf);
}

/* More than the device takes become one rectangle around all. */
static void check_around(struct bufshare_buffer *buf, struct fake_device *fake, size_t n)
{
	struct bufshare_rect damage[BUFSHARE_MAX_DAMAGE + 1];
	const struct drm_bufshare_rect *rects;
	uint32_t i;

	for (i = 0; i < n; i++)
		damage[i] = (struct bufshare_rect){ 100 - i, 5 + i, 1, 2 };
	assert_int_equal(bufshare_buffer_update(buf, damage, n, NULL), 0);
	assert_int_equal(fake_get_damage(fake, &rects), 1);
	assert_int_equal(rects[0].x, 100 - (n - 1));
	assert_int_equal(rects[0].y, 5);
	assert_int_equal(rects[0].width, n);
	assert_int_equal(rects[0].height, n + 1);
}

static void test_much_damage(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);

	check_around(buf, g->fake, BUFSHARE_MAX_DAMAGE + 1);
	bufshare_buffer_unref(buf);
}

static void test_less_damage_allowed(void **state)
{
	struct fake_device *fake = fake_device_add(&(struct fake_config){ .max_damage = 2 });
	struct bufshare_buffer *buf;
	struct bufshare_device *dev;

	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_open(dev), 0);
	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	check_around(buf, fake, 3);
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
}

/* Around rectangles that reach beyond 32 bits: as much as fits. */
static void test_huge_damage(void **state)
{
	struct bufshare_rect damage[BUFSHARE_MAX_DAMAGE + 1];
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	const struct drm_bufshare_rect *rects;
	size_t i;

	for (i = 0; i < BUFSHARE_MAX_DAMAGE + 1; i++)
		damage[i] = (struct bufshare_rect){ i ? UINT32_MAX - 1 : 0, 0, 1, 1 };
	assert_int_equal(bufshare_buffer_update(buf, damage, BUFSHARE_MAX_DAMAGE + 1, NULL), 0);
	assert_int_equal(fake_get_damage(g->fake, &rects), 1);
	assert_int_equal(rects[0].x, 0);
	assert_int_equal(rects[0].width, UINT32_MAX);
	bufshare_buffer_unref(buf);
}

static void test_update_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	const struct bufshare_rect good = { 0, 0, 1, 1 }, thin = { 0, 0, 0, 1 }, flat = { 0, 0, 1, 0 };
	const struct bufshare_rect wide = { 1, 0, UINT32_MAX, 1 }, high = { 0, 1, 1, UINT32_MAX };
	const struct bufshare_rect largest = { 0, 0, UINT32_MAX, UINT32_MAX };
	uint64_t seq = 9;

	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, &seq), -ENOENT);
	assert_int_equal(bufshare_buffer_is_busy(buf), -ENOENT);
	assert_int_equal(bufshare_buffer_is_busy(NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_int_equal(bufshare_buffer_update(NULL, &good, 1, &seq), -EINVAL);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 1, &seq), -EINVAL);
	assert_int_equal(bufshare_buffer_update(buf, &thin, 1, &seq), -EINVAL);
	assert_int_equal(bufshare_buffer_update(buf, &flat, 1, &seq), -EINVAL);
	assert_int_equal(bufshare_buffer_update(buf, &wide, 1, &seq), -EINVAL);
	assert_int_equal(bufshare_buffer_update(buf, &high, 1, &seq), -EINVAL);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_UPDATE), 0);
	assert_int_equal(bufshare_buffer_update(buf, &largest, 1, NULL), 0);
	fake_host_lose_buffer(g->fake, bufshare_buffer_get_id(buf), BUFSHARE_REASON_HOST);
	assert_int_equal(bufshare_buffer_update(buf, &good, 1, &seq), -ESTALE);
	assert_int_equal(seq, 9);
	bufshare_buffer_unref(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_register),
		guest_test(test_register_wrong),
		guest_test(test_refusals),
		guest_test(test_register_error),
		machine_test(test_register_limits),
		guest_test(test_unregister),
		guest_test(test_update),
		guest_test(test_update_cost),
		guest_test(test_damage),
		guest_test(test_much_damage),
		machine_test(test_less_damage_allowed),
		guest_test(test_huge_damage),
		guest_test(test_update_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
