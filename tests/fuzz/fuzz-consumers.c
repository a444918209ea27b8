/* SPDX-License-Identifier: MIT */
/*
 * Messages of hostile consumers at the daemon, while the guest registers, updates and
 * takes away its buffers. The guest can always do so, whatever they send or do not read.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/daemon/consumers.h"
#include "host/daemon/export.h"
#include "host/daemon/log.h"
#include "host/ipc-io.h"

const char fuzz_name[] = "consumers";

#define MEMORY_SIZE 0x8000
#define BUFFER_SIZE 0x2000
#define MAX_STEPS 256
#define NUM_CONSUMERS 2
#define MAX_TRIES 1000
#define NUM_BUFFERS 3

struct state {
	struct fuzz_input in;
	struct loop *loop;
	struct memory *memory;
	struct exporter exporter;
	struct consumers *consumers;
	struct dev dev;
	int socks[NUM_CONSUMERS];
	uint64_t seq, time;
	unsigned int unanswered;
	bool slow;
};

static int memfd = -1;

static void op_complete(void *data, void *token, const void *response, size_t size)
{
	struct state *s = data;

	fuzz_check(s->unanswered > 0);
	s->unanswered--;
}

static void op_events(void *data)
{
}

static uint32_t op_export(void *data, struct dev_buffer *b, uint32_t *detail)
{
	struct state *s = data;

	return export_make(&s->exporter, s->memory, b, detail);
}

static void op_drop(void *data, struct dev_buffer *b)
{
	b->export = export_free(b->export);
}

static int op_refresh(void *data, struct dev_buffer *b, const struct dev_damage *damage)
{
	struct state *s = data;
	uint64_t bytes;

	if (s->slow)
		return -EINPROGRESS;
	fuzz_check(export_refresh(b, damage, &bytes) == 0);
	return 0;
}

static void op_filled(void *data, struct dev_slot *slot)
{
	fuzz_check(slot->copied && !slot->filling);
	consumers_filled(slot);
}

static void op_added(void *data, struct dev_buffer *b)
{
	struct state *s = data;

	consumers_added(s->consumers, b);
}

static void op_removed(void *data, struct dev_buffer *b, uint32_t reason)
{
	struct state *s = data;

	consumers_removed(s->consumers, b, reason);
}

static void op_properties(void *data, struct dev_buffer *b, const char *block, size_t size)
{
	struct state *s = data;

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
	struct state *s = data;

	consumers_set_state(s->consumers, BUFSHARE_IPC_STATE_RESET);
}

static uint64_t op_now(void *data)
{
	struct state *s = data;

	return ++s->time;
}

static void op_random(void *data, void *buf, size_t size)
{
	struct state *s = data;

	memset(buf, (int)(++s->time | 1), size);
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

/* ---- the guest, who behaves ---- */

static void command(struct state *s, const void *request, size_t size)
{
	s->unanswered++;
	dev_command(&s->dev, s, request, size);
}

static struct virtio_bufshare_request request(struct state *s, uint32_t type)
{
	return (struct virtio_bufshare_request){ .type = htole32(type),
						 .epoch = htole64(s->dev.epoch) };
}

static void init(struct state *s)
{
	const struct virtio_bufshare_init m = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_INIT) },
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES),
	};

	command(s, &m, sizeof(m));
	fuzz_check(s->dev.epoch);
}

static void do_register(struct state *s, uint64_t id)
{
	static const char properties[] = "height=8\0width=8";
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range range;
		char properties[sizeof(properties)];
	} m = {
		.hdr = {
			.hdr = request(s, VIRTIO_BUFSHARE_CMD_REGISTER),
			.buffer = htole64(id),
			.size = htole64(BUFFER_SIZE),
			.num_ranges = htole32(1),
			.properties_size = htole32(sizeof(properties)),
			.application = "demo.fuzz",
		},
		.range = { htole64((id - 1) * BUFFER_SIZE), htole64(BUFFER_SIZE) },
	};

	memcpy(m.properties, properties, sizeof(properties));
	command(s, &m, offsetof(typeof(m), properties) + sizeof(properties));
	/* What a consumer keeps of what the guest gave back counts against the limits. */
	fuzz_check(dev_find(&s->dev, id) || s->dev.num_kept || fuzz_fault());
}

static void update(struct state *s, uint64_t id)
{
	const struct virtio_bufshare_update m = {
		.hdr = request(s, VIRTIO_BUFSHARE_CMD_UPDATE),
		.buffer = htole64(id),
		.seq = htole64(++s->seq),
	};

	command(s, &m, sizeof(m));
}

static void unregister(struct state *s, uint64_t id)
{
	const struct virtio_bufshare_unregister m = {
		.hdr = request(s, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(id),
	};

	command(s, &m, sizeof(m));
	fuzz_check(!dev_find(&s->dev, id));
}

static void take_events(struct state *s)
{
	struct virtio_bufshare_event event;
	int i;

	for (i = 0; i < 100 && dev_next_event(&s->dev, &event); i++)
		;
	fuzz_check(i < 100);
}

/* ---- the consumers, who do not ---- */

static void settle(struct state *s)
{
	int i;

	for (i = 0; i < 16 && loop_iterate(s->loop, 0) > 0; i++)
		;
}

static void hear(struct state *s, unsigned int i)
{
	_cleanup_close_ int fd = -1;
	union ipc_message msg;

	while (ipc_recv(s->socks[i], &msg, &fd) >= 0) {
		/* Of the daemon's own kind, whatever was sent to it. */
		fuzz_check(le32toh(msg.hdr.type) >= BUFSHARE_IPC_WELCOME);
		cleanup_close(&fd);
		fd = -1;
	}
}

/* The one before is gone when its last record was read and a timer, of no time, ran out. */
static void connect_one(struct state *s, unsigned int i)
{
	int fds[2], tries, r = -ENOSPC;

	if (s->socks[i] >= 0)
		close(s->socks[i]);
	settle(s);
	for (tries = 0; r == -ENOSPC && tries < MAX_TRIES; tries++) {
		if (tries) {
			close(fds[1]);
			loop_iterate(s->loop, 1);
		}
		fuzz_socketpair(SOCK_SEQPACKET, fds);
		r = consumers_accept(s->consumers, fds[0]);
	}
	s->socks[i] = fds[1];
	fuzz_check(r == 0 || fuzz_fault());
}

static void send_message(struct state *s, uint8_t what)
{
	unsigned int i = fuzz_u8(&s->in) % NUM_CONSUMERS;
	uint8_t type = what == CON_STEP_RECORD ? 0 : fuzz_u8(&s->in);
	union ipc_message msg;
	const uint8_t *bytes;
	size_t size;

	bytes = fuzz_chunk(&s->in, &size);
	if (size > sizeof(msg) - sizeof(msg.hdr))
		size = sizeof(msg) - sizeof(msg.hdr);
	if (what == CON_STEP_RECORD) {
		memcpy(msg.bytes, bytes, size);
		send(s->socks[i], &msg, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		memcpy(msg.bytes + sizeof(msg.hdr), bytes, size);
		ipc_header(&msg, type, sizeof(msg.hdr) + size);
		ipc_send(s->socks[i], &msg, sizeof(msg.hdr) + size,
			 what == CON_STEP_WITH_FD ? memfd : -1);
	}
	settle(s);
}

static uint64_t buffer(struct state *s)
{
	return fuzz_u8(&s->in) % NUM_BUFFERS + 1;
}

static void copied(struct state *s)
{
	static const struct dev_damage all = { .all = true };
	struct dev_buffer *b;
	uint64_t bytes;

	TAILQ_FOREACH(b, &s->dev.buffers, link) {
		if (!b->copy.busy)
			continue;
		fuzz_check(export_refresh(b, &all, &bytes) == 0);
		dev_copied(b, 0);
	}
}

static void step(struct state *s)
{
	uint8_t what = fuzz_u8(&s->in) % NUM_CON_STEPS;
	uint64_t id;

	switch (what) {
	case CON_STEP_MESSAGE:
	case CON_STEP_RECORD:
	case CON_STEP_WITH_FD:
		send_message(s, what);
		break;
	case CON_STEP_READ:
		hear(s, fuzz_u8(&s->in) % NUM_CONSUMERS);
		settle(s);
		break;
	case CON_STEP_CONNECT:
		connect_one(s, fuzz_u8(&s->in) % NUM_CONSUMERS);
		break;
	case CON_STEP_REGISTER:
		id = buffer(s);
		if (!dev_find(&s->dev, id))
			do_register(s, id);
		break;
	case CON_STEP_UPDATE:
		id = buffer(s);
		if (dev_find(&s->dev, id))
			update(s, id);
		break;
	case CON_STEP_UNREGISTER:
		id = buffer(s);
		if (dev_find(&s->dev, id))
			unregister(s, id);
		break;
	case CON_STEP_RESET:
		init(s);
		break;
	case CON_STEP_TICK:
		dev_tick(&s->dev);
		dev_take_back(&s->dev, s->time - 16);
		break;
	case CON_STEP_STATE:
		consumers_set_state(s->consumers, fuzz_u8(&s->in) % (BUFSHARE_IPC_STATE_GONE + 1));
		break;
	case CON_STEP_SLOW:
		s->slow = fuzz_u8(&s->in) & 1;
		break;
	case CON_STEP_COPIED:
		copied(s);
		break;
	}
	take_events(s);
}

static void start(struct state *s)
{
	static const struct virtio_bufshare_config device = { .label = "fuzz" };
	const struct dev_limits limits = {
		.max_buffers = NUM_BUFFERS,
		.max_buffer_size = MEMORY_SIZE,
		.max_total_size = MEMORY_SIZE,
		.max_ranges = 4,
	};
	const struct consumers_config config = { .device = &device, .max = NUM_CONSUMERS };
	const struct memory_info info = { .size = MEMORY_SIZE };
	int i, fd = dup(memfd);

	fuzz_check(fd >= 0);
	fuzz_check(memory_new(&s->memory) == 0);
	fuzz_check(memory_add(s->memory, &info, fd) == 0);
	/* By the size, so that the bytes mean the same to all seeds. */
	fuzz_check(exporter_init(&s->exporter, s->in.size & 1 ? EXPORT_MEMFD : EXPORT_COPY) == 0);
	fuzz_check(loop_new(&s->loop) == 0);
	dev_init(&s->dev, &ops, s, &limits, VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES);
	fuzz_check(consumers_new(s->loop, &s->dev, &config, -1, &s->consumers) == 0);
	for (i = 0; i < NUM_CONSUMERS; i++) {
		s->socks[i] = -1;
		connect_one(s, i);
	}
	init(s);
	do_register(s, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s = { .in = { data, size } };
	int i, before;

	if (memfd < 0) {
		log_set_level(-1);
		memfd = fuzz_memfd(MEMORY_SIZE);
	}
	before = fuzz_lowest_fd();
	start(&s);
	fuzz_faults(true);
	for (i = 0; s.in.size && i < MAX_STEPS; i++)
		step(&s);

	dev_clear(&s.dev);
	fuzz_faults(false);
	fuzz_check(s.unanswered == 0);
	for (i = 0; i < NUM_CONSUMERS; i++)
		close(s.socks[i]);
	consumers_free(s.consumers);
	exporter_close(&s.exporter);
	loop_free(s.loop);
	memory_free(s.memory);
	fuzz_check(fuzz_lowest_fd() == before);
	return 0;
}
