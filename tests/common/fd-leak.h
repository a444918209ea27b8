/* SPDX-License-Identifier: MIT */
/*
 * Setup and teardown of cmocka: a test that leaves a descriptor open, or closes one
 * that it did not open, fails.
 */
#ifndef TESTS_FD_LEAK_H
#define TESTS_FD_LEAK_H

int fd_leak_setup(void **state);
int fd_leak_teardown(void **state);

/* How many descriptors this process has open. */
int fd_count(void);

#endif /* TESTS_FD_LEAK_H */
