/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/backend-internal.h"
#include "host/daemon/log.h"

#define TICK_NS 1000000000ull

/* Commands of the guest that are served before the VMM and the consumers have their turn. */
#define TURN 64

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

void backend_flush_soon(struct backend *be)
{
	if (!be->soon_set)
		loop_timer_set(be->soon, 0, 0);
	be->soon_set = true;
}

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
		const uint64_t now = backend_dev_ops.now_ns(be), wait = rate_wait(&be->rate, now);

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

static int find_saved(struct backend *be)
{
	uint32_t n = be->config.num_saved;
	void *area = be->config.saved;

	if (!area) {
		n = state_num_saved(&be->config.device);
		area = be->own_saved = calloc(1, dev_saved_size(n));
	}
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
	be->exporter.ops = &backend_exporter_ops;
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
	dev_init(&be->dev, &backend_dev_ops, be, &limits, le64toh(be->config.device.caps));
	backend_dev_ops.random(be, be->own.key, sizeof(be->own.key));
	r = find_saved(be);
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
