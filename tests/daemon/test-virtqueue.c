/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/transport-fixture.h"

static void test_echo(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	fixture_echo(f);
}

static void test_indirect(void **state)
{
	struct fixture *f = *state;
	char buf[6] = "";
	unsigned int token;

	ff_start(f->ff);
	token = ff_send_indirect(f->ff, ECHO, "hello", 6, 6);
	assert_int_equal(ff_wait(f->ff, ECHO, token, buf, sizeof(buf)), 6);
	assert_string_equal(buf, "hello");
}

/* The rings need no feature but VERSION_1. */
static void test_without_features(void **state)
{
	struct fixture *f = *state;

	f->ff->features_mask = ~(VQ_F_INDIRECT | VQ_F_EVENT_IDX);
	ff_start(f->ff);
	assert_int_equal(vu_features(f->vu) & (VQ_F_INDIRECT | VQ_F_EVENT_IDX), 0);
	fixture_echo(f);
	fixture_echo(f);
}

static void test_sizes(void **state)
{
	struct fixture *f = *state;
	uint8_t out[20000], in[20000];
	size_t i, size;

	for (i = 0; i < sizeof(out); i++)
		out[i] = i * 7 / 3;
	ff_start(f->ff);
	for (size = 1; size <= sizeof(out); size = size * 2 + 1) {
		memset(in, 0, sizeof(in));
		assert_int_equal(ff_command(f->ff, out, size, in, size), size);
		assert_memory_equal(in, out, size);
	}
	assert_int_equal(ff_command(f->ff, out, 10, NULL, 0), 0);
	assert_int_equal(ff_command(f->ff, NULL, 0, in, 10), 0);
}

/* What does not fit is cut off; what is not written stays as it was. */
static void test_room(void **state)
{
	struct fixture *f = *state;
	uint8_t in[16];
	unsigned int token;
	uint8_t *guest;

	ff_start(f->ff);
	assert_int_equal(ff_command(f->ff, "0123456789", 10, in, 4), 4);
	assert_memory_equal(in, "0123", 4);

	token = ff_send(f->ff, ECHO, "0123", 4, 16);
	guest = ff_ptr(f->ff, f->ff->queues[ECHO].tokens[token].in_gpa, 16);
	assert_int_equal(ff_wait(f->ff, ECHO, token, in, sizeof(in)), 4);
	assert_memory_equal(guest, "0123", 4);
	assert_int_equal(guest[4], FF_UNWRITTEN);
}

/* The indices wrap around; every kick that the device did not ask for is left out. */
static void run_long(struct fixture *f)
{
	unsigned int tokens[20];
	uint32_t value, answer;
	unsigned int done = 0;
	unsigned int i, n;

	ff_start(f->ff);
	while (done < 140000) {
		n = 1 + done % ARRAY_SIZE(tokens);
		for (i = 0; i < n; i++) {
			value = done + i;
			tokens[i] = ff_add(f->ff, ECHO, &value, sizeof(value), sizeof(value));
		}
		ff_kick(f->ff, ECHO);
		for (i = 0; i < n; i++, done++) {
			assert_int_equal(ff_wait(f->ff, ECHO, tokens[i], &answer, sizeof(answer)),
					 sizeof(answer));
			assert_int_equal(answer, done);
		}
	}
	assert_int_equal(vq_in_flight(vu_queue(f->vu, ECHO)), 0);
}

static void test_long(void **state)
{
	run_long(*state);
}

static void test_long_without_features(void **state)
{
	struct fixture *f = *state;

	f->ff->features_mask = ~(VQ_F_INDIRECT | VQ_F_EVENT_IDX);
	run_long(f);
}

static void hold(struct fixture *f, unsigned int n, unsigned int tokens[])
{
	unsigned int i;

	f->hold = true;
	for (i = 0; i < n; i++) {
		char out[2] = { 'a' + i, 'A' + i };

		tokens[i] = ff_send(f->ff, ECHO, out, sizeof(out), 8);
	}
	fixture_settle(f);
	assert_int_equal(f->num_held, n);
	assert_int_equal(vq_in_flight(vu_queue(f->vu, ECHO)), n);
}

static void test_out_of_order(void **state)
{
	struct fixture *f = *state;
	unsigned int tokens[3];
	char buf[2];

	ff_start(f->ff);
	hold(f, 3, tokens);
	assert_false(ff_is_used(f->ff, ECHO, tokens[2]));

	fixture_answer(f, 2, 2);
	vq_notify(vu_queue(f->vu, ECHO));
	assert_int_equal(ff_wait(f->ff, ECHO, tokens[2], buf, 2), 2);
	assert_memory_equal(buf, "cC", 2);
	assert_false(ff_is_used(f->ff, ECHO, tokens[0]));

	fixture_answer(f, 0, 2);
	fixture_answer(f, 1, 1);
	vq_notify(vu_queue(f->vu, ECHO));
	assert_int_equal(ff_wait(f->ff, ECHO, tokens[1], buf, 2), 1);
	assert_int_equal(ff_wait(f->ff, ECHO, tokens[0], buf, 2), 2);
	assert_memory_equal(buf, "aA", 2);
}

static void test_read(void **state)
{
	struct fixture *f = *state;
	unsigned int token;
	char buf[10];

	ff_start(f->ff);
	f->hold = true;
	token = ff_send(f->ff, ECHO, "0123456789", 10, 7);
	fixture_settle(f);
	assert_int_equal(f->num_held, 1);
	assert_int_equal(f->held[0]->readable, 10);
	assert_int_equal(f->held[0]->writable, 7);

	assert_int_equal(vq_element_read(f->held[0], 0, buf, 10), 0);
	assert_memory_equal(buf, "0123456789", 10);
	assert_int_equal(vq_element_read(f->held[0], 3, buf, 4), 0); /* over the cut */
	assert_memory_equal(buf, "3456", 4);
	assert_int_equal(vq_element_read(f->held[0], 5, buf, 5), 0);
	assert_memory_equal(buf, "56789", 5);
	assert_int_equal(vq_element_read(f->held[0], 10, buf, 0), 0);
	assert_int_equal(vq_element_read(f->held[0], 10, buf, 1), -EINVAL);
	assert_int_equal(vq_element_read(f->held[0], 11, buf, 0), -EINVAL);
	assert_int_equal(vq_element_read(f->held[0], 1, buf, UINT32_MAX), -EINVAL);

	fixture_answer(f, 0, 10);
	assert_int_equal(ff_wait(f->ff, ECHO, token, buf, sizeof(buf)), 7);
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	char buf[8] = "";

	ff_start(f->ff);
	assert_int_equal(fixture_event(f, "one", 4), -EAGAIN);
	fixture_settle(f);
	fixture_forget(f);

	/* The driver was not called for when there was none: now it has to kick. */
	ff_add_event_buffers(f->ff, EVENTS, 2, 8);
	fixture_settle(f);
	fixture_expect(f, "1");
	assert_false(ff_poll_event(f->ff, EVENTS, buf, sizeof(buf)));

	assert_int_equal(fixture_event(f, "one", 4), 0);
	assert_int_equal(fixture_event(f, "two", 4), 0);
	assert_int_equal(fixture_event(f, "no", 3), -EAGAIN);
	assert_int_equal(ff_wait_event(f->ff, EVENTS, buf, sizeof(buf)), 4);
	assert_string_equal(buf, "one");
	assert_true(ff_poll_event(f->ff, EVENTS, buf, sizeof(buf)));
	assert_string_equal(buf, "two");
	assert_int_equal(fixture_event(f, "three", 6), 0);
	assert_int_equal(ff_wait_event(f->ff, EVENTS, buf, sizeof(buf)), 6);
	assert_string_equal(buf, "three");
}

/* A device that needs nothing is not kicked (EVENT_IDX); one that found nothing is. */
static void test_kicks(void **state)
{
	struct fixture *f = *state;
	int i;

	ff_start(f->ff);
	ff_add_event_buffers(f->ff, EVENTS, 4, 8);
	fixture_settle(f);
	fixture_forget(f);
	ff_add_event_buffers(f->ff, EVENTS, 4, 8);
	fixture_settle(f);
	fixture_expect(f, "");

	for (i = 0; i < 8; i++)
		assert_int_equal(fixture_event(f, "x", 1), 0);
	assert_int_equal(fixture_event(f, "x", 1), -EAGAIN);
	ff_add_event_buffers(f->ff, EVENTS, 1, 8);
	fixture_settle(f);
	fixture_expect(f, "1");
}

static void test_calls(void **state)
{
	struct fixture *f = *state;
	unsigned int tokens[3];
	char buf[2];

	ff_start(f->ff);
	fixture_echo(f);
	ff_calls(f->ff, ECHO);

	/* One for a batch, none without vq_notify(). */
	hold(f, 3, tokens);
	fixture_answer(f, 0, 1);
	fixture_answer(f, 1, 1);
	assert_int_equal(ff_calls(f->ff, ECHO), 0);
	vq_notify(vu_queue(f->vu, ECHO));
	vq_notify(vu_queue(f->vu, ECHO));
	assert_int_equal(ff_calls(f->ff, ECHO), 1);

	/* The driver has not looked since, so it needs not be called again. */
	fixture_answer(f, 2, 1);
	vq_notify(vu_queue(f->vu, ECHO));
	assert_int_equal(ff_calls(f->ff, ECHO), 0);
	assert_int_equal(ff_wait(f->ff, ECHO, tokens[2], buf, 1), 1);

	/* Now it has. */
	f->num_held = 0;
	hold(f, 1, tokens);
	fixture_answer(f, 0, 1);
	vq_notify(vu_queue(f->vu, ECHO));
	assert_int_equal(ff_calls(f->ff, ECHO), 1);
}

static void test_calls_by_flag(void **state)
{
	struct fixture *f = *state;

	f->ff->features_mask = ~VQ_F_EVENT_IDX;
	ff_start(f->ff);
	fixture_echo(f);
	assert_int_equal(ff_calls(f->ff, ECHO), 1);
	f->ff->queues[ECHO].ring.avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	fixture_echo(f);
	assert_int_equal(ff_calls(f->ff, ECHO), 0);
	f->ff->queues[ECHO].ring.avail->flags = 0;
	fixture_echo(f);
	assert_int_equal(ff_calls(f->ff, ECHO), 1);
}

/* The first call after a reset does not depend on how many there were before. */
static void test_calls_after_reset(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	ff_reset(f->ff);
	fixture_settle(f);
	ff_calls(f->ff, ECHO);
	fixture_echo(f);
	assert_int_equal(ff_calls(f->ff, ECHO), 1);
}

/* As under User Mode Linux. A socket that is full, or has no reader, is no reason to stop. */
static void test_call_socket(void **state)
{
	struct fixture *f = *state;
	int i;

	f->ff->use_call_pipe = true;
	ff_start(f->ff);
	fixture_echo(f);
	assert_int_equal(ff_calls(f->ff, ECHO), 1);

	for (i = 0; i < 5000; i++)
		fixture_echo(f);
	assert_true(ff_calls(f->ff, ECHO) > 0);

	close(f->ff->queues[ECHO].call);
	f->ff->queues[ECHO].call = -1;
	fixture_echo(f);
	fixture_echo(f);
}

/* A call that there was no descriptor for is made up for when there is one. */
static void test_call_later(void **state)
{
	struct fixture *f = *state;
	uint64_t value = ECHO | VHOST_USER_VRING_NOFD;

	ff_start(f->ff);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_CALL, &value, sizeof(value), NULL, 0),
			 0);
	fixture_echo(f);
	assert_int_equal(ff_calls(f->ff, ECHO), 0);

	value = ECHO;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_CALL, &value, sizeof(value),
				 &f->ff->queues[ECHO].call, 1),
			 0);
	assert_int_equal(ff_calls(f->ff, ECHO), 1);

	/* The same when it comes while the device is stopped. */
	value = ECHO | VHOST_USER_VRING_NOFD;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_CALL, &value, sizeof(value), NULL, 0),
			 0);
	fixture_echo(f);
	ff_enable(f->ff, ECHO, false);
	value = ECHO;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_CALL, &value, sizeof(value),
				 &f->ff->queues[ECHO].call, 1),
			 0);
	assert_int_equal(ff_calls(f->ff, ECHO), 0);
	ff_enable(f->ff, ECHO, true);
	fixture_settle(f);
	assert_int_equal(ff_calls(f->ff, ECHO), 1);
}

/* All that the device could write: rings and buffers. */
static uint8_t *copy_of_memory(struct fixture *f, size_t *size)
{
	uint8_t *copy;

	*size = f->ff->next_high - FF_HIGH_GPA;
	copy = malloc(*size);
	assert_non_null(copy);
	memcpy(copy, ff_ptr(f->ff, FF_HIGH_GPA, *size), *size);
	return copy;
}

static void test_answer_while_paused(void **state)
{
	_cleanup_free_ uint8_t *before = NULL;
	struct fixture *f = *state;
	struct vq_element *element;
	struct vq *vq = vu_queue(f->vu, ECHO);
	unsigned int tokens[4];
	size_t size;
	char buf[2];

	ff_start(f->ff);
	hold(f, 4, tokens);
	ff_stop(f->ff);
	assert_int_equal(f->ff->queues[ECHO].base, 4);
	before = copy_of_memory(f, &size);

	assert_int_equal(vq_element_read(f->held[0], 0, buf, 2), -ENOTCONN);
	assert_int_equal(vq_pop(vq, &element), -ENOTCONN);
	vq_push(f->held[0], "xy", 2);
	vq_push(f->held[1], NULL, 0);
	f->held[0] = NULL;
	f->held[1] = NULL;
	vq_notify(vq);
	assert_int_equal(ff_calls(f->ff, ECHO), 0);
	assert_memory_equal(ff_ptr(f->ff, FF_HIGH_GPA, size), before, size);
	assert_int_equal(vq_in_flight(vq), 4);

	/* It goes on: what was answered meanwhile arrives, with a call; the rest goes on too. */
	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_RESUMED);
	assert_true(ff_calls(f->ff, ECHO) > 0);
	assert_int_equal(ff_wait(f->ff, ECHO, tokens[0], buf, 2), 2);
	assert_memory_equal(buf, "xy", 2);
	assert_int_equal(ff_wait(f->ff, ECHO, tokens[1], buf, 2), 0);
	fixture_answer(f, 2, 2);
	assert_int_equal(ff_wait(f->ff, ECHO, tokens[2], buf, 2), 2);
	assert_memory_equal(buf, "cC", 2);
	f->hold = false;
	fixture_echo(f);
}

/* The device says nothing more when it goes on: the call comes by itself. */
static void test_event_while_paused(void **state)
{
	struct fixture *f = *state;
	struct vq_element *element;
	char buf[8];

	ff_start(f->ff);
	ff_add_event_buffers(f->ff, EVENTS, 1, 8);
	assert_int_equal(vq_pop(vu_queue(f->vu, EVENTS), &element), 0);
	ff_stop(f->ff);
	vq_push(element, "event", 6);
	ff_resume(f->ff);
	fixture_settle(f);
	assert_int_equal(ff_calls(f->ff, EVENTS), 1);
	assert_int_equal(ff_wait_event(f->ff, EVENTS, buf, sizeof(buf)), 6);
}

/* The guest has new contents where the answers would go: they must not be written. */
static void test_answer_after_reset(void **state)
{
	struct fixture *f = *state;
	unsigned int tokens[3];
	uint8_t *answers[3];
	char buf[2];
	int i;

	ff_start(f->ff);
	hold(f, 3, tokens);
	for (i = 0; i < 3; i++) {
		answers[i] = ff_ptr(f->ff, f->ff->queues[ECHO].tokens[tokens[i]].in_gpa, 8);
		memset(answers[i], 0x11, 8);
	}
	ff_stop(f->ff);
	vq_push(f->held[0], "xy", 2); /* before the reset is known */
	f->held[0] = NULL;

	ff_reset(f->ff);
	fixture_settle(f);
	assert_int_equal(f->how, VU_START_FRESH);
	assert_int_equal(vq_in_flight(vu_queue(f->vu, ECHO)), 0);
	assert_int_equal(vq_element_read(f->held[1], 0, buf, 2), -ENOTCONN);
	fixture_answer(f, 1, 2); /* and after */
	for (i = 0; i < 3; i++)
		assert_int_equal(answers[i][0], 0x11);
	assert_int_equal(f->ff->queues[ECHO].ring.used->idx, 0);

	f->hold = false;
	fixture_echo(f);
}

static void test_answer_after_free(void **state)
{
	struct fixture *f = *state;
	unsigned int tokens[2];

	ff_start(f->ff);
	hold(f, 2, tokens);
	f->vu = vu_free(f->vu);
	vq_push(f->held[0], "xy", 2);
	f->held[0] = NULL;
}

/* The memory of a request in flight goes away. */
static void test_memory_gone(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_mem_reg reg = { .padding = 0 };
	struct vhost_user_region regions[2];
	struct vring_desc *desc = f->ff->queues[ECHO].ring.desc;
	unsigned int token;
	uint64_t low;
	char buf[8];

	low = ff_alloc_low(f->ff, 8);
	memcpy(ff_ptr(f->ff, low, 8), "lowlands", 8);
	ff_start(f->ff);
	f->hold = true;
	token = ff_add(f->ff, ECHO, "request", 8, 8);
	desc[f->ff->queues[ECHO].tokens[token].descs[1]].addr = htole64(low);
	desc[f->ff->queues[ECHO].tokens[token].descs[2]].addr = htole64(low);
	ff_kick(f->ff, ECHO);
	fixture_settle(f);
	assert_int_equal(f->num_held, 1);
	assert_int_equal(vq_element_read(f->held[0], 0, buf, 8), 0);
	assert_memory_equal(buf, "requlowl", 8);

	ff_regions(regions);
	reg.region = regions[0];
	assert_int_equal(ff_call(f->ff, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), NULL, 0), 0);
	assert_int_equal(vq_element_read(f->held[0], 0, buf, 8), -EFAULT);
	fixture_answer(f, 0, 8);
	assert_int_equal(ff_wait(f->ff, ECHO, token, buf, 8), 0);
	f->hold = false;
	fixture_echo(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_echo),
		FIXTURE_TEST(test_indirect),
		FIXTURE_TEST(test_without_features),
		FIXTURE_TEST(test_sizes),
		FIXTURE_TEST(test_room),
		FIXTURE_TEST(test_long),
		FIXTURE_TEST(test_long_without_features),
		FIXTURE_TEST(test_out_of_order),
		FIXTURE_TEST(test_read),
		FIXTURE_TEST(test_events),
		FIXTURE_TEST(test_kicks),
		FIXTURE_TEST(test_calls),
		FIXTURE_TEST(test_calls_by_flag),
		FIXTURE_TEST(test_calls_after_reset),
		FIXTURE_TEST(test_call_socket),
		FIXTURE_TEST(test_call_later),
		FIXTURE_TEST(test_answer_while_paused),
		FIXTURE_TEST(test_event_while_paused),
		FIXTURE_TEST(test_answer_after_reset),
		FIXTURE_TEST(test_answer_after_free),
		FIXTURE_TEST(test_memory_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
