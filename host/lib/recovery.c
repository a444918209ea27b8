/* SPDX-License-Identifier: MIT */
/*
 * A connection that was lost comes back by itself: the socket is there as long as the
 * daemon is, whatever happens to the process behind it. The buffers stay what they are;
 * those that the new connection does not tell of again, in good time, are gone.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "host/lib/internal.h"

static void set_timer(struct bufshare_host *host, int ms)
{
	const struct itimerspec when = {
		.it_value = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 + 1 },
	};

	timerfd_settime(host->recovery.timer, 0, &when, NULL);
}

static void stop_timer(struct bufshare_host *host)
{
	const struct itimerspec never = { 0 };

	timerfd_settime(host->recovery.timer, 0, &never, NULL);
}

int recovery_init(struct bufshare_host *host, const char *path)
{
	struct host_recovery *rec = &host->recovery;

	rec->path = strdup(path);
	if (!rec->path)
		return -ENOMEM;

	rec->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (rec->timer < 0)
		return -errno;

	rec->lost_ms = INT64_MIN / 2;
	return host_watch(host, rec->timer);
}

void recovery_clear(struct bufshare_host *host)
{
	cleanup_close(&host->recovery.timer);
	free(host->recovery.path);
}

void recovery_wake(struct bufshare_host *host)
{
	set_timer(host, 0);
}

BUFSHARE_EXPORT int bufshare_host_set_reconnect(struct bufshare_host *host, int timeout_ms)
{
	if (!host)
		return -EINVAL;
	if (!host->recovery.path)
		return -EOPNOTSUPP;

	host->recovery.patience_ms = timeout_ms;
	return 0;
}

/* Whether it is too late for an attempt that ended with r. */
static bool too_late(const struct host_recovery *rec, int r)
{
	const bool nobody = r == -ENOENT || r == -ECONNREFUSED;
	int64_t limit = rec->patience_ms;

	if (rec->patience_ms < 0)
		return false;
	if (!nobody && limit < HOST_TIMEOUT_MS)
		limit = HOST_TIMEOUT_MS;
	return now_ms() - rec->lost_ms >= limit;
}

static void retry_later(struct bufshare_host *host)
{
	struct host_recovery *rec = &host->recovery;

	set_timer(host, rec->retry_ms);
	rec->retry_ms *= 2;
	if (rec->retry_ms > HOST_RETRY_MAX_MS)
		rec->retry_ms = HOST_RETRY_MAX_MS;
}

static void drop_socket(struct bufshare_host *host)
{
	cleanup_close(&host->sock);
	host->sock = -1;
	host->welcome = false;
	host->out_polled = false;
}

/* Takes the socket over. */
static int begin(struct bufshare_host *host, int sock)
{
	int r;

	host->sock = sock;
	host->send_closed = false;
	host->recovery.syncs = host->num_patterns;
	r = host_watch(host, sock);
	if (r == 0)
		r = host_hello(host);

	/* Whoever closed the socket already said why: that is read, not guessed. */
	if (r < 0 && r != -ENOTCONN) {
		drop_socket(host);
		return r;
	}
	set_timer(host, HOST_TIMEOUT_MS);
	return 0;
}

/* 0: on its way, or to be tried again. */
static int try_again(struct bufshare_host *host)
{
	struct host_recovery *rec = &host->recovery;
	int r, sock;

	r = host_connect_now(rec->path, &sock);
	if (r == 0)
		r = begin(host, sock);
	if (r == 0)
		return 0;
	if (too_late(rec, r))
		return -ENOTCONN;

	retry_later(host);
	return 0;
}

/* What was held is no longer, and what waited to be sent means nothing to whom comes next. */
static void forget_connection(struct bufshare_host *host)
{
	struct bufshare_host_buffer *buf;

	drop_socket(host);
	outbox_clear(host);
	host->send_closed = false;
	host->ranges_buffer = 0;
	ranges_clear(&host->ranges);
	host->recovery.grace = false;

	LIST_FOREACH(buf, &host->buffers, link) {
		buf->held = 0;
		if (!buf->in_sight)
			buf->is_void = buf->is_unknown = true;
		else if (!buf->is_stale)
			host->recovery.num_stale++;
		buf->is_stale = buf->in_sight;
	}
}

int recovery_lost(struct bufshare_host *host, struct bufshare_event *event)
{
	struct host_recovery *rec = &host->recovery;
	const int64_t now = now_ms();
	const bool again = rec->running;
	int r = 0;

	if (!rec->path)
		return -ENOTCONN;
	forget_connection(host);
	rec->running = true;
	if (again) {
		if (too_late(rec, -ENOTCONN))
			return -ENOTCONN;
		retry_later(host);
		return 0;
	}

	/* One that is lost as soon as it is there would keep us busy. */
	if (now - rec->lost_ms > 2 * HOST_RETRY_MAX_MS) {
		rec->retry_ms = HOST_RETRY_MS;
		rec->lost_ms = now;
		r = try_again(host);
	} else {
		rec->lost_ms = now;
		retry_later(host);
	}
	if (r < 0)
		return r;

	host->state = BUFSHARE_GUEST_RECOVERING;
	return tell_state(host, event);
}

/* The guest had its time: what it has not registered again is gone. */
static int tell_gone(struct bufshare_host *host, struct bufshare_event *event)
{
	struct bufshare_host_buffer *buf;

	for (buf = table_next(host, 0); buf && !buf->is_stale;)
		buf = table_next(host, buf->id);
	if (!buf)
		return 0;

	tell(event, BUFSHARE_EVENT_REMOVED, buf->id);
	event->value = BUFSHARE_REASON_UNREGISTERED;
	buf->is_void = buf->is_unknown = true;
	table_remove(host, buf);
	buffer_out_of_sight(buf);
	set_timer(host, 0); /* for the next of them */
	return 1;
}

int recovery_tick(struct bufshare_host *host, struct bufshare_event *event)
{
	struct host_recovery *rec = &host->recovery;
	const int nothing = host->sock < 0 ? -EAGAIN : 0;
	uint64_t expirations;
	int r;

	if (!rec->path || read(rec->timer, &expirations, sizeof(expirations)) < 0)
		return nothing;
	if (rec->grace)
		return tell_gone(host, event);
	if (!rec->running)
		return nothing;

	if (host->sock >= 0) { /* connected, but nobody says WELCOME */
		drop_socket(host);
		outbox_clear(host);
		if (too_late(rec, -ETIMEDOUT))
			return -ENOTCONN;
		retry_later(host);
		return -EAGAIN;
	}
	r = try_again(host);
	return r < 0 ? r : -EAGAIN;
}

/* The same guest as before, as far as can be known now? */
static bool same_guest(const struct bufshare_host *host, const uint8_t uuid[BUFSHARE_UUID_SIZE],
		       uint64_t epoch)
{
	if (memcmp(host->uuid, uuid, BUFSHARE_UUID_SIZE) != 0 || host->epoch != epoch)
		return false;
	return host->state != BUFSHARE_GUEST_NONE && host->state != BUFSHARE_GUEST_GONE;
}

static int welcome_again(struct bufshare_host *host, const union ipc_message *msg, size_t size,
			 struct bufshare_event *event)
{
	const uint64_t epoch = host->epoch;
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	int r;

	memcpy(uuid, host->uuid, sizeof(uuid));
	r = host_welcome(host, msg, size);
	if (r < 0)
		return r;

	host->recovery.running = false;
	stop_timer(host);
	if (host->state == BUFSHARE_GUEST_RECOVERING && !host->epoch)
		host->epoch = epoch;
	if (!same_guest(host, uuid, epoch))
		return tell_voiding(host, host->state, BUFSHARE_REASON_RESET, event);

	recovery_state(host);
	return host->state == BUFSHARE_GUEST_RECOVERING ? 0 : tell_state(host, event);
}

int recovery_begins(struct bufshare_host *host, const union ipc_message *msg, size_t size,
		    struct bufshare_event *event)
{
	int r;

	switch (le32toh(msg->hdr.type)) {
	case BUFSHARE_IPC_WELCOME:
		return welcome_again(host, msg, size, event);
	case BUFSHARE_IPC_ERROR:
		r = host_refusal(msg, size);
		/* Our own connection from before may still count. */
		return r == -ENOSPC ? 0 : r;
	default:
		return -EPROTO;
	}
}

void recovery_synced(struct bufshare_host *host)
{
	if (host->recovery.syncs)
		host->recovery.syncs--;
	recovery_state(host);
}

/* A guest that does not run can not register anything: its time begins when it does. */
void recovery_state(struct bufshare_host *host)
{
	struct host_recovery *rec = &host->recovery;
	const bool grace = rec->num_stale && !rec->running && !rec->syncs &&
			   host->state == BUFSHARE_GUEST_RUNNING;

	if (grace == rec->grace)
		return;
	rec->grace = grace;
	if (grace)
		set_timer(host, HOST_GRACE_MS);
	else
		stop_timer(host);
}

void recovery_buffer(struct bufshare_host *host, struct bufshare_host_buffer *buf)
{
	if (!buf->is_stale)
		return;

	buf->is_stale = false;
	host->recovery.num_stale--;
	if (!host->recovery.running)
		recovery_state(host);
}
