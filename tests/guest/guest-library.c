/* SPDX-License-Identifier: MIT */
/*
 * libbufshare on the real driver: what a fake cannot prove, because it is the kernel's. Runs
 * as root in a guest with one device, whose host shows nobody what "test.library" shares.
 * With an argument it is what strace looks at: that many updates between two getppid().
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <drm/bufshare_drm.h>
#include <drm_fourcc.h>

#include <bufshare.h>

#define PAGE 4096
#define MS 1000000LL

static int setup(void **state)
{
	struct bufshare_device *dev;

	if (bufshare_device_new_from_label(NULL, &dev) < 0 || bufshare_device_open(dev) < 0)
		return -1;
	*state = dev;
	return 0;
}

static int teardown(void **state)
{
	bufshare_device_unref(*state);
	return 0;
}

static struct bufshare_buffer *registered(struct bufshare_device *dev)
{
	struct bufshare_buffer *buf;

	assert_int_equal(bufshare_buffer_new(dev, 1, &buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "test.library"), 0);
	return buf;
}

static size_t count_registered(struct bufshare_device *dev)
{
	uint64_t *ids;
	size_t n;

	assert_int_equal(bufshare_device_list_buffers(dev, 0, &ids, &n), 0);
	free(ids);
	return n;
}

static void test_features(void **state)
{
	assert_int_equal(bufshare_device_has_feature(*state, BUFSHARE_FEATURE_FENCES), 1);
	assert_int_equal(bufshare_device_has_feature(*state, BUFSHARE_FEATURE_IMPORT), 1);
	assert_int_equal(bufshare_device_has_feature(*state, BUFSHARE_FEATURE_USER_MEMORY), 1);
}

/* Either node, also one that blocks, and no other. */
static void check_new_from_fd(const struct bufshare_device *found, const char *path, int flags)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC | flags);
	struct bufshare_device *dev;
	struct bufshare_buffer *buf;
	struct bufshare_event event;

	assert_true(fd >= 0);
	assert_int_equal(bufshare_device_new_from_fd(fd, &dev), 0);
	close(fd);
	assert_string_equal(bufshare_device_get_name(dev), bufshare_device_get_name(found));
	assert_int_equal(bufshare_device_read_event(dev, &event), -EAGAIN);
	buf = registered(dev);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(bufshare_device_wait(dev, -1), 0);
	assert_int_equal(bufshare_device_read_event(dev, &event), 0);
	assert_int_equal(event.type, BUFSHARE_EVENT_RELEASED);
	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
}

static void test_new_from_fd(void **state)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct bufshare_device *dev;

	check_new_from_fd(*state, bufshare_device_get_path(*state), O_NONBLOCK);
	check_new_from_fd(*state, bufshare_device_get_path(*state), 0);
	check_new_from_fd(*state, bufshare_device_get_card_path(*state), 0);
	assert_int_equal(bufshare_device_new_from_fd(null, &dev), -EOPNOTSUPP);
	close(null);
}

/* The child lets go of what it has, and then ends: the parent's registration stands. */
static void test_fork(void **state)
{
	struct bufshare_device *dev = *state;
	struct bufshare_buffer *buf = registered(dev);
	int i, status;
	pid_t pid;

	for (i = 0; i < 2; i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			if (bufshare_buffer_update(buf, NULL, 0, NULL) != -ENOTCONN ||
			    bufshare_buffer_unregister(buf) != -ENOTCONN)
				_exit(1);
			if (i) {
				bufshare_buffer_unref(buf);
				bufshare_device_unref(dev);
			}
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count_registered(dev), 1);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(bufshare_buffer_wait(buf, 0, -1), 0);
	bufshare_buffer_unref(buf);
	assert_int_equal(count_registered(dev), 0);
}

/* Waits lose no event, and a program that never reads them goes on. */
static void test_wait(void **state)
{
	struct bufshare_device *dev = *state;
	struct bufshare_buffer *buf = registered(dev);
	struct bufshare_event event;
	uint64_t seq, last = 0;
	int i, overflows = 0;

	assert_int_equal(bufshare_device_wait(dev, 5 * MS), -ETIMEDOUT);
	for (i = 0; i < 50; i++) {
		assert_int_equal(bufshare_buffer_update(buf, NULL, 0, &seq), 0);
		assert_int_equal(bufshare_buffer_wait(buf, seq, -1), 0);
	}
	for (i = 0; i < 50; i++) {
		assert_int_equal(bufshare_device_read_event(dev, &event), 0);
		assert_int_equal(event.type, BUFSHARE_EVENT_RELEASED);
		assert_int_equal(event.flags, BUFSHARE_RELEASED_NO_CONSUMER);
		assert_int_equal(event.seq, ++last);
	}
	assert_int_equal(bufshare_device_read_event(dev, &event), -EAGAIN);

	for (i = 0; i < 1000; i++) {
		assert_int_equal(bufshare_buffer_update(buf, NULL, 0, &seq), 0);
		assert_int_equal(bufshare_buffer_wait(buf, seq, -1), 0);
	}
	while (bufshare_device_read_event(dev, &event) == 0)
		overflows += event.type == BUFSHARE_EVENT_OVERFLOW;
	assert_int_equal(overflows, 1);
	assert_int_equal(event.seq, seq);
	bufshare_buffer_unref(buf);
}

static void test_batch(void **state)
{
	struct bufshare_update updates[BUFSHARE_MAX_UPDATES] = { 0 };
	size_t i;

	for (i = 0; i < BUFSHARE_MAX_UPDATES; i++) {
		updates[i].buffer = registered(*state);
		updates[i].flags = BUFSHARE_UPDATE_ACQUIRE_IMPLICIT;
	}
	assert_int_equal(bufshare_device_update(*state, updates, BUFSHARE_MAX_UPDATES), 0);
	for (i = 0; i < BUFSHARE_MAX_UPDATES; i++) {
		assert_int_equal(updates[i].seq, 1);
		assert_int_equal(bufshare_buffer_wait(updates[i].buffer, 1, 5000 * MS), 0);
	}
	/* One that is there twice spoils all. */
	updates[1].buffer = updates[0].buffer;
	assert_int_equal(bufshare_device_update(*state, updates, 2), -EINVAL);
	assert_int_equal(bufshare_device_reset(*state, 0), 0);
	assert_int_equal(count_registered(*state), 0);
	updates[1].buffer = NULL;
	for (i = 0; i < BUFSHARE_MAX_UPDATES; i++) {
		if (i != 1)
			assert_int_equal(bufshare_buffer_get_id(updates[i].buffer), 0);
		bufshare_buffer_unref(updates[i].buffer);
	}
}

/* ---- memory of the program ---- */

static void check_memory(struct bufshare_device *dev, void *memory, int expected)
{
	struct bufshare_buffer *buf = NULL;
	void *addr;
	int r;

	assert_true(memory != MAP_FAILED);
	r = bufshare_buffer_new_from_memory(dev, memory, PAGE, &buf);
	assert_int_equal(r, expected);
	if (r == 0) {
		assert_int_equal(bufshare_buffer_map(buf, &addr), 0);
		assert_ptr_equal(addr, memory);
		assert_int_equal(bufshare_buffer_register(buf, "test.library"), 0);
		assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
		assert_int_equal(bufshare_buffer_wait(buf, 0, 5000 * MS), 0);
		bufshare_buffer_unref(buf);
	}
	munmap(memory, PAGE);
}

static void test_memory(void **state)
{
	const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS, both = PROT_READ | PROT_WRITE;
	const int memfd = memfd_create("shared", MFD_CLOEXEC);
	void *gone = mmap(NULL, PAGE, both, anonymous, -1, 0);

	check_memory(*state, mmap(NULL, PAGE, both, anonymous, -1, 0), 0);
	check_memory(*state, mmap(NULL, PAGE, both, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 0);
	assert_int_equal(ftruncate(memfd, PAGE), 0);
	check_memory(*state, mmap(NULL, PAGE, both, MAP_SHARED, memfd, 0), 0);
	close(memfd);
	check_memory(*state, mmap(NULL, PAGE, PROT_READ, anonymous, -1, 0), -EFAULT);
	munmap(gone, PAGE);
	check_memory(*state, gone, -EFAULT);
}

static void test_planes(void **state)
{
	static const char *const expected[] = {
		"format=NV12", "height=480", "plane1.offset=307200", "plane1.stride=640",
		"stride=640", "width=640",
	};
	struct bufshare_buffer *buf;
	char **properties;
	size_t i;

	assert_int_equal(bufshare_buffer_new_framebuffer(*state, 640, 480, DRM_FORMAT_NV12, &buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "test.library"), 0);
	assert_int_equal(bufshare_device_dup_buffer_properties(*state, bufshare_buffer_get_id(buf),
							       &properties), 0);
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_string_equal(properties[i], expected[i]);
	assert_null(properties[i]);
	free(properties);
	bufshare_buffer_unref(buf);
}

/* The same file knows memory by one handle, however often it is imported. */
static void test_import_own(void **state)
{
	struct bufshare_buffer *buf = registered(*state), *again;
	int fd;

	assert_int_equal(bufshare_buffer_export(buf, &fd), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(bufshare_buffer_import(*state, fd, &again), 0);
	close(fd);
	assert_int_equal(bufshare_buffer_register(again, "test.library"), -EALREADY);
	bufshare_buffer_unref(again);
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	assert_int_equal(bufshare_buffer_unregister(buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "test.library"), 0);
	bufshare_buffer_unref(buf);
}

/* ---- older and newer programs ---- */

/* The structure of a program whose header is newer: it ends behind what the driver knows. */
static void check_longer(int fd, uint64_t id)
{
	struct longer {
		struct drm_bufshare_info info;
		uint64_t more[4];
	} args = { .info.id = id, .more = { 1, 2, 3, 4 } };

	assert_int_equal(ioctl(fd, DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_INFO, struct longer),
			       &args), 0);
	assert_int_equal(args.info.size, PAGE);
	assert_string_equal(args.info.application, "test.library");
	assert_int_equal(args.more[0], 1);
	assert_int_equal(args.more[3], 4);
}

/* And of one whose header is older: the driver must not write behind it. */
static void check_shorter(int fd, uint64_t id)
{
	struct shorter {
		uint64_t id;
		uint32_t handle, flags;
		uint64_t size;
	};
	struct {
		struct shorter args;
		unsigned char behind[256];
	} memory = { .args.id = id };
	size_t i;

	memset(memory.behind, 0x5a, sizeof(memory.behind));
	assert_int_equal(ioctl(fd, DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_INFO, struct shorter),
			       &memory.args), 0);
	assert_int_equal(memory.args.size, PAGE);
	for (i = 0; i < sizeof(memory.behind); i++)
		assert_int_equal(memory.behind[i], 0x5a);
}

static void test_structures(void **state)
{
	const int fd = bufshare_device_get_fd(*state);
	struct bufshare_buffer *buf = registered(*state);

	check_longer(fd, bufshare_buffer_get_id(buf));
	check_shorter(fd, bufshare_buffer_get_id(buf));
	bufshare_buffer_unref(buf);
}

/* ---- for strace ---- */

static int make_updates(int n)
{
	const struct bufshare_rect damage[] = { { 0, 0, 1, 1 }, { 2, 0, 1, 1 } };
	struct bufshare_update updates[2] = { 0 };
	struct bufshare_device *dev;
	int r = 0, i;

	if (bufshare_device_new_from_label(NULL, &dev) < 0 || bufshare_device_open(dev) < 0)
		return 1;
	for (i = 0; i < 2; i++) {
		updates[i].damage = damage;
		updates[i].num_damage = 2;
		if (bufshare_buffer_new(dev, 1, &updates[i].buffer) < 0 ||
		    bufshare_buffer_register(updates[i].buffer, "test.library") < 0)
			return 1;
	}
	getppid();
	for (i = 0; i < n && r == 0; i++)
		r = i % 2 ? bufshare_device_update(dev, updates, 2) :
			    bufshare_buffer_update(updates[0].buffer, damage, 2, NULL);
	getppid();
	bufshare_buffer_unref(updates[0].buffer);
	bufshare_buffer_unref(updates[1].buffer);
	bufshare_device_unref(dev);
	return r < 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_features, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_from_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_planes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_import_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_structures, setup, teardown),
	};

	if (argc > 1)
		return make_updates(atoi(argv[1]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
