/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: memory of the program, and huge pages.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/guest-fixture.h"

static unsigned char *pages_new(size_t size)
{
	unsigned char *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	return pages;
}

static void test_memory(void **state)
{
	struct guest *g = *state;
	unsigned char *pages = pages_new(8192);
	struct bufshare_buffer_info info;
	struct bufshare_buffer *buf;
	void *addr;
	int fd = -1;

	memset(pages, 7, 8192);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages, 8192, &buf), 0);
	assert_int_equal(bufshare_buffer_get_size(buf), 8192);
	assert_int_equal(bufshare_buffer_map(buf, &addr), 0);
	assert_ptr_equal(addr, pages);
	assert_int_equal(bufshare_buffer_export(buf, &fd), -EOPNOTSUPP);
	assert_int_equal(fd, -1);

	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_ptr_equal(fake_get_memory(g->fake, bufshare_buffer_get_id(buf)), pages);
	assert_int_equal(bufshare_device_get_buffer_info(g->dev, bufshare_buffer_get_id(buf), &info), 0);
	assert_int_equal(info.user_memory, 1);
	assert_int_equal(info.imported, 0);

	/* The memory stays the program's. */
	bufshare_buffer_unref(buf);
	assert_int_equal(fake_count_handles(g->fake), 0);
	assert_int_equal(pages[8191], 7);
	munmap(pages, 8192);
}

static void test_memory_wrong(void **state)
{
	struct guest *g = *state;
	unsigned char *pages = pages_new(8192);
	struct bufshare_device *closed;
	struct bufshare_buffer *buf = NULL;
	uint64_t largest;

	assert_int_equal(bufshare_device_get_limit(g->dev, BUFSHARE_LIMIT_BUFFER_SIZE, &largest), 0);
	assert_int_equal(bufshare_buffer_new_from_memory(NULL, pages, 4096, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, NULL, 4096, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages, 0, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages, 4096, NULL), -EINVAL);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages + 64, 4096, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages, 4095, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages, largest + 4096, &buf), -EINVAL);
	assert_int_equal(fake_count_ioctl(g->fake, DRM_IOCTL_BUFSHARE_USER_MEMORY), 0);
	assert_int_equal(bufshare_device_new_from_label(NULL, &closed), 0);
	assert_int_equal(bufshare_buffer_new_from_memory(closed, pages, 4096, &buf), -ENOTCONN);
	bufshare_device_unref(closed);

	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_USER_MEMORY, EFAULT, 1);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages, 4096, &buf), -EFAULT);
	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_USER_MEMORY, ENOMEM, 1);
	assert_int_equal(bufshare_buffer_new_from_memory(g->dev, pages, 4096, &buf), -ENOMEM);
	assert_null(buf);
	assert_int_equal(fake_count_handles(g->fake), 0);
	munmap(pages, 8192);
}

static void test_huge(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf;

	assert_int_equal(bufshare_buffer_new_with_flags(g->dev, 1, BUFSHARE_BUFFER_HUGE, &buf), 0);
	assert_int_equal(fake_get_create_flags(g->fake), DRM_BUFSHARE_CREATE_HUGE);
	bufshare_buffer_unref(buf);
	assert_int_equal(bufshare_buffer_new_with_flags(g->dev, 1, 0, &buf), 0);
	assert_int_equal(fake_get_create_flags(g->fake), 0);
	bufshare_buffer_unref(buf);
	assert_int_equal(bufshare_buffer_new_with_flags(g->dev, 1, 1U << 1, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_with_flags(g->dev, 0, 0, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_with_flags(NULL, 1, 0, &buf), -EINVAL);
	assert_int_equal(bufshare_buffer_new_with_flags(g->dev, 1, 0, NULL), -EINVAL);
}

static void test_info_imported(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer_info info;
	struct bufshare_buffer *buf;
	int fd = fake_dmabuf_new(4096, true);

	assert_int_equal(bufshare_buffer_import(g->dev, fd, &buf), 0);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	assert_int_equal(bufshare_device_get_buffer_info(g->dev, bufshare_buffer_get_id(buf), &info), 0);
	assert_int_equal(info.imported, 1);
	assert_int_equal(info.user_memory, 0);
	bufshare_buffer_unref(buf);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_memory),
		guest_test(test_memory_wrong),
		guest_test(test_huge),
		guest_test(test_info_imported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
