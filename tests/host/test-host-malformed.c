/* SPDX-License-Identifier: MIT */
/*
 * Whatever the daemon sends that is not as host/ipc.h says closes the connection, and
 * nothing is left behind. Each case is a script that the library takes, and the same
 * script wrong in one way, which it must not take.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/fake-daemon.h"
#include "common/fd-leak.h"

/* In sight before each script: one buffer that is free, and one whose update 2 is held. */
#define FREE 7
#define HELD 8
#define NEW 9
#define SIZE (4 * FAKE_PAGE)

struct script {
	struct wire w[2];
	size_t n;
};

struct malformed_case {
	const char *name;
	void (*good)(struct script *s);
	void (*spoil)(struct script *s);
};

/* Writes a field of the structure at the beginning of message i. */
#define SPOIL(i, type, field, value)                                                       \
	do {                                                                               \
		type m_;                                                                   \
		memcpy(&m_, &s->w[i].msg, sizeof(m_));                                     \
		m_.field = (value);                                                        \
		memcpy(&s->w[i].msg, &m_, sizeof(m_));                                     \
	} while (0)

/* The record and its header agree, and are longer or shorter than they should be. */
static void resize(struct wire *w, int by)
{
	w->size += by;
	w->msg.hdr.size = htole32(w->size);
}

static void replace_fd(struct wire *w, int fd)
{
	cleanup_close(&w->fd);
	w->fd = fd;
}

/* ---- any message ---- */

static void good_state(struct script *s)
{
	wire_state(&s->w[s->n++], BUFSHARE_IPC_STATE_SUSPENDED, 1);
}

static void any_header_size(struct script *s)
{
	s->w[0].msg.hdr.size = htole32(s->w[0].size + 8);
}

static void any_surplus_fd(struct script *s)
{
	replace_fd(&s->w[0], make_memfd(NULL, SIZE, F_SEAL_SHRINK));
}

static void any_type_0(struct script *s)
{
	s->w[0].msg.hdr.type = htole32(0);
}

static void any_type_of_consumer(struct script *s)
{
	s->w[0].msg.hdr.type = htole32(BUFSHARE_IPC_PING);
}

static void any_second_welcome(struct script *s)
{
	wire_welcome(&s->w[0]);
}

/* ---- STATE ---- */

static void state_short(struct script *s)
{
	resize(&s->w[0], -8);
}

static void state_long(struct script *s)
{
	resize(&s->w[0], 8);
}

static void state_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_state, state, htole32(BUFSHARE_IPC_STATE_GONE + 1));
}

static void state_reserved(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_state, reserved, htole32(1));
}

/* ---- SYNCED ---- */

static void good_synced(struct script *s)
{
	wire_empty(&s->w[s->n++], BUFSHARE_IPC_SYNCED);
}

static void synced_long(struct script *s)
{
	resize(&s->w[0], 8);
}

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

/* ---- REMOVED ---- */

static void good_removed(struct script *s)
{
	wire_removed(&s->w[s->n++], HELD, VIRTIO_BUFSHARE_REASON_HOST);
}

static void removed_long(struct script *s)
{
	resize(&s->w[0], 8);
}

static void removed_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_removed, buffer, htole64(NEW));
}

static void removed_reason(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_removed, reason, htole32(VIRTIO_BUFSHARE_REASON_HOST + 1));
}

static void removed_reserved(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_removed, reserved, htole32(1));
}

static void good_removed_once(struct script *s)
{
	wire_removed(&s->w[s->n++], HELD, VIRTIO_BUFSHARE_REASON_HOST);
	wire_removed(&s->w[s->n++], FREE, VIRTIO_BUFSHARE_REASON_HOST);
}

static void removed_twice(struct script *s)
{
	SPOIL(1, struct bufshare_ipc_removed, buffer, htole64(HELD));
}

/* ---- PROPERTIES ---- */

static void good_properties(struct script *s)
{
	wire_properties(&s->w[0], FREE, "width=128");
	wire_add_property(&s->w[0], "title");
	s->n = 1;
}

static void properties_short(struct script *s)
{
	resize(&s->w[0], -1);
}

static void properties_long(struct script *s)
{
	resize(&s->w[0], 1);
}

static void properties_very_short(struct script *s)
{
	s->w[0].size = sizeof(struct bufshare_ipc_header);
	resize(&s->w[0], 0);
}

static void properties_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_properties, buffer, htole64(NEW));
}

static void properties_reserved(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_properties, reserved, htole32(1));
}

static void properties_malformed(struct script *s)
{
	wire_add_property(&s->w[0], "=1");
}

/* ---- UPDATED ---- */

static void good_updated(struct script *s)
{
	wire_updated(&s->w[0], FREE, 2);
	wire_add_damage(&s->w[0], 1, 2, 3, 4);
	s->n = 1;
}

static void updated_short(struct script *s)
{
	resize(&s->w[0], -8);
}

static void updated_long(struct script *s)
{
	resize(&s->w[0], 8);
}

static void updated_very_short(struct script *s)
{
	s->w[0].size = sizeof(struct bufshare_ipc_header);
	resize(&s->w[0], 0);
}

static void updated_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_updated, buffer, htole64(NEW));
}

static void updated_not_newer(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_updated, seq, htole64(1));
}

static void updated_seq_0(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_updated, seq, 0);
}

static void updated_while_held(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_updated, buffer, htole64(HELD));
	SPOIL(0, struct bufshare_ipc_updated, seq, htole64(3));
}

static void updated_flag_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_updated, flags, htole32(1U << 1));
}

static void updated_damage_count(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_updated, num_damage, htole32(0x10000001));
}

static void updated_damage_no_width(struct script *s)
{
	resize(&s->w[0], -(int)sizeof(struct virtio_bufshare_rect));
	SPOIL(0, struct bufshare_ipc_updated, num_damage, 0);
	wire_add_damage(&s->w[0], 1, 2, 0, 4);
}

static void updated_damage_no_height(struct script *s)
{
	resize(&s->w[0], -(int)sizeof(struct virtio_bufshare_rect));
	SPOIL(0, struct bufshare_ipc_updated, num_damage, 0);
	wire_add_damage(&s->w[0], 1, 2, 3, 0);
}

static void good_much_damage(struct script *s)
{
	int i;

	wire_updated(&s->w[0], FREE, 2);
	for (i = 0; i < BUFSHARE_IPC_MAX_DAMAGE; i++)
		wire_add_damage(&s->w[0], i, 0, 1, 1);
	s->n = 1;
}

static void updated_too_much_damage(struct script *s)
{
	wire_add_damage(&s->w[0], 17, 0, 1, 1);
}

/* ---- REVOKED ---- */

static void good_revoked(struct script *s)
{
	wire_revoked(&s->w[s->n++], HELD, 2);
}

static void revoked_long(struct script *s)
{
	resize(&s->w[0], 8);
}

static void revoked_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_revoked, buffer, htole64(NEW));
}

static void revoked_seq_0(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_revoked, seq, 0);
}

static void revoked_never_sent(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_revoked, seq, htole64(3));
}

/* ---- STATS, PONG, ERROR ---- */

static void good_stats(struct script *s)
{
	wire_stats(&s->w[s->n++], FREE, 10);
}

static void stats_short(struct script *s)
{
	resize(&s->w[0], -8);
}

static void stats_path_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_stats, path, htole32(VIRTIO_BUFSHARE_PATH_MEMFD + 1));
}

static void good_consumer(struct script *s)
{
	wire_consumer(&s->w[s->n++], "viewer");
}

static void consumer_short(struct script *s)
{
	resize(&s->w[0], -8);
}

static void consumer_flag_unknown(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_consumer, flags, htole32(1U << 1));
}

static void consumer_program_not_padded(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_consumer, program[BUFSHARE_IPC_NAME_SIZE - 1], 'x');
}

static void consumer_program_characters(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_consumer, program[1], '\n');
}

/* PONG has no event; the second message shows that it was taken. */
static void good_pong(struct script *s)
{
	struct bufshare_ipc_ping m = { .cookie = htole64(5) };

	ipc_header(&m, BUFSHARE_IPC_PONG, sizeof(m));
	wire_stats(&s->w[0], 0, 10);
	memcpy(&s->w[0].msg, &m, sizeof(m));
	s->w[0].size = sizeof(m);
	wire_empty(&s->w[1], BUFSHARE_IPC_SYNCED);
	s->n = 2;
}

static void pong_long(struct script *s)
{
	resize(&s->w[0], 8);
}

static void good_error(struct script *s)
{
	wire_error(&s->w[s->n++], EACCES, BUFSHARE_IPC_SUBSCRIBE);
	wire_empty(&s->w[s->n++], BUFSHARE_IPC_SYNCED);
}

static void error_short(struct script *s)
{
	resize(&s->w[0], -8);
}

static void error_code_0(struct script *s)
{
	SPOIL(0, struct bufshare_ipc_error, code, 0);
}

static void error_text_unterminated(struct script *s)
{
	memset(s->w[0].msg.bytes + offsetof(struct bufshare_ipc_error, text), 'x', 240);
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
	CASE(good_state, any_header_size),
	CASE(good_state, any_surplus_fd),
	CASE(good_state, any_type_0),
	CASE(good_state, any_type_of_consumer),
	CASE(good_state, any_second_welcome),
	CASE(good_state, state_short),
	CASE(good_state, state_long),
	CASE(good_state, state_unknown),
	CASE(good_state, state_reserved),
	CASE(good_synced, synced_long),
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
	CASE(good_removed, removed_long),
	CASE(good_removed, removed_unknown),
	CASE(good_removed, removed_reason),
	CASE(good_removed, removed_reserved),
	CASE(good_removed_once, removed_twice),
	CASE(good_properties, properties_short),
	CASE(good_properties, properties_long),
	CASE(good_properties, properties_very_short),
	CASE(good_properties, properties_unknown),
	CASE(good_properties, properties_reserved),
	CASE(good_properties, properties_malformed),
	CASE(good_updated, updated_short),
	CASE(good_updated, updated_long),
	CASE(good_updated, updated_very_short),
	CASE(good_updated, updated_unknown),
	CASE(good_updated, updated_not_newer),
	CASE(good_updated, updated_seq_0),
	CASE(good_updated, updated_while_held),
	CASE(good_updated, updated_flag_unknown),
	CASE(good_updated, updated_damage_count),
	CASE(good_updated, updated_damage_no_width),
	CASE(good_updated, updated_damage_no_height),
	CASE(good_much_damage, updated_too_much_damage),
	CASE(good_revoked, revoked_long),
	CASE(good_revoked, revoked_unknown),
	CASE(good_revoked, revoked_seq_0),
	CASE(good_revoked, revoked_never_sent),
	CASE(good_stats, stats_short),
	CASE(good_stats, stats_path_unknown),
	CASE(good_consumer, consumer_short),
	CASE(good_consumer, consumer_flag_unknown),
	CASE(good_consumer, consumer_program_not_padded),
	CASE(good_consumer, consumer_program_characters),
	CASE(good_pong, pong_long),
	CASE(good_error, error_short),
	CASE(good_error, error_code_0),
	CASE(good_error, error_text_unterminated),
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

/* ---- running them ---- */

/* Plays the script before a new connection. Returns what ends the reading of events. */
static int play(struct fake_daemon *f, const struct malformed_case *c, bool spoilt, int *events)
{
	struct script s = { .w = { { .fd = -1 }, { .fd = -1 } } };
	struct bufshare_event event;
	size_t i;
	int r;

	fake_open(f);
	fake_connect(f, "*");
	send_added(f, FREE, SIZE);
	send_added(f, HELD, SIZE);
	send_updated(f, HELD, 2);
	expect_event(f, BUFSHARE_EVENT_ADDED, FREE);
	expect_event(f, BUFSHARE_EVENT_ADDED, HELD);
	expect_event(f, BUFSHARE_EVENT_UPDATED, HELD);

	c->good(&s);
	if (spoilt)
		c->spoil(&s);
	for (i = 0; i < s.n; i++)
		fake_send(f, &s.w[i]);

	*events = 0;
	while ((r = bufshare_host_read_event(f->host, &event)) == 0)
		++*events;
	return r;
}

/* The program learns of it whatever it does, and so does the daemon. */
static void assert_closed(struct fake_daemon *f)
{
	struct pollfd poll_fd = { .fd = bufshare_host_get_fd(f->host), .events = POLLIN };
	struct bufshare_event event;

	memset(&event, 0xee, sizeof(event));
	assert_int_equal(poll(&poll_fd, 1, 0), 1);
	assert_int_equal(bufshare_host_read_event(f->host, &event), -EPROTO);
	assert_int_equal(event.type, 0xeeeeeeee);
	assert_int_equal(bufshare_host_subscribe(f->host, "other"), -ENOTCONN);
	assert_int_equal(bufshare_host_unsubscribe(f->host, "*"), -ENOTCONN);
	assert_int_equal(bufshare_host_request_stats(f->host), -ENOTCONN);
	fake_pump(f);
	assert_true(f->hung_up);
}

static void closes_the_connection(void **state)
{
	const struct malformed_case *c = *state;
	struct bufshare_host_buffer *buf = NULL;
	struct fake_daemon f;
	int events_of_good, events;

	assert_int_equal(play(&f, c, false, &events_of_good), -EAGAIN);
	assert_true(events_of_good > 0);
	fake_close(&f);

	assert_int_equal(play(&f, c, true, &events), -EPROTO);
	assert_true(events <= events_of_good);
	assert_closed(&f);

	/* A buffer that the program has stays, but can not be released. */
	if (bufshare_host_get_buffer(f.host, HELD, &buf) == 0)
		assert_int_equal(bufshare_host_buffer_release(buf, 2), -ENOTCONN);
	fake_close(&f);
	bufshare_host_buffer_unref(buf);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i].name,
			.test_func = closes_the_connection,
			.setup_func = fd_leak_setup,
			.teardown_func = fd_leak_teardown,
			.initial_state = (void *)&cases[i],
		};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
