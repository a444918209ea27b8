/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: buffers, their memory, and dma-bufs.
 */
#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/guest-fixture.h"

static void test_new(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf;

	assert_int_equal(bufshare_buffer_new(g->dev, 4097, &buf), 0);
	assert_int_equal(bufshare_buffer_get_size(buf), 8192);
	assert_int_not_equal(bufshare_buffer_get_handle(buf), 0);
	assert_int_equal(bufshare_buffer_get_id(buf), 0);
	assert_string_equal(bufshare_buffer_get_refusal(buf), "");
	assert_ptr_equal(bufshare_buffer_ref(buf), buf);
	assert_null(bufshare_buffer_unref(buf));
	assert_int_equal(fake_count_handles(g->fake), 1);
	assert_null(bufshare_buffer_unref(buf));
	assert_int_equal(fake_count_handles(g->fake), 0);
}

static void test_new_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = NULL;

	assert_int_equal(bufshare_buffer_new(NULL, 4096, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new(g->dev, 0, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new(g->dev, (64 << 20) + 1, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new(g->dev, 4096, NULL), -EINVAL);
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_CREATE, ENOMEM, 1);
	assert_int_equal(bufshare_buffer_new(g->dev, 4096, &buf), -ENOMEM);
	assert_null(buf);
	assert_int_equal(bufshare_buffer_new(g->dev, 64 << 20, &buf), 0);
	bufshare_buffer_unref(buf);
}

static void test_null_buffer(void **state)
{
	assert_int_equal(bufshare_buffer_get_size(NULL), 0);
	assert_int_equal(bufshare_buffer_get_handle(NULL), 0);
	assert_int_equal(bufshare_buffer_get_id(NULL), 0);
	assert_string_equal(bufshare_buffer_get_refusal(NULL), "");
	assert_null(bufshare_buffer_ref(NULL));
	assert_null(bufshare_buffer_unref(NULL));
	bufshare_buffer_set_user_data(NULL, 1);
}

/* A buffer keeps its device open. */
static void test_keeps_device(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);

	g->dev = bufshare_device_unref(g->dev);
	assert_int_equal(fake_count_files(g->fake), 1);
	bufshare_buffer_unref(buf);
	assert_int_equal(fake_count_files(g->fake), 0);
}

static void test_map(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_registered(g);
	void *a, *b;

	assert_int_equal(bufshare_buffer_map(buf, &a), 0);
	assert_int_equal(bufshare_buffer_map(buf, &b), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_MAP), 1);
	memset(a, 0x5a, 4096);
	assert_memory_equal(fake_get_memory(g->fake, bufshare_buffer_get_id(buf)), a, 4096);
	bufshare_buffer_unref(buf);
}

static void test_map_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	void *addr = NULL;

	assert_int_equal(bufshare_buffer_map(NULL, &addr), -EINVAL);
	assert_int_equal(bufshare_buffer_map(buf, NULL), -EINVAL);
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_MAP, ENODEV, 1);
	assert_int_equal(bufshare_buffer_map(buf, &addr), -ENODEV);
	fake_fail_mmap(g->fake, ENOMEM);
	assert_int_equal(bufshare_buffer_map(buf, &addr), -ENOMEM);
	assert_null(addr);
	fake_fail_mmap(g->fake, 0);
	assert_int_equal(bufshare_buffer_map(buf, &addr), 0);
	bufshare_buffer_unref(buf);
}

/* ---- dma-bufs ---- */

static void test_export(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = guest_buffer(g);
	char *here, *there;
	void *addr;
	int fd = -1;

	assert_int_equal(bufshare_buffer_export(NULL, &fd), -EINVAL);
	assert_int_equal(bufshare_buffer_export(buf, NULL), -EINVAL);
	fake_fail_ioctl(g->fake, DRM_IOCTL_PRIME_HANDLE_TO_FD, EMFILE, 1);
	assert_int_equal(bufshare_buffer_export(buf, &fd), -EMFILE);
	assert_int_equal(fd, -1);

	assert_int_equal(bufshare_buffer_export(buf, &fd), 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(bufshare_buffer_map(buf, &addr), 0);
	here = addr;
	there = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(there, MAP_FAILED);
	here[7] = 'x';
	assert_int_equal(there[7], 'x');
	munmap(there, 4096);
	close(fd);
	bufshare_buffer_unref(buf);
}

static void test_import(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf;
	int fd = fake_dmabuf_new(12288, true);

	assert_int_equal(bufshare_buffer_import(g->dev, fd, &buf), 0);
	assert_int_equal(bufshare_buffer_get_size(buf), 12288);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	close(fd); /* it stayed ours */
	assert_int_equal(bufshare_buffer_update(buf, NULL, 0, NULL), 0);
	bufshare_buffer_unref(buf);
}

static void test_import_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = NULL;
	int fd = fake_dmabuf_new(4096, true), other = fake_dmabuf_new(4096, false);
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(bufshare_buffer_import(NULL, fd, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_import(g->dev, -1, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_import(g->dev, fd, NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_import(g->dev, pipes[0], &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_import(g->dev, other, &buf), -EOPNOTSUPP);
	assert_null(buf);
	/* What is no dma-buf has a position, which stays. */
	assert_int_equal(lseek(other, 0, SEEK_CUR), 0);
	assert_int_equal(fake_count_handles(g->fake), 0);
	close(pipes[0]);
	close(pipes[1]);
	close(other);
	close(fd);
}

/*
 * The kernel knows one handle per file and object: two buffers of the library then share it,
 * and the first to go must not take it from the other.
 */
static void check_twice(struct guest *g, int fd, struct bufshare_buffer *first)
{
	struct bufshare_buffer *second;
	void *addr;

	assert_int_equal(bufshare_buffer_import(g->dev, fd, &second), 0);
	assert_int_equal(bufshare_buffer_get_handle(first), bufshare_buffer_get_handle(second));
	assert_int_equal(bufshare_buffer_register(first, "app"), 0);
	assert_int_equal(bufshare_buffer_register(second, "app"), -EALREADY);
	bufshare_buffer_unref(first);
	assert_int_equal(fake_count_handles(g->fake), 1);
	assert_int_equal(bufshare_buffer_map(second, &addr), 0);
	assert_int_equal(bufshare_buffer_register(second, "app"), 0);
	bufshare_buffer_unref(second);
	assert_int_equal(fake_count_handles(g->fake), 0);
}

static void test_import_twice(void **state)
{
	struct guest *g = *state;
	int fd = fake_dmabuf_new(4096, true);
	struct bufshare_buffer *first;

	assert_int_equal(bufshare_buffer_import(g->dev, fd, &first), 0);
	check_twice(g, fd, first);
	close(fd);
}

static void test_import_own(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *first = guest_buffer(g);
	int fd;

	assert_int_equal(bufshare_buffer_export(first, &fd), 0);
	check_twice(g, fd, first);
	close(fd);
}

/* From one device to another in the same guest. */
static void test_import_across(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *here = guest_buffer(g), *there;
	struct bufshare_device *other;
	struct fake_device *fake;
	int fd;

	fake = fake_device_add(&(struct fake_config){ .label = "lab" });
	assert_int_equal(bufshare_device_new_from_label("lab", &other), 0);
	assert_int_equal(bufshare_device_open(other), 0);
	assert_int_equal(bufshare_buffer_export(here, &fd), 0);
	assert_int_equal(bufshare_buffer_import(other, fd, &there), 0);
	close(fd);
	bufshare_buffer_unref(here);
	assert_int_equal(bufshare_buffer_register(there, "app"), 0);
	assert_int_equal(fake_count_registered(fake), 1);
	bufshare_buffer_unref(there);
	bufshare_device_unref(other);
}

/* ---- framebuffers ---- */

static void test_new_framebuffer(void **state)
{
	struct guest *g = *state;
	struct bufshare_framebuffer fb;
	struct bufshare_buffer *buf;
	const char *value;

	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 100, 50, DRM_FORMAT_RGB565, &buf),
			 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_int_equal(fb.width, 100);
	assert_int_equal(fb.height, 50);
	assert_int_equal(fb.stride, 256); /* 200, rounded up to 64 */
	assert_int_equal(fb.format, DRM_FORMAT_RGB565);
	assert_int_equal(fb.modifier, DRM_FORMAT_MOD_LINEAR);
	assert_int_equal(fb.offset, 0);
	assert_int_equal(bufshare_buffer_get_size(buf), 16384); /* 12800, in pages */
	assert_int_equal(bufshare_buffer_get_property(buf, "format", &value), 0);
	assert_string_equal(value, "RG16");
	assert_int_equal(bufshare_buffer_get_property(buf, "modifier", &value), -ENOENT);
	bufshare_buffer_unref(buf);
}

static void test_framebuffer_formats(void **state)
{
	static const struct {
		uint32_t format, bytes;
	} formats[] = {
		{ DRM_FORMAT_R8, 1 }, { DRM_FORMAT_RGB332, 1 }, { DRM_FORMAT_GR88, 2 },
		{ DRM_FORMAT_BGR565, 2 }, { DRM_FORMAT_RGB888, 3 }, { DRM_FORMAT_XRGB8888, 4 },
		{ DRM_FORMAT_ABGR2101010, 4 }, { DRM_FORMAT_XRGB16161616F, 8 },
	};
	struct guest *g = *state;
	struct bufshare_framebuffer fb;
	struct bufshare_buffer *buf;
	size_t i;

	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 64, 2, formats[i].format,
								 &buf), 0);
		assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
		assert_int_equal(fb.stride, 64 * formats[i].bytes);
		bufshare_buffer_unref(buf);
	}
}

/* Planes lie one behind the other, and rows at multiples of 64 bytes. */
static void test_framebuffer_planes(void **state)
{
	struct guest *g = *state;
	struct bufshare_framebuffer fb;
	struct bufshare_buffer *buf;

	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 65, 3, DRM_FORMAT_YUV420, &buf), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_int_equal(fb.stride, 128);
	assert_int_equal(fb.offset, 0);
	assert_int_equal(fb.num_more, 2);
	assert_int_equal(fb.more[0].stride, 64);
	assert_int_equal(fb.more[0].offset, 3 * 128);
	assert_int_equal(fb.more[1].stride, 64);
	assert_int_equal(fb.more[1].offset, 3 * 128 + 2 * 64);
	bufshare_buffer_unref(buf);
}

static void test_new_framebuffer_wrong(void **state)
{
	const uint32_t format = DRM_FORMAT_XRGB8888;
	struct guest *g = *state;
	struct bufshare_buffer *buf = NULL;

	assert_int_equal(bufshare_buffer_new_framebuffer(NULL, 8, 8, format, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 0, 8, format, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 8, 0, format, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 8, 8, format, NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 8, 8, 0, &buf), -EOPNOTSUPP);
	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 8, 8, DRM_FORMAT_NV15, &buf),
			 -EOPNOTSUPP);
	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, UINT32_MAX, 8, format, &buf),
			 -EINVAL);
	assert_int_equal(bufshare_buffer_new_framebuffer(g->dev, 4096, 4097, format, &buf),
			 -EINVAL);
	assert_null(buf);
	assert_int_equal(fake_count_handles(g->fake), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_new),
		guest_test(test_new_wrong),
		guest_test(test_null_buffer),
		guest_test(test_keeps_device),
		guest_test(test_map),
		guest_test(test_map_wrong),
		guest_test(test_export),
		guest_test(test_import),
		guest_test(test_import_wrong),
		guest_test(test_import_twice),
		guest_test(test_import_own),
		guest_test(test_import_across),
		guest_test(test_new_framebuffer),
		guest_test(test_framebuffer_formats),
		guest_test(test_framebuffer_planes),
		guest_test(test_new_framebuffer_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
