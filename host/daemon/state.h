/* SPDX-License-Identifier: MIT */
/*
 * What outlives the worker: in memory that the keeper hands from one worker to the next.
 * The keeper clears what belongs to a VMM, and looks at nothing in it. Behind it, from the
 * next multiple of STATE_ALIGN on, are the host's properties (dev_saved_size()): by the
 * epoch, so that those of one guest are never another's. A worker may leave anything here,
 * and a bool can not have any value, so there is none.
 */
#ifndef BUFSHARE_DAEMON_STATE_H
#define BUFSHARE_DAEMON_STATE_H

#include <endian.h>

#include <linux/virtio_bufshare.h>

#include "common/siphash.h"
#include "host/daemon/device.h"
#include "host/daemon/vhost-user.h"

/* Of one VMM and its guest; all zero when it comes. */
struct state_guest {
	_Atomic uint64_t epoch; /* the last that was in force, 0: none */
	_Atomic uint8_t in_force; /* the driver believes that it is */
	struct vu_state vu;
};

struct state {
	uint8_t key[SIPHASH_KEY_SIZE]; /* of the buffers' UUIDs */
	struct virtio_bufshare_config device; /* as the guest sees it */
	uint8_t described; /* device has what a worker found out about this host */
	struct state_guest guest;
};

#define STATE_ALIGN 64
#define STATE_SAVED (((sizeof(struct state) + STATE_ALIGN - 1) / STATE_ALIGN) * STATE_ALIGN)

/* Slots for the host's properties, one more than there can be buffers. */
static inline uint32_t state_num_saved(const struct virtio_bufshare_config *device)
{
	return le32toh(device->max_buffers) + 1;
}

static inline size_t state_size(const struct virtio_bufshare_config *device)
{
	return STATE_SAVED + dev_saved_size(state_num_saved(device));
}

#endif /* BUFSHARE_DAEMON_STATE_H */
