/* SPDX-License-Identifier: MIT */
/*
 * The device of one virtual machine: joins the vhost-user transport, the device model,
 * the exporter and the consumers.
 */
#ifndef BUFSHARE_DAEMON_BACKEND_H
#define BUFSHARE_DAEMON_BACKEND_H

#include <linux/virtio_bufshare.h>

#include "host/daemon/consumers.h"
#include "host/daemon/export.h"
#include "host/daemon/loop.h"
#include "host/daemon/state.h"

struct backend;

struct backend_config {
	struct virtio_bufshare_config device; /* as the guest sees it */
	int export_mode; /* enum export_mode */
	unsigned int max_consumers;
	unsigned int max_consumers_per_user; /* 0: as many as there can be */
	unsigned int max_messages; /* of a consumer in a second, 0: without limit */
	uint64_t hello_timeout_ns; /* how long a consumer can say nothing, 0: without limit */
	uint64_t release_timeout_ns; /* how long a consumer can hold an update, 0: without limit */
	struct access_rules access; /* of consumers */
	/* The VMM closed the connection; reason as in vu_ops. */
	void (*gone)(void *data, int reason);
	void *data;
	void *saved; /* where the host's properties outlive the process; NULL: nowhere */
	uint32_t num_saved; /* slots there */
	struct state *state; /* shared with the process before and after this one; NULL: its own */
};

/* consumer_listener: becomes the backend's; -1: none. The config is copied. */
int backend_new(struct loop *loop, const struct backend_config *config, int consumer_listener,
		struct backend **backend);

/* NULL is fine. Returns NULL. Not from within gone. */
struct backend *backend_free(struct backend *be);

/* Begins the thread for exports now, before a sandbox that forbids it; else it comes when needed. */
int backend_start_thread(struct backend *be);

/* Serves a VMM over a connected socket, which becomes the backend's. -EBUSY: serves one. */
int backend_connect(struct backend *be, int sock);

/*
 * The same when somebody else has the connection: messages are given to vu_feed() of
 * backend_vu(). What the state says of the guest goes on.
 */
int backend_connect_fed(struct backend *be);

/* NULL: no VMM. */
struct vu *backend_vu(struct backend *be);

/* The VMM of backend_connect_fed() is gone: another one can come, with a new state. */
void backend_disconnect(struct backend *be, int reason);

struct consumers *backend_consumers(struct backend *be);

#endif /* BUFSHARE_DAEMON_BACKEND_H */
