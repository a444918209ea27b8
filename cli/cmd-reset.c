/* SPDX-License-Identifier: MIT */
/*
 * reset: the guest takes all buffers of a device back.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/cleanup.h"

static void say(struct ctl *ctl, struct bufshare_device *dev, uint64_t id)
{
	struct bufshare_buffer_info info;

	if (bufshare_device_get_buffer_info(dev, id, &info) == 0)
		note(ctl, "would take back buffer %" PRIu64 " of %s", id, info.application);
}

int cmd_reset(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_free_ uint64_t *ids = NULL;
	bool dry_run = false;
	size_t n, i;
	int c, r;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		if (c != 'n')
			return EXIT_USAGE;
		dry_run = true;
	}
	if (optind < argc)
		return usage(ctl, "takes no argument");
	r = open_device(ctl, &dev);
	if (r != EXIT_OK)
		return r;
	r = bufshare_device_list_buffers(dev, 1, &ids, &n);
	if (r == 0 && dry_run) {
		for (i = 0; i < n; i++)
			say(ctl, dev, ids[i]);
		return EXIT_OK;
	}
	if (r == 0)
		r = bufshare_device_reset(dev, 1);
	if (r < 0)
		return fail(ctl, r, r == -EACCES ? "run it as root" : NULL,
			    "cannot take back the buffers of other programs");
	note(ctl, "%zu taken back; their programs are told", n);
	return EXIT_OK;
}
