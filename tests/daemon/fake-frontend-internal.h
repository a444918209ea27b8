/* SPDX-License-Identifier: MIT */
/* What the two halves of the fake VMM share: fake-frontend.c and fake-driver.c. */
#ifndef TESTS_DAEMON_FAKE_FRONTEND_INTERNAL_H
#define TESTS_DAEMON_FAKE_FRONTEND_INTERNAL_H

#include "daemon/fake-frontend.h"

/* When what is waited for from now on has to be there. */
uint64_t ff_deadline(void);

/* Lets the back end run; fails the test after the deadline. */
void ff_pump(struct ff *ff, uint64_t deadline);

/* Gives a queue its rings and buffers. */
void ff_driver_new(struct ff *ff, struct ff_queue *queue);

/* Forgets everything, as a driver that starts does. */
void ff_driver_reset(struct ff *ff, struct ff_queue *queue);

#endif /* TESTS_DAEMON_FAKE_FRONTEND_INTERNAL_H */
