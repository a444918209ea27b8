/* SPDX-License-Identifier: MIT */
/*
 * The part of the guest's driver is played here: it says the commands of
 * virtio_bufshare.h to the model. Each buffer is its own machine's whole memory.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/stage.h"
#include "common/cleanup.h"
#include "common/siphash.h"
#include "host/daemon/consumers.h"
#include "host/daemon/export.h"
#include "host/daemon/listener.h"
#include "host/daemon/log.h"

#define MAX_CONSUMERS 64
#define MAX_BUFFERS 256
#define MAX_TOTAL (1ull << 30)
#define TICK_NS 1000000000ull
#define FAREWELL_NS 2000000000ull

struct stage {
	struct loop *loop;
	struct loop_source *interrupt, *tick;
	struct dev dev;
	struct exporter exporter;
	struct consumers *consumers;
	struct virtio_bufshare_config device;
	struct stage_buffer *adding; /* whose memory op_export() takes */
	uint8_t key[SIPHASH_KEY_SIZE];
	uint64_t last_id;
	char *path; /* of the socket, to be removed; NULL: there is none */
	unsigned int leaving; /* buffers of which consumers have pages */
	bool interrupted;
};

struct stage_buffer {
	struct stage *stage;
	struct memory *memory;
	void *map;
	uint64_t id;
	uint64_t seq;
};

/* What a command is answered; of its own, or of any UNREGISTER. */
struct answer {
	bool there;
	struct virtio_bufshare_response response;
};

/* ---- what the model asks for ---- */

static void op_complete(void *data, void *token, const void *response, size_t size)
{
	struct stage *s = data;
	struct answer *a = token;

	if (token == s) {
		s->leaving--;
		return;
	}
	memcpy(&a->response, response, sizeof(a->response));
	a->there = true;
}

static void op_events(void *data)
{
	/* stage_wait() takes them. */
}

static uint32_t op_export(void *data, struct dev_buffer *b, uint32_t *detail)
{
	struct stage *s = data;

	return export_make(&s->exporter, s->adding->memory, b, detail);
}

static void op_drop_export(void *data, struct dev_buffer *b)
{
	b->export = export_free(b->export);
}

static int op_refresh(void *data, struct dev_buffer *b, const struct dev_damage *damage)
{
	struct stage *s = data;
	uint64_t n;
	int r = export_refresh(b, damage, &n);

	b->bytes_copied += n;
	s->dev.bytes_copied += n;
	return r;
}

static void op_filled(void *data, struct dev_slot *slot)
{
	consumers_filled(slot);
}

static void op_added(void *data, struct dev_buffer *b)
{
	struct stage *s = data;

	consumers_added(s->consumers, b);
}

static void op_removed(void *data, struct dev_buffer *b, uint32_t reason)
{
	struct stage *s = data;

	consumers_removed(s->consumers, b, reason);
}

static void op_properties(void *data, struct dev_buffer *b, const char *block, size_t size)
{
	struct stage *s = data;

	consumers_properties(s->consumers, b, block, size);
}

static int op_deliver(void *data, struct dev_slot *slot, uint64_t seq)
{
	return consumers_deliver(slot, seq);
}

static void op_revoked(void *data, struct dev_slot *slot, uint64_t seq)
{
	consumers_revoked(slot, seq);
}

static void op_detached(void *data, struct dev_slot *slot)
{
	consumers_detached(slot);
}

static void op_reset(void *data, bool first)
{
	struct stage *s = data;

	consumers_set_state(s->consumers, BUFSHARE_IPC_STATE_RUNNING);
}

static uint64_t op_now_ns(void *data)
{
	return now_ns();
}

static void op_random(void *data, void *buf, size_t size)
{
	while (getrandom(buf, size, 0) != (ssize_t)size)
		;
}

static void op_uuid(void *data, uint64_t epoch, uint64_t id, uint8_t uuid[16])
{
	const uint64_t input[] = { epoch, id };
	struct stage *s = data;

	siphash_uuid(s->key, input, sizeof(input), uuid);
}

static const struct dev_ops ops = {
	.complete = op_complete,
	.events = op_events,
	.export_buffer = op_export,
	.drop_export = op_drop_export,
	.refresh = op_refresh,
	.filled = op_filled,
	.added = op_added,
	.removed = op_removed,
	.properties = op_properties,
	.deliver = op_deliver,
	.revoked = op_revoked,
	.detached = op_detached,
	.reset = op_reset,
	.now_ns = op_now_ns,
	.random = op_random,
	.uuid = op_uuid,
};

/* ---- commands ---- */

static struct virtio_bufshare_request header(const struct stage *s, uint32_t type)
{
	return (struct virtio_bufshare_request){
		.type = htole32(type),
		.epoch = htole64(s->dev.epoch),
	};
}

static int command(struct stage *s, const void *request, size_t size)
{
	struct answer a = { .there = false };

	dev_command(&s->dev, &a, request, size);
	switch (a.there ? le32toh(a.response.status) : VIRTIO_BUFSHARE_STATUS_INVALID) {
	case VIRTIO_BUFSHARE_STATUS_OK:
		return 0;
	case VIRTIO_BUFSHARE_STATUS_LIMIT:
		return -ENOSPC;
	case VIRTIO_BUFSHARE_STATUS_HOST:
		return a.response.detail ? -(int)le32toh(a.response.detail) : -EIO;
	default:
		return -EINVAL;
	}
}

static int init(struct stage *s)
{
	const struct virtio_bufshare_init req = {
		.hdr = header(s, VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = s->device.caps,
	};

	return command(s, &req, sizeof(req));
}

int stage_set(struct stage_buffer *b, const char *block, size_t size)
{
	struct {
		struct virtio_bufshare_set_properties hdr;
		char block[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE];
	} req = {
		.hdr = {
			.hdr = header(b->stage, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES),
			.buffer = htole64(b->id),
			.properties_size = htole32((uint32_t)size),
		},
	};

	if (size > sizeof(req.block))
		return -ENOSPC;
	memcpy(req.block, block, size);
	return command(b->stage, &req, sizeof(req.hdr) + size);
}

int stage_update(struct stage_buffer *b, const struct bufshare_rect *rects, size_t n)
{
	struct {
		struct virtio_bufshare_update hdr;
		struct virtio_bufshare_rect rects[VIRTIO_BUFSHARE_MAX_DAMAGE];
	} req = {
		.hdr = {
			.hdr = header(b->stage, VIRTIO_BUFSHARE_CMD_UPDATE),
			.buffer = htole64(b->id),
			.seq = htole64(b->seq + 1),
			.time_ns = htole64(now_ns()),
			.num_damage = htole32((uint32_t)n),
		},
	};
	size_t i;
	int r;

	if (n > ARRAY_SIZE(req.rects))
		return -ENOSPC;
	for (i = 0; i < n; i++)
		req.rects[i] = (struct virtio_bufshare_rect){
			htole32(rects[i].x), htole32(rects[i].y),
			htole32(rects[i].width), htole32(rects[i].height),
		};
	r = command(b->stage, &req, sizeof(req.hdr) + n * sizeof(req.rects[0]));
	b->seq += r == 0;
	return r;
}

static void unregister(struct stage_buffer *b, uint32_t reason)
{
	const struct virtio_bufshare_unregister req = {
		.hdr = header(b->stage, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(b->id),
		.reason = htole32(reason),
	};

	b->stage->leaving++;
	dev_command(&b->stage->dev, b->stage, &req, sizeof(req));
}

static int do_register(struct stage_buffer *b, uint64_t size, const char *application,
		       const struct props *props)
{
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range range;
		char block[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE];
	} req = {
		.hdr = {
			.hdr = header(b->stage, VIRTIO_BUFSHARE_CMD_REGISTER),
			.buffer = htole64(b->id),
			.size = htole64(size),
			.num_ranges = htole32(1),
			.properties_size = htole32((uint32_t)props->block_size),
		},
		.range = { .size = htole64(size) },
	};
	int r;

	if (strlen(application) >= sizeof(req.hdr.application) ||
	    props->block_size > sizeof(req.block))
		return -EINVAL;
	strcpy((char *)req.hdr.application, application);
	props_write_block(props, PROPS_GUEST, req.block);
	b->stage->adding = b;
	r = command(b->stage, &req, offsetof(__typeof__(req), block) + props->block_size);
	b->stage->adding = NULL;
	return r;
}

/* ---- buffers ---- */

static struct stage_buffer *buffer_free(struct stage_buffer *b)
{
	if (b)
		memory_free(b->memory);
	free(b);
	return NULL;
}

static void cleanup_stage_buffer(struct stage_buffer **b)
{
	buffer_free(*b);
}

/* Sealed, so that it can become a dma-buf. */
static int make_memory(uint64_t size, struct stage_buffer *b)
{
	const struct memory_info info = { .size = size };
	_cleanup_close_ int fd = memfd_create("bufshare-replay", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct memory_span span;
	int r;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	r = memory_new(&b->memory);
	if (r == 0)
		r = memory_add(b->memory, &info, fd);
	if (r < 0)
		return r;
	steal_fd(&fd);
	r = memory_lookup(b->memory, 0, size, &span);
	if (r == 0)
		b->map = span.hva;
	return r;
}

int stage_add(struct stage *s, uint64_t id, uint64_t size, const char *application,
	      const struct props *props, struct stage_buffer **buffer)
{
	_cleanup_(cleanup_stage_buffer) struct stage_buffer *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->stage = s;
	b->id = id > s->last_id ? id : s->last_id + 1;
	if (!size || size % VIRTIO_BUFSHARE_PAGE_SIZE)
		return -EINVAL;
	if (size > MAX_TOTAL)
		return -ENOSPC;
	r = make_memory(size, b);
	if (r == 0)
		r = do_register(b, size, application, props);
	if (r < 0)
		return r;
	s->last_id = b->id;
	*buffer = steal_ptr(&b);
	return 0;
}

void *stage_map(struct stage_buffer *b)
{
	return b->map;
}

bool stage_is_busy(const struct stage_buffer *b)
{
	return dev_find(&b->stage->dev, b->id)->released < b->seq;
}

bool stage_is_seen(const struct stage_buffer *b)
{
	return dev_find(&b->stage->dev, b->id)->consumers > 0;
}

void stage_remove(struct stage_buffer *b, bool producer_gone)
{
	unregister(b, producer_gone ? VIRTIO_BUFSHARE_REASON_PRODUCER_GONE :
				      VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	buffer_free(b);
}

/* ---- life ---- */

static void on_interrupt(void *data, uint32_t events)
{
	struct stage *s = data;

	s->interrupt = loop_source_remove(s->interrupt);
	s->interrupted = true;
}

static void on_tick(void *data)
{
	struct stage *s = data;

	dev_tick(&s->dev);
}

/* A guest would be told of these. */
static void drop_events(struct stage *s)
{
	struct virtio_bufshare_event event;

	while (dev_next_event(&s->dev, &event))
		;
}

/* How long a loop may wait; rounded up, so that nobody looks again and again at the end. */
static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = now_ns(), ms;

	if (!deadline_ns)
		return -1;
	ms = deadline_ns > now ? (deadline_ns - now + 999999) / 1000000 : 0;
	return ms < 3600000 ? (int)ms : 3600000;
}

static int turn(struct stage *s, int timeout_ms)
{
	int r = loop_iterate(s->loop, timeout_ms);

	drop_events(s);
	return r;
}

int stage_wait(struct stage *s, uint64_t deadline_ns)
{
	int r = s->interrupted ? 0 : turn(s, left_ms(deadline_ns));

	if (s->interrupted)
		return -EINTR;
	return r > 0 ? 1 : r;
}

static void on_input(void *data, uint32_t events)
{
	*(bool *)data = true;
}

int stage_wait_input(struct stage *s, int fd)
{
	struct loop_source *source;
	bool there = false;
	int r;

	r = loop_add_fd(s->loop, fd, EPOLLIN, on_input, &there, &source);
	if (r < 0)
		return r == -EPERM ? 0 : r; /* it never waits */
	while (r >= 0 && !there)
		r = stage_wait(s, 0);
	loop_source_remove(source);
	return r < 0 ? r : 0;
}

static void describe(struct stage *s, const char *label)
{
	s->device = (struct virtio_bufshare_config){
		.magic = htole32(VIRTIO_BUFSHARE_MAGIC),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES),
		.max_buffers = htole32(MAX_BUFFERS),
		.max_buffer_size = htole64(MAX_TOTAL),
		.max_total_size = htole64(MAX_TOTAL),
		.max_ranges = htole32(1),
		.max_properties = htole32(VIRTIO_BUFSHARE_MAX_PROPERTIES),
		.max_properties_size = htole32(VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE),
		.max_damage = htole32(VIRTIO_BUFSHARE_MAX_DAMAGE),
	};
	if (label && props_label_valid(label))
		strcpy((char *)s->device.label, label);
	siphash_uuid(s->key, "device", 6, s->device.uuid);
	exporter_describe(&s->exporter, &s->device);
}

static int open_consumers(struct stage *s, const char *path)
{
	const struct consumers_config config = { .device = &s->device, .max = MAX_CONSUMERS };
	int listener, r;

	listener = listen_at(path, SOCK_SEQPACKET, 0600);
	if (listener < 0)
		return listener;
	s->path = strdup(path);
	r = consumers_new(s->loop, &s->dev, &config, listener, &s->consumers);
	if (r < 0)
		close(listener);
	return r < 0 ? r : s->path ? 0 : -ENOMEM;
}

static void set_up_model(struct stage *s)
{
	const struct dev_limits limits = {
		.max_buffers = MAX_BUFFERS,
		.max_buffer_size = MAX_TOTAL,
		.max_total_size = MAX_TOTAL,
		.max_ranges = 1,
	};

	dev_init(&s->dev, &ops, s, &limits, le64toh(s->device.caps));
}

static void cleanup_stage(struct stage **s)
{
	stage_free(*s);
}

int stage_new(const char *path, const char *label, int interrupt_fd, struct stage **stage)
{
	_cleanup_(cleanup_stage) struct stage *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	log_set_level(LOG_LEVEL_ERR - 1); /* whoever called says it */
	s->exporter.udmabuf = -1;
	r = exporter_init(&s->exporter, EXPORT_AUTO);
	if (r == 0)
		r = loop_new(&s->loop);
	if (r < 0)
		return r;
	op_random(s, s->key, sizeof(s->key));
	describe(s, label);
	set_up_model(s);
	r = loop_add_fd(s->loop, interrupt_fd, EPOLLIN, on_interrupt, s, &s->interrupt);
	if (r == 0)
		r = loop_add_timer(s->loop, on_tick, s, &s->tick);
	if (r == 0)
		r = loop_timer_set(s->tick, TICK_NS, TICK_NS);
	if (r == 0)
		r = open_consumers(s, path);
	if (r == 0)
		r = init(s);
	if (r == 0)
		*stage = steal_ptr(&s);
	return r;
}

/*
 * Consumers read what they were told only as long as nothing they said waits unread here:
 * they get the time to say that they let go.
 */
static void say_farewell(struct stage *s)
{
	const uint64_t deadline = now_ns() + FAREWELL_NS;
	int quiet = 0;

	consumers_set_state(s->consumers, BUFSHARE_IPC_STATE_GONE);
	while ((quiet < 3 || s->leaving) && now_ns() < deadline)
		quiet = turn(s, 10) > 0 ? 0 : quiet + 1;
}

struct stage *stage_free(struct stage *s)
{
	if (!s)
		return NULL;
	if (s->consumers) {
		say_farewell(s);
		dev_clear(&s->dev);
	}
	if (s->path)
		unlink(s->path);
	consumers_free(s->consumers);
	exporter_close(&s->exporter);
	loop_free(s->loop);
	free(s->path);
	free(s);
	return NULL;
}
