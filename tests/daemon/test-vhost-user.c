/* SPDX-License-Identifier: MIT */
/* The life of a device: how it starts, stops and goes on. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/transport-fixture.h"
#include "common/fd-leak.h"

static void set_vring(struct fixture *f, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_user_vring_state state = { index, num };

	assert_int_equal(ff_call(f->ff, request, &state, sizeof(state), NULL, 0), 0);
}

static uint32_t get_base(struct fixture *f, uint32_t index)
{
	struct vhost_user_vring_state state = { index, 0 };

	ff_message(f->ff, VHOST_USER_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
	ff_reply(f->ff, VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
	return state.num;
}

/*
 * The numbers of the protocol, byte by byte, so that a mistake that both ends share is found.
 */
static void test_wire(void **state)
{
	static const uint8_t get_features[] = { 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t features[] = { 1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0,
					    0, 0, 0, 0x70, 1, 0, 0, 0 };
	static const uint8_t get_protocol[] = { 15, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t protocol[] = { 15, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0,
					    0x29, 0x86, 0, 0, 0, 0, 0, 0 };
	static const uint8_t set_protocol[] = { 16, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0,
						0x29, 0x86, 0, 0, 0, 0, 0, 0 };
	static const uint8_t ack[] = { 16, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0,
				       0, 0, 0, 0, 0, 0, 0, 0 };
	struct fixture *f = *state;
	uint8_t buf[32];

	ff_send_raw(f->ff, get_features, sizeof(get_features), NULL, 0);
	assert_true(!ff_is_quiet(f->ff));
	assert_int_equal(recv(f->ff->sock, buf, sizeof(buf), 0), sizeof(features));
	assert_memory_equal(buf, features, sizeof(features));

	ff_send_raw(f->ff, get_protocol, sizeof(get_protocol), NULL, 0);
	assert_true(!ff_is_quiet(f->ff));
	assert_int_equal(recv(f->ff->sock, buf, sizeof(buf), 0), sizeof(protocol));
	assert_memory_equal(buf, protocol, sizeof(protocol));

	/* It asks for an acknowledgement with the message that makes that possible. */
	ff_send_raw(f->ff, set_protocol, sizeof(set_protocol), NULL, 0);
	assert_true(!ff_is_quiet(f->ff));
	assert_int_equal(recv(f->ff->sock, buf, sizeof(buf), 0), sizeof(ack));
	assert_memory_equal(buf, ack, sizeof(ack));
}

static void test_connect(void **state)
{
	struct fixture *f = *state;

	ff_connect(f->ff);
	assert_int_equal(ff_get_u64(f->ff, VHOST_USER_GET_QUEUE_NUM), 2);
	assert_int_equal(ff_get_u64(f->ff, VHOST_USER_GET_MAX_MEM_SLOTS), MEMORY_MAX_REGIONS);
	fixture_expect(f, "");
	assert_int_equal(vu_features(f->vu), 0);
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[VU_MAX_CONFIG_SIZE];
	struct vhost_user_config config = { .size = sizeof(buf) };
	uint32_t size = offsetof(struct vhost_user_config, bytes) + sizeof(buf);

	ff_connect(f->ff);
	ff_get_config(f->ff, 0, buf, sizeof(buf));
	assert_memory_equal(buf, f->config, sizeof(f->config));
	assert_int_equal(buf[sizeof(f->config)], 0);
	assert_int_equal(buf[sizeof(buf) - 1], 0);
	ff_get_config(f->ff, 10, buf, 4);
	assert_memory_equal(buf, f->config + 10, 4);
	ff_get_config(f->ff, sizeof(buf), buf, 0);

	/* It can not be written, which is no error. */
	memset(config.bytes, 0x55, sizeof(config.bytes));
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_CONFIG, &config, size, NULL, 0), 0);
	ff_get_config(f->ff, 0, buf, sizeof(buf));
	assert_memory_equal(buf, f->config, sizeof(f->config));
}

/* No such bytes: a reply without any. */
static void test_config_outside(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_config config = { .offset = 1, .size = VU_MAX_CONFIG_SIZE };

	ff_connect(f->ff);
	ff_message(f->ff, VHOST_USER_GET_CONFIG, 0, &config, sizeof(config), NULL, 0);
	ff_reply(f->ff, VHOST_USER_GET_CONFIG, NULL, 0);
	config.offset = UINT32_MAX;
	ff_message(f->ff, VHOST_USER_GET_CONFIG, 0, &config, sizeof(config), NULL, 0);
	ff_reply(f->ff, VHOST_USER_GET_CONFIG, NULL, 0);
	assert_true(ff_is_quiet(f->ff));
}

static void test_start(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_settle(f);
	fixture_expect(f, "MMS01");
	assert_int_equal(f->how, VU_START_FRESH);
	assert_true(vu_is_started(f->vu));
	assert_int_equal(vu_features(f->vu), f->ff->features);
	assert_int_equal(memory_count(vu_memory(f->vu)), 2);
	fixture_echo(f);
}

static void test_start_with_table(void **state)
{
	struct fixture *f = *state;

	f->ff->protocol_mask = ~VHOST_USER_PROTOCOL_F_MEM_SLOTS;
	ff_start(f->ff);
	fixture_settle(f);
	fixture_expect(f, "MS01");
	fixture_echo(f);
}

static void test_without_acknowledgements(void **state)
{
	struct fixture *f = *state;

	f->ff->protocol_mask = ~VHOST_USER_PROTOCOL_F_REPLY_ACK;
	ff_start(f->ff);
	fixture_echo(f);
	ff_stop(f->ff);
	ff_resume(f->ff);
	fixture_echo(f);
}

/* Without that feature there is no message that enables queues: they are. */
static void test_without_protocol_features(void **state)
{
	struct fixture *f = *state;

	f->ff->features_mask = ~VHOST_USER_F_PROTOCOL_FEATURES;
	ff_start(f->ff);
	fixture_echo(f);
	fixture_expect(f, "MMS010");
	ff_stop(f->ff);
	fixture_expect(f, "s");
}

/* The driver had requests before there was a device to kick. */
static void test_requests_before_start(void **state)
{
	struct fixture *f = *state;
	unsigned int token;
	char buf[4];

	ff_connect(f->ff);
	token = ff_add(f->ff, ECHO, "abc", 4, 4);
	ff_start(f->ff);
	assert_int_equal(ff_wait(f->ff, ECHO, token, buf, sizeof(buf)), 4);
}

static void test_pause(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	fixture_echo(f);
	fixture_forget(f);
	ff_stop(f->ff);
	fixture_expect(f, "s");
	assert_int_equal(f->ff->queues[ECHO].base, 2);
	assert_int_equal(f->ff->queues[EVENTS].base, 0);

	ff_add(f->ff, ECHO, "abc", 4, 4);
	ff_kick(f->ff, ECHO);
	fixture_settle(f);
	fixture_expect(f, "");

	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_RESUMED);
	assert_int_equal(f->told[0], 'S');
	fixture_echo(f);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	ff_reset(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_FRESH);
	fixture_echo(f);
}

/* Nothing had happened, so nothing can be told. */
static void test_pause_or_reset(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	ff_stop(f->ff);
	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_UNKNOWN);
	fixture_echo(f);
}

/* One queue where it was, the other at zero: neither a pause nor a reset. */
static void test_contradiction(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	ff_add_event_buffers(f->ff, EVENTS, 1, 8);
	assert_int_equal(fixture_event(f, "x", 1), 0);
	ff_stop(f->ff);
	assert_int_equal(f->ff->queues[ECHO].base, 1);
	assert_int_equal(f->ff->queues[EVENTS].base, 1);
	f->ff->queues[EVENTS].base = 0;
	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_UNKNOWN);
}

static void test_other_base(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	fixture_echo(f);
	ff_stop(f->ff);
	f->ff->queues[ECHO].base = 1;
	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_UNKNOWN);
}

/* A front end that had another back end before. */
static void test_first_start_not_at_zero(void **state)
{
	struct fixture *f = *state;

	ff_connect(f->ff);
	f->ff->queues[ECHO].base = 5;
	f->ff->queues[ECHO].avail_idx = 5;
	f->ff->queues[ECHO].kicked_idx = 5;
	f->ff->queues[ECHO].used_idx = 5;
	f->ff->queues[ECHO].ring.avail->idx = htole16(5);
	f->ff->queues[ECHO].ring.used->idx = htole16(5);
	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_UNKNOWN);
	fixture_echo(f);
}

/* User Mode Linux suspends by disabling the queues, and no more. */
static void test_disable_and_enable(void **state)
{
	struct fixture *f = *state;
	unsigned int token;
	char buf[4];

	ff_start(f->ff);
	fixture_settle(f);
	fixture_forget(f);
	ff_enable(f->ff, EVENTS, false);
	fixture_expect(f, "s");
	ff_enable(f->ff, ECHO, false);
	token = ff_send(f->ff, ECHO, "abc", 4, 4);
	fixture_settle(f);
	ff_enable(f->ff, EVENTS, true);
	fixture_settle(f);
	fixture_expect(f, "");
	assert_false(ff_is_used(f->ff, ECHO, token));

	ff_enable(f->ff, ECHO, true);
	assert_int_equal(ff_wait(f->ff, ECHO, token, buf, sizeof(buf)), 4);
	assert_int_equal(f->how, VU_START_RESUMED);
}

/* And when a driver is bound again it sets queues up that were disabled, but never stopped. */
static void test_set_up_disabled(void **state)
{
	struct fixture *f = *state;
	int i;

	f->ff->protocol_mask = VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK |
			       VHOST_USER_PROTOCOL_F_BACKEND_REQ | VHOST_USER_PROTOCOL_F_CONFIG;
	f->ff->use_call_pipe = true;
	ff_start(f->ff);
	fixture_echo(f);
	for (i = 0; i < 3; i++) {
		ff_enable(f->ff, EVENTS, false);
		ff_enable(f->ff, ECHO, false);
		ff_get_u64(f->ff, VHOST_USER_GET_FEATURES);
		f->ff->running = false;
		ff_reset(f->ff);
		fixture_settle(f);
		assert_int_equal(f->how, VU_START_FRESH);
		fixture_echo(f);
	}
}

/* GET_VRING_BASE alone stops a queue, and enabling it does not start it again. */
static void test_stop_without_disable(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	fixture_settle(f);
	fixture_forget(f);
	assert_int_equal(get_base(f, ECHO), 1);
	fixture_expect(f, "s");
	assert_int_equal(get_base(f, ECHO), 1);
	assert_int_equal(get_base(f, EVENTS), 0);
	ff_enable(f->ff, ECHO, true);
	fixture_settle(f);
	fixture_expect(f, "");
}

/* Cloud Hypervisor; the protocol says: disable, or ignore. */
static void test_reset_owner(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	fixture_forget(f);
	assert_int_equal(ff_call(f->ff, VHOST_USER_RESET_OWNER, NULL, 0, NULL, 0), 0);
	fixture_expect(f, "s");
	f->ff->running = false;
	ff_reset(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_FRESH);
	fixture_echo(f);
}

static void test_new_kick_while_running(void **state)
{
	struct fixture *f = *state;
	uint64_t value = ECHO;
	int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int old = f->ff->queues[ECHO].kick;
	const uint64_t one = 1;

	ff_start(f->ff);
	fixture_settle(f);
	fixture_forget(f);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_KICK, &value, sizeof(value), &kick, 1),
			 0);
	assert_int_equal(write(old, &one, sizeof(one)), sizeof(one));
	fixture_settle(f);
	fixture_expect(f, "");
	f->ff->queues[ECHO].kick = kick;
	close(old);
	fixture_echo(f);
	fixture_expect(f, "0");
}

/* A kick that can not come any more must not keep the loop busy. */
static void test_kick_without_writer(void **state)
{
	struct fixture *f = *state;
	uint64_t value = ECHO;
	int fds[2];

	ff_start(f->ff);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_KICK, &value, sizeof(value), fds, 1),
			 0);
	close(fds[0]);
	fixture_settle(f);
	fixture_forget(f);
	assert_int_equal(write(fds[1], &value, sizeof(value)), sizeof(value));
	fixture_settle(f);
	fixture_expect(f, "0");
	close(fds[1]);
	fixture_settle(f);
	assert_int_equal(loop_iterate(f->loop, 0), 0);
	ff_reset(f->ff);
	fixture_echo(f);
}

/* The indices wrap around to zero: then the other queue decides. */
static void test_base_wrapped(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	ff_start(f->ff);
	ff_add_event_buffers(f->ff, EVENTS, 1, 8);
	assert_int_equal(fixture_event(f, "x", 1), 0);
	for (i = 0; i < 65536; i++)
		fixture_echo(f);
	ff_stop(f->ff);
	assert_int_equal(f->ff->queues[ECHO].base, 0);
	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_RESUMED);
	set_vring(f, VHOST_USER_SET_VRING_ENABLE, ECHO, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_wire),
		FIXTURE_TEST(test_connect),
		FIXTURE_TEST(test_config),
		FIXTURE_TEST(test_config_outside),
		FIXTURE_TEST(test_start),
		FIXTURE_TEST(test_start_with_table),
		FIXTURE_TEST(test_without_acknowledgements),
		FIXTURE_TEST(test_without_protocol_features),
		FIXTURE_TEST(test_requests_before_start),
		FIXTURE_TEST(test_pause),
		FIXTURE_TEST(test_reset),
		FIXTURE_TEST(test_pause_or_reset),
		FIXTURE_TEST(test_contradiction),
		FIXTURE_TEST(test_other_base),
		FIXTURE_TEST(test_first_start_not_at_zero),
		FIXTURE_TEST(test_base_wrapped),
		FIXTURE_TEST(test_disable_and_enable),
		FIXTURE_TEST(test_set_up_disabled),
		FIXTURE_TEST(test_stop_without_disable),
		FIXTURE_TEST(test_reset_owner),
		FIXTURE_TEST(test_new_kick_while_running),
		FIXTURE_TEST(test_kick_without_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
