/* SPDX-License-Identifier: MIT */
/*
 * libbufshare with older and newer drivers: what is not there is answered, what is not
 * known does not disturb.
 */
#include <errno.h>
#include <linux/virtio_bufshare.h>
#include <sys/mman.h>

#include "guest/guest-fixture.h"

static unsigned char *pages_new(size_t size)
{
	unsigned char *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	return pages;
}

static void expect_event(struct bufshare_device *dev, uint32_t type, uint64_t id)
{
	struct bufshare_event event;

	assert_int_equal(bufshare_device_wait(dev, 0), 0);
	assert_int_equal(bufshare_device_read_event(dev, &event), 0);
	assert_int_equal(event.type, type);
	assert_int_equal(event.buffer_id, id);
	assert_int_equal(event.time_ns, 12345);
	assert_int_equal(bufshare_device_read_event(dev, &event), -EAGAIN);
}

/* What every driver can do, from the beginning to the end. */
static void live(struct fake_device *fake, struct bufshare_device *dev)
{
	struct bufshare_buffer_info info;
	struct bufshare_buffer *buf;
	const char *value;
	uint64_t id, seq;
	void *addr;

	assert_int_equal(bufshare_buffer_new_framebuffer(dev, 4, 4, 0x34325258, &buf), 0);
	assert_int_equal(bufshare_buffer_map(buf, &addr), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	id = bufshare_buffer_get_id(buf);

	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, &seq), 0);
	assert_int_equal(bufshare_buffer_is_busy(buf), 1);
	assert_int_equal(bufshare_buffer_wait(buf, seq, 0), -ETIMEDOUT);
	fake_host_release(fake, id, seq, 0);
	assert_int_equal(bufshare_buffer_wait(buf, seq, 0), 0);
	expect_event(dev, BUFSHARE_EVENT_RELEASED, id);
	fake_host_set_property(fake, id, "host.viewer", "x");
	expect_event(dev, BUFSHARE_EVENT_PROPERTIES, id);
	assert_int_equal(bufshare_buffer_get_property(buf, "host.viewer", &value), 0);
	assert_string_equal(value, "x");
	fake_host_consumers(fake, id, 2);
	expect_event(dev, BUFSHARE_EVENT_CONSUMERS, id);

	assert_int_equal(bufshare_device_get_buffer_info(dev, id, &info), 0);
	assert_int_equal(info.consumers, 2);
	assert_int_equal(info.lost | info.imported | info.user_memory, 0);
	fake_host_lose_buffer(fake, id, BUFSHARE_REASON_HOST);
	expect_event(dev, BUFSHARE_EVENT_BUFFER_LOST, id);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), -ESTALE);
	assert_int_equal(bufshare_buffer_unregister(buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	bufshare_buffer_unref(buf);
	assert_int_equal(fake_count_registered(fake), 0);
}

static struct bufshare_device *open_only(void)
{
	struct bufshare_device *dev;

	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_open(dev), 0);
	return dev;
}

static void test_today(void **state)
{
	struct guest *g = *state;

	live(g->fake, g->dev);
}

static void test_older_driver(void **state)
{
	static const char *const limits[] = { "max_buffers", "max_buffer_size", "max_total_size",
					      "max_ranges", "max_properties",
					      "max_properties_size", "max_damage" };
	struct fake_device *fake = fake_device_add(&(struct fake_config){
		.older = true, .no_features = ~0ULL });
	struct bufshare_device *dev;
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		fake_device_set_attribute(fake, limits[i], NULL);
	fake_fail_ioctl(fake, DRM_IOCTL_BUFSHARE_GET_PARAM, EINVAL, -1);
	dev = open_only();
	live(fake, dev);
	bufshare_device_unref(dev);
}

static void test_newer_driver(void **state)
{
	struct fake_device *fake = fake_device_add(&(struct fake_config){ .newer = true });
	struct bufshare_device *dev;
	struct bufshare_buffer *buf;

	fake_device_set_attribute(fake, "max_colours", "4294967296");
	dev = open_only();
	assert_int_equal(bufshare_device_has_feature(dev, BUFSHARE_FEATURE_FENCES), 1);
	assert_int_equal(bufshare_device_has_feature(dev, BUFSHARE_FEATURE_RECOVERY), 0);
	live(fake, dev);

	/* A limit that has no name yet, and a status that nobody knows. */
	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), 0);
	fake_refuse_register(fake, VIRTIO_BUFSHARE_STATUS_LIMIT, 99);
	assert_int_equal(bufshare_buffer_register(buf, "app"), -ENOSPC);
	assert_string_equal(bufshare_buffer_get_refusal(buf), "a limit of the host (99) is reached");
	fake_refuse_register(fake, 99, UINT32_MAX);
	assert_int_equal(bufshare_buffer_register(buf, "app"), -EINVAL);
	assert_string_equal(bufshare_buffer_get_refusal(buf), "Invalid argument");
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
}

/* Of a buffer it unregisters, this one says more than it has to. */
static void test_newer_still_mapped(void **state)
{
	struct fake_device *fake = fake_device_add(&(struct fake_config){ .newer = true });
	struct bufshare_device *dev = open_only();
	struct bufshare_buffer *buf;

	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	fake_set_still_mapped(fake, true);
	assert_int_equal(bufshare_buffer_unregister(buf), 1);
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
}

/* A driver that knows no parameters has no features, and works. */
static void test_oldest_driver(void **state)
{
	unsigned char *pages = pages_new(4096);
	struct bufshare_device *dev;
	struct bufshare_buffer *buf;
	struct fake_device *fake;
	int i;

	fake = fake_device_add(&(struct fake_config){ .no_features = ~0ULL });
	fake_fail_ioctl(fake, DRM_IOCTL_BUFSHARE_GET_PARAM, EINVAL, -1);
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_open(dev), 0);
	for (i = BUFSHARE_FEATURE_HOST_PROPERTIES; i <= BUFSHARE_FEATURE_HUGE_PAGES; i++)
		assert_int_equal(bufshare_device_has_feature(dev, i), 0);

	assert_int_equal(bufshare_buffer_new_from_memory(dev, pages, 4096, &buf), -EOPNOTSUPP);
	assert_int_equal(bufshare_buffer_new_with_flags(dev, 1, BUFSHARE_BUFFER_HUGE, &buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
	munmap(pages, 4096);
}

static void test_features(void **state)
{
	struct guest *g = *state;
	struct bufshare_device *closed;

	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_HOST_PROPERTIES), 1);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_RECOVERY), 0);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_ZERO_COPY), 0);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_UUID_IMPORT), 0);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_OFFERS), 0);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_FENCES), 1);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_IMPORT), 1);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_USER_MEMORY), 1);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_HUGE_PAGES), 1);

	assert_int_equal(bufshare_device_has_feature(NULL, BUFSHARE_FEATURE_FENCES), -EINVAL);
	assert_int_equal(bufshare_device_has_feature(g->dev, 0), -EINVAL);
	assert_int_equal(bufshare_device_has_feature(g->dev, -1), -EINVAL);
	assert_int_equal(bufshare_device_has_feature(g->dev, BUFSHARE_FEATURE_HUGE_PAGES + 1), -EINVAL);
	assert_int_equal(bufshare_device_new_from_label(NULL, &closed), 0);
	assert_int_equal(bufshare_device_has_feature(closed, BUFSHARE_FEATURE_FENCES), -ENOTCONN);

	/* Gone while it is asked. */
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_GET_PARAM, ENODEV, 1);
	assert_int_equal(bufshare_device_open(closed), -ENODEV);
	assert_int_equal(bufshare_device_get_fd(closed), -ENOTCONN);
	bufshare_device_unref(closed);
}

/* A driver that does not tell a limit has it all the same, and says so when it is reached. */
static void test_limit_not_told(void **state)
{
	struct bufshare_rect damage[BUFSHARE_MAX_DAMAGE + 1];
	struct fake_device *fake = fake_device_add(NULL);
	const struct drm_bufshare_rect *rects;
	struct bufshare_device *dev;
	struct bufshare_buffer *buf;
	uint64_t value = 7;
	uint32_t i;

	fake_device_set_attribute(fake, "max_buffer_size", NULL);
	fake_device_set_attribute(fake, "max_damage", NULL);
	fake_device_set_attribute(fake, "max_buffers", NULL);
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_BUFFER_SIZE, &value), -EOPNOTSUPP);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_DAMAGE, &value), -EOPNOTSUPP);
	assert_int_equal(value, 7);

	assert_int_equal(bufshare_device_open(dev), 0);
	assert_int_equal(bufshare_buffer_new(dev, 1ULL << 40, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), 0);
	fake_refuse_register(fake, VIRTIO_BUFSHARE_STATUS_LIMIT, VIRTIO_BUFSHARE_LIMIT_BUFFERS);
	assert_int_equal(bufshare_buffer_register(buf, "app"), -ENOSPC);
	assert_string_equal(bufshare_buffer_get_refusal(buf), "a limit of the host (1) is reached");
	fake_refuse_register(fake, 0, 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	for (i = 0; i < BUFSHARE_MAX_DAMAGE + 1; i++)
		damage[i] = (struct bufshare_rect){ i, 0, 1, 1 };
	assert_int_equal(bufshare_buffer_update(buf, damage, BUFSHARE_MAX_DAMAGE + 1, NULL), 0);
	assert_int_equal(fake_get_damage(fake, &rects), 1);
	assert_int_equal(rects[0].width, BUFSHARE_MAX_DAMAGE + 1);
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_today),
		machine_test(test_older_driver),
		machine_test(test_newer_driver),
		machine_test(test_newer_still_mapped),
		machine_test(test_oldest_driver),
		guest_test(test_features),
		machine_test(test_limit_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
