/* SPDX-License-Identifier: MIT */
/*
 * Messages of consumers that are wrong in one way only and otherwise good. Each costs the
 * consumer its connection, after an ERROR, and nobody else anything.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/consumer-fixture.h"
#include "common/fd-leak.h"

struct world {
	struct cf *cf;
	int bystander;
};

static struct world world;

/* A second consumer that sees buffer 1, to whom nothing must happen. */
static int bystander(struct cf *cf)
{
	int sock = cf_subscriber(cf, "*");

	cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	return sock;
}

/*
 * The good message is taken by one connection, the bad one ends another; both have said
 * HELLO before, unless it is the HELLO.
 */
static void refused_as(struct cf *cf, const void *good, size_t good_size, const void *bad,
		       size_t bad_size, int code, uint32_t type)
{
	const bool is_hello = le32toh(((const struct bufshare_ipc_header *)good)->type) ==
			      BUFSHARE_IPC_HELLO;
	int one = is_hello ? cf_connect(cf) : cf_hello(cf);
	int two = is_hello ? cf_connect(cf) : cf_hello(cf);
	union cf_message msg;
	int r, fd;

	cf_send(cf, one, good, good_size);
	do {
		fd = -1;
		r = cf_next(cf, one, &msg, &fd);
		assert_int_not_equal(r, BUFSHARE_IPC_ERROR);
		if (fd >= 0)
			close(fd);
	} while (r > 0);
	assert_int_equal(r, 0);
	cf_expect_nothing(cf, one);

	cf_send(cf, two, bad, bad_size);
	cf_expect_refused(cf, two, code, type);
	close(one);
	close(two);
	cf_pump(cf);
}

/* Everything that is there for one message whose structure has one size. */
static void check_sizes(struct cf *cf, const void *good, size_t size)
{
	union ipc_message bad;
	uint32_t type;

	memset(&bad, 0, sizeof(bad));
	memcpy(&bad, good, size);
	type = le32toh(bad.hdr.type);
	if (size > sizeof(bad.hdr)) {
		ipc_header(&bad, type, size - 8);
		refused_as(cf, good, size, &bad, size - 8, EPROTO, type);
	}
	ipc_header(&bad, type, size + 8);
	refused_as(cf, good, size, &bad, size + 8, EPROTO, type);

	/* The header and the record differ: then it is not known what it was. */
	ipc_header(&bad, type, size);
	refused_as(cf, good, size, &bad, size + 8, EPROTO, 0);
	ipc_header(&bad, type, size + 8);
	refused_as(cf, good, size, &bad, size, EPROTO, 0);
}

static void test_hello_size(void **state)
{
	const struct bufshare_ipc_hello good = cf_make_hello();

	check_sizes(*state, &good, sizeof(good));
}

static void test_hello_fields(void **state)
{
	const struct bufshare_ipc_hello good = cf_make_hello();
	struct bufshare_ipc_hello bad = good;

	bad.magic ^= htole32(1);
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO, BUFSHARE_IPC_HELLO);

	bad = good;
	bad.version = htole32(BUFSHARE_IPC_VERSION + 1);
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTONOSUPPORT,
		   BUFSHARE_IPC_HELLO);
	bad.version = 0;
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTONOSUPPORT,
		   BUFSHARE_IPC_HELLO);

	bad = good;
	memset(bad.program, 'a', sizeof(bad.program));
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO, BUFSHARE_IPC_HELLO);
	bad = good;
	bad.program[sizeof(bad.program) - 2] = 'a';
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO, BUFSHARE_IPC_HELLO);
}

/* Capabilities of the future are no offence, and not granted. */
static void test_hello_unknown_caps(void **state)
{
	struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect(cf);
	union cf_message msg;

	hello.caps |= htole64(1ULL << 63);
	cf_send(cf, sock, &hello, sizeof(hello));
	msg = cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	assert_int_equal(le32toh(msg.hdr.size), sizeof(msg.welcome));
	assert_true(msg.welcome.caps == cf_make_hello().caps);
	assert_int_equal(le32toh(msg.welcome.magic), BUFSHARE_IPC_MAGIC);
	assert_int_equal(le32toh(msg.welcome.version), BUFSHARE_IPC_VERSION);
	assert_int_equal(le64toh(msg.welcome.epoch), cf->epoch);
	assert_int_equal(le32toh(msg.welcome.state), BUFSHARE_IPC_STATE_RUNNING);
	assert_string_equal((const char *)msg.welcome.label, "test");
}

static void test_hello_twice(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf);

	cf_send(cf, sock, &hello, sizeof(hello));
	cf_expect_refused(cf, sock, EPROTO, BUFSHARE_IPC_HELLO);
}

/* Before HELLO nothing else is taken, though it would be after it. */
static void test_hello_missing(void **state)
{
	struct bufshare_ipc_ping ping = { .cookie = 1 };
	struct bufshare_ipc_subscribe subscribe;
	struct bufshare_ipc_empty stats;
	struct cf *cf = *state;
	int sock;

	ipc_header(&ping, BUFSHARE_IPC_PING, sizeof(ping));
	sock = cf_connect(cf);
	cf_send(cf, sock, &ping, sizeof(ping));
	cf_expect_refused(cf, sock, EPROTO, BUFSHARE_IPC_PING);
	close(sock);

	subscribe = cf_make_subscribe(BUFSHARE_IPC_SUBSCRIBE, "*");
	sock = cf_connect(cf);
	cf_send(cf, sock, &subscribe, sizeof(subscribe));
	cf_expect_refused(cf, sock, EPROTO, BUFSHARE_IPC_SUBSCRIBE);
	close(sock);

	ipc_header(&stats, BUFSHARE_IPC_GET_STATS, sizeof(stats));
	sock = cf_connect(cf);
	cf_send(cf, sock, &stats, sizeof(stats));
	cf_expect_refused(cf, sock, EPROTO, BUFSHARE_IPC_GET_STATS);
	close(sock);
}

/* What nobody says, and what only the daemon says. */
static void test_type(void **state)
{
	static const uint32_t types[] = {
		0, 63, BUFSHARE_IPC_WELCOME, BUFSHARE_IPC_ADDED, BUFSHARE_IPC_UPDATED,
		BUFSHARE_IPC_RANGES, 200, 0x7fffffff, 0x80000000, 0xffffffff,
	};
	struct bufshare_ipc_ping good = { .cookie = 1 }, bad;
	size_t i;

	ipc_header(&good, BUFSHARE_IPC_PING, sizeof(good));
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		bad = good;
		bad.hdr.type = htole32(types[i]);
		refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO, types[i]);
	}
}

/* Not even a header, and more than any message. */
static void test_record(void **state)
{
	static char big[BUFSHARE_IPC_MAX_MESSAGE + 8];
	struct bufshare_ipc_ping good = { .cookie = 1 };
	struct cf *cf = *state;

	ipc_header(&good, BUFSHARE_IPC_PING, sizeof(good));
	refused_as(cf, &good, sizeof(good), &good, 1, EPROTO, 0);
	refused_as(cf, &good, sizeof(good), &good, sizeof(good.hdr) - 1, EPROTO, 0);
	ipc_header(big, BUFSHARE_IPC_PING, sizeof(big));
	refused_as(cf, &good, sizeof(good), big, sizeof(big), EPROTO, 0);
}

/* A descriptor belongs to no message of a consumer. It is closed (fd_leak_teardown). */
static void test_fd(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	const struct bufshare_ipc_subscribe subscribe =
		cf_make_subscribe(BUFSHARE_IPC_SUBSCRIBE, "*");
	struct bufshare_ipc_release release = { .buffer = htole64(1), .seq = htole64(1) };
	struct cf *cf = *state;
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int sock;

	ipc_header(&release, BUFSHARE_IPC_RELEASE, sizeof(release));
	sock = cf_connect(cf);
	cf_send_fd(cf, sock, &hello, sizeof(hello), null);
	cf_expect_refused(cf, sock, EPROTO, BUFSHARE_IPC_HELLO);
	close(sock);

	sock = cf_hello(cf);
	cf_send_fd(cf, sock, &subscribe, sizeof(subscribe), null);
	cf_expect_refused(cf, sock, EPROTO, BUFSHARE_IPC_SUBSCRIBE);
	close(sock);

	sock = cf_hello(cf);
	cf_send_fd(cf, sock, &release, sizeof(release), null);
	cf_expect_refused(cf, sock, EPROTO, BUFSHARE_IPC_RELEASE);
	close(sock);
}

static void send_fds(int sock, const void *bytes, size_t size, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&mh);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	assert_int_equal(sendmsg(sock, &mh, MSG_NOSIGNAL), size);
}

static void test_many_fds(void **state)
{
	struct bufshare_ipc_ping ping = { .cookie = 1 };
	struct cf *cf = *state;
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int fds[8] = { null, null, null, null, null, null, null, null };
	_cleanup_close_ int sock = cf_hello(cf);

	ipc_header(&ping, BUFSHARE_IPC_PING, sizeof(ping));
	send_fds(sock, &ping, sizeof(ping), fds, ARRAY_SIZE(fds));
	cf_expect_refused(cf, sock, EPROTO, 0);
}

static void test_subscribe(void **state)
{
	const struct bufshare_ipc_subscribe good =
		cf_make_subscribe(BUFSHARE_IPC_SUBSCRIBE, "other.app");
	struct bufshare_ipc_subscribe bad = good;

	check_sizes(*state, &good, sizeof(good));

	memset(bad.pattern, 0, sizeof(bad.pattern));
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO, BUFSHARE_IPC_SUBSCRIBE);
	memset(bad.pattern, 'a', sizeof(bad.pattern));
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO, BUFSHARE_IPC_SUBSCRIBE);
	bad = good;
	bad.pattern[sizeof(bad.pattern) - 1] = 'a';
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO, BUFSHARE_IPC_SUBSCRIBE);
}

static void test_unsubscribe(void **state)
{
	const struct bufshare_ipc_subscribe good =
		cf_make_subscribe(BUFSHARE_IPC_UNSUBSCRIBE, "other.app");
	struct bufshare_ipc_subscribe bad = good;

	check_sizes(*state, &good, sizeof(good));
	memset(bad.pattern, 0, sizeof(bad.pattern));
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO,
		   BUFSHARE_IPC_UNSUBSCRIBE);
	memset(bad.pattern, 'a', sizeof(bad.pattern));
	refused_as(*state, &good, sizeof(good), &bad, sizeof(bad), EPROTO,
		   BUFSHARE_IPC_UNSUBSCRIBE);
}

static void test_release_size(void **state)
{
	struct bufshare_ipc_release good = { .buffer = htole64(1), .seq = htole64(1) };

	ipc_header(&good, BUFSHARE_IPC_RELEASE, sizeof(good));
	check_sizes(*state, &good, sizeof(good));
}

static void test_closed_size(void **state)
{
	struct bufshare_ipc_buffer good = { .buffer = htole64(1) };

	ipc_header(&good, BUFSHARE_IPC_CLOSED, sizeof(good));
	check_sizes(*state, &good, sizeof(good));
}

static void test_get_stats_size(void **state)
{
	struct bufshare_ipc_empty good;

	ipc_header(&good, BUFSHARE_IPC_GET_STATS, sizeof(good));
	check_sizes(*state, &good, sizeof(good));
}

static void test_ping_size(void **state)
{
	struct bufshare_ipc_ping good = { .cookie = 1 };

	ipc_header(&good, BUFSHARE_IPC_PING, sizeof(good));
	check_sizes(*state, &good, sizeof(good));
}

static void refused_block(struct cf *cf, const char *block, size_t size, int code)
{
	static const char good_block[] = "host.scale=2";
	union ipc_message good, bad;
	size_t good_size = cf_make_set_properties(&good, 1, good_block, sizeof(good_block));
	size_t bad_size = cf_make_set_properties(&bad, 1, block, size);

	refused_as(cf, &good, good_size, &bad, bad_size, code, BUFSHARE_IPC_SET_PROPERTIES);
}

#define REFUSED_BLOCK(cf, block, code) refused_block(cf, block, sizeof(block), code)

static void test_set_properties(void **state)
{
	static const char block[] = "host.scale=2";
	struct bufshare_ipc_properties *m;
	union ipc_message good, bad;
	size_t size = cf_make_set_properties(&good, 1, block, sizeof(block));

	m = (struct bufshare_ipc_properties *)&bad;
	bad = good;
	m->reserved = htole32(1);
	refused_as(*state, &good, size, &bad, size, EPROTO, BUFSHARE_IPC_SET_PROPERTIES);
	bad = good;
	m->properties_size = htole32(sizeof(block) - 1);
	refused_as(*state, &good, size, &bad, size, EPROTO, BUFSHARE_IPC_SET_PROPERTIES);
	m->properties_size = htole32(sizeof(block) + 1);
	refused_as(*state, &good, size, &bad, size, EPROTO, BUFSHARE_IPC_SET_PROPERTIES);
	m->properties_size = htole32(0xffffffff);
	refused_as(*state, &good, size, &bad, size, EPROTO, BUFSHARE_IPC_SET_PROPERTIES);
	bad = good;
	ipc_header(&bad, BUFSHARE_IPC_SET_PROPERTIES, sizeof(*m) - 8);
	refused_as(*state, &good, size, &bad, sizeof(*m) - 8, EPROTO, BUFSHARE_IPC_SET_PROPERTIES);
}

static void test_set_properties_block(void **state)
{
	struct cf *cf = *state;

	refused_block(cf, "host.scale=2", sizeof("host.scale=2") - 1, EINVAL); /* no NUL */
	REFUSED_BLOCK(cf, "=2", EINVAL);
	REFUSED_BLOCK(cf, "host.Scale=2", EINVAL);
	REFUSED_BLOCK(cf, "host.scale=\xff", EINVAL);
	REFUSED_BLOCK(cf, "host.scale=2\0host.scale=3", EINVAL);
}

/* More than there is room for is told, and costs nothing. */
static void test_set_too_many_properties(void **state)
{
	char many[65 * 12], *p = many;
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf);
	union ipc_message msg;
	union cf_message answer;
	int i;

	for (i = 0; i < 65; i++)
		p += sprintf(p, "host.a%02d=1", i) + 1;
	cf_send(cf, sock, &msg, cf_make_set_properties(&msg, 1, many, (size_t)(p - many)));
	answer = cf_expect(cf, sock, BUFSHARE_IPC_ERROR);
	assert_int_equal(le32toh(answer.error.code), ENOSPC);
	assert_int_equal(le32toh(answer.error.type), BUFSHARE_IPC_SET_PROPERTIES);
	cf_expect_nothing(cf, sock);
}

/* What the guest has counts too, and nothing of what is refused takes effect. */
static void test_set_more_than_there_is_room_for(void **state)
{
	static const char block[] = "host.a=1\0host.b=2";
	char many[62 * 8], *p = many;
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1, fd = -1;
	union cf_message answer;
	union ipc_message msg;
	int i;

	for (i = 0; i < 62; i++)
		p += sprintf(p, "a%02d=1", i) + 1;
	cf_register_as(cf, 2, "full", many, (size_t)(p - many));
	cf_expect(cf, world.bystander, BUFSHARE_IPC_ADDED);
	sock = cf_subscriber(cf, "full");
	cf_expect_added(cf, sock, &fd);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_send(cf, sock, &msg, cf_make_set_properties(&msg, 2, block, sizeof(block)));
	cf_expect(cf, sock, BUFSHARE_IPC_PROPERTIES);
	cf_expect(cf, world.bystander, BUFSHARE_IPC_PROPERTIES);
	cf_send(cf, sock, &msg, cf_make_set_properties(&msg, 2, "host.a\0host.c=3\0host.d=4",
						       sizeof("host.a\0host.c=3\0host.d=4")));
	answer = cf_expect(cf, sock, BUFSHARE_IPC_ERROR);
	assert_int_equal(le32toh(answer.error.code), ENOSPC);
	assert_int_equal(le32toh(answer.error.type), BUFSHARE_IPC_SET_PROPERTIES);
	cf_expect_nothing(cf, sock);
}

/* Without the capability, which was not asked for. */
static void test_set_without_capability(void **state)
{
	static const char block[] = "host.scale=2";
	struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect(cf);
	union ipc_message msg;

	hello.caps = htole64(BUFSHARE_IPC_CAP_ZERO_COPY | BUFSHARE_IPC_CAP_STATS);
	cf_send(cf, sock, &hello, sizeof(hello));
	cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	cf_send(cf, sock, &msg, cf_make_set_properties(&msg, 1, block, sizeof(block)));
	cf_expect_refused(cf, sock, EACCES, BUFSHARE_IPC_SET_PROPERTIES);
}

/* The guest's names are not the host's to change, nor to remove. */
static void test_set_properties_of_the_other_side(void **state)
{
	REFUSED_BLOCK(*state, "title=mine", EPERM);
	REFUSED_BLOCK(*state, "title", EPERM);
	REFUSED_BLOCK(*state, "host.scale=2\0title=mine", EPERM);
}

/* The other side is closed without a word, in the middle of everything. */
static void test_eof(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	const struct bufshare_ipc_subscribe subscribe =
		cf_make_subscribe(BUFSHARE_IPC_SUBSCRIBE, "*");
	struct cf *cf = *state;
	int sock;

	close(cf_connect(cf));
	cf_pump(cf);

	/* Said, but never to be answered. */
	sock = cf_connect(cf);
	assert_int_equal(send(sock, &hello, sizeof(hello), 0), sizeof(hello));
	assert_int_equal(send(sock, &subscribe, sizeof(subscribe), 0), sizeof(subscribe));
	close(sock);
	cf_pump(cf);

	/* It reads on, but will say nothing more. */
	sock = cf_hello(cf);
	shutdown(sock, SHUT_WR);
	cf_expect_closed(cf, sock);
	close(sock);

	/* Half a message, and then the end. */
	sock = cf_hello(cf);
	assert_int_equal(send(sock, &subscribe, sizeof(subscribe) / 2, 0), sizeof(subscribe) / 2);
	shutdown(sock, SHUT_WR);
	cf_pump(cf);
	cf_expect_refused(cf, sock, EPROTO, 0);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Each test gets the daemon, and leaves a bystander to whom nothing happened. */
static int setup(void **state)
{
	cf_setup(state);
	world.cf = *state;
	cf_register(world.cf, 1);
	world.bystander = bystander(world.cf);
	return 0;
}

static int teardown(void **state)
{
	union cf_message msg;
	int r, fd;

	/* Properties that good messages set reach it too. */
	do {
		fd = -1;
		r = cf_next(world.cf, world.bystander, &msg, &fd);
	} while (r == BUFSHARE_IPC_PROPERTIES);
	assert_int_equal(r, 0);
	cf_expect_nothing(world.cf, world.bystander);
	cf_update(world.cf, 1, 1, (struct virtio_bufshare_rect){ 0 });
	cf_expect(world.cf, world.bystander, BUFSHARE_IPC_UPDATED);
	close(world.bystander);
	return cf_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hello_size),
		TEST(test_hello_fields),
		TEST(test_hello_unknown_caps),
		TEST(test_hello_twice),
		TEST(test_hello_missing),
		TEST(test_type),
		TEST(test_record),
		TEST(test_fd),
		TEST(test_many_fds),
		TEST(test_subscribe),
		TEST(test_unsubscribe),
		TEST(test_release_size),
		TEST(test_closed_size),
		TEST(test_get_stats_size),
		TEST(test_ping_size),
		TEST(test_set_properties),
		TEST(test_set_properties_block),
		TEST(test_set_too_many_properties),
		TEST(test_set_more_than_there_is_room_for),
		TEST(test_set_without_capability),
		TEST(test_set_properties_of_the_other_side),
		TEST(test_eof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
