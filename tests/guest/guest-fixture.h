/* SPDX-License-Identifier: MIT */
/*
 * What most tests of libbufshare begin with: a machine with one device, opened.
 */
#ifndef TESTS_GUEST_FIXTURE_H
#define TESTS_GUEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bufshare.h>

#include "guest/fake-drm.h"

struct guest {
	struct fake_device *fake;
	struct bufshare_device *dev;
};

/* *state becomes a struct guest; teardown checks that nothing is left. */
int guest_setup(void **state);
int guest_teardown(void **state);

/* A buffer of a page, a registered one, and the end of either. */
struct bufshare_buffer *guest_buffer(struct guest *g);
struct bufshare_buffer *guest_registered(struct guest *g);

#define guest_test(f) cmocka_unit_test_setup_teardown(f, guest_setup, guest_teardown)
#define machine_test(f) \
	cmocka_unit_test_setup_teardown(f, fake_machine_setup, fake_machine_teardown)

#endif /* TESTS_GUEST_FIXTURE_H */
