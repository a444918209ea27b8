/* SPDX-License-Identifier: MIT */
/*
 * What outlives the worker: in memory that the keeper hands from one worker to the next.
 * The keeper clears what belongs to a VMM, and looks at nothing in it.
 */
#ifndef BUFSHARE_DAEMON_STATE_H
#define BUFSHARE_DAEMON_STATE_H

#include <linux/virtio_bufshare.h>

#include "common/siphash.h"
#include "host/daemon/vhost-user.h"

/* Of one VMM and its guest; all zero when it comes. */
struct state_guest {
	_Atomic uint64_t epoch; /* the last that was in force, 0: none */
	_Atomic bool in_force; /* the driver believes that it is */
	struct vu_state vu;
};

struct state {
	uint8_t key[SIPHASH_KEY_SIZE]; /* of the buffers' UUIDs */
	struct virtio_bufshare_config device; /* as the guest sees it */
	bool described; /* device has what a worker found out about this host */
	struct state_guest guest;
};

#endif /* BUFSHARE_DAEMON_STATE_H */
