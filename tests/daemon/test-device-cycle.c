/* SPDX-License-Identifier: MIT */
/*
 * The device model: the release cycle, events that wait for room, properties, buffers that
 * are lost, and the remaining commands.
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
#include "daemon/device-fixture.h"

/* ---- updates ---- */

static void test_update_wrong(void **state)
{
	struct world *w = *state;
	struct {
		struct virtio_bufshare_update hdr;
		struct virtio_bufshare_rect rect[17];
	} req, right = {
		.hdr = {
			.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UPDATE),
			.buffer = htole64(1),
			.seq = htole64(1),
			.num_damage = htole32(1),
		},
		.rect = { { 0, 0, htole32(1), htole32(1) } },
	};
	const size_t size = sizeof(right.hdr) + sizeof(right.rect[0]);

	registered(w, 1);
	req = right;
	assert_int_equal(command(w, &req, size - 1), INVALID);
	assert_int_equal(command(w, &req, size + 1), INVALID);
	req.hdr.reserved = htole32(1);
	assert_int_equal(command(w, &req, size), INVALID);
	req = right;
	req.hdr.buffer = htole64(2);
	assert_int_equal(command(w, &req, size), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
	req = right;
	req.hdr.seq = 0;
	assert_int_equal(command(w, &req, size), INVALID);
	req = right;
	req.rect[0].width = 0;
	assert_int_equal(command(w, &req, size), INVALID);
	req = right;
	req.rect[0].height = 0;
	assert_int_equal(command(w, &req, size), INVALID);
	req = right;
	req.hdr.num_damage = htole32(17);
	assert_int_equal(command(w, &req, sizeof(req)), LIMIT);
	assert_int_equal(command(w, &right, size), OK);
	assert_int_equal(command(w, &right, size), INVALID); /* not a second time */
}

static void test_update_unseen(void **state)
{
	struct world *w = *state;
	uint32_t flags;

	registered(w, 1);
	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_int_equal(released(w, &flags), 1);
	assert_int_equal(flags, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	assert_int_equal(w->refreshes, 0); /* nobody needs a copy */
}

static void test_release_cycle(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *one = attach(w, b, false), *two = attach(w, b, false);
	uint32_t flags;

	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_int_equal(one->held, 1);
	assert_int_equal(two->held, 1);
	dev_release(one, 1);
	assert_int_equal(released(w, &flags), 0);
	dev_release(one, 1); /* twice does nothing */
	dev_release(two, 7); /* nor what it never had */
	assert_int_equal(released(w, &flags), 0);
	dev_release(two, 1);
	assert_int_equal(released(w, &flags), 1);
	assert_int_equal(flags, 0);
	dev_detach(one, false);
	dev_detach(two, false);
}

/* One that lags gets the newest with all the damage, and holds nobody else up. */
static void test_coalescing(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *slow = attach(w, b, false), *fast = attach(w, b, false);
	uint32_t flags;
	uint64_t seq;

	for (seq = 1; seq <= 5; seq++) {
		assert_int_equal(update(w, 1, seq, (uint32_t)seq * 100), OK);
		assert_int_equal(fast->held, seq);
		dev_release(fast, seq);
	}
	assert_int_equal(slow->held, 1);
	assert_int_equal(released(w, &flags), 0);
	dev_release(slow, 1);
	assert_int_equal(released(w, &flags), 4); /* it holds the fifth alone */
	assert_int_equal(slow->held, 5);
	assert_int_equal(w->delivered_seq, 5);
	assert_int_equal(w->delivered.n, 4);
	assert_int_equal(w->delivered.v[0].x, 200);
	assert_int_equal(slow->coalesced, 3);
	dev_release(slow, 5);
	assert_int_equal(released(w, &flags), 5);
	dev_detach(slow, false);
	dev_detach(fast, false);
}

static void test_consumer_gone(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *slot = attach(w, b, false);
	uint32_t flags;

	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_int_equal(released(w, &flags), 0);
	dev_detach(slot, true);
	assert_int_equal(released(w, &flags), 1);
	assert_int_equal(flags, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
}

/* A consumer whose socket is full is still to be given the update. */
static void test_no_room(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *slot = attach(w, b, false);
	uint32_t flags;

	w->no_room = true;
	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_int_equal(slot->held, 0);
	assert_int_equal(released(w, &flags), 0);
	w->no_room = false;
	dev_flush(slot);
	assert_int_equal(slot->held, 1);
	dev_release(slot, 1);
	assert_int_equal(released(w, &flags), 1);
	dev_detach(slot, false);
}

/* A million updates that nobody is told of are one event. */
static void test_events_are_state(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_event ev;
	uint32_t flags;
	uint64_t seq;

	registered(w, 1);
	for (seq = 1; seq <= 1000; seq++)
		assert_int_equal(update(w, 1, seq, 0), OK);
	assert_int_equal(released(w, &flags), 1000);
	assert_false(dev_next_event(&w->dev, &ev));
}

static void test_late_consumer(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *slot;

	assert_int_equal(update(w, 1, 1, 0), OK);
	slot = attach(w, b, false);
	assert_int_equal(w->refreshes, 1); /* now somebody needs the contents */
	assert_int_equal(slot->held, 0);
	dev_detach(slot, false);
}

static void test_damage_box(void **state)
{
	struct dev_damage damage = { 0 }, one = { .n = 1 };
	static const struct dev_damage all = { .all = true };
	uint32_t i;

	for (i = 0; i < 17; i++) {
		one.v[0] = (struct dev_rect){ i * 10, i, 5, 5 };
		dev_damage_add(&damage, &one);
		if (i == 3)
			dev_damage_add(&damage, &one); /* what is there already adds nothing */
	}
	assert_int_equal(damage.n, 1);
	assert_int_equal(damage.v[0].x, 0);
	assert_int_equal(damage.v[0].width, 165);
	assert_int_equal(damage.v[0].height, 21);
	dev_damage_add(&damage, &all);
	assert_true(damage.all);
	dev_damage_add(&damage, &one);
	assert_true(damage.all);
}

/* ---- the rest ---- */

static void test_properties(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct {
		struct virtio_bufshare_set_properties hdr;
		char block[8];
	} req = {
		.hdr = {
			.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES),
			.buffer = htole64(1),
			.properties_size = htole32(8),
		},
		.block = "a=1\0b=2",
	};
	const size_t size = sizeof(req.hdr) + 8;

	assert_int_equal(command(w, &req, size), OK);
	assert_string_equal(props_get(&b->guest, "b"), "2");
	assert_int_equal(command(w, &req, size - 1), INVALID);
	req.hdr.reserved = 1;
	assert_int_equal(command(w, &req, size), INVALID);
	req.hdr.reserved = 0;
	req.hdr.buffer = htole64(2);
	assert_int_equal(command(w, &req, size), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
	req.hdr.buffer = htole64(1);
	memcpy(req.block, "A=1\0b=2", 8);
	assert_int_equal(command(w, &req, size), INVALID);
	memcpy(req.block, "a\0b=999", 8);
	assert_int_equal(command(w, &req, size), OK);
	assert_null(props_get(&b->guest, "a"));
}

static void test_host_properties(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	const struct virtio_bufshare_named req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_GET_PROPERTIES),
		.buffer = htole64(1),
	};
	struct virtio_bufshare_event ev;

	assert_int_equal(dev_set_host_properties(b, "host.a=1", 9), 0);
	assert_true(dev_next_event(&w->dev, &ev));
	assert_int_equal(le32toh(ev.type), VIRTIO_BUFSHARE_EVENT_PROPERTIES);
	assert_int_equal(le64toh(ev.value), 1);
	assert_int_equal(command(w, &req, sizeof(req)), OK);
	assert_int_equal(le32toh(w->answer.properties.properties_size), 9);
	assert_string_equal(w->answer.bytes + sizeof(w->answer.properties), "host.a=1");
	assert_int_equal(command(w, &req, sizeof(req) + 8), INVALID);
}

/* Both sides' properties go into one message to a consumer: the limit is for their sum. */
static void test_properties_of_both_sides(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct {
		struct virtio_bufshare_set_properties hdr;
		char block[2 * 1000];
	} req = {
		.hdr = {
			.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES),
			.buffer = htole64(1),
			.properties_size = htole32(2000),
		},
	};
	char host[1000];

	memset(req.block, 'x', sizeof(req.block));
	memcpy(req.block, "a=", 2);
	memcpy(req.block + 1000, "b=", 2);
	req.block[999] = req.block[1999] = '\0';
	memset(host, 'y', sizeof(host));
	memcpy(host, "host.a=", 7);
	host[999] = '\0';
	assert_int_equal(dev_set_host_properties(b, host, sizeof(host)), 0);
	assert_int_equal(command(w, &req, sizeof(req.hdr) + 2000), OK);
	host[5] = 'b';
	assert_int_equal(dev_set_host_properties(b, host, sizeof(host)), -ENOSPC);
	assert_null(props_get(&b->host, "host.b"));
	req.block[0] = 'c';
	req.block[1000] = 'd';
	assert_int_equal(command(w, &req, sizeof(req.hdr) + 2000), LIMIT);
	assert_null(props_get(&b->guest, "c"));
}

/* The limits of this device, which are below those of the interface. */
static void test_properties_limits(void **state)
{
	struct world *w = *state;
	struct {
		struct virtio_bufshare_set_properties hdr;
		char block[64];
	} req = { .hdr = { .hdr = hdr(w, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES), .buffer = htole64(1) } };
	struct dev_buffer *b;
	struct reg r = good(w, 1);

	w->dev.limits.max_properties = 1;
	assert_int_equal(send_register(w, &r), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_PROPERTIES);
	w->dev.limits.max_properties = 3;
	w->dev.limits.max_properties_size = sizeof(r.properties) - 2;
	assert_int_equal(send_register(w, &r), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE);
	w->dev.limits.max_properties_size = sizeof(r.properties) + 9;
	b = registered(w, 1);

	assert_int_equal(dev_set_host_properties(b, "host.a=1", 9), 0);
	assert_int_equal(dev_set_host_properties(b, "host.b=1", 9), -ENOSPC);
	req.hdr.properties_size = htole32(4);
	memcpy(req.block, "c=1", 4);
	assert_int_equal(command(w, &req, sizeof(req.hdr) + 4), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_PROPERTIES);
	req.hdr.properties_size = htole32(12);
	memcpy(req.block, "width=00640", 12);
	assert_int_equal(command(w, &req, sizeof(req.hdr) + 12), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE);
}

static void test_reset_waits(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_reset req = { .hdr = hdr(w, VIRTIO_BUFSHARE_CMD_RESET) };
	struct dev_slot *slot = attach(w, registered(w, 1), true);
	unsigned int answers;

	registered(w, 2);
	answers = w->answers;
	dev_command(&w->dev, w, &req, sizeof(req));
	assert_int_equal(w->answers, answers);
	dev_detach(slot, false);
	assert_int_equal(w->answers, answers + 1);
}

static void test_reset(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_reset req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_RESET),
		.application = "other.app",
	};

	registered(w, 1);
	registered(w, 2);
	assert_int_equal(command(w, &req, sizeof(req) - 1), INVALID);
	assert_int_equal(command(w, &req, sizeof(req)), OK);
	assert_int_equal(w->dev.num_buffers, 2);
	memset(req.application, 0, sizeof(req.application));
	assert_int_equal(command(w, &req, sizeof(req)), OK);
	assert_int_equal(w->dev.num_buffers, 0);
	assert_int_equal(w->removed_reason, VIRTIO_BUFSHARE_REASON_RESET);
}

static void test_query_and_ping(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_named query = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_QUERY),
		.buffer = htole64(1),
	};
	const struct virtio_bufshare_ping ping = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_PING),
		.cookie = htole64(42),
	};

	registered(w, 1);
	assert_int_equal(update(w, 1, 3, 0), OK);
	assert_int_equal(command(w, &query, sizeof(query)), OK);
	assert_int_equal(le64toh(w->answer.query.seq), 3);
	assert_int_equal(le64toh(w->answer.query.released), 3);
	query.buffer = htole64(9);
	assert_int_equal(command(w, &query, sizeof(query)), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
	assert_int_equal(command(w, &query, sizeof(query) - 1), INVALID);
	assert_int_equal(command(w, &ping, sizeof(ping)), OK);
	assert_int_equal(le64toh(w->answer.ping.cookie), 42);
	assert_int_equal(command(w, &ping, sizeof(ping) - 1), INVALID);
}

/* ---- lost buffers ---- */

static uint32_t query(struct world *w, uint64_t id)
{
	const struct virtio_bufshare_named req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_QUERY),
		.buffer = htole64(id),
	};

	return command(w, &req, sizeof(req));
}

static void test_lost(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct virtio_bufshare_event ev;
	struct reg again = good(w, 1);
	struct dev_slot *slot;

	slot = attach(w, b, false);
	assert_int_equal(update(w, 1, 1, 0), OK);
	dev_lost(b, VIRTIO_BUFSHARE_REASON_MEMORY);
	dev_lost(b, VIRTIO_BUFSHARE_REASON_HOST); /* which it can not be twice */

	/* Consumers are told, and give nothing back but what they have of it. */
	assert_int_equal(w->removals, 1);
	assert_int_equal(w->removed_reason, VIRTIO_BUFSHARE_REASON_MEMORY);
	assert_int_equal(slot->held, 0);
	dev_detach(slot, false);
	assert_true(TAILQ_EMPTY(&w->dev.buffers));
	assert_int_equal(w->drops, 1); /* nor does the device touch its memory */

	/* The guest is told, of nothing else. */
	assert_true(dev_next_event(&w->dev, &ev));
	assert_int_equal(le32toh(ev.type), VIRTIO_BUFSHARE_EVENT_BUFFER_LOST);
	assert_int_equal(le64toh(ev.value), VIRTIO_BUFSHARE_REASON_MEMORY);
	assert_false(dev_next_event(&w->dev, &ev));

	/* It keeps its id, for UNREGISTER alone. */
	assert_int_equal(update(w, 1, 2, 0), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
	assert_int_equal(query(w, 1), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
	assert_int_equal(send_register(w, &again), VIRTIO_BUFSHARE_STATUS_EXISTS);
	assert_int_equal(unregister(w, 1), OK);
	assert_int_equal(w->answer.unregistered.flags, 0);
	assert_int_equal(w->removals, 1);
	assert_int_equal(unregister(w, 1), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
	assert_int_equal(w->dev.num_buffers, 0);
	assert_int_equal(w->dev.total_size, 0);
}

/* UNREGISTER waits for whoever still has the pages, as that of any other buffer. */
static void test_lost_and_mapped(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(1),
	};
	struct dev_slot *early = attach(w, registered(w, 1), true);
	struct dev_slot *late = attach(w, dev_find(&w->dev, 1), true);
	struct virtio_bufshare_event ev;
	unsigned int answers;

	assert_int_equal(update(w, 1, 1, 0), OK);
	dev_lost(dev_find(&w->dev, 1), VIRTIO_BUFSHARE_REASON_MEMORY);
	dev_release(early, 1); /* what crosses with REMOVED does nothing */
	assert_int_equal(dev_set_host_properties(early->buffer, "host.a=1", 9), 0);
	dev_detach(early, false);
	assert_int_equal(w->drops, 0);
	assert_true(dev_next_event(&w->dev, &ev));
	assert_int_equal(le32toh(ev.type), VIRTIO_BUFSHARE_EVENT_BUFFER_LOST);
	assert_false(dev_next_event(&w->dev, &ev));

	answers = w->answers;
	dev_command(&w->dev, w, &req, sizeof(req));
	assert_int_equal(w->answers, answers);
	dev_detach(late, true);
	assert_int_equal(w->answers, answers + 1);
	assert_int_equal(w->drops, 1);
}

static void test_lost_and_reset(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_reset req = { .hdr = hdr(w, VIRTIO_BUFSHARE_CMD_RESET) };
	struct virtio_bufshare_event ev;

	dev_lost(registered(w, 1), VIRTIO_BUFSHARE_REASON_MEMORY);
	assert_int_equal(command(w, &req, sizeof(req)), OK);
	assert_int_equal(w->dev.num_buffers, 0);
	assert_false(dev_next_event(&w->dev, &ev));
	dev_lost(registered(w, 2), VIRTIO_BUFSHARE_REASON_MEMORY);
	assert_int_equal(init(w, 0), OK);
	assert_int_equal(w->dev.num_buffers, 0);
	assert_false(dev_next_event(&w->dev, &ev));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_update_wrong),
		TEST(test_update_unseen),
		TEST(test_release_cycle),
		TEST(test_coalescing),
		TEST(test_consumer_gone),
		TEST(test_no_room),
		TEST(test_events_are_state),
		TEST(test_late_consumer),
		TEST(test_damage_box),
		TEST(test_properties),
		TEST(test_host_properties),
		TEST(test_properties_of_both_sides),
		TEST(test_properties_limits),
		TEST(test_reset_waits),
		TEST(test_reset),
		TEST(test_query_and_ping),
		TEST(test_lost),
		TEST(test_lost_and_mapped),
		TEST(test_lost_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
