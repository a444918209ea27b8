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

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "host/daemon/export.h"
#include "host/ipc.h"

#define PAGE VIRTIO_BUFSHARE_PAGE_SIZE
#define PAGES 64 /* of each region */
#define OK VIRTIO_BUFSHARE_STATUS_OK

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

/* ---- the guest ---- */

struct world {
	struct memory *memory;
	struct exporter ex;
	struct dev_buffer b;
	uint8_t *ram; /* both regions */
};

enum kind {
	SEALED,
	UNSEALED,
	TWO_FILES,
};

static int make_file(size_t size, bool sealed)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (sealed)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
	return fd;
}

/* Two regions with a hole of the same size between them, but for one page all in one file. */
static void make_memory(struct world *w, enum kind kind)
{
	const size_t size = PAGES * PAGE;
	int fd = make_file(2 * size, kind != UNSEALED);
	struct memory_info info = { .gpa = 0, .size = size, .uva = 1 << 30, .offset = 0 };

	assert_int_equal(memory_new(&w->memory), 0);
	w->ram = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(w->ram, MAP_FAILED);
	assert_int_equal(memory_add(w->memory, &info, fcntl(fd, F_DUPFD_CLOEXEC, 3)), 0);
	info.gpa = info.uva = 2 * size;
	info.offset = size;
	if (kind == TWO_FILES) {
		close(fd);
		fd = make_file(2 * size, true);
	}
	assert_int_equal(memory_add(w->memory, &info, fd), 0);
}

static void set_ranges(struct world *w, const struct dev_range *ranges, uint32_t n)
{
	uint32_t i;

	free(w->b.ranges);
	w->b.ranges = calloc(n, sizeof(*ranges));
	assert_non_null(w->b.ranges);
	memcpy(w->b.ranges, ranges, n * sizeof(*ranges));
	w->b.num_ranges = n;
	w->b.size = 0;
	for (i = 0; i < n; i++)
		w->b.size += ranges[i].size;
}

#define RANGES(w, ...)                                              \
	do {                                                        \
		const struct dev_range ranges_[] = { __VA_ARGS__ }; \
		set_ranges(w, ranges_, ARRAY_SIZE(ranges_));        \
	} while (0)
#define AT(page, pages) { (uint64_t)(page) * PAGE, (uint64_t)(pages) * PAGE }

static int setup_kind(void **state, enum kind kind)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(fd_leak_setup(state), 0);
	w->ex.udmabuf = -1;
	w->b.id = 1;
	make_memory(w, kind);
	memset(&fake, 0, sizeof(fake));
	fake.fd = -1;
	RANGES(w, AT(1, 2), AT(8, 1));
	*state = w;
	return 0;
}

static int setup(void **state)
{
	return setup_kind(state, SEALED);
}

static int setup_unsealed(void **state)
{
	return setup_kind(state, UNSEALED);
}

static int setup_two_files(void **state)
{
	return setup_kind(state, TWO_FILES);
}

static int teardown(void **state)
{
	struct world *w = *state;

	export_free(w->b.export);
	exporter_close(&w->ex);
	munmap(w->ram, 2 * PAGES * PAGE);
	memory_free(w->memory);
	props_clear(&w->b.guest);
	free(w->b.ranges);
	free(w);
	return fd_leak_teardown(state);
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
	fake.fd = w->ex.udmabuf;
}

static uint32_t make(struct world *w)
{
	uint32_t detail = 0, status = export_make(&w->ex, w->memory, &w->b, &detail);

	assert_int_equal(detail, 0);
	return status;
}

static void assert_limit(struct world *w, uint32_t limit)
{
	uint32_t detail = 0;

	assert_int_equal(export_make(&w->ex, w->memory, &w->b, &detail), VIRTIO_BUFSHARE_STATUS_LIMIT);
	assert_int_equal(detail, limit);
	assert_null(w->b.export);
}

static void fill(struct world *w, uint8_t byte)
{
	memset(w->ram, byte, 2 * PAGES * PAGE);
}

static void assert_byte(struct world *w, uint64_t offset, uint8_t byte)
{
	uint8_t got;

	assert_int_equal(pread(export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_COPY), &got, 1,
			       (off_t)offset), 1);
	assert_int_equal(got, byte);
}

static const struct dev_damage all = { .all = true };

/* ---- udmabuf ---- */

static void test_udmabuf(void **state)
{
	struct world *w = *state;
	struct stat one, two;
	int fd;

	use_fake(w, EXPORT_AUTO);
	assert_int_equal(make(w), OK);
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
	assert_int_equal(export_refresh(&w->b, &all), 3 * PAGE);
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
	assert_int_equal(make(w), OK);
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
	assert_int_equal(make(w), OK);
	assert_int_equal(fake.count, 2);
}

static void test_too_many_ranges(void **state)
{
	struct world *w = *state;

	use_fake(w, EXPORT_UDMABUF);
	RANGES(w, AT(1, 1), AT(3, 1), AT(5, 1), AT(7, 1), AT(9, 1));
	assert_limit(w, VIRTIO_BUFSHARE_LIMIT_RANGES);
	w->ex.mode = EXPORT_AUTO;
	assert_int_equal(make(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_RANGES);
	assert_int_equal(fake.made, 0);
	w->b.export = export_free(w->b.export);

	RANGES(w, AT(1, 1), AT(3, 1), AT(5, 1), AT(7, 1)); /* just as many as it takes */
	assert_int_equal(make(w), OK);
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
	assert_int_equal(make(w), OK);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_SIZE);
	w->b.export = export_free(w->b.export);

	RANGES(w, AT(1, 16));
	assert_int_equal(make(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_UDMABUF);
}

static void test_not_sealed(void **state)
{
	struct world *w = *state;

	use_fake(w, EXPORT_UDMABUF);
	assert_int_equal(make(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
	assert_null(w->b.export);
	w->ex.mode = EXPORT_AUTO;
	assert_int_equal(make(w), OK);
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
	assert_int_equal(make(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_KERNEL);
	w->b.export = export_free(w->b.export);

	fake.error = 0; /* it is asked again for the next buffer */
	assert_int_equal(make(w), OK);
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
	assert_int_equal(make(w), OK);
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
	assert_int_equal(exporter_init(&w->ex, EXPORT_UDMABUF), 0);
	assert_true(w->ex.list_limit > 0 && w->ex.size_limit > 0);
	assert_int_equal(make(w), OK);
	map = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED,
		   export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_UDMABUF), 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	w->ram[PAGE] = 0x11;
	w->ram[8 * PAGE] = 0x22;
	assert_int_equal(map[0], 0x11);
	assert_int_equal(map[2 * PAGE], 0x22);
	munmap((void *)map, 3 * PAGE);
}

/* ---- copy ---- */

static void test_copy(void **state)
{
	struct world *w = *state;
	int fd;

	assert_int_equal(exporter_init(&w->ex, EXPORT_COPY), 0);
	fill(w, 0x11);
	w->ram[8 * PAGE] = 0x22;
	assert_int_equal(make(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_ASKED);
	fd = export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x10);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3 * PAGE);
	assert_byte(w, 0, 0); /* nothing was copied yet */
	assert_int_equal(export_refresh(&w->b, &all), 3 * PAGE);
	assert_byte(w, 0, 0x11);
	assert_byte(w, 2 * PAGE - 1, 0x11);
	assert_byte(w, 2 * PAGE, 0x22);
	assert_byte(w, 2 * PAGE + 1, 0x11);
	assert_int_equal(export_need_copy(&w->b), 0); /* there is one */
	assert_int_equal(export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_COPY), fd);
}

/* Without a copy there is nothing to refresh. */
static void test_no_copy(void **state)
{
	struct world *w = *state;

	assert_int_equal(exporter_init(&w->ex, EXPORT_MEMFD), 0);
	assert_int_equal(make(w), OK);
	assert_int_equal(export_refresh(&w->b, &all), 0);
	assert_int_equal(export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_COPY), -1);
}

static void set_property(struct world *w, const char *name, const char *value)
{
	int r = props_set(&w->b.guest, name, value);

	assert_true(r == 0 || (!value && r == -ENOENT));
}

/* Of a picture the damaged rows, and of what is in doubt everything. */
static void test_damage(void **state)
{
	static const struct {
		const char *name, *value;
	} doubts[] = {
		{ "stride", NULL }, { "stride", "0" }, { "stride", "x" }, { "stride", "99999999" },
		{ "height", NULL }, { "height", "13" }, { "height", "18446744073709551615" },
		{ "format", NULL }, { "modifier", "1" }, { "plane1.offset", "4096" },
		{ "offset", "x" }, { "offset", "12289" }, { "offset", "1025" },
	};
	struct dev_damage damage = { .n = 1, .v = { { 5, 2, 10, 3 } } };
	struct world *w = *state;
	size_t i;

	assert_int_equal(exporter_init(&w->ex, EXPORT_COPY), 0);
	assert_int_equal(make(w), OK);
	for (i = 0; i < ARRAY_SIZE(doubts); i++) {
		set_property(w, "format", "XR24");
		set_property(w, "stride", "1024");
		set_property(w, "height", "11");
		set_property(w, "offset", "1024");
		set_property(w, "modifier", NULL);
		set_property(w, "plane1.offset", NULL);

		/* Rows 2 to 4 of 1 KiB, 1 KiB into the buffer. */
		fill(w, 0x10);
		export_refresh(&w->b, &all);
		fill(w, 0x20);
		assert_int_equal(export_refresh(&w->b, &damage), 3 * 1024);
		assert_byte(w, 3 * 1024 - 1, 0x10);
		assert_byte(w, 3 * 1024, 0x20);
		assert_byte(w, 6 * 1024 - 1, 0x20);
		assert_byte(w, 6 * 1024, 0x10);

		set_property(w, doubts[i].name, doubts[i].value);
		assert_int_equal(export_refresh(&w->b, &damage), 3 * PAGE);
		assert_byte(w, 0, 0x20);
		assert_byte(w, 3 * PAGE - 1, 0x20);
	}
}

/* Rectangles that leave the picture, by which nothing outside the buffer is touched. */
static void test_damage_outside(void **state)
{
	struct dev_damage damage = {
		.n = 3,
		.v = { { 0, 10, 1, UINT32_MAX }, { 0, 12, 1, 1 }, { 0, UINT32_MAX, 1, UINT32_MAX } },
	};
	struct world *w = *state;

	assert_int_equal(exporter_init(&w->ex, EXPORT_COPY), 0);
	assert_int_equal(make(w), OK);
	set_property(w, "format", "XR24");
	set_property(w, "stride", "1024");
	set_property(w, "height", "12");
	fill(w, 0x30);
	assert_int_equal(export_refresh(&w->b, &damage), 2 * 1024);
	assert_byte(w, 10 * 1024 - 1, 0);
	assert_byte(w, 10 * 1024, 0x30);
	assert_byte(w, 3 * PAGE - 1, 0x30);
}

/* Damage that begins and ends inside of many small pieces. */
static void test_damage_in_pieces(void **state)
{
	struct dev_damage damage = { .n = 1, .v = { { 0, 5000, 1, 5000 } } };
	struct world *w = *state;
	uint32_t i;

	assert_int_equal(exporter_init(&w->ex, EXPORT_COPY), 0);
	RANGES(w, AT(9, 1), AT(7, 1), AT(5, 1), AT(3, 1));
	assert_int_equal(make(w), OK);
	set_property(w, "format", "R8");
	set_property(w, "stride", "1");
	set_property(w, "height", "16384");
	for (i = 0; i < 16; i++)
		memset(w->ram + i * PAGE, (int)(0x40 + i), PAGE);
	assert_int_equal(export_refresh(&w->b, &damage), 5000);
	assert_byte(w, 4999, 0);
	assert_byte(w, 5000, 0x47);
	assert_byte(w, 2 * PAGE - 1, 0x47);
	assert_byte(w, 2 * PAGE, 0x45);
	assert_byte(w, 9999, 0x45);
	assert_byte(w, 10000, 0);
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
	assert_int_equal(make(w), OK);
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
	assert_int_equal(make(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_FILES);
	w->b.export = export_free(w->b.export);
	RANGES(w, AT(2 * PAGES, 2));
	assert_int_equal(make(w), OK);
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
		assert_int_equal(make(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
		RANGES(w, AT(PAGES - 1, 2)); /* into it */
		assert_int_equal(make(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
		RANGES(w, { UINT64_MAX - PAGE + 1, PAGE });
		assert_int_equal(make(w), VIRTIO_BUFSHARE_STATUS_MEMORY);
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
	assert_int_equal(make(w), OK);
	assert_true(export_is_valid(w->b.export, w->memory));
	assert_int_equal(memory_remove(w->memory, &info), 0);
	assert_false(export_is_valid(w->b.export, w->memory));
	fill(w, 0x77);
	assert_int_equal(export_refresh(&w->b, &all), 3 * PAGE);
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
		TEST(test_copy),
		TEST(test_no_copy),
		TEST(test_damage),
		TEST(test_damage_outside),
		TEST(test_damage_in_pieces),
		TEST(test_memfd),
		cmocka_unit_test_setup_teardown(test_memfd_two_files, setup_two_files, teardown),
		TEST(test_not_memory),
		TEST(test_memory_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
