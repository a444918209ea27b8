/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/consumer-fixture.h"
#include "common/fd-leak.h"

#define EVENTS VIRTIO_BUFSHARE_QUEUE_EVENT

static int pump(void *data)
{
	struct cf *cf = data;

	return loop_iterate(cf->loop, cf->wait_ms) < 0 ? -1 : 0;
}

void cf_pump(struct cf *cf)
{
	int idle = 0;

	/* A timer that is due now needs two rounds. */
	while (idle < 3)
		idle = loop_iterate(cf->loop, 0) > 0 ? 0 : idle + 1;
}

static void on_gone(void *data, int reason)
{
	struct cf *cf = data;

	cf->gone = true;
}

struct backend_config cf_config(void)
{
	return (struct backend_config){
		.device = {
			.magic = htole32(VIRTIO_BUFSHARE_MAGIC),
			.version = htole32(VIRTIO_BUFSHARE_VERSION),
			.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES |
					VIRTIO_BUFSHARE_CAP_UNMAPPED),
			.label = "test",
			.max_buffers = htole32(1100),
			.max_buffer_size = htole64(1 << 20),
			.max_total_size = htole64(64 << 20),
			.max_ranges = htole32(64),
		},
		.export_mode = EXPORT_COPY,
		.max_consumers = 4,
		.gone = on_gone,
	};
}

/* The driver asks for all there is. */
void cf_init(struct cf *cf)
{
	struct virtio_bufshare_init req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
	};
	struct virtio_bufshare_init_response resp;
	struct virtio_bufshare_config config;

	ff_get_config(cf->ff, 0, &config, sizeof(config));
	req.caps = config.caps;

	assert_int_equal(ff_command(cf->ff, &req, sizeof(req), &resp, sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
	cf->epoch = le64toh(resp.epoch);
}

void cf_come(struct cf *cf)
{
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(backend_connect(cf->be, sockets[0]), 0);
	cf->ff = ff_new(sockets[1], pump, cf);
	ff_start(cf->ff);
	ff_add_event_buffers(cf->ff, EVENTS, 16, sizeof(struct virtio_bufshare_event));
	cf->gpa[0] = ff_alloc(cf->ff, 2 * CF_PAGE);
	ff_alloc(cf->ff, CF_PAGE);
	cf->gpa[1] = ff_alloc(cf->ff, CF_PAGE);
	cf_init(cf);
}

void cf_leave(struct cf *cf)
{
	cf->ff = ff_free(cf->ff);
	while (!cf->gone)
		loop_iterate(cf->loop, cf->wait_ms);
	cf->gone = false;
}

struct cf *cf_start(const struct backend_config *config)
{
	struct backend_config c = *config;
	struct cf *cf = calloc(1, sizeof(*cf));

	assert_non_null(cf);
	cf->wait_ms = 10;
	c.data = cf;
	assert_int_equal(loop_new(&cf->loop), 0);
	assert_int_equal(backend_new(cf->loop, &c, -1, &cf->be), 0);
	cf_come(cf);
	return cf;
}

int cf_setup(void **state)
{
	const struct backend_config config = cf_config();

	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf_start(&config);
	return 0;
}

int cf_setup_memfd(void **state)
{
	struct backend_config config = cf_config();

	config.export_mode = EXPORT_MEMFD;
	assert_int_equal(fd_leak_setup(state), 0);
	*state = cf_start(&config);
	return 0;
}

int cf_teardown(void **state)
{
	struct cf *cf = *state;

	ff_free(cf->ff);
	backend_free(cf->be);
	loop_free(cf->loop);
	free(cf);
	return fd_leak_teardown(state);
}

/* ---- the guest ---- */

static struct virtio_bufshare_request hdr(struct cf *cf, uint32_t type)
{
	return (struct virtio_bufshare_request){ .type = htole32(type),
						 .epoch = htole64(cf->epoch) };
}

static uint32_t try_register(struct cf *cf, uint64_t id, const char *application,
			     const char *block, size_t size)
{
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range ranges[2];
		char properties[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE];
	} req = {
		.hdr = {
			.hdr = hdr(cf, VIRTIO_BUFSHARE_CMD_REGISTER),
			.buffer = htole64(id),
			.size = htole64(CF_SIZE),
			.num_ranges = htole32(2),
			.properties_size = htole32((uint32_t)size),
		},
		.ranges = {
			{ htole64(cf->gpa[0]), htole64(2 * CF_PAGE) },
			{ htole64(cf->gpa[1]), htole64(CF_PAGE) },
		},
	};
	struct virtio_bufshare_register_response resp;
	uint32_t written;

	assert_int_equal(ipc_field_set(req.hdr.application, sizeof(req.hdr.application),
				       application), 0);
	if (size)
		memcpy(req.properties, block, size);
	written = ff_command(cf->ff, &req, offsetof(__typeof__(req), properties) + size, &resp,
			     sizeof(resp));
	assert_int_equal(written, resp.hdr.status ? sizeof(resp.hdr) : sizeof(resp));
	return le32toh(resp.hdr.status);
}

void cf_register_as(struct cf *cf, uint64_t id, const char *application, const char *block,
		    size_t size)
{
	assert_int_equal(try_register(cf, id, application, block, size),
			 VIRTIO_BUFSHARE_STATUS_OK);
}

uint32_t cf_try_register(struct cf *cf, uint64_t id)
{
	return try_register(cf, id, CF_APPLICATION, CF_PROPERTIES, sizeof(CF_PROPERTIES));
}

void cf_register(struct cf *cf, uint64_t id)
{
	cf_register_as(cf, id, CF_APPLICATION, CF_PROPERTIES, sizeof(CF_PROPERTIES));
}

unsigned int cf_unregister(struct cf *cf, uint64_t id)
{
	return cf_unregister_for(cf, id, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
}

unsigned int cf_unregister_for(struct cf *cf, uint64_t id, uint32_t reason)
{
	const struct virtio_bufshare_unregister req = {
		.hdr = hdr(cf, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(id),
		.reason = htole32(reason),
	};
	unsigned int token = ff_send(cf->ff, VIRTIO_BUFSHARE_QUEUE_CONTROL, &req, sizeof(req),
				     sizeof(struct virtio_bufshare_unregister_response));

	cf_pump(cf);
	return token;
}

uint32_t cf_unregister_wait(struct cf *cf, uint64_t id)
{
	struct virtio_bufshare_unregister_response resp;
	unsigned int token = cf_unregister(cf, id);

	assert_int_equal(ff_wait(cf->ff, VIRTIO_BUFSHARE_QUEUE_CONTROL, token, &resp, sizeof(resp)),
			 sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
	return le32toh(resp.flags);
}

void cf_update(struct cf *cf, uint64_t id, uint64_t seq, struct virtio_bufshare_rect damage)
{
	const bool all = !damage.width;
	const struct {
		struct virtio_bufshare_update hdr;
		struct virtio_bufshare_rect rect;
	} req = {
		.hdr = {
			.hdr = hdr(cf, VIRTIO_BUFSHARE_CMD_UPDATE),
			.buffer = htole64(id),
			.seq = htole64(seq),
			.time_ns = htole64(1000 + seq),
			.num_damage = htole32(!all),
		},
		.rect = { htole32(damage.x), htole32(damage.y), htole32(damage.width),
			  htole32(damage.height) },
	};
	struct virtio_bufshare_response resp;

	assert_int_equal(ff_command(cf->ff, &req, all ? sizeof(req.hdr) : sizeof(req), &resp,
				    sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.status), VIRTIO_BUFSHARE_STATUS_OK);
}

void cf_set_properties(struct cf *cf, uint64_t id, const char *block, size_t size)
{
	struct {
		struct virtio_bufshare_set_properties hdr;
		char block[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE];
	} req = {
		.hdr = {
			.hdr = hdr(cf, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES),
			.buffer = htole64(id),
			.properties_size = htole32((uint32_t)size),
		},
	};
	struct virtio_bufshare_response resp;

	memcpy(req.block, block, size);
	assert_int_equal(ff_command(cf->ff, &req, sizeof(req.hdr) + size, &resp, sizeof(resp)),
			 sizeof(resp));
	assert_int_equal(le32toh(resp.status), VIRTIO_BUFSHARE_STATUS_OK);
}

void cf_write(struct cf *cf, uint8_t byte)
{
	memset(ff_ptr(cf->ff, cf->gpa[0], 2 * CF_PAGE), byte, 2 * CF_PAGE);
	memset(ff_ptr(cf->ff, cf->gpa[1], CF_PAGE), byte + 1, CF_PAGE);
}

struct virtio_bufshare_event cf_event(struct cf *cf, uint32_t type, uint64_t id)
{
	struct virtio_bufshare_event ev;

	do {
		assert_int_equal(ff_wait_event(cf->ff, EVENTS, &ev, sizeof(ev)), sizeof(ev));
	} while (le32toh(ev.type) != type || le64toh(ev.buffer) != id);
	return ev;
}

bool cf_poll_event(struct cf *cf, uint32_t type, uint64_t id, struct virtio_bufshare_event *event)
{
	struct virtio_bufshare_event ev;
	bool found = false;

	while (ff_poll_event(cf->ff, EVENTS, &ev, sizeof(ev))) {
		if (le32toh(ev.type) != type || le64toh(ev.buffer) != id)
			continue;
		*event = ev;
		found = true;
	}
	return found;
}

/* ---- consumers ---- */

static int connect_with(struct cf *cf, bool narrow)
{
	const int room = 1; /* which the kernel makes its least */
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	if (narrow)
		setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	assert_int_equal(consumers_accept(backend_consumers(cf->be), sockets[0]), 0);
	return sockets[1];
}

int cf_connect(struct cf *cf)
{
	return connect_with(cf, false);
}

int cf_connect_narrow(struct cf *cf)
{
	return connect_with(cf, true);
}

struct bufshare_ipc_hello cf_make_hello(void)
{
	struct bufshare_ipc_hello m = {
		.magic = htole32(BUFSHARE_IPC_MAGIC),
		.version = htole32(BUFSHARE_IPC_VERSION),
		.caps = htole64(BUFSHARE_IPC_CAP_SET_PROPERTIES | BUFSHARE_IPC_CAP_ZERO_COPY |
				BUFSHARE_IPC_CAP_STATS),
		.program = "test",
	};

	ipc_header(&m, BUFSHARE_IPC_HELLO, sizeof(m));
	return m;
}

int cf_hello(struct cf *cf)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	int sock = cf_connect(cf);

	cf_send(cf, sock, &hello, sizeof(hello));
	cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	return sock;
}

/* The guest's noise fills it; what the guest sets is as it was in the end. */
static void fill(struct cf *cf, uint64_t id)
{
	int i;

	for (i = 0; i < 32; i++)
		cf_set_properties(cf, id, CF_PROPERTIES, sizeof(CF_PROPERTIES));
}

int cf_full(struct cf *cf, uint64_t id)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	int sock = cf_connect_narrow(cf);

	cf_send(cf, sock, &hello, sizeof(hello));
	cf_expect(cf, sock, BUFSHARE_IPC_WELCOME);
	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	cf_skip_to(cf, sock, BUFSHARE_IPC_SYNCED);
	fill(cf, id);
	return sock;
}

union cf_message cf_skip_to(struct cf *cf, int sock, uint32_t type)
{
	union cf_message msg;
	int r, fd;

	do {
		fd = -1;
		r = cf_next(cf, sock, &msg, &fd);
		assert_true(r > 0);
		if (fd >= 0)
			close(fd);
	} while ((uint32_t)r != type);
	return msg;
}

struct bufshare_ipc_subscribe cf_make_subscribe(uint32_t type, const char *pattern)
{
	struct bufshare_ipc_subscribe m = { 0 };

	ipc_header(&m, type, sizeof(m));
	assert_int_equal(ipc_field_set(m.pattern, sizeof(m.pattern), pattern), 0);
	return m;
}

void cf_subscribe(struct cf *cf, int sock, uint32_t type, const char *pattern)
{
	const struct bufshare_ipc_subscribe m = cf_make_subscribe(type, pattern);

	cf_send(cf, sock, &m, sizeof(m));
}

int cf_subscriber(struct cf *cf, const char *pattern)
{
	int sock = cf_hello(cf);

	cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, pattern);
	return sock;
}

void cf_send_fd(struct cf *cf, int sock, const void *msg, size_t size, int fd)
{
	assert_int_equal(ipc_send(sock, msg, size, fd), 0);
	cf_pump(cf);
}

void cf_send(struct cf *cf, int sock, const void *msg, size_t size)
{
	assert_int_equal(send(sock, msg, size, MSG_NOSIGNAL), size);
	cf_pump(cf);
}

void cf_release(struct cf *cf, int sock, uint64_t id, uint64_t seq)
{
	struct bufshare_ipc_release m = { .buffer = htole64(id), .seq = htole64(seq) };

	ipc_header(&m, BUFSHARE_IPC_RELEASE, sizeof(m));
	cf_send(cf, sock, &m, sizeof(m));
}

void cf_closed(struct cf *cf, int sock, uint64_t id)
{
	struct bufshare_ipc_buffer m = { .buffer = htole64(id) };

	ipc_header(&m, BUFSHARE_IPC_CLOSED, sizeof(m));
	cf_send(cf, sock, &m, sizeof(m));
}

size_t cf_make_set_properties(union ipc_message *msg, uint64_t id, const char *block, size_t size)
{
	struct bufshare_ipc_properties m = {
		.buffer = htole64(id),
		.properties_size = htole32((uint32_t)size),
	};

	assert_true(sizeof(m) + size <= sizeof(*msg));
	ipc_header(&m, BUFSHARE_IPC_SET_PROPERTIES, sizeof(m) + size);
	memcpy(msg, &m, sizeof(m));
	memcpy(msg->bytes + sizeof(m), block, size);
	return sizeof(m) + size;
}

int cf_next(struct cf *cf, int sock, union cf_message *msg, int *fd)
{
	int r;

	cf_pump(cf);
	memset(msg, 0, sizeof(*msg));
	r = ipc_recv(sock, &msg->raw, fd);
	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return r;
	return (int)le32toh(msg->hdr.type);
}

union cf_message cf_expect(struct cf *cf, int sock, uint32_t type)
{
	_cleanup_close_ int fd = -1;
	union cf_message msg;

	assert_int_equal(cf_next(cf, sock, &msg, &fd), type);
	return msg;
}

union cf_message cf_expect_added(struct cf *cf, int sock, int *fd)
{
	union cf_message msg;

	assert_int_equal(cf_next(cf, sock, &msg, fd), BUFSHARE_IPC_ADDED);
	assert_true(*fd >= 0);
	return msg;
}

void cf_expect_nothing(struct cf *cf, int sock)
{
	struct bufshare_ipc_ping ping = { .cookie = htole64(0x0123456789abcdef) };
	union cf_message msg;

	ipc_header(&ping, BUFSHARE_IPC_PING, sizeof(ping));
	cf_send(cf, sock, &ping, sizeof(ping));
	msg = cf_expect(cf, sock, BUFSHARE_IPC_PONG);
	assert_true(msg.pong.cookie == ping.cookie);
	assert_int_equal(le32toh(msg.hdr.size), sizeof(msg.pong));
}

void cf_expect_refused(struct cf *cf, int sock, int code, uint32_t type)
{
	union cf_message msg = cf_expect(cf, sock, BUFSHARE_IPC_ERROR);
	int fd;

	assert_int_equal(le32toh(msg.hdr.size), sizeof(msg.error));
	assert_int_equal(le32toh(msg.error.code), code);
	assert_int_equal(le32toh(msg.error.type), type);
	assert_true(memchr(msg.error.text, 0, sizeof(msg.error.text)) != NULL);
	assert_int_equal(cf_next(cf, sock, &msg, &fd), -ENOTCONN);
}

void cf_expect_closed(struct cf *cf, int sock)
{
	union cf_message msg;
	int r;

	do {
		_cleanup_close_ int fd = -1;

		r = cf_next(cf, sock, &msg, &fd);
	} while (r > 0);
	assert_int_equal(r, -ENOTCONN);
}

/* ---- what is commonly expected ---- */

void cf_expect_added_id(struct cf *cf, int sock, uint64_t id)
{
	assert_int_equal(le64toh(cf_expect(cf, sock, BUFSHARE_IPC_ADDED).added.buffer), id);
}

union cf_message cf_expect_updated(struct cf *cf, int sock, uint64_t id, uint64_t seq)
{
	union cf_message msg = cf_expect(cf, sock, BUFSHARE_IPC_UPDATED);

	assert_int_equal(le64toh(msg.updated.buffer), id);
	assert_int_equal(le64toh(msg.updated.seq), seq);
	return msg;
}

void cf_expect_removed(struct cf *cf, int sock, uint64_t id, uint32_t reason)
{
	union cf_message msg = cf_expect(cf, sock, BUFSHARE_IPC_REMOVED);

	assert_int_equal(le64toh(msg.removed.buffer), id);
	assert_int_equal(le32toh(msg.removed.reason), reason);
}

void cf_expect_released(struct cf *cf, uint64_t id, uint64_t seq, uint32_t flags)
{
	struct virtio_bufshare_event ev = cf_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, id);

	assert_int_equal(le64toh(ev.seq), seq);
	assert_int_equal(le32toh(ev.flags), flags);
}

void cf_expect_not_released(struct cf *cf, uint64_t id)
{
	struct virtio_bufshare_event ev;

	cf_pump(cf);
	assert_false(cf_poll_event(cf, VIRTIO_BUFSHARE_EVENT_RELEASED, id, &ev));
}

/* Subscribed to everything, and knows buffers 1 to n; in which order does not matter. */
int cf_knows(struct cf *cf, unsigned int n)
{
	int sock = cf_subscriber(cf, "*");

	while (n--)
		cf_expect(cf, sock, BUFSHARE_IPC_ADDED);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	return sock;
}
