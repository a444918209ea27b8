/* SPDX-License-Identifier: MIT */
/*
 * The device model: INIT, REGISTER and UNREGISTER, each good, and wrong in one way only.
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

static void test_init(void **state)
{
	struct world *w = *state;
	uint64_t epoch = w->dev.epoch;

	assert_true(epoch != 0);
	registered(w, 1);
	assert_int_equal(init(w, epoch), OK);
	assert_int_equal(w->dev.epoch, epoch); /* resumed, and empty */
	assert_null(dev_find(&w->dev, 1));
	assert_int_equal(init(w, epoch + 77), OK);
	assert_true(w->dev.epoch != epoch && w->dev.epoch != epoch + 77); /* made here, not there */
	assert_int_equal(le64toh(w->answer.init.epoch), w->dev.epoch);
}

/* After a reset, as when the guest was suspended, the last epoch goes on, no earlier one. */
static void test_init_resumes(void **state)
{
	struct world *w = *state;
	uint64_t first = w->dev.epoch, second;

	dev_clear(&w->dev);
	assert_int_equal(init(w, first), OK);
	assert_int_equal(w->dev.epoch, first);
	assert_int_equal(init(w, 0), OK);
	second = w->dev.epoch;
	assert_int_not_equal(second, first);
	dev_clear(&w->dev);
	assert_int_equal(init(w, first), OK);
	assert_int_not_equal(w->dev.epoch, first);
	assert_int_not_equal(w->dev.epoch, second);
}

/* What INIT did not ask for is not there. */
static void test_caps(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_named req;
	struct dev_buffer *b;

	assert_int_equal(init_with(w, 0, 0), OK);
	assert_int_equal(le64toh(w->answer.init.caps), 0);
	b = registered(w, 1);
	req.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_GET_PROPERTIES);
	req.buffer = htole64(1);
	assert_int_equal(command(w, &req, sizeof(req)), UNSUPPORTED);
	assert_int_equal(dev_set_host_properties(b, "host.a=1", 9), -EOPNOTSUPP);
	assert_null(props_get(&b->host, "host.a"));
	assert_int_equal(init(w, 0), OK);
	assert_int_equal(le64toh(w->answer.init.caps), VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES);
}

static void test_init_wrong(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_init right = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_INIT) },
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
	};
	struct virtio_bufshare_init req = right;

	assert_int_equal(command(w, &req, sizeof(req) - 1), INVALID);
	assert_int_equal(command(w, &req, sizeof(req) + 1), INVALID);
	req.version = htole32(2);
	assert_int_equal(command(w, &req, sizeof(req)), UNSUPPORTED);
	req = right;
	req.reserved = 1;
	assert_int_equal(command(w, &req, sizeof(req)), INVALID);
	req = right;
	req.caps = htole64(VIRTIO_BUFSHARE_CAP_OFFERS);
	assert_int_equal(command(w, &req, sizeof(req)), UNSUPPORTED);
	req = right;
	req.hdr.flags = htole32(1);
	assert_int_equal(command(w, &req, sizeof(req)), UNSUPPORTED);
}

static void test_no_command(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_request req = hdr(w, 999);

	assert_int_equal(command(w, &req, 0), INVALID);
	assert_int_equal(command(w, &req, sizeof(req) - 1), INVALID);
	assert_int_equal(command(w, &req, sizeof(req)), UNSUPPORTED);
	req.type = 0;
	assert_int_equal(command(w, &req, sizeof(req)), UNSUPPORTED);
	req.type = htole32(VIRTIO_BUFSHARE_CMD_OFFER_MAP);
	assert_int_equal(command(w, &req, sizeof(req)), UNSUPPORTED);
}

static void test_epoch(void **state)
{
	struct world *w = *state;
	struct reg r = good(w, 1);

	r.hdr.hdr.epoch = htole64(w->dev.epoch + 1);
	assert_int_equal(send_register(w, &r), VIRTIO_BUFSHARE_STATUS_EPOCH);
	dev_clear(&w->dev);
	r.hdr.hdr.epoch = 0; /* none is in force, and zero is none */
	assert_int_equal(send_register(w, &r), VIRTIO_BUFSHARE_STATUS_EPOCH);
}

static void test_register(void **state)
{
	struct world *w = *state;
	struct dev_buffer *b = registered(w, 7);
	uint8_t uuid[16];

	assert_int_equal(b->size, 3 * PAGE);
	assert_int_equal(b->num_ranges, 2);
	assert_string_equal(props_get(&b->guest, "width"), "0640");
	w->dev.ops->uuid(w, w->dev.epoch, 7, uuid);
	assert_memory_equal(w->answer.registered.uuid, uuid, 16);
	assert_int_equal(le32toh(w->answer.registered.path), VIRTIO_BUFSHARE_PATH_COPY);
}

static void test_register_merges(void **state)
{
	struct world *w = *state;
	struct reg r = good(w, 1);

	r.ranges[1].addr = htole64(18 * PAGE);
	assert_int_equal(send_register(w, &r), OK);
	assert_int_equal(dev_find(&w->dev, 1)->num_ranges, 1);
}

/* Each field of REGISTER wrong in one way. */
static void test_register_wrong(void **state)
{
	struct world *w = *state;
	const struct reg right = good(w, 1);
	struct reg r;
	size_t i;

#define WRONG(change, expected)                                   \
	do {                                                      \
		r = right;                                        \
		change;                                           \
		assert_int_equal(send_register(w, &r), expected); \
	} while (0)

	WRONG(r.hdr.hdr.flags = htole32(1U << 31), UNSUPPORTED);
	WRONG(r.hdr.hdr.flags = htole32(VIRTIO_BUFSHARE_REGISTER_BY_UUID), UNSUPPORTED);
	WRONG(r.hdr.buffer = 0, INVALID);
	WRONG(r.hdr.size = htole64(2 * PAGE), INVALID);
	WRONG(r.hdr.size = htole64(4 * PAGE), INVALID);
	WRONG(r.hdr.size = 0, INVALID);
	WRONG(r.hdr.size = htole64(17 * PAGE), LIMIT);
	WRONG(r.hdr.num_ranges = htole32(1), INVALID);
	WRONG(r.hdr.num_ranges = htole32(3), INVALID);
	WRONG(r.hdr.num_ranges = htole32(9), INVALID);
	WRONG(r.hdr.num_ranges = htole32(UINT32_MAX), LIMIT);
	WRONG(r.hdr.properties_size = htole32(23), INVALID);
	WRONG(r.hdr.properties_size = htole32(25), INVALID);
	WRONG(r.hdr.properties_size = htole32(UINT32_MAX), LIMIT);
	WRONG(memset(r.hdr.application, 0, 64), INVALID);
	WRONG(memset(r.hdr.application, 'a', 64), INVALID);
	WRONG(r.hdr.application[0] = '/', INVALID);
	WRONG(r.hdr.application[63] = 'x', INVALID);
	WRONG(r.hdr.uuid[3] = 1, INVALID);
	WRONG(r.hdr.seq = htole64(1), INVALID); /* without AGAIN */
	WRONG(r.ranges[0].addr = htole64(1), INVALID);
	WRONG(r.ranges[0].addr = htole64(0ULL - PAGE), INVALID);
	WRONG(r.ranges[0].size = 0, INVALID);
	WRONG(r.ranges[0].size = htole64(2 * PAGE + 1), INVALID);
	WRONG(r.ranges[0].size = htole64(0ULL - PAGE), INVALID);
	WRONG(r.properties[0] = 'H', INVALID);
	WRONG(r.properties[6] = '-', INVALID); /* no "=": a removal */
	WRONG(r.properties[23] = 'x', INVALID); /* no NUL at the end */
	WRONG(memcpy(r.properties, "host.x=", 7), VIRTIO_BUFSHARE_STATUS_DENIED);
#undef WRONG

	for (i = 0; i < sizeof(right.hdr); i++)
		assert_int_equal(command(w, &right, i), INVALID);
	assert_int_equal(w->dev.num_buffers, 0);
	assert_int_equal(w->exports, 0);
}

/* The limit counts what is left when adjacent ranges are one. */
static void test_register_many_ranges(void **state)
{
	struct world *w = *state;
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range ranges[9];
	} r = { .hdr = good(w, 1).hdr };
	unsigned int i;

	r.hdr.size = htole64(9 * PAGE);
	r.hdr.num_ranges = htole32(9);
	r.hdr.properties_size = 0;
	for (i = 0; i < 9; i++)
		r.ranges[i] = (struct virtio_bufshare_range){ htole64(2 * i * PAGE), htole64(PAGE) };
	assert_int_equal(command(w, &r, sizeof(r)), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_RANGES);
	r.ranges[1].addr = htole64(PAGE);
	assert_int_equal(command(w, &r, sizeof(r)), OK);
	assert_int_equal(dev_find(&w->dev, 1)->num_ranges, 8);
}

static void test_register_again(void **state)
{
	struct world *w = *state;
	struct reg r = good(w, 1);

	r.hdr.hdr.flags = htole32(VIRTIO_BUFSHARE_REGISTER_AGAIN);
	r.hdr.seq = htole64(7);
	assert_int_equal(send_register(w, &r), OK);
	assert_int_equal(dev_find(&w->dev, 1)->newest.seq, 7);
	assert_int_equal(dev_find(&w->dev, 1)->released, 7);
}

static void test_register_application(void **state)
{
	struct world *w = *state;
	struct reg r = good(w, 1);

	strcpy(w->dev.limits.application, "other.app");
	assert_int_equal(send_register(w, &r), VIRTIO_BUFSHARE_STATUS_DENIED);
	strcpy(w->dev.limits.application, "test.app2");
	assert_int_equal(send_register(w, &r), VIRTIO_BUFSHARE_STATUS_DENIED);
	memset(w->dev.limits.application, 0, sizeof(w->dev.limits.application));
	strcpy(w->dev.limits.application, "test.app");
	assert_int_equal(send_register(w, &r), OK);
}

static void test_register_export_fails(void **state)
{
	struct world *w = *state;
	struct reg r = good(w, 1);

	w->export_status = VIRTIO_BUFSHARE_STATUS_MEMORY;
	assert_int_equal(send_register(w, &r), VIRTIO_BUFSHARE_STATUS_MEMORY);
	assert_null(dev_find(&w->dev, 1));
}

static void test_register_limits(void **state)
{
	struct world *w = *state;
	struct reg r = good(w, 1);
	uint64_t i;

	registered(w, 1);
	assert_int_equal(send_register(w, &r), VIRTIO_BUFSHARE_STATUS_EXISTS);
	for (i = 2; i <= 4; i++)
		registered(w, i);
	r = good(w, 5);
	assert_int_equal(send_register(w, &r), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_BUFFERS);

	w->dev.limits.max_buffers = 100;
	w->dev.limits.max_total_size = 14 * PAGE;
	assert_int_equal(send_register(w, &r), LIMIT);
	assert_int_equal(le32toh(w->answer.hdr.detail), VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE);
}

static void test_unregister(void **state)
{
	struct world *w = *state;

	registered(w, 1);
	assert_int_equal(unregister(w, 1), OK);
	assert_int_equal(w->removed_reason, VIRTIO_BUFSHARE_REASON_PRODUCER_GONE);
	assert_int_equal(w->answer.unregistered.flags, 0);
	assert_int_equal(unregister(w, 1), VIRTIO_BUFSHARE_STATUS_NOT_FOUND);
}

static void test_unregister_wrong(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_unregister right = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(1),
	};
	struct virtio_bufshare_unregister req = right;

	registered(w, 1);
	assert_int_equal(command(w, &req, sizeof(req) - 8), INVALID);
	req.reserved = htole32(1);
	assert_int_equal(command(w, &req, sizeof(req)), INVALID);
	req = right;
	req.reason = htole32(VIRTIO_BUFSHARE_REASON_HOST); /* not the guest's to say */
	assert_int_equal(command(w, &req, sizeof(req)), INVALID);
}

/* The answer waits for whoever has the pages, and for nobody else. */
static void test_unregister_waits(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(1),
	};
	struct dev_buffer *b = registered(w, 1);
	struct dev_slot *has_pages = attach(w, b, true);
	unsigned int answers = w->answers;

	attach(w, b, false);
	dev_command(&w->dev, w, &req, sizeof(req));
	assert_int_equal(w->answers, answers);
	assert_null(dev_find(&w->dev, 1));
	dev_detach(has_pages, false);
	assert_int_equal(w->answers, answers + 1);
	assert_int_equal(w->answer.unregistered.flags, 0);
}

static void test_unregister_gives_up(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(1),
	};
	unsigned int answers, i;

	attach(w, registered(w, 1), true);
	answers = w->answers;
	dev_command(&w->dev, w, &req, sizeof(req));
	for (i = 0; i < 10 && w->answers == answers; i++)
		dev_tick(&w->dev);
	assert_int_equal(w->answers, answers + 1);
	assert_int_equal(le32toh(w->answer.unregistered.flags),
			 VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_init),
		TEST(test_init_resumes),
		TEST(test_caps),
		TEST(test_init_wrong),
		TEST(test_no_command),
		TEST(test_epoch),
		TEST(test_register),
		TEST(test_register_merges),
		TEST(test_register_wrong),
		TEST(test_register_many_ranges),
		TEST(test_register_again),
		TEST(test_register_application),
		TEST(test_register_export_fails),
		TEST(test_register_limits),
		TEST(test_unregister),
		TEST(test_unregister_wrong),
		TEST(test_unregister_waits),
		TEST(test_unregister_gives_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
