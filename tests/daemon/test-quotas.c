/* SPDX-License-Identifier: MIT */
/*
 * How much each side may say, and how many may say it: a guest or a consumer that says more
 * waits and loses nothing, one that says nothing leaves its place to others, and no user
 * takes all places.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "common/skip-test.h"
#include "daemon/consumer-fixture.h"
#include "host/daemon/rate.h"

#define QUEUE VIRTIO_BUFSHARE_QUEUE_CONTROL
#define MS 1000000ull

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static struct cf *start(void **state, const struct backend_config *config)
{
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf_start(config);
	return *state;
}

/* The next message, for which time has to pass. */
static int await(struct cf *cf, int sock, union cf_message *msg)
{
	const uint64_t end = now_ns() + FF_TIMEOUT_MS * MS;
	int fd, r;

	while ((r = cf_next(cf, sock, msg, &fd)) == 0 && now_ns() < end)
		loop_iterate(cf->loop, 10);
	return r;
}

/* ---- the rate alone ---- */

static void test_rate(void **state)
{
	struct rate rate = { .per_second = 100 }; /* ten at once, then one each 10 ms */
	uint64_t now = 1ull << 40;
	unsigned int n;

	for (n = 0; !rate_wait(&rate, now); n++)
		rate_count(&rate, now);
	assert_int_equal(n, 11);
	assert_int_equal(rate_wait(&rate, now), 10 * MS);
	now += 10 * MS - 1;
	assert_int_equal(rate_wait(&rate, now), 1);
	now++;
	assert_int_equal(rate_wait(&rate, now), 0);
	rate_count(&rate, now);
	assert_int_equal(rate_wait(&rate, now), 10 * MS);

	/* However long nothing was said, no more is saved up. */
	now += 3600000 * MS;
	for (n = 0; !rate_wait(&rate, now); n++)
		rate_count(&rate, now);
	assert_int_equal(n, 11);
}

static void test_rate_limits(void **state)
{
	struct rate rate = { .per_second = 1 };
	uint64_t now = UINT64_MAX / 2;
	int i;

	rate_count(&rate, now);
	assert_int_equal(rate_wait(&rate, now), 900 * MS);
	rate = (struct rate){ .per_second = 1000000000 };
	rate_count(&rate, now);
	assert_int_equal(rate_wait(&rate, now), 0);
	rate = (struct rate){ 0 };
	for (i = 0; i < 1000; i++)
		rate_count(&rate, now);
	assert_int_equal(rate_wait(&rate, now), 0);
}

/* ---- the guest ---- */

static unsigned int ping(struct cf *cf)
{
	const struct virtio_bufshare_ping req = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_PING), .epoch = htole64(cf->epoch) },
	};

	return ff_send_indirect(cf->ff, QUEUE, &req, sizeof(req),
				sizeof(struct virtio_bufshare_ping_response));
}

static void pong(struct cf *cf, unsigned int token)
{
	struct virtio_bufshare_ping_response resp;

	assert_int_equal(ff_wait(cf->ff, QUEUE, token, &resp, sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
}

/* A guest that is never idle: what the VMM and consumers say is heard all the same. */
static void test_guest_turn(void **state)
{
	const struct backend_config config = cf_config();
	struct cf *cf = start(state, &config);
	unsigned int tokens[FF_QUEUE_SIZE], i, used = 0;

	for (i = 0; i < FF_QUEUE_SIZE; i++)
		tokens[i] = ping(cf);
	loop_iterate(cf->loop, 0);
	for (i = 0; i < FF_QUEUE_SIZE; i++)
		used += ff_is_used(cf->ff, QUEUE, tokens[i]);
	assert_in_range(used, 1, FF_QUEUE_SIZE / 2);
	/* No kick tells of the others. */
	for (i = 0; i < FF_QUEUE_SIZE; i++)
		pong(cf, tokens[i]);
	pong(cf, ping(cf));
}

static void test_guest_rate(void **state)
{
	struct backend_config config = cf_config();
	struct cf *cf;
	unsigned int tokens[21], i;
	uint64_t begin;

	config.device.max_commands = htole32(50); /* five at once, then one each 20 ms */
	begin = now_ns();
	cf = start(state, &config);
	for (i = 0; i < 21; i++)
		tokens[i] = ping(cf);
	cf_register(cf, 1);
	for (i = 0; i < 21; i++)
		pong(cf, tokens[i]);
	assert_true(now_ns() - begin >= (21 + 2 - 6) * 20 * MS);
}

/* The VMM is answered at once while the guest waits. */
static void test_guest_waits_alone(void **state)
{
	struct backend_config config = cf_config();
	unsigned int tokens[4], i;
	uint8_t magic[4];
	struct cf *cf;

	config.device.max_commands = htole32(1); /* INIT was one */
	cf = start(state, &config);
	for (i = 0; i < 4; i++)
		tokens[i] = ping(cf);
	ff_get_config(cf->ff, 0, magic, sizeof(magic));
	assert_false(ff_is_used(cf->ff, QUEUE, tokens[3]));
	ff_stop(cf->ff);
	assert_false(ff_is_used(cf->ff, QUEUE, tokens[3]));
	ff_resume(cf->ff);
	pong(cf, tokens[0]);
	close(cf_hello(cf));
}

/* ---- one consumer ---- */

static void send_ping(int sock, uint64_t cookie)
{
	struct bufshare_ipc_ping m = { .cookie = htole64(cookie) };

	ipc_header(&m, BUFSHARE_IPC_PING, sizeof(m));
	assert_int_equal(ipc_send(sock, &m, sizeof(m), -1), 0);
}

static void test_consumer_rate(void **state)
{
	struct backend_config config = cf_config();
	_cleanup_close_ int sock = -1, other = -1;
	union cf_message msg;
	struct cf *cf;
	uint64_t i, begin;

	config.max_messages = 50;
	cf = start(state, &config);
	begin = now_ns();
	sock = cf_hello(cf);
	for (i = 0; i < 20; i++)
		send_ping(sock, i);
	/* Each has its own, and one that waits is no burden to another. */
	other = cf_hello(cf);
	for (i = 0; i < 20; i++) {
		assert_int_equal(await(cf, sock, &msg), BUFSHARE_IPC_PONG);
		assert_int_equal(le64toh(msg.pong.cookie), i);
	}
	assert_true(now_ns() - begin >= (20 + 1 - 6) * 20 * MS);
	cf_expect_nothing(cf, other);
}

/* What it said before it left counts, and is not waited for. */
static void test_consumer_leaves(void **state)
{
	struct backend_config config = cf_config();
	struct bufshare_ipc_release m = { .buffer = htole64(1), .seq = htole64(1) };
	struct virtio_bufshare_event ev;
	struct cf *cf;
	int sock, i;

	config.max_messages = 1;
	cf = start(state, &config);
	cf_register(cf, 1);
	sock = cf_hello(cf);
	for (i = 0; i < 3; i++)
		send_ping(sock, 0);
	ipc_header(&m, BUFSHARE_IPC_RELEASE, sizeof(m));
	assert_int_equal(ipc_send(sock, &m, sizeof(m), -1), 0);
	close(sock);
	cf_pump(cf);
	cf_poll_event(cf, VIRTIO_BUFSHARE_EVENT_CONSUMERS, 1, &ev);
	for (i = 0; i < 4; i++) { /* its place is free */
		sock = cf_connect(cf);
		close(sock);
		cf_pump(cf);
	}
}

static void test_no_hello(void **state)
{
	struct backend_config config = cf_config();
	_cleanup_close_ int silent = -1, sock = -1;
	union cf_message msg;
	struct cf *cf;
	uint64_t begin = now_ns();

	config.hello_timeout_ns = 50 * MS;
	cf = start(state, &config);
	silent = cf_connect(cf);
	sock = cf_hello(cf);
	assert_int_equal(await(cf, silent, &msg), BUFSHARE_IPC_ERROR);
	assert_true(now_ns() - begin >= 50 * MS);
	assert_int_equal(le32toh(msg.error.code), ETIMEDOUT);
	assert_non_null(strstr((const char *)msg.error.text, "--hello-timeout"));
	assert_int_equal(await(cf, silent, &msg), -ENOTCONN);
	/* Those who said it can be silent. */
	while (now_ns() - begin < 150 * MS)
		loop_iterate(cf->loop, 10);
	cf_expect_nothing(cf, sock);
}

/* Connections that say nothing keep nobody out for long. */
static void test_no_hello_full(void **state)
{
	struct backend_config config = cf_config();
	union cf_message msg;
	struct cf *cf;
	int socks[4], i;

	config.hello_timeout_ns = 30 * MS;
	cf = start(state, &config);
	for (i = 0; i < 4; i++)
		socks[i] = cf_connect(cf);
	for (i = 0; i < 4; i++) {
		assert_int_equal(await(cf, socks[i], &msg), BUFSHARE_IPC_ERROR);
		assert_int_equal(await(cf, socks[i], &msg), -ENOTCONN);
		close(socks[i]);
	}
	for (i = 0; i < 4; i++)
		socks[i] = cf_hello(cf);
	for (i = 0; i < 4; i++)
		close(socks[i]);
}

/* ---- one user ---- */

static void expect_turned_away(struct cf *cf, const char *option)
{
	union cf_message msg;
	int socks[2], fd;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks), 0);
	assert_int_equal(consumers_accept(backend_consumers(cf->be), socks[0]), -ENOSPC);
	msg = cf_expect(cf, socks[1], BUFSHARE_IPC_ERROR);
	assert_int_equal(le32toh(msg.error.code), ENOSPC);
	assert_non_null(strstr((const char *)msg.error.text, option));
	assert_int_equal(cf_next(cf, socks[1], &msg, &fd), -ENOTCONN);
	close(socks[1]);
}

static void test_per_user(void **state)
{
	struct backend_config config = cf_config();
	struct cf *cf;
	int socks[3], i;

	config.max_consumers_per_user = 3;
	cf = start(state, &config);
	socks[0] = cf_connect(cf); /* says nothing, and counts */
	socks[1] = cf_hello(cf);
	socks[2] = cf_hello(cf);
	expect_turned_away(cf, "--max-consumers-per-user");
	close(socks[1]);
	cf_pump(cf);
	socks[1] = cf_hello(cf);
	expect_turned_away(cf, "--max-consumers-per-user");
	for (i = 0; i < 3; i++)
		close(socks[i]);
}

/* A socket of another user's; needs root. */
static int connect_as(struct cf *cf, uid_t uid)
{
	int socks[2];

	/* Who made it is who is at the other end. */
	assert_int_equal(seteuid(uid), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks), 0);
	assert_int_equal(seteuid(0), 0);
	if (consumers_accept(backend_consumers(cf->be), socks[0]) < 0) {
		close(socks[1]);
		return -1;
	}
	return socks[1];
}

/* What one user can not have is there for others, and there is an end to that, too. */
static void test_other_users(void **state)
{
	struct backend_config config = cf_config();
	struct cf *cf;
	int socks[4], i;

	assert_null(access_add_rule(&config.access, "701", false));
	assert_null(access_add_rule(&config.access, "702", false));
	config.max_consumers_per_user = 3;
	cf = start(state, &config);
	if (geteuid() != 0)
		SKIP_TEST("needs root, to be another user");
	for (i = 0; i < 3; i++) {
		socks[i] = connect_as(cf, 701);
		assert_true(socks[i] >= 0);
	}
	assert_int_equal(connect_as(cf, 701), -1);
	socks[3] = connect_as(cf, 702);
	assert_true(socks[3] >= 0);
	expect_turned_away(cf, "--max-consumers)");
	for (i = 0; i < 4; i++)
		close(socks[i]);
}

#define TEST(name) cmocka_unit_test_teardown(name, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_limits),
		TEST(test_guest_turn),
		TEST(test_guest_rate),
		TEST(test_guest_waits_alone),
		TEST(test_consumer_rate),
		TEST(test_consumer_leaves),
		TEST(test_no_hello),
		TEST(test_no_hello_full),
		TEST(test_per_user),
		TEST(test_other_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
