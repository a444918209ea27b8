/* SPDX-License-Identifier: MIT */
/*
 * fuzz-seeds FOLDER: writes one good input for each fuzzer to FOLDER/NAME/good, from which
 * libFuzzer finds its way to those that are wrong.
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/virtio_bufshare.h>
#include <linux/virtio_ring.h>

#include "fuzz/seed.h"
#include "fuzz/steps.h"
#include "host/daemon/vhost-user-proto.h"
#include "host/ipc.h"

static int save(const struct seed *s, const char *folder, const char *name, const char *file)
{
	char path[4096];
	FILE *f;
	int r;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	r = fwrite(s->bytes, 1, s->n, f) == s->n ? 0 : -EIO;
	if (fclose(f) != 0)
		r = -EIO;
	return r;
}

/* ---- properties ---- */

static void properties(struct seed *s)
{
	put_u8(s, 2);
	put_chunk(s, SEED_PROPERTIES, sizeof(SEED_PROPERTIES));
	put_u8(s, 7);
	put_chunk(s, "height\0host.lag=2\0title=\xc3\xa4", 22);
}

/* ---- rings ---- */

size_t seed_ring(uint64_t gpa, uint8_t memory[SEED_RING_MEMORY])
{
	const uint16_t avail[] = { 0, htole16(2), htole16(0), htole16(2) };
	struct vring_desc *desc = (struct vring_desc *)memory;

	memset(memory, 0, SEED_RING_MEMORY);
	desc[0].addr = htole64(gpa + SEED_REQUEST);
	desc[0].len = htole32(24);
	desc[0].flags = htole16(VRING_DESC_F_NEXT);
	desc[0].next = htole16(1);
	desc[1].addr = htole64(gpa + SEED_ANSWER);
	desc[1].len = htole32(64);
	desc[1].flags = htole16(VRING_DESC_F_WRITE);
	desc[2].addr = htole64(gpa + SEED_INDIRECT);
	desc[2].len = htole32(2 * sizeof(*desc));
	desc[2].flags = htole16(VRING_DESC_F_INDIRECT);
	/* the indirect table, inside the guest's memory as well */
	desc[48] = desc[0];
	desc[49] = desc[1];
	memcpy(memory + SEED_AVAIL, avail, sizeof(avail));
	return SEED_RING_MEMORY;
}

static void virtqueue(struct seed *s)
{
	uint8_t memory[SEED_RING_MEMORY];
	size_t size = seed_ring(0x10000, memory);
	int i;

	put_u8(s, VQ_STEP_WRITE);
	put_u16(s, 0);
	put_chunk(s, memory, size);
	put_u8(s, VQ_STEP_SIZE);
	put_u16(s, SEED_RING_SIZE);
	put_u8(s, VQ_STEP_ADDRESSES);
	put_u16(s, 0);
	put_u16(s, SEED_AVAIL);
	put_u16(s, SEED_USED);
	put_u8(s, VQ_STEP_BASE);
	put_u16(s, 0);
	put_u8(s, VQ_STEP_START);
	put_u8(s, 3);
	for (i = 0; i < 2; i++) {
		put_u8(s, VQ_STEP_POP);
		put_u8(s, VQ_STEP_READ);
		put_u8(s, 0);
		put_u16(s, 0);
		put_u16(s, 24);
		put_u8(s, VQ_STEP_PUSH);
		put_u8(s, 0);
		put_u16(s, 8);
		put_u8(s, VQ_STEP_NOTIFY);
	}
	put_u8(s, VQ_STEP_STOP);
	put_u8(s, VQ_STEP_REMAP);
	put_u8(s, 0);
	put_u8(s, VQ_STEP_START);
	put_u8(s, 7);
	put_u8(s, VQ_STEP_POP);
}

/* ---- vhost-user ---- */

static void vu_message(struct seed *s, uint8_t request, uint8_t flags, uint8_t fds,
		       const void *payload, size_t size)
{
	put_u8(s, request);
	put_u8(s, flags);
	put_u8(s, fds);
	put_chunk(s, payload, size);
}

static void vu_u64(struct seed *s, uint8_t request, uint8_t fds, uint64_t value)
{
	vu_message(s, request, 0, fds, &value, sizeof(value));
}

static void vu_state(struct seed *s, uint8_t request, uint32_t index, uint32_t num)
{
	const struct vhost_user_vring_state state = { index, num };

	vu_message(s, request, 0, 0, &state, sizeof(state));
}

static void vu_queue(struct seed *s, uint32_t index)
{
	const struct vhost_user_vring_addr addr = {
		.index = index,
		.desc = 0x8000 * index,
		.avail = 0x8000 * index + SEED_AVAIL,
		.used = 0x8000 * index + SEED_USED,
	};

	vu_state(s, VHOST_USER_SET_VRING_NUM, index, SEED_RING_SIZE);
	vu_state(s, VHOST_USER_SET_VRING_BASE, index, 0);
	vu_message(s, VHOST_USER_SET_VRING_ADDR, 0, 0, &addr, sizeof(addr));
	vu_u64(s, VHOST_USER_SET_VRING_KICK, 1, index);
	vu_u64(s, VHOST_USER_SET_VRING_CALL, 1, index);
	vu_u64(s, VHOST_USER_SET_VRING_ERR, 1, index);
	vu_state(s, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

static void vhost_user(struct seed *s)
{
	struct vhost_user_config config = { .size = 64 };
	uint8_t memory[SEED_RING_MEMORY];
	size_t size = seed_ring(0, memory);

	put_u8(s, VU_STEP_WRITE);
	put_u16(s, 0);
	put_chunk(s, memory, size);
	vu_message(s, VHOST_USER_GET_FEATURES, 0, 0, NULL, 0);
	vu_message(s, VHOST_USER_GET_PROTOCOL_FEATURES, 0, 0, NULL, 0);
	vu_u64(s, VHOST_USER_SET_PROTOCOL_FEATURES, 0,
	       VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK |
	       VHOST_USER_PROTOCOL_F_CONFIG | VHOST_USER_PROTOCOL_F_MEM_SLOTS);
	vu_message(s, VHOST_USER_GET_QUEUE_NUM, 0, 0, NULL, 0);
	vu_message(s, VHOST_USER_GET_MAX_MEM_SLOTS, 0, 0, NULL, 0);
	vu_message(s, VHOST_USER_SET_OWNER, 0, 0, NULL, 0);
	vu_message(s, VHOST_USER_GET_CONFIG, 0, 0, &config,
		   offsetof(struct vhost_user_config, bytes) + 64);
	vu_u64(s, VHOST_USER_SET_FEATURES, 0,
	       VHOST_USER_F_PROTOCOL_FEATURES | VHOST_USER_F_VERSION_1 | 1ULL << 28 | 1ULL << 29);
	put_u8(s, VU_STEP_MEMORY);
	vu_queue(s, 0);
	vu_queue(s, 1);
	put_u8(s, VU_STEP_KICK);
	vu_state(s, VHOST_USER_SET_VRING_ENABLE, 0, 0);
	vu_state(s, VHOST_USER_GET_VRING_BASE, 0, 0);
	vu_state(s, VHOST_USER_GET_VRING_BASE, 1, 0);
}

/* ---- the device ---- */

static void dev_command(struct seed *s, const void *request, size_t size)
{
	put_u8(s, DEV_STEP_COMMAND_IN_EPOCH);
	put_chunk(s, request, size);
}

static void dev_register(struct seed *s)
{
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range ranges[2];
		char properties[sizeof(SEED_PROPERTIES)];
	} m = {
		.hdr = {
			.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_REGISTER) },
			.buffer = htole64(1),
			.size = htole64(0x2000),
			.num_ranges = htole32(2),
			.properties_size = htole32(sizeof(SEED_PROPERTIES)),
			.application = SEED_APPLICATION,
		},
		.ranges = { { htole64(0x4000), htole64(0x1000) }, { 0, htole64(0x1000) } },
		.properties = SEED_PROPERTIES,
	};

	dev_command(s, &m, offsetof(typeof(m), properties) + sizeof(SEED_PROPERTIES));
}

static void dev_update(struct seed *s)
{
	const struct {
		struct virtio_bufshare_update hdr;
		struct virtio_bufshare_rect rect;
	} m = {
		.hdr = {
			.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_UPDATE) },
			.buffer = htole64(1),
			.seq = htole64(1),
			.num_damage = htole32(1),
		},
		.rect = { 0, 0, htole32(8), htole32(8) },
	};

	dev_command(s, &m, sizeof(m));
}

static void dev_set_properties(struct seed *s)
{
	struct {
		struct virtio_bufshare_set_properties hdr;
		char properties[sizeof(SEED_PROPERTIES)];
	} m = {
		.hdr = {
			.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_SET_PROPERTIES) },
			.buffer = htole64(1),
			.properties_size = htole32(sizeof(SEED_PROPERTIES)),
		},
		.properties = SEED_PROPERTIES,
	};

	dev_command(s, &m, offsetof(typeof(m), properties) + sizeof(SEED_PROPERTIES));
}

static void dev_named(struct seed *s, uint32_t type)
{
	const struct virtio_bufshare_named m = {
		.hdr = { .type = htole32(type) },
		.buffer = htole64(1),
	};

	dev_command(s, &m, sizeof(m));
}

static void device(struct seed *s)
{
	const struct virtio_bufshare_init init = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_INIT) },
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES),
	};
	const struct virtio_bufshare_unregister unregister = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_UNREGISTER) },
		.buffer = htole64(1),
	};
	const struct virtio_bufshare_reset reset = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_RESET) },
		.application = SEED_APPLICATION,
	};
	const struct virtio_bufshare_ping ping = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_PING) },
		.cookie = htole64(1),
	};

	put_u8(s, DEV_STEP_COMMAND);
	put_chunk(s, &init, sizeof(init));
	put_u8(s, DEV_STEP_WATCH);
	put_u8(s, 0);
	put_u8(s, 1);
	dev_register(s);
	dev_update(s);
	dev_update(s);
	put_u8(s, DEV_STEP_EVENT);
	put_u8(s, DEV_STEP_RELEASE);
	put_u8(s, 0);
	put_u8(s, 0);
	dev_set_properties(s);
	dev_named(s, VIRTIO_BUFSHARE_CMD_GET_PROPERTIES);
	dev_named(s, VIRTIO_BUFSHARE_CMD_QUERY);
	put_u8(s, DEV_STEP_HOST_PROPERTIES);
	put_chunk(s, "host.lag=1", 11);
	dev_command(s, &ping, sizeof(ping));
	dev_command(s, &unregister, sizeof(unregister));
	put_u8(s, DEV_STEP_DETACH);
	put_u8(s, 0);
	put_u8(s, 0);
	dev_register(s);
	dev_command(s, &reset, sizeof(reset));
}

/* ---- consumers at the daemon ---- */

/* What is behind the header; NULL: nothing is. */
static void put_body(struct seed *s, const void *msg, size_t size)
{
	const size_t header = sizeof(struct bufshare_ipc_header);

	if (msg)
		put_chunk(s, (const uint8_t *)msg + header, size - header);
	else
		put_u16(s, 0);
}

static void con_message(struct seed *s, uint32_t type, const void *msg, size_t size)
{
	put_u8(s, CON_STEP_MESSAGE);
	put_u8(s, 0);
	put_u8(s, (uint8_t)type);
	put_body(s, msg, size);
}

static void consumers(struct seed *s)
{
	const struct bufshare_ipc_hello hello = {
		.magic = htole32(BUFSHARE_IPC_MAGIC),
		.version = htole32(BUFSHARE_IPC_VERSION),
		.caps = htole64(BUFSHARE_IPC_CAP_SET_PROPERTIES | BUFSHARE_IPC_CAP_STATS),
		.program = "seed",
	};
	const struct bufshare_ipc_subscribe subscribe = { .pattern = "demo.*" };
	const struct bufshare_ipc_release release = { .buffer = htole64(1), .seq = htole64(1) };
	const struct bufshare_ipc_buffer closed = { .buffer = htole64(1) };
	const struct bufshare_ipc_ping ping = { .cookie = htole64(1) };
	struct {
		struct bufshare_ipc_properties hdr;
		char block[sizeof("host.lag=1")];
	} set = {
		.hdr = { .buffer = htole64(1), .properties_size = htole32(sizeof(set.block)) },
		.block = "host.lag=1",
	};

	con_message(s, BUFSHARE_IPC_HELLO, &hello, sizeof(hello));
	con_message(s, BUFSHARE_IPC_SUBSCRIBE, &subscribe, sizeof(subscribe));
	put_u8(s, CON_STEP_UPDATE);
	put_u8(s, 0);
	put_u8(s, CON_STEP_READ);
	put_u8(s, 0);
	con_message(s, BUFSHARE_IPC_RELEASE, &release, sizeof(release));
	con_message(s, BUFSHARE_IPC_SET_PROPERTIES, &set, sizeof(set.hdr) + sizeof(set.block));
	con_message(s, BUFSHARE_IPC_GET_STATS, NULL, 0);
	con_message(s, BUFSHARE_IPC_PING, &ping, sizeof(ping));
	put_u8(s, CON_STEP_REGISTER);
	put_u8(s, 1);
	put_u8(s, CON_STEP_UNREGISTER);
	put_u8(s, 0);
	con_message(s, BUFSHARE_IPC_CLOSED, &closed, sizeof(closed));
	con_message(s, BUFSHARE_IPC_UNSUBSCRIBE, &subscribe, sizeof(subscribe));
	put_u8(s, CON_STEP_RESET);
}

/* ---- a daemon at the library ---- */

static void host_message(struct seed *s, uint8_t kind, uint32_t type, const void *msg, size_t size)
{
	put_u8(s, HOST_STEP_MESSAGE);
	put_u8(s, kind);
	put_u8(s, (uint8_t)type);
	put_body(s, msg, size);
}

static void host_added(struct seed *s, uint64_t id, uint32_t path, uint8_t kind)
{
	static const char block[] = "format=XR24\0height=8\0stride=32\0width=8";
	struct {
		struct bufshare_ipc_added hdr;
		char block[sizeof(block)];
	} m = {
		.hdr = {
			.buffer = htole64(id),
			.size = htole64(path == VIRTIO_BUFSHARE_PATH_MEMFD ? 0x2000 : 0x10000),
			.uuid = { 1 },
			.application = SEED_APPLICATION,
			.path = htole32(path),
			.properties_size = htole32(sizeof(block)),
		},
	};

	memcpy(m.block, block, sizeof(block));
	host_message(s, kind, BUFSHARE_IPC_ADDED, &m,
		     offsetof(typeof(m), block) + sizeof(block));
}

static void host_ranges(struct seed *s, uint64_t id)
{
	const struct bufshare_ipc_range ranges[] = {
		{ htole64(0x4000), htole64(0x1000) }, { htole64(0x1000), htole64(0x1000) },
	};
	const struct bufshare_ipc_ranges m = { .buffer = htole64(id), .num_ranges = htole32(2) };

	put_u8(s, HOST_STEP_FILE);
	put_chunk(s, ranges, sizeof(ranges));
	host_message(s, KIND_FILE, BUFSHARE_IPC_RANGES, &m, sizeof(m));
}

static void host_updated(struct seed *s, uint64_t id, uint64_t seq)
{
	const struct {
		struct bufshare_ipc_updated hdr;
		struct virtio_bufshare_rect rect;
	} m = {
		.hdr = { .buffer = htole64(id), .seq = htole64(seq), .num_damage = htole32(1) },
		.rect = { 0, 0, htole32(8), htole32(8) },
	};

	host_message(s, KIND_NONE, BUFSHARE_IPC_UPDATED, &m, sizeof(m));
}

static void host_library(struct seed *s)
{
	const struct bufshare_ipc_stats stats = { .buffer = htole64(1), .updates = htole64(1) };
	const struct bufshare_ipc_revoked revoked = { .buffer = htole64(2), .seq = htole64(2) };
	const struct bufshare_ipc_removed removed = { .buffer = htole64(1) };
	const struct bufshare_ipc_state state = {
		.state = htole32(BUFSHARE_IPC_STATE_RESET),
		.epoch = htole64(2),
	};
	struct {
		struct bufshare_ipc_properties hdr;
		char block[sizeof("width=4")];
	} changed = {
		.hdr = { .buffer = htole64(1), .properties_size = htole32(sizeof(changed.block)) },
		.block = "width=4",
	};

	put_u8(s, 0); /* no welcome of its own */
	host_added(s, 1, VIRTIO_BUFSHARE_PATH_COPY, KIND_MEMFD);
	host_message(s, KIND_NONE, BUFSHARE_IPC_SYNCED, NULL, 0);
	put_u8(s, HOST_STEP_KEEP);
	put_u8(s, 0);
	put_u8(s, 1);
	host_updated(s, 1, 1);
	host_ranges(s, 2);
	host_added(s, 2, VIRTIO_BUFSHARE_PATH_MEMFD, KIND_MEMFD);
	host_updated(s, 2, 2);
	host_message(s, KIND_NONE, BUFSHARE_IPC_REVOKED, &revoked, sizeof(revoked));
	host_message(s, KIND_NONE, BUFSHARE_IPC_PROPERTIES, &changed,
		     sizeof(changed.hdr) + sizeof(changed.block));
	put_u8(s, HOST_STEP_SET_PROPERTY);
	put_u8(s, HOST_STEP_STATS);
	host_message(s, KIND_NONE, BUFSHARE_IPC_STATS, &stats, sizeof(stats));
	put_u8(s, HOST_STEP_DRAIN);
	host_message(s, KIND_NONE, BUFSHARE_IPC_REMOVED, &removed, sizeof(removed));
	host_message(s, KIND_NONE, BUFSHARE_IPC_STATE, &state, sizeof(state));
}

static const struct {
	const char *name;
	void (*write)(struct seed *s);
	const char *file; /* NULL: "good" */
} seeds[] = {
	{ "properties", properties },
	{ "virtqueue", virtqueue },
	{ "vhost-user", vhost_user },
	{ "device", device },
	{ "consumers", consumers },
	{ "host-library", host_library },
	{ "worker", seed_worker },
	{ "keeper", seed_keeper },
	{ "picture", seed_png },
	{ "picture", seed_ppm, "good-ppm" },
	{ "recording", seed_recording },
	{ "text", seed_text },
};

int main(int argc, char **argv)
{
	size_t i;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: fuzz-seeds FOLDER\n");
		return 2;
	}
	for (i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		struct seed s = { .n = 0 };

		seeds[i].write(&s);
		r = save(&s, argv[1], seeds[i].name, seeds[i].file ?: "good");
		if (r < 0) {
			fprintf(stderr, "fuzz-seeds: cannot write %s: %s\n", seeds[i].name, strerror(-r));
			return 1;
		}
	}
	return 0;
}
