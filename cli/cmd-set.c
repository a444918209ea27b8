/* SPDX-License-Identifier: MIT */
/*
 * set: properties of a buffer. In the guest those of any program's, for root: a program
 * that shares one has bufsharectl share -i for its own. On the host those of its side.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

#define MAX_CHANGES 64
#define CONFIRM_NS 5000000000ull

struct changes {
	uint64_t id;
	char *names[MAX_CHANGES];
	const char *values[MAX_CHANGES]; /* NULL: remove it */
	size_t n;
	bool dry_run;
};

static int add_change(struct ctl *ctl, struct changes *c, char *name, const char *value)
{
	if (c->n == MAX_CHANGES)
		return usage(ctl, "at most %d properties", MAX_CHANGES);
	c->names[c->n] = name;
	c->values[c->n++] = value;
	return EXIT_OK;
}

static int parse_set(struct ctl *ctl, int argc, char **argv, struct changes *c)
{
	int o, i, status = EXIT_OK;

	while (status == EXIT_OK && (o = next_option(ctl, argc, argv)) != -1) {
		switch (o) {
		case 'r':
			status = add_change(ctl, c, optarg, NULL);
			break;
		case 'n':
			c->dry_run = true;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (status == EXIT_OK && (optind == argc || !parse_u64(argv[optind], UINT64_MAX, &c->id)))
		return usage(ctl, "wants the id of a buffer, and NAME=VALUE");
	for (i = optind + 1; status == EXIT_OK && i < argc; i++) {
		char *equals = strchr(argv[i], '=');

		if (!equals)
			return usage(ctl, "%s: not NAME=VALUE; -r NAME removes one", argv[i]);
		*equals = '\0';
		status = add_change(ctl, c, argv[i], equals + 1);
	}
	if (status == EXIT_OK && !c->n)
		return usage(ctl, "nothing to set");
	return status;
}

/* What was changed, or would be; null in JSON is a removal. */
static void tell_changes(struct ctl *ctl, const struct changes *c)
{
	_cleanup_(cleanup_json) struct json_object *o = json_new();
	struct json_object *properties = json_object_new_object();
	size_t i;

	json_add_u64(o, "id", c->id);
	for (i = 0; i < c->n; i++)
		json_object_object_add(properties, c->names[i],
				       c->values[i] ? json_object_new_string(c->values[i]) : NULL);
	json_object_object_add(o, "properties", properties);
	if (ctl->json != JSON_OFF)
		json_print(ctl, o);
	for (i = 0; i < c->n && c->dry_run && ctl->json == JSON_OFF; i++)
		note(ctl, "would %s %s%s%s", c->values[i] ? "set" : "remove", c->names[i],
		     c->values[i] ? " to " : "", c->values[i] ?: "");
}

/* ---- in the guest ---- */

/* Removals of what is not there are told before anything is done. */
static int check_removals(struct ctl *ctl, const struct changes *c, struct json_object *all)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (!c->values[i] && !json_object_object_get_ex(all, c->names[i], NULL))
			return fail(ctl, 0, NULL, "buffer %" PRIu64 " has no property %s", c->id,
				    c->names[i]), EXIT_NOT_FOUND;
	return EXIT_OK;
}

int cmd_set_guest(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_json) struct json_object *all = NULL;
	struct changes c = { 0 };
	size_t i;
	int r;

	r = parse_set(ctl, argc, argv, &c);
	if (r == EXIT_OK)
		r = open_device(ctl, &dev);
	if (r == EXIT_OK)
		r = guest_properties(ctl, dev, c.id, &all);
	if (r == EXIT_OK)
		r = check_removals(ctl, &c, all);
	if (r != EXIT_OK)
		return r;
	for (i = 0; i < c.n && !c.dry_run; i++) {
		r = bufshare_device_set_buffer_property(dev, c.id, c.names[i], c.values[i]);
		if (r < 0)
			return fail(ctl, r, property_hint(r), "cannot set %s", c.names[i]);
	}
	tell_changes(ctl, &c);
	return EXIT_OK;
}

/* ---- on the host ---- */

static int host_set_failed(struct ctl *ctl, const char *name, int r)
{
	const char *hint = NULL;

	if (r == -EINVAL || r == -EPERM)
		hint = "a name of the host is \"host.\" with small letters, digits, \".\", \"_\" "
		       "and \"-\", a value is UTF-8";
	else if (r == -EACCES)
		hint = "the daemon lets you look only";
	return fail(ctl, r, hint, "cannot set %s", name);
}

static bool is_set(const struct changes *c, struct bufshare_host_buffer *buf)
{
	const char *value;
	size_t i;

	for (i = 0; i < c->n; i++) {
		int r = bufshare_host_buffer_get_property(buf, c->names[i], &value);

		if (c->values[i] ? r < 0 || strcmp(value, c->values[i]) != 0 : r != -ENOENT)
			return false;
	}
	return true;
}

/* The daemon tells everybody of a change, also who made it. */
static int confirm(struct ctl *ctl, const struct changes *c, struct bufshare_host *host,
		   struct bufshare_host_buffer *buf)
{
	const uint64_t deadline = now_ns() + CONFIRM_NS;
	struct bufshare_event ev;
	int r;

	while (!is_set(c, buf)) {
		r = bufshare_host_read_event(host, &ev);
		if (r == 0)
			continue;
		if (r == -EAGAIN)
			r = wait_for(ctl, bufshare_host_get_fd(host), deadline);
		if (r == 0)
			return fail(ctl, -ETIMEDOUT, "are there too many, or is the buffer gone?",
				    "the daemon did not take the properties of buffer %" PRIu64, c->id);
		if (r < 0)
			return fail(ctl, r, NULL, "the daemon is gone");
	}
	return EXIT_OK;
}

int cmd_set_host(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	struct changes c = { 0 };
	size_t i;
	int r;

	r = parse_set(ctl, argc, argv, &c);
	if (r == EXIT_OK)
		r = find_host_buffer(ctl, c.id, &host, &buf);
	if (r != EXIT_OK)
		return r;
	for (i = 0; i < c.n && !c.dry_run; i++) {
		r = bufshare_host_buffer_set_property(buf, c.names[i], c.values[i]);
		if (r < 0)
			return host_set_failed(ctl, c.names[i], r);
	}
	r = c.dry_run ? EXIT_OK : confirm(ctl, &c, host, buf);
	if (r == EXIT_OK)
		tell_changes(ctl, &c);
	return r;
}
