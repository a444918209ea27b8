/* SPDX-License-Identifier: MIT */
/*
 * Seeds of the fuzzers of keeper and worker.
 */
#include <endian.h>
#include <stddef.h>

#include <linux/virtio_ring.h>

#include "fuzz/seed.h"
#include "fuzz/steps.h"
#include "host/daemon/device-internal.h"
#include "host/daemon/keeper-proto.h"
#include "host/daemon/state.h"

static void worker_message(struct seed *s, bool replay, uint8_t request, uint8_t fds,
			   const void *payload, size_t size)
{
	put_u8(s, WORKER_STEP_MESSAGE);
	put_u8(s, replay);
	put_u8(s, request);
	put_u8(s, fds);
	put_chunk(s, payload, size);
}

static void worker_u64(struct seed *s, uint8_t request, uint8_t fds, uint64_t value)
{
	worker_message(s, true, request, fds, &value, sizeof(value));
}

static void worker_vring(struct seed *s, bool replay, uint8_t request, uint32_t index, uint32_t num)
{
	const struct vhost_user_vring_state state = { index, num };

	worker_message(s, replay, request, 0, &state, sizeof(state));
}

static void worker_queue(struct seed *s, uint32_t index)
{
	const struct vhost_user_vring_addr addr = {
		.index = index,
		.desc = 0x8000 * index,
		.avail = 0x8000 * index + SEED_AVAIL,
		.used = 0x8000 * index + SEED_USED,
	};

	worker_vring(s, true, VHOST_USER_SET_VRING_NUM, index, SEED_RING_SIZE);
	worker_message(s, true, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr));
	worker_u64(s, VHOST_USER_SET_VRING_KICK, 1, index);
	worker_u64(s, VHOST_USER_SET_VRING_CALL, 1, index);
	worker_vring(s, true, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

static void worker_state(struct seed *s, size_t offset, uint64_t value, size_t size)
{
	put_u8(s, WORKER_STEP_STATE);
	put_u16(s, (uint16_t)(offset / 2));
	put_chunk(s, &value, size);
}

static void worker_record(struct seed *s, uint8_t kind)
{
	put_u8(s, WORKER_STEP_RECORD);
	put_u8(s, kind);
	put_u8(s, 0);
	put_chunk(s, NULL, 0);
}

static void worker_write(struct seed *s, size_t offset, const void *bytes, size_t size)
{
	put_u8(s, WORKER_STEP_WRITE);
	put_u16(s, (uint16_t)(offset / 2));
	put_chunk(s, bytes, size);
}

/* The driver registers a buffer again whose host's properties the last worker saved. */
static void worker_register(struct seed *s)
{
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range range;
		char properties[sizeof(SEED_PROPERTIES)];
	} m = {
		.hdr = {
			.hdr = {
				.type = htole32(VIRTIO_BUFSHARE_CMD_REGISTER),
				.flags = htole32(VIRTIO_BUFSHARE_REGISTER_AGAIN),
				.epoch = htole64(1),
			},
			.buffer = htole64(1),
			.size = htole64(0x1000),
			.num_ranges = htole32(1),
			.properties_size = htole32(sizeof(SEED_PROPERTIES)),
			.application = SEED_APPLICATION,
		},
		.range = { htole64(0x4000), htole64(0x1000) },
		.properties = SEED_PROPERTIES,
	};
	const uint32_t size = offsetof(typeof(m), properties) + sizeof(SEED_PROPERTIES);
	const struct virtio_bufshare_init init = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_INIT), .epoch = htole64(1) },
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_RECOVERY),
	};
	const struct vring_desc desc[] = {
		{ htole64(SEED_REQUEST), htole32(sizeof(init)), htole16(VRING_DESC_F_NEXT), htole16(1) },
		{ htole64(SEED_REQUEST + sizeof(init)), htole32(size), htole16(VRING_DESC_F_NEXT),
		  htole16(1) },
	};
	static const char block[] = "host.lag=1";
	const size_t slots = STATE_SAVED + SEED_MAX_SAVED * sizeof(uint64_t);

	/* The first element says INIT, the second one is in the indirect table. */
	worker_write(s, SEED_REQUEST, &init, sizeof(init));
	worker_write(s, 0, &desc[0], sizeof(desc[0]));
	worker_write(s, SEED_REQUEST + sizeof(init), &m, size);
	worker_write(s, SEED_INDIRECT, &desc[1], sizeof(desc[1]));
	worker_state(s, STATE_SAVED, 1, 8);
	worker_state(s, slots + offsetof(struct dev_saved_slot, epoch), 1, 8);
	worker_state(s, slots + offsetof(struct dev_saved_slot, size), sizeof(block), 4);
	put_u8(s, WORKER_STEP_STATE);
	put_u16(s, (uint16_t)((slots + offsetof(struct dev_saved_slot, block)) / 2));
	put_chunk(s, block, sizeof(block));
}

/* Another one ended between popping an element and putting it into the used ring. */
void seed_worker(struct seed *s)
{
	const size_t vq = offsetof(struct state, guest.vu.vqs);
	uint8_t memory[SEED_RING_MEMORY];
	size_t size = seed_ring(0, memory);

	worker_write(s, 0, memory, size);
	worker_register(s);
	worker_state(s, offsetof(struct state, guest.epoch), 1, 8);
	worker_state(s, offsetof(struct state, guest.in_force), 1, 1);
	worker_state(s, offsetof(struct state, guest.vu.running), 0x0101, 2);
	worker_state(s, vq + offsetof(struct vq_state, popped), 1, 8);
	worker_state(s, vq + offsetof(struct vq_state, order), 1, 8);
	worker_state(s, vq + offsetof(struct vq_state, completing), VQ_COMPLETING(0, 0), 8);
	worker_record(s, KEEPER_VMM);
	worker_u64(s, VHOST_USER_SET_PROTOCOL_FEATURES, 0, VHOST_USER_PROTOCOL_F_MQ);
	worker_u64(s, VHOST_USER_SET_FEATURES, 0,
		   VHOST_USER_F_PROTOCOL_FEATURES | VHOST_USER_F_VERSION_1 | 1ULL << 28 | 1ULL << 29);
	put_u8(s, WORKER_STEP_MEMORY);
	worker_queue(s, 0);
	worker_queue(s, 1);
	worker_record(s, KEEPER_REPLAYED);
	worker_message(s, false, VHOST_USER_GET_FEATURES, 0, NULL, 0);
	worker_vring(s, false, VHOST_USER_GET_VRING_BASE, 0, 0);
	worker_record(s, KEEPER_GONE);
	worker_record(s, KEEPER_END);
}

static void keeper_message(struct seed *s, uint8_t request, uint8_t fds, uint8_t keep)
{
	put_u8(s, KEEPER_STEP_MESSAGE);
	put_u8(s, request);
	put_u8(s, fds);
	put_chunk(s, "12345678", 8);
	if (!keep)
		return;
	put_u8(s, KEEPER_STEP_ANSWER);
	put_u8(s, keep);
	put_u8(s, 1);
}

void seed_keeper(struct seed *s)
{
	put_u8(s, 0);
	put_u8(s, 1);
	put_u8(s, KEEPER_STEP_READY);
	put_u8(s, KEEPER_STEP_CONNECT);
	keeper_message(s, VHOST_USER_SET_FEATURES, 0, 1);
	keeper_message(s, VHOST_USER_SET_VRING_KICK, 1, 2);
	keeper_message(s, VHOST_USER_SET_MEM_TABLE, 8, 0);
	put_u8(s, KEEPER_STEP_DIE);
	put_u8(s, 1);
	put_u8(s, KEEPER_STEP_READY);
	put_u8(s, KEEPER_STEP_RECORD);
	put_u8(s, WORKER_DONE);
	put_u8(s, 0);
	put_u16(s, 3);
	put_u16(s, 1);
	put_u16(s, 2);
	put_u8(s, 0);
	put_chunk(s, "reply", 5);
	put_u8(s, KEEPER_STEP_LEVEL);
	put_u8(s, KEEPER_STEP_HANG_UP);
	put_u8(s, KEEPER_STEP_RECORD);
	put_u8(s, WORKER_GONE_DONE);
	put_u8(s, 0);
	put(s, "\0\0\0\0\0\0\0\0", 9);
	put_u8(s, KEEPER_STEP_CONNECT);
	put_u8(s, KEEPER_STEP_END);
	put_u8(s, KEEPER_STEP_END);
}
