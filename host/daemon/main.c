/* SPDX-License-Identifier: MIT */
/*
 * vhost-user-bufshare: sockets, signals, and one backend.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "host/daemon/backend.h"
#include "host/daemon/descriptors.h"
#include "host/daemon/log.h"
#include "host/daemon/loop.h"
#include "host/daemon/options.h"

struct daemon {
	struct options options;
	struct loop *loop;
	struct backend *backend;
	struct loop_source *source; /* of the listener */
	int listener; /* for the VMM, -1: a connected socket was given */
	bool made_socket, made_consumers; /* the files, which are to be removed */
};

static bool somebody_listens(const struct sockaddr_un *addr, int type)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return true;
	return errno != ECONNREFUSED;
}

/* A socket that nobody listens at was left behind by a daemon that was killed. */
static void remove_stale(const struct sockaddr_un *addr, int type)
{
	struct stat st;

	if (lstat(addr->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && !somebody_listens(addr, type))
		unlink(addr->sun_path);
}

static int listen_at(const char *path, int type, mode_t mode)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		log_err("the path of a socket has at most 107 bytes: %s", path);
		return -ENAMETOOLONG;
	}
	strcpy(addr.sun_path, path);
	remove_stale(&addr, type);

	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mask = umask(~mode & 0777); /* so it is from the first moment */
	r = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, 16) < 0)
		r = -errno;
	if (r < 0) {
		log_err("cannot listen at %s: %s%s", path, strerror(-r),
			r == -EADDRINUSE ? " (is another daemon running there?)" : "");
		return r;
	}
	return steal_fd(&fd);
}

static void on_signal(void *data, int signo)
{
	struct daemon *d = data;

	log_info("signal %d: ending", signo);
	loop_quit(d->loop, 0);
}

static void on_gone(void *data, int reason)
{
	struct daemon *d = data;

	if (d->options.once || d->listener < 0) {
		loop_quit(d->loop, reason);
		return;
	}
	loop_source_set_events(d->source, EPOLLIN);
}

static void on_connection(void *data, uint32_t events)
{
	struct daemon *d = data;
	int sock, r;

	sock = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);
	if (sock < 0)
		return;
	r = backend_connect(d->backend, sock);
	if (r < 0) {
		log_err("cannot serve a VMM: %s", strerror(-r));
		close(sock);
		return;
	}
	/* One VM at a time; the next one waits in the queue of the socket. */
	loop_source_set_events(d->source, 0);
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
	if (!listens)
		return backend_connect(d->backend, d->options.fd);
	d->listener = d->options.fd;
	return 0;
}

static int serve(struct daemon *d)
{
	int r = 0;

	if (d->options.fd >= 0)
		r = use_fd(d);
	if (r == 0 && d->listener >= 0)
		r = loop_add_fd(d->loop, d->listener, EPOLLIN, on_connection, d, &d->source);
	if (r < 0)
		return r;
	log_info("the device is ready");
	return loop_run(d->loop);
}

static int set_up(struct daemon *d)
{
	struct virtio_bufshare_config *device = &d->options.backend.device;
	struct loop_source *ignored;
	int r, consumers = -1;

	device->max_buffers =
		htole32(descriptors_for_buffers(le32toh(device->max_buffers)));
	r = loop_new(&d->loop);
	if (r == 0)
		r = loop_add_signal(d->loop, SIGTERM, on_signal, d, &ignored);
	if (r == 0)
		r = loop_add_signal(d->loop, SIGINT, on_signal, d, &ignored);
	if (r < 0)
		return r;

	/* The consumers' first: whoever sees the VMM's socket finds both. */
	if (d->options.consumer_path) {
		consumers = listen_at(d->options.consumer_path, SOCK_SEQPACKET,
				      d->options.consumer_mode);
		if (consumers < 0)
			return consumers;
		d->made_consumers = true;
	}
	d->options.backend.gone = on_gone;
	d->options.backend.data = d;
	r = backend_new(d->loop, &d->options.backend, consumers, &d->backend);
	if (r < 0)
		return r;
	if (!d->options.socket_path)
		return 0;
	d->listener = listen_at(d->options.socket_path, SOCK_STREAM, 0600);
	if (d->listener < 0)
		return d->listener;
	d->made_socket = true;
	return 0;
}

static void tear_down(struct daemon *d)
{
	if (d->made_socket)
		unlink(d->options.socket_path);
	if (d->made_consumers)
		unlink(d->options.consumer_path);
	backend_free(d->backend);
	loop_source_remove(d->source);
	if (d->listener >= 0)
		close(d->listener);
	loop_free(d->loop);
	free(d->options.consumer_path);
}

int main(int argc, char **argv)
{
	struct daemon d = { .listener = -1 };
	int r;

	r = options_parse(argc, argv, &d.options);
	if (r >= 0) {
		free(d.options.consumer_path);
		return r;
	}
	r = set_up(&d);
	if (r == 0)
		r = serve(&d);
	if (r < 0)
		log_err("ending: %s", strerror(-r));
	tear_down(&d);
	return r < 0;
}
