/* SPDX-License-Identifier: MIT */
/*
 * What the device model asks for, of the guest's queues, the exporter and the consumers.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/siphash.h"
#include "host/daemon/backend-internal.h"
#include "host/daemon/log.h"

static void op_complete(void *data, void *token, const void *response, size_t size)
{
	log_trace("the answer to the guest", response, size);
	vq_push(token, response, (uint32_t)size);
	backend_flush_soon(data);
}

static void op_events(void *data)
{
	backend_flush_soon(data);
}

/* ---- exports ---- */

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

const struct exporter_ops backend_exporter_ops = {
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

const struct dev_ops backend_dev_ops = {
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
