/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "host/ipc-io.h"

struct pair {
	int a;
	int b;
};

static struct pair pair_open(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	return (struct pair){ fds[0], fds[1] };
}

static void pair_close(struct pair *p)
{
	if (p->a >= 0)
		close(p->a);
	if (p->b >= 0)
		close(p->b);
}

#define _cleanup_pair_ _cleanup_(pair_close)

/* Sends whatever it is told to, which ipc_send() would not. */
static void send_raw(int sock, const void *data, size_t size, const int *fds, size_t num_fds)
{
	char control[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert_in_range(num_fds, 0, 8);
	if (num_fds) {
		struct cmsghdr *cmsg;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, num_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &mh, MSG_NOSIGNAL), size);
}

static struct bufshare_ipc_ping ping(uint64_t cookie)
{
	struct bufshare_ipc_ping msg = { .cookie = htole64(cookie) };

	ipc_header(&msg, BUFSHARE_IPC_PING, sizeof(msg));
	return msg;
}

/* What ipc_recv() must refuse; it leaves the out-parameter alone. */
static void assert_refused(int sock, int expected)
{
	union ipc_message msg;
	int fd = -42;

	assert_int_equal(ipc_recv(sock, &msg, &fd), expected);
	assert_int_equal(fd, -42);
}

static void header_is_little_endian(void **state)
{
	uint8_t msg[24] = { 0 };
	static const uint8_t expected[8] = { 0x42, 0, 0, 0, 0x18, 0, 0, 0 };

	ipc_header(msg, BUFSHARE_IPC_ADDED, sizeof(msg));
	assert_memory_equal(msg, expected, sizeof(expected));
}

static void message_arrives(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(0x1122334455667788);
	union ipc_message in;
	int fd = -42;

	assert_int_equal(ipc_send(p.a, &out, sizeof(out), -1), 0);
	assert_int_equal(ipc_recv(p.b, &in, &fd), sizeof(out));
	assert_memory_equal(&in, &out, sizeof(out));
	assert_int_equal(fd, -1);
}

static void largest_message_arrives(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	union ipc_message out, in;
	int fd;

	memset(&out, 0x5a, sizeof(out));
	ipc_header(&out, BUFSHARE_IPC_ADDED, sizeof(out));
	assert_int_equal(ipc_send(p.a, &out, sizeof(out), -1), 0);
	assert_int_equal(ipc_recv(p.b, &in, &fd), BUFSHARE_IPC_MAX_MESSAGE);
	assert_memory_equal(&in, &out, sizeof(out));
}

static void smallest_message_arrives(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_empty out;
	union ipc_message in;
	int fd;

	ipc_header(&out, BUFSHARE_IPC_SYNCED, sizeof(out));
	assert_int_equal(ipc_send(p.a, &out, sizeof(out), -1), 0);
	assert_int_equal(ipc_recv(p.b, &in, &fd), sizeof(out));
}

static void fd_arrives_close_on_exec(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	_cleanup_close_ int file = memfd_create("test", 0);
	_cleanup_close_ int fd = -1;
	struct bufshare_ipc_ping out = ping(1);
	struct stat sent, got;
	union ipc_message in;

	assert_int_equal(ipc_send(p.a, &out, sizeof(out), file), 0);
	assert_int_equal(ipc_recv(p.b, &in, &fd), sizeof(out));
	assert_true(fd >= 0);
	assert_int_not_equal(fd, file);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fstat(file, &sent), 0);
	assert_int_equal(fstat(fd, &got), 0);
	assert_int_equal(sent.st_ino, got.st_ino);
}

static void fd_stays_with_its_message(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	_cleanup_close_ int file = memfd_create("test", MFD_CLOEXEC);
	_cleanup_close_ int fd = -1;
	struct bufshare_ipc_ping out = ping(1);
	union ipc_message in;

	assert_int_equal(ipc_send(p.a, &out, sizeof(out), -1), 0);
	assert_int_equal(ipc_send(p.a, &out, sizeof(out), file), 0);
	assert_int_equal(ipc_recv(p.b, &in, &fd), sizeof(out));
	assert_int_equal(fd, -1);
	assert_int_equal(ipc_recv(p.b, &in, &fd), sizeof(out));
	assert_true(fd >= 0);
}

static void send_refuses_wrong_sizes(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	static char big[BUFSHARE_IPC_MAX_MESSAGE + 1];

	assert_int_equal(ipc_send(p.a, big, sizeof(struct bufshare_ipc_header) - 1, -1), -EINVAL);
	assert_int_equal(ipc_send(p.a, big, sizeof(big), -1), -EINVAL);
	assert_refused(p.b, -EAGAIN);
}

static void send_does_not_block(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);
	union ipc_message in;
	int r, fd, sent = 0;

	while ((r = ipc_send(p.a, &out, sizeof(out), -1)) == 0)
		sent++;
	assert_int_equal(r, -EAGAIN);
	assert_true(sent > 0);

	/* Nothing was lost, and there is room again. */
	while (ipc_recv(p.b, &in, &fd) == sizeof(out))
		sent--;
	assert_int_equal(sent, 0);
	assert_int_equal(ipc_send(p.a, &out, sizeof(out), -1), 0);
}

static void send_to_nobody(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);

	close(steal_fd(&p.b));
	assert_int_equal(ipc_send(p.a, &out, sizeof(out), -1), -ENOTCONN);
}

static void send_bad_fd(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);

	assert_int_equal(ipc_send(p.a, &out, sizeof(out), 1 << 20), -EBADF);
	assert_int_equal(ipc_send(-1, &out, sizeof(out), -1), -EBADF);
}

static void recv_does_not_block(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();

	assert_refused(p.b, -EAGAIN);
}

static void recv_from_nobody(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();

	close(steal_fd(&p.a));
	assert_refused(p.b, -ENOTCONN);
}

/* Messages sent before the other side closed arrive, even if it left some unread. */
static void recv_what_was_sent_before_a_reset(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);
	union ipc_message in;
	int fd;

	assert_int_equal(ipc_send(p.b, &out, sizeof(out), -1), 0);
	assert_int_equal(ipc_send(p.a, &out, sizeof(out), -1), 0);
	close(steal_fd(&p.a));
	assert_int_equal(ipc_recv(p.b, &in, &fd), sizeof(out));
	assert_refused(p.b, -ENOTCONN);
}

static void recv_short_record(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_header hdr;

	ipc_header(&hdr, BUFSHARE_IPC_PING, sizeof(hdr) - 1);
	send_raw(p.a, &hdr, sizeof(hdr) - 1, NULL, 0);
	assert_refused(p.b, -EPROTO);
}

static void recv_empty_record_with_fd(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();

	send_raw(p.a, "", 0, &p.a, 1);
	assert_refused(p.b, -EPROTO);
}

static void recv_size_below_record(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);

	ipc_header(&out, BUFSHARE_IPC_PING, sizeof(out) - 1);
	send_raw(p.a, &out, sizeof(out), NULL, 0);
	assert_refused(p.b, -EPROTO);
}

static void recv_size_above_record(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);

	ipc_header(&out, BUFSHARE_IPC_PING, sizeof(out) + 1);
	send_raw(p.a, &out, sizeof(out), NULL, 0);
	assert_refused(p.b, -EPROTO);
}

static void recv_record_too_long(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	static char out[BUFSHARE_IPC_MAX_MESSAGE + 1];

	/* What is left after the cut would agree with the header. */
	ipc_header(out, BUFSHARE_IPC_PING, BUFSHARE_IPC_MAX_MESSAGE);
	send_raw(p.a, out, sizeof(out), NULL, 0);
	assert_refused(p.b, -EPROTO);
}

static void recv_bad_size_with_fd(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);

	ipc_header(&out, BUFSHARE_IPC_PING, 0);
	send_raw(p.a, &out, sizeof(out), &p.a, 1);
	assert_refused(p.b, -EPROTO);
}

static void recv_surplus_fds(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	struct bufshare_ipc_ping out = ping(1);
	const int fds[] = { p.a, p.b, p.a, p.b, p.a, p.b, p.a, p.b };
	size_t n;

	for (n = 2; n <= ARRAY_SIZE(fds); n++) {
		send_raw(p.a, &out, sizeof(out), fds, n);
		assert_refused(p.b, -EPROTO);
	}
}

static void recv_without_room_for_fd(void **state)
{
	_cleanup_pair_ struct pair p = pair_open();
	_cleanup_close_ int lowest = dup(p.a);
	struct bufshare_ipc_ping out = ping(1);
	struct rlimit old, none;

	assert_int_equal(ipc_send(p.a, &out, sizeof(out), p.a), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ .rlim_cur = lowest + 1, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_refused(p.b, -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void field_is_padded(void **state)
{
	static const uint8_t expected[8] = { 'a', 'b', 'c', 0, 0, 0, 0, 0 };
	uint8_t field[8];

	memset(field, 0xff, sizeof(field));
	assert_int_equal(ipc_field_set(field, sizeof(field), "abc"), 0);
	assert_memory_equal(field, expected, sizeof(field));
}

static void field_takes_what_fits(void **state)
{
	uint8_t field[8];

	assert_int_equal(ipc_field_set(field, sizeof(field), ""), 0);
	assert_int_equal(field[0], 0);
	assert_int_equal(ipc_field_set(field, sizeof(field), "1234567"), 0);
	assert_string_equal((char *)field, "1234567");
	assert_int_equal(ipc_field_set(field, sizeof(field), "12345678"), -EINVAL);
	assert_string_equal((char *)field, "1234567");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fd_leak_setup, fd_leak_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(header_is_little_endian),
		TEST(message_arrives),
		TEST(largest_message_arrives),
		TEST(smallest_message_arrives),
		TEST(fd_arrives_close_on_exec),
		TEST(fd_stays_with_its_message),
		TEST(send_refuses_wrong_sizes),
		TEST(send_does_not_block),
		TEST(send_to_nobody),
		TEST(send_bad_fd),
		TEST(recv_does_not_block),
		TEST(recv_from_nobody),
		TEST(recv_what_was_sent_before_a_reset),
		TEST(recv_short_record),
		TEST(recv_empty_record_with_fd),
		TEST(recv_size_below_record),
		TEST(recv_size_above_record),
		TEST(recv_record_too_long),
		TEST(recv_bad_size_with_fd),
		TEST(recv_surplus_fds),
		TEST(recv_without_room_for_fd),
		TEST(field_is_padded),
		TEST(field_takes_what_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
