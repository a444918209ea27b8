/* SPDX-License-Identifier: MIT */
/*
 * A front end that sends one malformed message, and nothing else that is wrong: it ends the
 * connection, and leaves no descriptor behind.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/messages.h"
#include "common/fd-leak.h"
#include "common/skip-test.h"

/* The message was malformed: the connection is closed and nothing is left of it. */
static void expect_closed(struct fixture *f, int fds_before)
{
	ff_expect_closed(f->ff);
	fixture_settle(f);
	fixture_expect(f, "C");
	assert_int_equal(f->close_reason, -EPROTO);
	assert_int_equal(fd_count(), fds_before - 1); /* but for the socket */
	assert_int_equal(memory_count(vu_memory(f->vu)), 1);
}

/* The baseline: each message as it is right is not malformed. */
static void test_right(void **state)
{
	struct fixture *f = *state;
	const struct message *m = f->param;
	int fds[FF_MAX_FDS];
	union message_payload p;
	char reply[512];

	message_connect(f);
	message_fill(f, m->request, &p);
	message_fds(f, m->request, fds);
	if (m->request == VHOST_USER_REM_MEM_REG)
		p.reg.region = (struct vhost_user_region){ 1ULL << 33, 0x1000, 0x7ffe00000000, 0 };
	if (!m->replies) {
		assert_int_equal(ff_call(f->ff, m->request, p.bytes, m->size, fds, m->num_fds), 0);
		return;
	}

	/* An acknowledgement that is asked for besides is none of those. */
	ff_message(f->ff, m->request, VHOST_USER_NEED_REPLY, p.bytes, m->size, fds, m->num_fds);
	ff_reply(f->ff, m->request, reply, m->size ? m->size : 8);
	assert_true(ff_is_quiet(f->ff));
}

static void send_wrong(struct fixture *f, const struct message *m, uint32_t flags, uint32_t size,
		       size_t num_fds)
{
	struct {
		struct vhost_user_header hdr;
		uint8_t payload[FF_MAX_PAYLOAD];
	} msg = { .hdr = { m->request, flags, size } };
	int fds[FF_MAX_FDS];
	union message_payload p;
	int before;

	message_connect(f);
	before = fd_count();
	message_fill(f, m->request, &p);
	message_fds(f, m->request, fds);
	memcpy(msg.payload, p.bytes, sizeof(msg.payload));
	ff_send_raw(f->ff, &msg, sizeof(msg.hdr) + size, fds, num_fds);
	expect_closed(f, before);
}

static void test_too_short(void **state)
{
	struct fixture *f = *state;
	const struct message *m = f->param;

	send_wrong(f, m, VHOST_USER_VERSION, m->size - 1, m->num_fds);
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;
	const struct message *m = f->param;

	send_wrong(f, m, VHOST_USER_VERSION, m->max_size + 1, m->num_fds);
}

static void test_too_few_fds(void **state)
{
	struct fixture *f = *state;
	const struct message *m = f->param;

	send_wrong(f, m, VHOST_USER_VERSION, m->size, m->num_fds - 1);
}

static void test_too_many_fds(void **state)
{
	struct fixture *f = *state;
	const struct message *m = f->param;

	send_wrong(f, m, VHOST_USER_VERSION, m->size, m->max_fds + 1);
}

/* More than any message has: the kernel cuts them off. */
static void test_fds_cut_off(void **state)
{
	struct fixture *f = *state;
	const struct message *m = f->param;

	send_wrong(f, m, VHOST_USER_VERSION, m->size, FF_MAX_FDS);
}

/* The same, and no read has more of them than there may be. */
static void test_fds_in_pieces(void **state)
{
	struct fixture *f = *state;
	const struct vhost_user_header hdr = { VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 264 };
	int fds[FF_MAX_FDS];
	int before;

	message_connect(f);
	before = fd_count();
	message_fds(f, hdr.request, fds);
	ff_send_raw(f->ff, &hdr, sizeof(hdr), fds, 8);
	assert_true(ff_is_quiet(f->ff));
	ff_send_raw(f->ff, "", 1, fds, 1);
	expect_closed(f, before);
}

static void test_version(void **state)
{
	struct fixture *f = *state;

	send_wrong(f, f->param, 0, 0, 0);
	fixture_renew(f);
	send_wrong(f, f->param, 2, 0, 0);
	fixture_renew(f);
	send_wrong(f, f->param, 3, 0, 0);
}

static void test_flags(void **state)
{
	struct fixture *f = *state;
	unsigned int bit;

	send_wrong(f, f->param, VHOST_USER_VERSION | VHOST_USER_REPLY, 0, 0);
	for (bit = 4; bit < 32; bit++) {
		fixture_renew(f);
		send_wrong(f, f->param, VHOST_USER_VERSION | 1U << bit, 0, 0);
	}
}

/* Nobody knows the request, and its size can not be believed either. */
static void test_unknown_too_long(void **state)
{
	static const struct message unknown = { "unknown", 31, 0, 0, 0, 0, false };
	struct fixture *f = *state;

	send_wrong(f, &unknown, VHOST_USER_VERSION, 4097, 0);
}

static void send_contradiction(struct fixture *f, uint32_t request, const union message_payload *p,
			       uint32_t size, size_t num_fds)
{
	int fds[FF_MAX_FDS];
	int before = fd_count();

	message_fds(f, request, fds);
	ff_message(f->ff, request, VHOST_USER_NEED_REPLY, p->bytes, size, fds, num_fds);
	expect_closed(f, before);
}

static void test_table_contradicts_itself(void **state)
{
	struct fixture *f = *state;
	union message_payload p;

	message_connect(f);
	message_fill(f, VHOST_USER_SET_MEM_TABLE, &p);
	p.table.num_regions = 3; /* with two descriptors and the bytes of two */
	send_contradiction(f, VHOST_USER_SET_MEM_TABLE, &p, 72, 2);

	fixture_renew(f);
	message_connect(f);
	send_contradiction(f, VHOST_USER_SET_MEM_TABLE, &p, 72, 3); /* bytes of two */

	fixture_renew(f);
	message_connect(f);
	p.table.num_regions = 9;
	send_contradiction(f, VHOST_USER_SET_MEM_TABLE, &p, 264, 8);

	fixture_renew(f);
	message_connect(f);
	p.table.num_regions = UINT32_MAX;
	send_contradiction(f, VHOST_USER_SET_MEM_TABLE, &p, 72, 2);
}

static void test_config_contradicts_itself(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_GET_CONFIG, VHOST_USER_SET_CONFIG };
	static const uint32_t sizes[] = { 63, 65, 257, UINT32_MAX };
	struct fixture *f = *state;
	union message_payload p;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			fixture_renew(f);
			message_connect(f);
			message_fill(f, requests[i], &p);
			p.config.size = sizes[j];
			send_contradiction(f, requests[i], &p, MESSAGE_CONFIG_SIZE + 64, 0);
		}
	}
}

static void test_vring_fd_contradicts_itself(void **state)
{
	struct fixture *f = *state;
	union message_payload p = { .u64 = 0 };
	uint32_t request;

	for (request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR; request++) {
		fixture_renew(f);
		message_connect(f);
		p.u64 = VHOST_USER_VRING_NOFD;
		send_contradiction(f, request, &p, 8, 1);

		fixture_renew(f);
		message_connect(f);
		p.u64 = 0;
		send_contradiction(f, request, &p, 8, 0);

		fixture_renew(f);
		message_connect(f);
		p.u64 = 1 << 9;
		send_contradiction(f, request, &p, 8, 1);
	}
}

/* A message that is wrong when the device runs stops it first. */
static void test_malformed_while_running(void **state)
{
	struct fixture *f = *state;
	struct vq_element *element;

	ff_start(f->ff);
	fixture_echo(f);
	fixture_forget(f);
	ff_message(f->ff, VHOST_USER_SET_FEATURES, 0, "x", 1, NULL, 0);
	ff_expect_closed(f->ff);
	fixture_settle(f);
	fixture_expect(f, "sC");
	assert_int_equal(vq_pop(vu_queue(f->vu, ECHO), &element), -ENOTCONN);
}

static size_t fill_up(int fd, int fds[], size_t max)
{
	size_t n = 0;

	while (n < max && (fds[n] = fcntl(fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		n++;
	return n;
}

/* Under valgrind the limit holds for what the program opens, but not for what it receives. */
static bool receives_beyond_limit(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	char c;
	struct iovec iov = { .iov_base = &c, .iov_len = 1 };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control) };
	int fd;

	assert_int_equal(recvmsg(sock, &mh, MSG_CMSG_CLOEXEC), 1);
	if (!CMSG_FIRSTHDR(&mh))
		return false;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(fd));
	close(fd);
	return true;
}

/* Our process has no room for a descriptor: neither a crash nor half a message. */
static void test_out_of_fds(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, saved;
	uint64_t value = 0;
	int fds[64], pair[2];
	struct ff probe = { .sock = -1 };
	bool beyond;
	size_t n;

	ff_connect(f->ff);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	probe.sock = pair[1];
	ff_send_raw(&probe, "", 1, &f->ff->ram_fd, 1);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	limit = saved;
	limit.rlim_cur = ARRAY_SIZE(fds);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	n = fill_up(f->ff->ram_fd, fds, ARRAY_SIZE(fds));
	beyond = receives_beyond_limit(pair[0]);
	if (!beyond) {
		ff_message(f->ff, VHOST_USER_SET_VRING_ERR, 0, &value, sizeof(value),
			   &f->ff->ram_fd, 1);
		ff_expect_closed(f->ff);
	}
	while (n > 0)
		close(fds[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
	close(pair[0]);
	close(pair[1]);
	if (beyond)
		SKIP_TEST("the limit of descriptors does not count here");

	fixture_settle(f);
	fixture_expect(f, "C");
	assert_int_equal(f->close_reason, -EMFILE);
}

/* A thousand random messages; the sanitizers and the descriptor check look on. */
static void test_noise(void **state)
{
	struct fixture *f = *state;
	unsigned int seed = 1;
	int i;

	for (i = 0; i < 1000; i++) {
		const struct message *m = &messages[rand_r(&seed) % NUM_MESSAGES];
		struct {
			struct vhost_user_header hdr;
			uint8_t payload[512];
		} msg = { .hdr = { m->request, VHOST_USER_VERSION, m->size } };
		int fds[FF_MAX_FDS];
		union message_payload p;
		size_t num_fds = m->num_fds + (rand_r(&seed) % 50 == 0);
		unsigned int changes = rand_r(&seed) % 4;

		message_fill(f, m->request, &p);
		message_fds(f, m->request, fds);
		memcpy(msg.payload, p.bytes, sizeof(msg.payload));
		while (changes-- > 0 && m->size)
			msg.payload[rand_r(&seed) % m->size] = rand_r(&seed);
		if (f->ff->sock >= 0 && f->close_reason == 0)
			ff_send_raw(f->ff, &msg, sizeof(msg.hdr) + m->size, fds, num_fds);
		fixture_settle(f);
		while (recv(f->ff->sock, msg.payload, sizeof(msg.payload), MSG_DONTWAIT) > 0)
			;
		if (f->close_reason) {
			f->close_reason = 0;
			fixture_renew(f);
		}
	}
	fixture_renew(f);
	ff_start(f->ff);
	fixture_echo(f);
}

#define MAX_TESTS 256
#define NAME_SIZE 48

static struct CMUnitTest tests[MAX_TESTS];
static char names[MAX_TESTS][NAME_SIZE];
static size_t num_tests;

static void add_test(const char *name, const struct message *m, CMUnitTestFunction fn)
{
	size_t n = num_tests++;

	assert_true(n < MAX_TESTS);
	snprintf(names[n], NAME_SIZE, "%s%s%s", name, m ? " " : "", m ? m->name : "");
	tests[n] = (struct CMUnitTest){ names[n], fn, fixture_setup, fixture_teardown, (void *)m };
}

static void add_message_tests(const struct message *m)
{
	add_test("right", m, test_right);
	add_test("too long", m, test_too_long);
	add_test("too many descriptors", m, test_too_many_fds);
	add_test("descriptors cut off", m, test_fds_cut_off);
	if (m->size)
		add_test("too short", m, test_too_short);
	if (m->num_fds)
		add_test("too few descriptors", m, test_too_few_fds);
}

int main(void)
{
	size_t i;

	for (i = 0; i < NUM_MESSAGES; i++)
		add_message_tests(&messages[i]);
	add_test("version", &messages[0], test_version);
	add_test("flags", &messages[0], test_flags);
	add_test("descriptors in pieces", NULL, test_fds_in_pieces);
	add_test("unknown request too long", NULL, test_unknown_too_long);
	add_test("table contradicts itself", NULL, test_table_contradicts_itself);
	add_test("config contradicts itself", NULL, test_config_contradicts_itself);
	add_test("vring fd contradicts itself", NULL, test_vring_fd_contradicts_itself);
	add_test("malformed while running", NULL, test_malformed_while_running);
	add_test("out of descriptors", NULL, test_out_of_fds);
	add_test("noise", NULL, test_noise);
	return _cmocka_run_group_tests("messages", tests, num_tests, NULL, NULL);
}
