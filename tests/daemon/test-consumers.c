/* SPDX-License-Identifier: MIT */
/*
 * What consumers are told, by raw messages: who sees what of which buffer.
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

/* ---- who sees what ---- */

static void test_added(void **state)
{
	static const char both[] = "title=x\0host.scale=2";
	struct cf *cf = *state;
	_cleanup_close_ int one = cf_knows(cf, 0), two = -1, fd = -1;
	union ipc_message set;
	union cf_message msg;

	cf_register(cf, 7);
	msg = cf_expect_added(cf, one, &fd);
	assert_int_equal(le64toh(msg.added.buffer), 7);
	assert_int_equal(le64toh(msg.added.size), CF_SIZE);
	assert_int_equal(le64toh(msg.added.seq), 0);
	assert_string_equal((const char *)msg.added.application, CF_APPLICATION);
	assert_int_equal(le32toh(msg.added.path), VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(le32toh(msg.added.why), BUFSHARE_IPC_WHY_ASKED);
	assert_int_equal(le32toh(msg.added.flags), BUFSHARE_IPC_ADDED_SETTABLE);
	assert_int_equal(le32toh(msg.added.properties_size), sizeof(CF_PROPERTIES));
	assert_memory_equal(msg.raw.bytes + sizeof(msg.added), CF_PROPERTIES, sizeof(CF_PROPERTIES));

	/* Whoever comes later gets the properties of both sides, and what there was. */
	cf_update(cf, 7, 5, ALL);
	cf_expect_updated(cf, one, 7, 5);
	cf_send(cf, one, &set, cf_make_set_properties(&set, 7, both + 8, sizeof(both) - 8));
	cf_expect(cf, one, BUFSHARE_IPC_PROPERTIES);
	two = cf_subscriber(cf, CF_APPLICATION);
	msg = cf_expect(cf, two, BUFSHARE_IPC_ADDED);
	assert_int_equal(le64toh(msg.added.seq), 5);
	assert_int_equal(le32toh(msg.added.properties_size), sizeof(both));
	assert_memory_equal(msg.raw.bytes + sizeof(msg.added), both, sizeof(both));
	cf_expect(cf, two, BUFSHARE_IPC_SYNCED);
	cf_expect_nothing(cf, two);
}

static void test_patterns(void **state)
{
	static const char *const applications[] = { "view", "view.2", "view.3d", "other" };
	static const struct {
		const char *pattern;
		unsigned int seen; /* bits of applications */
	} cases[] = {
		{ "view", 1 }, { "view.*", 6 }, { "view.?", 2 }, { "view.[0-9]*", 6 }, { "*", 15 },
		{ "*e*", 15 }, { "View", 0 }, { "vie", 0 }, { "view.", 0 }, { "[", 0 }, { "\\*", 0 },
	};
	struct cf *cf = *state;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(applications); i++)
		cf_register_as(cf, i + 1, applications[i], "", 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_close_ int sock = cf_subscriber(cf, cases[i].pattern);

		for (j = 0; j < ARRAY_SIZE(applications); j++)
			if (cases[i].seen & (1U << j))
				cf_expect_added_id(cf, sock, j + 1);
		cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
		cf_expect_nothing(cf, sock);
	}
}

/* However many patterns match; and what no other pattern matches goes. */
static void test_told_once(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf);

	cf_register(cf, 1);
	cf_register_as(cf, 2, "other", "", 0);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "test.*");
	cf_expect_added_id(cf, sock, 1);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	cf_expect_added_id(cf, sock, 2);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "never said");
	cf_expect_nothing(cf, sock);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
	cf_expect_removed(cf, sock, 2, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	cf_expect_nothing(cf, sock);
	cf_update(cf, 2, 1, ALL);
	cf_expect_released(cf, 2, 1, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	cf_expect_nothing(cf, sock);
	cf_update(cf, 1, 1, ALL);
	cf_expect_updated(cf, sock, 1, 1);
}

static void test_nothing_subscribed(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf);

	cf_register(cf, 1);
	cf_update(cf, 1, 1, ALL);
	cf_expect_released(cf, 1, 1, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	cf_expect_nothing(cf, sock);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "nothing.of.that.name");
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_expect_nothing(cf, sock);
}

static void test_too_many_patterns(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf);
	union cf_message msg;
	char pattern[16];
	int i;

	for (i = 0; i < BUFSHARE_IPC_MAX_SUBSCRIPTIONS; i++) {
		snprintf(pattern, sizeof(pattern), "app%d", i);
		cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, pattern);
		cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	}
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "one.more");
	msg = cf_expect(cf, sock, BUFSHARE_IPC_ERROR);
	assert_int_equal(le32toh(msg.error.code), ENOSPC);
	assert_int_equal(le32toh(msg.error.type), BUFSHARE_IPC_SUBSCRIBE);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "app0"); /* is there already */
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "app0");
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "one.more");
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
}

static void test_too_many_consumers(void **state)
{
	struct cf *cf = *state;
	union cf_message msg;
	int socks[4], more[2], fd, i;

	for (i = 0; i < 4; i++)
		socks[i] = cf_connect(cf);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, more), 0);
	assert_int_equal(consumers_accept(backend_consumers(cf->be), more[0]), -ENOSPC);
	msg = cf_expect(cf, more[1], BUFSHARE_IPC_ERROR);
	assert_int_equal(le32toh(msg.error.code), ENOSPC);
	assert_int_equal(cf_next(cf, more[1], &msg, &fd), -ENOTCONN);
	close(more[1]);
	close(socks[0]);
	cf_pump(cf);
	socks[0] = cf_hello(cf);
	for (i = 0; i < 4; i++)
		close(socks[i]);
}

/* ---- properties ---- */

static void assert_properties(struct cf *cf, int sock, const char *block, size_t size)
{
	union cf_message msg = cf_expect(cf, sock, BUFSHARE_IPC_PROPERTIES);

	assert_int_equal(le64toh(msg.properties.buffer), 1);
	assert_int_equal(le32toh(msg.properties.properties_size), size);
	assert_memory_equal(msg.raw.bytes + sizeof(msg.properties), block, size);
}

#define PROPERTIES(cf, sock, block) assert_properties(cf, sock, block, sizeof(block))

/* What either side sets reaches all who see the buffer, and who set it; and the guest. */
static void test_properties(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int one = -1, two = -1, other = cf_subscriber(cf, "other");
	union ipc_message set;

	cf_expect(cf, other, BUFSHARE_IPC_SYNCED);
	cf_register(cf, 1);
	one = cf_knows(cf, 1);
	two = cf_knows(cf, 1);
	cf_set_properties(cf, 1, "title=y\0width=3", sizeof("title=y\0width=3"));
	PROPERTIES(cf, one, "title=y\0width=3");
	PROPERTIES(cf, two, "title=y\0width=3");
	cf_send(cf, one, &set, cf_make_set_properties(&set, 1, "host.a=1\0host.b=2",
						       sizeof("host.a=1\0host.b=2")));
	PROPERTIES(cf, one, "host.a=1\0host.b=2");
	PROPERTIES(cf, two, "host.a=1\0host.b=2");
	cf_event(cf, VIRTIO_BUFSHARE_EVENT_PROPERTIES, 1);

	/* Removed, and set to what it is already: said all the same. */
	cf_send(cf, two, &set, cf_make_set_properties(&set, 1, "host.a", sizeof("host.a")));
	PROPERTIES(cf, one, "host.a");
	PROPERTIES(cf, two, "host.a");
	cf_set_properties(cf, 1, "width=3", sizeof("width=3"));
	PROPERTIES(cf, one, "width=3");
	PROPERTIES(cf, two, "width=3");
	cf_expect_nothing(cf, other);

	/* Of a buffer that is not there, or not seen, nothing. */
	cf_send(cf, one, &set, cf_make_set_properties(&set, 2, "host.a=1", sizeof("host.a=1")));
	cf_send(cf, other, &set, cf_make_set_properties(&set, 1, "host.a=1", sizeof("host.a=1")));
	cf_expect_nothing(cf, one);
	cf_expect_nothing(cf, two);
	cf_expect_nothing(cf, other);
}

/* ---- ranges ---- */

#define MANY 1200 /* which udmabuf does not take by default, either */

static int setup_many_ranges(void **state)
{
	struct backend_config config = cf_config();

	config.export_mode = EXPORT_MEMFD;
	config.device.max_ranges = htole32(MANY);
	config.device.max_buffer_size = htole64(MANY * CF_PAGE);
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf_start(&config);
	return 0;
}

/* More than a message has room for travel in a file; the buffer can be read by them. */
static void test_many_ranges(void **state)
{
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range ranges[MANY];
	} req = {
		.hdr = {
			.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_REGISTER),
			.buffer = htole64(1),
			.size = htole64(MANY * CF_PAGE),
			.num_ranges = htole32(MANY),
			.application = "test.app",
		},
	};
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_subscriber(cf, "*"), list = -1, file = -1;
	struct virtio_bufshare_register_response resp;
	struct bufshare_ipc_range ranges[MANY];
	uint64_t gpa = ff_alloc(cf->ff, 2 * MANY * CF_PAGE);
	union cf_message msg;
	uint32_t i, number;

	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	req.hdr.hdr.epoch = htole64(cf->epoch);
	for (i = 0; i < MANY; i++) {
		req.ranges[i].addr = htole64(gpa + (uint64_t)2 * i * CF_PAGE);
		req.ranges[i].size = htole64(CF_PAGE);
		memcpy(ff_ptr(cf->ff, gpa + (uint64_t)2 * i * CF_PAGE, CF_PAGE), &i, sizeof(i));
	}
	ff_command(cf->ff, &req, sizeof(req), &resp, sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);

	assert_int_equal(cf_next(cf, sock, &msg, &list), BUFSHARE_IPC_RANGES);
	assert_int_equal(le32toh(msg.hdr.size), sizeof(msg.ranges));
	assert_int_equal(le64toh(msg.ranges.buffer), 1);
	assert_int_equal(le32toh(msg.ranges.num_ranges), MANY);
	assert_int_equal(lseek(list, 0, SEEK_END), sizeof(ranges));
	assert_int_equal(pread(list, ranges, sizeof(ranges), 0), sizeof(ranges));
	cf_expect_added(cf, sock, &file);
	for (i = 0; i < MANY; i++) {
		assert_int_equal(le64toh(ranges[i].size), CF_PAGE);
		assert_int_equal(pread(file, &number, sizeof(number), (off_t)le64toh(ranges[i].offset)),
				 sizeof(number));
		assert_int_equal(number, i);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cf_setup, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_added),
		TEST(test_patterns),
		TEST(test_told_once),
		TEST(test_nothing_subscribed),
		TEST(test_too_many_patterns),
		TEST(test_too_many_consumers),
		TEST(test_properties),
		cmocka_unit_test_setup_teardown(test_many_ranges, setup_many_ranges, cf_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
