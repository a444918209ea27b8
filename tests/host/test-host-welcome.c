/* SPDX-License-Identifier: MIT */
/*
 * What the host library and the daemon say first, and what is wrong with it.
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

#include "common/fd-leak.h"
#include "host/fake-daemon.h"

#define SHORT_MS 50

static void hello_says_who_we_are(void **state)
{
	struct fake_daemon f;

	fake_open(&f);
	fake_connect(&f, "view*");
	assert_int_equal(le64toh(f.hello.caps),
			 BUFSHARE_IPC_CAP_SET_PROPERTIES | BUFSHARE_IPC_CAP_ZERO_COPY |
				 BUFSHARE_IPC_CAP_STATS);
	assert_true(strstr((char *)f.hello.program, "test-host-welcome") != NULL);
	assert_int_equal(f.num_patterns, 1);
	assert_string_equal(f.patterns[0], "view*");
	fake_close(&f);
}

static void null_application_subscribes_to_nothing(void **state)
{
	struct fake_daemon f;

	fake_open(&f);
	fake_connect(&f, NULL);
	fake_pump(&f);
	assert_int_equal(f.num_patterns, 0);
	fake_close(&f);
}

/* WELCOME waits in the socket already, so that the blocking call needs no second thread. */
static void new_from_fd(void **state)
{
	static const uint8_t expected[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	struct fake_daemon f;
	struct wire w;

	fake_open(&f);
	assert_int_equal(fcntl(f.client, F_SETFD, 0), 0);
	wire_welcome(&w);
	fake_send(&f, &w);
	assert_int_equal(bufshare_host_new_from_fd(f.client, "*", &f.host), 0);
	assert_int_equal(fcntl(f.client, F_GETFD), FD_CLOEXEC);
	f.client = -1;

	assert_string_equal(bufshare_host_get_label(f.host), FAKE_LABEL);
	assert_string_equal(bufshare_host_get_application(f.host), FAKE_APPLICATION);
	assert_int_equal(bufshare_host_get_uuid(f.host, uuid), 0);
	assert_memory_equal(uuid, expected, sizeof(uuid));
	assert_int_equal(bufshare_host_get_state(f.host), BUFSHARE_GUEST_RUNNING);
	fake_close(&f);
}

static void unknown_messages_before_welcome(void **state)
{
	struct fake_daemon f;
	struct wire w;

	fake_open(&f);
	wire_empty(&w, BUFSHARE_IPC_CONSUMER + 1);
	w.fd = make_memfd(NULL, FAKE_PAGE, F_SEAL_SHRINK);
	fake_send(&f, &w);
	wire_welcome(&w);
	fake_send(&f, &w);
	assert_int_equal(bufshare_host_new_from_fd(f.client, "*", &f.host), 0);
	f.client = -1;
	fake_close(&f);
}

static void empty_label_and_application(void **state)
{
	struct fake_daemon f;
	struct wire w;

	fake_open(&f);
	wire_welcome(&w);
	memset(w.msg.bytes + offsetof(struct bufshare_ipc_welcome, label), 0,
	       2 * BUFSHARE_IPC_NAME_SIZE);
	fake_send(&f, &w);
	assert_int_equal(bufshare_host_new_from_fd(f.client, NULL, &f.host), 0);
	f.client = -1;
	assert_string_equal(bufshare_host_get_label(f.host), "");
	assert_string_equal(bufshare_host_get_application(f.host), "");
	fake_close(&f);
}

/* Sends w in the place of WELCOME: the socket stays the caller's, and nothing else is left. */
static void assert_begin_fails(struct wire *w, int expected)
{
	struct bufshare_host *host = (void *)0x1;
	struct fake_daemon f;

	fake_open(&f);
	fake_send(&f, w);
	assert_int_equal(bufshare_host_new_from_fd(f.client, "*", &host), expected);
	assert_ptr_equal(host, (void *)0x1);
	assert_true(fcntl(f.client, F_GETFD) >= 0);
	fake_close(&f);
}

#define SPOILT_WELCOME(field, value)                                                       \
	do {                                                                               \
		struct bufshare_ipc_welcome m_;                                            \
		struct wire w_;                                                            \
		wire_welcome(&w_);                                                         \
		memcpy(&m_, &w_.msg, sizeof(m_));                                          \
		m_.field = (value);                                                        \
		memcpy(&w_.msg, &m_, sizeof(m_));                                          \
		assert_begin_fails(&w_, -EPROTO);                                          \
	} while (0)

static void welcome_magic(void **state)
{
	SPOILT_WELCOME(magic, htole32(BUFSHARE_IPC_MAGIC + 1));
}

static void welcome_version(void **state)
{
	SPOILT_WELCOME(version, htole32(BUFSHARE_IPC_VERSION + 1));
}

static void welcome_caps_not_asked_for(void **state)
{
	SPOILT_WELCOME(caps, htole64(1ULL << 63));
}

static void welcome_label_characters(void **state)
{
	SPOILT_WELCOME(label[3], '\n');
}

static void welcome_label_not_padded(void **state)
{
	SPOILT_WELCOME(label[BUFSHARE_IPC_NAME_SIZE - 1], 'x');
}

static void welcome_application_characters(void **state)
{
	SPOILT_WELCOME(application[3], '/');
}

static void welcome_state(void **state)
{
	SPOILT_WELCOME(state, htole32(BUFSHARE_IPC_STATE_GONE + 1));
}

static void welcome_size(void **state)
{
	struct wire w;

	wire_welcome(&w);
	w.size += 8;
	w.msg.hdr.size = htole32(w.size);
	assert_begin_fails(&w, -EPROTO);
}

static void welcome_with_fd(void **state)
{
	struct wire w;

	wire_welcome(&w);
	w.fd = make_memfd(NULL, FAKE_PAGE, F_SEAL_SHRINK);
	assert_begin_fails(&w, -EPROTO);
}

static void something_else_first(void **state)
{
	struct wire w;

	wire_empty(&w, BUFSHARE_IPC_SYNCED);
	assert_begin_fails(&w, -EPROTO);
	wire_added(&w, 1, FAKE_PAGE);
	assert_begin_fails(&w, -EPROTO);
	wire_empty(&w, BUFSHARE_IPC_HELLO);
	assert_begin_fails(&w, -EPROTO);
}

static void refused(void **state)
{
	struct wire w;

	wire_error(&w, EACCES, BUFSHARE_IPC_HELLO);
	assert_begin_fails(&w, -EACCES);
	wire_error(&w, ENOSPC, BUFSHARE_IPC_HELLO);
	assert_begin_fails(&w, -ENOSPC);
	wire_error(&w, EPROTONOSUPPORT, BUFSHARE_IPC_HELLO);
	assert_begin_fails(&w, -EPROTO);
}

static void refused_in_a_wrong_way(void **state)
{
	struct wire w;

	wire_error(&w, EACCES, BUFSHARE_IPC_HELLO);
	w.size -= 8;
	w.msg.hdr.size = htole32(w.size);
	assert_begin_fails(&w, -EPROTO);
	wire_error(&w, EACCES, BUFSHARE_IPC_HELLO);
	memset(w.msg.bytes + offsetof(struct bufshare_ipc_error, text), 'x', 240);
	assert_begin_fails(&w, -EPROTO);
}

/* The daemon turns the consumer away before that has said HELLO. */
static void refused_and_closed(void **state)
{
	struct bufshare_host *host;
	struct fake_daemon f;
	struct wire w;

	fake_open(&f);
	wire_error(&w, EACCES, 0);
	fake_send(&f, &w);
	close(steal_fd(&f.sock));
	assert_int_equal(bufshare_host_new_from_fd(f.client, "*", &host), -EACCES);
	fake_close(&f);
}

static void closed_without_a_word(void **state)
{
	struct bufshare_host *host;
	struct fake_daemon f;

	fake_open(&f);
	close(steal_fd(&f.sock));
	assert_int_equal(bufshare_host_new_from_fd(f.client, "*", &host), -ENOTCONN);
	fake_close(&f);
}

static void no_answer(void **state)
{
	struct bufshare_host *host;
	struct fake_daemon f;

	fake_open(&f);
	assert_int_equal(host_new_from_fd(f.client, "*", SHORT_MS, &host), -ETIMEDOUT);
	fake_close(&f);
}

/* Messages that mean nothing do not keep it waiting for longer. */
static void no_answer_but_noise(void **state)
{
	struct bufshare_host *host;
	struct fake_daemon f;
	int i;

	fake_open(&f);
	for (i = 0; i < 100; i++)
		send_empty(&f, 1000 + i);
	assert_int_equal(host_new_from_fd(f.client, "*", SHORT_MS, &host), -ETIMEDOUT);
	fake_close(&f);
}

static void wrong_arguments_of_new_from_fd(void **state)
{
	struct bufshare_host *host;
	struct fake_daemon f;
	int pipes[2], stream[2];

	fake_open(&f);
	assert_int_equal(bufshare_host_new_from_fd(-1, "*", &host), -EINVAL);
	assert_int_equal(bufshare_host_new_from_fd(f.client, "*", NULL), -EINVAL);
	assert_int_equal(bufshare_host_new_from_fd(f.client, "", &host), -EINVAL);
	assert_int_equal(bufshare_host_new_from_fd(f.client, "a/b", &host), -EINVAL);
	assert_int_equal(bufshare_host_new_from_fd(1 << 20, "*", &host), -EINVAL);

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(bufshare_host_new_from_fd(pipes[0], "*", &host), -EINVAL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	assert_int_equal(bufshare_host_new_from_fd(stream[0], "*", &host), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	close(stream[0]);
	close(stream[1]);
	fake_close(&f);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fd_leak_setup, fd_leak_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_says_who_we_are),
		TEST(null_application_subscribes_to_nothing),
		TEST(new_from_fd),
		TEST(unknown_messages_before_welcome),
		TEST(empty_label_and_application),
		TEST(welcome_magic),
		TEST(welcome_version),
		TEST(welcome_caps_not_asked_for),
		TEST(welcome_label_characters),
		TEST(welcome_label_not_padded),
		TEST(welcome_application_characters),
		TEST(welcome_state),
		TEST(welcome_size),
		TEST(welcome_with_fd),
		TEST(something_else_first),
		TEST(refused),
		TEST(refused_in_a_wrong_way),
		TEST(refused_and_closed),
		TEST(closed_without_a_word),
		TEST(no_answer),
		TEST(no_answer_but_noise),
		TEST(wrong_arguments_of_new_from_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
