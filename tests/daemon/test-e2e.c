/* SPDX-License-Identifier: MIT */
/*
 * Everything but the guest's kernel in one process and one thread: a front end with guest
 * memory and rings, the whole daemon, and libbufshare-host, over real sockets.
 */
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
#include "daemon/fake-frontend.h"
#include "host/daemon/backend.h"
#include "common/fd-leak.h"
#include "host/lib/internal.h"

#define PAGE 4096u
#define SIZE (3 * PAGE)
#define EVENTS VIRTIO_BUFSHARE_QUEUE_EVENT

struct world {
	struct loop *loop;
	struct backend *be;
	struct ff *ff;
	uint64_t epoch;
	uint64_t gpa[2]; /* of the buffer: two pages, and one elsewhere */
	bool gone;
};

static int pump(void *data)
{
	struct world *w = data;

	return loop_iterate(w->loop, 10) < 0 ? -1 : 0;
}

static void on_gone(void *data, int reason)
{
	struct world *w = data;

	w->gone = true;
}

static void start(struct world *w, int export_mode)
{
	struct backend_config config = {
		.device = {
			.magic = htole32(VIRTIO_BUFSHARE_MAGIC),
			.version = htole32(VIRTIO_BUFSHARE_VERSION),
			.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES |
					VIRTIO_BUFSHARE_CAP_ZERO_COPY),
			.label = "test",
			.max_buffers = htole32(8),
			.max_buffer_size = htole64(1 << 20),
			.max_total_size = htole64(4 << 20),
			.max_ranges = htole32(64),
		},
		.export_mode = export_mode,
		.max_consumers = 4,
		.gone = on_gone,
		.data = w,
	};
	int sockets[2];

	assert_int_equal(loop_new(&w->loop), 0);
	assert_int_equal(backend_new(w->loop, &config, -1, &w->be), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(backend_connect(w->be, sockets[0]), 0);
	w->ff = ff_new(sockets[1], pump, w);
	ff_start(w->ff);
	ff_add_event_buffers(w->ff, EVENTS, 16, sizeof(struct virtio_bufshare_event));
	w->gpa[0] = ff_alloc(w->ff, 2 * PAGE);
	ff_alloc(w->ff, PAGE);
	w->gpa[1] = ff_alloc(w->ff, PAGE);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(fd_leak_setup(state), 0);
	start(w, EXPORT_COPY);
	*state = w;
	return 0;
}

static int setup_memfd(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(fd_leak_setup(state), 0);
	start(w, EXPORT_MEMFD);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	ff_free(w->ff);
	backend_free(w->be);
	loop_free(w->loop);
	free(w);
	return fd_leak_teardown(state);
}

/* ---- the guest ---- */

static struct virtio_bufshare_request hdr(struct world *w, uint32_t type)
{
	return (struct virtio_bufshare_request){ .type = htole32(type), .epoch = htole64(w->epoch) };
}

static void guest_init_with(struct world *w, uint64_t caps)
{
	const struct virtio_bufshare_init req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(caps),
	};
	struct virtio_bufshare_init_response resp;

	assert_int_equal(ff_command(w->ff, &req, sizeof(req), &resp, sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
	w->epoch = le64toh(resp.epoch);
}

static void guest_init(struct world *w)
{
	struct virtio_bufshare_config config;

	ff_get_config(w->ff, 0, &config, sizeof(config));
	guest_init_with(w, le64toh(config.caps));
}

static void guest_register(struct world *w, uint64_t id)
{
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range ranges[2];
		char properties[8];
	} req = {
		.hdr = {
			.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_REGISTER),
			.buffer = htole64(id),
			.size = htole64(SIZE),
			.num_ranges = htole32(2),
			.properties_size = htole32(8),
			.application = "test.app",
		},
		.ranges = {
			{ htole64(w->gpa[0]), htole64(2 * PAGE) },
			{ htole64(w->gpa[1]), htole64(PAGE) },
		},
		.properties = "title=x",
	};
	struct virtio_bufshare_register_response resp;

	assert_int_equal(ff_command(w->ff, &req, offsetof(__typeof__(req), properties) + 8, &resp,
				    sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
}

static void guest_write(struct world *w, uint8_t byte)
{
	memset(ff_ptr(w->ff, w->gpa[0], 2 * PAGE), byte, 2 * PAGE);
	memset(ff_ptr(w->ff, w->gpa[1], PAGE), byte + 1, PAGE);
}

static void guest_update(struct world *w, uint64_t id, uint64_t seq)
{
	const struct virtio_bufshare_update req = {
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UPDATE),
		.buffer = htole64(id),
		.seq = htole64(seq),
		.time_ns = htole64(1000 + seq),
	};
	struct virtio_bufshare_response resp;

	assert_int_equal(ff_command(w->ff, &req, sizeof(req), &resp, sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.status), VIRTIO_BUFSHARE_STATUS_OK);
}

/* The next RELEASED; other events are passed over. */
static uint64_t guest_released(struct world *w, uint32_t *flags)
{
	struct virtio_bufshare_event ev;

	do {
		assert_int_equal(ff_wait_event(w->ff, EVENTS, &ev, sizeof(ev)), sizeof(ev));
	} while (le32toh(ev.type) != VIRTIO_BUFSHARE_EVENT_RELEASED);
	*flags = le32toh(ev.flags);
	return le64toh(ev.seq);
}

/* ---- the host ---- */

static struct bufshare_host *consumer(struct world *w, const char *pattern)
{
	struct bufshare_host *host;
	int sockets[2], r, i;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(consumers_accept(backend_consumers(w->be), sockets[0]), 0);
	assert_int_equal(host_begin(sockets[1], pattern, &host), 0);
	for (i = 0; i < 100; i++) {
		r = host_finish(host);
		if (r == 0)
			return host;
		assert_int_equal(r, -EAGAIN);
		pump(w);
	}
	fail_msg("no WELCOME");
	return NULL;
}

/* Pumps until the consumer has this event; others are passed over. */
static struct bufshare_event expect(struct world *w, struct bufshare_host *host, uint32_t type)
{
	struct bufshare_event ev;
	int i, r;

	for (i = 0; i < 1000; i++) {
		r = bufshare_host_read_event(host, &ev);
		if (r == 0 && ev.type == type)
			return ev;
		if (r == -EAGAIN)
			pump(w);
		else
			assert_int_equal(r, 0);
	}
	fail_msg("no event %u", type);
	return ev;
}

static void check_contents(struct bufshare_host *host, uint64_t id, uint8_t byte)
{
	struct bufshare_host_buffer *buf;
	const void *map;
	const uint8_t *bytes;

	assert_int_equal(bufshare_host_get_buffer(host, id, &buf), 0);
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	bytes = map;
	assert_int_equal(bytes[0], byte);
	assert_int_equal(bytes[2 * PAGE - 1], byte);
	assert_int_equal(bytes[2 * PAGE], byte + 1);
	assert_int_equal(bytes[SIZE - 1], byte + 1);
	bufshare_host_buffer_unref(buf);
}

static void release(struct bufshare_host *host, uint64_t id, uint64_t seq)
{
	struct bufshare_host_buffer *buf;

	assert_int_equal(bufshare_host_get_buffer(host, id, &buf), 0);
	assert_int_equal(bufshare_host_buffer_release(buf, seq), 0);
	bufshare_host_buffer_unref(buf);
}

/* ---- the tests ---- */

static void test_register_to_released(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "test.*");
	struct bufshare_host_buffer *buf;
	struct bufshare_event ev;
	const char *title;
	uint32_t flags;

	guest_init(w);
	guest_register(w, 1);
	ev = expect(w, host, BUFSHARE_EVENT_ADDED);
	assert_int_equal(ev.buffer_id, 1);
	assert_int_equal(bufshare_host_get_buffer(host, 1, &buf), 0);
	assert_int_equal(bufshare_host_buffer_get_property(buf, "title", &title), 0);
	assert_string_equal(title, "x");
	bufshare_host_buffer_unref(buf);

	guest_write(w, 0x41);
	guest_update(w, 1, 1);
	ev = expect(w, host, BUFSHARE_EVENT_UPDATED);
	assert_int_equal(ev.seq, 1);
	assert_int_equal(ev.guest_time_ns, 1001);
	check_contents(host, 1, 0x41);
	release(host, 1, 1);
	assert_int_equal(guest_released(w, &flags), 1);
	assert_int_equal(flags, 0);
	bufshare_host_unref(host);
}

/* Only with memfd is what the guest writes there without an update. */
static void test_zero_copy(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");

	guest_init(w);
	guest_write(w, 0x11);
	guest_register(w, 1);
	expect(w, host, BUFSHARE_EVENT_ADDED);
	check_contents(host, 1, 0x11);
	guest_write(w, 0x22);
	check_contents(host, 1, 0x22);
	bufshare_host_unref(host);
}

/* A driver that does not ask for it gets copies, whatever the host could do. */
static void test_zero_copy_not_in_force(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	struct bufshare_host_buffer *buf;
	const char *scale;

	guest_init_with(w, 0);
	guest_write(w, 0x11);
	guest_register(w, 1);
	expect(w, host, BUFSHARE_EVENT_ADDED);
	guest_update(w, 1, 1);
	expect(w, host, BUFSHARE_EVENT_UPDATED);
	guest_write(w, 0x22);
	check_contents(host, 1, 0x11);

	/* Nor does a consumer set properties that the driver could not read. */
	assert_int_equal(bufshare_host_get_buffer(host, 1, &buf), 0);
	assert_int_equal(bufshare_host_buffer_set_property(buf, "host.scale", "2"), 0);
	release(host, 1, 1);
	guest_update(w, 1, 2);
	expect(w, host, BUFSHARE_EVENT_UPDATED); /* which is no reason to be disconnected */
	assert_int_equal(bufshare_host_buffer_get_property(buf, "host.scale", &scale), -ENOENT);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
}

static void test_two_consumers(void **state)
{
	struct world *w = *state;
	struct bufshare_host *one = consumer(w, "*"), *two = consumer(w, "*");
	struct virtio_bufshare_event ev;
	uint32_t flags;

	guest_init(w);
	guest_register(w, 1);
	guest_update(w, 1, 1);
	expect(w, one, BUFSHARE_EVENT_UPDATED);
	expect(w, two, BUFSHARE_EVENT_UPDATED);
	release(one, 1, 1);
	pump(w);
	while (ff_poll_event(w->ff, EVENTS, &ev, sizeof(ev)))
		assert_int_not_equal(le32toh(ev.type), VIRTIO_BUFSHARE_EVENT_RELEASED);
	bufshare_host_unref(two); /* it dies with the update in its hands */
	assert_int_equal(guest_released(w, &flags), 1);
	assert_int_equal(flags, VIRTIO_BUFSHARE_RELEASED_CONSUMER_GONE);
	bufshare_host_unref(one);
}

static void test_other_application(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "other.*");
	uint32_t flags;
	uint64_t id = 0;

	guest_init(w);
	guest_register(w, 1);
	guest_update(w, 1, 1);
	assert_int_equal(guest_released(w, &flags), 1);
	assert_int_equal(flags, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	assert_int_equal(bufshare_host_next_buffer(host, &id), -ENOENT);
	bufshare_host_unref(host);
}

static void test_late_consumer(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host;
	struct bufshare_event ev;
	uint32_t flags;

	guest_init(w);
	guest_register(w, 1);
	guest_write(w, 0x33);
	guest_update(w, 1, 1);
	assert_int_equal(guest_released(w, &flags), 1);
	host = consumer(w, "*");
	ev = expect(w, host, BUFSHARE_EVENT_ADDED);
	assert_int_equal(ev.seq, 1);
	check_contents(host, 1, 0x33);
	expect(w, host, BUFSHARE_EVENT_SYNCED);
	bufshare_host_unref(host);
}

static void test_unregister(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	struct virtio_bufshare_unregister_response resp;
	struct virtio_bufshare_unregister req;
	struct bufshare_host_buffer *buf;
	unsigned int token;
	const void *map;
	int i;

	guest_init(w);
	guest_register(w, 1);
	expect(w, host, BUFSHARE_EVENT_ADDED);
	assert_int_equal(bufshare_host_get_buffer(host, 1, &buf), 0);
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);

	req = (struct virtio_bufshare_unregister){
		.hdr = hdr(w, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(1),
	};
	token = ff_send(w->ff, 0, &req, sizeof(req), sizeof(resp));
	assert_int_equal(expect(w, host, BUFSHARE_EVENT_REMOVED).buffer_id, 1);
	for (i = 0; i < 5; i++)
		pump(w);
	assert_false(ff_is_used(w->ff, 0, token)); /* the program still has the pages */
	bufshare_host_buffer_unref(buf);
	assert_int_equal(ff_wait(w->ff, 0, token, &resp, sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.flags), 0);
	bufshare_host_unref(host);
}

static void test_host_property(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	struct bufshare_host_buffer *buf;
	struct virtio_bufshare_event ev;

	guest_init(w);
	guest_register(w, 1);
	expect(w, host, BUFSHARE_EVENT_ADDED);
	assert_int_equal(bufshare_host_get_buffer(host, 1, &buf), 0);
	assert_int_equal(bufshare_host_buffer_set_property(buf, "host.scale", "2"), 0);
	do {
		ff_wait_event(w->ff, EVENTS, &ev, sizeof(ev));
	} while (le32toh(ev.type) != VIRTIO_BUFSHARE_EVENT_PROPERTIES);
	assert_int_equal(le64toh(ev.buffer), 1);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
}

static void test_guest_reset(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	struct bufshare_event ev;

	guest_init(w);
	guest_register(w, 1);
	expect(w, host, BUFSHARE_EVENT_ADDED);
	ff_reset(w->ff);
	ff_add_event_buffers(w->ff, EVENTS, 16, sizeof(struct virtio_bufshare_event));
	guest_init(w);
	ev = expect(w, host, BUFSHARE_EVENT_REMOVED);
	assert_int_equal(ev.value, BUFSHARE_REASON_RESET);
	guest_register(w, 1);
	expect(w, host, BUFSHARE_EVENT_ADDED);
	bufshare_host_unref(host);
}

static void test_pause(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	uint32_t flags;

	guest_init(w);
	guest_register(w, 1);
	guest_update(w, 1, 1);
	expect(w, host, BUFSHARE_EVENT_UPDATED);
	ff_stop(w->ff);
	assert_int_equal(expect(w, host, BUFSHARE_EVENT_STATE).value, BUFSHARE_GUEST_SUSPENDED);
	release(host, 1, 1);
	pump(w);
	ff_resume(w->ff);
	assert_int_equal(expect(w, host, BUFSHARE_EVENT_STATE).value, BUFSHARE_GUEST_RUNNING);
	assert_int_equal(guest_released(w, &flags), 1); /* nothing was lost */
	guest_update(w, 1, 2);
	expect(w, host, BUFSHARE_EVENT_UPDATED);
	bufshare_host_unref(host);
}

static void test_vmm_exits(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	struct bufshare_host_buffer *buf;
	const void *map;
	int i;

	guest_init(w);
	guest_register(w, 1);
	guest_write(w, 0x55);
	guest_update(w, 1, 1);
	expect(w, host, BUFSHARE_EVENT_UPDATED);
	assert_int_equal(bufshare_host_get_buffer(host, 1, &buf), 0);
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	w->ff = ff_free(w->ff);
	expect(w, host, BUFSHARE_EVENT_REMOVED);
	assert_int_equal(expect(w, host, BUFSHARE_EVENT_STATE).value, BUFSHARE_GUEST_GONE);
	assert_int_equal(*(const uint8_t *)map, 0x55); /* what it had stays mapped */
	bufshare_host_buffer_unref(buf);
	for (i = 0; i < 100 && !w->gone; i++)
		pump(w);
	assert_true(w->gone);
	bufshare_host_unref(host);
}

/* Events wait, as state, until the driver has buffers for them. */
static void test_many_updates_unread(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	struct bufshare_event ev;
	uint64_t seq;

	guest_init(w);
	guest_register(w, 1);
	for (seq = 1; seq <= 200; seq++)
		guest_update(w, 1, seq);
	ev = expect(w, host, BUFSHARE_EVENT_UPDATED);
	assert_int_equal(ev.seq, 1);
	release(host, 1, 1);
	ev = expect(w, host, BUFSHARE_EVENT_UPDATED);
	assert_int_equal(ev.seq, 200);
	assert_int_equal(ev.flags, BUFSHARE_UPDATED_COALESCED);
	bufshare_host_unref(host);
}

static void test_stats(void **state)
{
	struct world *w = *state;
	struct bufshare_host *host = consumer(w, "*");
	struct bufshare_host_stats stats;
	struct bufshare_event ev;

	guest_init(w);
	guest_register(w, 1);
	guest_update(w, 1, 1);
	expect(w, host, BUFSHARE_EVENT_UPDATED);
	assert_int_equal(bufshare_host_get_stats(host, &stats), -ENOENT);
	assert_int_equal(bufshare_host_request_stats(host), 0);
	ev = expect(w, host, BUFSHARE_EVENT_STATS);
	assert_int_equal(ev.buffer_id, 1);
	assert_int_equal(bufshare_host_get_stats(host, &stats), 0);
	assert_int_equal(stats.updates, 1);
	assert_int_equal(stats.delivered, 1);
	assert_int_equal(stats.bytes_copied, SIZE);
	ev = expect(w, host, BUFSHARE_EVENT_STATS);
	assert_int_equal(ev.buffer_id, 0);
	assert_int_equal(bufshare_host_get_stats(NULL, &stats), -EINVAL);
	bufshare_host_unref(host);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_register_to_released),
		cmocka_unit_test_setup_teardown(test_zero_copy, setup_memfd, teardown),
		cmocka_unit_test_setup_teardown(test_zero_copy_not_in_force, setup_memfd, teardown),
		TEST(test_two_consumers),
		TEST(test_other_application),
		TEST(test_late_consumer),
		cmocka_unit_test_setup_teardown(test_unregister, setup_memfd, teardown),
		TEST(test_host_property),
		TEST(test_guest_reset),
		TEST(test_pause),
		TEST(test_vmm_exits),
		TEST(test_many_updates_unread),
		TEST(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
