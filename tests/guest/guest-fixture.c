/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "guest/guest-fixture.h"

int guest_setup(void **state)
{
	static struct guest g;

	if (fake_machine_setup(NULL) != 0)
		return -1;
	g.fake = fake_device_add(&(struct fake_config){ .label = "desk" });
	if (bufshare_device_new_from_label(NULL, &g.dev) != 0 || bufshare_device_open(g.dev) != 0)
		return -1;
	*state = &g;
	return 0;
}

int guest_teardown(void **state)
{
	struct guest *g = *state;

	bufshare_device_unref(g->dev);
	return fake_machine_teardown(NULL);
}

struct bufshare_buffer *guest_buffer(struct guest *g)
{
	struct bufshare_buffer *buf;

	assert_int_equal(bufshare_buffer_new(g->dev, 1, &buf), 0);
	return buf;
}

struct bufshare_buffer *guest_registered(struct guest *g)
{
	struct bufshare_buffer *buf = guest_buffer(g);

	bufshare_buffer_set_user_data(buf, 77);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	return buf;
}
