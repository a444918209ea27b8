/* SPDX-License-Identifier: MIT */
/*
 * The commands of the control queue: checked in full, then done. Whatever is wrong is
 * answered with a status; nothing of a refused command takes effect.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/device.h"
#include "host/daemon/device-internal.h"

#define S(name) VIRTIO_BUFSHARE_STATUS_##name

/* A command on its way; bytes is the whole request, in this process's memory. */
struct command {
	struct dev *dev;
	void *token;
	const uint8_t *bytes;
	size_t size;
	uint32_t flags;
	uint32_t detail;
};

static void answer(const struct command *c, uint32_t status)
{
	const struct virtio_bufshare_response r = {
		.status = htole32(status),
		.detail = htole32(c->detail),
	};

	c->dev->ops->complete(c->dev->data, c->token, &r, sizeof(r));
}

static uint32_t over(struct command *c, uint32_t limit)
{
	c->detail = limit;
	return S(LIMIT);
}

/* Commands of one size without flags. */
static bool exact(const struct command *c, size_t size)
{
	return c->size == size;
}

/* For every command but UNREGISTER: a lost buffer is as good as none. */
static struct dev_buffer *find_usable(const struct command *c, uint64_t id)
{
	struct dev_buffer *b = dev_find(c->dev, id);

	return b && !b->lost ? b : NULL;
}

static uint64_t new_epoch(struct dev *dev)
{
	uint64_t epoch;

	do {
		dev->ops->random(dev->data, &epoch, sizeof(epoch));
	} while (!epoch || epoch == dev->last_epoch);
	return epoch;
}

static uint32_t cmd_init(struct command *c)
{
	const struct virtio_bufshare_init *req = (const void *)c->bytes;
	struct virtio_bufshare_init_response resp = { 0 };
	struct dev *dev = c->dev;
	uint64_t epoch;
	bool first = !dev->epoch;

	if (!exact(c, sizeof(*req)) || req->reserved)
		return S(INVALID);
	if (le32toh(req->version) != VIRTIO_BUFSHARE_VERSION || (le64toh(req->caps) & ~dev->offered_caps))
		return S(UNSUPPORTED);

	epoch = le64toh(req->hdr.epoch);
	dev_void(dev);
	if (!epoch || epoch != dev->last_epoch) {
		epoch = new_epoch(dev);
		dev_forget_all(dev);
		dev_forget_kept(dev);
	}
	dev->epoch = dev->last_epoch = epoch;
	dev->caps = le64toh(req->caps);
	dev->ops->reset(dev->data, first);
	resp.epoch = htole64(epoch);
	resp.caps = req->caps;
	dev->ops->complete(dev->data, c->token, &resp, sizeof(resp));
	return S(OK);
}

static uint32_t check_ranges(struct command *c, const struct virtio_bufshare_range *ranges,
			     uint32_t n, uint64_t size)
{
	const uint64_t mask = VIRTIO_BUFSHARE_PAGE_SIZE - 1;
	uint64_t sum = 0, end = 0;
	uint32_t i, merged = 0;

	for (i = 0; i < n; i++) {
		uint64_t addr = le64toh(ranges[i].addr), bytes = le64toh(ranges[i].size);

		if (!bytes || (bytes & mask) || (addr & mask) || addr + bytes < addr ||
		    bytes > size - sum)
			return S(INVALID);
		sum += bytes;
		merged += i == 0 || addr != end;
		end = addr + bytes;
	}
	if (sum != size)
		return S(INVALID);
	if (merged > c->dev->limits.max_ranges)
		return over(c, VIRTIO_BUFSHARE_LIMIT_RANGES);
	return S(OK);
}

static uint32_t check_block(struct command *c, const char *block, size_t size, unsigned int flags)
{
	switch (props_check_block(block, size, flags)) {
	case 0:
		return S(OK);
	case -EPERM:
		return S(DENIED);
	case -ENOSPC:
		return over(c, VIRTIO_BUFSHARE_LIMIT_PROPERTIES);
	default:
		return S(INVALID);
	}
}

/* Of a checked block. */
static size_t count_strings(const char *block, size_t size)
{
	size_t i, n = 0;

	for (i = 0; i < size; i++)
		n += block[i] == '\0';
	return n;
}

static bool application_allowed(const struct dev *dev, const uint8_t *application)
{
	return !dev->limits.application[0] ||
	       memcmp(dev->limits.application, application, sizeof(dev->limits.application)) == 0;
}

static uint32_t check_register(struct command *c, const struct virtio_bufshare_register *req)
{
	static const uint8_t no_uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	const uint32_t n = le32toh(req->num_ranges), properties = le32toh(req->properties_size);
	const uint64_t size = le64toh(req->size);
	const bool again = c->flags & VIRTIO_BUFSHARE_REGISTER_AGAIN;
	const struct dev *dev = c->dev;
	const struct virtio_bufshare_range *ranges = (const void *)(req + 1);
	const char *block = (const char *)(ranges + n);
	uint32_t status, limit;

	if (c->flags & ~(VIRTIO_BUFSHARE_REGISTER_AGAIN | VIRTIO_BUFSHARE_REGISTER_SHARE_RW))
		return S(UNSUPPORTED); /* BY_UUID is not offered; SHARE_RW permits what nobody asks for yet */
	if (!req->buffer || !req->application[0] ||
	    !props_label_field_valid(req->application, sizeof(req->application)) ||
	    memcmp(req->uuid, no_uuid, sizeof(no_uuid)) != 0 || !size ||
	    (req->seq && !(c->flags & VIRTIO_BUFSHARE_REGISTER_AGAIN)))
		return S(INVALID);
	if (!application_allowed(dev, req->application))
		return S(DENIED);
	if (n > VIRTIO_BUFSHARE_MAX_RANGES)
		return over(c, VIRTIO_BUFSHARE_LIMIT_RANGES);
	if (properties > VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE)
		return over(c, VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE);
	if (c->size != sizeof(*req) + n * sizeof(*ranges) + properties)
		return S(INVALID);
	if (size > dev->limits.max_buffer_size)
		return over(c, VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE);
	status = check_ranges(c, ranges, n, size);
	if (status == S(OK))
		status = check_block(c, block, properties, PROPS_GUEST);
	if (status != S(OK))
		return status;
	limit = dev_properties_limit(dev, count_strings(block, properties), properties);
	if (limit)
		return over(c, limit);
	if (dev_find(c->dev, le64toh(req->buffer)) ||
	    (!again && dev_find_kept(c->dev, le64toh(req->buffer))))
		return S(EXISTS);
	if (dev->num_buffers >= dev->limits.max_buffers)
		return over(c, VIRTIO_BUFSHARE_LIMIT_BUFFERS);
	limit = dev_size_limit(dev, size, again);
	return limit ? over(c, limit) : S(OK);
}

/* Of a checked request; NULL: no memory. */
static struct dev_buffer *make_buffer(struct dev *dev, const struct virtio_bufshare_register *req)
{
	const struct virtio_bufshare_range *ranges = (const void *)(req + 1);
	struct dev_buffer *b = calloc(1, sizeof(*b));
	uint32_t i, n = le32toh(req->num_ranges);

	if (!b)
		return NULL;
	LIST_INIT(&b->slots);
	STAILQ_INIT(&b->deferred);
	b->dev = dev;
	b->id = le64toh(req->buffer);
	b->size = le64toh(req->size);
	b->newest.seq = b->released = le64toh(req->seq);
	b->copy.valid = !b->newest.seq;
	b->again = le32toh(req->hdr.flags) & VIRTIO_BUFSHARE_REGISTER_AGAIN;
	memcpy(b->application, req->application, sizeof(b->application));
	dev->ops->uuid(dev->data, dev->epoch, b->id, b->uuid);
	b->ranges = calloc(n, sizeof(*b->ranges));
	if (!b->ranges ||
	    props_apply(&b->guest, (const char *)(ranges + n), le32toh(req->properties_size)) < 0) {
		dev_buffer_free(b);
		return NULL;
	}
	for (i = 0; i < n; i++) {
		struct dev_range r = { le64toh(ranges[i].addr), le64toh(ranges[i].size) };
		struct dev_range *last = b->num_ranges ? &b->ranges[b->num_ranges - 1] : NULL;

		if (last && last->addr + last->size == r.addr)
			last->size += r.size;
		else
			b->ranges[b->num_ranges++] = r;
	}
	return b;
}

static uint32_t cmd_register(struct command *c)
{
	const struct virtio_bufshare_register *req = (const void *)c->bytes;
	struct dev *dev = c->dev;
	struct dev_buffer *b;
	uint32_t status;

	if (c->size < sizeof(*req))
		return S(INVALID);
	status = check_register(c, req);
	if (status != S(OK))
		return status;

	c->detail = ENOMEM;
	b = make_buffer(dev, req);
	if (!b)
		return S(HOST);
	if (dev_insert(dev, b) < 0) {
		dev_buffer_free(b);
		return S(HOST);
	}
	c->detail = 0;
	if (b->again && (dev->caps & VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES))
		dev_restore(b);
	status = dev->ops->export_buffer(dev->data, b, &c->detail);
	if (status == DEV_LATER) {
		dev_making(b, c->token);
		return S(OK);
	}
	if (status == S(OK)) {
		dev_made(b, c->token);
		return S(OK);
	}
	dev_take_out(b);
	dev_buffer_free(b);
	return status;
}

/* One that consumers did not let go of before: they still did not. */
static uint32_t unregister_kept(struct command *c, uint64_t id)
{
	const struct virtio_bufshare_unregister_response resp = {
		.flags = htole32(VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED),
	};
	struct dev_buffer *b = dev_find_kept(c->dev, id);

	if (!b)
		return S(NOT_FOUND);
	b->asked = true;
	c->dev->ops->complete(c->dev->data, c->token, &resp, sizeof(resp));
	return S(OK);
}

static uint32_t cmd_unregister(struct command *c)
{
	const struct virtio_bufshare_unregister *req = (const void *)c->bytes;
	struct dev_buffer *b;

	if (!exact(c, sizeof(*req)) || req->reserved ||
	    le32toh(req->reason) > VIRTIO_BUFSHARE_REASON_RESET)
		return S(INVALID);
	b = dev_find(c->dev, le64toh(req->buffer));
	if (!b)
		return unregister_kept(c, le64toh(req->buffer));
	dev_forget(b);
	dev_remove(b, le32toh(req->reason), c->token);
	return S(OK);
}

static uint32_t cmd_update(struct command *c)
{
	const struct virtio_bufshare_update *req = (const void *)c->bytes;
	const struct virtio_bufshare_rect *rects = (const void *)(req + 1);
	struct dev_damage damage = { 0 };
	struct dev_buffer *b;
	uint32_t i, n;

	if (c->size < sizeof(*req) || req->reserved)
		return S(INVALID);
	n = le32toh(req->num_damage);
	if (n > VIRTIO_BUFSHARE_MAX_DAMAGE)
		return over(c, VIRTIO_BUFSHARE_LIMIT_DAMAGE);
	if (c->size != sizeof(*req) + n * sizeof(*rects))
		return S(INVALID);
	for (i = 0; i < n; i++) {
		struct dev_rect r = { le32toh(rects[i].x), le32toh(rects[i].y),
				      le32toh(rects[i].width), le32toh(rects[i].height) };

		if (!r.width || !r.height)
			return S(INVALID);
		damage.v[damage.n++] = r;
	}
	damage.all = n == 0;
	b = find_usable(c, le64toh(req->buffer));
	if (!b)
		return S(NOT_FOUND);
	if (le64toh(req->seq) <= b->newest.seq)
		return S(INVALID);
	answer(c, S(OK));
	dev_updated(b, le64toh(req->seq), le64toh(req->time_ns), &damage);
	return S(OK);
}

static uint32_t cmd_set_properties(struct command *c)
{
	const struct virtio_bufshare_set_properties *req = (const void *)c->bytes;
	const char *block = (const char *)(req + 1);
	struct dev_buffer *b;
	uint32_t status, size, limit;

	if (c->size < sizeof(*req) || req->reserved)
		return S(INVALID);
	size = le32toh(req->properties_size);
	if (size > VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE)
		return over(c, VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE);
	if (c->size != sizeof(*req) + size)
		return S(INVALID);
	status = check_block(c, block, size, PROPS_GUEST | PROPS_REMOVALS);
	if (status != S(OK))
		return status;
	b = find_usable(c, le64toh(req->buffer));
	if (!b)
		return S(NOT_FOUND);
	switch (dev_apply_properties(c->dev, &b->guest, &b->host, block, size, &limit)) {
	case 0:
		break;
	case -ENOSPC:
		return over(c, limit);
	default:
		c->detail = ENOMEM;
		return S(HOST);
	}
	dev_copy_all(b);
	c->dev->ops->properties(c->dev->data, b, block, size);
	answer(c, S(OK));
	return S(OK);
}

static uint32_t cmd_get_properties(struct command *c)
{
	const struct virtio_bufshare_named *req = (const void *)c->bytes;
	struct {
		struct virtio_bufshare_get_properties_response hdr;
		char block[PROPS_BLOCK_MAX];
	} resp = { 0 };
	struct dev_buffer *b;
	size_t size;

	if (!(c->dev->caps & VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES))
		return S(UNSUPPORTED);
	if (!exact(c, sizeof(*req)))
		return S(INVALID);
	b = find_usable(c, le64toh(req->buffer));
	if (!b)
		return S(NOT_FOUND);
	size = props_write_block(&b->host, PROPS_HOST, resp.block);
	resp.hdr.generation = htole64(b->properties_generation);
	resp.hdr.properties_size = htole32((uint32_t)size);
	c->dev->ops->complete(c->dev->data, c->token, &resp, sizeof(resp.hdr) + size);
	return S(OK);
}

static void reset_those_of(struct dev *dev, struct dev_buffers *list, const uint8_t *application)
{
	struct dev_buffer *b, *next;

	for (b = TAILQ_FIRST(list); b; b = next) {
		next = TAILQ_NEXT(b, link);
		if (application[0] &&
		    memcmp(application, b->application, sizeof(b->application)) != 0)
			continue;
		dev_forget(b);
		if (b->making) {
			dev_unmake(b, S(HOST), ECANCELED);
			continue;
		}
		b->by_reset = true;
		dev->reset_left++;
		dev_remove(b, VIRTIO_BUFSHARE_REASON_RESET, NULL);
	}
}

static uint32_t cmd_reset(struct command *c)
{
	const struct virtio_bufshare_reset *req = (const void *)c->bytes;

	if (!exact(c, sizeof(*req)) ||
	    !props_label_field_valid(req->application, sizeof(req->application)))
		return S(INVALID);
	if (c->dev->reset_token) {
		c->detail = EBUSY;
		return S(HOST);
	}
	/* Answered, as UNREGISTER is, when consumers have let go of the pages. */
	c->dev->reset_token = c->token;
	c->dev->reset_left = 1;
	reset_those_of(c->dev, &c->dev->making, req->application);
	reset_those_of(c->dev, &c->dev->buffers, req->application);
	reset_those_of(c->dev, &c->dev->lost, req->application);
	dev_reset_one_less(c->dev);
	return S(OK);
}

static uint32_t cmd_query(struct command *c)
{
	const struct virtio_bufshare_named *req = (const void *)c->bytes;
	struct virtio_bufshare_query_response resp = { 0 };
	const struct dev_buffer *b;

	if (!exact(c, sizeof(*req)))
		return S(INVALID);
	b = find_usable(c, le64toh(req->buffer));
	if (!b)
		return S(NOT_FOUND);
	resp.seq = htole64(b->newest.seq);
	resp.released = htole64(b->released);
	resp.updates = htole64(b->updates);
	resp.bytes_copied = htole64(b->bytes_copied);
	resp.path = htole32(b->path);
	resp.consumers = htole32(b->consumers);
	c->dev->ops->complete(c->dev->data, c->token, &resp, sizeof(resp));
	return S(OK);
}

static uint32_t cmd_ping(struct command *c)
{
	const struct virtio_bufshare_ping *req = (const void *)c->bytes;
	struct virtio_bufshare_ping_response resp = { 0 };

	if (!exact(c, sizeof(*req)))
		return S(INVALID);
	resp.cookie = req->cookie;
	c->dev->ops->complete(c->dev->data, c->token, &resp, sizeof(resp));
	return S(OK);
}

/* Every function answers the command itself, or returns why it is refused. */
static uint32_t (*const commands[])(struct command *c) = {
	[VIRTIO_BUFSHARE_CMD_INIT] = cmd_init,
	[VIRTIO_BUFSHARE_CMD_REGISTER] = cmd_register,
	[VIRTIO_BUFSHARE_CMD_UNREGISTER] = cmd_unregister,
	[VIRTIO_BUFSHARE_CMD_UPDATE] = cmd_update,
	[VIRTIO_BUFSHARE_CMD_SET_PROPERTIES] = cmd_set_properties,
	[VIRTIO_BUFSHARE_CMD_GET_PROPERTIES] = cmd_get_properties,
	[VIRTIO_BUFSHARE_CMD_RESET] = cmd_reset,
	[VIRTIO_BUFSHARE_CMD_QUERY] = cmd_query,
	[VIRTIO_BUFSHARE_CMD_PING] = cmd_ping,
};

/* Commands take effect in their order, so those for a buffer wait until it is there. */
static struct dev_buffer *waits_for(const struct command *c, uint32_t type)
{
	const struct virtio_bufshare_named *named = (const void *)c->bytes;
	struct dev_buffer *b = NULL;

	switch (type) {
	case VIRTIO_BUFSHARE_CMD_UNREGISTER:
	case VIRTIO_BUFSHARE_CMD_UPDATE:
	case VIRTIO_BUFSHARE_CMD_SET_PROPERTIES:
	case VIRTIO_BUFSHARE_CMD_GET_PROPERTIES:
	case VIRTIO_BUFSHARE_CMD_QUERY:
		if (c->size >= sizeof(*named))
			b = dev_find(c->dev, le64toh(named->buffer));
	}
	return b && b->making ? b : NULL;
}

static uint32_t dispatch(struct command *c)
{
	const struct virtio_bufshare_request *hdr = (const void *)c->bytes;
	struct dev_buffer *b;
	uint32_t type;

	if (c->size < sizeof(*hdr))
		return S(INVALID);
	type = le32toh(hdr->type);
	c->flags = le32toh(hdr->flags);
	if (type >= ARRAY_SIZE(commands) || !commands[type])
		return S(UNSUPPORTED);
	if (c->flags && type != VIRTIO_BUFSHARE_CMD_REGISTER)
		return S(UNSUPPORTED);
	if (type != VIRTIO_BUFSHARE_CMD_INIT &&
	    (!c->dev->epoch || le64toh(hdr->epoch) != c->dev->epoch))
		return S(EPOCH);
	b = waits_for(c, type);
	if (!b)
		return commands[type](c);
	c->detail = ENOMEM;
	return dev_defer(b, c->token, c->bytes, c->size) < 0 ? S(HOST) : S(OK);
}

void dev_command(struct dev *dev, void *token, const void *request, size_t size)
{
	struct command c = { .dev = dev, .token = token, .bytes = request, .size = size };
	uint32_t status = dispatch(&c);

	if (status != S(OK))
		answer(&c, status);
}

size_t dev_max_command(void)
{
	return sizeof(struct virtio_bufshare_register) +
	       (size_t)VIRTIO_BUFSHARE_MAX_RANGES * sizeof(struct virtio_bufshare_range) +
	       VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE;
}
