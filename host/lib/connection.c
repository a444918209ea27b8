/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "host/lib/internal.h"

#define WANTED_CAPS \
	(BUFSHARE_IPC_CAP_SET_PROPERTIES | BUFSHARE_IPC_CAP_ZERO_COPY | BUFSHARE_IPC_CAP_STATS)

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int host_fail(struct bufshare_host *host, int r)
{
	if (host->error)
		return host->error;

	/* The socket stays in the program's poll set, so that it wakes and learns of it. */
	if (host->sock >= 0)
		shutdown(host->sock, SHUT_RDWR);
	else
		recovery_wake(host);
	host->error = r;
	host->ranges_buffer = 0;
	ranges_clear(&host->ranges);
	outbox_clear(host);
	return r;
}

/* ---- beginning ---- */

/* Gives the socket back to the caller, who keeps it when something fails. */
static void host_abandonp(struct bufshare_host **host)
{
	if (*host)
		(*host)->sock = -1;
	bufshare_host_unref(*host);
}

int host_watch(struct bufshare_host *host, int sock)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(host->epoll, EPOLL_CTL_ADD, sock, &event) < 0 ? -errno : 0;
}

void host_set_more(struct bufshare_host *host, bool more)
{
	eventfd_t ignored;

	if (more == host->more_set)
		return;
	if (more)
		eventfd_write(host->more, 1);
	else
		eventfd_read(host->more, &ignored);
	host->more_set = more;
}

static int host_alloc(int sock, struct bufshare_host **host)
{
	_cleanup_(host_abandonp) struct bufshare_host *h = NULL;
	int r;

	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;

	h->refs = 1;
	h->sock = sock;
	h->epoll = h->more = -1;
	h->recovery.timer = -1;
	LIST_INIT(&h->buffers);
	STAILQ_INIT(&h->out_messages);
	TAILQ_INIT(&h->out_buffers);

	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (h->epoll < 0)
		return -errno;

	h->more = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->more < 0)
		return -errno;

	r = host_watch(h, sock);
	if (r == 0)
		r = host_watch(h, h->more);
	if (r < 0)
		return r;

	*host = steal_ptr(&h);
	return 0;
}

static int socket_option(int sock, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(sock, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

static bool socket_valid(int sock)
{
	return socket_option(sock, SO_DOMAIN) == AF_UNIX &&
	       socket_option(sock, SO_TYPE) == SOCK_SEQPACKET;
}

/* The name of this program as a daemon can list it: the characters of a label. */
static void program_name(uint8_t field[BUFSHARE_IPC_NAME_SIZE])
{
	const char *s = program_invocation_short_name;
	size_t n = 0;

	memset(field, 0, BUFSHARE_IPC_NAME_SIZE);
	for (; *s && n < BUFSHARE_IPC_NAME_SIZE - 1; s++) {
		bool alnum = isascii((unsigned char)*s) && isalnum((unsigned char)*s);

		if (alnum || (n && strchr("._-", *s)))
			field[n++] = *s;
	}
}

static int send_hello(struct bufshare_host *host)
{
	struct bufshare_ipc_hello msg = {
		.magic = htole32(BUFSHARE_IPC_MAGIC),
		.version = htole32(BUFSHARE_IPC_VERSION),
		.caps = htole64(WANTED_CAPS),
	};

	program_name(msg.program);
	ipc_header(&msg, BUFSHARE_IPC_HELLO, sizeof(msg));
	return outbox_send(host, &msg, sizeof(msg));
}

int host_hello(struct bufshare_host *host)
{
	size_t i;
	int r;

	r = send_hello(host);
	for (i = 0; i < host->num_patterns && r == 0; i++)
		r = subscription_send(host, BUFSHARE_IPC_SUBSCRIBE, host->patterns[i]);
	return r;
}

int host_begin(int sock, const char *application, struct bufshare_host **host)
{
	_cleanup_(host_abandonp) struct bufshare_host *h = NULL;
	int r;

	if (!socket_valid(sock))
		return -EINVAL;

	r = host_alloc(sock, &h);
	if (r < 0)
		return r;

	/* Who is turned away may find the socket closed already, but the reason is in it. */
	r = send_hello(h);
	if (r == 0 && application)
		r = bufshare_host_subscribe(h, application);
	if (r < 0 && r != -ENOTCONN)
		return r;

	if (fcntl(sock, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;

	*host = steal_ptr(&h);
	return 0;
}

int host_welcome(struct bufshare_host *host, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_welcome m;
	int r;

	if (size != sizeof(m))
		return -EPROTO;

	memcpy(&m, msg, sizeof(m));
	r = check_welcome(&m, WANTED_CAPS);
	if (r < 0)
		return r;

	host->caps = le64toh(m.caps);
	host->epoch = le64toh(m.epoch);
	host->state = le32toh(m.state);
	host->limits[BUFSHARE_HOST_LIMIT_BUFFERS] = le32toh(m.max_buffers);
	host->limits[BUFSHARE_HOST_LIMIT_SUBSCRIPTIONS] = le32toh(m.max_subscriptions);
	host->limits[BUFSHARE_HOST_LIMIT_HELD_MS] = le32toh(m.release_timeout_ms);
	memcpy(host->uuid, m.uuid, sizeof(host->uuid));
	memcpy(host->label, m.label, sizeof(host->label));
	memcpy(host->application, m.application, sizeof(host->application));
	host->welcome = true;
	return 0;
}

int host_refusal(const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_error m;

	if (size != sizeof(m))
		return -EPROTO;

	memcpy(&m, msg, sizeof(m));
	if (check_error(&m) < 0)
		return -EPROTO;

	switch (le32toh(m.code)) {
	case EACCES:
	case ENOSPC:
		return -(int)le32toh(m.code);
	default:
		return -EPROTO;
	}
}

/* Takes one message: -EAGAIN unless it ends the beginning. */
static int finish_one(struct bufshare_host *host)
{
	_cleanup_close_ int fd = -1;
	union ipc_message msg;
	uint32_t type;
	int r;

	r = ipc_recv(host->sock, &msg, &fd);
	if (r < 0)
		return r;

	type = le32toh(msg.hdr.type);
	if (type > BUFSHARE_IPC_CONSUMER)
		return -EAGAIN;
	if (fd >= 0)
		return -EPROTO;

	switch (type) {
	case BUFSHARE_IPC_WELCOME:
		return host_welcome(host, &msg, r);
	case BUFSHARE_IPC_ERROR:
		return host_refusal(&msg, r);
	default:
		return -EPROTO;
	}
}

int host_finish(struct bufshare_host *host)
{
	int r;

	if (host->error)
		return host->error;
	if (host->welcome)
		return 0;

	outbox_flush(host);
	r = finish_one(host);
	return r < 0 && r != -EAGAIN ? host_fail(host, r) : r;
}

static int wait_for_welcome(struct bufshare_host *host, int64_t deadline)
{
	struct pollfd poll_fd = { .fd = host->epoll, .events = POLLIN };

	for (;;) {
		int64_t left;
		int r;

		r = host_finish(host);
		if (r != -EAGAIN)
			return r;

		left = deadline - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;

		r = poll(&poll_fd, 1, left);
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int new_until(int sock, const char *application, int64_t deadline,
		     struct bufshare_host **host)
{
	_cleanup_(host_abandonp) struct bufshare_host *h = NULL;
	int r;

	r = host_begin(sock, application, &h);
	if (r < 0)
		return r;

	r = wait_for_welcome(h, deadline);
	if (r < 0)
		return r;

	*host = steal_ptr(&h);
	return 0;
}

int host_new_from_fd(int sock, const char *application, int timeout_ms,
		     struct bufshare_host **host)
{
	return new_until(sock, application, now_ms() + timeout_ms, host);
}

BUFSHARE_EXPORT int bufshare_host_new_from_fd(int socket_fd, const char *application,
					      struct bufshare_host **host)
{
	if (socket_fd < 0 || !host)
		return -EINVAL;
	return host_new_from_fd(socket_fd, application, HOST_TIMEOUT_MS, host);
}

static int set_address(struct sockaddr_un *addr, const char *path)
{
	if (!*path || strlen(path) >= sizeof(addr->sun_path))
		return -EINVAL;

	addr->sun_family = AF_UNIX;
	strcpy(addr->sun_path, path);
	return 0;
}

int host_connect_now(const char *path, int *sock)
{
	struct sockaddr_un addr = { 0 };
	_cleanup_close_ int fd = -1;
	int r;

	r = set_address(&addr, path);
	if (r < 0)
		return r;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;

	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;

	*sock = steal_fd(&fd);
	return 0;
}

/*
 * A Unix socket waits for its place in the queue of the listener, and neither poll()
 * nor O_NONBLOCK can wait for that; only the time limit for sending can end it.
 */
static int connect_once(int sock, const struct sockaddr_un *addr, int64_t left)
{
	struct timeval limit = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };

	if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return connect(sock, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
}

static int connect_until(const char *path, int64_t deadline, int *sock)
{
	struct sockaddr_un addr = { 0 };
	_cleanup_close_ int fd = -1;
	int r;

	r = set_address(&addr, path);
	if (r < 0)
		return r;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;

	do {
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		r = connect_once(fd, &addr, left);
	} while (r == -EINTR);

	switch (r) {
	case 0:
		*sock = steal_fd(&fd);
		return 0;
	case -EAGAIN:
		return -ETIMEDOUT;
	case -EPROTOTYPE:
		return -EPROTO;
	default:
		return r;
	}
}

int host_connect(const char *socket_path, const char *application, int timeout_ms,
		 struct bufshare_host **host)
{
	const int64_t deadline = now_ms() + timeout_ms;
	struct bufshare_host *h;
	_cleanup_close_ int sock = -1;
	int r;

	r = connect_until(socket_path, deadline, &sock);
	if (r < 0)
		return r;

	r = new_until(sock, application, deadline, &h);
	if (r < 0)
		return r;
	steal_fd(&sock);

	r = recovery_init(h, socket_path);
	if (r < 0) {
		bufshare_host_unref(h);
		return r;
	}

	*host = h;
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_connect(const char *socket_path, const char *application,
					  struct bufshare_host **host)
{
	if (!socket_path || !host)
		return -EINVAL;
	return host_connect(socket_path, application, HOST_TIMEOUT_MS, host);
}

/* ---- end ---- */

BUFSHARE_EXPORT struct bufshare_host *bufshare_host_ref(struct bufshare_host *host)
{
	if (host)
		host->refs++;
	return host;
}

/* The program's buffers outlive the connection, without knowing it. */
static void forget_buffers(struct bufshare_host *host)
{
	struct bufshare_host_buffer *buf;

	outbox_clear(host);
	while ((buf = LIST_FIRST(&host->buffers))) {
		LIST_REMOVE(buf, link);
		buf->host = NULL;
		buf->held = 0;
		if (buf->in_sight) {
			buf->in_sight = false;
			bufshare_host_buffer_unref(buf);
		}
	}
	free(host->table);
}

BUFSHARE_EXPORT struct bufshare_host *bufshare_host_unref(struct bufshare_host *host)
{
	if (!host || --host->refs > 0)
		return NULL;

	forget_buffers(host);
	ranges_clear(&host->ranges);
	recovery_clear(host);
	cleanup_close(&host->epoll);
	cleanup_close(&host->more);
	cleanup_close(&host->sock);
	free(host);
	return NULL;
}

/* ---- what the daemon said ---- */

BUFSHARE_EXPORT int bufshare_host_get_fd(const struct bufshare_host *host)
{
	return host ? host->epoll : -EINVAL;
}

BUFSHARE_EXPORT const char *bufshare_host_get_label(const struct bufshare_host *host)
{
	return host ? host->label : NULL;
}

BUFSHARE_EXPORT const char *bufshare_host_get_application(const struct bufshare_host *host)
{
	return host ? host->application : NULL;
}

BUFSHARE_EXPORT int bufshare_host_get_uuid(const struct bufshare_host *host,
					   uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	if (!host || !uuid)
		return -EINVAL;

	memcpy(uuid, host->uuid, BUFSHARE_UUID_SIZE);
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_get_state(const struct bufshare_host *host)
{
	return host ? host->state : -EINVAL;
}

BUFSHARE_EXPORT int bufshare_host_get_limit(const struct bufshare_host *host, int limit,
					    uint64_t *value)
{
	if (!host || !value || limit < BUFSHARE_HOST_LIMIT_BUFFERS ||
	    limit > BUFSHARE_HOST_LIMIT_HELD_MS)
		return -EINVAL;

	*value = host->limits[limit];
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_get_buffer(struct bufshare_host *host, uint64_t id,
					     struct bufshare_host_buffer **buf)
{
	struct bufshare_host_buffer *found;

	if (!host || !buf)
		return -EINVAL;

	found = table_find(host, id);
	if (!found)
		return -ENOENT;

	*buf = bufshare_host_buffer_ref(found);
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_next_buffer(struct bufshare_host *host, uint64_t *id)
{
	struct bufshare_host_buffer *found;

	if (!host || !id)
		return -EINVAL;

	found = table_next(host, *id);
	if (!found)
		return -ENOENT;

	*id = found->id;
	return 0;
}
