/* SPDX-License-Identifier: MIT */
/*
 * The numbers and layouts that the VMM defines, not we: against the text of the vhost-user
 * protocol, and against the kernel's headers where those have the same. In the host's byte
 * order, so for this architecture only. check-abi.sh compiles this; nothing runs.
 */
#include <stddef.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "host/daemon/vhost-user-proto.h"
#include "host/daemon/virtqueue.h"

#define SIZE(name, bytes) _Static_assert(sizeof(struct name) == (bytes), "size of " #name)
#define OFFSET(name, field, bytes) \
	_Static_assert(offsetof(struct name, field) == (bytes), "offset of " #name "." #field)
#define NUMBER(name, value) _Static_assert((name) == (value), #name)
NUMBER(VHOST_USER_GET_FEATURES, 1);
NUMBER(VHOST_USER_SET_FEATURES, 2);
NUMBER(VHOST_USER_SET_OWNER, 3);
NUMBER(VHOST_USER_RESET_OWNER, 4);
NUMBER(VHOST_USER_SET_MEM_TABLE, 5);
NUMBER(VHOST_USER_SET_VRING_NUM, 8);
NUMBER(VHOST_USER_SET_VRING_ADDR, 9);
NUMBER(VHOST_USER_SET_VRING_BASE, 10);
NUMBER(VHOST_USER_GET_VRING_BASE, 11);
NUMBER(VHOST_USER_SET_VRING_KICK, 12);
NUMBER(VHOST_USER_SET_VRING_CALL, 13);
NUMBER(VHOST_USER_SET_VRING_ERR, 14);
NUMBER(VHOST_USER_GET_PROTOCOL_FEATURES, 15);
NUMBER(VHOST_USER_SET_PROTOCOL_FEATURES, 16);
NUMBER(VHOST_USER_GET_QUEUE_NUM, 17);
NUMBER(VHOST_USER_SET_VRING_ENABLE, 18);
NUMBER(VHOST_USER_SET_BACKEND_REQ_FD, 21);
NUMBER(VHOST_USER_GET_CONFIG, 24);
NUMBER(VHOST_USER_SET_CONFIG, 25);
NUMBER(VHOST_USER_GET_MAX_MEM_SLOTS, 36);
NUMBER(VHOST_USER_ADD_MEM_REG, 37);
NUMBER(VHOST_USER_REM_MEM_REG, 38);
NUMBER(VHOST_USER_VERSION, 1);
NUMBER(VHOST_USER_VERSION_MASK, 3);
NUMBER(VHOST_USER_REPLY, 1 << 2);
NUMBER(VHOST_USER_NEED_REPLY, 1 << 3);
NUMBER(VHOST_USER_F_PROTOCOL_FEATURES, 1ULL << 30);
NUMBER(VHOST_USER_F_VERSION_1, 1ULL << VIRTIO_F_VERSION_1);
NUMBER(VQ_F_INDIRECT, 1ULL << VIRTIO_RING_F_INDIRECT_DESC);
NUMBER(VQ_F_EVENT_IDX, 1ULL << VIRTIO_RING_F_EVENT_IDX);
NUMBER(VHOST_USER_PROTOCOL_F_MQ, 1ULL << 0);
NUMBER(VHOST_USER_PROTOCOL_F_REPLY_ACK, 1ULL << 3);
NUMBER(VHOST_USER_PROTOCOL_F_BACKEND_REQ, 1ULL << 5);
NUMBER(VHOST_USER_PROTOCOL_F_CONFIG, 1ULL << 9);
NUMBER(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD, 1ULL << 10);
NUMBER(VHOST_USER_PROTOCOL_F_MEM_SLOTS, 1ULL << 15);
NUMBER(VHOST_USER_VRING_INDEX_MASK, 0xff);
NUMBER(VHOST_USER_VRING_NOFD, 1 << 8);
NUMBER(VHOST_USER_MAX_REGIONS, 8);
NUMBER(VHOST_USER_MAX_CONFIG_SIZE, 256);
SIZE(vhost_user_header, 12);
OFFSET(vhost_user_header, request, 0);
OFFSET(vhost_user_header, flags, 4);
OFFSET(vhost_user_header, size, 8);
SIZE(vhost_user_vring_state, sizeof(struct vhost_vring_state));
OFFSET(vhost_user_vring_state, index, offsetof(struct vhost_vring_state, index));
OFFSET(vhost_user_vring_state, num, offsetof(struct vhost_vring_state, num));
SIZE(vhost_user_vring_addr, sizeof(struct vhost_vring_addr));
OFFSET(vhost_user_vring_addr, index, offsetof(struct vhost_vring_addr, index));
OFFSET(vhost_user_vring_addr, flags, offsetof(struct vhost_vring_addr, flags));
OFFSET(vhost_user_vring_addr, desc, offsetof(struct vhost_vring_addr, desc_user_addr));
OFFSET(vhost_user_vring_addr, used, offsetof(struct vhost_vring_addr, used_user_addr));
OFFSET(vhost_user_vring_addr, avail, offsetof(struct vhost_vring_addr, avail_user_addr));
OFFSET(vhost_user_vring_addr, log, offsetof(struct vhost_vring_addr, log_guest_addr));
/* As struct vhost_memory_region, but with the offset in the file where that has padding. */
SIZE(vhost_user_region, sizeof(struct vhost_memory_region));
OFFSET(vhost_user_region, gpa, offsetof(struct vhost_memory_region, guest_phys_addr));
OFFSET(vhost_user_region, size, offsetof(struct vhost_memory_region, memory_size));
OFFSET(vhost_user_region, uva, offsetof(struct vhost_memory_region, userspace_addr));
OFFSET(vhost_user_region, offset, offsetof(struct vhost_memory_region, flags_padding));
SIZE(vhost_user_mem_table, 8 + 8 * 32);
OFFSET(vhost_user_mem_table, num_regions, 0);
OFFSET(vhost_user_mem_table, padding, 4);
OFFSET(vhost_user_mem_table, regions, 8);
SIZE(vhost_user_mem_reg, 40);
OFFSET(vhost_user_mem_reg, padding, 0);
OFFSET(vhost_user_mem_reg, region, 8);
SIZE(vhost_user_config, 12 + 256);
OFFSET(vhost_user_config, offset, 0);
OFFSET(vhost_user_config, size, 4);
OFFSET(vhost_user_config, flags, 8);
OFFSET(vhost_user_config, bytes, 12);
