/* SPDX-License-Identifier: MIT */
/*
 * The device model while exports and copies take time: commands keep their order, and
 * nobody sees, or writes over, a copy that is not complete.
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

/* ---- buffers that are being made ---- */

/* A command whose answer is due. */
static void send_later(struct world *w, const void *request, size_t size)
{
	const unsigned int before = w->answers;

	dev_command(&w->dev, w, request, size);
	assert_int_equal(w->answers, before);
}

static struct dev_buffer *making(struct world *w, uint64_t id)
{
	const struct reg r = good(w, id);

	w->export_status = DEV_LATER;
	send_later(w, &r, offsetof(struct reg, properties) + sizeof(r.properties));
	w->export_status = OK;
	assert_non_null(dev_find(&w->dev, id));
	return dev_find(&w->dev, id);
}

static struct virtio_bufshare_update make_update(struct world *w, uint64_t id, uint64_t seq)
{
	return (struct virtio_bufshare_update){
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UPDATE),
		.buffer = htole64(id),
		.seq = htole64(seq),
	};
}

static struct virtio_bufshare_unregister make_unregister(struct world *w, uint64_t id)
{
	return (struct virtio_bufshare_unregister){
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(id),
	};
}

static void test_register(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = making(w, 1);
	struct reg again = good(w, 1);

	/* Others go on, and the id is taken. */
	registered(w, 2);
	assert_int_equal(send_register(w, &again), VIRTIO_BUFSHARE_STATUS_EXISTS);
	assert_int_equal(w->dev.num_buffers, 2);

	dev_exported(b, OK, 0);
	assert_int_equal(le32toh(w->answer.hdr.status), OK);
	assert_memory_equal(w->answer.registered.uuid, b->uuid, sizeof(b->uuid));
	assert_int_equal(update(w, 1, 1, 0), OK);
}

static void test_register_fails(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = making(w, 1);

	w->exports--; /* the exporter's own affair */
	dev_exported(b, VIRTIO_BUFSHARE_STATUS_HOST, EIO);
	assert_int_equal(le32toh(w->answer.hdr.status), VIRTIO_BUFSHARE_STATUS_HOST);
	assert_int_equal(le32toh(w->answer.hdr.detail), EIO);
	assert_null(dev_find(&w->dev, 1));
	assert_int_equal(w->dev.num_buffers, 0);
	assert_int_equal(w->dev.total_size, 0);
	registered(w, 1);
}

/* The limits hold for what is being made, too. */
static void test_register_limits(void **state)
{
	struct world *w = *state;
	uint64_t id;
	struct reg r;

	for (id = 1; id <= 4; id++)
		making(w, id);
	r = good(w, 5);
	assert_int_equal(send_register(w, &r), LIMIT);
	while (!TAILQ_EMPTY(&w->dev.making))
		dev_exported(TAILQ_FIRST(&w->dev.making), OK, 0);
	assert_int_equal(w->dev.num_buffers, 4);
}

/* Commands behind a REGISTER take effect behind it, in their order. */
static void test_order(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = making(w, 1);
	const struct virtio_bufshare_update first = make_update(w, 1, 1), second = make_update(w, 1, 2);
	const struct virtio_bufshare_unregister end = make_unregister(w, 1);
	const struct virtio_bufshare_update late = make_update(w, 1, 3);
	const unsigned int before = w->answers;

	send_later(w, &first, sizeof(first));
	send_later(w, &second, sizeof(second));
	send_later(w, &end, sizeof(end));
	send_later(w, &late, sizeof(late));
	dev_exported(b, OK, 0);
	assert_int_equal(w->answers, before + 5);
	assert_int_equal(w->removals, 1);
	assert_int_equal(le32toh(w->answer.hdr.status), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
	assert_null(dev_find(&w->dev, 1));
}

/* What is behind a REGISTER that fails finds no buffer. */
static void test_order_fails(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = making(w, 1);
	const struct virtio_bufshare_update first = make_update(w, 1, 1);
	const unsigned int before = w->answers;

	send_later(w, &first, sizeof(first));
	w->exports--;
	dev_exported(b, VIRTIO_BUFSHARE_STATUS_MEMORY, 0);
	assert_int_equal(w->answers, before + 2);
	assert_int_equal(le32toh(w->answer.hdr.status), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
}

/* One of another epoch does not wait: it has no effect whatever comes. */
static void test_order_epoch(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_update wrong;

	making(w, 1);
	wrong = make_update(w, 1, 1);
	wrong.hdr.epoch ^= htole64(1);
	assert_int_equal(command(w, &wrong, sizeof(wrong)), VIRTIO_BUFSHARE_STATUS_EPOCH);
}

/* A new epoch: what was on its way is answered, and its end is nobody's business. */
static void test_init(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_update first;
	unsigned int before;

	making(w, 1);
	first = make_update(w, 1, 1);
	send_later(w, &first, sizeof(first));
	before = w->answers;
	dev_clear(&w->dev);
	assert_int_equal(w->answers, before + 2);
	assert_int_equal(le32toh(w->answer.hdr.status), VIRTIO_BUFSHARE_STATUS_EPOCH);
	assert_int_equal(w->drops, 1);
	assert_int_equal(w->dev.num_buffers, 0);
	assert_int_equal(init(w, 0), OK);
	registered(w, 1);
}

static void test_reset(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_reset req;
	const unsigned int before = w->answers;
	struct reg other = good(w, 2);

	making(w, 1);
	memcpy(other.hdr.application, "other", sizeof("other"));
	memset(other.hdr.application + 5, 0, 3);
	w->export_status = DEV_LATER;
	send_later(w, &other, offsetof(struct reg, properties) + sizeof(other.properties));
	w->export_status = OK;

	/* Of the application only. */
	req = (struct virtio_bufshare_reset){
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_RESET),
		.application = "test.app",
	};
	dev_command(&w->dev, w, &req, sizeof(req));
	assert_int_equal(w->answers, before + 2);
	assert_int_equal(le32toh(w->answer.hdr.status), OK);
	assert_null(dev_find(&w->dev, 1));
	assert_int_equal(w->drops, 1);
	assert_non_null(dev_find(&w->dev, 2));
	dev_exported(dev_find(&w->dev, 2), OK, 0);
	assert_int_equal(update(w, 2, 1, 0), OK);
}

/* ---- copies that take time ---- */

static struct dev_slot *copying(struct world *w, struct dev_buffer **b)
{
	struct dev_slot *slot;

	*b = registered(w, 1);
	slot = attach(w, *b, false);
	w->refresh_result = -EINPROGRESS;
	return slot;
}

static void assert_released(struct world *w, uint64_t seq, uint32_t flags)
{
	uint32_t got = 0;

	assert_int_equal(released(w, &got), seq);
	assert_int_equal(got, flags);
}

static void assert_not_released(struct world *w)
{
	uint32_t flags;

	assert_int_equal(released(w, &flags), 0);
}

/* A copy is told of when it is complete; who needs none is not kept waiting. */
static void test_copy(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;
	struct dev_slot *slot = copying(w, &b), *direct = attach(w, b, true);

	assert_int_equal(update(w, 1, 1, 5), OK);
	assert_int_equal(w->delivered_seq, 1);
	assert_int_equal(direct->held, 1);
	assert_int_equal(slot->held, 0);
	dev_release(direct, 1);
	assert_not_released(w);

	w->delivered_seq = 0;
	dev_copied(b, 0);
	assert_int_equal(w->delivered_seq, 1);
	assert_int_equal(slot->held, 1);
	assert_not_released(w);
	dev_release(slot, 1);
	assert_released(w, 1, 0);
}

/* What comes meanwhile is one copy, and one update; the one before is not held up by it. */
static void test_copy_coalesces(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;
	struct dev_slot *slot = copying(w, &b);

	assert_int_equal(update(w, 1, 1, 10), OK);
	assert_int_equal(update(w, 1, 2, 20), OK);
	assert_int_equal(update(w, 1, 3, 30), OK);
	assert_int_equal(w->refreshes, 1);
	assert_int_equal(w->refreshed.n, 1);

	dev_copied(b, 0);
	assert_int_equal(slot->held, 1);
	assert_int_equal(w->delivered_seq, 1);
	assert_int_equal(w->delivered.n, 1);
	assert_int_equal(w->delivered.v[0].x, 10);
	assert_int_equal(w->refreshes, 2);
	assert_int_equal(w->refreshed.n, 2);

	/* The next copy is under way, and nothing is released or shown of it. */
	dev_release(slot, 1);
	assert_int_equal(slot->held, 0);
	assert_not_released(w);
	dev_copied(b, 0);
	assert_int_equal(slot->held, 3);
	assert_int_equal(slot->coalesced, 1);
	assert_int_equal(w->delivered.n, 2);
	assert_released(w, 2, 0); /* which nobody was given for itself */
	dev_release(slot, 3);
	assert_released(w, 3, 0);
	assert_int_equal(w->refreshes, 2);
}

/* Who still holds an older one gets it as soon as it has given that back, if it is whole. */
static void test_copy_while_held(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;
	struct dev_slot *slot = copying(w, &b);

	assert_int_equal(update(w, 1, 1, 10), OK);
	dev_copied(b, 0);
	assert_int_equal(update(w, 1, 2, 20), OK);
	dev_copied(b, 0);
	assert_int_equal(slot->held, 1);
	assert_int_equal(slot->pending, 2);
	assert_int_equal(update(w, 1, 3, 30), OK); /* which is being copied now */
	w->delivered_seq = 0;
	dev_release(slot, 1);
	assert_int_equal(w->delivered_seq, 0);
	assert_true(slot->waiting);
	dev_copied(b, 0);
	assert_int_equal(w->delivered_seq, 3);
	assert_int_equal(w->delivered.n, 2);
	assert_released(w, 2, 0); /* which nobody was given for itself */
}

/* The time that a copy takes is not the consumer's, and the guest does not write meanwhile. */
static void test_copy_timeout(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;
	struct dev_slot *slot = copying(w, &b), *direct = attach(w, b, true);

	assert_int_equal(update(w, 1, 1, 0), OK);
	dev_take_back(&w->dev, UINT64_MAX);
	assert_int_equal(w->revokes, 1);
	assert_int_equal(direct->revoked_seq, 1);
	assert_not_released(w);
	dev_copied(b, 0);
	assert_int_equal(slot->held, 1);
	assert_not_released(w);
	dev_release(slot, 1);
	assert_released(w, 1, 0);
}

/* Everybody left while it was copied: nothing of it was seen. */
static void test_copy_left(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;
	struct dev_slot *slot = copying(w, &b);

	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_int_equal(update(w, 1, 2, 0), OK);
	dev_detach(slot, true);
	assert_not_released(w);
	dev_copied(b, 0);
	assert_released(w, 2, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	assert_int_equal(w->refreshes, 1); /* nobody needs the second */

	/* Whoever comes next needs all of it. */
	slot = attach(w, b, false);
	assert_true(slot->filling);
	assert_int_equal(w->refreshes, 2);
	assert_true(w->refreshed.all);
	dev_copied(b, 0);
	assert_false(slot->filling);
	assert_int_equal(w->filled, 1);
	assert_int_equal(dev_slot_update(slot)->seq, 2);
}

/* One that leaves while it holds is told of when the copy under way is done. */
static void test_copy_gone(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;
	struct dev_slot *slot = copying(w, &b), *direct = attach(w, b, true);

	assert_int_equal(update(w, 1, 1, 0), OK);
	dev_detach(direct, true);
	assert_not_released(w);
	dev_detach(slot, false);
	dev_copied(b, 0);
	assert_released(w, 1, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
}

/* A consumer in the middle of a copy sees the buffer when that is whole, and holds nothing. */
static void test_fill(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;
	struct dev_slot *slot = copying(w, &b), *second;

	assert_int_equal(update(w, 1, 1, 0), OK);
	second = attach(w, b, false);
	assert_true(second->filling);
	assert_int_equal(w->refreshes, 1);
	dev_copied(b, 0);
	assert_int_equal(w->filled, 1);
	assert_false(second->filling);
	assert_int_equal(second->held, 0);
	assert_int_equal(second->pending, 0);
	assert_int_equal(slot->held, 1);
	assert_int_equal(w->refreshes, 1);

	/* The next one is given to both. */
	dev_release(slot, 1);
	assert_int_equal(update(w, 1, 2, 0), OK);
	dev_copied(b, 0);
	assert_int_equal(slot->held, 2);
	assert_int_equal(second->held, 2);
}

/* Updates that come while somebody waits for the contents are behind them. */
static void test_fill_and_update(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *slot;

	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_released(w, 1, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	w->refresh_result = -EINPROGRESS;
	slot = attach(w, b, false);
	assert_int_equal(update(w, 1, 2, 7), OK);
	assert_not_released(w);
	dev_copied(b, 0);
	assert_int_equal(w->filled, 1);
	assert_int_equal(dev_slot_update(slot)->seq, 1);
	assert_int_equal(slot->held, 0);
	assert_int_equal(w->refreshed.n, 1);
	dev_copied(b, 0);
	assert_int_equal(slot->held, 2);
	dev_release(slot, 2);
	assert_released(w, 2, 0);
}

/* Of what was damaged before, nobody knows where it lies now. */
static void test_properties(void **state)
{
	static const char block[] = "width=0320";
	struct {
		struct virtio_bufshare_set_properties hdr;
		char block[sizeof(block)];
	} req;
	struct world *w = *state;
	struct dev_buffer *b;

	copying(w, &b);
	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_int_equal(update(w, 1, 2, 0), OK);
	req.hdr = (struct virtio_bufshare_set_properties){
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES),
		.buffer = htole64(1),
		.properties_size = htole32(sizeof(block)),
	};
	memcpy(req.block, block, sizeof(block));
	assert_int_equal(command(w, &req, offsetof(typeof(req), block) + sizeof(block)), OK);
	dev_copied(b, 0);
	assert_int_equal(w->refreshes, 2);
	assert_true(w->refreshed.all);
}

/* The memory is gone: seen in the copy, or before. */
static void test_torn(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;

	copying(w, &b);
	assert_int_equal(update(w, 1, 1, 0), OK);
	dev_copied(b, -EFAULT);
	assert_int_equal(w->delivered_seq, 0);
	assert_int_equal(w->removals, 1);
	assert_int_equal(w->removed_reason, VIRTIO_BUFSHARE_REASON_MEMORY);
	assert_int_equal(w->drops, 1);
}

/* Commands that end the buffer do not wait for its copy, which nobody is told of then. */
static void test_unregister(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b;

	copying(w, &b);
	assert_int_equal(update(w, 1, 1, 0), OK);
	assert_int_equal(unregister(w, 1), OK);
	assert_int_equal(le32toh(w->answer.unregistered.flags), 0);
	assert_int_equal(w->drops, 1);
	assert_int_equal(w->delivered_seq, 0);
}

/* The same while a consumer that has its pages keeps the buffer. */
static void test_unregister_mapped(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_unregister req = make_unregister(w, 1);
	struct dev_slot *direct;
	struct dev_buffer *b;

	copying(w, &b);
	direct = attach(w, b, true);
	assert_int_equal(update(w, 1, 1, 0), OK);
	w->delivered_seq = 0;
	send_later(w, &req, sizeof(req));
	dev_copied(b, 0);
	assert_int_equal(w->delivered_seq, 0);
	assert_int_equal(w->drops, 0);
	dev_detach(direct, false);
	assert_int_equal(w->drops, 1);
	assert_int_equal(le32toh(w->answer.hdr.status), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_register),
		TEST(test_register_fails),
		TEST(test_register_limits),
		TEST(test_order),
		TEST(test_order_fails),
		TEST(test_order_epoch),
		TEST(test_init),
		TEST(test_reset),
		TEST(test_copy),
		TEST(test_copy_coalesces),
		TEST(test_copy_while_held),
		TEST(test_copy_timeout),
		TEST(test_copy_left),
		TEST(test_copy_gone),
		TEST(test_fill),
		TEST(test_fill_and_update),
		TEST(test_properties),
		TEST(test_torn),
		TEST(test_unregister),
		TEST(test_unregister_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
