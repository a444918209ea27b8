/* SPDX-License-Identifier: MIT */
/*
 * The release cycle with consumers of every kind, and the end of buffers whose pages somebody
 * has.
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

#define QUEUE VIRTIO_BUFSHARE_QUEUE_CONTROL
#define ALL ((struct virtio_bufshare_rect){ 0 })

static struct virtio_bufshare_rect rect(uint32_t x, uint32_t y)
{
	return (struct virtio_bufshare_rect){ x, y, 10, 10 };
}

/* ---- the release cycle ---- */

static void test_release_what_it_has_not(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	cf_register(cf, 1);
	cf_register(cf, 2);
	sock = cf_knows(cf, 2);
	cf_release(cf, sock, 1, 1);
	cf_update(cf, 1, 1, ALL);
	cf_expect_updated(cf, sock, 1, 1);
	cf_release(cf, sock, 1, 0);
	cf_release(cf, sock, 1, 2);
	cf_release(cf, sock, 2, 1);
	cf_release(cf, sock, 3, 1);
	cf_release(cf, sock, UINT64_MAX, UINT64_MAX);
	cf_expect_not_released(cf, 1);
	cf_release(cf, sock, 1, 1);
	cf_expect_released(cf, 1, 1, 0);
	cf_release(cf, sock, 1, 1);
	cf_expect_not_released(cf, 1);
	cf_update(cf, 1, 2, ALL);
	cf_expect_updated(cf, sock, 1, 2);
	cf_release(cf, sock, 1, 1);
	cf_expect_not_released(cf, 1);
	cf_expect_nothing(cf, sock);
}

/* One that lags gets the newest, with all that changed; it holds up nobody but the guest. */
static void test_coalescing(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int slow = -1, fast = -1;
	const struct virtio_bufshare_rect *damage;
	union cf_message msg;
	uint64_t seq;

	cf_register(cf, 1);
	slow = cf_knows(cf, 1);
	fast = cf_knows(cf, 1);
	for (seq = 1; seq <= 5; seq++) {
		cf_update(cf, 1, seq, rect((uint32_t)seq * 100, 0));
		msg = cf_expect_updated(cf, fast, 1, seq);
		assert_int_equal(le32toh(msg.updated.flags), 0);
		cf_release(cf, fast, 1, seq);
	}
	msg = cf_expect_updated(cf, slow, 1, 1);
	assert_int_equal(le32toh(msg.updated.num_damage), 1);
	cf_expect_nothing(cf, slow);
	cf_expect_not_released(cf, 1);
	cf_release(cf, slow, 1, 1);
	cf_expect_released(cf, 1, 4, 0);
	msg = cf_expect_updated(cf, slow, 1, 5);
	assert_int_equal(le32toh(msg.updated.flags), BUFSHARE_IPC_UPDATED_COALESCED);
	assert_int_equal(le64toh(msg.updated.time_ns), 1005);
	assert_int_equal(le32toh(msg.updated.num_damage), 4);
	damage = (const void *)(msg.raw.bytes + sizeof(msg.updated));
	assert_int_equal(le32toh(damage[0].x), 200);
	assert_int_equal(le32toh(damage[3].x), 500);
	cf_release(cf, slow, 1, 5);
	cf_expect_released(cf, 1, 5, 0);
}

/* It comes while another one holds an update, and is given the next like everybody. */
static void test_subscribe_in_the_middle(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int one = -1, two = -1;
	union cf_message msg;

	cf_register(cf, 1);
	one = cf_knows(cf, 1);
	cf_update(cf, 1, 1, ALL);
	cf_expect_updated(cf, one, 1, 1);
	two = cf_subscriber(cf, "*");
	msg = cf_expect(cf, two, BUFSHARE_IPC_ADDED);
	assert_int_equal(le64toh(msg.added.seq), 1);
	cf_expect(cf, two, BUFSHARE_IPC_SYNCED);
	cf_release(cf, two, 1, 1); /* which it never had */
	cf_expect_not_released(cf, 1);
	cf_release(cf, one, 1, 1);
	cf_expect_released(cf, 1, 1, 0);
	cf_update(cf, 1, 2, ALL);
	cf_expect_updated(cf, one, 1, 2);
	cf_expect_updated(cf, two, 1, 2);
	cf_release(cf, one, 1, 2);
	cf_expect_not_released(cf, 1);
	cf_release(cf, two, 1, 2);
	cf_expect_released(cf, 1, 2, 0);
}

/* It dies, and comes back: another one, who holds nothing. */
static void test_reconnect(void **state)
{
	struct cf *cf = *state;
	int sock;
	uint64_t seq;

	cf_register(cf, 1);
	for (seq = 1; seq <= 5; seq++) {
		sock = cf_knows(cf, 1);
		cf_update(cf, 1, seq, ALL);
		cf_expect_updated(cf, sock, 1, seq);
		cf_expect_not_released(cf, 1);
		close(sock);
		cf_expect_released(cf, 1, seq, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
	}
}

static void test_many_consumers(void **state)
{
	struct cf *cf = *state;
	int socks[4], i;
	uint64_t seq;

	cf_register(cf, 1);
	for (i = 0; i < 4; i++)
		socks[i] = cf_knows(cf, 1);
	for (seq = 1; seq <= 20; seq++) {
		cf_update(cf, 1, seq, ALL);
		for (i = 0; i < 4; i++) {
			cf_expect_not_released(cf, 1);
			cf_expect_updated(cf, socks[i], 1, seq);
			cf_release(cf, socks[i], 1, seq);
		}
		cf_expect_released(cf, 1, seq, 0);
	}
	for (i = 0; i < 4; i++)
		close(socks[i]);
}

/* ---- the end of a buffer ---- */

static void test_unsubscribed_but_mapped(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_subscriber(cf, "*");
	struct virtio_bufshare_event ev;
	unsigned int token;

	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_register(cf, 1);
	cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
	cf_expect_added_id(cf, sock, 1);
	cf_update(cf, 1, 1, ALL);
	cf_expect_updated(cf, sock, 1, 1);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	cf_expect_released(cf, 1, 1, 0); /* it holds nothing any more */
	assert_true(cf_poll_event(cf, VIRTIO_BUFSHARE_EVENT_CONSUMERS, 1, &ev));
	assert_int_equal(le64toh(ev.value), 0); /* nor does it count */
	cf_update(cf, 1, 2, ALL);
	cf_expect_released(cf, 1, 2, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);

	/* But it has the pages, until it says otherwise. */
	token = cf_unregister(cf, 1);
	assert_false(ff_is_used(cf->ff, QUEUE, token));
	cf_expect_nothing(cf, sock); /* it knows that the buffer is gone */
	cf_closed(cf, sock, 2);
	assert_false(ff_is_used(cf->ff, QUEUE, token));
	cf_closed(cf, sock, 1);
	assert_true(ff_is_used(cf->ff, QUEUE, token));
	cf_closed(cf, sock, 1);
	cf_expect_nothing(cf, sock);
}

/* Said before the buffer went, CLOSED means nothing. */
static void test_closed_too_early(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_subscriber(cf, "*");
	unsigned int token;

	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_register(cf, 1);
	cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
	cf_expect_added_id(cf, sock, 1);
	cf_closed(cf, sock, 1);
	token = cf_unregister(cf, 1);
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	assert_false(ff_is_used(cf->ff, QUEUE, token));
	cf_closed(cf, sock, 1);
	assert_true(ff_is_used(cf->ff, QUEUE, token));
}

/* Two ADDED, two REMOVED, two mappings: two CLOSED. */
static void test_subscribed_again_but_mapped(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_subscriber(cf, "*");
	unsigned int token;
	int i;

	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_register(cf, 1);
	cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
	cf_expect_added_id(cf, sock, 1);
	for (i = 0; i < 3; i++) {
		cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
		cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
		cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
		cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
		cf_expect_added_id(cf, sock, 1);
		cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
		cf_update(cf, 1, (uint64_t)i + 1, ALL);
		cf_expect_updated(cf, sock, 1, (uint64_t)i + 1);
	}
	token = cf_unregister(cf, 1);
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	for (i = 0; i < 4; i++) {
		assert_false(ff_is_used(cf->ff, QUEUE, token));
		cf_closed(cf, sock, 1);
	}
	assert_true(ff_is_used(cf->ff, QUEUE, token));
}

/* CLOSED comes when the buffer is in sight again: it is for the first mapping alone. */
static void test_closed_while_subscribed_again(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_subscriber(cf, "*");
	unsigned int token;
	int i;

	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_register(cf, 1);
	cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
	cf_expect_added_id(cf, sock, 1);
	for (i = 0; i < 3; i++) {
		cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
		cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
		cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
		cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
		cf_expect_added_id(cf, sock, 1);
		cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
		cf_closed(cf, sock, 1);
		cf_closed(cf, sock, 1); /* once too often */
	}
	token = cf_unregister(cf, 1);
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	assert_false(ff_is_used(cf->ff, QUEUE, token));
	cf_closed(cf, sock, 1);
	assert_true(ff_is_used(cf->ff, QUEUE, token));
}

/* Its death is as good as CLOSED. */
static void test_dies_with_pages(void **state)
{
	struct cf *cf = *state;
	int sock = cf_subscriber(cf, "*");
	unsigned int token;

	cf_register(cf, 1);
	cf_pump(cf);
	token = cf_unregister(cf, 1);
	assert_false(ff_is_used(cf->ff, QUEUE, token));
	close(sock);
	cf_pump(cf);
	assert_true(ff_is_used(cf->ff, QUEUE, token));
}

static void test_copies_need_no_closed(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	cf_register(cf, 1);
	sock = cf_knows(cf, 1);
	assert_int_equal(cf_unregister_wait(cf, 1), 0);
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	cf_closed(cf, sock, 1);
	cf_expect_nothing(cf, sock);
}

/* ---- why a buffer goes ---- */

static void test_reasons(void **state)
{
	struct cf *cf = *state;
	uint32_t reason;
	int sock = cf_knows(cf, 0);

	for (reason = VIRTIO_BUFSHARE_REASON_UNREGISTERED; reason <= VIRTIO_BUFSHARE_REASON_RESET;
	     reason++) {
		cf_register(cf, 1);
		cf_expect_added_id(cf, sock, 1);
		cf_unregister_for(cf, 1, reason);
		cf_expect_removed(cf, sock, 1, reason);
	}
	close(sock);
}

/* The VMM takes away the memory of one of two buffers. */
static void test_memory_gone(void **state)
{
	struct cf *cf = *state;
	struct vhost_user_mem_table table = { .num_regions = 2 };
	const int fds[] = { cf->ff->ram_fd, cf->ff->ram_fd };
	struct virtio_bufshare_event ev;
	uint64_t high = cf->gpa[0];
	int sock;

	cf_register(cf, 1);
	cf->gpa[0] = ff_alloc_low(cf->ff, 2 * CF_PAGE);
	cf->gpa[1] = ff_alloc_low(cf->ff, CF_PAGE);
	cf_register(cf, 2);
	sock = cf_knows(cf, 2);
	ff_regions(table.regions);
	table.regions[1].size = high - table.regions[1].gpa; /* rings and all, but no buffer */
	assert_int_equal(ff_call(cf->ff, VHOST_USER_SET_MEM_TABLE, &table,
				 offsetof(struct vhost_user_mem_table, regions[2]), fds, 2), 0);
	cf_expect_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_MEMORY);
	cf_expect_nothing(cf, sock);
	ev = cf_event(cf, VIRTIO_BUFSHARE_EVENT_BUFFER_LOST, 1);
	assert_int_equal(le64toh(ev.value), VIRTIO_BUFSHARE_REASON_MEMORY);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cf_setup, cf_teardown)
#define MEMFD(name) cmocka_unit_test_setup_teardown(name, cf_setup_memfd, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_release_what_it_has_not),
		TEST(test_coalescing),
		TEST(test_subscribe_in_the_middle),
		TEST(test_reconnect),
		TEST(test_many_consumers),
		MEMFD(test_unsubscribed_but_mapped),
		MEMFD(test_closed_too_early),
		MEMFD(test_subscribed_again_but_mapped),
		MEMFD(test_closed_while_subscribed_again),
		MEMFD(test_dies_with_pages),
		TEST(test_copies_need_no_closed),
		TEST(test_reasons),
		TEST(test_memory_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
