/* SPDX-License-Identifier: MIT */
/*
 * record: everything a guest shares, as it happens, to a file that replay takes.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/file.h"
#include "cli/host-events.h"
#include "cli/recording.h"
#include "common/cleanup.h"

struct recorder {
	struct ctl *ctl;
	const char *application;
	uint64_t count; /* updates; 0: no end */
	uint64_t idle_ns; /* 0: none */
	struct bufshare_host *host;
	FILE *stream;
	uint64_t start, updates, bytes;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct recorder *r, const char **file)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 'a':
			r->application = optarg;
			break;
		case 'n':
			if (!number_option(ctl, c, 0, UINT64_MAX, &r->count))
				return EXIT_USAGE;
			break;
		case 'i':
			if (!seconds_option(ctl, c, &r->idle_ns))
				return EXIT_USAGE;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc)
		return usage(ctl, "wants one file");
	*file = argv[optind];
	return EXIT_OK;
}

static struct json_object *new_record(struct recorder *r, const char *what, uint64_t buffer)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, RECORDING_RECORD, what);
	json_add_u64(o, "at_ns", now_ns() - r->start);
	if (buffer)
		json_add_u64(o, "buffer", buffer);
	return o;
}

/* Those of the guest: the host's are not the guest's to repeat. */
static void add_properties(struct json_object *o, const struct bufshare_host_buffer *buf)
{
	struct json_object *all = json_object_new_object();
	const char *name = NULL, *value;

	while (bufshare_host_buffer_next_property(buf, &name) == 0)
		if (strncmp(name, "host.", 5) != 0 &&
		    bufshare_host_buffer_get_property(buf, name, &value) == 0)
			json_add_string(all, name, value);
	json_object_object_add(o, "properties", all);
}

static int write_contents(struct recorder *r, struct json_object *o,
			  struct bufshare_host_buffer *buf)
{
	const uint64_t size = bufshare_host_buffer_get_size(buf);
	const void *map;
	int e;

	e = bufshare_host_buffer_map(buf, &map);
	if (e == 0)
		e = bufshare_host_buffer_begin_read(buf);
	if (e < 0)
		return e;
	e = recording_write(r->stream, o, map, size);
	bufshare_host_buffer_end_read(buf);
	r->bytes += size;
	return e;
}

static int record_added(struct recorder *r, const struct bufshare_event *ev,
			struct bufshare_host_buffer *buf)
{
	_cleanup_(cleanup_json) struct json_object *o = new_record(r, "added", ev->buffer_id);
	uint8_t uuid[BUFSHARE_UUID_SIZE];

	bufshare_host_buffer_get_uuid(buf, uuid);
	json_add_string(o, "application", bufshare_host_buffer_get_application(buf));
	json_add_u64(o, "size", bufshare_host_buffer_get_size(buf));
	json_add_uuid(o, "uuid", uuid);
	json_add_u64(o, "seq", ev->seq);
	add_properties(o, buf);
	return ev->seq ? write_contents(r, o, buf) : recording_write(r->stream, o, NULL, 0);
}

static int record_updated(struct recorder *r, const struct bufshare_event *ev,
			  struct bufshare_host_buffer *buf)
{
	_cleanup_(cleanup_json) struct json_object *o = new_record(r, "updated", ev->buffer_id);
	int e;

	json_add_u64(o, "seq", ev->seq);
	json_add_u64(o, "guest_time_ns", ev->guest_time_ns);
	json_object_object_add(o, "damage", host_damage(buf));
	e = write_contents(r, o, buf);
	bufshare_host_buffer_release(buf, ev->seq);
	r->updates++;
	return e;
}

static int record_properties(struct recorder *r, const struct bufshare_event *ev,
			     struct bufshare_host_buffer *buf)
{
	_cleanup_(cleanup_json) struct json_object *o = new_record(r, "properties", ev->buffer_id);

	add_properties(o, buf);
	return recording_write(r->stream, o, NULL, 0);
}

static int record_removed(struct recorder *r, const struct bufshare_event *ev)
{
	_cleanup_(cleanup_json) struct json_object *o = new_record(r, "removed", ev->buffer_id);

	json_add_string(o, "reason", reason_name(ev->value));
	return recording_write(r->stream, o, NULL, 0);
}

static int record(struct recorder *r, const struct bufshare_event *ev)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;

	if (ev->type == BUFSHARE_EVENT_REMOVED)
		return record_removed(r, ev);
	if (!ev->buffer_id || bufshare_host_get_buffer(r->host, ev->buffer_id, &buf) < 0)
		return 0;
	switch (ev->type) {
	case BUFSHARE_EVENT_ADDED:
		return ev->flags & BUFSHARE_ADDED_AGAIN ? record_properties(r, ev, buf) :
							  record_added(r, ev, buf);
	case BUFSHARE_EVENT_UPDATED:
		return record_updated(r, ev, buf);
	case BUFSHARE_EVENT_PROPERTIES:
		return record_properties(r, ev, buf);
	default:
		return 0;
	}
}

static int begin(struct recorder *r)
{
	_cleanup_(cleanup_json) struct json_object *o = json_object_new_object();

	r->start = now_ns();
	json_add_u64(o, RECORDING_KEY, RECORDING_VERSION);
	json_add_string(o, "label", bufshare_host_get_label(r->host));
	json_add_string(o, "application", r->application);
	return recording_write(r->stream, o, NULL, 0);
}

/* 0: it is over. -ENOTCONN: so is the daemon, which ends a recording like anything else. */
static int follow(struct recorder *r)
{
	struct bufshare_event ev;
	int e;

	e = begin(r);
	while (e == 0 && (!r->count || r->updates < r->count)) {
		e = bufshare_host_read_event(r->host, &ev);
		if (e == 0) {
			e = record(r, &ev);
			continue;
		}
		if (e == -EAGAIN)
			e = wait_for(r->ctl, bufshare_host_get_fd(r->host),
				     r->idle_ns ? now_ns() + r->idle_ns : 0);
		if (e == 0 || e == -EINTR)
			return 0;
		if (e > 0)
			e = 0;
	}
	return e;
}

int cmd_record(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	struct recorder r = { .ctl = ctl, .application = "*" };
	struct new_file file;
	const char *path = NULL;
	int e, gone, status;

	status = parse(ctl, argc, argv, &r, &path);
	if (status == EXIT_OK)
		status = connect_host(ctl, r.application, &host);
	if (status != EXIT_OK)
		return status;
	e = new_file_begin(&file, path);
	if (e < 0)
		return fail(ctl, e, NULL, "cannot write %s", path);
	r.host = host;
	r.stream = file.stream;
	e = follow(&r);
	gone = e == -ENOTCONN || e == -EPROTO || e == -EACCES ? e : 0;
	if (e < 0 && !gone)
		new_file_fail(&file, e);
	e = new_file_finish(&file);
	if (e < 0)
		return fail(ctl, e, e == -ENOSPC ? "nothing was left behind" : NULL,
			    "cannot write %s", path);
	note(ctl, "%" PRIu64 " updates, %" PRIu64 " bytes", r.updates, r.bytes);
	return gone ? fail(ctl, gone, "what came before is recorded", "the daemon is gone") : EXIT_OK;
}
