/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/log.h"
#include "host/daemon/vhost-user-internal.h"

#define OFFERED_PROTOCOL_FEATURES                                                          \
	(VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK |                      \
	 VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_CONFIG |                \
	 VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD | VHOST_USER_PROTOCOL_F_MEM_SLOTS)

/*
 * The handlers. They return 0, -EPROTO for a message that contradicts itself (the
 * connection is closed), or another error for one that can not be done.
 */

static int reply_u64(struct vu *vu, const struct vu_message *msg, uint64_t value)
{
	return vu_reply(vu, msg->hdr.request, &value, sizeof(value));
}

static void keep(struct vu *vu, uint32_t key)
{
	vu->note.keep = key;
}

static void forget(struct vu *vu, uint32_t first, uint32_t last)
{
	vu->note.forget_first = first;
	vu->note.forget_last = last;
}

static int get_features(struct vu *vu, struct vu_message *msg)
{
	return reply_u64(vu, msg, vu_offered_features(vu));
}

static int set_features(struct vu *vu, struct vu_message *msg)
{
	uint64_t features = msg->payload.u64;

	if (features & ~vu_offered_features(vu))
		return -EINVAL;
	if (vu->started && features != vu->features)
		return -EBUSY;

	vu->features = features;
	keep(vu, VU_KEY_FEATURES);
	return 0;
}

static int get_protocol_features(struct vu *vu, struct vu_message *msg)
{
	return reply_u64(vu, msg, OFFERED_PROTOCOL_FEATURES);
}

static int set_protocol_features(struct vu *vu, struct vu_message *msg)
{
	if (msg->payload.u64 & ~OFFERED_PROTOCOL_FEATURES)
		return -EINVAL;

	vu->protocol_features = msg->payload.u64;
	keep(vu, VU_KEY_PROTOCOL_FEATURES);
	return 0;
}

static int get_queue_num(struct vu *vu, struct vu_message *msg)
{
	return reply_u64(vu, msg, vu->config.num_queues);
}

static int set_owner(struct vu *vu, struct vu_message *msg)
{
	return 0;
}

/* Obsolete; the protocol recommends to make it disable all queues. */
static int reset_owner(struct vu *vu, struct vu_message *msg)
{
	unsigned int i;

	for (i = 0; i < vu->config.num_queues; i++) {
		vu->queues[i].enabled = false;
		vu_set_kick(&vu->queues[i], -1);
	}
	vu_stop_if_needed(vu);
	forget(vu, VU_KEY_VRING_KICK, VU_KEY_END);
	return 0;
}

static int set_backend_req_fd(struct vu *vu, struct vu_message *msg)
{
	if (vu->backend_fd >= 0)
		close(vu->backend_fd);
	vu->backend_fd = msg->fds[0];
	msg->num_fds = 0;
	keep(vu, VU_KEY_BACKEND_FD);
	return 0;
}

static struct memory_info region_info(const struct vhost_user_region *region)
{
	return (struct memory_info){
		.gpa = region->gpa,
		.size = region->size,
		.uva = region->uva,
		.offset = region->offset,
	};
}

static int set_mem_table(struct vu *vu, struct vu_message *msg)
{
	const struct vhost_user_mem_table *table = &msg->payload.table;
	struct memory_info infos[VHOST_USER_MAX_REGIONS];
	uint32_t i, n = table->num_regions;
	int r;

	if (n > VHOST_USER_MAX_REGIONS || n != msg->num_fds ||
	    msg->hdr.size < offsetof(struct vhost_user_mem_table, regions[n]))
		return -EPROTO;

	for (i = 0; i < n; i++)
		infos[i] = region_info(&table->regions[i]);

	r = memory_replace(vu->memory, infos, msg->fds, n);
	if (r < 0)
		return r;

	msg->num_fds = 0;
	forget(vu, VU_KEY_MEM_TABLE, VU_KEY_VRING_NUM - 1);
	keep(vu, VU_KEY_MEM_TABLE);
	vu_memory_changed(vu);
	return 0;
}

static int get_max_mem_slots(struct vu *vu, struct vu_message *msg)
{
	return reply_u64(vu, msg, MEMORY_MAX_REGIONS);
}

static int add_mem_reg(struct vu *vu, struct vu_message *msg)
{
	struct memory_info info = region_info(&msg->payload.reg.region);
	int r;

	r = memory_add(vu->memory, &info, msg->fds[0]);
	if (r < 0)
		return r;

	msg->num_fds = 0;
	keep(vu, VU_KEY_ADD_MEM_REG | memory_number(vu->memory, &info));
	vu_memory_changed(vu);
	return 0;
}

/* One that came with a table is removed from that again, should the table be told again. */
static int rem_mem_reg(struct vu *vu, struct vu_message *msg)
{
	struct memory_info info = region_info(&msg->payload.reg.region);
	const int number = memory_number(vu->memory, &info);
	int r;

	r = memory_remove(vu->memory, &info);
	if (r < 0)
		return r;

	if (number < MEMORY_FIRST_ADDED)
		keep(vu, VU_KEY_REM_MEM_REG | number);
	else
		forget(vu, VU_KEY_ADD_MEM_REG | number, VU_KEY_ADD_MEM_REG | number);
	vu_memory_changed(vu);
	return 0;
}

static struct vu_queue *find_queue(struct vu *vu, uint64_t index)
{
	if (index < vu->config.num_queues)
		return &vu->queues[index];
	log_warn("vhost-user: there is no queue %" PRIu64 ", the device has %u (start QEMU with num_vqs=%u)",
		 index, vu->config.num_queues, vu->config.num_queues);
	return NULL;
}

static int set_vring_num(struct vu *vu, struct vu_message *msg)
{
	struct vu_queue *queue = find_queue(vu, msg->payload.state.index);

	keep(vu, VU_KEY_VRING_NUM | msg->payload.state.index);
	return queue ? vq_set_size(queue->vq, msg->payload.state.num) : -EINVAL;
}

/* The flags and the log address are for a log of writes, which is not offered. */
static int set_vring_addr(struct vu *vu, struct vu_message *msg)
{
	const struct vhost_user_vring_addr *addr = &msg->payload.addr;
	struct vu_queue *queue = find_queue(vu, addr->index);
	const struct vq_addresses addresses = {
		.desc = addr->desc,
		.avail = addr->avail,
		.used = addr->used,
	};

	keep(vu, VU_KEY_VRING_ADDR | addr->index);
	return queue ? vq_set_addresses(queue->vq, &addresses) : -EINVAL;
}

static int set_vring_base(struct vu *vu, struct vu_message *msg)
{
	struct vu_queue *queue = find_queue(vu, msg->payload.state.index);
	int r;

	if (!queue)
		return -EINVAL;

	r = vq_set_base(queue->vq, msg->payload.state.num);
	if (r < 0)
		return r;

	vu->state->queues[queue->index].base_set = true;
	return 0;
}

/*
 * Stops the queue until it gets a kick descriptor again. There is no way to refuse: a queue
 * that we do not have stands where it always stood.
 */
static int get_vring_base(struct vu *vu, struct vu_message *msg)
{
	struct vu_queue *queue = find_queue(vu, msg->payload.state.index);
	struct vhost_user_vring_state state = { .index = msg->payload.state.index };

	if (!queue)
		return vu_reply(vu, msg->hdr.request, &state, sizeof(state));

	vu_set_kick(queue, -1);
	vu_stop_if_needed(vu);
	forget(vu, VU_KEY_VRING_KICK | queue->index, VU_KEY_VRING_KICK | queue->index);

	state.num = vq_get_base(queue->vq);
	return vu_reply(vu, msg->hdr.request, &state, sizeof(state));
}

/*
 * The queue and descriptor of SET_VRING_KICK, _CALL and _ERR; -1: none. Others may share
 * the descriptor's description; being non-blocking does not harm those that are used here.
 */
static int vring_fd(struct vu *vu, struct vu_message *msg, struct vu_queue **queue, int *fd)
{
	uint64_t value = msg->payload.u64;
	bool nofd = value & VHOST_USER_VRING_NOFD;
	int flags;

	if (value & ~(VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NOFD))
		return -EPROTO;
	if (msg->num_fds != (nofd ? 0 : 1))
		return -EPROTO;

	*queue = find_queue(vu, value & VHOST_USER_VRING_INDEX_MASK);
	if (!*queue)
		return -EINVAL;

	*fd = nofd ? -1 : msg->fds[0];
	if (nofd)
		return 0;

	flags = fcntl(*fd, F_GETFL);
	if (flags < 0 || fcntl(*fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/* A queue without a kick descriptor would have to be polled. */
static int set_vring_kick(struct vu *vu, struct vu_message *msg)
{
	struct vu_queue *queue;
	int fd, r;

	r = vring_fd(vu, msg, &queue, &fd);
	if (r < 0)
		return r;
	if (fd < 0)
		return -EOPNOTSUPP;

	r = vu_check_queue(queue, true, queue->enabled);
	if (r < 0)
		return r;

	r = vu_set_kick(queue, fd);
	if (r < 0)
		return r;

	keep(vu, VU_KEY_VRING_KICK | queue->index);
	msg->num_fds = 0;
	return 0;
}

static int set_vring_call(struct vu *vu, struct vu_message *msg)
{
	struct vu_queue *queue;
	int fd, r;

	r = vring_fd(vu, msg, &queue, &fd);
	if (r < 0)
		return r;

	keep(vu, VU_KEY_VRING_CALL | queue->index);
	vq_set_call(queue->vq, fd);
	msg->num_fds = 0;
	return 0;
}

static int set_vring_err(struct vu *vu, struct vu_message *msg)
{
	struct vu_queue *queue;
	int fd, r;

	r = vring_fd(vu, msg, &queue, &fd);
	if (r < 0)
		return r;

	keep(vu, VU_KEY_VRING_ERR | queue->index);
	vq_set_err(queue->vq, fd);
	msg->num_fds = 0;
	return 0;
}

static int set_vring_enable(struct vu *vu, struct vu_message *msg)
{
	struct vu_queue *queue = find_queue(vu, msg->payload.state.index);
	bool enable = msg->payload.state.num;
	int r;

	if (!queue || msg->payload.state.num > 1)
		return -EINVAL;

	r = vu_check_queue(queue, queue->kick_fd >= 0, enable);
	if (r < 0)
		return r;

	keep(vu, VU_KEY_VRING_ENABLE | queue->index);
	queue->enabled = enable;
	vu_stop_if_needed(vu);
	return 0;
}

/* Whether a message about the config space has the bytes that it says it is about. */
static bool config_agrees(const struct vu_message *msg)
{
	const struct vhost_user_config *config = &msg->payload.config;

	return config->size <= VHOST_USER_MAX_CONFIG_SIZE &&
	       msg->hdr.size == offsetof(struct vhost_user_config, bytes) + config->size;
}

/* No payload at all is how the protocol says that there are no such bytes. */
static int get_config(struct vu *vu, struct vu_message *msg)
{
	const struct vhost_user_config *config = &msg->payload.config;
	uint8_t space[VHOST_USER_MAX_CONFIG_SIZE] = { 0 };
	struct vhost_user_config reply = {
		.offset = config->offset,
		.size = config->size,
		.flags = config->flags,
	};

	if (!config_agrees(msg))
		return -EPROTO;
	if (config->offset > sizeof(space) || config->size > sizeof(space) - config->offset)
		return vu_reply(vu, msg->hdr.request, &reply, 0);

	if (vu->config.config_size > 0)
		memcpy(space, vu->config.config, vu->config.config_size);
	memcpy(reply.bytes, space + config->offset, config->size);
	return vu_reply(vu, msg->hdr.request, &reply, msg->hdr.size);
}

/* It is read-only, which a guest that writes it all the same finds out by reading. */
static int set_config(struct vu *vu, struct vu_message *msg)
{
	return config_agrees(msg) ? 0 : -EPROTO;
}

/*
 * The requests.
 */

struct request {
	const char *name;
	int (*handle)(struct vu *vu, struct vu_message *msg);
	bool replies; /* by itself; an acknowledgement that is asked for is none of its */
	uint32_t min_size; /* of the payload */
	uint32_t max_size;
	uint8_t min_fds;
	uint8_t max_fds;
};

#define CONFIG_MIN offsetof(struct vhost_user_config, bytes)
#define TABLE_MIN offsetof(struct vhost_user_mem_table, regions)
#define STATE sizeof(struct vhost_user_vring_state)
#define U64 sizeof(uint64_t)

/* New requests go here, their protocol feature above. */
static const struct request requests[] = {
	[VHOST_USER_GET_FEATURES] = { "GET_FEATURES", get_features, true, 0, 0, 0, 0 },
	[VHOST_USER_SET_FEATURES] = { "SET_FEATURES", set_features, false, U64, U64, 0, 0 },
	[VHOST_USER_SET_OWNER] = { "SET_OWNER", set_owner, false, 0, 0, 0, 0 },
	[VHOST_USER_RESET_OWNER] = { "RESET_OWNER", reset_owner, false, 0, 0, 0, 0 },
	[VHOST_USER_SET_MEM_TABLE] = { "SET_MEM_TABLE", set_mem_table, false, TABLE_MIN,
				       sizeof(struct vhost_user_mem_table), 0,
				       VHOST_USER_MAX_REGIONS },
	[VHOST_USER_SET_VRING_NUM] = { "SET_VRING_NUM", set_vring_num, false, STATE, STATE, 0, 0 },
	[VHOST_USER_SET_VRING_ADDR] = { "SET_VRING_ADDR", set_vring_addr, false,
					sizeof(struct vhost_user_vring_addr),
					sizeof(struct vhost_user_vring_addr), 0, 0 },
	[VHOST_USER_SET_VRING_BASE] = { "SET_VRING_BASE", set_vring_base, false, STATE, STATE, 0,
					0 },
	[VHOST_USER_GET_VRING_BASE] = { "GET_VRING_BASE", get_vring_base, true, STATE, STATE, 0,
					0 },
	[VHOST_USER_SET_VRING_KICK] = { "SET_VRING_KICK", set_vring_kick, false, U64, U64, 0, 1 },
	[VHOST_USER_SET_VRING_CALL] = { "SET_VRING_CALL", set_vring_call, false, U64, U64, 0, 1 },
	[VHOST_USER_SET_VRING_ERR] = { "SET_VRING_ERR", set_vring_err, false, U64, U64, 0, 1 },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", get_protocol_features,
					       true, 0, 0, 0, 0 },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", set_protocol_features,
					       false, U64, U64, 0, 0 },
	[VHOST_USER_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", get_queue_num, true, 0, 0, 0, 0 },
	[VHOST_USER_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", set_vring_enable, false, STATE,
					  STATE, 0, 0 },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", set_backend_req_fd, false, 0, 0,
					    1, 1 },
	[VHOST_USER_GET_CONFIG] = { "GET_CONFIG", get_config, true, CONFIG_MIN,
				    sizeof(struct vhost_user_config), 0, 0 },
	[VHOST_USER_SET_CONFIG] = { "SET_CONFIG", set_config, false, CONFIG_MIN,
				    sizeof(struct vhost_user_config), 0, 0 },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", get_max_mem_slots, true, 0, 0, 0,
					   0 },
	[VHOST_USER_ADD_MEM_REG] = { "ADD_MEM_REG", add_mem_reg, false,
				     sizeof(struct vhost_user_mem_reg),
				     sizeof(struct vhost_user_mem_reg), 1, 1 },
	/* Some front ends send the descriptor again. */
	[VHOST_USER_REM_MEM_REG] = { "REM_MEM_REG", rem_mem_reg, false,
				     sizeof(struct vhost_user_mem_reg),
				     sizeof(struct vhost_user_mem_reg), 0, 1 },
};

static const struct request *find_request(uint32_t number)
{
	if (number >= ARRAY_SIZE(requests) || !requests[number].handle)
		return NULL;
	return &requests[number];
}

int vu_check_header(const struct vhost_user_header *hdr)
{
	const struct request *request = find_request(hdr->request);

	if ((hdr->flags & ~VHOST_USER_NEED_REPLY) != VHOST_USER_VERSION)
		return -EPROTO;
	if (hdr->size > VU_MAX_PAYLOAD)
		return -EPROTO;
	if (request && (hdr->size < request->min_size || hdr->size > request->max_size))
		return -EPROTO;
	return 0;
}

static int handle_known(struct vu *vu, struct vu_message *msg, const struct request *request)
{
	if (msg->num_fds < request->min_fds || msg->num_fds > request->max_fds)
		return -EPROTO;
	return request->handle(vu, msg);
}

int vu_handle(struct vu *vu, struct vu_message *msg)
{
	const struct request *request = find_request(msg->hdr.request);
	int r;

	log_debug("vhost-user: %s (%" PRIu32 "), %" PRIu32 " bytes, %zu descriptors",
		  request ? request->name : "unknown", msg->hdr.request, msg->hdr.size,
		  msg->num_fds);

	log_trace("vhost-user: the message", msg->payload.bytes, msg->hdr.size);

	r = request ? handle_known(vu, msg, request) : -EOPNOTSUPP;
	if (r == -EPROTO || (request && request->replies))
		return r;
	if (r < 0)
		vu->note = (struct vu_note){ 0 };
	if (r < 0)
		log_warn("vhost-user: refused %s (%" PRIu32 "): %s",
			 request ? request->name : "unknown", msg->hdr.request, strerror(-r));

	/* SET_PROTOCOL_FEATURES is acknowledged if it is what allows that. */
	if (!(msg->hdr.flags & VHOST_USER_NEED_REPLY) ||
	    !(vu->protocol_features & VHOST_USER_PROTOCOL_F_REPLY_ACK))
		return 0;
	return reply_u64(vu, msg, r < 0);
}
