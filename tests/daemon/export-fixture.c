/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fd-leak.h"
#include "daemon/export-fixture.h"

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

void set_ranges(struct world *w, const struct dev_range *ranges, uint32_t n)
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

static int export_setup(void **state, enum kind kind)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(fd_leak_setup(state), 0);
	w->ex.udmabuf = -1;
	w->b.id = 1;
	make_memory(w, kind);
	RANGES(w, AT(1, 2), AT(8, 1));
	*state = w;
	return 0;
}

int setup(void **state)
{
	return export_setup(state, SEALED);
}

int setup_unsealed(void **state)
{
	return export_setup(state, UNSEALED);
}

int setup_two_files(void **state)
{
	return export_setup(state, TWO_FILES);
}

int teardown(void **state)
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

uint32_t make_export(struct world *w)
{
	uint32_t detail = 0, status = export_make(&w->ex, w->memory, &w->b, &detail);

	assert_int_equal(detail, 0);
	return status;
}

void assert_limit(struct world *w, uint32_t limit)
{
	uint32_t detail = 0;

	assert_int_equal(export_make(&w->ex, w->memory, &w->b, &detail), VIRTIO_BUFSHARE_STATUS_LIMIT);
	assert_int_equal(detail, limit);
	assert_null(w->b.export);
}

uint64_t refresh(struct world *w, const struct dev_damage *damage)
{
	uint64_t bytes;

	assert_int_equal(export_refresh(&w->b, damage, &bytes), 0);
	return bytes;
}

void fill_guest(struct world *w, uint8_t byte)
{
	memset(w->ram, byte, 2 * PAGES * PAGE);
}

void assert_byte(struct world *w, uint64_t offset, uint8_t byte)
{
	uint8_t got;

	assert_int_equal(pread(export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_COPY), &got, 1,
			       (off_t)offset), 1);
	assert_int_equal(got, byte);
}

const struct dev_damage all = { .all = true };
