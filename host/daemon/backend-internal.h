/* SPDX-License-Identifier: MIT */
/*
 * What the files of the backend have in common.
 */
#ifndef BUFSHARE_DAEMON_BACKEND_INTERNAL_H
#define BUFSHARE_DAEMON_BACKEND_INTERNAL_H

#include "host/daemon/backend.h"
#include "host/daemon/device.h"
#include "host/daemon/rate.h"
#include "host/daemon/vhost-user.h"

struct backend {
	struct backend_config config;
	struct loop *loop;
	struct dev dev;
	struct exporter exporter;
	struct exporter copying; /* for drivers that ask for nothing better */
	struct export_thread *thread;
	struct consumers *consumers;
	struct vu *vu; /* NULL: no VMM */
	struct vu *ended; /* of a VMM that is gone, to be freed outside of its callback */
	struct loop_source *more; /* commands of the guest, whose turn is over */
	struct rate rate; /* of commands */
	bool soon_more; /* more is set */
	bool waits, said_it_waits; /* the guest, that sent more than it may */
	struct loop_source *soon; /* flushes what consumers caused */
	struct loop_source *tick;
	bool soon_set;
	bool torn; /* memory_is_torn(), and it was said */
	int reason; /* why ended */
	struct state *state; /* of the caller, or own */
	struct state own;
	void *own_saved;
};

/* The guest is told of what there is, once for all that happens now. */
void backend_flush_soon(struct backend *be);

/* Both with a struct backend. */
extern const struct dev_ops backend_dev_ops;
extern const struct exporter_ops backend_exporter_ops;

#endif /* BUFSHARE_DAEMON_BACKEND_INTERNAL_H */
