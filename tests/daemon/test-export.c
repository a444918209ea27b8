/* SPDX-License-Identifier: MIT */
/*
 * How guest memory is handed out: each path, why it is not a better one, and that it stays
 * what it is. udmabuf is a fake here that is as strict as the kernel; and the kernel's own
 * where there is one.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/export-fixture.h"

/* ---- udmabuf, as the kernel has it ---- */

static struct {
	int fd; /* of the device, -1: no fake */
	unsigned int made;
	int error; /* to fail with */
	uint32_t count;
	struct udmabuf_create_item items[PAGES];
} fake = { .fd = -1 };

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static int fake_create(const struct udmabuf_create_list *list)
{
	uint64_t total = 0;
	uint32_t i;

	if (!(list->flags & UDMABUF_FLAGS_CLOEXEC) || !list->count)
		return -EINVAL;
	for (i = 0; i < list->count; i++) {
		const struct udmabuf_create_item *item = &list->list[i];
		int seals = fcntl((int)item->memfd, F_GET_SEALS);
		struct stat st;

		if (seals < 0 || !(seals & F_SEAL_SHRINK) || (seals & F_SEAL_WRITE))
			return -EINVAL;
		assert_int_equal(fstat((int)item->memfd, &st), 0);
		if (item->offset % PAGE || item->size % PAGE || !item->size ||
		    item->offset + item->size > (uint64_t)st.st_size)
			return -EINVAL;
		total += item->size;
		fake.items[i] = *item;
	}
	fake.count = list->count;
	fake.made++;
	return memfd_create("dma-buf", MFD_CLOEXEC);
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	int r;

	if (fake.fd < 0 || fd != fake.fd)
		return __real_ioctl(fd, request, arg);
	assert_true(request == UDMABUF_CREATE_LIST);
	r = fake.error ? -fake.error : fake_create(arg);
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

/* An exporter with a fake udmabuf, of the kernel's limits made small. */
static void use_fake(struct world *w, int mode)
{
	w->ex = (struct exporter){
		.mode = mode,
		.udmabuf = open("/dev/null", O_RDWR | O_CLOEXEC),
		.list_limit = 4,
		.size_limit = 16 * PAGE,
	};
	assert_true(w->ex.udmabuf >= 0);
	memset(&fake, 0, sizeof(fake));
	fake.fd = w->ex.udmabuf;
}

/* ---- udmabuf ---- */

static void test_udmabuf(void **state)
{
	struct world *w = *state;
	struct stat one, two;
	int fd;

	use_fake(w, EXPORT_AUTO);
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_UDMABUF);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_NONE);
	assert_int_equal(fake.count, 2);
	assert_int_equal(fake.items[0].offset, PAGE);
	assert_int_equal(fake.items[0].size, 2 * PAGE);
	assert_int_equal(fake.items[1].offset, 8 * PAGE);
	assert_int_equal(fake.items[1].size, PAGE);

	/* One for life, whoever asks, and whatever else there is to it. */
	fd = export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_UDMABUF);
	assert_int_equal(fstat(fd, &one), 0);
	assert_int_equal(export_need_copy(&w->b), 0);
	assert_int_equal(refresh(w, &all), 3 * PAGE);
	assert_int_equal(export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_UDMABUF), fd);
	assert_int_equal(fstat(fd, &two), 0);
	assert_true(one.st_ino == two.st_ino);
	assert_int_equal(fake.made, 1);
}

/* In one region, what touches becomes one; across regions it does not. */
static void test_merged(void **state)
{
	struct world *w = *state;

	use_fake(w, EXPORT_UDMABUF);
	RANGES(w, AT(1, 1), AT(2, 1), AT(3, 3), AT(7, 1), AT(6, 1), AT(PAGES - 1, 1),
	       AT(2 * PAGES, 1), AT(2 * PAGES + 1, 1));
	w->ex.list_limit = 5;
	assert_int_equal(make_export(w), OK);
	assert_int_equal(fake.count, 5);
	assert_int_equal(fake.items[0].offset, PAGE);
	assert_int_equal(fake.items[0].size, 5 * PAGE);
	assert_int_equal(fake.items[1].offset, 7 * PAGE);
	assert_int_equal(fake.items[2].offset, 6 * PAGE);
	assert_int_equal(fake.items[3].offset, (PAGES - 1) * PAGE);
	assert_int_equal(fake.items[4].offset, PAGES * PAGE);
	assert_int_equal(fake.items[4].size, 2 * PAGE);
}

/* The same page twice is the guest's business. */
static void test_same_page_twice(void **state)
{
	struct world *w = *state;

	use_fake(w, EXPORT_UDMABUF);
	RANGES(w, AT(1, 1), AT(1, 1));
	assert_int_equal(make_export(w), OK);
	assert_int_equal(fake.count, 2);
}

static void test_too_many_ranges(void **state)
{
	struct world *w = *state;

	use_fake(w, EXPORT_UDMABUF);
	RANGES(w, AT(1, 1), AT(3, 1), AT(5, 1), AT(7, 1), AT(9, 1));
	assert_limit(w, VIRTIO_BUFSHARE_LIMIT_RANGES);
	w->ex.mode = EXPORT_AUTO;
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_RANGES);
	assert_int_equal(fake.made, 0);
	w->b.export = export_free(w->b.export);

	RANGES(w, AT(1, 1), AT(3, 1), AT(5, 1), AT(7, 1)); /* just as many as it takes */
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_UDMABUF);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_NONE);
}

static void test_too_large(void **state)
{
	struct world *w = *state;

	use_fake(w, EXPORT_UDMABUF);
	RANGES(w, AT(1, 17));
	assert_limit(w, VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE);
	w->ex.mode = EXPORT_AUTO;
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_SIZE);
	w->b.export = export_free(w->b.export);

	RANGES(w, AT(1, 16));
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_UDMABUF);
}

static void test_not_sealed(void **state)
{
	struct world *w = *state;

	use_fake(w, EXPORT_UDMABUF);
	assert_int_equal(make_export(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
	assert_null(w->b.export);
	w->ex.mode = EXPORT_AUTO;
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_NOT_SEALED);
	assert_int_equal(fake.made, 0);
}

static void test_kernel_refuses(void **state)
{
	struct world *w = *state;
	uint32_t detail = 0;

	use_fake(w, EXPORT_UDMABUF);
	fake.error = ENOMEM;
	assert_int_equal(export_make(&w->ex, w->memory, &w->b, &detail), VIRTIO_BUFSHARE_STATUS_HOST);
	assert_int_equal(detail, ENOMEM);
	assert_null(w->b.export);
	w->ex.mode = EXPORT_AUTO;
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_KERNEL);
	w->b.export = export_free(w->b.export);

	fake.error = 0; /* it is asked again for the next buffer */
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_UDMABUF);
}

static void test_no_udmabuf(void **state)
{
	struct world *w = *state;

	if (access("/dev/udmabuf", F_OK) == 0) {
		print_message("# SKIPPED: this host has /dev/udmabuf\n");
		return;
	}
	assert_int_equal(exporter_init(&w->ex, EXPORT_UDMABUF), -ENOENT);
	assert_int_equal(exporter_init(&w->ex, EXPORT_AUTO), 0);
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_NO_UDMABUF);
}

/* The real one: what the guest writes is there, without an update. */
static void test_real_udmabuf(void **state)
{
	struct world *w = *state;
	const uint8_t *map;

	if (access("/dev/udmabuf", R_OK | W_OK) < 0) {
		print_message("# SKIPPED: no /dev/udmabuf here; scripts/check-udmabuf makes a machine with one\n");
		return;
	}
	fake.fd = -1;
	assert_int_equal(exporter_init(&w->ex, EXPORT_UDMABUF), 0);
	assert_true(w->ex.list_limit > 0 && w->ex.size_limit > 0);
	assert_int_equal(make_export(w), OK);
	map = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED,
		   export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_UDMABUF), 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	w->ram[PAGE] = 0x11;
	w->ram[8 * PAGE] = 0x22;
	assert_int_equal(map[0], 0x11);
	assert_int_equal(map[2 * PAGE], 0x22);
	munmap((void *)map, 3 * PAGE);
}

/* ---- memfd ---- */

static void test_memfd(void **state)
{
	struct world *w = *state;
	struct bufshare_ipc_range ranges[3];
	struct stat file, region;
	uint32_t n;
	int fd;

	assert_int_equal(exporter_init(&w->ex, EXPORT_MEMFD), 0);
	RANGES(w, AT(1, 1), AT(2, 1), AT(8, 1), AT(2 * PAGES + 3, 2));
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_MEMFD);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_NONE);
	assert_int_equal(fstat(export_fd(w->b.export, w->b.path), &file), 0);
	assert_int_equal(fstat(memory_get(w->memory, 0)->fd, &region), 0);
	assert_true(file.st_ino == region.st_ino);

	fd = export_ranges_fd(w->b.export, &n);
	assert_int_equal(n, 3);
	assert_int_equal(fcntl(fd, F_GET_SEALS),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	assert_int_equal(lseek(fd, 0, SEEK_END), sizeof(ranges));
	assert_int_equal(pread(fd, ranges, sizeof(ranges), 0), sizeof(ranges));
	assert_int_equal(le64toh(ranges[0].offset), PAGE);
	assert_int_equal(le64toh(ranges[0].size), 2 * PAGE);
	assert_int_equal(le64toh(ranges[1].offset), 8 * PAGE);
	assert_int_equal(le64toh(ranges[2].offset), (PAGES + 3) * PAGE);
	assert_int_equal(le64toh(ranges[2].size), 2 * PAGE);
}

static void test_memfd_two_files(void **state)
{
	struct world *w = *state;

	assert_int_equal(exporter_init(&w->ex, EXPORT_MEMFD), 0);
	RANGES(w, AT(1, 1), AT(2 * PAGES, 1));
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_FILES);
	w->b.export = export_free(w->b.export);
	RANGES(w, AT(2 * PAGES, 2));
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_MEMFD);
}

/* ---- memory ---- */

static void test_not_memory(void **state)
{
	struct world *w = *state;
	int mode;

	for (mode = EXPORT_AUTO; mode <= EXPORT_MEMFD; mode++) {
		use_fake(w, mode);
		RANGES(w, AT(1, 1), AT(PAGES, 1)); /* in the hole */
		assert_int_equal(make_export(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
		RANGES(w, AT(PAGES - 1, 2)); /* into it */
		assert_int_equal(make_export(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
		RANGES(w, { UINT64_MAX - PAGE + 1, PAGE });
		assert_int_equal(make_export(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
		exporter_close(&w->ex);
	}
	fake.fd = -1;
}

/* Memory that is taken out of the guest makes the export void, and stays what it was. */
static void test_memory_goes(void **state)
{
	const struct memory_info info = { .gpa = 0, .size = PAGES * PAGE, .uva = 1 << 30 };
	struct world *w = *state;

	assert_int_equal(exporter_init(&w->ex, EXPORT_COPY), 0);
	assert_int_equal(make_export(w), OK);
	assert_true(export_is_valid(w->b.export, w->memory));
	assert_int_equal(memory_remove(w->memory, &info), 0);
	assert_false(export_is_valid(w->b.export, w->memory));
	fill_guest(w, 0x77);
	assert_int_equal(refresh(w, &all), 3 * PAGE);
	assert_byte(w, 0, 0x77);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_udmabuf),
		TEST(test_merged),
		TEST(test_same_page_twice),
		TEST(test_too_many_ranges),
		TEST(test_too_large),
		cmocka_unit_test_setup_teardown(test_not_sealed, setup_unsealed, teardown),
		TEST(test_kernel_refuses),
		TEST(test_no_udmabuf),
		TEST(test_real_udmabuf),
		TEST(test_memfd),
		cmocka_unit_test_setup_teardown(test_memfd_two_files, setup_two_files, teardown),
		TEST(test_not_memory),
		TEST(test_memory_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
