/* SPDX-License-Identifier: MIT */
/*
 * libbufshare where there is no memory, or no file descriptor: each allocation is denied
 * once. The caller is told, nothing is lost, and the next try succeeds.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest/guest-fixture.h"

/* ---- what the linker puts in the way ---- */

static unsigned int countdown; /* 0: nothing is denied */
static long living;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
int __wrap_asprintf(char **s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap_free(void *p);

static bool denied(void)
{
	if (fake_in_driver() || !countdown)
		return false;
	if (--countdown)
		return false;
	errno = ENOMEM;
	return true;
}

static void *made(void *p)
{
	living += p != NULL;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return denied() ? NULL : made(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return denied() ? NULL : made(__real_calloc(n, size));
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	if (denied())
		return NULL;
	return p ? __real_reallocarray(p, n, size) : made(__real_reallocarray(p, n, size));
}

char *__wrap_strdup(const char *s)
{
	return denied() ? NULL : made(__real_strdup(s));
}

int __wrap_asprintf(char **s, const char *format, ...)
{
	va_list args;
	int r;

	if (denied()) {
		*s = (char *)-1; /* what it becomes is not said */
		return -1;
	}
	va_start(args, format);
	r = vasprintf(s, format, args);
	va_end(args);
	made(*s);
	return r;
}

void __wrap_free(void *p)
{
	living -= p != NULL;
	__real_free(p);
}

/* ---- a program's life ---- */

static int use_buffer(struct bufshare_device *dev, struct bufshare_buffer *buf)
{
	const struct bufshare_framebuffer fb = { .width = 4, .height = 4, .stride = 16,
						 .format = 0x34325258 };
	uint64_t *ids = NULL;
	char **properties = NULL;
	const char *value;
	size_t n;
	int r;

	r = bufshare_buffer_set_property(buf, "title", "t");
	if (r == 0)
		r = bufshare_buffer_set_framebuffer(buf, &fb);
	if (r == 0)
		r = bufshare_buffer_register(buf, "app");
	if (r == 0)
		r = bufshare_buffer_set_property(buf, "title", "u");
	if (r == 0)
		r = bufshare_buffer_get_property(buf, "title", &value);
	if (r == 0)
		r = bufshare_buffer_update(buf, NULL, 0, NULL);
	if (r == 0)
		r = bufshare_device_list_buffers(dev, 0, &ids, &n);
	if (r == 0)
		r = bufshare_device_dup_buffer_properties(dev, ids[0], &properties);
	free(ids);
	free(properties);
	return r;
}

static int live(int dmabuf)
{
	struct bufshare_buffer *buf = NULL, *imported = NULL;
	struct bufshare_device *dev = NULL;
	int r;

	r = bufshare_device_new_from_label(NULL, &dev);
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r == 0)
		r = bufshare_buffer_new_with_flags(dev, 4096, 0, &buf);
	if (r == 0)
		r = bufshare_buffer_import(dev, dmabuf, &imported);
	if (r == 0)
		r = use_buffer(dev, buf);
	bufshare_buffer_unref(buf);
	bufshare_buffer_unref(imported);
	bufshare_device_unref(dev);
	return r;
}

static void test_no_memory(void **state)
{
	struct fake_device *fake = fake_device_add(NULL);
	int dmabuf = fake_dmabuf_new(4096, true);
	unsigned int n, failures = 0;
	long before;

	assert_int_equal(live(dmabuf), 0);
	assert_int_equal(fake_count_files(fake), 0);
	for (n = 1; n < 1000; n++) {
		int r;

		before = living;
		countdown = n;
		r = live(dmabuf);
		if (countdown) /* there were not that many */
			break;
		failures++;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(fake_count_registered(fake), 0);
		assert_int_equal(fake_count_handles(fake), 0);
		assert_int_equal(fake_count_files(fake), 0);
		assert_int_equal(living, before);
	}
	countdown = 0;
	assert_in_range(failures, 15, 999);
	assert_int_equal(live(dmabuf), 0);
	close(dmabuf);
}

/* That no device is found is said only where somebody could look. */
static void test_no_descriptor(void **state)
{
	struct rlimit limit, none;
	struct bufshare_device *dev = NULL, **devs;
	int next, room, r;
	size_t n;

	fake_device_add(NULL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	next = dup(0);
	assert_true(next >= 0);
	close(next);
	for (room = 0; room < 16; room++) {
		none = limit;
		none.rlim_cur = (rlim_t)(next + room);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		r = bufshare_device_enumerate(&devs, &n);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (r == 0)
			break;
		assert_int_equal(r, -EMFILE);
	}
	assert_in_range(room, 2, 15);
	assert_int_equal(n, 1);
	bufshare_device_list_free(devs, n);
	assert_int_equal(bufshare_device_new_from_label(NULL, &dev), 0);
	bufshare_device_unref(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(test_no_memory),
		machine_test(test_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
