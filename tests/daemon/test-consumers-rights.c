/* SPDX-License-Identifier: MIT */
/*
 * Consumers that may not do everything: what they do not learn, do not set, and can not
 * reach. The rules are for the user of the test, who is limited by them like any other.
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"

#define ALL ((struct virtio_bufshare_rect){ 0 })

/* A daemon in which this user has these rights; NULL ends them. */
static struct cf *start(void **state, int export_mode, const char *const *rights)
{
	struct backend_config config = cf_config();
	char rule[128];

	config.export_mode = export_mode;
	for (; *rights; rights++) {
		snprintf(rule, sizeof(rule), "%u:%s", (unsigned int)geteuid(), *rights);
		assert_null(access_add_rule(&config.access, rule, false));
	}
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf_start(&config);
	return *state;
}

#define START(state, mode, ...) start(state, mode, (const char *const[]){ __VA_ARGS__, NULL })

/* ---- see ---- */

static void test_sees_only_what_it_may(void **state)
{
	struct cf *cf = START(state, EXPORT_COPY, "see:view.*");
	_cleanup_close_ int sock = -1;
	struct bufshare_ipc_empty stats;
	struct virtio_bufshare_event ev;
	union cf_message msg;
	union ipc_message set;

	cf_register_as(cf, 1, "secret", "a=1", 4);
	cf_register_as(cf, 2, "view.1", "", 0);
	sock = cf_subscriber(cf, "*");
	msg = cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
	assert_int_equal(le64toh(msg.added.buffer), 2);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "secret");
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);

	/* Nothing that happens to the other one is told, counted, or waits for it. */
	cf_register_as(cf, 3, "secret", "", 0);
	cf_set_properties(cf, 1, "a=2", 4);
	cf_update(cf, 1, 1, ALL);
	ev = cf_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, 1);
	assert_int_equal(le32toh(ev.flags), VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	cf_release(cf, sock, 1, 1);
	cf_closed(cf, sock, 1);
	assert_int_equal(cf_unregister_wait(cf, 3), 0);
	cf_send(cf, sock, &set, cf_make_set_properties(&set, 2, "host.a=1", 9));
	cf_expect_refused(cf, sock, EACCES, BUFSHARE_IPC_SET_PROPERTIES);
	close(sock);

	sock = cf_subscriber(cf, "secret");
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	ipc_header(&stats, BUFSHARE_IPC_GET_STATS, sizeof(stats));
	cf_send(cf, sock, &stats, sizeof(stats));
	msg = cf_expect(cf, sock, BUFSHARE_IPC_CONSUMER);
	assert_int_equal(le32toh(msg.consumer.buffers), 0);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATS);
	assert_int_equal(le64toh(msg.stats.buffer), 0);
	assert_int_equal(le64toh(msg.stats.updates), 0);
	cf_expect_nothing(cf, sock);
	close(sock);
	sock = -1;
	cf_teardown(state);
}

/* Of other consumers it learns nothing either. */
static void test_counts_only_itself(void **state)
{
	struct cf *cf = START(state, EXPORT_COPY, "all");
	_cleanup_close_ int one = cf_hello(cf), two = cf_hello(cf);
	struct bufshare_ipc_empty stats;
	union cf_message msg;

	ipc_header(&stats, BUFSHARE_IPC_GET_STATS, sizeof(stats));
	cf_send(cf, one, &stats, sizeof(stats));
	msg = cf_expect(cf, one, BUFSHARE_IPC_CONSUMER);
	assert_int_equal(le32toh(msg.consumer.flags), BUFSHARE_IPC_CONSUMER_SELF);
	msg = cf_expect(cf, one, BUFSHARE_IPC_STATS);
	assert_int_equal(le64toh(msg.stats.buffer), 0);
	assert_int_equal(le32toh(msg.stats.consumers), 1);
	assert_int_equal(le64toh(msg.stats.bytes_copied), 0);
	close(one);
	close(two);
	one = two = -1;
	cf_teardown(state);
}

/* ---- properties ---- */

static void test_sets_only_where_it_may(void **state)
{
	static const char block[] = "host.scale=2";
	struct cf *cf = START(state, EXPORT_COPY, "see", "properties:view");
	_cleanup_close_ int sock = cf_connect(cf);
	const struct bufshare_ipc_hello hello = cf_make_hello();
	union ipc_message set;
	union cf_message msg;

	cf_register_as(cf, 1, "view", "", 0);
	cf_register_as(cf, 2, "other", "", 0);
	cf_send(cf, sock, &hello, sizeof(hello));
	msg = cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	assert_int_equal(le64toh(msg.welcome.caps),
			 BUFSHARE_IPC_CAP_SET_PROPERTIES | BUFSHARE_IPC_CAP_STATS);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	msg = cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
	assert_int_equal(le32toh(msg.added.flags), BUFSHARE_IPC_ADDED_SETTABLE);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
	assert_int_equal(le32toh(msg.added.flags), 0);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);

	cf_send(cf, sock, &set, cf_make_set_properties(&set, 1, block, sizeof(block)));
	cf_expect(cf, sock, BUFSHARE_IPC_PROPERTIES);
	cf_send(cf, sock, &set, cf_make_set_properties(&set, 2, block, sizeof(block)));
	cf_expect_refused(cf, sock, EACCES, BUFSHARE_IPC_SET_PROPERTIES);
	close(sock);
	sock = -1;
	cf_teardown(state);
}

/* ---- zero-copy ---- */

/* Everything by which a byte of the file could be changed, or the file made smaller. */
static void assert_can_not_be_written(int fd)
{
	char path[64], byte = 0x66;
	int again;
	void *map;

	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(pwrite(fd, &byte, 1, 0), -1);
	assert_ptr_equal(mmap(NULL, CF_SIZE, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, CF_PAGE), -1);
	map = mmap(NULL, CF_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map, CF_SIZE, PROT_READ | PROT_WRITE), -1);
	munmap(map, CF_SIZE);

	/* The file's own permissions would let its owner, and root, open it again for writing. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again < 0)
		return;
	assert_int_equal(pwrite(again, &byte, 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_ptr_equal(mmap(NULL, CF_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0),
			 MAP_FAILED);
	assert_int_equal(ftruncate(again, 0), -1);
	assert_int_equal(ftruncate(again, 2 * CF_SIZE), -1);
	assert_int_equal(fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, CF_PAGE), -1);
	assert_int_equal(fcntl(again, F_ADD_SEALS, 0), -1); /* nor do seals come or go */
	map = mmap(NULL, CF_SIZE, PROT_READ, MAP_SHARED, again, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map, CF_SIZE, PROT_READ | PROT_WRITE), -1);
	munmap(map, CF_SIZE);
	close(again);
}

static void assert_contents(int fd, uint8_t byte)
{
	uint8_t bytes[CF_SIZE];

	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), CF_SIZE);
	assert_int_equal(bytes[0], byte);
	assert_int_equal(bytes[2 * CF_PAGE - 1], byte);
	assert_int_equal(bytes[2 * CF_PAGE], (uint8_t)(byte + 1));
	assert_int_equal(bytes[CF_SIZE - 1], (uint8_t)(byte + 1));
}

/* The guest's own pages and bytes, as far as the consumer can tell. */
static void assert_guest_unchanged(struct cf *cf, uint8_t byte)
{
	const uint8_t *pages = ff_ptr(cf->ff, cf->gpa[0], 2 * CF_PAGE);

	assert_int_equal(pages[0], byte);
}

/* With the right for one application only, the other comes as a copy out of reach. */
static void test_no_zero_copy(void **state)
{
	struct cf *cf = START(state, EXPORT_MEMFD, "see", "zero-copy:mine");
	_cleanup_close_ int sock = -1, fd = -1;
	union cf_message msg;

	cf_register_as(cf, 1, "mine", "", 0);
	cf_register_as(cf, 2, "yours", "", 0);
	cf_write(cf, 0x41);
	cf_update(cf, 2, 1, ALL);
	sock = cf_subscriber(cf, "*");
	cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
	assert_int_equal(le32toh(msg.added.path), VIRTIO_BUFSHARE_PATH_MEMFD);
	assert_int_equal(le32toh(msg.added.why), BUFSHARE_IPC_WHY_NONE);
	assert_true(le32toh(msg.added.flags) & BUFSHARE_IPC_ADDED_WRITABLE);

	msg = cf_expect_added(cf, sock, &fd);
	assert_int_equal(le64toh(msg.added.buffer), 2);
	assert_int_equal(le32toh(msg.added.path), VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(le32toh(msg.added.why), BUFSHARE_IPC_WHY_RIGHT);
	assert_int_equal(le32toh(msg.added.flags), 0);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	assert_int_equal(lseek(fd, 0, SEEK_END), CF_SIZE);
	assert_contents(fd, 0x41);
	assert_can_not_be_written(fd);
	assert_contents(fd, 0x41);
	assert_guest_unchanged(cf, 0x41);

	/* It is a copy: what the guest writes is not there before the update. */
	cf_write(cf, 0x51);
	assert_contents(fd, 0x41);
	cf_update(cf, 2, 2, ALL);
	cf_expect(cf, sock, BUFSHARE_IPC_UPDATED);
	assert_contents(fd, 0x51);
	close(sock);
	sock = -1;
	close(fd);
	fd = -1;
	cf_teardown(state);
}

/* Who does not ask for it does not get it, with all rights. */
static void test_zero_copy_not_asked_for(void **state)
{
	struct bufshare_ipc_hello hello = cf_make_hello();
	struct backend_config config = cf_config();
	_cleanup_close_ int one = -1, two = -1, fd = -1;
	union cf_message msg;
	struct cf *cf;

	config.export_mode = EXPORT_MEMFD;
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf = cf_start(&config);
	cf_register(cf, 1);
	cf_write(cf, 0x41);
	cf_update(cf, 1, 1, ALL);
	one = cf_connect(cf);
	hello.caps = htole64(BUFSHARE_IPC_CAP_STATS);
	cf_send(cf, one, &hello, sizeof(hello));
	cf_expect(cf, one, BUFSHARE_IPC_WELCOME);
	cf_subscribe(cf, one, BUFSHARE_IPC_SUBSCRIBE, "*");
	msg = cf_expect_added(cf, one, &fd);
	assert_int_equal(le32toh(msg.added.path), VIRTIO_BUFSHARE_PATH_COPY);
	assert_int_equal(le32toh(msg.added.why), BUFSHARE_IPC_WHY_CAP);
	assert_contents(fd, 0x41);
	assert_can_not_be_written(fd);

	/* The other one has the pages at the same time. */
	two = cf_subscriber(cf, "*");
	cf_expect(cf, two, BUFSHARE_IPC_RANGES);
	msg = cf_expect(cf, two, BUFSHARE_IPC_ADDED);
	assert_int_equal(le32toh(msg.added.path), VIRTIO_BUFSHARE_PATH_MEMFD);
	close(one);
	close(two);
	one = two = -1;
	close(fd);
	fd = -1;
	cf_teardown(state);
}

/* Nothing is copied any more when the last one that needed it is gone, and all for the next. */
static void test_copy_only_while_needed(void **state)
{
	struct bufshare_ipc_hello hello = cf_make_hello();
	struct backend_config config = cf_config();
	_cleanup_close_ int pages = -1, copy = -1, fd = -1;
	struct bufshare_ipc_empty stats;
	union cf_message msg;
	struct cf *cf;
	int i;

	config.export_mode = EXPORT_MEMFD;
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf = cf_start(&config);
	cf_register(cf, 1);
	pages = cf_subscriber(cf, "*");
	cf_skip_to(cf, pages, BUFSHARE_IPC_SYNCED);
	hello.caps = htole64(BUFSHARE_IPC_CAP_STATS);
	for (i = 0; i < 3; i++) {
		cf_write(cf, (uint8_t)(0x41 + i));
		cf_update(cf, 1, (uint64_t)i + 1, ALL); /* copied by nobody */
		cf_expect(cf, pages, BUFSHARE_IPC_UPDATED);
		cf_release(cf, pages, 1, (uint64_t)i + 1);

		copy = cf_connect(cf);
		cf_send(cf, copy, &hello, sizeof(hello));
		cf_expect(cf, copy, BUFSHARE_IPC_WELCOME);
		cf_subscribe(cf, copy, BUFSHARE_IPC_SUBSCRIBE, "*");
		cf_expect_added(cf, copy, &fd);
		assert_contents(fd, (uint8_t)(0x41 + i));
		close(fd);
		close(copy);
		cf_pump(cf);
	}
	fd = copy = -1;
	ipc_header(&stats, BUFSHARE_IPC_GET_STATS, sizeof(stats));
	cf_send(cf, pages, &stats, sizeof(stats));
	msg = cf_expect(cf, pages, BUFSHARE_IPC_STATS);
	assert_int_equal(le64toh(msg.stats.bytes_copied), 3 * CF_SIZE);
	close(pages);
	pages = -1;
	cf_teardown(state);
}

/* ---- nobody ---- */

static void test_may_nothing(void **state)
{
	struct backend_config config = cf_config();
	_cleanup_close_ int client = -1;
	union cf_message msg;
	int sockets[2], fd;
	struct cf *cf;

	/* Both are somebody else's: this user has no rights where it is named without any. */
	assert_null(access_add_rule(&config.access, "0:see", false));
	config.access.v[0].id = (uint32_t)geteuid();
	config.access.v[0].rights = 0;
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf = cf_start(&config);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	client = sockets[1];
	assert_int_equal(consumers_accept(backend_consumers(cf->be), sockets[0]), -EACCES);
	msg = cf_expect(cf, client, BUFSHARE_IPC_ERROR);
	assert_int_equal(le32toh(msg.error.code), EACCES);
	assert_int_equal(cf_next(cf, client, &msg, &fd), -ENOTCONN);
	close(client);
	client = -1;
	cf_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sees_only_what_it_may),
		cmocka_unit_test(test_counts_only_itself),
		cmocka_unit_test(test_sets_only_where_it_may),
		cmocka_unit_test(test_no_zero_copy),
		cmocka_unit_test(test_zero_copy_not_asked_for),
		cmocka_unit_test(test_copy_only_while_needed),
		cmocka_unit_test(test_may_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
