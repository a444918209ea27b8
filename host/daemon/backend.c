/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/siphash.h"
#include "host/daemon/backend.h"
#include "host/daemon/device.h"
#include "host/daemon/log.h"
#include "host/daemon/rate.h"
#include "host/daemon/vhost-user.h"

#define TICK_NS 1000000000ull

/* Commands of the guest that are served before the VMM and the consumers have their turn. */
#define TURN 64

struct backend {
	struct backend_config config;
	struct loop *loop;
	struct dev dev;
	struct exporter exporter;
	struct exporter copying; /* for drivers that ask for nothing better */
	struct export_thread *thread;
	struct consumers *consumers;
	struct vu *vu; /* NULL: no VMM */
	struct vu *ended; /* of a VMM that is gone, to be freed outside of its callback */
	struct loop_source *more; /* commands of the guest, whose turn is over */
	struct rate rate; /* of commands */
	bool soon_more; /* more is set */
	bool waits, said_it_waits; /* the guest, that sent more than it may */
	struct loop_source *soon; /* flushes what consumers caused */
	struct loop_source *tick;
	bool soon_set;
	bool torn; /* memory_is_torn(), and it was said */
	int reason; /* why ended */
	struct state *state; /* of the caller, or own */
	struct state own;
	void *own_saved;
};

/* ---- to the guest ---- */

static void send_events(struct backend *be)
{
	struct vq *vq = vu_queue(be->vu, VIRTIO_BUFSHARE_QUEUE_EVENT);
	struct virtio_bufshare_event event;
	struct vq_element *element;

	while (dev_has_event(&be->dev) && vq_pop(vq, &element) == 0) {
		if (element->writable < sizeof(event)) {
			log_warn("the driver's event buffer has %" PRIu32 " bytes, too few",
				 element->writable);
			vq_push(element, NULL, 0);
			continue;
		}
		dev_next_event(&be->dev, &event);
		log_trace("the event for the guest", &event, sizeof(event));
		vq_push(element, &event, sizeof(event));
	}
}

/* Once per batch of whatever happened, so that the guest is called once. */
static void flush(void *data)
{
	struct backend *be = data;

	be->soon_set = false;
	if (!be->vu || !vu_is_started(be->vu))
		return;
	send_events(be);
	vq_notify(vu_queue(be->vu, VIRTIO_BUFSHARE_QUEUE_EVENT));
	vq_notify(vu_queue(be->vu, VIRTIO_BUFSHARE_QUEUE_CONTROL));
}

static void flush_soon(struct backend *be)
{
	if (!be->soon_set)
		loop_timer_set(be->soon, 0, 0);
	be->soon_set = true;
}

static void op_complete(void *data, void *token, const void *response, size_t size)
{
	log_trace("the answer to the guest", response, size);
	vq_push(token, response, (uint32_t)size);
	flush_soon(data);
}

static void op_events(void *data)
{
	flush_soon(data);
}

/* ---- what else the device model asks for ---- */

static uint32_t op_export(void *data, struct dev_buffer *b, uint32_t *detail)
{
	struct backend *be = data;
	uint64_t refused = be->dev.offered_caps & ~be->dev.caps;
	struct exporter *ex = refused & VIRTIO_BUFSHARE_CAP_ZERO_COPY ? &be->copying : &be->exporter;

	return export_make(ex, vu_memory(be->vu), b, detail);
}

static void op_drop_export(void *data, struct dev_buffer *b)
{
	b->export = export_free(b->export);
}

static void count_copied(struct backend *be, struct dev_buffer *b, uint64_t bytes)
{
	b->bytes_copied += bytes;
	be->dev.bytes_copied += bytes;
}

static int op_refresh(void *data, struct dev_buffer *b, const struct dev_damage *damage)
{
	struct backend *be = data;
	uint64_t n;
	int r = export_refresh(b, damage, &n);

	count_copied(be, b, n);
	return r;
}

/* ---- what the exporter did in its thread ---- */

static void made(void *data, struct dev_buffer *b, uint32_t status, uint32_t detail)
{
	struct backend *be = data;

	/* The guest's memory is another one now. */
	if (status == VIRTIO_BUFSHARE_STATUS_OK && !export_is_valid(b->export, vu_memory(be->vu))) {
		op_drop_export(be, b);
		status = VIRTIO_BUFSHARE_STATUS_MEMORY;
	}
	dev_exported(b, status, detail);
}

static void copied(void *data, struct dev_buffer *b, int r, uint64_t bytes)
{
	count_copied(data, b, bytes);
	dev_copied(b, r);
}

static const struct exporter_ops exporter_ops = {
	.made = made,
	.copied = copied,
};

/* ---- the consumers ---- */

static void op_added(void *data, struct dev_buffer *b)
{
	struct backend *be = data;

	consumers_added(be->consumers, b);
}

static void op_removed(void *data, struct dev_buffer *b, uint32_t reason)
{
	struct backend *be = data;

	consumers_removed(be->consumers, b, reason);
}

static void op_properties(void *data, struct dev_buffer *b, const char *block, size_t size)
{
	struct backend *be = data;

	consumers_properties(be->consumers, b, block, size);
}

static void op_filled(void *data, struct dev_slot *slot)
{
	consumers_filled(slot);
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
	struct backend *be = data;

	log_info("the guest's driver began epoch %016" PRIx64, be->dev.epoch);
	be->state->guest.epoch = be->dev.epoch;
	be->state->guest.in_force = true;
	if (!first)
		consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_RESET);
	consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_RUNNING);
}

static uint64_t op_now_ns(void *data)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void op_random(void *data, void *buf, size_t size)
{
	/* Up to 256 bytes can not fail once the kernel's pool is initialised. */
	while (getrandom(buf, size, 0) != (ssize_t)size)
		;
}

static void op_uuid(void *data, uint64_t epoch, uint64_t id, uint8_t uuid[16])
{
	struct backend *be = data;
	struct {
		uint8_t device[VIRTIO_BUFSHARE_UUID_SIZE];
		uint64_t epoch, id;
	} input = { .epoch = epoch, .id = id };

	memcpy(input.device, be->config.device.uuid, sizeof(input.device));
	siphash_uuid(be->state->key, &input, sizeof(input), uuid);
}

static const struct dev_ops dev_ops = {
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

/* ---- from the guest ---- */

static void serve(struct backend *be, struct vq_element *element)
{
	uint64_t small[64];
	_cleanup_free_ void *large = NULL;
	void *request = small;
	uint32_t size = element->readable;

	if (size > dev_max_command()) {
		log_warn("a command of %" PRIu32 " bytes is larger than any", size);
		size = 0; /* which is no command either */
	}
	if (size > sizeof(small))
		request = large = malloc(size);
	if (!request || vq_element_read(element, 0, request, size) < 0)
		size = 0;
	log_trace("the guest's command", request ? request : small, size);
	dev_command(&be->dev, element, request ? request : small, size);
}

static void more_later(struct backend *be, uint64_t delay_ns)
{
	loop_timer_set(be->more, delay_ns, 0);
	be->soon_more = true;
}

static void say_it_waits(struct backend *be)
{
	if (!be->said_it_waits)
		log_warn("the guest sends more than %" PRIu32 " commands a second, and has to wait (--max-commands)",
			 be->rate.per_second);
	be->said_it_waits = true;
}

/*
 * Not for ever, though a guest can make more available as fast as they are served. What is
 * left stays in the queue.
 */
static void serve_commands(void *data)
{
	struct backend *be = data;
	const bool waited = be->waits;
	struct vq_element *element;
	unsigned int turn;

	be->soon_more = be->waits = false;
	if (!be->vu || !vu_is_started(be->vu))
		return;
	for (turn = 0; turn < TURN; turn++) {
		const uint64_t now = op_now_ns(be), wait = rate_wait(&be->rate, now);

		if (wait) {
			be->waits = true;
			more_later(be, wait);
			break;
		}
		if (vq_pop(vu_queue(be->vu, VIRTIO_BUFSHARE_QUEUE_CONTROL), &element) < 0)
			break;
		if (waited)
			say_it_waits(be);
		rate_count(&be->rate, now);
		serve(be, element);
	}
	if (turn == TURN)
		more_later(be, 0);
	flush(be);
}

static void vu_kicked(void *data, unsigned int index)
{
	struct backend *be = data;

	if (index == VIRTIO_BUFSHARE_QUEUE_CONTROL && !be->soon_more)
		serve_commands(be);
	else
		flush(be);
}

static void vu_was_started(void *data, int how)
{
	struct backend *be = data;

	if (how == VU_START_FRESH)
		be->state->guest.in_force = false;
	if (how == VU_START_FRESH && !be->dev.epoch) {
		be->dev.tell_restarted = false;
	} else if (how == VU_START_FRESH) {
		/* The driver's INIT follows. */
		dev_void(&be->dev);
		consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_RESET);
	} else if (be->dev.epoch) {
		consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_RUNNING);
	}
}

static void vu_was_stopped(void *data)
{
	struct backend *be = data;

	if (be->dev.epoch)
		consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_SUSPENDED);
}

static void vu_memory_changed(void *data)
{
	struct backend *be = data;
	struct dev_buffer *b, *next;

	for (b = TAILQ_FIRST(&be->dev.buffers); b; b = next) {
		next = TAILQ_NEXT(b, link);
		if (!export_is_valid(b->export, vu_memory(be->vu)))
			dev_lost(b, VIRTIO_BUFSHARE_REASON_MEMORY);
	}
}

static void vu_was_closed(void *data, int reason)
{
	struct backend *be = data;

	log_info("the VMM closed the device%s%s", reason ? ": " : "",
		 reason ? strerror(-reason) : "");
	dev_void(&be->dev);
	dev_forget_kept(&be->dev);
	be->dev.last_epoch = 0; /* the next one is another guest */
	consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_GONE);
	be->ended = be->vu;
	be->vu = NULL;
	be->torn = false;
	be->reason = reason;
	loop_timer_set(be->tick, 0, TICK_NS);
}

static const struct vu_ops vu_ops = {
	.started = vu_was_started,
	.stopped = vu_was_stopped,
	.queue_kick = vu_kicked,
	.memory_changed = vu_memory_changed,
	.closed = vu_was_closed,
};

/* A file of the guest's memory became shorter: what was registered in it is lost. */
static void check_memory(struct backend *be)
{
	if (!be->vu || be->torn || !memory_is_torn(vu_memory(be->vu)))
		return;
	log_err("the VMM shrank a file of the guest's memory (start QEMU with memory-backend-memfd, which seals it)");
	be->torn = true;
	vu_memory_changed(be);
}

static void tick(void *data)
{
	struct backend *be = data;

	dev_tick(&be->dev);
	check_memory(be);
	if (be->ended) {
		be->ended = vu_free(be->ended);
		be->config.gone(be->config.data, be->reason);
	}
}

void backend_disconnect(struct backend *be, int reason)
{
	if (be->vu)
		vu_close(be->vu, reason);
	be->ended = vu_free(be->ended);
	memset(&be->state->guest, 0, sizeof(be->state->guest));
}

/* ---- life ---- */

static void cleanup_backend(struct backend **be)
{
	backend_free(*be);
}

/* The config space never changes, so what the first process found out holds for the others. */
static void describe(struct backend *be)
{
	struct virtio_bufshare_config *device = &be->config.device;

	if (be->state->described)
		*device = be->state->device;
	else
		exporter_describe(&be->exporter, device);
	be->state->device = *device;
	be->state->described = true;
}

/* As many as the area was made for, whatever the process before this one wrote elsewhere. */
static int find_saved(struct backend *be, const struct virtio_bufshare_config *device)
{
	const uint32_t n = state_num_saved(device);
	void *area = be->config.saved;

	if (!area)
		area = be->own_saved = calloc(1, dev_saved_size(n));
	if (!area)
		return -ENOMEM;
	dev_saved_init(&be->dev.saved, area, n);
	return 0;
}

int backend_new(struct loop *loop, const struct backend_config *config, int consumer_listener,
		struct backend **backend)
{
	_cleanup_close_ int listener = consumer_listener;
	_cleanup_(cleanup_backend) struct backend *be = calloc(1, sizeof(*be));
	struct consumers_config cc = {
		.max = config->max_consumers,
		.max_per_user = config->max_consumers_per_user,
		.max_messages = config->max_messages,
		.hello_timeout_ns = config->hello_timeout_ns,
		.release_timeout_ns = config->release_timeout_ns,
		.access = config->access,
	};
	struct dev_limits limits;
	int r;

	if (!be)
		return -ENOMEM;
	be->config = *config;
	be->loop = loop;
	be->exporter.udmabuf = -1;
	r = exporter_init(&be->exporter, config->export_mode);
	if (r == 0)
		r = export_thread_new(loop, &be->thread);
	if (r < 0)
		return r;
	be->exporter.thread = be->thread;
	be->exporter.ops = &exporter_ops;
	be->exporter.data = be;
	be->copying = be->exporter;
	be->copying.udmabuf = -1;
	be->copying.mode = EXPORT_COPY;
	be->copying.why = BUFSHARE_IPC_WHY_DRIVER;
	be->state = config->state ? config->state : &be->own;
	describe(be);
	limits = (struct dev_limits){
		.max_buffers = le32toh(be->config.device.max_buffers),
		.max_buffer_size = le64toh(be->config.device.max_buffer_size),
		.max_total_size = le64toh(be->config.device.max_total_size),
		.max_ranges = le32toh(be->config.device.max_ranges),
		.max_properties = le32toh(be->config.device.max_properties),
		.max_properties_size = le32toh(be->config.device.max_properties_size),
	};
	memcpy(limits.application, be->config.device.application, sizeof(limits.application));
	dev_init(&be->dev, &dev_ops, be, &limits, le64toh(be->config.device.caps));
	op_random(be, be->own.key, sizeof(be->own.key));
	r = find_saved(be, &config->device);
	if (r < 0)
		return r;

	be->rate.per_second = le32toh(be->config.device.max_commands);
	r = loop_add_timer(loop, flush, be, &be->soon);
	if (r == 0)
		r = loop_add_timer(loop, serve_commands, be, &be->more);
	if (r == 0)
		r = loop_add_timer(loop, tick, be, &be->tick);
	if (r == 0)
		r = loop_timer_set(be->tick, TICK_NS, TICK_NS);
	if (r < 0)
		return r;
	cc.device = &be->config.device;
	r = consumers_new(loop, &be->dev, &cc, listener, &be->consumers);
	if (r < 0)
		return r;
	/* Consumers may be quicker than the keeper, which tells of the VMM next. */
	if (be->state->guest.in_force)
		consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_RECOVERING);
	steal_fd(&listener);
	*backend = steal_ptr(&be);
	return 0;
}

struct backend *backend_free(struct backend *be)
{
	if (!be)
		return NULL;
	if (be->consumers)
		dev_clear(&be->dev);
	vu_free(be->vu);
	vu_free(be->ended);
	consumers_free(be->consumers);
	export_thread_free(be->thread);
	exporter_close(&be->exporter);
	loop_source_remove(be->soon);
	loop_source_remove(be->more);
	loop_source_remove(be->tick);
	free(be->own_saved);
	free(be);
	return NULL;
}

static struct vu_config transport(struct backend *be)
{
	return (struct vu_config){
		.num_queues = VIRTIO_BUFSHARE_NUM_QUEUES,
		.config = &be->config.device,
		.config_size = sizeof(be->config.device),
		.ops = &vu_ops,
		.data = be,
		.state = be->config.state ? &be->config.state->guest.vu : NULL,
	};
}

int backend_connect(struct backend *be, int sock)
{
	const struct vu_config config = transport(be);

	if (be->vu || be->ended)
		return -EBUSY;
	log_info("a VMM is here");
	return vu_new(be->loop, sock, &config, &be->vu);
}

int backend_connect_fed(struct backend *be)
{
	const struct vu_config config = transport(be);
	const struct state_guest *guest = &be->state->guest;
	int r;

	if (be->vu)
		return -EBUSY;
	r = vu_new_fed(be->loop, &config, &be->vu);
	if (r < 0)
		return r;
	be->dev.last_epoch = guest->epoch;
	if (!guest->in_force) {
		log_info("a VMM is here");
		return 0;
	}
	log_warn("going on after a restart with epoch %016" PRIx64 ": the guest registers its buffers again",
		 be->dev.last_epoch);
	dev_restarted(&be->dev, guest->epoch);
	consumers_set_state(be->consumers, BUFSHARE_IPC_STATE_RECOVERING);
	return 0;
}

int backend_start_thread(struct backend *be)
{
	return export_thread_start(be->thread);
}

struct vu *backend_vu(struct backend *be)
{
	return be->vu;
}

struct consumers *backend_consumers(struct backend *be)
{
	return be->consumers;
}
