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

struct backend;

struct backend_config {
	struct virtio_bufshare_config device; /* as the guest sees it */
	int export_mode; /* enum export_mode */
	unsigned int max_consumers;
	uint64_t release_timeout_ns; /* how long a consumer can hold an update, 0: without limit */
	struct access_rules access; /* of consumers */
	/* The VMM closed the connection; reason as in vu_ops. */
	void (*gone)(void *data, int reason);
	void *data;
};

/* consumer_listener: becomes the backend's; -1: none. The config is copied. */
int backend_new(struct loop *loop, const struct backend_config *config, int consumer_listener,
		struct backend **backend);

/* NULL is fine. Returns NULL. Not from within gone. */
struct backend *backend_free(struct backend *be);

/* Serves a VMM over a connected socket, which becomes the backend's. -EBUSY: serves one. */
int backend_connect(struct backend *be, int sock);

struct consumers *backend_consumers(struct backend *be);

#endif /* BUFSHARE_DAEMON_BACKEND_H */
