/* SPDX-License-Identifier: MIT */
/*
 * The device model without anything around it: every command good, and wrong in one way
 * only; the release cycle; events that wait for room.
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
#include "host/daemon/device.h"

#define PAGE VIRTIO_BUFSHARE_PAGE_SIZE
#define OK VIRTIO_BUFSHARE_STATUS_OK
#define INVALID VIRTIO_BUFSHARE_STATUS_INVALID
#define UNSUPPORTED VIRTIO_BUFSHARE_STATUS_UNSUPPORTED
#define LIMIT VIRTIO_BUFSHARE_STATUS_LIMIT

/* A world around the model that remembers what it was told. */
struct world {
	struct dev dev;
	unsigned int answers;
	size_t answer_size;
	union {
		struct virtio_bufshare_response hdr;
		struct virtio_bufshare_init_response init;
		struct virtio_bufshare_register_response registered;
		struct virtio_bufshare_unregister_response unregistered;
		struct virtio_bufshare_query_response query;
		struct virtio_bufshare_ping_response ping;
		struct virtio_bufshare_get_properties_response properties;
		char bytes[8192];
	} answer;
	unsigned int exports, drops, refreshes, removals, resets;
	uint32_t export_status, removed_reason;
	bool no_room; /* consumers take nothing */
	uint64_t delivered_seq;
	struct dev_damage delivered;
	uint64_t random;
	LIST_HEAD(, dev_slot) consumer; /* all slots of all consumers */
};

static void op_complete(void *data, void *token, const void *response, size_t size)
{
	struct world *w = data;

	assert_ptr_equal(token, w);
	assert_true(size <= sizeof(w->answer));
	memcpy(&w->answer, response, size);
	w->answer_size = size;
	w->answers++;
}

static void op_events(void *data)
{
}

static uint32_t op_export(void *data, struct dev_buffer *b, uint32_t *detail)
{
	struct world *w = data;

	if (w->export_status)
		return w->export_status;
	w->exports++;
	b->path = VIRTIO_BUFSHARE_PATH_COPY;
	return OK;
}

static void op_drop(void *data, struct dev_buffer *b)
{
	struct world *w = data;

	w->drops++;
}

static int op_refresh(void *data, struct dev_buffer *b, const struct dev_damage *damage)
{
	struct world *w = data;

	w->refreshes++;
	return 0;
}

static void op_added(void *data, struct dev_buffer *b)
{
}

static void op_removed(void *data, struct dev_buffer *b, uint32_t reason)
{
	struct world *w = data;

	w->removals++;
	w->removed_reason = reason;
}

static void op_properties(void *data, struct dev_buffer *b, const char *block, size_t size)
{
}

static int op_deliver(void *data, struct dev_slot *slot, uint64_t seq)
{
	struct world *w = data;

	if (w->no_room)
		return -EAGAIN;
	w->delivered_seq = seq;
	w->delivered = slot->damage;
	return 0;
}

static void op_reset(void *data, bool first)
{
	struct world *w = data;

	w->resets++;
}

static uint64_t op_now(void *data)
{
	return 1;
}

static void op_random(void *data, void *buf, size_t size)
{
	struct world *w = data;

	w->random++;
	memset(buf, 0, size);
	memcpy(buf, &w->random, size < 8 ? size : 8);
}

static void op_uuid(void *data, uint64_t epoch, uint64_t id, uint8_t uuid[16])
{
	memcpy(uuid, &epoch, 8);
	memcpy(uuid + 8, &id, 8);
}

static const struct dev_ops ops = {
	op_complete, op_events, op_export, op_drop, op_refresh, op_added, op_removed,
	op_properties, op_deliver, op_reset, op_now, op_random, op_uuid,
};

/* ---- commands ---- */

static uint32_t command(struct world *w, const void *request, size_t size)
{
	unsigned int before = w->answers;

	memset(&w->answer, 0xee, sizeof(w->answer));
	dev_command(&w->dev, w, request, size);
	assert_int_equal(w->answers, before + 1);
	return le32toh(w->answer.hdr.status);
}

static struct virtio_bufshare_request hdr(struct world *w, uint32_t type)
{
	return (struct virtio_bufshare_request){ .type = htole32(type),
						 .epoch = htole64(w->dev.epoch) };
}

static uint32_t init_with(struct world *w, uint64_t epoch, uint64_t caps)
{
	const struct virtio_bufshare_init req = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_INIT), .epoch = htole64(epoch) },
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(caps),
	};

	return command(w, &req, sizeof(req));
}

static uint32_t init(struct world *w, uint64_t epoch)
{
	return init_with(w, epoch, VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES);
}

static int setup(void **state)
{
	static const struct dev_limits limits = {
		.max_buffers = 4,
		.max_buffer_size = 16 * PAGE,
		.max_total_size = 32 * PAGE,
		.max_ranges = 8,
	};
	struct world *w = calloc(1, sizeof(*w));

	LIST_INIT(&w->consumer);
	dev_init(&w->dev, &ops, w, &limits, VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES);
	assert_int_equal(init(w, 0), OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	dev_clear(&w->dev);
	assert_int_equal(w->exports, w->drops);
	assert_true(LIST_EMPTY(&w->consumer));
	free(w);
	return 0;
}

/* A good REGISTER of two ranges and two properties, to be spoiled. */
struct reg {
	struct virtio_bufshare_register hdr;
	struct virtio_bufshare_range ranges[2];
	char properties[24];
};

static struct reg good(struct world *w, uint64_t id)
{
	struct reg r = {
		.hdr = {
			.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_REGISTER),
			.buffer = htole64(id),
			.size = htole64(3 * PAGE),
			.num_ranges = htole32(2),
			.properties_size = htole32(sizeof(r.properties)),
			.application = "test.app",
		},
		.ranges = {
			{ htole64(16 * PAGE), htole64(2 * PAGE) },
			{ htole64(64 * PAGE), htole64(PAGE) },
		},
	};

	memcpy(r.properties, "height=00480\0width=0640", sizeof(r.properties));
	return r;
}

static uint32_t send_register(struct world *w, const struct reg *r)
{
	return command(w, r, offsetof(struct reg, properties) + sizeof(r->properties));
}

static struct dev_buffer *registered(struct world *w, uint64_t id)
{
	struct reg r = good(w, id);

	assert_int_equal(send_register(w, &r), OK);
	assert_non_null(dev_find(&w->dev, id));
	return dev_find(&w->dev, id);
}

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
	op_uuid(w, w->dev.epoch, 7, uuid);
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
	assert_int_equal(dev_find(&w->dev, 1)->seq, 7);
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

static uint32_t unregister(struct world *w, uint64_t id)
{
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(id),
		.reason = htole32(VIRTIO_BUFSHARE_REASON_PRODUCER_GONE),
	};

	return command(w, &req, sizeof(req));
}

static struct dev_slot *attach(struct world *w, struct dev_buffer *b, bool mapped)
{
	struct dev_slot *slot = dev_attach(b, w, mapped);

	assert_non_null(slot);
	LIST_INSERT_HEAD(&w->consumer, slot, in_consumer);
	return slot;
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

/* ---- updates ---- */

static uint32_t update(struct world *w, uint64_t id, uint64_t seq, uint32_t x)
{
	struct {
		struct virtio_bufshare_update hdr;
		struct virtio_bufshare_rect rect;
	} req = {
		.hdr = {
			.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UPDATE),
			.buffer = htole64(id),
			.seq = htole64(seq),
			.num_damage = htole32(1),
		},
		.rect = { htole32(x), 0, htole32(10), htole32(10) },
	};

	return command(w, &req, sizeof(req));
}

/* The next RELEASED; 0: there is none. Other events are passed over. */
static uint64_t released(struct world *w, uint32_t *flags)
{
	struct virtio_bufshare_event ev;

	while (dev_next_event(&w->dev, &ev)) {
		assert_int_equal(le64toh(ev.epoch), w->dev.epoch);
		if (le32toh(ev.type) != VIRTIO_BUFSHARE_EVENT_RELEASED)
			continue;
		*flags = le32toh(ev.flags);
		return le64toh(ev.seq);
	}
	return 0;
}

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
		TEST(test_reset_waits),
		TEST(test_reset),
		TEST(test_query_and_ping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
