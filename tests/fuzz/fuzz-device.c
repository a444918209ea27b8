/* SPDX-License-Identifier: MIT */
/*
 * Commands of a hostile driver at the device model, with consumers that come, hold, give
 * back and go at any moment. Every command is answered once; every event is well-formed.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/daemon/device.h"

const char fuzz_name[] = "device";

#define MAX_STEPS 512
#define NUM_CONSUMERS 3

struct consumer {
	LIST_HEAD(, view) views;
	bool watches, maps, full;
};

/* One buffer as one consumer sees it. */
struct view {
	LIST_ENTRY(view) link;
	struct consumer *c;
	struct dev_slot *slot;
};

struct state {
	struct fuzz_input in;
	struct dev dev;
	struct consumer consumers[NUM_CONSUMERS];
	unsigned int unanswered, exports;
	uint64_t time;
	bool refuse, slow;
};

static void op_complete(void *data, void *token, const void *response, size_t size)
{
	struct state *s = data;
	const struct virtio_bufshare_response *r = response;

	fuzz_check(size >= sizeof(*r));
	fuzz_check(le32toh(r->status) <= VIRTIO_BUFSHARE_STATUS_HOST);
	fuzz_check(s->unanswered > 0);
	s->unanswered--;
	free(token);
}

static void op_events(void *data)
{
}

static uint32_t op_export(void *data, struct dev_buffer *b, uint32_t *detail)
{
	struct state *s = data;

	if (s->refuse) {
		*detail = ENOMEM;
		return VIRTIO_BUFSHARE_STATUS_HOST;
	}
	b->path = VIRTIO_BUFSHARE_PATH_COPY;
	s->exports++;
	return s->slow ? DEV_LATER : VIRTIO_BUFSHARE_STATUS_OK;
}

static void op_drop(void *data, struct dev_buffer *b)
{
	struct state *s = data;

	fuzz_check(s->exports > 0);
	s->exports--;
}

static int op_refresh(void *data, struct dev_buffer *b, const struct dev_damage *damage)
{
	struct state *s = data;

	fuzz_check(damage->n <= VIRTIO_BUFSHARE_MAX_DAMAGE && !b->copy.busy);
	return s->slow ? -EINPROGRESS : 0;
}

static void op_filled(void *data, struct dev_slot *slot)
{
	fuzz_check(slot->copied && !slot->filling && slot->buffer->copy.valid);
}

static void attach(struct consumer *c, struct dev_buffer *b)
{
	struct view *v = malloc(sizeof(*v));

	fuzz_check(v);
	v->c = c;
	v->slot = dev_attach(b, v, !c->maps);
	fuzz_check(v->slot);
	LIST_INSERT_HEAD(&c->views, v, link);
}

static void op_added(void *data, struct dev_buffer *b)
{
	struct state *s = data;
	int i;

	fuzz_check(b->size && b->num_ranges);
	for (i = 0; i < NUM_CONSUMERS; i++)
		if (s->consumers[i].watches)
			attach(&s->consumers[i], b);
}

static void op_removed(void *data, struct dev_buffer *b, uint32_t reason)
{
	fuzz_check(reason <= VIRTIO_BUFSHARE_REASON_HOST);
}

static void op_properties(void *data, struct dev_buffer *b, const char *block, size_t size)
{
	fuzz_check(props_check_block(block, size, PROPS_GUEST | PROPS_HOST | PROPS_REMOVALS) == 0);
}

static int op_deliver(void *data, struct dev_slot *slot, uint64_t seq)
{
	const struct view *v = slot->consumer;

	fuzz_check(slot->pending && slot->pending <= seq && !slot->held && !slot->revoked_seq);
	fuzz_check(slot->damage.n <= VIRTIO_BUFSHARE_MAX_DAMAGE && !slot->hidden);
	fuzz_check(!slot->copied || (!slot->filling && !slot->buffer->copy.busy));
	return v->c->full ? -EAGAIN : 0;
}

static void op_revoked(void *data, struct dev_slot *slot, uint64_t seq)
{
	fuzz_check(seq && !slot->held && !slot->waiting);
}

static void op_detached(void *data, struct dev_slot *slot)
{
	struct view *v = slot->consumer;

	LIST_REMOVE(v, link);
	free(v);
}

static void op_reset(void *data, bool first)
{
}

static uint64_t op_now(void *data)
{
	struct state *s = data;

	return s->time++;
}

static void op_random(void *data, void *buf, size_t size)
{
	struct state *s = data;

	memset(buf, (int)(s->time++ | 1), size);
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

static struct consumer *chosen(struct state *s)
{
	return &s->consumers[fuzz_u8(&s->in) % NUM_CONSUMERS];
}

static void command(struct state *s, bool in_epoch)
{
	struct virtio_bufshare_request *request;
	size_t size;
	const uint8_t *bytes = fuzz_chunk(&s->in, &size);
	uint8_t *buf = malloc(size ? size : 1);

	fuzz_check(buf);
	if (size)
		memcpy(buf, bytes, size);
	request = (struct virtio_bufshare_request *)buf;
	if (in_epoch && size >= sizeof(*request))
		request->epoch = htole64(s->dev.epoch);
	s->unanswered++;
	dev_command(&s->dev, malloc(1), buf, size);
	free(buf);
}

static void check_limits(const struct state *s)
{
	const struct dev *dev = &s->dev;
	const struct dev_buffer *b;
	uint64_t total = 0;
	uint32_t n = 0;

	TAILQ_FOREACH(b, &dev->buffers, link) {
		fuzz_check(b->released <= b->newest.seq && b->num_ranges <= dev->limits.max_ranges);
		fuzz_check(b->guest.n + b->host.n <= PROPS_MAX);
		fuzz_check(b->guest.block_size + b->host.block_size <= PROPS_BLOCK_MAX);
		total += b->size;
		n++;
	}
	fuzz_check(n <= dev->limits.max_buffers && total <= dev->limits.max_total_size);
	fuzz_check(dev->num_kept <= 5 * dev->limits.max_buffers);
	fuzz_check(dev->kept_size <= 2 * dev->limits.max_total_size);
}

static bool take_event(struct state *s)
{
	struct virtio_bufshare_event event = { 0 };

	if (!dev_next_event(&s->dev, &event))
		return false;
	fuzz_check(le32toh(event.type) >= VIRTIO_BUFSHARE_EVENT_RELEASED &&
		   le32toh(event.type) <= VIRTIO_BUFSHARE_EVENT_UNMAPPED);
	fuzz_check(le64toh(event.epoch) == s->dev.epoch);
	return true;
}

static void watch(struct state *s)
{
	struct consumer *c = chosen(s);
	struct dev_buffer *b;

	c->maps = fuzz_u8(&s->in) & 1;
	if (c->watches)
		return;
	c->watches = true;
	TAILQ_FOREACH(b, &s->dev.buffers, link)
		attach(c, b);
}

static void release(struct state *s)
{
	struct consumer *c = chosen(s);
	uint8_t wrong = fuzz_u8(&s->in) & 3;
	struct view *v;

	LIST_FOREACH(v, &c->views, link)
		dev_release(v->slot, (v->slot->held | v->slot->revoked_seq) + wrong);
}

static void set_full(struct state *s)
{
	struct consumer *c = chosen(s);
	struct view *v;

	c->full = fuzz_u8(&s->in) & 1;
	if (!c->full)
		LIST_FOREACH(v, &c->views, link)
			dev_flush(v->slot);
}

static void detach(struct consumer *c, bool gone)
{
	struct view *v;

	c->watches = false;
	while ((v = LIST_FIRST(&c->views)))
		dev_detach(v->slot, gone);
}

static void host_properties(struct state *s)
{
	struct dev_buffer *b = TAILQ_FIRST(&s->dev.buffers);
	size_t size;
	const uint8_t *block = fuzz_chunk(&s->in, &size);
	int r;

	if (!b || props_check_block((const char *)block, size, PROPS_HOST | PROPS_REMOVALS) < 0)
		return;
	r = dev_set_host_properties(b, (const char *)block, size);
	fuzz_check(r == 0 || r == -ENOSPC || r == -EOPNOTSUPP);
}

static void exported(struct state *s)
{
	static const uint32_t results[] = {
		VIRTIO_BUFSHARE_STATUS_OK, VIRTIO_BUFSHARE_STATUS_OK,
		VIRTIO_BUFSHARE_STATUS_MEMORY, VIRTIO_BUFSHARE_STATUS_HOST,
	};
	const uint32_t status = results[fuzz_u8(&s->in) % ARRAY_SIZE(results)];
	struct dev_buffer *b = TAILQ_FIRST(&s->dev.making);

	if (!b)
		return;
	if (status != VIRTIO_BUFSHARE_STATUS_OK)
		s->exports--;
	dev_exported(b, status, 0);
}

static void copied(struct state *s)
{
	const int r = fuzz_u8(&s->in) % 4 ? 0 : -EFAULT;
	struct dev_buffer *b;

	TAILQ_FOREACH(b, &s->dev.buffers, link)
		if (b->copy.busy) {
			dev_copied(b, r);
			return;
		}
}

static void step(struct state *s)
{
	uint8_t what = fuzz_u8(&s->in) % NUM_DEV_STEPS;
	struct consumer *c;

	switch (what) {
	case DEV_STEP_COMMAND:
	case DEV_STEP_COMMAND_IN_EPOCH:
		command(s, what == DEV_STEP_COMMAND_IN_EPOCH);
		break;
	case DEV_STEP_EVENT:
		take_event(s);
		break;
	case DEV_STEP_TICK:
		dev_tick(&s->dev);
		dev_take_back(&s->dev, s->time > 8 ? s->time - 8 : 0);
		break;
	case DEV_STEP_WATCH:
		watch(s);
		break;
	case DEV_STEP_RELEASE:
		release(s);
		break;
	case DEV_STEP_FULL:
		set_full(s);
		break;
	case DEV_STEP_DETACH:
		c = chosen(s);
		detach(c, fuzz_u8(&s->in) & 1);
		break;
	case DEV_STEP_LOSE:
		if (!TAILQ_EMPTY(&s->dev.buffers))
			dev_lost(TAILQ_FIRST(&s->dev.buffers), VIRTIO_BUFSHARE_REASON_MEMORY);
		break;
	case DEV_STEP_HOST_PROPERTIES:
		host_properties(s);
		break;
	case DEV_STEP_CLEAR:
		dev_clear(&s->dev);
		break;
	case DEV_STEP_REFUSE:
		s->refuse = fuzz_u8(&s->in) & 1;
		break;
	case DEV_STEP_SLOW:
		s->slow = fuzz_u8(&s->in) & 1;
		break;
	case DEV_STEP_EXPORTED:
		exported(s);
		break;
	case DEV_STEP_COPIED:
		copied(s);
		break;
	}
	check_limits(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct dev_limits limits = {
		.max_buffers = 8,
		.max_buffer_size = 1 << 20,
		.max_total_size = 4 << 20,
		.max_ranges = 16,
	};
	struct state s = { .in = { data, size } };
	int i;

	dev_init(&s.dev, &ops, &s, &limits,
		 VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_RECOVERY |
			 VIRTIO_BUFSHARE_CAP_UNMAPPED);
	for (i = 0; i < NUM_CONSUMERS; i++)
		LIST_INIT(&s.consumers[i].views);
	for (i = 0; s.in.size && i < MAX_STEPS; i++)
		step(&s);

	/* There is an end to what the driver is told: one thing of a kind for each buffer. */
	for (i = 0; i < 1000 && take_event(&s); i++)
		;
	fuzz_check(i < 1000);
	dev_clear(&s.dev);
	for (i = 0; i < NUM_CONSUMERS; i++)
		detach(&s.consumers[i], true);
	fuzz_check(s.unanswered == 0);
	fuzz_check(s.exports == 0);
	fuzz_check(s.dev.num_buffers == 0 && s.dev.total_size == 0 &&
		   s.dev.num_kept == 0 && s.dev.kept_size == 0);
	return 0;
}
