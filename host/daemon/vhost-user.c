/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/log.h"
#include "host/daemon/vhost-user-internal.h"

uint64_t vu_offered_features(const struct vu *vu)
{
	return vu->config.features | VHOST_USER_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES |
	       VQ_F_INDIRECT | VQ_F_EVENT_IDX;
}

/* Without the protocol features there is no message to enable a queue, so it is. */
static bool is_ready(const struct vu *vu, bool has_kick, bool enabled)
{
	return has_kick && (enabled || !(vu->features & VHOST_USER_F_PROTOCOL_FEATURES));
}

int vu_check_queue(struct vu_queue *queue, bool has_kick, bool enabled)
{
	if (!is_ready(queue->vu, has_kick, enabled))
		return 0;
	if (!(queue->vu->features & VHOST_USER_F_VERSION_1))
		return -EINVAL;
	return vq_check(queue->vq);
}

static bool all_ready(const struct vu *vu)
{
	unsigned int i;

	for (i = 0; i < vu->config.num_queues; i++)
		if (!is_ready(vu, vu->queues[i].kick_fd >= 0, vu->queues[i].enabled))
			return false;
	return true;
}

static void stop(struct vu *vu)
{
	unsigned int i;

	if (!vu->started)
		return;

	for (i = 0; i < vu->config.num_queues; i++) {
		struct vu_queue *queue = &vu->queues[i];

		queue->kick = loop_source_remove(queue->kick);
		vq_stop(queue->vq);
		vu->state->queues[i].stopped_base = vq_get_base(queue->vq);
		vu->state->queues[i].base_set = false;
	}
	vu->state->running = false;
	vu->started = false;
	log_info("vhost-user: the device is stopped");
	vu->config.ops->stopped(vu->config.data);
}

void vu_stop_if_needed(struct vu *vu)
{
	if (vu->started && !all_ready(vu))
		stop(vu);
}

/*
 * A driver that was only paused finds its queues where they stopped; one that begins anew
 * has them at zero. Queues that had stopped at zero say nothing.
 */
static int how_it_starts(const struct vu *vu)
{
	bool resumed = false, fresh = false;
	unsigned int i;

	if (vu->state->running)
		return VU_START_RESTARTED;

	for (i = 0; i < vu->config.num_queues; i++) {
		uint16_t stopped_base = vu->state->queues[i].stopped_base;
		uint16_t base = vq_get_base(vu->queues[i].vq);

		if (!vu->state->was_started && base != 0)
			return VU_START_UNKNOWN;
		if (!vu->state->was_started)
			fresh = true;
		else if (!vu->state->queues[i].base_set)
			resumed = true;
		else if (base != stopped_base && base != 0)
			return VU_START_UNKNOWN;
		else if (base != stopped_base)
			fresh = true;
		else if (base != 0)
			resumed = true;
	}

	if (resumed == fresh)
		return VU_START_UNKNOWN;
	return resumed ? VU_START_RESUMED : VU_START_FRESH;
}

static const char *start_name(int how)
{
	switch (how) {
	case VU_START_FRESH:
		return "the driver is new";
	case VU_START_RESUMED:
		return "the driver goes on";
	case VU_START_RESTARTED:
		return "after a restart";
	default:
		return "the driver is new or goes on";
	}
}

static void kick_event(void *data, uint32_t events)
{
	struct vu_queue *queue = data;
	struct vu *vu = queue->vu;
	uint64_t kicks[8]; /* an eventfd has one number, a pipe one for every kick */
	ssize_t n;

	n = read(queue->kick_fd, kicks, sizeof(kicks));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		log_warn("queue %u: its kick descriptor can not be read any more", queue->index);
		queue->kick = loop_source_remove(queue->kick);
		return;
	}
	vu->config.ops->queue_kick(vu->config.data, queue->index);
}

static int watch_kick(struct vu_queue *queue, int fd, struct loop_source **source)
{
	return loop_add_fd(queue->vu->loop, fd, EPOLLIN, kick_event, queue, source);
}

int vu_set_kick(struct vu_queue *queue, int fd)
{
	struct loop_source *source = NULL;
	int r;

	if (fd >= 0) {
		r = watch_kick(queue, fd, &source);
		if (r < 0)
			return r;
	}
	/* That it can be watched was all there was to know for now. */
	if (!queue->vu->started)
		source = loop_source_remove(source);

	loop_source_remove(queue->kick);
	queue->kick = source;
	if (queue->kick_fd >= 0)
		close(queue->kick_fd);
	queue->kick_fd = fd;
	return 0;
}

static int start_queue(struct vu_queue *queue, bool resume)
{
	int r;

	if (!(queue->vu->features & VHOST_USER_F_VERSION_1))
		return -EINVAL;

	r = watch_kick(queue, queue->kick_fd, &queue->kick);
	if (r < 0)
		return r;

	r = vq_start(queue->vq, queue->vu->features, resume);
	if (r < 0)
		queue->kick = loop_source_remove(queue->kick);
	return r;
}

/* A queue that can not start loses its kick, so that it is not tried again and again. */
static int start_queues(struct vu *vu, bool resume)
{
	unsigned int i;
	int r = 0;

	for (i = 0; i < vu->config.num_queues; i++) {
		r = start_queue(&vu->queues[i], resume);
		if (r < 0)
			break;
	}
	if (r == 0)
		return 0;

	log_err("queue %u: can not start: %s", i, strerror(-r));
	vu_set_kick(&vu->queues[i], -1);
	while (i-- > 0) {
		vu->queues[i].kick = loop_source_remove(vu->queues[i].kick);
		vq_stop(vu->queues[i].vq);
	}
	return r;
}

void vu_start_if_ready(struct vu *vu)
{
	unsigned int i;
	int how;

	if (vu->started || !all_ready(vu))
		return;

	how = how_it_starts(vu);
	if (start_queues(vu, how == VU_START_RESUMED || how == VU_START_RESTARTED) < 0)
		return;

	vu->started = true;
	vu->state->was_started = true;
	vu->state->running = true;
	log_info("vhost-user: the device runs, %s", start_name(how));
	vu->config.ops->started(vu->config.data, how);

	/* The driver may have kicked before there was anybody to hear it. */
	for (i = 0; i < vu->config.num_queues; i++)
		vu->config.ops->queue_kick(vu->config.data, i);
}

void vu_memory_changed(struct vu *vu)
{
	unsigned int i;

	for (i = 0; i < vu->config.num_queues; i++)
		vq_remap(vu->queues[i].vq);
	vu->config.ops->memory_changed(vu->config.data);
}

void vu_log_close(const struct vu *vu, int error)
{
	const struct vhost_user_header *hdr = &vu->in.hdr;

	if (error == -ENOTCONN)
		log_info("vhost-user: the front end closed the connection");
	else if (error == -EPROTO)
		log_err("vhost-user: malformed message (request %" PRIu32 ", flags 0x%" PRIx32
			", %" PRIu32 " bytes, %zu descriptors): closing the connection",
			hdr->request, hdr->flags, hdr->size, vu->in.num_fds);
	else
		log_err("vhost-user: closing the connection: %s", strerror(-error));
}

/* The last thing that is done with the back end on any path: it may be freed in here. */
void vu_close(struct vu *vu, int reason)
{
	vu->source = loop_source_remove(vu->source);
	if (vu->sock >= 0)
		close(vu->sock);
	vu->sock = -1;
	vu_message_done(&vu->in);
	stop(vu);
	vu->config.ops->closed(vu->config.data, reason);
}

static void close_connection(struct vu *vu, int error)
{
	vu_log_close(vu, error);
	vu_close(vu, error == -ENOTCONN ? 0 : error);
}

/* One message, or a part of one. A negative return value ends the connection. */
static int serve(struct vu *vu)
{
	int r;

	if (vu->out.pending) {
		r = vu_send_on(vu);
		if (r <= 0)
			return r;
		return loop_source_set_events(vu->source, EPOLLIN);
	}

	r = vu_receive(vu);
	if (r <= 0)
		return r;

	r = vu_handle(vu, &vu->in);
	if (r < 0)
		return r;

	vu_message_done(&vu->in);
	if (vu->out.pending)
		return loop_source_set_events(vu->source, EPOLLOUT);
	return 0;
}

/* The device starts when the front end has its answer: it does not wait for what comes then. */
static void socket_event(void *data, uint32_t events)
{
	struct vu *vu = data;
	int r;

	r = serve(vu);
	if (r < 0)
		close_connection(vu, r);
	else
		vu_start_if_ready(vu);
}

static void free_vup(struct vu **vu)
{
	vu_free(*vu);
}

static int check_socket(int sock)
{
	socklen_t size = sizeof(int);
	int type;

	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return -errno;
	return type == SOCK_STREAM ? 0 : -EPROTOTYPE;
}

int vu_new_fed(struct loop *loop, const struct vu_config *config, struct vu **vu)
{
	_cleanup_(free_vup) struct vu *v = NULL;
	unsigned int i;
	int r;

	if (config->num_queues == 0 || config->num_queues > VU_MAX_QUEUES ||
	    config->config_size > VU_MAX_CONFIG_SIZE)
		return -EINVAL;

	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;

	v->loop = loop;
	v->config = *config;
	v->state = config->state ? config->state : &v->own;
	v->sock = -1;
	v->backend_fd = -1;
	for (i = 0; i < config->num_queues; i++)
		v->queues[i] = (struct vu_queue){ .vu = v, .index = i, .kick_fd = -1 };

	r = memory_new(&v->memory);
	if (r < 0)
		return r;

	for (i = 0; i < config->num_queues; i++) {
		struct vq_state *state = config->state ? &config->state->vqs[i] : NULL;

		r = vq_new(i, v->memory, state, &v->queues[i].vq);
		if (r < 0)
			return r;
	}

	*vu = steal_ptr(&v);
	return 0;
}

int vu_new(struct loop *loop, int sock, const struct vu_config *config, struct vu **vu)
{
	_cleanup_(free_vup) struct vu *v = NULL;
	int r;

	r = check_socket(sock);
	if (r == 0)
		r = vu_new_fed(loop, config, &v);
	if (r < 0)
		return r;

	r = loop_add_fd(loop, sock, EPOLLIN, socket_event, v, &v->source);
	if (r < 0)
		return r;

	v->sock = sock;
	*vu = steal_ptr(&v);
	return 0;
}

struct vu *vu_free(struct vu *vu)
{
	unsigned int i;

	if (!vu)
		return NULL;

	loop_source_remove(vu->source);
	vu_message_done(&vu->in);
	for (i = 0; i < vu->config.num_queues; i++) {
		vu_set_kick(&vu->queues[i], -1);
		vq_free(vu->queues[i].vq);
	}
	memory_free(vu->memory);
	if (vu->backend_fd >= 0)
		close(vu->backend_fd);
	if (vu->sock >= 0)
		close(vu->sock);
	free(vu);
	return NULL;
}

struct vq *vu_queue(struct vu *vu, unsigned int index)
{
	return vu->queues[index].vq;
}

struct memory *vu_memory(struct vu *vu)
{
	return vu->memory;
}

bool vu_is_started(const struct vu *vu)
{
	return vu->started;
}

uint64_t vu_features(const struct vu *vu)
{
	return vu->features;
}
