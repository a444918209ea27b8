/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a connection that the daemon loses: it comes back by itself, and the
 * buffers stay what they are.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "host/reconnect-fixture.h"

#define SIZE (2 * FAKE_PAGE)

/* ---- what stays ---- */

static void buffers_keep_their_identity(void **state)
{
	struct world *w = *state;
	uint8_t before[BUFSHARE_UUID_SIZE], after[BUFSHARE_UUID_SIZE];
	struct bufshare_host_buffer *buf = add_buffer(&w->f, 7, SIZE), *found;
	char contents[SIZE];
	const void *map, *map_after;
	const char *title;
	struct wire wire;
	int fd = buf->fd;

	assert_int_equal(bufshare_host_buffer_get_uuid(buf, before), 0);
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	assert_int_equal(*(const char *)map, 0);

	lose_and_come_back(w);
	memset(contents, 0x77, sizeof(contents));
	wire_added_path(&wire, 7, SIZE, VIRTIO_BUFSHARE_PATH_COPY,
			make_memfd(contents, SIZE, F_SEAL_SHRINK | F_SEAL_GROW));
	wire_add_property(&wire, "title=again");
	fake_send(&w->f, &wire);
	expect_again(w, 7);

	assert_int_equal(bufshare_host_get_buffer(w->f.host, 7, &found), 0);
	assert_ptr_equal(found, buf);
	bufshare_host_buffer_unref(found);
	assert_int_equal(bufshare_host_buffer_get_uuid(buf, after), 0);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(bufshare_host_buffer_map(buf, &map_after), 0);
	assert_ptr_equal(map, map_after);
	assert_memory_equal(map, contents, SIZE); /* at the same address is what is new */
	assert_int_equal(buf->fd, fd);
	assert_int_equal(bufshare_host_buffer_get_property(buf, "title", &title), 0);
	assert_string_equal(title, "again");
	bufshare_host_buffer_unref(buf);
}

/* From a copy to pieces of guest memory, and back. */
static void the_path_may_change(void **state)
{
	const struct bufshare_ipc_range ranges[] = {
		{ htole64(2 * FAKE_PAGE), htole64(FAKE_PAGE) },
		{ htole64(0), htole64(FAKE_PAGE) },
	};
	struct world *w = *state;
	struct bufshare_host_buffer *buf = add_buffer(&w->f, 7, SIZE);
	char ram[3 * FAKE_PAGE];
	const void *map;
	struct wire wire;

	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	lose_and_come_back(w);
	memset(ram, 0x11, FAKE_PAGE);
	memset(ram + FAKE_PAGE, 0x22, FAKE_PAGE);
	memset(ram + 2 * FAKE_PAGE, 0x33, FAKE_PAGE);
	wire_ranges(&wire, 7, ranges, 2);
	fake_send(&w->f, &wire);
	wire_added_path(&wire, 7, SIZE, VIRTIO_BUFSHARE_PATH_MEMFD, make_memfd(ram, sizeof(ram), 0));
	fake_send(&w->f, &wire);
	expect_again(w, 7);
	assert_int_equal(bufshare_host_buffer_get_path(buf), BUFSHARE_PATH_MEMFD);
	assert_memory_equal(map, ram + 2 * FAKE_PAGE, FAKE_PAGE);
	assert_memory_equal((const char *)map + FAKE_PAGE, ram, FAKE_PAGE);
	assert_int_equal(w->f.host->num_ranges, 2);

	lose_and_come_back(w);
	send_added(&w->f, 7, SIZE);
	expect_again(w, 7);
	assert_int_equal(bufshare_host_buffer_get_path(buf), BUFSHARE_PATH_COPY);
	assert_int_equal(*(const char *)map, 0);
	assert_int_equal(w->f.host->num_ranges, 0);
	bufshare_host_buffer_unref(buf);
}

static void send_pieces(struct world *w)
{
	const struct bufshare_ipc_range ranges[] = {
		{ htole64(2 * FAKE_PAGE), htole64(FAKE_PAGE) },
		{ htole64(0), htole64(FAKE_PAGE) },
	};
	struct wire wire;

	wire_ranges(&wire, 7, ranges, 2);
	fake_send(&w->f, &wire);
	wire_added_path(&wire, 7, SIZE, VIRTIO_BUFSHARE_PATH_MEMFD,
			make_memfd(NULL, 3 * FAKE_PAGE, 0));
	fake_send(&w->f, &wire);
	expect_event(&w->f, BUFSHARE_EVENT_ADDED, 7);
}

/* Of as many pieces as there can be: those that come again do not count twice. */
static void pieces_come_in_the_place_of_pieces(void **state)
{
	const size_t others = HOST_MAX_RANGES - 2;
	struct world *w = *state;

	send_pieces(w);
	w->f.host->num_ranges += others; /* of buffers that are not here */
	lose_and_come_back(w);
	send_pieces(w);
	assert_int_equal(w->f.host->num_ranges, HOST_MAX_RANGES);
	w->f.host->num_ranges -= others;
}

/* A mapping for writing stays one; what is written to a copy goes nowhere else. */
static void a_writable_mapping_stays(void **state)
{
	const struct bufshare_ipc_range range = { 0, htole64(SIZE) };
	struct world *w = *state;
	struct bufshare_host_buffer *buf;
	struct wire wire;
	char *map = NULL, byte, bytes[SIZE];
	void *addr;
	int i, ram[2], copy;

	for (i = 0; i < 2; i++) {
		ram[i] = make_memfd(NULL, SIZE, 0);
		if (i)
			lose_and_come_back(w);
		wire_ranges(&wire, 7, &range, 1);
		fake_send(&w->f, &wire);
		wire_added_path(&wire, 7, SIZE, VIRTIO_BUFSHARE_PATH_MEMFD,
				fcntl(ram[i], F_DUPFD_CLOEXEC, 0));
		fake_send(&w->f, &wire);
		expect_event(&w->f, BUFSHARE_EVENT_ADDED, 7);
		if (!i) {
			assert_int_equal(bufshare_host_get_buffer(w->f.host, 7, &buf), 0);
			assert_int_equal(bufshare_host_buffer_map_writable(buf, &addr), 0);
			map = addr;
		}
		map[5] = 'a' + i;
		assert_int_equal(pread(ram[i], &byte, 1, 5), 1);
		assert_int_equal(byte, 'a' + i);
	}

	lose_and_come_back(w);
	memset(bytes, 'x', sizeof(bytes));
	copy = make_memfd(bytes, SIZE, F_SEAL_SHRINK | F_SEAL_GROW);
	wire_added_path(&wire, 7, SIZE, VIRTIO_BUFSHARE_PATH_COPY, fcntl(copy, F_DUPFD_CLOEXEC, 0));
	fake_send(&w->f, &wire);
	expect_again(w, 7);
	assert_int_equal(map[5], 'x');
	map[5] = 'c';
	assert_int_equal(pread(copy, &byte, 1, 5), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(bufshare_host_buffer_begin_write(buf), -EOPNOTSUPP);
	assert_int_equal(bufshare_host_buffer_map_writable(buf, &addr), -EOPNOTSUPP);
	bufshare_host_buffer_unref(buf);
	close(ram[0]);
	close(ram[1]);
	close(copy);
}

static void updates_go_on(void **state)
{
	struct world *w = *state;
	struct bufshare_host_buffer *buf = add_buffer(&w->f, 7, SIZE);

	send_updated(&w->f, 7, 5);
	expect_event(&w->f, BUFSHARE_EVENT_UPDATED, 7);
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	assert_int_equal(bufshare_host_buffer_release(buf, 5), -EALREADY);
	accept_again(w);
	send_welcome(w, 1, BUFSHARE_IPC_STATE_RUNNING);
	expect_state(w, BUFSHARE_GUEST_RUNNING);
	send_added(&w->f, 7, SIZE);
	expect_again(w, 7);
	send_updated(&w->f, 7, 6);
	assert_int_equal(expect_event(&w->f, BUFSHARE_EVENT_UPDATED, 7).seq, 6);
	assert_int_equal(bufshare_host_buffer_release(buf, 6), 0);
	fake_pump(&w->f);
	assert_int_equal(fake_find(&w->f, 7)->released, 6);
	bufshare_host_buffer_unref(buf);
}

static void patterns_are_told_again(void **state)
{
	struct world *w = *state;

	assert_int_equal(bufshare_host_subscribe(w->f.host, "camera"), 0);
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	assert_int_equal(w->f.num_patterns, 2);
	assert_string_equal(w->f.patterns[0], "view*");
	assert_string_equal(w->f.patterns[1], "camera");
}

static void nothing_is_sent_meanwhile(void **state)
{
	struct world *w = *state;
	struct bufshare_host_buffer *buf = add_buffer(&w->f, 7, SIZE);

	listen_no_more(w);
	assert_int_equal(bufshare_host_set_reconnect(w->f.host, 60000), 0);
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	assert_int_equal(bufshare_host_buffer_set_property(buf, "host.x", "1"), -ENOTCONN);
	assert_int_equal(bufshare_host_request_stats(w->f.host), -ENOTCONN);
	assert_int_equal(bufshare_host_subscribe(w->f.host, "camera"), 0); /* for later */
	assert_int_equal(bufshare_host_unsubscribe(w->f.host, "view*"), 0);
	listen_again(w);
	assert_woken(w);
	expect_nothing(&w->f);
	accept_again(w);
	assert_int_equal(w->f.num_patterns, 1);
	assert_string_equal(w->f.patterns[0], "camera");
	bufshare_host_buffer_unref(buf);
}

/* ---- what goes ---- */

static void what_is_not_told_again_is_gone(void **state)
{
	struct world *w = *state;
	struct bufshare_host_buffer *kept = add_buffer(&w->f, 8, SIZE);

	bufshare_host_buffer_unref(add_buffer(&w->f, 7, SIZE));
	bufshare_host_buffer_unref(add_buffer(&w->f, 9, SIZE));
	lose_and_come_back(w);
	send_added(&w->f, 7, SIZE);
	expect_again(w, 7);
	send_empty(&w->f, BUFSHARE_IPC_SYNCED);
	expect_event(&w->f, BUFSHARE_EVENT_SYNCED, 0);
	expect_nothing(&w->f); /* the guest still may */
	end_grace(w);
	assert_int_equal(expect_event(&w->f, BUFSHARE_EVENT_REMOVED, 8).value,
			 BUFSHARE_REASON_UNREGISTERED);
	assert_woken(w);
	expect_event(&w->f, BUFSHARE_EVENT_REMOVED, 9);
	expect_nothing(&w->f);
	bufshare_host_buffer_unref(kept);
	fake_pump(&w->f); /* no CLOSED for what this daemon never told of */
}

/* The daemon is back before the guest is: nothing is gone until the guest runs. */
static void the_guest_gets_its_time(void **state)
{
	struct world *w = *state;

	bufshare_host_buffer_unref(add_buffer(&w->f, 7, SIZE));
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	send_welcome(w, 0, BUFSHARE_IPC_STATE_RECOVERING);
	send_empty(&w->f, BUFSHARE_IPC_SYNCED);
	expect_event(&w->f, BUFSHARE_EVENT_SYNCED, 0);
	end_grace(w);
	expect_nothing(&w->f);
	send_state(&w->f, BUFSHARE_IPC_STATE_RUNNING, 1);
	expect_state(w, BUFSHARE_GUEST_RUNNING);
	send_added(&w->f, 7, SIZE);
	expect_again(w, 7);
	end_grace(w);
	expect_nothing(&w->f);
}

static void another_epoch_voids_all(void **state)
{
	struct world *w = *state;

	bufshare_host_buffer_unref(add_buffer(&w->f, 7, SIZE));
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	send_welcome(w, 2, BUFSHARE_IPC_STATE_RUNNING);
	assert_int_equal(expect_event(&w->f, BUFSHARE_EVENT_REMOVED, 7).value,
			 BUFSHARE_REASON_RESET);
	expect_state(w, BUFSHARE_GUEST_RUNNING);
	send_added(&w->f, 7, SIZE);
	assert_int_equal(expect_event(&w->f, BUFSHARE_EVENT_ADDED, 7).flags, 0);
}

static void another_epoch_later_voids_all(void **state)
{
	struct world *w = *state;

	bufshare_host_buffer_unref(add_buffer(&w->f, 7, SIZE));
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	send_welcome(w, 0, BUFSHARE_IPC_STATE_RECOVERING);
	send_state(&w->f, BUFSHARE_IPC_STATE_RUNNING, 2);
	expect_event(&w->f, BUFSHARE_EVENT_REMOVED, 7);
	expect_state(w, BUFSHARE_GUEST_RUNNING);
}

static void another_device_voids_all(void **state)
{
	struct world *w = *state;
	struct wire wire;

	bufshare_host_buffer_unref(add_buffer(&w->f, 7, SIZE));
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	wire_welcome(&wire);
	welcome_fields(&wire)->uuid[0] ^= 1;
	fake_send(&w->f, &wire);
	expect_event(&w->f, BUFSHARE_EVENT_REMOVED, 7);
	expect_state(w, BUFSHARE_GUEST_RUNNING);
}

static void no_guest_any_more(void **state)
{
	struct world *w = *state;

	bufshare_host_buffer_unref(add_buffer(&w->f, 7, SIZE));
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	send_welcome(w, 0, BUFSHARE_IPC_STATE_NO_GUEST);
	expect_event(&w->f, BUFSHARE_EVENT_REMOVED, 7);
	expect_state(w, BUFSHARE_GUEST_NONE);
}

/* ---- the end ---- */

static void nobody_listens(void **state)
{
	struct world *w = *state;
	struct bufshare_event ev;

	listen_no_more(w);
	lose(w);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -ENOTCONN);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -ENOTCONN);
	assert_woken(w);
}

static void nobody_listens_for_a_while(void **state)
{
	struct world *w = *state;

	listen_no_more(w);
	assert_int_equal(bufshare_host_set_reconnect(w->f.host, -1), 0);
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	expect_nothing(&w->f);
	assert_woken(w);
	expect_nothing(&w->f);
	listen_again(w);
	assert_woken(w);
	expect_nothing(&w->f);
	accept_again(w);
	send_welcome(w, 1, BUFSHARE_IPC_STATE_RUNNING);
	expect_state(w, BUFSHARE_GUEST_RUNNING);
}

/* A daemon that falls over at once is left alone for a while. */
static void lost_again_at_once(void **state)
{
	struct world *w = *state;
	struct bufshare_event ev;

	lose_and_come_back(w);
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	assert_int_equal(accept4(w->listener, NULL, NULL, SOCK_NONBLOCK), -1);
	assert_woken(w);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -EAGAIN);
	accept_again(w);
	lose(w); /* before WELCOME */
	assert_woken(w);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -EAGAIN);
	assert_woken(w);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -EAGAIN);
	accept_again(w);
}

static void no_longer_allowed(void **state)
{
	struct world *w = *state;
	struct bufshare_event ev;
	struct wire wire;

	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	wire_error(&wire, EACCES, BUFSHARE_IPC_HELLO);
	fake_send(&w->f, &wire);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -EACCES);
}

/* What the daemon says that cannot be. */
static void assert_wrong(struct world *w, struct wire *wire)
{
	struct bufshare_event ev;

	lose_and_come_back(w);
	fake_send(&w->f, wire);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -EPROTO);
}

static void another_buffer_of_the_same_id(void **state)
{
	struct wire wire;

	bufshare_host_buffer_unref(add_buffer(&((struct world *)*state)->f, 7, SIZE));
	wire_added(&wire, 7, SIZE);
	((struct bufshare_ipc_added *)&wire.msg)->uuid[0] ^= 1;
	assert_wrong(*state, &wire);
}

static void another_size(void **state)
{
	struct wire wire;

	bufshare_host_buffer_unref(add_buffer(&((struct world *)*state)->f, 7, SIZE));
	wire_added(&wire, 7, 2 * SIZE);
	assert_wrong(*state, &wire);
}

static void another_application(void **state)
{
	struct wire wire;

	bufshare_host_buffer_unref(add_buffer(&((struct world *)*state)->f, 7, SIZE));
	wire_added(&wire, 7, SIZE);
	((struct bufshare_ipc_added *)&wire.msg)->application[0] ^= 1;
	assert_wrong(*state, &wire);
}

static void update_of_what_is_not_told(void **state)
{
	struct wire wire;

	bufshare_host_buffer_unref(add_buffer(&((struct world *)*state)->f, 7, SIZE));
	wire_updated(&wire, 7, 9);
	assert_wrong(*state, &wire);
}

static void buffer_before_welcome(void **state)
{
	struct world *w = *state;
	struct bufshare_event ev;

	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	send_added(&w->f, 7, SIZE);
	assert_int_equal(bufshare_host_read_event(w->f.host, &ev), -EPROTO);
}

static void set_reconnect_arguments(void **state)
{
	struct fake_daemon f;

	assert_int_equal(bufshare_host_set_reconnect(NULL, 0), -EINVAL);
	fake_open(&f);
	fake_connect(&f, NULL);
	assert_int_equal(bufshare_host_set_reconnect(f.host, 0), -EOPNOTSUPP);
	fake_close(&f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(buffers_keep_their_identity),
		TEST(the_path_may_change),
		TEST(pieces_come_in_the_place_of_pieces),
		TEST(a_writable_mapping_stays),
		TEST(updates_go_on),
		TEST(patterns_are_told_again),
		TEST(nothing_is_sent_meanwhile),
		TEST(what_is_not_told_again_is_gone),
		TEST(the_guest_gets_its_time),
		TEST(another_epoch_voids_all),
		TEST(another_epoch_later_voids_all),
		TEST(another_device_voids_all),
		TEST(no_guest_any_more),
		TEST(nobody_listens),
		TEST(nobody_listens_for_a_while),
		TEST(lost_again_at_once),
		TEST(no_longer_allowed),
		TEST(another_buffer_of_the_same_id),
		TEST(another_size),
		TEST(another_application),
		TEST(update_of_what_is_not_told),
		TEST(buffer_before_welcome),
		TEST(set_reconnect_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
