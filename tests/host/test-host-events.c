/* SPDX-License-Identifier: MIT */
/*
 * What the daemon's messages come to: events, the cycle of update and release, and
 * the end of buffers.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "host/fake-daemon.h"
#include "common/fd-leak.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- buffers come and go ---- */

static void added(void **state)
{
	struct fake_daemon *f = *state;
	uint64_t before = now_ns();
	struct bufshare_event event;
	struct wire w;

	wire_added(&w, 5, FAKE_PAGE);
	fake_send(f, &w);
	event = expect_event(f, BUFSHARE_EVENT_ADDED, 5);
	assert_int_equal(event.flags, 0);
	assert_int_equal(event.seq, 1);
	assert_int_equal(event.value, 0);
	assert_int_equal(event.user_data, 0);
	assert_int_equal(event.guest_time_ns, 0);
	assert_in_range(event.time_ns, before, now_ns());
	expect_nothing(f);
}

static void added_again_and_writable(void **state)
{
	struct fake_daemon *f = *state;
	const uint32_t flags = BUFSHARE_IPC_ADDED_AGAIN | BUFSHARE_IPC_ADDED_WRITABLE;
	struct bufshare_ipc_added m;
	struct wire w;

	wire_added(&w, 5, FAKE_PAGE);
	memcpy(&m, &w.msg, sizeof(m));
	m.flags = htole32(flags);
	memcpy(&w.msg, &m, sizeof(m));
	fake_send(f, &w);
	expect_event(f, BUFSHARE_EVENT_ADDED, 5);
}

static void buffers_in_order_of_ids(void **state)
{
	static const uint64_t ids[] = { 30, 10, UINT64_MAX, 20, 1 };
	static const uint64_t sorted[] = { 1, 10, 20, 30, UINT64_MAX };
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf;
	uint64_t id = 0;
	size_t i;

	assert_int_equal(bufshare_host_next_buffer(f->host, &id), -ENOENT);
	for (i = 0; i < ARRAY_SIZE(ids); i++)
		bufshare_host_buffer_unref(add_buffer(f, ids[i], FAKE_PAGE));

	for (i = 0; i < ARRAY_SIZE(sorted); i++) {
		assert_int_equal(bufshare_host_next_buffer(f->host, &id), 0);
		assert_int_equal(id, sorted[i]);
		assert_int_equal(bufshare_host_get_buffer(f->host, id, &buf), 0);
		assert_int_equal(bufshare_host_buffer_get_id(buf), id);
		bufshare_host_buffer_unref(buf);
	}
	assert_int_equal(bufshare_host_next_buffer(f->host, &id), -ENOENT);
	assert_int_equal(id, UINT64_MAX);

	/* The walk goes on from an id that is gone, or never was. */
	send_removed(f, 20, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 20);
	id = 15;
	assert_int_equal(bufshare_host_next_buffer(f->host, &id), 0);
	assert_int_equal(id, 30);
	assert_int_equal(bufshare_host_get_buffer(f->host, 20, &buf), -ENOENT);
	assert_int_equal(bufshare_host_get_buffer(f->host, 2, &buf), -ENOENT);
}

static void removed_without_references(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_event event;
	uint32_t reason;

	for (reason = 0; reason <= VIRTIO_BUFSHARE_REASON_HOST; reason++) {
		send_added(f, 10 + reason, FAKE_PAGE);
		expect_event(f, BUFSHARE_EVENT_ADDED, 10 + reason);
		send_removed(f, 10 + reason, reason);
		event = expect_event(f, BUFSHARE_EVENT_REMOVED, 10 + reason);
		assert_int_equal(event.value, reason);
		fake_pump(f);
		assert_true(fake_find(f, 10 + reason)->closed);
	}
}

/* CLOSED waits for the program. */
static void removed_with_references(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	const void *addr;

	assert_int_equal(bufshare_host_buffer_map(buf, &addr), 0);
	assert_ptr_equal(bufshare_host_buffer_ref(buf), buf);
	send_removed(f, 5, VIRTIO_BUFSHARE_REASON_PRODUCER_GONE);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 5);
	assert_int_equal(*(const char *)addr, 0);
	assert_int_equal(bufshare_host_buffer_get_id(buf), 5);

	assert_null(bufshare_host_buffer_unref(buf));
	fake_pump(f);
	assert_false(fake_find(f, 5)->closed);
	assert_null(bufshare_host_buffer_unref(buf));
	fake_pump(f);
	assert_true(fake_find(f, 5)->closed);
}

static void reference_of_what_is_in_sight(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);

	bufshare_host_buffer_unref(buf);
	fake_pump(f);
	assert_false(fake_find(f, 5)->closed);
	assert_int_equal(bufshare_host_get_buffer(f->host, 5, &buf), 0);
	bufshare_host_buffer_unref(buf);
}

/*
 * The guest registers the buffer again, with the same id, before the program let go of
 * the old one. Its CLOSED would be taken for that of the new one.
 */
static void id_used_again_before_closed(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *old = add_buffer(f, 5, FAKE_PAGE), *new;
	unsigned int messages;

	send_removed(f, 5, VIRTIO_BUFSHARE_REASON_RESET);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 5);
	new = add_buffer(f, 5, 2 * FAKE_PAGE);
	assert_ptr_not_equal(old, new);
	fake_pump(f);
	messages = f->num_messages;

	bufshare_host_buffer_unref(old);
	fake_pump(f);
	assert_int_equal(f->num_messages, messages + 1);
	assert_false(fake_find(f, 5)->closed); /* which is the new one */
	assert_int_equal(bufshare_host_buffer_get_size(new), 2 * FAKE_PAGE);

	send_removed(f, 5, VIRTIO_BUFSHARE_REASON_RESET);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 5);
	bufshare_host_buffer_unref(new);
	fake_pump(f);
	assert_true(fake_find(f, 5)->closed);
}

static void buffer_outlives_the_connection(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	struct bufshare_host_buffer *gone = add_buffer(f, 6, FAKE_PAGE);
	const char *value;
	const void *addr;

	send_updated(f, 5, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	send_removed(f, 6, VIRTIO_BUFSHARE_REASON_HOST);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 6);
	f->host = bufshare_host_unref(f->host);

	assert_int_equal(bufshare_host_buffer_map(buf, &addr), 0);
	assert_int_equal(*(const char *)addr, 0);
	assert_int_equal(bufshare_host_buffer_get_property(buf, "x", &value), -ENOENT);
	assert_int_equal(bufshare_host_buffer_release(buf, 2), -ENOTCONN);
	assert_int_equal(bufshare_host_buffer_set_property(buf, "width", "1"), -EPERM);
	assert_int_equal(bufshare_host_buffer_set_property(buf, "host.x", "1"), -ENOTCONN);
	bufshare_host_buffer_unref(buf);
	bufshare_host_buffer_unref(gone);
}

/* ---- update and release ---- */

static void updated(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	struct bufshare_event event;

	assert_int_equal(bufshare_host_buffer_get_seq(buf), 1);
	send_updated(f, 5, 7);
	event = expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	assert_int_equal(event.seq, 7);
	assert_int_equal(event.flags, 0);
	assert_int_equal(event.time_ns, 2007);
	assert_int_equal(event.guest_time_ns, 1007);
	assert_int_equal(bufshare_host_buffer_get_seq(buf), 7);

	assert_int_equal(bufshare_host_buffer_release(buf, 7), 0);
	fake_pump(f);
	assert_int_equal(fake_find(f, 5)->released, 7);
	bufshare_host_buffer_unref(buf);
}

static void coalesced(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	struct bufshare_ipc_updated m;
	struct bufshare_event event;
	struct wire w;

	wire_updated(&w, 5, 9);
	memcpy(&m, &w.msg, sizeof(m));
	m.flags = htole32(BUFSHARE_IPC_UPDATED_COALESCED);
	memcpy(&w.msg, &m, sizeof(m));
	fake_send(f, &w);
	event = expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	assert_int_equal(event.flags, BUFSHARE_UPDATED_COALESCED);
	bufshare_host_buffer_unref(buf);
}

static void only_what_is_held_is_released(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	unsigned int messages;

	fake_pump(f);
	messages = f->num_messages;
	assert_int_equal(bufshare_host_buffer_release(buf, 1), -EALREADY);
	assert_int_equal(bufshare_host_buffer_release(buf, 0), -EALREADY);
	send_updated(f, 5, 7);
	assert_int_equal(bufshare_host_buffer_release(buf, 7), -EALREADY);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	assert_int_equal(bufshare_host_buffer_release(buf, 6), -EALREADY);
	assert_int_equal(bufshare_host_buffer_release(buf, 8), -EALREADY);
	fake_pump(f);
	assert_int_equal(f->num_messages, messages);

	assert_int_equal(bufshare_host_buffer_release(buf, 7), 0);
	assert_int_equal(bufshare_host_buffer_release(buf, 7), -EALREADY);
	fake_pump(f);
	assert_int_equal(f->num_messages, messages + 1);
	assert_int_equal(bufshare_host_buffer_release(NULL, 7), -EINVAL);
	bufshare_host_buffer_unref(buf);
}

static void many_cycles(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	uint64_t seq;

	for (seq = 2; seq < 500; seq++) {
		send_updated(f, 5, seq);
		expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
		assert_int_equal(bufshare_host_buffer_release(buf, seq), 0);
		fake_pump(f);
		assert_int_equal(fake_find(f, 5)->released, seq);
	}
	assert_int_equal(fake_find(f, 5)->ignored, 0);
	bufshare_host_buffer_unref(buf);
}

static void revoked(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	struct bufshare_event event;
	struct wire w;

	send_updated(f, 5, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	wire_revoked(&w, 5, 2);
	fake_send(f, &w);
	event = expect_event(f, BUFSHARE_EVENT_REVOKED, 5);
	assert_int_equal(event.seq, 2);
	assert_int_equal(bufshare_host_buffer_release(buf, 2), -EALREADY);

	send_updated(f, 5, 3);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	assert_int_equal(bufshare_host_buffer_release(buf, 3), 0);
	bufshare_host_buffer_unref(buf);
}

/* RELEASE and REVOKED cross: the program gave it back and needs to hear no more. */
static void revoked_and_released(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	struct wire w;

	send_updated(f, 5, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	wire_revoked(&w, 5, 2);
	fake_send(f, &w);
	assert_int_equal(bufshare_host_buffer_release(buf, 2), 0);
	send_updated(f, 5, 3);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	expect_nothing(f);
	fake_pump(f);
	assert_int_equal(fake_find(f, 5)->held, 3);
	assert_int_equal(fake_find(f, 5)->ignored, 1);
	bufshare_host_buffer_unref(buf);
}

static void removed_while_held(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);

	send_updated(f, 5, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);
	send_removed(f, 5, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 5);
	assert_int_equal(bufshare_host_buffer_release(buf, 2), -EALREADY);
	bufshare_host_buffer_unref(buf);
}

/* ---- the guest's state ---- */

static void states(void **state)
{
	static const uint32_t values[] = {
		BUFSHARE_IPC_STATE_SUSPENDED,
		BUFSHARE_IPC_STATE_RUNNING,
		BUFSHARE_IPC_STATE_RECOVERING,
		BUFSHARE_IPC_STATE_NO_GUEST,
	};
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 5, FAKE_PAGE);
	struct bufshare_event event;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		send_state(f, values[i], 1);
		event = expect_event(f, BUFSHARE_EVENT_STATE, 0);
		assert_int_equal(event.value, values[i]);
		assert_int_equal(bufshare_host_get_state(f->host), values[i]);
		expect_nothing(f);
	}
	bufshare_host_buffer_unref(buf);
}

/* Every buffer goes before the state is told. */
static void all_void(struct fake_daemon *f, uint32_t value, uint32_t reason)
{
	struct bufshare_host_buffer *held = add_buffer(f, 5, FAKE_PAGE), *buf;
	struct bufshare_event event;
	uint64_t id = 0;

	bufshare_host_buffer_unref(add_buffer(f, 6, FAKE_PAGE));
	bufshare_host_buffer_unref(add_buffer(f, 7, FAKE_PAGE));
	send_updated(f, 5, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 5);

	send_state(f, value, 2);
	send_empty(f, BUFSHARE_IPC_SYNCED);
	for (id = 7; id >= 5; id--) {
		event = expect_event(f, BUFSHARE_EVENT_REMOVED, id);
		assert_int_equal(event.value, reason);
		assert_int_equal(bufshare_host_get_buffer(f->host, id, &buf), -ENOENT);
		assert_int_equal(bufshare_host_get_state(f->host), BUFSHARE_GUEST_RUNNING);
		assert_int_equal(bufshare_host_buffer_release(held, 2), -EALREADY);
		assert_int_equal(bufshare_host_buffer_set_property(held, "host.x", "1"), -ENOENT);
	}
	event = expect_event(f, BUFSHARE_EVENT_STATE, 0);
	assert_int_equal(event.value, value);
	assert_int_equal(bufshare_host_get_state(f->host), value);
	expect_event(f, BUFSHARE_EVENT_SYNCED, 0);
	bufshare_host_buffer_unref(held);

	/* The ids mean nothing any more but for CLOSED, which is all there is to say. */
	fake_pump(f);
	assert_int_equal(f->num_messages, 5);
	for (id = 5; id <= 7; id++)
		assert_true(fake_find(f, id)->closed);
}

static void reset(void **state)
{
	all_void(*state, BUFSHARE_IPC_STATE_RESET, BUFSHARE_REASON_RESET);
}

static void gone(void **state)
{
	all_void(*state, BUFSHARE_IPC_STATE_GONE, BUFSHARE_REASON_PRODUCER_GONE);
}

static void reset_without_buffers(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_event event;

	send_state(f, BUFSHARE_IPC_STATE_RESET, 2);
	event = expect_event(f, BUFSHARE_EVENT_STATE, 0);
	assert_int_equal(event.value, BUFSHARE_GUEST_RESET);
	expect_nothing(f);
}

static void ids_begin_anew_after_reset(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *old = add_buffer(f, 1, FAKE_PAGE), *new;

	send_updated(f, 1, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 1);
	send_state(f, BUFSHARE_IPC_STATE_RESET, 2);
	send_state(f, BUFSHARE_IPC_STATE_RUNNING, 2);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 1);
	expect_event(f, BUFSHARE_EVENT_STATE, 0);
	expect_event(f, BUFSHARE_EVENT_STATE, 0);

	new = add_buffer(f, 1, FAKE_PAGE);
	send_updated(f, 1, 2);
	expect_event(f, BUFSHARE_EVENT_UPDATED, 1);
	assert_int_equal(bufshare_host_buffer_release(old, 2), -EALREADY);
	bufshare_host_buffer_unref(old);
	fake_pump(f);
	assert_int_equal(fake_find(f, 1)->held, 2);
	assert_int_equal(bufshare_host_buffer_release(new, 2), 0);
	fake_pump(f);
	assert_int_equal(fake_find(f, 1)->released, 2);
	bufshare_host_buffer_unref(new);
}

/* ---- messages without an event ---- */

static void unknown_messages_are_ignored(void **state)
{
	struct fake_daemon *f = *state;
	struct wire w;

	wire_empty(&w, BUFSHARE_IPC_CONSUMER + 1);
	w.fd = make_memfd(NULL, FAKE_PAGE, 0);
	fake_send(f, &w);
	wire_empty(&w, UINT32_MAX);
	fake_send(f, &w);
	send_empty(f, BUFSHARE_IPC_SYNCED);
	expect_event(f, BUFSHARE_EVENT_SYNCED, 0);
}

/* A daemon that sends nothing but noise does not keep the program in one call. */
static void noise_does_not_block(void **state)
{
	struct fake_daemon *f = *state;
	struct pollfd poll_fd = { .fd = bufshare_host_get_fd(f->host), .events = POLLIN };
	int i;

	for (i = 0; i < 2 * HOST_MAX_SKIPPED; i++)
		send_empty(f, 1000);
	send_empty(f, BUFSHARE_IPC_SYNCED);
	expect_nothing(f);
	assert_int_equal(poll(&poll_fd, 1, 0), 1);
	expect_nothing(f);
	assert_int_equal(poll(&poll_fd, 1, 0), 1);
	expect_event(f, BUFSHARE_EVENT_SYNCED, 0);
}

/* The table grows, and finds each of many. */
static void many_buffers(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf;
	uint64_t id;

	for (id = 1; id <= 200; id++)
		bufshare_host_buffer_unref(add_buffer(f, (id * 77) % 211, FAKE_PAGE));
	for (id = 1; id <= 200; id++) {
		assert_int_equal(bufshare_host_get_buffer(f->host, (id * 77) % 211, &buf), 0);
		assert_int_equal(bufshare_host_buffer_get_id(buf), (id * 77) % 211);
		bufshare_host_buffer_unref(buf);
	}
	for (id = 1; id <= 200; id++) {
		send_removed(f, (id * 77) % 211, VIRTIO_BUFSHARE_REASON_RESET);
		expect_event(f, BUFSHARE_EVENT_REMOVED, (id * 77) % 211);
		fake_pump(f);
		assert_true(fake_find(f, (id * 77) % 211)->closed);
	}
	id = 0;
	assert_int_equal(bufshare_host_next_buffer(f->host, &id), -ENOENT);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fake_setup, fake_teardown)

/* What this connection may do with this buffer, and why it is a copy. */
static void buffer_without_rights(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf;
	struct wire w;

	wire_added(&w, 5, FAKE_PAGE);
	((struct bufshare_ipc_added *)&w.msg)->flags = 0;
	((struct bufshare_ipc_added *)&w.msg)->why = htole32(BUFSHARE_IPC_WHY_RIGHT);
	fake_send(f, &w);
	expect_event(f, BUFSHARE_EVENT_ADDED, 5);
	assert_int_equal(bufshare_host_get_buffer(f->host, 5, &buf), 0);
	assert_int_equal(bufshare_host_buffer_get_copy_reason(buf), BUFSHARE_COPY_RIGHT);
	assert_int_equal(bufshare_host_buffer_get_copy_reason(NULL), -EINVAL);
	assert_int_equal(bufshare_host_buffer_set_property(buf, "host.x", "1"), -EACCES);
	fake_pump(f);
	assert_int_equal(f->num_set_properties, 0);
	bufshare_host_buffer_unref(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(added),
		TEST(added_again_and_writable),
		TEST(buffer_without_rights),
		TEST(buffers_in_order_of_ids),
		TEST(removed_without_references),
		TEST(removed_with_references),
		TEST(reference_of_what_is_in_sight),
		TEST(id_used_again_before_closed),
		TEST(buffer_outlives_the_connection),
		TEST(updated),
		TEST(coalesced),
		TEST(only_what_is_held_is_released),
		TEST(many_cycles),
		TEST(revoked),
		TEST(revoked_and_released),
		TEST(removed_while_held),
		TEST(states),
		TEST(reset),
		TEST(gone),
		TEST(reset_without_buffers),
		TEST(ids_begin_anew_after_reset),
		TEST(unknown_messages_are_ignored),
		TEST(noise_does_not_block),
		TEST(many_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
