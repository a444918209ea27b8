/* SPDX-License-Identifier: MIT */
/*
 * get: properties of a buffer.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

int guest_properties(struct ctl *ctl, struct bufshare_device *dev, uint64_t id,
		     struct json_object **properties)
{
	_cleanup_free_ uint64_t *ids = NULL;
	_cleanup_free_ char **list = NULL;
	size_t n, i;
	bool may_see;
	int r;

	/* Listing all is what gives root the right to look at others' buffers. */
	may_see = bufshare_device_list_buffers(dev, 1, &ids, &n) == 0;
	r = bufshare_device_dup_buffer_properties(dev, id, &list);
	if (r == -ENOENT)
		return fail(ctl, r, may_see ? "bufsharectl buffers lists those there are" :
					      "or it is another program's, which only root sees",
			    "no buffer %" PRIu64, id);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot look at buffer %" PRIu64, id);
	*properties = json_object_new_object();
	for (i = 0; list[i]; i++) {
		char *equals = strchr(list[i], '=');

		if (!equals)
			continue;
		*equals = '\0';
		json_add_string(*properties, list[i], equals + 1);
	}
	return EXIT_OK;
}

struct json_object *host_properties(const struct bufshare_host_buffer *buf)
{
	struct json_object *properties = json_object_new_object();
	const char *name = NULL, *text;

	while (bufshare_host_buffer_next_property(buf, &name) == 0)
		if (bufshare_host_buffer_get_property(buf, name, &text) == 0)
			json_add_string(properties, name, text);
	return properties;
}

/* ---- get ---- */

/* names: those wanted, NULL-terminated; none: all. */
static int print_properties(struct ctl *ctl, uint64_t id, struct json_object *all, char **names)
{
	_cleanup_(cleanup_json) struct json_object *o = json_new();
	struct json_object *wanted = json_object_new_object(), *value;
	const bool one = names[0] && !names[1];

	json_add_u64(o, "id", id);
	json_object_object_add(o, "properties", wanted);
	if (!names[0]) {
		json_object_object_foreach(all, key, any)
			json_object_object_add(wanted, key, json_object_get(any));
	}
	for (; *names; names++) {
		if (!json_object_object_get_ex(all, *names, &value))
			return fail(ctl, 0, NULL, "buffer %" PRIu64 " has no property %s", id,
				    *names), EXIT_NOT_FOUND;
		json_object_object_add(wanted, *names, json_object_get(value));
	}
	if (ctl->json != JSON_OFF) {
		json_print(ctl, o);
		return EXIT_OK;
	}
	json_object_object_foreach(wanted, name, text) {
		if (!one)
			printf("%s=", name);
		print_value(text);
		putchar('\n');
	}
	return EXIT_OK;
}

static int parse_get(struct ctl *ctl, int argc, char **argv, uint64_t *id)
{
	if (next_option(ctl, argc, argv) != -1)
		return EXIT_USAGE;
	if (optind == argc || !parse_u64(argv[optind], UINT64_MAX, id))
		return usage(ctl, "wants the id of a buffer, and names of properties or none");
	return EXIT_OK;
}

int cmd_get_guest(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_json) struct json_object *all = NULL;
	uint64_t id;
	int status;

	status = parse_get(ctl, argc, argv, &id);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	if (status == EXIT_OK)
		status = guest_properties(ctl, dev, id, &all);
	return status ? status : print_properties(ctl, id, all, argv + optind + 1);
}

int cmd_get_host(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	_cleanup_(cleanup_json) struct json_object *all = NULL;
	uint64_t id;
	int status;

	status = parse_get(ctl, argc, argv, &id);
	if (status == EXIT_OK)
		status = find_host_buffer(ctl, id, &host, &buf);
	if (status != EXIT_OK)
		return status;
	all = host_properties(buf);
	return print_properties(ctl, id, all, argv + optind + 1);
}
