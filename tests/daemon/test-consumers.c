/* SPDX-License-Identifier: MIT */
/*
 * What consumers are told, by raw messages: who sees what, the release cycle, and those who
 * do not read, do not answer, or say too much.
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
#include "daemon/consumer-fixture.h"

#define QUEUE VIRTIO_BUFSHARE_QUEUE_CONTROL
#define ALL ((struct virtio_bufshare_rect){ 0 })

static struct virtio_bufshare_rect rect(uint32_t x, uint32_t y)
{
	return (struct virtio_bufshare_rect){ x, y, 10, 10 };
}

static void assert_added(struct cf *cf, int sock, uint64_t id)
{
	assert_int_equal(le64toh(cf_expect(cf, sock, BUFSHARE_IPC_ADDED).added.buffer), id);
}

static union cf_message assert_updated(struct cf *cf, int sock, uint64_t id, uint64_t seq)
{
	union cf_message msg = cf_expect(cf, sock, BUFSHARE_IPC_UPDATED);

	assert_int_equal(le64toh(msg.updated.buffer), id);
	assert_int_equal(le64toh(msg.updated.seq), seq);
	return msg;
}

static void assert_removed(struct cf *cf, int sock, uint64_t id, uint32_t reason)
{
	union cf_message msg = cf_expect(cf, sock, BUFSHARE_IPC_REMOVED);

	assert_int_equal(le64toh(msg.removed.buffer), id);
	assert_int_equal(le32toh(msg.removed.reason), reason);
}

static void assert_released(struct cf *cf, uint64_t id, uint64_t seq, uint32_t flags)
{
	struct virtio_bufshare_event ev = cf_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, id);

	assert_int_equal(le64toh(ev.seq), seq);
	assert_int_equal(le32toh(ev.flags), flags);
}

static void assert_not_released(struct cf *cf, uint64_t id)
{
	struct virtio_bufshare_event ev;

	cf_pump(cf);
	assert_false(cf_poll_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, id, &ev));
}

/* Subscribed to everything, and knows buffers 1 to n; in which order does not matter. */
static int knows(struct cf *cf, unsigned int n)
{
	int sock = cf_subscriber(cf, "*");

	while (n--)
		cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	return sock;
}

/* ---- who sees what ---- */

static void test_added(void **state)
{
	static const char both[] = "title=x\0host.scale=2";
	struct cf *cf = *state;
	_cleanup_close_ int one = knows(cf, 0), two = -1, fd = -1;
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
	assert_updated(cf, one, 7, 5);
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
				assert_added(cf, sock, j + 1);
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
	assert_added(cf, sock, 1);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	assert_added(cf, sock, 2);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "never said");
	cf_expect_nothing(cf, sock);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
	assert_removed(cf, sock, 2, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	cf_expect_nothing(cf, sock);
	cf_update(cf, 2, 1, ALL);
	assert_released(cf, 2, 1, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	cf_expect_nothing(cf, sock);
	cf_update(cf, 1, 1, ALL);
	assert_updated(cf, sock, 1, 1);
}

static void test_nothing_subscribed(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf);

	cf_register(cf, 1);
	cf_update(cf, 1, 1, ALL);
	assert_released(cf, 1, 1, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
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

/* ---- the release cycle ---- */

static void test_release_what_it_has_not(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	cf_register(cf, 1);
	cf_register(cf, 2);
	sock = knows(cf, 2);
	cf_release(cf, sock, 1, 1);
	cf_update(cf, 1, 1, ALL);
	assert_updated(cf, sock, 1, 1);
	cf_release(cf, sock, 1, 0);
	cf_release(cf, sock, 1, 2);
	cf_release(cf, sock, 2, 1);
	cf_release(cf, sock, 3, 1);
	cf_release(cf, sock, UINT64_MAX, UINT64_MAX);
	assert_not_released(cf, 1);
	cf_release(cf, sock, 1, 1);
	assert_released(cf, 1, 1, 0);
	cf_release(cf, sock, 1, 1);
	assert_not_released(cf, 1);
	cf_update(cf, 1, 2, ALL);
	assert_updated(cf, sock, 1, 2);
	cf_release(cf, sock, 1, 1);
	assert_not_released(cf, 1);
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
	slow = knows(cf, 1);
	fast = knows(cf, 1);
	for (seq = 1; seq <= 5; seq++) {
		cf_update(cf, 1, seq, rect((uint32_t)seq * 100, 0));
		msg = assert_updated(cf, fast, 1, seq);
		assert_int_equal(le32toh(msg.updated.flags), 0);
		cf_release(cf, fast, 1, seq);
	}
	msg = assert_updated(cf, slow, 1, 1);
	assert_int_equal(le32toh(msg.updated.num_damage), 1);
	cf_expect_nothing(cf, slow);
	assert_not_released(cf, 1);
	cf_release(cf, slow, 1, 1);
	assert_released(cf, 1, 4, 0);
	msg = assert_updated(cf, slow, 1, 5);
	assert_int_equal(le32toh(msg.updated.flags), BUFSHARE_IPC_UPDATED_COALESCED);
	assert_int_equal(le64toh(msg.updated.time_ns), 1005);
	assert_int_equal(le32toh(msg.updated.num_damage), 4);
	damage = (const void *)(msg.raw.bytes + sizeof(msg.updated));
	assert_int_equal(le32toh(damage[0].x), 200);
	assert_int_equal(le32toh(damage[3].x), 500);
	cf_release(cf, slow, 1, 5);
	assert_released(cf, 1, 5, 0);
}

/* It comes while another one holds an update, and is given the next like everybody. */
static void test_subscribe_in_the_middle(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int one = -1, two = -1;
	union cf_message msg;

	cf_register(cf, 1);
	one = knows(cf, 1);
	cf_update(cf, 1, 1, ALL);
	assert_updated(cf, one, 1, 1);
	two = cf_subscriber(cf, "*");
	msg = cf_expect(cf, two, BUFSHARE_IPC_ADDED);
	assert_int_equal(le64toh(msg.added.seq), 1);
	cf_expect(cf, two, BUFSHARE_IPC_SYNCED);
	cf_release(cf, two, 1, 1); /* which it never had */
	assert_not_released(cf, 1);
	cf_release(cf, one, 1, 1);
	assert_released(cf, 1, 1, 0);
	cf_update(cf, 1, 2, ALL);
	assert_updated(cf, one, 1, 2);
	assert_updated(cf, two, 1, 2);
	cf_release(cf, one, 1, 2);
	assert_not_released(cf, 1);
	cf_release(cf, two, 1, 2);
	assert_released(cf, 1, 2, 0);
}

/* It dies, and comes back: another one, who holds nothing. */
static void test_reconnect(void **state)
{
	struct cf *cf = *state;
	int sock;
	uint64_t seq;

	cf_register(cf, 1);
	for (seq = 1; seq <= 5; seq++) {
		sock = knows(cf, 1);
		cf_update(cf, 1, seq, ALL);
		assert_updated(cf, sock, 1, seq);
		assert_not_released(cf, 1);
		close(sock);
		assert_released(cf, 1, seq, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
	}
}

static void test_many_consumers(void **state)
{
	struct cf *cf = *state;
	int socks[4], i;
	uint64_t seq;

	cf_register(cf, 1);
	for (i = 0; i < 4; i++)
		socks[i] = knows(cf, 1);
	for (seq = 1; seq <= 20; seq++) {
		cf_update(cf, 1, seq, ALL);
		for (i = 0; i < 4; i++) {
			assert_not_released(cf, 1);
			assert_updated(cf, socks[i], 1, seq);
			cf_release(cf, socks[i], 1, seq);
		}
		assert_released(cf, 1, seq, 0);
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
	assert_added(cf, sock, 1);
	cf_update(cf, 1, 1, ALL);
	assert_updated(cf, sock, 1, 1);
	cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
	assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	assert_released(cf, 1, 1, 0); /* it holds nothing any more */
	assert_true(cf_poll_event(cf, VIRTIO_BUFSHARE_EVENT_CONSUMERS, 1, &ev));
	assert_int_equal(le64toh(ev.value), 0); /* nor does it count */
	cf_update(cf, 1, 2, ALL);
	assert_released(cf, 1, 2, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);

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
	assert_added(cf, sock, 1);
	cf_closed(cf, sock, 1);
	token = cf_unregister(cf, 1);
	assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
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
	assert_added(cf, sock, 1);
	for (i = 0; i < 3; i++) {
		cf_subscribe(cf, sock, BUFSHARE_IPC_UNSUBSCRIBE, "*");
		assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
		cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
		cf_expect(cf, sock, BUFSHARE_IPC_RANGES);
		assert_added(cf, sock, 1);
		cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
		cf_update(cf, 1, (uint64_t)i + 1, ALL);
		assert_updated(cf, sock, 1, (uint64_t)i + 1);
	}
	token = cf_unregister(cf, 1);
	assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	for (i = 0; i < 4; i++) {
		assert_false(ff_is_used(cf->ff, QUEUE, token));
		cf_closed(cf, sock, 1);
	}
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
	sock = knows(cf, 1);
	assert_int_equal(cf_unregister_wait(cf, 1), 0);
	assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	cf_closed(cf, sock, 1);
	cf_expect_nothing(cf, sock);
}

/* ---- those who do not read ---- */

/* Whatever happened meanwhile, the newest of it comes, and that once. */
static void test_full_socket(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1, other = -1;
	union cf_message msg;
	uint64_t seq;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	other = knows(cf, 1);
	for (seq = 1; seq <= 2000; seq++) {
		cf_update(cf, 1, seq, rect((uint32_t)(seq % 4) * 100, 0));
		assert_updated(cf, other, 1, seq);
		cf_release(cf, other, 1, seq);
	}
	assert_not_released(cf, 1);
	msg = cf_skip_to(cf, sock, BUFSHARE_IPC_UPDATED);
	assert_int_equal(le64toh(msg.updated.seq), 2000);
	assert_int_equal(le32toh(msg.updated.flags), BUFSHARE_IPC_UPDATED_COALESCED);
	assert_int_equal(le32toh(msg.updated.num_damage), 4);
	cf_expect_nothing(cf, sock);
	cf_release(cf, sock, 1, 2000);
	assert_released(cf, 1, 2000, 0);
}

/* All changes of properties while there was no room come as one. */
static void test_full_properties(void **state)
{
	static const char expected[] = "gone\0height=3\0title=z";
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;
	char block[32];
	int i, n = 0;

	cf_register_as(cf, 1, CF_APPLICATION, "gone=1\0title=x", sizeof("gone=1\0title=x"));
	sock = cf_full(cf, 1);
	for (i = 0; i < 1000; i++)
		cf_set_properties(cf, 1, block, (size_t)sprintf(block, "title=%d", i) + 1);
	cf_set_properties(cf, 1, "gone\0never=1", sizeof("gone\0never=1"));
	cf_set_properties(cf, 1, "never\0height=3\0title=z", sizeof("never\0height=3\0title=z"));
	for (;;) {
		msg = cf_expect(cf, sock, BUFSHARE_IPC_PROPERTIES);
		assert_true(++n < 64);
		if (le32toh(msg.properties.properties_size) == sizeof(expected))
			break;
	}
	assert_memory_equal(msg.raw.bytes + sizeof(msg.properties), expected, sizeof(expected));
	cf_expect_nothing(cf, sock);
}

/* More changed than one message has room for. */
static void test_full_properties_all_change(void **state)
{
	char old[60 * 44], new[60 * 44], *p = old, *q = new;
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	struct props known = { 0 };
	union cf_message msg;
	int i, fd, r;

	for (i = 0; i < 60; i++) {
		p += sprintf(p, "old.name.that.is.rather.long.%02d=0123456789", i) + 1;
		q += sprintf(q, "new.name.that.is.rather.long.%02d=9876543210", i) + 1;
	}
	cf_register_as(cf, 1, CF_APPLICATION, old, (size_t)(p - old));
	assert_int_equal(props_apply(&known, old, (size_t)(p - old)), 0);
	sock = cf_full(cf, 1);
	for (i = 0; i < 60; i++) {
		char name[64];

		snprintf(name, sizeof(name), "old.name.that.is.rather.long.%02d", i);
		cf_set_properties(cf, 1, name, strlen(name) + 1);
	}
	cf_set_properties(cf, 1, "title", sizeof("title"));
	cf_set_properties(cf, 1, new, (size_t)(q - new));
	while ((r = cf_next(cf, sock, &msg, &fd)) > 0) {
		const char *block = msg.raw.bytes + sizeof(msg.properties);
		size_t size = le32toh(msg.properties.properties_size);

		assert_int_equal(r, BUFSHARE_IPC_PROPERTIES);
		assert_int_equal(props_check_block(block, size, PROPS_GUEST | PROPS_REMOVALS), 0);
		assert_int_equal(props_apply(&known, block, size), 0);
	}
	assert_int_equal(known.n, 60);
	assert_string_equal(props_get(&known, "new.name.that.is.rather.long.59"), "9876543210");
	props_clear(&known);
}

/* Buffers that came and went meanwhile never were. */
static void test_full_come_and_go(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;
	uint64_t id;
	int r, fd;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	for (id = 2; id < 500; id++) {
		cf_register(cf, id);
		cf_update(cf, id, 1, ALL);
		cf_unregister_wait(cf, id);
	}
	cf_register(cf, 1000);
	cf_unregister_wait(cf, 1); /* of this one it knows */
	do {
		fd = -1;
		r = cf_next(cf, sock, &msg, &fd);
		if (fd >= 0)
			close(fd);
	} while (r == BUFSHARE_IPC_PROPERTIES);
	/* In the order in which they began to wait. */
	if (r == BUFSHARE_IPC_REMOVED) {
		assert_int_equal(le64toh(msg.removed.buffer), 1);
		assert_added(cf, sock, 1000);
	} else {
		assert_int_equal(r, BUFSHARE_IPC_ADDED);
		assert_int_equal(le64toh(msg.added.buffer), 1000);
		assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	}
	cf_expect_nothing(cf, sock);
}

/* A thousand buffers are told to one that has room for three messages at a time. */
static void test_narrow_socket_many_buffers(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect_narrow(cf);
	uint64_t id;

	for (id = 1; id <= 1000; id++)
		cf_register(cf, id);
	cf_send(cf, sock, &hello, sizeof(hello));
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	for (id = 1; id <= 1000; id++)
		assert_added(cf, sock, id);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	for (id = 1; id <= 1000; id++)
		cf_update(cf, id, 1, ALL);
	for (id = 1; id <= 1000; id++)
		assert_updated(cf, sock, id, 1);
	cf_expect_nothing(cf, sock);
}

/* RANGES is followed by its ADDED, whatever room there is and whatever happens. */
static void test_narrow_socket_ranges(void **state)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_connect_narrow(cf);
	union cf_message ranges, added;
	uint64_t id;

	for (id = 1; id <= 20; id++)
		cf_register(cf, id);
	cf_send(cf, sock, &hello, sizeof(hello));
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	for (id = 1; id <= 20; id++)
		cf_update(cf, id, 1, ALL);
	for (id = 11; id <= 20; id++)
		cf_unregister(cf, id);
	cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	for (id = 1; id <= 10; id++) {
		ranges = cf_skip_to(cf, sock, BUFSHARE_IPC_RANGES);
		added = cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
		assert_true(ranges.ranges.buffer == added.added.buffer);
	}
}

/* Questions without end, and no answer is ever read: it is not listened to any more. */
static void test_asks_and_does_not_read(void **state)
{
	struct bufshare_ipc_ping ping = { 0 };
	struct cf *cf = *state;
	_cleanup_close_ int sock = cf_hello(cf), other = cf_hello(cf);
	union cf_message msg;
	uint64_t sent = 0, got;
	int fd;

	ipc_header(&ping, BUFSHARE_IPC_PING, sizeof(ping));
	for (;;) {
		ping.cookie = htole64(sent);
		if (send(sock, &ping, sizeof(ping), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		sent++;
		if (sent % 16 == 0)
			cf_pump(cf);
		assert_true(sent < 100000);
	}
	assert_int_equal(errno, EAGAIN);
	cf_expect_nothing(cf, other);

	/* And when it reads, all are answered, in order. */
	for (got = 0; got < sent; got++) {
		assert_int_equal(cf_next(cf, sock, &msg, &fd), BUFSHARE_IPC_PONG);
		assert_int_equal(le64toh(msg.pong.cookie), got);
	}
	cf_expect_nothing(cf, sock);
}

/* One that does not read anything and goes leaves nothing behind (fd_leak, sanitizers). */
static void test_full_and_gone(void **state)
{
	struct cf *cf = *state;
	uint64_t id;
	int sock;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	for (id = 2; id < 20; id++)
		cf_register(cf, id);
	cf_unregister_wait(cf, 1);
	cf_update(cf, 2, 1, ALL);
	close(sock);
	assert_released(cf, 2, 1, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
}

/* What it said before it left counts, though nobody hears the answers. */
static void test_last_words(void **state)
{
	static const char block[] = "host.scale=2";
	const struct bufshare_ipc_hello hello = cf_make_hello();
	const struct bufshare_ipc_subscribe subscribe =
		cf_make_subscribe(BUFSHARE_IPC_SUBSCRIBE, "*");
	struct cf *cf = *state;
	int sock = cf_connect(cf);
	union ipc_message set;
	size_t size = cf_make_set_properties(&set, 1, block, sizeof(block));

	cf_register(cf, 1);
	assert_int_equal(send(sock, &hello, sizeof(hello), 0), sizeof(hello));
	assert_int_equal(send(sock, &subscribe, sizeof(subscribe), 0), sizeof(subscribe));
	assert_int_equal(send(sock, &set, size, 0), size);
	close(sock);
	cf_event(cf, VIRTIO_BUFSHARE_EVENT_PROPERTIES, 1);
}

/* One that will never read is not waited for, with time enough to hold an update for ever. */
static void test_shut_down_for_reading(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	cf_register(cf, 1);
	sock = knows(cf, 1);
	shutdown(sock, SHUT_RD);
	cf_update(cf, 1, 1, ALL);
	assert_released(cf, 1, 1, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
}

/* ---- the guest's state ---- */

static void test_states(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;

	cf_register(cf, 1);
	sock = knows(cf, 1);
	ff_stop(cf->ff);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_SUSPENDED);
	assert_int_equal(le64toh(msg.state.epoch), cf->epoch);
	ff_resume(cf->ff);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_RUNNING);
	cf_update(cf, 1, 1, ALL);
	assert_updated(cf, sock, 1, 1);

	cf->ff = ff_free(cf->ff);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_SUSPENDED);
	assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_RESET);
	msg = cf_expect(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_GONE);
	cf_expect_nothing(cf, sock);
}

/* Of all the states that were while there was no room, the last one; and what is void. */
static void test_full_states(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;
	union cf_message msg;
	int i;

	cf_register(cf, 1);
	sock = cf_full(cf, 1);
	for (i = 0; i < 100; i++) {
		ff_stop(cf->ff);
		ff_resume(cf->ff);
	}
	msg = cf_skip_to(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_RUNNING);
	cf_expect_nothing(cf, sock);
	close(sock);

	sock = cf_full(cf, 1);
	cf->ff = ff_free(cf->ff);
	msg = cf_skip_to(cf, sock, BUFSHARE_IPC_STATE);
	assert_int_equal(le32toh(msg.state.state), BUFSHARE_IPC_STATE_GONE);
	cf_expect_nothing(cf, sock);
}

/* ---- counters ---- */

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
	slow = knows(cf, 1);
	fast = knows(cf, 1);
	for (seq = 1; seq <= 5; seq++) {
		cf_update(cf, 1, seq, ALL);
		assert_updated(cf, fast, 1, seq);
		cf_release(cf, fast, 1, seq);
	}
	assert_updated(cf, slow, 1, 1);
	cf_release(cf, slow, 1, 1);
	assert_updated(cf, slow, 1, 5);
	cf_update(cf, 1, 6, ALL);
	assert_updated(cf, fast, 1, 6);

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
	sock = knows(cf, 10);
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
	sock = knows(cf, 1);
	cf_update(cf, 1, 1, ALL);
	assert_updated(cf, sock, 1, 1);
	cf_release(cf, sock, 1, 1);
	cf_unregister_wait(cf, 1);
	assert_removed(cf, sock, 1, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
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
#define MEMFD(name) cmocka_unit_test_setup_teardown(name, cf_setup_memfd, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_added),
		TEST(test_patterns),
		TEST(test_told_once),
		TEST(test_nothing_subscribed),
		TEST(test_too_many_patterns),
		TEST(test_too_many_consumers),
		TEST(test_release_what_it_has_not),
		TEST(test_coalescing),
		TEST(test_subscribe_in_the_middle),
		TEST(test_reconnect),
		TEST(test_many_consumers),
		MEMFD(test_unsubscribed_but_mapped),
		MEMFD(test_closed_too_early),
		MEMFD(test_subscribed_again_but_mapped),
		MEMFD(test_dies_with_pages),
		TEST(test_copies_need_no_closed),
		TEST(test_full_socket),
		TEST(test_full_properties),
		TEST(test_full_properties_all_change),
		TEST(test_full_come_and_go),
		TEST(test_narrow_socket_many_buffers),
		MEMFD(test_narrow_socket_ranges),
		TEST(test_asks_and_does_not_read),
		TEST(test_full_and_gone),
		TEST(test_last_words),
		TEST(test_shut_down_for_reading),
		TEST(test_states),
		TEST(test_full_states),
		TEST(test_stats),
		TEST(test_stats_of_the_slow),
		TEST(test_stats_of_the_past),
		TEST(test_stats_without_capability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
