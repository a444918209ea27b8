/* SPDX-License-Identifier: MIT */
/*
 * top, in the guest: how often which buffer is updated and released.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "common/cleanup.h"

struct top {
	struct ctl *ctl;
	struct bufshare_device *dev;
};

static int look(void *data, struct json_object **list)
{
	_cleanup_(cleanup_json) struct json_object *all = json_object_new_array();
	_cleanup_free_ uint64_t *ids = NULL;
	struct bufshare_buffer_info info;
	struct top *top = data;
	size_t n, i;
	int r;

	r = bufshare_device_list_buffers(top->dev, 1, &ids, &n);
	if (r < 0)
		return fail(top->ctl, r, r == -EACCES ? "run it as root" : NULL,
			    "cannot see the buffers of other programs");
	for (i = 0; i < n; i++) {
		struct json_object *o;

		if (bufshare_device_get_buffer_info(top->dev, ids[i], &info) < 0)
			continue; /* gone since */
		o = json_object_new_object();
		json_add_u64(o, "id", info.id);
		json_add_string(o, "application", info.application);
		json_add_u64(o, "size", info.size);
		json_add_string(o, "path", path_name((int)info.path));
		json_add_u64(o, "consumers", info.consumers);
		json_add_u64(o, "updates", info.seq);
		json_add_u64(o, "released", info.released);
		json_add_u64(o, "in_flight", info.seq - info.released);
		json_object_array_add(all, o);
	}
	*list = steal_ptr(&all);
	return EXIT_OK;
}

/* This program has no buffers, so these are events of the device. */
static int drain(void *data)
{
	struct top *top = data;
	struct bufshare_event ev;
	int r;

	while ((r = bufshare_device_read_event(top->dev, &ev)) == 0)
		;
	return r == -EAGAIN ? EXIT_OK : fail(top->ctl, r, NULL, "the device is gone");
}

int cmd_top_guest(struct ctl *ctl, int argc, char **argv)
{
	static const char *const counters[] = { "updates", "released", NULL };
	static const char *const columns[] = { "id", "application", "size", "path", "consumers",
					       "in_flight", "updates/s", "released/s", NULL };
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	struct rates rates = { .ctl = ctl, .counters = counters, .columns = columns, .fd = -1,
			       .drain = drain };
	struct top top = { .ctl = ctl };
	int status;

	status = rates_parse(ctl, argc, argv, &rates);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	if (status != EXIT_OK)
		return status;
	top.dev = dev;
	rates.fd = bufshare_device_get_fd(dev);
	return rates_run(&rates, look, &top);
}
