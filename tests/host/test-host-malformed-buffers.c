/* SPDX-License-Identifier: MIT */
/*
 * Whatever the daemon sends that is not as host/ipc.h says closes the connection, and
 * nothing is left behind. Here: buffers that come, and what they are made of.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/malformed.h"

/* ---- ADDED ---- */

static void good_added(struct script *s)
{
	wire_added(&s->w[0], NEW, SIZE);
	wire_add_property(&s->w[0], "width=64");
	wire_add_property(&s->w[0], "host.viewer=me");
	s->n = 1;
}

static void added_short(struct script *s)
{
	resize(&s->w[0], -1);
}

static void added_long(struct script *s)
{
	resize(&s->w[0], 1);
}

static void added_very_short(struct script *s)
{
	s->w[0].size = sizeof(struct bufshare_ipc_header);
	resize(&s->w[0], 0);
}

static void added_without_fd(struct script *s)
{
	replace_fd(&s->w[0], -1);
}

static void added_id_0(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, buffer, 0);
}

static void added_id_in_use(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, buffer, htole64(FREE));
}

static void added_size_0(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, size, 0);
}

static void added_application_empty(struct script *s)
{
	memset(s->w[0].msg.bytes + offsetof(struct bufshare_ipc_added, application), 0,
	       BUFSHARE_IPC_NAME_SIZE);
}

static void added_application_unterminated(struct script *s)
{
	memset(s->w[0].msg.bytes + offsetof(struct bufshare_ipc_added, application), 'a',
	       BUFSHARE_IPC_NAME_SIZE);
}

static void added_application_not_padded(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, application[BUFSHARE_IPC_NAME_SIZE - 1], 'a');
}

static void added_application_characters(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, application[1], '/');
}

static void added_path_0(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, path, 0);
}

static void added_path_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, path, htole32(VIRTIO_BUFSHARE_PATH_MEMFD + 1));
}

static void added_flag_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, flags, htole32(1U << 3));
}

static void added_why_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, why, htole32(BUFSHARE_IPC_WHY_CAP + 1));
}

static void added_properties_size_below(struct script *s)
{
	uint32_t size = strlen("width=64") + 1;

	SPOIL(0, struct bufshare_ipc_added, properties_size, htole32(size));
}

static void added_properties_size_above(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, properties_size, htole32(UINT32_MAX));
}

static void added_property_unterminated(struct script *s)
{
	s->w[0].msg.bytes[s->w[0].size - 1] = 'x';
}

static void added_property_removal(struct script *s)
{
	wire_add_property(&s->w[0], "height");
}

static void added_property_twice(struct script *s)
{
	wire_add_property(&s->w[0], "width=65");
}

static void added_property_name(struct script *s)
{
	wire_add_property(&s->w[0], "Height=1");
}

static void added_property_not_utf8(struct script *s)
{
	wire_add_property(&s->w[0], "title=\xff");
}

/* A block of 64 properties is the most. */
static void good_full(struct script *s)
{
	char entry[16];
	int i;

	wire_added(&s->w[0], NEW, SIZE);
	for (i = 0; i < PROPS_MAX; i++) {
		snprintf(entry, sizeof(entry), "p%d=1", i);
		wire_add_property(&s->w[0], entry);
	}
	s->n = 1;
}

static void added_one_property_more(struct script *s)
{
	wire_add_property(&s->w[0], "q=1");
}

static void good_long_block(struct script *s)
{
	char value[PROPS_VALUE_SIZE];
	char entry[PROPS_VALUE_SIZE + 16];
	int i;

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	wire_added(&s->w[0], NEW, SIZE);
	for (i = 0; i < 2; i++) {
		snprintf(entry, sizeof(entry), "p%d=%s", i, value);
		wire_add_property(&s->w[0], entry);
	}
	/* Exactly PROPS_BLOCK_MAX bytes. */
	value[PROPS_BLOCK_MAX - 2 * (sizeof(value) + 3) - 4] = 0;
	snprintf(entry, sizeof(entry), "q2=%s", value);
	wire_add_property(&s->w[0], entry);
	s->n = 1;
}

static void added_block_one_byte_more(struct script *s)
{
	s->w[0].msg.bytes[s->w[0].size - 1] = 'v';
	resize(&s->w[0], 1);
	SPOIL(0, struct bufshare_ipc_added, properties_size, htole32(PROPS_BLOCK_MAX + 1));
}

/* ---- RANGES ---- */

static void good_ranges(struct script *s)
{
	const struct bufshare_ipc_range ranges[] = {
		{ htole64(2 * FAKE_PAGE), htole64(FAKE_PAGE) },
		{ htole64(0), htole64(FAKE_PAGE) },
	};

	wire_ranges(&s->w[0], NEW, ranges, 2);
	wire_added_path(&s->w[1], NEW, 2 * FAKE_PAGE, VIRTIO_BUFSHARE_PATH_MEMFD,
			make_memfd(NULL, 3 * FAKE_PAGE, F_SEAL_SHRINK));
	s->n = 2;
}

/* Other ranges in the same script. */
static void other_ranges(struct script *s, uint64_t offset, uint64_t size, int seals)
{
	const struct bufshare_ipc_range ranges[] = {
		{ htole64(offset), htole64(size) },
		{ htole64(0), htole64(FAKE_PAGE) },
	};

	replace_fd(&s->w[0], make_memfd(ranges, sizeof(ranges), seals));
}

#define RANGES_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static void ranges_long(struct script *s)
{
	resize(&s->w[0], 8);
}

static void ranges_without_fd(struct script *s)
{
	replace_fd(&s->w[0], -1);
}

static void ranges_id_0(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_ranges, buffer, 0);
}

static void ranges_reserved(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_ranges, reserved, htole32(1));
}

static void ranges_none(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_ranges, num_ranges, 0);
	replace_fd(&s->w[0], make_memfd(NULL, 0, RANGES_SEALS));
}

static void ranges_too_many(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_ranges, num_ranges, htole32(VIRTIO_BUFSHARE_MAX_RANGES + 1));
	replace_fd(&s->w[0], make_memfd(NULL,
					(VIRTIO_BUFSHARE_MAX_RANGES + 1) *
						sizeof(struct bufshare_ipc_range),
					RANGES_SEALS));
}

static void ranges_file_short(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_ranges, num_ranges, htole32(3));
}

static void ranges_file_long(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_ranges, num_ranges, htole32(1));
}

static void ranges_may_shrink(struct script *s)
{
	other_ranges(s, 2 * FAKE_PAGE, FAKE_PAGE, F_SEAL_GROW | F_SEAL_WRITE);
}

static void ranges_may_grow(struct script *s)
{
	other_ranges(s, 2 * FAKE_PAGE, FAKE_PAGE, F_SEAL_SHRINK | F_SEAL_WRITE);
}

static void ranges_may_change(struct script *s)
{
	other_ranges(s, 2 * FAKE_PAGE, FAKE_PAGE, F_SEAL_SHRINK | F_SEAL_GROW);
}

static void ranges_not_a_memfd(struct script *s)
{
	replace_fd(&s->w[0], open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void range_size_0(struct script *s)
{
	other_ranges(s, 2 * FAKE_PAGE, 0, RANGES_SEALS);
	SPOIL(1, struct bufshare_ipc_added, size, htole64(FAKE_PAGE));
}

static void range_size_unaligned(struct script *s)
{
	other_ranges(s, FAKE_PAGE, FAKE_PAGE + 8, RANGES_SEALS);
	SPOIL(1, struct bufshare_ipc_added, size, htole64(2 * FAKE_PAGE + 8));
}

static void range_offset_unaligned(struct script *s)
{
	other_ranges(s, FAKE_PAGE + 8, FAKE_PAGE, RANGES_SEALS);
}

static void range_end_overflows(struct script *s)
{
	other_ranges(s, -(uint64_t)FAKE_PAGE, FAKE_PAGE, RANGES_SEALS);
}

static void range_sum_overflows(struct script *s)
{
	/* The sum comes out as the size. */
	const struct bufshare_ipc_range ranges[] = {
		{ 0, htole64(1ULL << 63) },
		{ 0, htole64((1ULL << 63) + 2 * FAKE_PAGE) },
	};

	replace_fd(&s->w[0], make_memfd(ranges, sizeof(ranges), RANGES_SEALS));
}

static void range_beyond_the_file(struct script *s)
{
	other_ranges(s, 3 * FAKE_PAGE, FAKE_PAGE, RANGES_SEALS);
}

static void range_partly_beyond_the_file(struct script *s)
{
	replace_fd(&s->w[1], make_memfd(NULL, 3 * FAKE_PAGE - 1, F_SEAL_SHRINK));
}

static void ranges_sum_below_size(struct script *s)
{
	SPOIL(1, struct bufshare_ipc_added, size, htole64(3 * FAKE_PAGE));
}

static void ranges_sum_above_size(struct script *s)
{
	SPOIL(1, struct bufshare_ipc_added, size, htole64(FAKE_PAGE));
}

static void ranges_of_another_buffer(struct script *s)
{
	SPOIL(1, struct bufshare_ipc_added, buffer, htole64(NEW + 1));
}

static void ranges_not_followed_by_added(struct script *s)
{
	cleanup_close(&s->w[1].fd);
	wire_empty(&s->w[1], BUFSHARE_IPC_SYNCED);
}

static void ranges_twice(struct script *s)
{
	const struct bufshare_ipc_range range = { 0, htole64(2 * FAKE_PAGE) };

	cleanup_close(&s->w[1].fd);
	wire_ranges(&s->w[1], NEW, &range, 1);
}

static void ranges_for_a_copy(struct script *s)
{
	SPOIL(1, struct bufshare_ipc_added, path, htole32(VIRTIO_BUFSHARE_PATH_COPY));
}

static void ranges_missing(struct script *s)
{
	cleanup_close(&s->w[0].fd);
	wire_empty(&s->w[0], BUFSHARE_IPC_SYNCED);
}

static void memory_not_a_file(struct script *s)
{
	replace_fd(&s->w[1], open("/dev/zero", O_RDONLY | O_CLOEXEC));
}

/* ---- the file of a copy, and what is no dma-buf ---- */

static void good_copy(struct script *s)
{
	wire_added(&s->w[s->n++], NEW, SIZE);
}

static void copy_too_small(struct script *s)
{
	replace_fd(&s->w[0], make_memfd(NULL, SIZE - 1, F_SEAL_SHRINK | F_SEAL_GROW));
}

static void copy_may_shrink(struct script *s)
{
	replace_fd(&s->w[0], make_memfd(NULL, SIZE, F_SEAL_GROW));
}

static void copy_not_a_file(struct script *s)
{
	replace_fd(&s->w[0], open("/dev/zero", O_RDONLY | O_CLOEXEC));
}

static void copy_larger_than_any(struct script *s)
{
	const uint64_t size = VIRTIO_BUFSHARE_MAX_BUFFER_SIZE + FAKE_PAGE;

	replace_fd(&s->w[0], make_memfd(NULL, size, F_SEAL_SHRINK | F_SEAL_GROW));
	SPOIL(0, struct bufshare_ipc_added, size, htole64(size));
}

static void udmabuf_is_a_memfd(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_added, path, htole32(VIRTIO_BUFSHARE_PATH_UDMABUF));
}

static const struct malformed_case cases[] = {
#define CASE(good, spoil) { #spoil, good, spoil }
	CASE(good_added, added_short),
	CASE(good_added, added_long),
	CASE(good_added, added_very_short),
	CASE(good_added, added_without_fd),
	CASE(good_added, added_id_0),
	CASE(good_added, added_id_in_use),
	CASE(good_added, added_size_0),
	CASE(good_added, added_application_empty),
	CASE(good_added, added_application_unterminated),
	CASE(good_added, added_application_not_padded),
	CASE(good_added, added_application_characters),
	CASE(good_added, added_path_0),
	CASE(good_added, added_path_unknown),
	CASE(good_added, added_flag_unknown),
	CASE(good_added, added_why_unknown),
	CASE(good_added, added_properties_size_below),
	CASE(good_added, added_properties_size_above),
	CASE(good_added, added_property_unterminated),
	CASE(good_added, added_property_removal),
	CASE(good_added, added_property_twice),
	CASE(good_added, added_property_name),
	CASE(good_added, added_property_not_utf8),
	CASE(good_full, added_one_property_more),
	CASE(good_long_block, added_block_one_byte_more),
	CASE(good_ranges, ranges_long),
	CASE(good_ranges, ranges_without_fd),
	CASE(good_ranges, ranges_id_0),
	CASE(good_ranges, ranges_reserved),
	CASE(good_ranges, ranges_none),
	CASE(good_ranges, ranges_too_many),
	CASE(good_ranges, ranges_file_short),
	CASE(good_ranges, ranges_file_long),
	CASE(good_ranges, ranges_may_shrink),
	CASE(good_ranges, ranges_may_grow),
	CASE(good_ranges, ranges_may_change),
	CASE(good_ranges, ranges_not_a_memfd),
	CASE(good_ranges, range_size_0),
	CASE(good_ranges, range_size_unaligned),
	CASE(good_ranges, range_offset_unaligned),
	CASE(good_ranges, range_end_overflows),
	CASE(good_ranges, range_sum_overflows),
	CASE(good_ranges, range_beyond_the_file),
	CASE(good_ranges, range_partly_beyond_the_file),
	CASE(good_ranges, ranges_sum_below_size),
	CASE(good_ranges, ranges_sum_above_size),
	CASE(good_ranges, ranges_of_another_buffer),
	CASE(good_ranges, ranges_not_followed_by_added),
	CASE(good_ranges, ranges_twice),
	CASE(good_ranges, ranges_for_a_copy),
	CASE(good_ranges, ranges_missing),
	CASE(good_ranges, memory_not_a_file),
	CASE(good_copy, copy_too_small),
	CASE(good_copy, copy_may_shrink),
	CASE(good_copy, copy_not_a_file),
	CASE(good_copy, copy_larger_than_any),
	CASE(good_copy, udmabuf_is_a_memfd),
#undef CASE
};

int main(void)
{
	return malformed_run(cases, ARRAY_SIZE(cases));
}
