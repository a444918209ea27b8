/* SPDX-License-Identifier: MIT */
/*
 * devices, buffers, show: what there is.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/ids.h"
#include "common/cleanup.h"

static void add_limit(struct json_object *o, const struct bufshare_device *dev, const char *key,
		      int limit)
{
	uint64_t value = 0;

	bufshare_device_get_limit(dev, limit, &value);
	json_add_u64(o, key, value);
}

static void add_subsystem(struct json_object *o, const struct bufshare_device *dev)
{
	_cleanup_free_ char *name = NULL;
	uint16_t vendor, device;
	char ids[16];

	bufshare_device_get_subsystem(dev, &vendor, &device);
	snprintf(ids, sizeof(ids), "%04x:%04x", vendor, device);
	name = ids_lookup(vendor, device);
	json_add_string(o, "subsystem", ids);
	json_add_string(o, "subsystem_name", name ?: "");
}

static struct json_object *describe(const struct bufshare_device *dev)
{
	struct json_object *o = json_object_new_object();
	uint8_t uuid[BUFSHARE_UUID_SIZE];

	bufshare_device_get_uuid(dev, uuid);
	json_add_string(o, "label", bufshare_device_get_label(dev));
	json_add_string(o, "application", bufshare_device_get_application(dev));
	json_add_string(o, "node", bufshare_device_get_path(dev));
	json_add_string(o, "card", bufshare_device_get_card_path(dev));
	json_add_string(o, "name", bufshare_device_get_name(dev));
	add_subsystem(o, dev);
	json_add_uuid(o, "uuid", uuid);
	add_limit(o, dev, "max_buffers", BUFSHARE_LIMIT_BUFFERS);
	add_limit(o, dev, "max_buffer_size", BUFSHARE_LIMIT_BUFFER_SIZE);
	add_limit(o, dev, "max_ranges", BUFSHARE_LIMIT_RANGES);
	return o;
}

int cmd_devices(struct ctl *ctl, int argc, char **argv)
{
	static const char *const keys[] = { "label", "application", "node", "name", "subsystem",
					    "subsystem_name", NULL };
	_cleanup_(cleanup_json) struct json_object *list = json_object_new_array();
	struct bufshare_device **devs;
	size_t n, i;
	int r;

	if (!no_arguments(ctl, argc, argv))
		return EXIT_USAGE;
	r = bufshare_device_enumerate(&devs, &n);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot look for devices");
	for (i = 0; i < n; i++)
		json_object_array_add(list, describe(devs[i]));
	bufshare_device_list_free(devs, n);
	print_list(ctl, "devices", list, keys);
	if (!n)
		note(ctl, "no device; is the driver loaded? (bufsharectl load)");
	return EXIT_OK;
}

static const char *const buffer_keys[] = { "id", "application", "size", "seq", "path", NULL };

/* ---- in the guest ---- */

static struct json_object *guest_buffer(const struct bufshare_buffer_info *info)
{
	struct json_object *o = json_object_new_object();

	json_add_u64(o, "id", info->id);
	json_add_string(o, "application", info->application);
	json_add_u64(o, "size", info->size);
	json_add_u64(o, "seq", info->seq);
	json_add_u64(o, "released", info->released);
	json_add_string(o, "path", path_name((int)info->path));
	json_add_u64(o, "ranges", info->num_ranges);
	json_add_u64(o, "consumers", info->consumers);
	json_add_uuid(o, "uuid", info->uuid);
	if (info->lost)
		json_object_object_add(o, "lost", json_object_new_boolean(1));
	return o;
}

static int guest_buffers(struct ctl *ctl, bool all)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_json) struct json_object *list = json_object_new_array();
	_cleanup_free_ uint64_t *ids = NULL;
	struct bufshare_buffer_info info;
	size_t n, i;
	int r;

	r = open_device(ctl, &dev);
	if (r)
		return r;
	/* This program has none of its own: what it can show are the others'. */
	r = bufshare_device_list_buffers(dev, 1, &ids, &n);
	if (r == -EACCES && !all) {
		note(ctl, "only root sees the buffers of other programs");
		r = bufshare_device_list_buffers(dev, 0, &ids, &n);
	}
	if (r < 0)
		return fail(ctl, r, r == -EACCES ? "run it as root" : NULL, "cannot list buffers");
	for (i = 0; i < n; i++)
		if (bufshare_device_get_buffer_info(dev, ids[i], &info) == 0)
			json_object_array_add(list, guest_buffer(&info));
	print_list(ctl, "buffers", list, buffer_keys);
	return EXIT_OK;
}

/* The buffer's own keys behind the schema, then its properties. */
static void print_buffer(struct ctl *ctl, struct json_object *o, struct json_object *properties)
{
	_cleanup_(cleanup_json) struct json_object *all = json_new();

	json_object_object_foreach(o, key, value)
		json_object_object_add(all, key, json_object_get(value));
	json_object_object_add(all, "properties", properties);
	print_object(ctl, all);
}

static int guest_show(struct ctl *ctl, uint64_t id)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_json) struct json_object *o = NULL;
	struct json_object *properties;
	struct bufshare_buffer_info info;
	int r;

	r = open_device(ctl, &dev);
	if (r == EXIT_OK)
		r = guest_properties(ctl, dev, id, &properties);
	if (r != EXIT_OK)
		return r;
	r = bufshare_device_get_buffer_info(dev, id, &info);
	if (r < 0) {
		json_object_put(properties);
		return fail(ctl, r, NULL, "cannot show buffer %" PRIu64, id);
	}
	o = guest_buffer(&info);
	print_buffer(ctl, o, properties);
	return EXIT_OK;
}

/* ---- on the host ---- */

static const char *const host_buffer_keys[] = {
	"id", "application", "size", "seq", "path", "why", NULL,
};

static struct json_object *host_buffer(const struct bufshare_host_buffer *buf)
{
	const char *why = copy_reason_name(bufshare_host_buffer_get_copy_reason(buf));
	struct json_object *o = json_object_new_object();
	uint8_t uuid[BUFSHARE_UUID_SIZE];

	json_add_u64(o, "id", bufshare_host_buffer_get_id(buf));
	json_add_string(o, "application", bufshare_host_buffer_get_application(buf));
	json_add_u64(o, "size", bufshare_host_buffer_get_size(buf));
	json_add_u64(o, "seq", bufshare_host_buffer_get_seq(buf));
	json_add_string(o, "path", path_name(bufshare_host_buffer_get_path(buf)));
	if (why)
		json_add_string(o, "why", why);
	bufshare_host_buffer_get_uuid(buf, uuid);
	json_add_uuid(o, "uuid", uuid);
	return o;
}

static int host_buffers(struct ctl *ctl)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	_cleanup_(cleanup_json) struct json_object *list = json_object_new_array();
	uint64_t id = 0;
	int r;

	r = connect_host(ctl, "*", &host);
	if (r == 0)
		r = sync_host(ctl, host);
	if (r)
		return r;
	while (bufshare_host_next_buffer(host, &id) == 0) {
		_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;

		if (bufshare_host_get_buffer(host, id, &buf) == 0)
			json_object_array_add(list, host_buffer(buf));
	}
	print_list(ctl, "buffers", list, host_buffer_keys);
	return EXIT_OK;
}

static int host_show(struct ctl *ctl, uint64_t id)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	_cleanup_(cleanup_json) struct json_object *o = NULL;
	int r;

	r = find_host_buffer(ctl, id, &host, &buf);
	if (r != EXIT_OK)
		return r;
	o = host_buffer(buf);
	print_buffer(ctl, o, host_properties(buf));
	return EXIT_OK;
}

/* ---- the verbs ---- */

static int parse_buffers(struct ctl *ctl, int argc, char **argv, bool *all)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		if (c != 'a')
			return EXIT_USAGE;
		*all = true;
	}
	return no_argument_left(ctl, argc) ? EXIT_OK : EXIT_USAGE;
}

int cmd_buffers_guest(struct ctl *ctl, int argc, char **argv)
{
	bool all = false;
	int status = parse_buffers(ctl, argc, argv, &all);

	return status ? status : guest_buffers(ctl, all);
}

int cmd_buffers_host(struct ctl *ctl, int argc, char **argv)
{
	bool all = false;
	int status = parse_buffers(ctl, argc, argv, &all);

	return status ? status : host_buffers(ctl);
}

int cmd_show_guest(struct ctl *ctl, int argc, char **argv)
{
	uint64_t id;

	if (next_option(ctl, argc, argv) != -1 || !id_argument(ctl, argc, argv, &id))
		return EXIT_USAGE;
	return guest_show(ctl, id);
}

int cmd_show_host(struct ctl *ctl, int argc, char **argv)
{
	uint64_t id;

	if (next_option(ctl, argc, argv) != -1 || !id_argument(ctl, argc, argv, &id))
		return EXIT_USAGE;
	return host_show(ctl, id);
}
