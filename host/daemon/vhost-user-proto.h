/* SPDX-License-Identifier: MIT */
/*
 * The messages of the vhost-user protocol that we use, in the host's byte order. The
 * protocol is specified in QEMU's docs/interop/vhost-user.rst.
 */
#ifndef BUFSHARE_DAEMON_VHOST_USER_PROTO_H
#define BUFSHARE_DAEMON_VHOST_USER_PROTO_H

#include <stdint.h>

/* Front end to back end. */
enum vhost_user_request {
	VHOST_USER_GET_FEATURES			= 1,
	VHOST_USER_SET_FEATURES			= 2,
	VHOST_USER_SET_OWNER			= 3,
	VHOST_USER_RESET_OWNER			= 4,
	VHOST_USER_SET_MEM_TABLE		= 5,
	VHOST_USER_SET_VRING_NUM		= 8,
	VHOST_USER_SET_VRING_ADDR		= 9,
	VHOST_USER_SET_VRING_BASE		= 10,
	VHOST_USER_GET_VRING_BASE		= 11,
	VHOST_USER_SET_VRING_KICK		= 12,
	VHOST_USER_SET_VRING_CALL		= 13,
	VHOST_USER_SET_VRING_ERR		= 14,
	VHOST_USER_GET_PROTOCOL_FEATURES	= 15,
	VHOST_USER_SET_PROTOCOL_FEATURES	= 16,
	VHOST_USER_GET_QUEUE_NUM		= 17,
	VHOST_USER_SET_VRING_ENABLE		= 18,
	VHOST_USER_SET_BACKEND_REQ_FD		= 21,
	VHOST_USER_GET_CONFIG			= 24,
	VHOST_USER_SET_CONFIG			= 25,
	VHOST_USER_GET_MAX_MEM_SLOTS		= 36,
	VHOST_USER_ADD_MEM_REG			= 37,
	VHOST_USER_REM_MEM_REG			= 38,
};

/* Flags of a header. */
#define VHOST_USER_VERSION			0x1U
#define VHOST_USER_VERSION_MASK			0x3U
#define VHOST_USER_REPLY			0x4U
#define VHOST_USER_NEED_REPLY			0x8U

/* Feature bits beside those of the device. */
#define VHOST_USER_F_PROTOCOL_FEATURES		(1ULL << 30)
#define VHOST_USER_F_VERSION_1			(1ULL << 32)

#define VHOST_USER_PROTOCOL_F_MQ		(1ULL << 0)
#define VHOST_USER_PROTOCOL_F_REPLY_ACK		(1ULL << 3)
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ	(1ULL << 5)
#define VHOST_USER_PROTOCOL_F_CONFIG		(1ULL << 9)
#define VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD	(1ULL << 10)
#define VHOST_USER_PROTOCOL_F_MEM_SLOTS		(1ULL << 15)

/* The payload of SET_VRING_KICK, _CALL and _ERR: a queue, and whether no descriptor comes. */
#define VHOST_USER_VRING_INDEX_MASK		0xffULL
#define VHOST_USER_VRING_NOFD			0x100ULL

/* Regions of SET_MEM_TABLE, and so descriptors of any message. */
#define VHOST_USER_MAX_REGIONS			8
#define VHOST_USER_MAX_FDS			8
#define VHOST_USER_MAX_CONFIG_SIZE		256

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_user_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t offset;
};

struct vhost_user_mem_table {
	uint32_t num_regions;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_MAX_REGIONS];
};

struct vhost_user_mem_reg {
	uint64_t padding;
	struct vhost_user_region region;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_USER_MAX_CONFIG_SIZE];
};

#endif /* BUFSHARE_DAEMON_VHOST_USER_PROTO_H */
