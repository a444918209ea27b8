/* SPDX-License-Identifier: MIT */
/*
 * vhost-user-bufshare: sockets and signals of the keeper, or the worker that it started.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "host/daemon/activation.h"
#include "host/daemon/descriptors.h"
#include "host/daemon/keeper.h"
#include "host/daemon/listener.h"
#include "host/daemon/log.h"
#include "host/daemon/loop.h"
#include "host/daemon/options.h"
#include "host/daemon/worker.h"

struct daemon {
	struct options options;
	struct loop *loop;
	struct keeper *keeper;
	struct keeper_config config;
	bool made_socket, made_consumers; /* the files, which are to be removed */
};

static void on_end_signal(void *data, int signo)
{
	struct daemon *d = data;

	log_info("signal %d", signo);
	keeper_end(d->keeper);
}

/* Every message (or no longer every one, if that was asked for), and back. */
static void on_sighup(void *data, int signo)
{
	struct daemon *d = data;
	int asked = d->options.log_level;
	int other = asked < LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
	bool back = log_level() != asked;

	keeper_set_log_level(d->keeper, back ? asked : other);
	log_info("the log has %s now",
		 back ? "what was asked for" : other == LOG_LEVEL_DEBUG ? "everything" : "less");
}

/* --fd: QEMU's conventions leave open whether it listens or is connected. */
static int use_fd(struct daemon *d)
{
	int listens = 0, type = 0;
	socklen_t size = sizeof(int);

	if (getsockopt(d->options.fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 ||
	    getsockopt(d->options.fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
		log_err("--fd=%d is not a socket: %m", d->options.fd);
		return -errno;
	}
	if (type != SOCK_STREAM) {
		log_err("--fd=%d is not a stream socket", d->options.fd);
		return -EPROTOTYPE;
	}
	if (fcntl(d->options.fd, F_SETFD, FD_CLOEXEC) < 0) /* not the worker's */
		return -errno;
	if (listens)
		d->config.listener = d->options.fd;
	else
		d->config.vmm = d->options.fd;
	return 0;
}

/* The consumers' first: whoever sees the VMM's socket finds both. */
static int open_sockets(struct daemon *d)
{
	int r;

	if (d->options.activated) {
		r = activation_take(&d->config.listener, &d->config.consumers);
		if (r < 0)
			return r;
	}
	if (d->options.consumer_path && d->config.consumers < 0) {
		d->config.consumers = listen_at(d->options.consumer_path, SOCK_SEQPACKET,
						 d->options.consumer_mode);
		if (d->config.consumers < 0)
			return d->config.consumers;
		d->made_consumers = true;
	}
	if (d->options.activated)
		return 0;
	if (d->options.fd >= 0)
		return use_fd(d);
	d->config.listener = listen_at(d->options.socket_path, SOCK_STREAM, 0600);
	if (d->config.listener < 0)
		return d->config.listener;
	d->made_socket = true;
	return 0;
}

static int set_up(struct daemon *d, char **argv)
{
	struct virtio_bufshare_config *device = &d->options.backend.device;
	struct loop_source *ignored;
	int r;

	d->config = (struct keeper_config){
		.argv = argv,
		.device = device,
		.listener = -1,
		.vmm = -1,
		.consumers = -1,
		.once = d->options.once,
		.linger_s = d->options.linger_s,
	};
	device->max_buffers = htole32(descriptors_for_buffers(le32toh(device->max_buffers)));
	r = loop_new(&d->loop);
	if (r == 0)
		r = loop_add_signal(d->loop, SIGTERM, on_end_signal, d, &ignored);
	if (r == 0)
		r = loop_add_signal(d->loop, SIGINT, on_end_signal, d, &ignored);
	if (r == 0)
		r = loop_add_signal(d->loop, SIGHUP, on_sighup, d, &ignored);
	if (r == 0)
		r = open_sockets(d);
	if (r == 0)
		r = keeper_new(d->loop, &d->config, &d->keeper);
	return r;
}

static void tear_down(struct daemon *d)
{
	if (d->made_socket)
		unlink(d->options.socket_path);
	if (d->made_consumers)
		unlink(d->options.consumer_path);
	keeper_free(d->keeper);
	if (d->config.listener >= 0)
		close(d->config.listener);
	if (d->config.consumers >= 0)
		close(d->config.consumers);
	loop_free(d->loop);
}

static int keep(struct options *options, char **argv)
{
	struct daemon d = { .options = *options };
	int r;

	r = set_up(&d, argv);
	if (r == 0)
		r = loop_run(d.loop);
	if (r < 0 && r != -ECHILD) /* of which the worker said why */
		log_err("ending: %s", strerror(-r));
	tear_down(&d);
	return r < 0;
}

int main(int argc, char **argv)
{
	struct options options;
	int r;

	r = options_parse(argc, argv, &options);
	if (r < 0 && options.worker.channel >= 0)
		r = worker_run(&options);
	else if (r < 0)
		r = keep(&options, argv);
	free(options.consumer_path);
	return r;
}
