/* SPDX-License-Identifier: MIT */
/*
 * Buffers that are gone for the guest, while consumers still have something of them: what
 * the guest is told of that, and what it counts for.
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

#define CAPS (VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_UNMAPPED)
#define NOT_FOUND VIRTIO_BUFSHARE_STATUS_NOT_FOUND
#define EXISTS VIRTIO_BUFSHARE_STATUS_EXISTS

static int setup_unmapped(void **state)
{
	int r = setup(state);

	return r ? r : init_with(*state, 0, CAPS) != OK;
}

static void take_too_long(struct world *w)
{
	int i;

	for (i = 0; i < 3; i++)
		dev_tick(&w->dev);
}

static bool still_mapped(const struct world *w)
{
	return le32toh(w->answer.unregistered.flags) & VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED;
}

/* A registered buffer of which a consumer has the pages, and does not let go in time. */
static struct dev_slot *unregistered(struct world *w, uint64_t id)
{
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(id),
	};
	struct dev_slot *slot = attach(w, registered(w, id), true);
	const unsigned int before = w->answers;

	dev_command(&w->dev, w, &req, sizeof(req));
	assert_int_equal(w->answers, before);
	take_too_long(w);
	assert_int_equal(w->answers, before + 1);
	assert_true(still_mapped(w));
	return slot;
}

static void assert_unmapped(struct world *w, uint64_t id)
{
	struct virtio_bufshare_event ev;

	assert_true(dev_next_event(&w->dev, &ev));
	assert_int_equal(le32toh(ev.type), VIRTIO_BUFSHARE_EVENT_UNMAPPED);
	assert_int_equal(le64toh(ev.epoch), w->dev.epoch);
	assert_int_equal(le64toh(ev.buffer), id);
	assert_true(!ev.flags && !ev.seq && !ev.value);
}

static void assert_no_event(struct world *w)
{
	struct virtio_bufshare_event ev;

	assert_false(dev_next_event(&w->dev, &ev));
}

static uint32_t send_again(struct world *w, uint64_t id)
{
	struct reg r = good(w, id);

	r.hdr.hdr.flags = htole32(VIRTIO_BUFSHARE_REGISTER_AGAIN);
	return send_register(w, &r);
}

static uint32_t reset(struct world *w)
{
	const struct virtio_bufshare_reset req = { .hdr = hdr(w, VIRTIO_BUFSHARE_CMD_RESET) };
	const unsigned int before = w->answers;

	dev_command(&w->dev, w, &req, sizeof(req));
	take_too_long(w);
	assert_int_equal(w->answers, before + 1);
	return le32toh(w->answer.hdr.status);
}

/* ---- EVENT_UNMAPPED ---- */

static void test_unmapped(void **state)
{
	struct world *w = *state;
	struct dev_slot *slot = unregistered(w, 1);

	assert_no_event(w);
	dev_detach(slot, false);
	assert_unmapped(w, 1);
	assert_no_event(w);
	assert_int_equal(unregister(w, 1), NOT_FOUND);
	assert_int_equal(w->dev.num_kept, 0);
}

/* The last one counts, however it ends; one with a copy does not. */
static void test_unmapped_last(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(1),
	};
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *one = attach(w, b, true), *two = attach(w, b, true);
	struct dev_slot *copied = attach(w, b, false);

	dev_command(&w->dev, w, &req, sizeof(req));
	take_too_long(w);
	dev_detach(one, false);
	assert_no_event(w);
	dev_detach(two, true);
	assert_unmapped(w, 1);
	dev_detach(copied, false);
	assert_no_event(w);
}

/* Who let go in time is not told of again. */
static void test_unmapped_in_time(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(1),
	};
	struct dev_slot *slot = attach(w, registered(w, 1), true);

	dev_command(&w->dev, w, &req, sizeof(req));
	dev_detach(slot, false);
	assert_int_equal(le32toh(w->answer.hdr.status), OK);
	assert_false(still_mapped(w));
	assert_no_event(w);
}

/* A driver that did not ask for it hears nothing, and its id is free. */
static void test_no_capability(void **state)
{
	struct world *w = *state;
	struct dev_slot *slot = unregistered(w, 1);

	assert_int_equal(unregister(w, 1), NOT_FOUND);
	registered(w, 1);
	dev_detach(slot, false);
	assert_no_event(w);
}

/* Asking again changes nothing, and there is one event for both answers. */
static void test_ask_again(void **state)
{
	struct world *w = *state;
	struct dev_slot *slot = unregistered(w, 1);
	struct reg same = good(w, 1);

	assert_int_equal(unregister(w, 1), OK);
	assert_true(still_mapped(w));
	assert_int_equal(send_register(w, &same), EXISTS);
	assert_int_equal(update(w, 1, 1, 0), NOT_FOUND);
	dev_detach(slot, false);
	assert_int_equal(unregister(w, 1), OK); /* the event is still to come */
	assert_true(still_mapped(w));
	assert_unmapped(w, 1);
	assert_no_event(w);
	registered(w, 1);
}

/* RESET tells of no single buffer, but remembers each. */
static void test_reset(void **state)
{
	struct world *w = *state;
	struct dev_slot *quiet = attach(w, registered(w, 1), true);
	struct dev_slot *asked = attach(w, registered(w, 2), true);

	assert_int_equal(reset(w), OK);
	assert_int_equal(unregister(w, 2), OK);
	assert_true(still_mapped(w));
	dev_detach(quiet, false);
	assert_no_event(w);
	assert_int_equal(unregister(w, 1), NOT_FOUND);
	dev_detach(asked, false);
	assert_unmapped(w, 2);
	assert_no_event(w);
}

/* The same before RESET is answered. */
static void test_reset_meanwhile(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_reset req = { .hdr = hdr(w, VIRTIO_BUFSHARE_CMD_RESET) };
	struct dev_slot *slot = attach(w, registered(w, 1), true);

	dev_command(&w->dev, w, &req, sizeof(req));
	assert_int_equal(unregister(w, 1), OK);
	assert_true(still_mapped(w));
	dev_detach(slot, false);
	assert_int_equal(le32toh(w->answer.hdr.status), OK); /* of RESET */
	assert_unmapped(w, 1);
	assert_no_event(w);
}

/* After a suspension the driver asks for what it keeps, and registers the rest again. */
static void test_resume(void **state)
{
	struct world *w = *state;
	struct dev_slot *kept = unregistered(w, 1), *former = attach(w, registered(w, 2), true);
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(2),
	};
	unsigned int before;

	assert_int_equal(init_with(w, w->dev.epoch, CAPS), OK);
	assert_int_equal(send_again(w, 2), OK);
	assert_int_equal(unregister(w, 1), OK);
	assert_true(still_mapped(w));
	dev_detach(kept, false);
	assert_unmapped(w, 1);

	/* Who has pages of the time before is waited for, like any other. */
	before = w->answers;
	dev_command(&w->dev, w, &req, sizeof(req));
	assert_int_equal(w->answers, before);
	dev_detach(former, false);
	assert_int_equal(w->answers, before + 1);
	assert_false(still_mapped(w));
	assert_no_event(w);
}

/* One that lets go before it is asked for is not told of, and not found. */
static void test_resume_quiet(void **state)
{
	struct world *w = *state;
	struct dev_slot *kept = unregistered(w, 1);

	assert_int_equal(init_with(w, w->dev.epoch, CAPS), OK);
	dev_detach(kept, false);
	assert_no_event(w);
	assert_int_equal(unregister(w, 1), NOT_FOUND);
}

/* Of another epoch nobody asks, but what it costs counts on. */
static void test_new_epoch(void **state)
{
	struct world *w = *state;
	struct dev_slot *kept = unregistered(w, 1);

	assert_int_equal(init_with(w, 0, CAPS), OK);
	assert_int_equal(unregister(w, 1), NOT_FOUND);
	assert_int_equal(w->dev.kept_size, 3 * PAGE);
	registered(w, 1);
	dev_detach(kept, false);
	assert_no_event(w);
	assert_int_equal(w->dev.kept_size, 0);
}

/* ---- what it counts for ---- */

/* The limit is 32 pages; a buffer has 3. */
static void assert_total(struct world *w, uint64_t id, bool fits)
{
	struct reg r = good(w, id);
	const uint32_t status = send_register(w, &r);

	assert_int_equal(status, fits ? OK : LIMIT);
	if (!fits)
		assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE);
}

static void test_count_copies(void **state)
{
	struct world *w = *state;
	struct dev_slot *slots[10];
	uint64_t id;

	for (id = 1; id <= ARRAY_SIZE(slots); id++) {
		slots[id - 1] = attach(w, registered(w, id), false);
		assert_int_equal(unregister(w, id), OK);
		assert_false(still_mapped(w));
	}
	assert_int_equal(w->dev.num_buffers, 0);
	assert_total(w, 11, false);
	assert_int_equal(unregister(w, 1), NOT_FOUND); /* of copies the guest knows nothing */
	dev_detach(slots[0], false);
	assert_total(w, 11, true);
	for (id = 2; id <= ARRAY_SIZE(slots); id++)
		dev_detach(slots[id - 1], true);
	assert_int_equal(w->dev.kept_size, 0);
	assert_int_equal(w->dev.num_kept, 0);
}

static void test_count_pages(void **state)
{
	struct world *w = *state;
	struct dev_slot *slots[10];
	uint64_t id;

	for (id = 1; id <= ARRAY_SIZE(slots); id++)
		slots[id - 1] = unregistered(w, id);
	assert_total(w, 11, false);
	dev_detach(slots[3], false);
	assert_total(w, 11, true);
	for (id = 1; id <= ARRAY_SIZE(slots); id++)
		if (id != 4)
			dev_detach(slots[id - 1], false);
	assert_int_equal(w->dev.kept_size, 0);
}

/* Pages by the path memfd are the guest's own, and held by nobody. */
static void test_count_memfd(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *slot = attach(w, b, true), *copied;

	b->path = VIRTIO_BUFSHARE_PATH_MEMFD;
	assert_int_equal(reset(w), OK);
	assert_int_equal(w->dev.kept_size, 0);
	assert_int_equal(w->dev.num_kept, 1);
	dev_detach(slot, false);

	/* A copy beside them is not. */
	b = registered(w, 2);
	b->path = VIRTIO_BUFSHARE_PATH_MEMFD;
	copied = attach(w, b, false);
	assert_int_equal(unregister(w, 2), OK);
	assert_int_equal(w->dev.kept_size, 3 * PAGE);
	dev_detach(copied, false);
	assert_int_equal(w->dev.kept_size, 0);
}

/* All that was registered can be again, when consumers still have all of it; but not twice. */
static void test_count_again(void **state)
{
	struct world *w = *state;
	struct dev_slot *slots[8];
	uint64_t id, epoch = w->dev.epoch;
	int i;

	w->dev.limits.max_total_size = 12 * PAGE;
	for (id = 1; id <= 4; id++)
		slots[id - 1] = attach(w, registered(w, id), false);
	assert_int_equal(init_with(w, epoch, CAPS), OK);
	assert_total(w, 5, false);
	for (id = 1; id <= 4; id++) {
		assert_int_equal(send_again(w, id), OK);
		slots[id + 3] = attach(w, dev_find(&w->dev, id), false);
	}
	assert_int_equal(init_with(w, epoch, CAPS), OK);
	assert_int_equal(send_again(w, 1), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE);
	dev_detach(slots[0], false);
	assert_int_equal(send_again(w, 1), OK);
	for (i = 1; i < 8; i++)
		dev_detach(slots[i], false);
	assert_int_equal(w->dev.kept_size, 0);
}

/* However small they are, there is an end to their number. */
static void test_count_number(void **state)
{
	struct world *w = *state;
	struct dev_slot *slots[16];
	struct reg r;
	uint64_t id;

	w->dev.limits.max_total_size = 1000 * PAGE;
	for (id = 1; id <= ARRAY_SIZE(slots); id++) {
		slots[id - 1] = attach(w, registered(w, id), false);
		assert_int_equal(unregister(w, id), OK);
	}
	r = good(w, 17);
	assert_int_equal(send_register(w, &r), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_BUFFERS);
	dev_detach(slots[0], false);
	assert_int_equal(send_register(w, &r), OK);
	for (id = 2; id <= ARRAY_SIZE(slots); id++)
		dev_detach(slots[id - 1], false);
}

#define PLAIN(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_unmapped, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unmapped),
		TEST(test_unmapped_last),
		TEST(test_unmapped_in_time),
		PLAIN(test_no_capability),
		TEST(test_ask_again),
		TEST(test_reset),
		TEST(test_reset_meanwhile),
		TEST(test_resume),
		TEST(test_resume_quiet),
		TEST(test_new_epoch),
		TEST(test_count_copies),
		TEST(test_count_pages),
		TEST(test_count_memfd),
		TEST(test_count_again),
		TEST(test_count_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
