/* SPDX-License-Identifier: MIT */
/*
 * The worker is killed, over and over and wherever it is: the VMM notices nothing, the guest
 * loses nothing, and who looks from outside finds the same buffers again.
 */
#include <endian.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/recovery-fixture.h"

/* All that a VMM and a driver say in their life. */
static void live(struct world *w)
{
	uint8_t magic[4], first[VIRTIO_BUFSHARE_UUID_SIZE];
	int i;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 1);
	for (i = 0; i < 3; i++)
		update(w);
	ff_get_config(w->ff, 0, magic, sizeof(magic));
	assert_memory_equal(magic, "bshr", 4);

	/* The machine is paused and goes on. */
	ff_stop(w->ff);
	ff_resume(w->ff);
	update(w);
	query(w);
	unregister(w);
	register_buffer(w, 2);
	update(w);
	memcpy(first, w->uuid, sizeof(first));

	/* It reboots. */
	w->registered = 0;
	ff_reset(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 2);
	assert_memory_not_equal(w->uuid, first, sizeof(first));
	update(w);
	query(w);
}

static void test_undisturbed(void **state)
{
	struct world *w = *state;

	live(w);
	end(w);
	assert_int_equal(w->recoveries, 0);
}

static void killed(struct world *w, unsigned int one_in, unsigned int delay_us)
{
	w->one_in = one_in;
	w->delay_us = delay_us;
	live(w);
	while (w->kills < 6) {
		update(w);
		ff_stop(w->ff);
		ff_resume(w->ff);
		query(w);
	}
	end(w);
}

static void test_killed_often(void **state)
{
	killed(*state, 2, 0);
}

static void test_killed_now_and_then(void **state)
{
	killed(*state, 3, 0);
}

static void test_killed_in_between(void **state)
{
	killed(*state, 2, 150);
}

static void test_killed_late(void **state)
{
	killed(*state, 2, 700);
}

/* A front end that tells all regions in one message. */
static void test_memory_table(void **state)
{
	struct world *w = *state;

	w->ff->protocol_mask &= ~VHOST_USER_PROTOCOL_F_MEM_SLOTS;
	killed(w, 2, 100);
}

/* Nobody says anything while it dies: the guest is told by itself. */
static void test_event(void **state)
{
	struct world *w = *state;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	update(w);
	kill_worker(w);
	while (!w->recoveries)
		read_event(w);
	assert_int_equal(w->kills, 1);
	end(w);
}

/* It dies while the machine is paused: the guest is told when it goes on. */
static void test_killed_while_paused(void **state)
{
	struct world *w = *state;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	ff_stop(w->ff);
	kill_worker(w);
	process_sleep_ms(20);
	assert_false(w->recoveries);
	ff_resume(w->ff);
	while (!w->recoveries)
		read_event(w);
	end(w);
}

/* A command that the worker took and did not answer is answered by the next one. */
static void test_unanswered(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_ping ping = { .hdr.type = htole32(VIRTIO_BUFSHARE_CMD_PING) };
	struct virtio_bufshare_ping_response pong;
	pid_t worker;
	unsigned int tokens[3];
	int i;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	ping.hdr.epoch = htole64(w->epoch);
	worker = worker_of(w->daemon.pid);
	assert_int_equal(kill(worker, SIGSTOP), 0);
	for (i = 0; i < 3; i++)
		tokens[i] = ff_send(w->ff, 0, &ping, sizeof(ping), sizeof(pong));
	assert_int_equal(kill(worker, SIGKILL), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(ff_wait(w->ff, 0, tokens[i], &pong, sizeof(pong)),
				 sizeof(pong.hdr));
		assert_int_equal(le32toh(pong.hdr.status), S(EPOCH));
	}
	recover(w);
	end(w);
}

/* A worker that can not start is tried again, and the VMM waits. */
static void test_vmm_speaks_meanwhile(void **state)
{
	struct world *w = *state;
	uint8_t magic[4];
	int i;

	ff_connect(w->ff);
	for (i = 0; i < 5; i++) {
		kill_worker(w);
		ff_get_config(w->ff, 0, magic, sizeof(magic));
		assert_memory_equal(magic, "bshr", 4);
	}
	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RECOVERY_TEST(test_undisturbed),
		RECOVERY_TEST(test_killed_often),
		RECOVERY_TEST(test_killed_now_and_then),
		RECOVERY_TEST(test_killed_in_between),
		RECOVERY_TEST(test_killed_late),
		RECOVERY_TEST(test_memory_table),
		RECOVERY_TEST(test_event),
		RECOVERY_TEST(test_killed_while_paused),
		RECOVERY_TEST(test_unanswered),
		RECOVERY_TEST(test_vmm_speaks_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
