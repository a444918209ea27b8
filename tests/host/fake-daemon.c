/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "host/fake-daemon.h"
#include "common/fd-leak.h"

void fake_open(struct fake_daemon *f)
{
	int fds[2];

	*f = (struct fake_daemon){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	f->sock = fds[0];
	f->client = fds[1];
}

void fake_close(struct fake_daemon *f)
{
	f->host = bufshare_host_unref(f->host);
	cleanup_close(&f->sock);
	cleanup_close(&f->client);
	f->sock = -1;
	f->client = -1;
}

void fake_connect(struct fake_daemon *f, const char *application)
{
	struct wire w;

	assert_int_equal(host_begin(f->client, application, &f->host), 0);
	f->client = -1;
	assert_int_equal(host_finish(f->host), -EAGAIN);
	fake_pump(f);
	assert_int_equal(f->num_hellos, 1);
	wire_welcome(&w);
	fake_send(f, &w);
	assert_int_equal(host_finish(f->host), 0);
}

struct fake_buffer *fake_find(struct fake_daemon *f, uint64_t id)
{
	size_t i = f->num_buffers;

	/* The newest of them, should an id have been used again. */
	while (i-- > 0) {
		if (f->buffers[i].id == id)
			return &f->buffers[i];
	}
	return NULL;
}

/* ---- what the consumer says ---- */

static void assert_padded(const uint8_t *field, size_t size)
{
	size_t n = strnlen((const char *)field, size);

	assert_true(n < size);
	for (; n < size; n++)
		assert_int_equal(field[n], 0);
}

static void got_hello(struct fake_daemon *f, const union ipc_message *msg, size_t size)
{
	assert_int_equal(size, sizeof(f->hello));
	memcpy(&f->hello, msg, sizeof(f->hello));
	assert_int_equal(le32toh(f->hello.magic), BUFSHARE_IPC_MAGIC);
	assert_int_equal(le32toh(f->hello.version), BUFSHARE_IPC_VERSION);
	assert_padded(f->hello.program, sizeof(f->hello.program));
	f->num_hellos++;
}

static size_t find_pattern(const struct fake_daemon *f, const char *pattern)
{
	size_t i;

	for (i = 0; i < f->num_patterns; i++) {
		if (strcmp(f->patterns[i], pattern) == 0)
			break;
	}
	return i;
}

static void got_subscribe(struct fake_daemon *f, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_subscribe m;
	size_t i;

	assert_int_equal(size, sizeof(m));
	memcpy(&m, msg, sizeof(m));
	assert_padded(m.pattern, sizeof(m.pattern));
	i = find_pattern(f, (char *)m.pattern);
	if (le32toh(m.hdr.type) == BUFSHARE_IPC_SUBSCRIBE) {
		assert_int_equal(i, f->num_patterns);
		assert_true(i < ARRAY_SIZE(f->patterns));
		memcpy(f->patterns[f->num_patterns++], m.pattern, sizeof(m.pattern));
	} else {
		assert_true(i < f->num_patterns);
		memmove(f->patterns[i], f->patterns[--f->num_patterns], sizeof(f->patterns[i]));
	}
}

static void got_release(struct fake_daemon *f, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_release m;
	struct fake_buffer *buf;

	assert_int_equal(size, sizeof(m));
	memcpy(&m, msg, sizeof(m));
	buf = fake_find(f, le64toh(m.buffer));
	assert_non_null(buf);
	if (buf->held && buf->held == le64toh(m.seq)) {
		buf->released = buf->held;
		buf->held = 0;
	} else {
		buf->ignored++;
	}
}

static void got_closed(struct fake_daemon *f, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_buffer m;
	size_t i;

	assert_int_equal(size, sizeof(m));
	memcpy(&m, msg, sizeof(m));
	/* The oldest of them, should an id have been used again. */
	for (i = 0; i < f->num_buffers; i++) {
		struct fake_buffer *buf = &f->buffers[i];

		if (buf->id != le64toh(m.buffer) || !buf->removed || buf->closed)
			continue;
		buf->closed = true;
		return;
	}
	fail();
}

static void got_set_properties(struct fake_daemon *f, const union ipc_message *msg, size_t size)
{
	struct bufshare_ipc_properties m;

	assert_in_range(size, sizeof(m), sizeof(m) + sizeof(f->properties));
	memcpy(&m, msg, sizeof(m));
	f->properties_buffer = le64toh(m.buffer);
	f->properties_size = size - sizeof(m);
	assert_int_equal(le32toh(m.properties_size), f->properties_size);
	assert_int_equal(m.reserved, 0);
	memcpy(f->properties, msg->bytes + sizeof(m), f->properties_size);
	assert_int_equal(props_check_block(f->properties, f->properties_size,
					   PROPS_HOST | PROPS_REMOVALS),
			 0);
	f->num_set_properties++;
}

static void got_message(struct fake_daemon *f, const union ipc_message *msg, size_t size)
{
	f->num_messages++;
	switch (le32toh(msg->hdr.type)) {
	case BUFSHARE_IPC_HELLO:
		got_hello(f, msg, size);
		break;
	case BUFSHARE_IPC_SUBSCRIBE:
	case BUFSHARE_IPC_UNSUBSCRIBE:
		got_subscribe(f, msg, size);
		break;
	case BUFSHARE_IPC_RELEASE:
		got_release(f, msg, size);
		break;
	case BUFSHARE_IPC_CLOSED:
		got_closed(f, msg, size);
		break;
	case BUFSHARE_IPC_SET_PROPERTIES:
		got_set_properties(f, msg, size);
		break;
	case BUFSHARE_IPC_GET_STATS:
		assert_int_equal(size, sizeof(struct bufshare_ipc_empty));
		f->num_get_stats++;
		break;
	default:
		fail_msg("a message of type %u", le32toh(msg->hdr.type));
	}
	assert_int_equal(f->num_hellos, 1);
}

void fake_pump(struct fake_daemon *f)
{
	union ipc_message msg;
	int r, fd;

	while ((r = ipc_recv(f->sock, &msg, &fd)) >= 0) {
		assert_int_equal(fd, -1);
		got_message(f, &msg, r);
	}
	if (r == -ENOTCONN)
		f->hung_up = true;
	else
		assert_int_equal(r, -EAGAIN);
}

/* ---- what the daemon says ---- */

static void keep_in_mind(struct fake_daemon *f, const union ipc_message *msg)
{
	const uint32_t *state = (const void *)(msg->bytes + sizeof(msg->hdr));
	struct fake_buffer *buf;
	uint64_t fields[2]; /* buffer and, in UPDATED and REVOKED, seq */
	size_t i;

	memcpy(fields, msg->bytes + sizeof(msg->hdr), sizeof(fields));
	buf = fake_find(f, le64toh(fields[0]));

	switch (le32toh(msg->hdr.type)) {
	case BUFSHARE_IPC_ADDED:
		if (f->num_buffers < FAKE_MAX_BUFFERS)
			f->buffers[f->num_buffers++] =
				(struct fake_buffer){ .id = le64toh(fields[0]) };
		break;
	case BUFSHARE_IPC_REMOVED:
		if (buf)
			buf->removed = true;
		break;
	case BUFSHARE_IPC_STATE:
		if (le32toh(*state) == BUFSHARE_IPC_STATE_RESET ||
		    le32toh(*state) == BUFSHARE_IPC_STATE_GONE)
			for (i = 0; i < f->num_buffers; i++)
				f->buffers[i].removed = true;
		break;
	case BUFSHARE_IPC_UPDATED:
		if (buf)
			buf->held = le64toh(fields[1]);
		break;
	case BUFSHARE_IPC_REVOKED:
		if (buf)
			buf->held = 0;
		break;
	}
}

void fake_send(struct fake_daemon *f, struct wire *w)
{
	assert_int_equal(ipc_send(f->sock, &w->msg, w->size, w->fd), 0);
	cleanup_close(&w->fd);
	w->fd = -1;
	keep_in_mind(f, &w->msg);
}

static void wire_set(struct wire *w, uint32_t type, void *msg, size_t size)
{
	memset(w, 0, sizeof(*w));
	ipc_header(msg, type, size);
	memcpy(&w->msg, msg, size);
	w->size = size;
	w->fd = -1;
}

/* Puts more bytes behind the structure. */
static void wire_append(struct wire *w, const void *data, size_t size)
{
	assert_true(w->size + size <= sizeof(w->msg));
	memcpy(w->msg.bytes + w->size, data, size);
	w->size += size;
	w->msg.hdr.size = htole32(w->size);
}

void wire_welcome(struct wire *w)
{
	struct bufshare_ipc_welcome m = {
		.magic = htole32(BUFSHARE_IPC_MAGIC),
		.version = htole32(BUFSHARE_IPC_VERSION),
		.caps = htole64(BUFSHARE_IPC_CAP_SET_PROPERTIES | BUFSHARE_IPC_CAP_ZERO_COPY),
		.epoch = htole64(1),
		.uuid = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
		.state = htole32(BUFSHARE_IPC_STATE_RUNNING),
		.release_timeout_ms = htole32(10000),
		.max_buffers = htole32(1024),
		.max_subscriptions = htole32(16),
	};

	ipc_field_set(m.label, sizeof(m.label), FAKE_LABEL);
	ipc_field_set(m.application, sizeof(m.application), FAKE_APPLICATION);
	wire_set(w, BUFSHARE_IPC_WELCOME, &m, sizeof(m));
}

void wire_error(struct wire *w, int code, uint32_t type)
{
	struct bufshare_ipc_error m = { .code = htole32(code), .type = htole32(type) };

	snprintf((char *)m.text, sizeof(m.text), "refused");
	wire_set(w, BUFSHARE_IPC_ERROR, &m, sizeof(m));
}

void wire_empty(struct wire *w, uint32_t type)
{
	struct bufshare_ipc_empty m;

	wire_set(w, type, &m, sizeof(m));
}

int make_memfd(const void *data, size_t size, int seals)
{
	int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	if (data)
		assert_int_equal(pwrite(fd, data, size, 0), size);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

void wire_added(struct wire *w, uint64_t id, uint64_t size)
{
	wire_added_path(w, id, size, VIRTIO_BUFSHARE_PATH_COPY,
			make_memfd(NULL, size, F_SEAL_SHRINK | F_SEAL_GROW));
}

void wire_added_path(struct wire *w, uint64_t id, uint64_t size, uint32_t path, int fd)
{
	struct bufshare_ipc_added m = {
		.buffer = htole64(id),
		.size = htole64(size),
		.seq = htole64(1),
		.uuid = { 0xbf, [15] = id & 0xff },
		.path = htole32(path),
		.flags = htole32(BUFSHARE_IPC_ADDED_SETTABLE),
		.why = htole32(path == VIRTIO_BUFSHARE_PATH_COPY ? BUFSHARE_IPC_WHY_ASKED :
								   BUFSHARE_IPC_WHY_NONE),
	};

	ipc_field_set(m.application, sizeof(m.application), FAKE_APPLICATION);
	wire_set(w, BUFSHARE_IPC_ADDED, &m, sizeof(m));
	w->fd = fd;
}

void wire_add_property(struct wire *w, const char *entry)
{
	struct bufshare_ipc_added *added = (void *)w->msg.bytes;
	struct bufshare_ipc_properties *changed = (void *)w->msg.bytes;
	__le32 *size = le32toh(w->msg.hdr.type) == BUFSHARE_IPC_ADDED ? &added->properties_size :
									&changed->properties_size;

	wire_append(w, entry, strlen(entry) + 1);
	*size = htole32(le32toh(*size) + (uint32_t)strlen(entry) + 1);
}

void wire_removed(struct wire *w, uint64_t id, uint32_t reason)
{
	struct bufshare_ipc_removed m = { .buffer = htole64(id), .reason = htole32(reason) };

	wire_set(w, BUFSHARE_IPC_REMOVED, &m, sizeof(m));
}

void wire_properties(struct wire *w, uint64_t id, const char *entry)
{
	struct bufshare_ipc_properties m = { .buffer = htole64(id) };

	wire_set(w, BUFSHARE_IPC_PROPERTIES, &m, sizeof(m));
	wire_add_property(w, entry);
}

void wire_updated(struct wire *w, uint64_t id, uint64_t seq)
{
	struct bufshare_ipc_updated m = {
		.buffer = htole64(id),
		.seq = htole64(seq),
		.time_ns = htole64(1000 + seq),
		.host_time_ns = htole64(2000 + seq),
	};

	wire_set(w, BUFSHARE_IPC_UPDATED, &m, sizeof(m));
}

void wire_add_damage(struct wire *w, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	const size_t at = offsetof(struct bufshare_ipc_updated, num_damage);
	struct virtio_bufshare_rect rect = {
		.x = htole32(x),
		.y = htole32(y),
		.width = htole32(width),
		.height = htole32(height),
	};
	uint32_t n;

	wire_append(w, &rect, sizeof(rect));
	memcpy(&n, w->msg.bytes + at, sizeof(n));
	n = htole32(le32toh(n) + 1);
	memcpy(w->msg.bytes + at, &n, sizeof(n));
}

void wire_revoked(struct wire *w, uint64_t id, uint64_t seq)
{
	struct bufshare_ipc_revoked m = { .buffer = htole64(id), .seq = htole64(seq) };

	wire_set(w, BUFSHARE_IPC_REVOKED, &m, sizeof(m));
}

void wire_state(struct wire *w, uint32_t state, uint64_t epoch)
{
	struct bufshare_ipc_state m = { .state = htole32(state), .epoch = htole64(epoch) };

	wire_set(w, BUFSHARE_IPC_STATE, &m, sizeof(m));
}

void wire_consumer(struct wire *w, const char *program)
{
	struct bufshare_ipc_consumer m = {
		.pid = htole32(100),
		.uid = htole32(1000),
		.flags = htole32(BUFSHARE_IPC_CONSUMER_SELF),
		.buffers = htole32(1),
		.delivered = htole64(10),
		.released = htole64(9),
		.coalesced = htole64(8),
		.revoked = htole64(7),
		.held_ns = htole64(6),
		.lag = htole64(5),
		.queued = htole32(4),
		.max_queued = htole32(11),
	};

	ipc_field_set(m.program, sizeof(m.program), program);
	wire_set(w, BUFSHARE_IPC_CONSUMER, &m, sizeof(m));
}

void wire_stats(struct wire *w, uint64_t id, uint64_t updates)
{
	struct bufshare_ipc_stats m = {
		.buffer = htole64(id),
		.updates = htole64(updates),
		.delivered = htole64(updates - 1),
		.released = htole64(updates - 2),
		.coalesced = htole64(1),
		.bytes_copied = htole64(updates * FAKE_PAGE),
		.consumers = htole32(2),
		.revoked = htole64(3),
		.held_ns = htole64(4000),
		.lag = htole64(5),
	};

	wire_set(w, BUFSHARE_IPC_STATS, &m, sizeof(m));
}

void wire_ranges(struct wire *w, uint64_t id, const struct bufshare_ipc_range *ranges, uint32_t n)
{
	struct bufshare_ipc_ranges m = { .buffer = htole64(id), .num_ranges = htole32(n) };

	wire_set(w, BUFSHARE_IPC_RANGES, &m, sizeof(m));
	w->fd = make_memfd(ranges, n * sizeof(*ranges), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

/* ---- all at once ---- */

void send_added(struct fake_daemon *f, uint64_t id, uint64_t size)
{
	struct wire w;

	wire_added(&w, id, size);
	fake_send(f, &w);
}

void send_removed(struct fake_daemon *f, uint64_t id, uint32_t reason)
{
	struct wire w;

	wire_removed(&w, id, reason);
	fake_send(f, &w);
}

void send_updated(struct fake_daemon *f, uint64_t id, uint64_t seq)
{
	struct wire w;

	wire_updated(&w, id, seq);
	fake_send(f, &w);
}

void send_state(struct fake_daemon *f, uint32_t state, uint64_t epoch)
{
	struct wire w;

	wire_state(&w, state, epoch);
	fake_send(f, &w);
}

void send_empty(struct fake_daemon *f, uint32_t type)
{
	struct wire w;

	wire_empty(&w, type);
	fake_send(f, &w);
}

struct bufshare_event expect_event(struct fake_daemon *f, uint32_t type, uint64_t id)
{
	struct bufshare_event event;

	assert_int_equal(bufshare_host_read_event(f->host, &event), 0);
	assert_int_equal(event.type, type);
	assert_int_equal(event.buffer_id, id);
	assert_int_equal(event.reserved, 0);
	return event;
}

void expect_nothing(struct fake_daemon *f)
{
	struct bufshare_event event;

	assert_int_equal(bufshare_host_read_event(f->host, &event), -EAGAIN);
}

struct bufshare_host_buffer *add_buffer(struct fake_daemon *f, uint64_t id, uint64_t size)
{
	struct bufshare_host_buffer *buf = NULL;

	send_added(f, id, size);
	expect_event(f, BUFSHARE_EVENT_ADDED, id);
	assert_int_equal(bufshare_host_get_buffer(f->host, id, &buf), 0);
	return buf;
}

int fake_setup(void **state)
{
	struct fake_daemon *f;

	if (fd_leak_setup(state) < 0)
		return -1;

	f = calloc(1, sizeof(*f));
	fake_open(f);
	fake_connect(f, "*");
	*state = f;
	return 0;
}

int fake_teardown(void **state)
{
	struct fake_daemon *f = *state;

	fake_close(f);
	free(f);
	return fd_leak_teardown(state);
}
