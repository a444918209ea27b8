/* SPDX-License-Identifier: MIT */
/*
 * Messages of the daemon become events of the program. Whatever is malformed closes
 * the connection.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "host/lib/internal.h"

_Static_assert((int)BUFSHARE_GUEST_NONE == BUFSHARE_IPC_STATE_NO_GUEST &&
		       (int)BUFSHARE_GUEST_RUNNING == BUFSHARE_IPC_STATE_RUNNING &&
		       (int)BUFSHARE_GUEST_SUSPENDED == BUFSHARE_IPC_STATE_SUSPENDED &&
		       (int)BUFSHARE_GUEST_RESET == BUFSHARE_IPC_STATE_RESET &&
		       (int)BUFSHARE_GUEST_RECOVERING == BUFSHARE_IPC_STATE_RECOVERING &&
		       (int)BUFSHARE_GUEST_GONE == BUFSHARE_IPC_STATE_GONE,
	       "states are passed on as they are");
_Static_assert((int)BUFSHARE_REASON_UNREGISTERED == VIRTIO_BUFSHARE_REASON_UNREGISTERED &&
		       (int)BUFSHARE_REASON_PRODUCER_GONE == VIRTIO_BUFSHARE_REASON_PRODUCER_GONE &&
		       (int)BUFSHARE_REASON_RESET == VIRTIO_BUFSHARE_REASON_RESET &&
		       (int)BUFSHARE_REASON_MEMORY == VIRTIO_BUFSHARE_REASON_MEMORY &&
		       (int)BUFSHARE_REASON_HOST == VIRTIO_BUFSHARE_REASON_HOST,
	       "reasons are passed on as they are");
_Static_assert(BUFSHARE_UPDATED_COALESCED == BUFSHARE_IPC_UPDATED_COALESCED,
	       "flags are passed on as they are");

/* A message that was received, and what it comes to. */
struct incoming {
	union ipc_message msg;
	size_t size;
	int fd;
	struct bufshare_event *event;
};

/* Handlers return 1 with an event, 0 without one, or a negative errno. */
typedef int handler_fn(struct bufshare_host *host, struct incoming *in);

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int tell(struct bufshare_event *event, uint32_t type, uint64_t buffer)
{
	*event = (struct bufshare_event){
		.type = type,
		.buffer_id = buffer,
		.time_ns = now_ns(),
	};
	return 1;
}

int tell_state(struct bufshare_host *host, struct bufshare_event *event)
{
	tell(event, BUFSHARE_EVENT_STATE, 0);
	event->value = host->state;
	return 1;
}

static int handle_synced(struct bufshare_host *host, struct incoming *in)
{
	recovery_synced(host);
	return tell(in->event, BUFSHARE_EVENT_SYNCED, 0);
}

static int handle_ranges(struct bufshare_host *host, struct incoming *in)
{
	struct bufshare_ipc_ranges m;
	size_t others = host->num_ranges;
	struct bufshare_host_buffer *buf;
	uint32_t n;
	int r;

	memcpy(&m, &in->msg, sizeof(m));
	n = le32toh(m.num_ranges);
	buf = table_find(host, le64toh(m.buffer));
	if (buf && buf->is_stale) /* these come in the place of what it had */
		others -= buf->ranges.n;
	if (!m.buffer || m.reserved || n == 0 || n > VIRTIO_BUFSHARE_MAX_RANGES ||
	    n > HOST_MAX_RANGES - others)
		return -EPROTO;

	r = ranges_read(in->fd, n, &host->ranges);
	if (r < 0)
		return r;

	host->ranges_buffer = le64toh(m.buffer);
	return 0;
}

/* RANGES came before, for this buffer, or did not and was not needed. */
static int check_ranges_came(struct bufshare_host *host, const struct bufshare_ipc_added *m)
{
	bool needed = le32toh(m->path) == VIRTIO_BUFSHARE_PATH_MEMFD;
	uint64_t expected = needed ? le64toh(m->buffer) : 0;

	return host->ranges_buffer == expected ? 0 : -EPROTO;
}

/* A buffer that was there before the connection was lost. */
static int added_again(struct bufshare_host_buffer *buf, const struct bufshare_ipc_added *m,
		       const char *block, struct incoming *in)
{
	struct bufshare_host *host = buf->host;
	int r;

	r = buffer_renew(buf, m, block, &in->fd, &host->ranges);
	if (r < 0)
		return r;
	host->ranges_buffer = 0;
	recovery_buffer(host, buf);

	tell(in->event, BUFSHARE_EVENT_ADDED, buf->id);
	in->event->flags = BUFSHARE_ADDED_AGAIN;
	in->event->seq = buf->seq;
	return 1;
}

static int handle_added(struct bufshare_host *host, struct incoming *in)
{
	const char *block = in->msg.bytes + sizeof(struct bufshare_ipc_added);
	struct bufshare_host_buffer *buf;
	struct bufshare_ipc_added m;
	int r;

	memcpy(&m, &in->msg, sizeof(m));
	r = check_added(&m, in->size, block);
	if (r == 0)
		r = check_ranges_came(host, &m);
	if (r == 0)
		r = mapping_check(le32toh(m.path), in->fd, le64toh(m.size), &host->ranges);
	if (r < 0)
		return r;

	buf = table_find(host, le64toh(m.buffer));
	if (buf && buf->is_stale)
		return added_again(buf, &m, block, in);

	r = buffer_new(host, &m, block, &in->fd, &host->ranges, &buf);
	if (r < 0)
		return r;
	host->ranges_buffer = 0;

	r = table_add(host, buf);
	if (r < 0) {
		buffer_free(buf);
		return r == -ENOMEM ? r : -EPROTO;
	}
	buf->in_sight = true;

	tell(in->event, BUFSHARE_EVENT_ADDED, buf->id);
	in->event->seq = buf->seq;
	return 1;
}

/* A buffer that the daemon has told of on this connection; NULL: none of that id. */
static struct bufshare_host_buffer *find_told(const struct bufshare_host *host, uint64_t id)
{
	struct bufshare_host_buffer *buf = table_find(host, id);

	return buf && !buf->is_stale ? buf : NULL;
}

static int handle_removed(struct bufshare_host *host, struct incoming *in)
{
	struct bufshare_host_buffer *buf;
	struct bufshare_ipc_removed m;

	memcpy(&m, &in->msg, sizeof(m));
	buf = find_told(host, le64toh(m.buffer));
	if (!buf || le32toh(m.reason) > VIRTIO_BUFSHARE_REASON_HOST || m.reserved)
		return -EPROTO;

	tell(in->event, BUFSHARE_EVENT_REMOVED, buf->id);
	in->event->value = le32toh(m.reason);
	table_remove(host, buf);
	buffer_out_of_sight(buf);
	return 1;
}

static int handle_properties(struct bufshare_host *host, struct incoming *in)
{
	const char *block = in->msg.bytes + sizeof(struct bufshare_ipc_properties);
	struct bufshare_host_buffer *buf;
	struct bufshare_ipc_properties m;
	int r;

	memcpy(&m, &in->msg, sizeof(m));
	buf = find_told(host, le64toh(m.buffer));
	if (!buf || check_properties(&m, in->size, block) < 0)
		return -EPROTO;

	r = props_apply(&buf->props, block, le32toh(m.properties_size));
	if (r < 0)
		return r == -ENOMEM ? r : -EPROTO;

	return tell(in->event, BUFSHARE_EVENT_PROPERTIES, buf->id);
}

/* Length of what begins at start, cut off where it leaves 32 bits. */
static uint32_t cut_off(uint32_t start, uint32_t length)
{
	return length < UINT32_MAX - start ? length : UINT32_MAX - start;
}

/*
 * Edges beyond 32 bits are nonsense of the guest, and no reason to leave the daemon. When
 * nothing remains there are no rectangles, which means everything.
 */
static void damage_copy(struct bufshare_host_buffer *buf, const struct virtio_bufshare_rect *damage,
			size_t n)
{
	size_t i;

	buf->num_damage = 0;
	for (i = 0; i < n; i++) {
		struct bufshare_rect *rect = &buf->damage[buf->num_damage];

		rect->x = le32toh(damage[i].x);
		rect->y = le32toh(damage[i].y);
		rect->width = cut_off(rect->x, le32toh(damage[i].width));
		rect->height = cut_off(rect->y, le32toh(damage[i].height));
		if (rect->width && rect->height)
			buf->num_damage++;
	}
}

static int handle_updated(struct bufshare_host *host, struct incoming *in)
{
	struct virtio_bufshare_rect damage[BUFSHARE_IPC_MAX_DAMAGE];
	struct bufshare_host_buffer *buf;
	struct bufshare_ipc_updated m;

	memcpy(&m, &in->msg, sizeof(m));
	memcpy(damage, in->msg.bytes + sizeof(m), sizeof(damage));
	buf = find_told(host, le64toh(m.buffer));
	if (!buf || check_updated(&m, in->size, damage) < 0)
		return -EPROTO;

	/* The daemon can not have a RELEASE yet of what is held, or not sent yet. */
	if (buf->held || buf->out_release || le64toh(m.seq) <= buf->seq)
		return -EPROTO;

	buf->seq = le64toh(m.seq);
	buf->held = buf->seq;
	damage_copy(buf, damage, le32toh(m.num_damage));

	*in->event = (struct bufshare_event){
		.type = BUFSHARE_EVENT_UPDATED,
		.flags = le32toh(m.flags),
		.buffer_id = buf->id,
		.seq = buf->seq,
		.time_ns = le64toh(m.host_time_ns),
		.guest_time_ns = le64toh(m.time_ns),
	};
	return 1;
}

static int handle_revoked(struct bufshare_host *host, struct incoming *in)
{
	struct bufshare_host_buffer *buf;
	struct bufshare_ipc_revoked m;

	memcpy(&m, &in->msg, sizeof(m));
	buf = find_told(host, le64toh(m.buffer));
	if (!buf || !m.seq || le64toh(m.seq) > buf->seq)
		return -EPROTO;

	/* It crossed with a RELEASE, which is the answer. */
	if (buf->held != le64toh(m.seq))
		return 0;

	buf->held = 0;
	outbox_release(buf, le64toh(m.seq));
	tell(in->event, BUFSHARE_EVENT_REVOKED, buf->id);
	in->event->seq = le64toh(m.seq);
	return 1;
}

/* Nothing that is held means anything to the daemon any more; that it was closed does. */
static void void_all(struct bufshare_host *host)
{
	struct bufshare_host_buffer *buf;

	LIST_FOREACH(buf, &host->buffers, link) {
		buf->is_void = true;
		buf->is_unknown |= buf->is_stale;
		buf->held = 0;
		buf->out_release = 0;
	}
}

/* The next of the events that RESET and GONE come to. */
static int tell_voided(struct bufshare_host *host, struct bufshare_event *event)
{
	struct bufshare_host_buffer *buf = table_pop(host);

	if (buf) {
		tell(event, BUFSHARE_EVENT_REMOVED, buf->id);
		event->value = host->voiding_reason;
		buffer_out_of_sight(buf);
		return 1;
	}

	host->voiding = false;
	host->state = host->voiding_state;
	return tell_state(host, event);
}

int tell_voiding(struct bufshare_host *host, int state, int reason, struct bufshare_event *event)
{
	void_all(host);
	host->voiding = true;
	host->voiding_state = state;
	host->voiding_reason = reason;
	return tell_voided(host, event);
}

static int handle_state(struct bufshare_host *host, struct incoming *in)
{
	struct bufshare_ipc_state m;
	uint32_t state;
	bool other;

	memcpy(&m, &in->msg, sizeof(m));
	state = le32toh(m.state);
	if (state > BUFSHARE_IPC_STATE_GONE || m.reserved)
		return -EPROTO;

	/* While the daemon recovers it may not know yet which epoch will go on. */
	other = m.epoch && le64toh(m.epoch) != host->epoch;
	if (m.epoch || state != BUFSHARE_IPC_STATE_RECOVERING)
		host->epoch = le64toh(m.epoch);
	if (state == BUFSHARE_IPC_STATE_GONE)
		return tell_voiding(host, state, BUFSHARE_REASON_PRODUCER_GONE, in->event);
	if (state == BUFSHARE_IPC_STATE_RESET || (other && host->recovery.num_stale))
		return tell_voiding(host, state, BUFSHARE_REASON_RESET, in->event);

	host->state = state;
	recovery_state(host);
	return tell_state(host, in->event);
}

static int handle_stats(struct bufshare_host *host, struct incoming *in)
{
	struct bufshare_ipc_stats m;

	memcpy(&m, &in->msg, sizeof(m));
	if (le32toh(m.path) > VIRTIO_BUFSHARE_PATH_MEMFD)
		return -EPROTO;

	host->stats = (struct bufshare_host_stats){
		.buffer_id = le64toh(m.buffer),
		.updates = le64toh(m.updates),
		.delivered = le64toh(m.delivered),
		.released = le64toh(m.released),
		.coalesced = le64toh(m.coalesced),
		.bytes_copied = le64toh(m.bytes_copied),
		.consumers = le32toh(m.consumers),
		.revoked = le64toh(m.revoked),
		.held_ns = le64toh(m.held_ns),
		.lag = le64toh(m.lag),
	};
	host->stats_valid = true;
	tell(in->event, BUFSHARE_EVENT_STATS, host->stats.buffer_id);
	return 1;
}

static int handle_consumer(struct bufshare_host *host, struct incoming *in)
{
	struct bufshare_ipc_consumer m;

	memcpy(&m, &in->msg, sizeof(m));
	if (check_consumer(&m) < 0)
		return -EPROTO;

	host->consumer = (struct bufshare_host_consumer){
		.pid = le32toh(m.pid),
		.uid = le32toh(m.uid),
		.self = !!(le32toh(m.flags) & BUFSHARE_IPC_CONSUMER_SELF),
		.buffers = le32toh(m.buffers),
		.delivered = le64toh(m.delivered),
		.released = le64toh(m.released),
		.coalesced = le64toh(m.coalesced),
		.revoked = le64toh(m.revoked),
		.held_ns = le64toh(m.held_ns),
		.lag = le64toh(m.lag),
		.queued = le32toh(m.queued),
		.max_queued = le32toh(m.max_queued),
	};
	memcpy(host->consumer.program, m.program, sizeof(m.program));
	host->consumer_valid = true;
	return tell(in->event, BUFSHARE_EVENT_CONSUMER, 0);
}

/* Answers to what this library does not ask for, or has no event for. */
static int handle_nothing(struct bufshare_host *host, struct incoming *in)
{
	return 0;
}

static int handle_error(struct bufshare_host *host, struct incoming *in)
{
	struct bufshare_ipc_error m;

	memcpy(&m, &in->msg, sizeof(m));
	return check_error(&m);
}

/* What each type looks like. A type that is not here is ignored. */
static const struct message_type {
	handler_fn *handle;
	size_t size; /* of the structure */
	bool more; /* something follows the structure */
	bool with_fd;
} message_types[] = {
	[BUFSHARE_IPC_SYNCED] = {
		.handle = handle_synced,
		.size = sizeof(struct bufshare_ipc_empty),
	},
	[BUFSHARE_IPC_ADDED] = {
		.handle = handle_added,
		.size = sizeof(struct bufshare_ipc_added),
		.more = true,
		.with_fd = true,
	},
	[BUFSHARE_IPC_REMOVED] = {
		.handle = handle_removed,
		.size = sizeof(struct bufshare_ipc_removed),
	},
	[BUFSHARE_IPC_PROPERTIES] = {
		.handle = handle_properties,
		.size = sizeof(struct bufshare_ipc_properties),
		.more = true,
	},
	[BUFSHARE_IPC_UPDATED] = {
		.handle = handle_updated,
		.size = sizeof(struct bufshare_ipc_updated),
		.more = true,
	},
	[BUFSHARE_IPC_STATE] = {
		.handle = handle_state,
		.size = sizeof(struct bufshare_ipc_state),
	},
	[BUFSHARE_IPC_STATS] = {
		.handle = handle_stats,
		.size = sizeof(struct bufshare_ipc_stats),
	},
	[BUFSHARE_IPC_CONSUMER] = {
		.handle = handle_consumer,
		.size = sizeof(struct bufshare_ipc_consumer),
	},
	[BUFSHARE_IPC_PONG] = {
		.handle = handle_nothing,
		.size = sizeof(struct bufshare_ipc_ping),
	},
	[BUFSHARE_IPC_ERROR] = {
		.handle = handle_error,
		.size = sizeof(struct bufshare_ipc_error),
	},
	[BUFSHARE_IPC_REVOKED] = {
		.handle = handle_revoked,
		.size = sizeof(struct bufshare_ipc_revoked),
	},
	[BUFSHARE_IPC_RANGES] = {
		.handle = handle_ranges,
		.size = sizeof(struct bufshare_ipc_ranges),
		.with_fd = true,
	},
};

static int dispatch(struct bufshare_host *host, struct incoming *in)
{
	const uint32_t type = le32toh(in->msg.hdr.type);
	const struct message_type *known;

	/* What only a consumer sends, and what only begins a connection. */
	if (type <= BUFSHARE_IPC_WELCOME)
		return -EPROTO;
	if (type >= ARRAY_SIZE(message_types) || !message_types[type].handle)
		return 0;

	known = &message_types[type];
	if (in->size < known->size || (in->size > known->size && !known->more))
		return -EPROTO;
	if (known->with_fd != (in->fd >= 0))
		return -EPROTO;
	if (host->ranges_buffer && type != BUFSHARE_IPC_ADDED)
		return -EPROTO;
	return known->handle(host, in);
}

/* On a new connection; what this library does not know is ignored there too. */
static int begins(struct bufshare_host *host, struct incoming *in)
{
	if (le32toh(in->msg.hdr.type) >= ARRAY_SIZE(message_types))
		return 0;
	if (in->fd >= 0)
		return -EPROTO;
	return recovery_begins(host, &in->msg, in->size, in->event);
}

static int read_message(struct bufshare_host *host, struct bufshare_event *event)
{
	struct incoming in = { .fd = -1, .event = event };
	int r;

	r = ipc_recv(host->sock, &in.msg, &in.fd);
	if (r < 0)
		return r;

	in.size = r;
	r = host->welcome ? dispatch(host, &in) : begins(host, &in);
	if (in.fd >= 0)
		close(in.fd);
	return r;
}

/* As a handler; -EAGAIN: there is none; 0: that was a lot without one. */
static int next_event(struct bufshare_host *host, struct bufshare_event *event)
{
	int r = recovery_tick(host, event);
	int i;

	for (i = 0; i < HOST_MAX_SKIPPED && r == 0; i++)
		r = read_message(host, event);
	if (r == -ENOTCONN && host->sock >= 0) {
		r = recovery_lost(host, event);
		return r == 0 ? -EAGAIN : r;
	}
	return r;
}

BUFSHARE_EXPORT int bufshare_host_read_event(struct bufshare_host *host,
					     struct bufshare_event *event)
{
	struct bufshare_event e;
	int r;

	if (!host || !event)
		return -EINVAL;

	if (host->sock >= 0)
		outbox_flush(host);
	if (host->error)
		return host->error;

	/* Anew each time, which wakes a program that is woken only when something changes. */
	host_set_more(host, false);
	r = host->voiding ? tell_voided(host, &e) : next_event(host, &e);
	host_set_more(host, host->voiding || r == 0);
	if (r == -EAGAIN || r == 0)
		return -EAGAIN;
	if (r < 0)
		return host_fail(host, r);

	*event = e;
	return 0;
}
