/* SPDX-License-Identifier: MIT */
/*
 * reset: the guest takes all buffers of a device back.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/cleanup.h"

/* What is taken back, or would be. */
static struct json_object *describe(struct bufshare_device *dev, const uint64_t *ids, size_t n)
{
	struct json_object *list = json_object_new_array();
	struct bufshare_buffer_info info;
	size_t i;

	for (i = 0; i < n; i++) {
		struct json_object *o;

		if (bufshare_device_get_buffer_info(dev, ids[i], &info) < 0)
			continue; /* gone since */
		o = json_object_new_object();
		json_add_u64(o, "id", ids[i]);
		json_add_string(o, "application", info.application);
		json_object_array_add(list, o);
	}
	return list;
}

static void tell(struct ctl *ctl, struct json_object *list, bool dry_run)
{
	size_t n = json_object_array_length(list), i;

	if (ctl->json != JSON_OFF)
		print_list(ctl, "buffers", list, NULL);
	else if (!dry_run)
		note(ctl, "%zu taken back; their programs are told", n);
	for (i = 0; i < n && dry_run && ctl->json == JSON_OFF; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);

		note(ctl, "would take back buffer %s of %s",
		     json_object_get_string(json_object_object_get(o, "id")),
		     json_object_get_string(json_object_object_get(o, "application")));
	}
}

int cmd_reset(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_json) struct json_object *list = NULL;
	_cleanup_free_ uint64_t *ids = NULL;
	bool dry_run = false;
	size_t n;
	int c, r;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		if (c != 'n')
			return EXIT_USAGE;
		dry_run = true;
	}
	if (!no_argument_left(ctl, argc))
		return EXIT_USAGE;
	r = open_device(ctl, &dev);
	if (r != EXIT_OK)
		return r;
	r = bufshare_device_list_buffers(dev, 1, &ids, &n);
	if (r == 0)
		list = describe(dev, ids, n);
	if (r == 0 && !dry_run)
		r = bufshare_device_reset(dev, 1);
	if (r < 0)
		return fail(ctl, r, r == -EACCES ? "run it as root" : NULL,
			    "cannot take back the buffers of other programs");
	tell(ctl, list, dry_run);
	return EXIT_OK;
}
