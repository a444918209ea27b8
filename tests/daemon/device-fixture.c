/* SPDX-License-Identifier: MIT */
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

	if (w->export_status && w->export_status != DEV_LATER)
		return w->export_status;
	w->exports++;
	b->path = VIRTIO_BUFSHARE_PATH_COPY;
	if (w->export_status)
		return w->export_status;
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
	w->refreshed = *damage;
	return w->refresh_result;
}

static void op_filled(void *data, struct dev_slot *slot)
{
	struct world *w = data;

	w->filled++;
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

static void op_revoked(void *data, struct dev_slot *slot, uint64_t seq)
{
	struct world *w = data;

	w->revokes++;
	w->revoked_seq = seq;
}

static void op_detached(void *data, struct dev_slot *slot)
{
	struct world *w = data;

	w->slots--;
}

static uint64_t op_now(void *data)
{
	struct world *w = data;

	return ++w->now;
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
	.complete = op_complete,
	.events = op_events,
	.export_buffer = op_export,
	.drop_export = op_drop,
	.refresh = op_refresh,
	.filled = op_filled,
	.added = op_added,
	.removed = op_removed,
	.properties = op_properties,
	.deliver = op_deliver,
	.revoked = op_revoked,
	.detached = op_detached,
	.reset = op_reset,
	.now_ns = op_now,
	.random = op_random,
	.uuid = op_uuid,
};

uint32_t command(struct world *w, const void *request, size_t size)
{
	unsigned int before = w->answers;

	memset(&w->answer, 0xee, sizeof(w->answer));
	dev_command(&w->dev, w, request, size);
	assert_int_equal(w->answers, before + 1);
	return le32toh(w->answer.hdr.status);
}

struct virtio_bufshare_request hdr(struct world *w, uint32_t type)
{
	return (struct virtio_bufshare_request){ .type = htole32(type),
						 .epoch = htole64(w->dev.epoch) };
}

uint32_t init_with(struct world *w, uint64_t epoch, uint64_t caps)
{
	const struct virtio_bufshare_init req = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_INIT), .epoch = htole64(epoch) },
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(caps),
	};

	return command(w, &req, sizeof(req));
}

uint32_t init(struct world *w, uint64_t epoch)
{
	return init_with(w, epoch, VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES);
}

int setup(void **state)
{
	static const struct dev_limits limits = {
		.max_buffers = 4,
		.max_buffer_size = 16 * PAGE,
		.max_total_size = 32 * PAGE,
		.max_ranges = 8,
	};
	struct world *w = calloc(1, sizeof(*w));

	dev_init(&w->dev, &ops, w, &limits,
		 VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_UNMAPPED);
	assert_int_equal(init(w, 0), OK);
	*state = w;
	return 0;
}

int teardown(void **state)
{
	struct world *w = *state;

	dev_clear(&w->dev);
	assert_int_equal(w->exports, w->drops);
	assert_int_equal(w->slots, 0);
	free(w);
	return 0;
}

struct reg good(struct world *w, uint64_t id)
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

uint32_t send_register(struct world *w, const struct reg *r)
{
	return command(w, r, offsetof(struct reg, properties) + sizeof(r->properties));
}

struct dev_buffer *registered(struct world *w, uint64_t id)
{
	struct reg r = good(w, id);

	assert_int_equal(send_register(w, &r), OK);
	assert_non_null(dev_find(&w->dev, id));
	return dev_find(&w->dev, id);
}

uint32_t unregister(struct world *w, uint64_t id)
{
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(id),
		.reason = htole32(VIRTIO_BUFSHARE_REASON_PRODUCER_GONE),
	};

	return command(w, &req, sizeof(req));
}

struct dev_slot *attach(struct world *w, struct dev_buffer *b, bool mapped)
{
	struct dev_slot *slot = dev_attach(b, w, !mapped);

	assert_non_null(slot);
	w->slots++;
	return slot;
}

uint32_t update(struct world *w, uint64_t id, uint64_t seq, uint32_t x)
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

uint64_t released(struct world *w, uint32_t *flags)
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
