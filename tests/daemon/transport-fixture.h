/* SPDX-License-Identifier: MIT */
/*
 * A VMM with a guest on one end of a socket, the transport with a small device on the
 * other: queue 0 answers every request with the request, queue 1 is for events.
 */
#ifndef TESTS_DAEMON_TRANSPORT_FIXTURE_H
#define TESTS_DAEMON_TRANSPORT_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/fake-frontend.h"
#include "host/daemon/loop.h"
#include "host/daemon/vhost-user.h"

#define ECHO	0
#define EVENTS	1

#define FIXTURE_MAX_HELD	(2 * FF_QUEUE_SIZE)

struct fixture {
	const void *param; /* of a test that has one: its cmocka initial state */
	struct loop *loop;
	struct vu *vu;
	struct ff *ff;
	uint8_t config[64];

	/* What the device was told, in order: S(tarted) s(topped) 0 1 (kicks) M(emory) C(losed). */
	char told[256];
	size_t num_told;
	int how; /* it started last */
	int close_reason;

	/* How the device behaves. */
	bool free_when_closed;
	bool hold; /* keeps the requests instead of answering them */
	struct vq_element *held[FIXTURE_MAX_HELD];
	unsigned int num_held;
	int pop_error; /* the last one of queue 0 that was not -EAGAIN */
};

/* For cmocka: the fixture is the state; the teardown finds descriptors that leaked. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Another front end and back end in place of those there are. */
void fixture_renew(struct fixture *f);

/* Forgets what the device was told. */
void fixture_forget(struct fixture *f);

/* Fails the test if the device was told anything else since the last time. */
void fixture_expect(struct fixture *f, const char *told);

/* One request and its answer: fails the test if the device does not work. */
void fixture_echo(struct fixture *f);

/* The device speaks: as vq_pop(). */
int fixture_event(struct fixture *f, const void *data, uint32_t size);

/* Answers the held request with its own first size bytes. */
void fixture_answer(struct fixture *f, unsigned int held, uint32_t size);

/* Lets everything run that is ready. */
void fixture_settle(struct fixture *f);

#endif /* TESTS_DAEMON_TRANSPORT_FIXTURE_H */
