/* SPDX-License-Identifier: MIT */
/*
 * Consumers that do not read: what waits for them is the newest, and that once.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"

#define ALL ((struct virtio_bufshare_rect){ 0 })

static struct virtio_bufshare_rect rect(uint32_t x, uint32_t y)
{
	return (struct virtio_bufshare_rect){ x, y, 10, 10 };
}

/* ---- those who do not read ---- */

/* Whatever happened meanwhile, the newest of it comes, and that once. */
static void test_full_socket(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1, other = -1;
	union cf_message msg;
	uint64_t seq;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	other = cf_knows(cf, 1);
	for (seq = 1; seq <= 2000; seq++) {
		cf_update(cf, 1, seq, rect((uint32_t)(seq % 4) * 100, 0));
		cf_expect_updated(cf, other, 1, seq);
		cf_release(cf, other, 1, seq);
	}
	cf_expect_not_released(cf, 1);
	msg = cf_skip_to(cf, sock, BUFSHARE_IPC_UPDATED);
	assert_int_equal(le64toh(msg.updated.seq), 2000);
	assert_int_equal(le32toh(msg.updated.flags), BUFSHARE_IPC_UPDATED_COALESCED);
	assert_int_equal(le32toh(msg.updated.num_damage), 4);
	cf_expect_nothing(cf, sock);
	cf_release(cf, sock, 1, 2000);
	cf_expect_released(cf, 1, 2000, 0);
}

/* All changes of properties while there was no room come as one. */
static void test_full_properties(void **state)
{
	static const char expected[] = "gone\0height=3\0title=z";
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;
	char block[32];
	int i, n = 0;

	cf_register_as(cf, 1, CF_APPLICATION, "gone=1\0title=x", sizeof("gone=1\0title=x"));
	sock = cf_full(cf, 1);
	for (i = 0; i < 1000; i++)
		cf_set_properties(cf, 1, block, (size_t)sprintf(block, "title=%d", i) + 1);
	cf_set_properties(cf, 1, "gone\0never=1", sizeof("gone\0never=1"));
	cf_set_properties(cf, 1, "never\0height=3\0title=z", sizeof("never\0height=3\0title=z"));
	for (;;) {
		msg = cf_expect(cf, sock, BUFSHARE_IPC_PROPERTIES);
		assert_true(++n < 64);
		if (le32toh(msg.properties.properties_size) == sizeof(expected))
			break;
	}
	assert_memory_equal(msg.raw.bytes + sizeof(msg.properties), expected, sizeof(expected));
	cf_expect_nothing(cf, sock);
}

/* More changed than one message has room for. */
static void test_full_properties_all_change(void **state)
{
	char old[60 * 44], new[60 * 44], *p = old, *q = new;
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	struct props known = { 0 };
	union cf_message msg;
	int i, fd, r;

	for (i = 0; i < 60; i++) {
		p += sprintf(p, "old.name.that.is.rather.long.%02d=0123456789", i) + 1;
		q += sprintf(q, "new.name.that.is.rather.long.%02d=9876543210", i) + 1;
	}
	cf_register_as(cf, 1, CF_APPLICATION, old, (size_t)(p - old));
	assert_int_equal(props_apply(&known, old, (size_t)(p - old)), 0);
	sock = cf_full(cf, 1);
	for (i = 0; i < 60; i++) {
		char name[64];

		snprintf(name, sizeof(name), "old.name.that.is.rather.long.%02d", i);
		cf_set_properties(cf, 1, name, strlen(name) + 1);
	}
	cf_set_properties(cf, 1, "title", sizeof("title"));
	cf_set_properties(cf, 1, new, (size_t)(q - new));
	while ((r = cf_next(cf, sock, &msg, &fd)) > 0) {
		const char *block = msg.raw.bytes + sizeof(msg.properties);
		size_t size = le32toh(msg.properties.properties_size);

		assert_int_equal(r, BUFSHARE_IPC_PROPERTIES);
		assert_int_equal(props_check_block(block, size, PROPS_GUEST | PROPS_REMOVALS), 0);
		assert_int_equal(props_apply(&known, block, size), 0);
	}
	assert_int_equal(known.n, 60);
	assert_string_equal(props_get(&known, "new.name.that.is.rather.long.59"), "9876543210");
	props_clear(&known);
}

/* Buffers that came and went meanwhile never were. */
static void test_full_come_and_go(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;
	uint64_t id;
	int r, fd;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	for (id = 2; id < 500; id++) {
		cf_register(cf, id);
		cf_update(cf, id, 1, ALL);
		cf_unregister_wait(cf, id);
	}
	cf_register(cf, 1000);
	cf_unregister_wait(cf, 1); /* of this one it knows */
	do {
		fd = -1;
		r = cf_next(cf, sock, &msg, &fd);
		if (fd >= 0)
			close(fd);
	} while (r == BUFSHARE_IPC_PROPERTIES);
	/* In the order in which they began to wait. */
	if (r == BUFSHARE_IPC_REMOVED) {
		assert_int_equal(le64toh(msg.removed.buffer), 1);
		cf_expect_added_id(cf, sock, 1000);
	} else {
		assert_int_equal(r, BUFSHARE_IPC_ADDED);
		assert_int_equal(le64toh(msg.added.buffer), 1000);
		cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	}
	cf_expect_nothing(cf, sock);
}

/* A thousand buffers are told to one that has room for three messages at a time. */
static void test_narrow_socket_many_buffers(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect_narrow(cf);
	uint64_t id;

	for (id = 1; id <= 1000; id++)
		cf_register(cf, id);
	cf_send(cf, sock, &hello, sizeof(hello));
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	for (id = 1; id <= 1000; id++)
		cf_expect_added_id(cf, sock, id);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	for (id = 1; id <= 1000; id++)
		cf_update(cf, id, 1, ALL);
	for (id = 1; id <= 1000; id++)
		cf_expect_updated(cf, sock, id, 1);
	cf_expect_nothing(cf, sock);
}

/* RANGES is followed by its ADDED, whatever room there is and whatever happens. */
static void test_narrow_socket_ranges(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect_narrow(cf);
	union cf_message ranges, added;
	uint64_t id;

	for (id = 1; id <= 20; id++)
		cf_register(cf, id);
	cf_send(cf, sock, &hello, sizeof(hello));
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	for (id = 1; id <= 20; id++)
		cf_update(cf, id, 1, ALL);
	for (id = 11; id <= 20; id++)
		cf_unregister(cf, id);
	cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	for (id = 1; id <= 10; id++) {
		ranges = cf_skip_to(cf, sock, BUFSHARE_IPC_RANGES);
		added = cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
		assert_true(ranges.ranges.buffer == added.added.buffer);
	}
}

/* Questions without end, and no answer is ever read: it is not listened to any more. */
static void test_asks_and_does_not_read(void **state)
{
	struct bufshare_ipc_ping ping = { 0 };
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf), other = cf_hello(cf);
	union cf_message msg;
	uint64_t sent = 0, got;
	int fd;

	ipc_header(&ping, BUFSHARE_IPC_PING, sizeof(ping));
	for (;;) {
		ping.cookie = htole64(sent);
		if (send(sock, &ping, sizeof(ping), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		sent++;
		if (sent % 16 == 0)
			cf_pump(cf);
		assert_true(sent < 100000);
	}
	assert_int_equal(errno, EAGAIN);
	cf_expect_nothing(cf, other);

	/* And when it reads, all are answered, in order. */
	for (got = 0; got < sent; got++) {
		assert_int_equal(cf_next(cf, sock, &msg, &fd), BUFSHARE_IPC_PONG);
		assert_int_equal(le64toh(msg.pong.cookie), got);
	}
	cf_expect_nothing(cf, sock);
}

/* One that does not read anything and goes leaves nothing behind (fd_leak, sanitizers). */
static void test_full_and_gone(void **state)
{
	struct cf *cf = *state;
	uint64_t id;
	int sock;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	for (id = 2; id < 20; id++)
		cf_register(cf, id);
	cf_unregister_wait(cf, 1);
	cf_update(cf, 2, 1, ALL);
	close(sock);
	cf_expect_released(cf, 2, 1, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
}

/* What it said before it left counts, though nobody hears the answers. */
static void test_last_words(void **state)
{
	static const char block[] = "host.scale=2";
	const struct bufshare_ipc_hello hello = cf_make_hello();
	const struct bufshare_ipc_subscribe subscribe =
		cf_make_subscribe(BUFSHARE_IPC_SUBSCRIBE, "*");
	struct cf *cf = *state;
	int sock = cf_connect(cf);
	union ipc_message set;
	size_t size = cf_make_set_properties(&set, 1, block, sizeof(block));

	cf_register(cf, 1);
	assert_int_equal(send(sock, &hello, sizeof(hello), 0), sizeof(hello));
	assert_int_equal(send(sock, &subscribe, sizeof(subscribe), 0), sizeof(subscribe));
	assert_int_equal(send(sock, &set, size, 0), size);
	close(sock);
	cf_event(cf, VIRTIO_BUFSHARE_EVENT_PROPERTIES, 1);
}

/* One that will never read is not waited for, with time enough to hold an update for ever. */
static void test_shut_down_for_reading(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	cf_register(cf, 1);
	sock = cf_knows(cf, 1);
	shutdown(sock, SHUT_RD);
	cf_update(cf, 1, 1, ALL);
	cf_expect_released(cf, 1, 1, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
}

/* ---- the guest's state ---- */

static void test_states(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;

	cf_register(cf, 1);
	sock = cf_knows(cf, 1);
	ff_stop(cf->ff);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_SUSPENDED);
	assert_int_equal(le64toh(msg.state.epoch), cf->epoch);
	ff_resume(cf->ff);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_RUNNING);
	cf_update(cf, 1, 1, ALL);
	cf_expect_updated(cf, sock, 1, 1);

	cf->ff = ff_free(cf->ff);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_SUSPENDED);
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_RESET);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_GONE);
	cf_expect_nothing(cf, sock);
}

/* Of all the states that were while there was no room, the last one; and what is void. */
static void test_full_states(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;
	int i;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	for (i = 0; i < 100; i++) {
		ff_stop(cf->ff);
		ff_resume(cf->ff);
	}
	msg = cf_skip_to(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_RUNNING);
	cf_expect_nothing(cf, sock);
	close(sock);

	sock = cf_full(cf, 1);
	cf->ff = ff_free(cf->ff);
	msg = cf_skip_to(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_GONE);
	cf_expect_nothing(cf, sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cf_setup, cf_teardown)
#define MEMFD(name) cmocka_unit_test_setup_teardown(name, cf_setup_memfd, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_full_socket),
		TEST(test_full_properties),
		TEST(test_full_properties_all_change),
		TEST(test_full_come_and_go),
		TEST(test_narrow_socket_many_buffers),
		MEMFD(test_narrow_socket_ranges),
		TEST(test_asks_and_does_not_read),
		TEST(test_full_and_gone),
		TEST(test_last_words),
		TEST(test_shut_down_for_reading),
		TEST(test_states),
		TEST(test_full_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
