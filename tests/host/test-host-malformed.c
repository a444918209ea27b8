/* SPDX-License-Identifier: MIT */
/*
 * Whatever the daemon sends that is not as host/ipc.h says closes the connection, and
 * nothing is left behind. Here: messages about what is in sight, and of any type.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "host/malformed.h"

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
#undef CASE
};

int main(void)
{
	return malformed_run(cases, ARRAY_SIZE(cases));
}
