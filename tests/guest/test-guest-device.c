/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: devices that are opened. Each wrong call is wrong in one way only.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/guest-fixture.h"

/* ---- opening ---- */

static void test_open(void **state)
{
	struct fake_device *fake = fake_device_add(NULL);
	struct bufshare_device *dev;
	int fd;

	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_get_fd(dev), -ENOTCONN);
	assert_int_equal(bufshare_device_open(dev), 0);
	fd = bufshare_device_get_fd(dev);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(bufshare_device_open(dev), 0);
	assert_int_equal(bufshare_device_get_fd(dev), fd);
	assert_int_equal(fake_count_opens(fake), 1);
	assert_ptr_equal(bufshare_device_ref(dev), dev);
	bufshare_device_unref(dev);
	assert_int_equal(fake_count_files(fake), 1);
	bufshare_device_unref(dev);
	assert_int_equal(fake_count_files(fake), 0);
	assert_int_equal(bufshare_device_open(NULL), -EINVAL);
	assert_int_equal(bufshare_device_get_fd(NULL), -EINVAL);
}

static void check_open_error(int node_error, int expected)
{
	struct fake_device *fake = fake_device_add(NULL);
	struct bufshare_device *dev;

	assert_int_equal(bufshare_device_new_from_path(fake_device_path(fake), &dev), 0);
	fake_fail_open(fake, node_error);
	assert_int_equal(bufshare_device_open(dev), expected);
	assert_int_equal(bufshare_device_get_fd(dev), -ENOTCONN);
	fake_fail_open(fake, 0);
	assert_int_equal(bufshare_device_open(dev), 0);
	bufshare_device_unref(dev);
}

static void test_open_denied(void **state)
{
	check_open_error(EACCES, -EACCES);
	check_open_error(EPERM, -EACCES);
}

static void test_open_gone(void **state)
{
	check_open_error(ENXIO, -ENODEV);
	check_open_error(ENOENT, -ENODEV);
}

/* A program that means one device must not open the next one that comes. */
static void test_open_replaced(void **state)
{
	struct fake_device *fake = fake_device_add(&(struct fake_config){ .label = "mine" });
	struct bufshare_device *dev;

	assert_int_equal(bufshare_device_new_from_label("mine", &dev), 0);
	fake_device_replace(fake, "theirs");
	assert_int_equal(bufshare_device_open(dev), -ENODEV);
	assert_int_equal(fake_count_files(fake), 0);
	bufshare_device_unref(dev);
	assert_int_equal(bufshare_device_new_from_label("theirs", &dev), 0);
	assert_int_equal(bufshare_device_open(dev), 0);
	bufshare_device_unref(dev);
}

static void check_other_driver(const char *name)
{
	struct fake_device *fake = fake_device_add(&(struct fake_config){ .driver_name = name });
	struct bufshare_device *dev;

	assert_int_equal(bufshare_device_new_from_path(fake_device_path(fake), &dev), 0);
	assert_int_equal(bufshare_device_open(dev), -EOPNOTSUPP);
	assert_int_equal(fake_count_files(fake), 0);
	bufshare_device_unref(dev);
}

static void test_open_other_driver(void **state)
{
	check_other_driver("vgem");
	check_other_driver("virtio-bufshare2");
	check_other_driver("virtio-bufshar");
}

/* A node that is no DRM node at all. */
static void test_open_no_driver(void **state)
{
	struct fake_device *fake = fake_device_add(NULL);
	struct bufshare_device *dev;

	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	fake_fail_ioctl(fake, DRM_IOCTL_VERSION, ENOTTY, 1);
	assert_int_equal(bufshare_device_open(dev), -EOPNOTSUPP);
	bufshare_device_unref(dev);
}

/* ---- calls ---- */

static void test_ping(void **state)
{
	struct guest *g = *state;
	uint64_t time_ns = 0;

	assert_int_equal(bufshare_device_ping(g->dev, &time_ns), 0);
	assert_true(time_ns > 0);
	assert_int_equal(bufshare_device_ping(NULL, &time_ns), -EINVAL);
	assert_int_equal(bufshare_device_ping(g->dev, NULL), -EINVAL);
	time_ns = 5;
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_PING, ETIMEDOUT, 1);
	assert_int_equal(bufshare_device_ping(g->dev, &time_ns), -ETIMEDOUT);
	assert_int_equal(time_ns, 5);
}

static void test_interrupted_call(void **state)
{
	struct guest *g = *state;
	uint64_t time_ns;

	/* libdrm's drmIoctl() goes on by itself; what it gives back is final. */
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_PING, ENODEV, -1);
	assert_int_equal(bufshare_device_ping(g->dev, &time_ns), -ENODEV);
}

static void test_not_open(void **state)
{
	struct bufshare_buffer_info info;
	struct bufshare_buffer *buf;
	struct bufshare_device *dev;
	struct bufshare_event event;
	uint64_t *ids, time_ns;
	char **properties;
	size_t n;
	int fd;

	fake_device_add(NULL);
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_ping(dev, &time_ns), -ENOTCONN);
	assert_int_equal(bufshare_device_read_event(dev, &event), -ENOTCONN);
	assert_int_equal(bufshare_device_list_buffers(dev, 0, &ids, &n), -ENOTCONN);
	assert_int_equal(bufshare_device_get_buffer_info(dev, 1, &info), -ENOTCONN);
	assert_int_equal(bufshare_device_dup_buffer_properties(dev, 1, &properties), -ENOTCONN);
	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), -ENOTCONN);
	fd = fake_dmabuf_new(4096, true);
	assert_int_equal(bufshare_buffer_import(dev, fd, &buf), -ENOTCONN);
	close(fd);
	bufshare_device_unref(dev);
}

static void test_list(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *bufs[40];
	uint64_t *ids;
	size_t i, n;

	assert_int_equal(bufshare_device_list_buffers(g->dev, 0, &ids, &n), 0);
	assert_int_equal(n, 0);
	free(ids);
	for (i = 0; i < 40; i++)
		bufs[i] = guest_registered(g);
	assert_int_equal(bufshare_device_list_buffers(g->dev, 0, &ids, &n), 0);
	assert_int_equal(n, 40);
	for (i = 0; i < n; i++)
		assert_int_equal(ids[i], bufshare_buffer_get_id(bufs[i]));
	free(ids);
	for (i = 0; i < 40; i++)
		bufshare_buffer_unref(bufs[i]);
	assert_int_equal(fake_count_registered(g->fake), 0);
}

static void test_list_wrong(void **state)
{
	struct guest *g = *state;
	uint64_t *ids;
	size_t n;

	assert_int_equal(bufshare_device_list_buffers(NULL, 0, &ids, &n), -EINVAL);
	assert_int_equal(bufshare_device_list_buffers(g->dev, 0, NULL, &n), -EINVAL);
	assert_int_equal(bufshare_device_list_buffers(g->dev, 0, &ids, NULL), -EINVAL);
	assert_int_equal(bufshare_device_list_buffers(g->dev, 1, &ids, &n), -EACCES);
}

/* Another program's buffers, which only the privileged see. */
static void test_list_all(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	struct bufshare_buffer_info info;
	struct bufshare_device *other;
	char **properties;
	uint64_t *ids;
	size_t n;

	assert_int_equal(bufshare_device_new_from_label("desk", &other), 0);
	assert_int_equal(bufshare_device_open(other), 0);
	assert_int_equal(bufshare_device_list_buffers(other, 0, &ids, &n), 0);
	assert_int_equal(n, 0);
	free(ids);
	assert_int_equal(bufshare_device_get_buffer_info(other, 1, &info), -ENOENT);
	assert_int_equal(bufshare_device_dup_buffer_properties(other, 1, &properties), -ENOENT);
	fake_set_privileged(g->fake, true);
	assert_int_equal(bufshare_device_list_buffers(other, 1, &ids, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(ids[0], bufshare_buffer_get_id(buf));
	assert_int_equal(bufshare_device_get_buffer_info(other, ids[0], &info), 0);
	assert_int_equal(info.id, ids[0]);
	free(ids);
	bufshare_device_unref(other);
	bufshare_buffer_unref(buf);
}

static void test_buffer_info(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer_info info;
	struct bufshare_buffer *buf;
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint64_t id;

	fake_set_consumers(g->fake, 3);
	fake_set_num_ranges(g->fake, 9);
	buf = guest_registered(g);
	id = bufshare_buffer_get_id(buf);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	fake_host_release(g->fake, id, 1, 0);
	assert_int_equal(bufshare_device_get_buffer_info(g->dev, id, &info), 0);
	assert_int_equal(info.id, id);
	assert_int_equal(info.size, 4096);
	assert_int_equal(info.seq, 2);
	assert_int_equal(info.released, 1);
	assert_int_equal(info.num_ranges, 9);
	assert_int_equal(info.path, BUFSHARE_PATH_COPY);
	assert_int_equal(info.consumers, 3);
	assert_int_equal(info.lost, 0);
	assert_string_equal(info.application, "app");
	assert_int_equal(bufshare_buffer_get_uuid(buf, uuid), 0);
	assert_memory_equal(info.uuid, uuid, sizeof(uuid));
	fake_host_lose_buffer(g->fake, id, BUFSHARE_REASON_HOST);
	assert_int_equal(bufshare_device_get_buffer_info(g->dev, id, &info), 0);
	assert_int_equal(info.lost, 1);

	assert_int_equal(bufshare_device_get_buffer_info(NULL, id, &info), -EINVAL);
	assert_int_equal(bufshare_device_get_buffer_info(g->dev, 0, &info), -EINVAL);
	assert_int_equal(bufshare_device_get_buffer_info(g->dev, id, NULL), -EINVAL);
	assert_int_equal(bufshare_device_get_buffer_info(g->dev, id + 1, &info), -ENOENT);
	bufshare_buffer_unref(buf);
}

static void test_dup_properties(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	uint64_t id = bufshare_buffer_get_id(buf);
	char **properties;

	assert_int_equal(bufshare_device_dup_buffer_properties(g->dev, id, &properties), 0);
	assert_null(properties[0]);
	free(properties);
	assert_int_equal(bufshare_buffer_set_property(buf, "title", "a = b"), 0);
	fake_host_set_property(g->fake, id, "host.viewer", "x");
	assert_int_equal(bufshare_device_dup_buffer_properties(g->dev, id, &properties), 0);
	assert_string_equal(properties[0], "host.viewer=x");
	assert_string_equal(properties[1], "title=a = b");
	assert_null(properties[2]);
	free(properties);
	assert_int_equal(bufshare_device_dup_buffer_properties(NULL, id, &properties), -EINVAL);
	assert_int_equal(bufshare_device_dup_buffer_properties(g->dev, 0, &properties), -EINVAL);
	assert_int_equal(bufshare_device_dup_buffer_properties(g->dev, id, NULL), -EINVAL);
	assert_int_equal(bufshare_device_dup_buffer_properties(g->dev, id + 1, &properties), -ENOENT);
	bufshare_buffer_unref(buf);
}

/* A device that is pulled out: calls fail, nothing leaks. */
static void test_unplug(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g), *other;
	struct bufshare_device *found;
	struct bufshare_event event;
	struct pollfd p = { .fd = bufshare_device_get_fd(g->dev), .events = POLLIN };
	uint64_t time_ns;

	fake_device_unplug(g->fake);
	assert_int_equal(bufshare_device_new_from_label(NULL, &found), -ENOENT);
	assert_int_equal(bufshare_device_ping(g->dev, &time_ns), -ENODEV);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), -ENODEV);
	assert_int_equal(bufshare_buffer_new(g->dev, 1, &other), -ENODEV);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), 0);
	assert_int_equal(event.type, BUFSHARE_EVENT_DEVICE_LOST);
	assert_int_equal(bufshare_device_read_event(g->dev, &event), -ENODEV);
	bufshare_buffer_unref(buf);
	assert_int_equal(fake_count_handles(g->fake), 0);
}

static void test_reset(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *own = guest_registered(g), *others;
	struct bufshare_device *dev;
	struct bufshare_event event;

	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	assert_int_equal(bufshare_device_reset(dev, 0), -ENOTCONN);
	assert_int_equal(bufshare_device_open(dev), 0);
	assert_int_equal(bufshare_buffer_new(dev, 1, &others), 0);
	assert_int_equal(bufshare_buffer_register(others, "app"), 0);
	assert_int_equal(bufshare_device_reset(NULL, 0), -EINVAL);
	assert_int_equal(bufshare_device_reset(g->dev, 1), -EACCES);
	assert_int_not_equal(bufshare_buffer_get_id(own), 0);

	assert_int_equal(bufshare_device_reset(g->dev, 0), 0);
	assert_int_equal(bufshare_buffer_get_id(own), 0);
	assert_int_equal(bufshare_buffer_unregister(own), -ENOENT);
	assert_int_equal(bufshare_device_read_event(dev, &event), -EAGAIN);
	assert_int_equal(bufshare_buffer_register(own, "app"), 0);

	/* Whatever is answered, what is registered is what the driver says. */
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_RESET, EIO, 1);
	assert_int_equal(bufshare_device_reset(g->dev, 0), -EIO);
	assert_int_not_equal(bufshare_buffer_get_id(own), 0);
	fake_set_reset_error(g->fake, ETIMEDOUT);
	assert_int_equal(bufshare_device_reset(g->dev, 0), -ETIMEDOUT);
	assert_int_equal(bufshare_buffer_get_id(own), 0);
	fake_set_reset_error(g->fake, 0);
	assert_int_equal(bufshare_buffer_register(own, "app"), 0);

	fake_set_privileged(g->fake, true);
	assert_int_equal(bufshare_device_reset(g->dev, 1), 0);
	assert_int_equal(bufshare_buffer_get_id(own), 0);
	assert_int_equal(bufshare_device_read_event(dev, &event), 0);
	assert_int_equal(event.type, BUFSHARE_EVENT_BUFFER_LOST);
	assert_int_equal(bufshare_buffer_update(others, NULL, 0, NULL), -ESTALE);
	bufshare_buffer_unref(own);
	bufshare_buffer_unref(others);
	bufshare_device_unref(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(test_open),
		machine_test(test_open_denied),
		machine_test(test_open_gone),
		machine_test(test_open_replaced),
		machine_test(test_open_other_driver),
		machine_test(test_open_no_driver),
		guest_test(test_ping),
		guest_test(test_interrupted_call),
		machine_test(test_not_open),
		guest_test(test_list),
		guest_test(test_list_wrong),
		guest_test(test_list_all),
		guest_test(test_buffer_info),
		guest_test(test_dup_properties),
		guest_test(test_unplug),
		guest_test(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
