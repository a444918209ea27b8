/* SPDX-License-Identifier: MIT */
/*
 * Consumers that keep what they have of a buffer when that is gone.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"

#define UNREGISTERED VIRTIO_BUFSHARE_REASON_UNREGISTERED
#define RESET VIRTIO_BUFSHARE_REASON_RESET

/* The guest takes the buffer back, and a consumer does not let go in time. */
static void unregister_mapped(struct cf *cf, uint64_t id)
{
	assert_int_equal(cf_unregister_wait(cf, id), VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED);
}

static void assert_not_unmapped(struct cf *cf, uint64_t id)
{
	struct virtio_bufshare_event ev;

	cf_pump(cf);
	assert_false(cf_poll_event(cf, VIRTIO_BUFSHARE_EVENT_UNMAPPED, id, &ev));
}

/* A consumer of the guest's pages that knows the buffer. */
static int maps(struct cf *cf)
{
	int sock = cf_subscriber(cf, "*");

	cf_skip_to(cf, sock, BUFSHARE_IPC_SYNCED);
	return sock;
}

/* Of two consumers one says CLOSED, and one ends; none of them twice. */
static void test_unmapped(void **state)
{
	struct cf *cf = *state;
	int one, two;

	cf_register(cf, 1);
	one = maps(cf);
	two = maps(cf);
	unregister_mapped(cf, 1);
	cf_expect_removed(cf, one, 1, UNREGISTERED);
	assert_not_unmapped(cf, 1);
	cf_closed(cf, one, 1);
	cf_closed(cf, one, 1);
	assert_not_unmapped(cf, 1);
	close(two);
	cf_event(cf, VIRTIO_BUFSHARE_EVENT_UNMAPPED, 1);
	assert_not_unmapped(cf, 1);
	close(one);
}

/* One that reads nothing was not told that the buffer is gone, and has it all the same. */
static void test_unmapped_unread(void **state)
{
	struct cf *cf = *state;
	int sock;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	unregister_mapped(cf, 1);
	assert_not_unmapped(cf, 1);
	close(sock);
	cf_event(cf, VIRTIO_BUFSHARE_EVENT_UNMAPPED, 1);
}

/* What it unsubscribed from before it has to close, too. */
static void test_unmapped_unsubscribed(void **state)
{
	struct cf *cf = *state;
	int sock;

	cf_register(cf, 1);
	sock = maps(cf);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
	cf_expect_removed(cf, sock, 1, UNREGISTERED);
	unregister_mapped(cf, 1);
	cf_expect_nothing(cf, sock);
	cf_closed(cf, sock, 1);
	cf_event(cf, VIRTIO_BUFSHARE_EVENT_UNMAPPED, 1);
	close(sock);
}

/*
 * Of two buffers with one id the older is closed first: as long as one of them is not, the
 * guest does not get the pages of the newer.
 */
static void test_id_used_again(void **state)
{
	struct cf *cf = *state;
	int sock;

	cf_register(cf, 1);
	sock = maps(cf);
	cf_init(cf);
	cf_expect_removed(cf, sock, 1, RESET);
	cf_skip_to(cf, sock, BUFSHARE_IPC_STATE); /* RESET, RUNNING */
	cf_skip_to(cf, sock, BUFSHARE_IPC_STATE);
	cf_register(cf, 1);
	cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
	cf_expect_added_id(cf, sock, 1);
	unregister_mapped(cf, 1);
	cf_expect_removed(cf, sock, 1, UNREGISTERED);
	cf_closed(cf, sock, 1);
	assert_not_unmapped(cf, 1);
	cf_closed(cf, sock, 1);
	cf_event(cf, VIRTIO_BUFSHARE_EVENT_UNMAPPED, 1);
	close(sock);
}

/* ---- what a copy counts for ---- */

/* Room for two buffers. */
static int setup_small(void **state)
{
	struct backend_config config = cf_config();

	config.device.max_total_size = htole64(2 * CF_SIZE);
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf_start(&config);
	return 0;
}

static void assert_full(struct cf *cf, uint64_t id)
{
	assert_int_equal(cf_try_register(cf, id), VIRTIO_BUFSHARE_STATUS_LIMIT);
}

static void test_copy_counts(void **state)
{
	struct cf *cf = *state;
	int sock;

	cf_register(cf, 1);
	cf_register(cf, 2);
	assert_full(cf, 3);
	sock = cf_knows(cf, 2);
	assert_int_equal(cf_unregister_wait(cf, 1), 0);
	assert_full(cf, 3);
	cf_closed(cf, sock, 2); /* which is still there */
	assert_full(cf, 3);
	cf_closed(cf, sock, 1);
	cf_register(cf, 3);
	assert_int_equal(cf_unregister_wait(cf, 3), 0);
	assert_full(cf, 4);
	close(sock);
	cf_pump(cf);
	cf_register(cf, 4);
}

/* Nobody has a copy who was not told of it. */
static void test_copy_untold(void **state)
{
	struct cf *cf = *state;
	int sock;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	cf_register(cf, 2);
	assert_int_equal(cf_unregister_wait(cf, 2), 0);
	cf_register(cf, 3);
	close(sock);
}

/* Nor does a reset give back what is kept. */
static void test_copy_reset(void **state)
{
	struct cf *cf = *state;
	int sock;

	cf_register(cf, 1);
	cf_register(cf, 2);
	sock = cf_knows(cf, 2);
	cf_init(cf);
	assert_full(cf, 1);
	cf_closed(cf, sock, 2);
	cf_register(cf, 1);
	assert_full(cf, 2);
	cf_closed(cf, sock, 1);
	cf_register(cf, 2);
	close(sock);
}

/* Nor another machine. */
static void test_copy_gone(void **state)
{
	struct cf *cf = *state;
	union cf_message msg;
	int sock;

	cf_register(cf, 1);
	cf_register(cf, 2);
	sock = cf_knows(cf, 2);
	cf_leave(cf);
	do {
		msg = cf_skip_to(cf, sock, BUFSHARE_IPC_STATE);
	} while (le32toh(msg.state.state) != BUFSHARE_IPC_STATE_GONE);
	cf_come(cf);
	assert_full(cf, 1);
	cf_closed(cf, sock, 1);
	cf_register(cf, 1);
	close(sock);
}

#define MEMFD(name) cmocka_unit_test_setup_teardown(name, cf_setup_memfd, cf_teardown)
#define SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMFD(test_unmapped),
		MEMFD(test_unmapped_unread),
		MEMFD(test_unmapped_unsubscribed),
		MEMFD(test_id_used_again),
		SMALL(test_copy_counts),
		SMALL(test_copy_untold),
		SMALL(test_copy_reset),
		SMALL(test_copy_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
