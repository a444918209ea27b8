/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: finding devices. Each wrong call is wrong in one way only.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "guest/guest-fixture.h"

#define UUID_TEXT "00112233-4455-6677-8899-aabbccddeeff"

static const uint8_t uuid_bytes[BUFSHARE_UUID_SIZE] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
							0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb,
							0xcc, 0xdd, 0xee, 0xff };

static size_t count_devices(void)
{
	struct bufshare_device **devs;
	size_t n;

	assert_int_equal(bufshare_device_enumerate(&devs, &n), 0);
	bufshare_device_list_free(devs, n);
	return n;
}

static void test_no_device(void **state)
{
	struct bufshare_device *dev = NULL;

	assert_int_equal(count_devices(), 0);
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), -ENOENT);
	assert_null(dev);
	bufshare_device_list_free(NULL, 0);
}

static void test_identity(void **state)
{
	struct fake_device *fake = fake_device_add(&(struct fake_config){
		.label = "desk", .application = "org.example", .uuid = UUID_TEXT,
		.subsystem_vendor = 0x1234, .subsystem_device = 0xabcd });
	struct bufshare_device *dev;
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint16_t vendor, device;

	assert_int_equal(bufshare_device_new_from_label("desk", &dev), 0);
	assert_string_equal(bufshare_device_get_label(dev), "desk");
	assert_string_equal(bufshare_device_get_application(dev), "org.example");
	assert_string_equal(bufshare_device_get_name(dev), "virtio1");
	assert_string_equal(bufshare_device_get_path(dev), fake_device_path(fake));
	assert_string_equal(bufshare_device_get_card_path(dev), fake_device_card_path(fake));
	bufshare_device_get_subsystem(dev, &vendor, &device);
	assert_int_equal(vendor, 0x1234);
	assert_int_equal(device, 0xabcd);
	bufshare_device_get_subsystem(dev, NULL, NULL);
	assert_int_equal(bufshare_device_get_uuid(dev, uuid), 0);
	assert_memory_equal(uuid, uuid_bytes, sizeof(uuid));
	assert_int_equal(fake_count_opens(fake), 0);
	assert_null(bufshare_device_unref(dev));
}

static void test_null_device(void **state)
{
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint16_t vendor = 1, device = 1;

	assert_string_equal(bufshare_device_get_label(NULL), "");
	assert_string_equal(bufshare_device_get_application(NULL), "");
	assert_string_equal(bufshare_device_get_path(NULL), "");
	assert_string_equal(bufshare_device_get_card_path(NULL), "");
	assert_string_equal(bufshare_device_get_name(NULL), "");
	bufshare_device_get_subsystem(NULL, &vendor, &device);
	assert_int_equal(vendor | device, 0);
	assert_int_equal(bufshare_device_get_uuid(NULL, uuid), -EINVAL);
	assert_null(bufshare_device_ref(NULL));
	assert_null(bufshare_device_unref(NULL));
}

static void test_two_devices(void **state)
{
	struct bufshare_device **devs, *dev = NULL;
	struct fake_device *a = fake_device_add(&(struct fake_config){ .label = "a" });
	struct fake_device *b = fake_device_add(&(struct fake_config){ .label = "b" });
	size_t n;

	assert_int_equal(bufshare_device_enumerate(&devs, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(bufshare_device_get_label(devs[0]), "a");
	assert_string_equal(bufshare_device_get_label(devs[1]), "b");
	bufshare_device_list_free(devs, n);

	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), -ENOTUNIQ);
	assert_null(dev);
	assert_int_equal(bufshare_device_new_from_label("c", &dev), -ENOENT);
	assert_int_equal(bufshare_device_new_from_path(fake_device_path(b), &dev), 0);
	assert_string_equal(bufshare_device_get_label(dev), "b");
	bufshare_device_unref(dev);
	assert_int_equal(bufshare_device_new_from_path(fake_device_card_path(a), &dev), 0);
	assert_string_equal(bufshare_device_get_label(dev), "a");
	bufshare_device_unref(dev);
	assert_int_equal(bufshare_device_new_from_path("/dev/null", &dev), -ENOENT);
	assert_int_equal(fake_count_opens(a) + fake_count_opens(b), 0);
}

static void test_same_label(void **state)
{
	struct bufshare_device *dev = NULL;

	fake_device_add(&(struct fake_config){ .label = "twin" });
	fake_device_add(&(struct fake_config){ .label = "twin" });
	assert_int_equal(bufshare_device_new_from_label("twin", &dev), -ENOTUNIQ);
	assert_null(dev);
}

static void test_find_arguments(void **state)
{
	struct bufshare_device **devs, *dev;
	size_t n;

	fake_device_add(NULL);
	assert_int_equal(bufshare_device_enumerate(NULL, &n), -EINVAL);
	assert_int_equal(bufshare_device_enumerate(&devs, NULL), -EINVAL);
	assert_int_equal(bufshare_device_new_from_label(NULL, NULL), -EINVAL);
	assert_int_equal(bufshare_device_new_from_path(NULL, &dev), -EINVAL);
	assert_int_equal(bufshare_device_new_from_path("/dev/null", NULL), -EINVAL);
}

/* A device that is on its way in or out, or of another driver, is not there. */
static void test_incomplete_device(void **state)
{
	fake_device_add(&(struct fake_config){ .no_nodes = true });
	assert_int_equal(count_devices(), 0);
}

static void test_no_card(void **state)
{
	struct bufshare_device *dev;

	fake_device_add(&(struct fake_config){ .no_card = true });
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_string_equal(bufshare_device_get_card_path(dev), "");
	bufshare_device_unref(dev);
}

static void check_attribute(const char *name, const char *text)
{
	struct fake_device *fake = fake_device_add(NULL);

	assert_int_equal(count_devices(), 1);
	fake_device_set_attribute(fake, name, text);
	assert_int_equal(count_devices(), 0);
	fake_device_unplug(fake);
}

static void test_bad_attribute(void **state)
{
	char longest[256];

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	check_attribute("label", longest);
	check_attribute("label", NULL);
	check_attribute("uuid", "00112233-4455-6677-8899-aabbccddeef");
	check_attribute("max_buffers", "many");
}

static void test_limits(void **state)
{
	struct bufshare_device *dev;
	uint64_t value = 7;

	fake_device_add(&(struct fake_config){ .max_buffers = 1, .max_buffer_size = 2 << 20,
		.max_total_size = 3 << 20, .max_ranges = 4, .max_properties = 5,
		.max_properties_size = 6, .max_damage = 8 });
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_BUFFERS, &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_BUFFER_SIZE, &value), 0);
	assert_int_equal(value, 2 << 20);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_TOTAL_SIZE, &value), 0);
	assert_int_equal(value, 3 << 20);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_RANGES, &value), 0);
	assert_int_equal(value, 4);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_PROPERTIES, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_PROPERTIES_SIZE, &value), 0);
	assert_int_equal(value, 6);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_DAMAGE, &value), 0);
	assert_int_equal(value, 8);
	assert_int_equal(bufshare_device_get_limit(dev, 0, &value), -EINVAL);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_DAMAGE + 1, &value), -EINVAL);
	assert_int_equal(bufshare_device_get_limit(dev, BUFSHARE_LIMIT_DAMAGE, NULL), -EINVAL);
	assert_int_equal(bufshare_device_get_limit(NULL, BUFSHARE_LIMIT_DAMAGE, &value), -EINVAL);
	assert_int_equal(value, 8);
	bufshare_device_unref(dev);
}

/* A node that somebody else has opened. */
static void check_new_from_fd(struct fake_device *fake, const char *path)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct bufshare_device *dev;
	struct bufshare_buffer *buf;

	assert_true(fd >= 0);
	assert_int_equal(bufshare_device_new_from_fd(fd, &dev), 0);
	assert_string_equal(bufshare_device_get_label(dev), "b");
	assert_string_equal(bufshare_device_get_path(dev), fake_device_path(fake));
	assert_int_not_equal(bufshare_device_get_fd(dev), fd);
	assert_true(fcntl(bufshare_device_get_fd(dev), F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fake_count_files(fake), 1);

	/* It is open, and has a descriptor of its own. */
	close(fd);
	assert_int_equal(bufshare_device_open(dev), 0);
	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), 0);
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
	assert_int_equal(fake_count_files(fake), 0);
}

static void test_new_from_fd(void **state)
{
	struct fake_device *fake;

	fake_device_add(&(struct fake_config){ .label = "a" });
	fake = fake_device_add(&(struct fake_config){ .label = "b" });
	check_new_from_fd(fake, fake_device_path(fake));
	check_new_from_fd(fake, fake_device_card_path(fake));
}

static void test_new_from_fd_wrong(void **state)
{
	struct bufshare_device *dev = NULL;
	struct fake_device *fake, *foreign;
	int fd, other, null;

	fake = fake_device_add(NULL);
	foreign = fake_device_add(&(struct fake_config){ .driver_name = "vgem" });
	fd = open(fake_device_path(fake), O_RDWR | O_CLOEXEC);
	other = open(fake_device_path(foreign), O_RDWR | O_CLOEXEC);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && other >= 0 && null >= 0);
	assert_int_equal(bufshare_device_new_from_fd(fd, NULL), -EINVAL);
	assert_int_equal(bufshare_device_new_from_fd(-1, &dev), -EINVAL);
	assert_int_equal(bufshare_device_new_from_fd(1 << 20, &dev), -EINVAL);
	assert_int_equal(bufshare_device_new_from_fd(null, &dev), -EOPNOTSUPP);
	assert_int_equal(bufshare_device_new_from_fd(other, &dev), -EOPNOTSUPP);
	fake_device_unplug(fake);
	assert_int_equal(bufshare_device_new_from_fd(fd, &dev), -ENODEV);
	assert_null(dev);
	close(fd);
	close(other);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(test_no_device),
		machine_test(test_identity),
		machine_test(test_null_device),
		machine_test(test_two_devices),
		machine_test(test_same_label),
		machine_test(test_find_arguments),
		machine_test(test_incomplete_device),
		machine_test(test_no_card),
		machine_test(test_bad_attribute),
		machine_test(test_limits),
		machine_test(test_new_from_fd),
		machine_test(test_new_from_fd_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
