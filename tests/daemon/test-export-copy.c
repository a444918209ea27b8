/* SPDX-License-Identifier: MIT */
/*
 * Copies: what is copied when, and that nobody but the daemon changes it.
 */
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

#include "daemon/export-fixture.h"

static void test_copy(void **state)
{
	struct world *w = *state;
	int fd;

	assert_int_equal(exporter_init(&w->ex, EXPORT_COPY), 0);
	fill_guest(w, 0x11);
	w->ram[8 * PAGE] = 0x22;
	assert_int_equal(make_export(w), OK);
	assert_int_equal(w->b.path, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(w->b.why, BUFSHARE_IPC_WHY_ASKED);
	fd = export_fd(w->b.export, VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x10);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3 * PAGE);
	assert_byte(w, 0, 0); /* nothing was copied yet */
	assert_int_equal(refresh(w, &all), 3 * PAGE);
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
	assert_int_equal(make_export(w), OK);
	assert_int_equal(refresh(w, &all), 0);
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
	assert_int_equal(make_export(w), OK);
	for (i = 0; i < ARRAY_SIZE(doubts); i++) {
		set_property(w, "format", "XR24");
		set_property(w, "stride", "1024");
		set_property(w, "height", "11");
		set_property(w, "offset", "1024");
		set_property(w, "modifier", NULL);
		set_property(w, "plane1.offset", NULL);

		/* Rows 2 to 4 of 1 KiB, 1 KiB into the buffer. */
		fill_guest(w, 0x10);
		refresh(w, &all);
		fill_guest(w, 0x20);
		assert_int_equal(refresh(w, &damage), 3 * 1024);
		assert_byte(w, 3 * 1024 - 1, 0x10);
		assert_byte(w, 3 * 1024, 0x20);
		assert_byte(w, 6 * 1024 - 1, 0x20);
		assert_byte(w, 6 * 1024, 0x10);

		set_property(w, doubts[i].name, doubts[i].value);
		assert_int_equal(refresh(w, &damage), 3 * PAGE);
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
	assert_int_equal(make_export(w), OK);
	set_property(w, "format", "XR24");
	set_property(w, "stride", "1024");
	set_property(w, "height", "12");
	fill_guest(w, 0x30);
	assert_int_equal(refresh(w, &damage), 2 * 1024);
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
	assert_int_equal(make_export(w), OK);
	set_property(w, "format", "R8");
	set_property(w, "stride", "1");
	set_property(w, "height", "16384");
	for (i = 0; i < 16; i++)
		memset(w->ram + i * PAGE, (int)(0x40 + i), PAGE);
	assert_int_equal(refresh(w, &damage), 5000);
	assert_byte(w, 4999, 0);
	assert_byte(w, 5000, 0x47);
	assert_byte(w, 2 * PAGE - 1, 0x47);
	assert_byte(w, 2 * PAGE, 0x45);
	assert_byte(w, 9999, 0x45);
	assert_byte(w, 10000, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_copy),
		TEST(test_no_copy),
		TEST(test_damage),
		TEST(test_damage_outside),
		TEST(test_damage_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
