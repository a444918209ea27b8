/* SPDX-License-Identifier: MIT */
/*
 * The counters that consumers can ask for.
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

static void ask_stats(struct cf *cf, int sock)
{
	struct bufshare_ipc_empty m;

	ipc_header(&m, BUFSHARE_IPC_GET_STATS, sizeof(m));
	cf_send(cf, sock, &m, sizeof(m));
}

static void test_stats(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int slow = -1, fast = -1;
	union cf_message msg;
	uint64_t seq;
	int i, self = 0;

	cf_register(cf, 1);
	slow = cf_knows(cf, 1);
	fast = cf_knows(cf, 1);
	for (seq = 1; seq <= 5; seq++) {
		cf_update(cf, 1, seq, ALL);
		cf_expect_updated(cf, fast, 1, seq);
		cf_release(cf, fast, 1, seq);
	}
	cf_expect_updated(cf, slow, 1, 1);
	cf_release(cf, slow, 1, 1);
	cf_expect_updated(cf, slow, 1, 5);
	cf_update(cf, 1, 6, ALL);
	cf_expect_updated(cf, fast, 1, 6);

	ask_stats(cf, slow);
	msg = cf_expect(cf, slow, BUFSHARE_IPC_STATS);
	assert_int_equal(le64toh(msg.stats.buffer), 1);
	assert_int_equal(le64toh(msg.stats.updates), 6);
	assert_int_equal(le64toh(msg.stats.delivered), 2);
	assert_int_equal(le64toh(msg.stats.released), 1);
	assert_int_equal(le64toh(msg.stats.coalesced), 3);
	assert_int_equal(le64toh(msg.stats.lag), 1);
	assert_int_equal(le64toh(msg.stats.revoked), 0);
	assert_true(le64toh(msg.stats.held_ns) > 0);
	assert_int_equal(le64toh(msg.stats.bytes_copied), 6 * CF_SIZE);
	assert_int_equal(le32toh(msg.stats.consumers), 2);
	assert_int_equal(le32toh(msg.stats.path), VIRTIO_BUFSHARE_PATH_COPY);
	for (i = 0; i < 2; i++) {
		bool is_self;

		msg = cf_expect(cf, slow, BUFSHARE_IPC_CONSUMER);
		is_self = le32toh(msg.consumer.flags) & BUFSHARE_IPC_CONSUMER_SELF;
		self += is_self;
		assert_string_equal((const char *)msg.consumer.program, "test");
		assert_int_equal(le32toh(msg.consumer.pid), getpid());
		assert_int_equal(le32toh(msg.consumer.uid), geteuid());
		assert_int_equal(le32toh(msg.consumer.buffers), 1);
		assert_int_equal(le64toh(msg.consumer.delivered), is_self ? 2 : 6);
		assert_int_equal(le64toh(msg.consumer.released), is_self ? 1 : 5);
		assert_int_equal(le64toh(msg.consumer.coalesced), is_self ? 3 : 0);
		assert_int_equal(le64toh(msg.consumer.lag), is_self ? 1 : 0);
	}
	assert_int_equal(self, 1);
	msg = cf_expect(cf, slow, BUFSHARE_IPC_STATS);
	assert_int_equal(le64toh(msg.stats.buffer), 0);
	assert_int_equal(le64toh(msg.stats.updates), 6);
	assert_int_equal(le64toh(msg.stats.delivered), 2);
	assert_int_equal(le32toh(msg.stats.consumers), 2);
	cf_expect_nothing(cf, slow);
}

/* What waits for a consumer can be seen by others, and does not grow with time. */
static void test_stats_of_the_slow(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int slow = -1, sock = -1;
	union cf_message msg;
	uint64_t seq, id;

	for (id = 1; id <= 10; id++)
		cf_register(cf, id);
	slow = cf_full(cf, 1);
	for (seq = 1; seq <= 200; seq++)
		for (id = 1; id <= 10; id++)
			cf_update(cf, id, seq, ALL);
	sock = cf_knows(cf, 10);
	ask_stats(cf, sock);
	do {
		msg = cf_skip_to(cf, sock, BUFSHARE_IPC_CONSUMER);
	} while (le32toh(msg.consumer.flags) & BUFSHARE_IPC_CONSUMER_SELF);
	assert_int_equal(le64toh(msg.consumer.lag), 10 * 200);
	assert_int_equal(le32toh(msg.consumer.queued), 10);
	assert_int_equal(le32toh(msg.consumer.max_queued), 10);
}

/* The counters of buffers that left stay in those of the consumer. */
static void test_stats_of_the_past(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;

	cf_register(cf, 1);
	sock = cf_knows(cf, 1);
	cf_update(cf, 1, 1, ALL);
	cf_expect_updated(cf, sock, 1, 1);
	cf_release(cf, sock, 1, 1);
	cf_unregister_wait(cf, 1);
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	ask_stats(cf, sock);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_CONSUMER);
	assert_int_equal(le64toh(msg.consumer.delivered), 1);
	assert_int_equal(le64toh(msg.consumer.released), 1);
	assert_int_equal(le32toh(msg.consumer.buffers), 0);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATS);
	assert_int_equal(le64toh(msg.stats.delivered), 0);
}

static void test_stats_without_capability(void **state)
{
	struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect(cf);

	hello.caps = 0;
	cf_send(cf, sock, &hello, sizeof(hello));
	assert_int_equal(cf_expect(cf, sock, BUFSHARE_IPC_WELCOME).welcome.caps, 0);
	ask_stats(cf, sock);
	cf_expect_refused(cf, sock, EACCES, BUFSHARE_IPC_GET_STATS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cf_setup, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stats),
		TEST(test_stats_of_the_slow),
		TEST(test_stats_of_the_past),
		TEST(test_stats_without_capability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
