/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/messages.h"

const struct message messages[] = {
	{ "GET_FEATURES", 1, 0, 0, 0, 0, true },
	{ "SET_FEATURES", 2, 8, 8, 0, 0, false },
	{ "SET_OWNER", 3, 0, 0, 0, 0, false },
	{ "RESET_OWNER", 4, 0, 0, 0, 0, false },
	{ "SET_MEM_TABLE", 5, 72, 264, 2, 2, false },
	{ "SET_VRING_NUM", 8, 8, 8, 0, 0, false },
	{ "SET_VRING_ADDR", 9, 40, 40, 0, 0, false },
	{ "SET_VRING_BASE", 10, 8, 8, 0, 0, false },
	{ "GET_VRING_BASE", 11, 8, 8, 0, 0, true },
	{ "SET_VRING_KICK", 12, 8, 8, 1, 1, false },
	{ "SET_VRING_CALL", 13, 8, 8, 1, 1, false },
	{ "SET_VRING_ERR", 14, 8, 8, 1, 1, false },
	{ "GET_PROTOCOL_FEATURES", 15, 0, 0, 0, 0, true },
	{ "SET_PROTOCOL_FEATURES", 16, 8, 8, 0, 0, false },
	{ "GET_QUEUE_NUM", 17, 0, 0, 0, 0, true },
	{ "SET_VRING_ENABLE", 18, 8, 8, 0, 0, false },
	{ "SET_BACKEND_REQ_FD", 21, 0, 0, 1, 1, false },
	{ "GET_CONFIG", 24, MESSAGE_CONFIG_SIZE + 64, MESSAGE_CONFIG_SIZE + 64, 0, 0, true },
	{ "SET_CONFIG", 25, MESSAGE_CONFIG_SIZE + 64, MESSAGE_CONFIG_SIZE + 64, 0, 0, false },
	{ "GET_MAX_MEM_SLOTS", 36, 0, 0, 0, 0, true },
	{ "ADD_MEM_REG", 37, 40, 40, 1, 1, false },
	{ "REM_MEM_REG", 38, 40, 40, 0, 1, false },
};

void message_fill(struct fixture *f, uint32_t request, union message_payload *p)
{
	struct ff_queue *queue = &f->ff->queues[ECHO];

	memset(p, 0, sizeof(*p));
	switch (request) {
	case VHOST_USER_SET_FEATURES:
		p->u64 = f->ff->features;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		p->u64 = f->ff->protocol;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		p->table.num_regions = 2;
		ff_regions(p->table.regions);
		break;
	case VHOST_USER_SET_VRING_NUM:
		p->state.num = FF_QUEUE_SIZE;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		p->addr.desc = ff_uva(queue->desc_gpa);
		p->addr.avail = ff_uva(queue->avail_gpa);
		p->addr.used = ff_uva(queue->used_gpa);
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		p->config.size = 64;
		break;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		p->reg.region = (struct vhost_user_region){ 1ULL << 32, 0x1000, 0x7fff00000000, 0 };
		break;
	default:
		break;
	}
}

void message_fds(struct fixture *f, uint32_t request, int fds[FF_MAX_FDS])
{
	bool vring = request >= VHOST_USER_SET_VRING_KICK && request <= VHOST_USER_SET_VRING_ERR;
	int i;

	for (i = 0; i < FF_MAX_FDS; i++)
		fds[i] = vring ? f->ff->queues[ECHO].kick : f->ff->ram_fd;
}

void message_connect(struct fixture *f)
{
	struct vhost_user_mem_reg reg = {
		.region = { 1ULL << 33, 0x1000, 0x7ffe00000000, 0 },
	};

	ff_connect(f->ff);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_FEATURES, &f->ff->features,
				 sizeof(f->ff->features), NULL, 0),
			 0);
	assert_int_equal(ff_call(f->ff, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), &f->ff->ram_fd,
				 1),
			 0);
	fixture_forget(f);
}
