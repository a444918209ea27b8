/* SPDX-License-Identifier: MIT */
/*
 * monitor: events as they come, on either side.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/cleanup.h"

struct monitor {
	struct ctl *ctl;
	const char *application;
	uint64_t count; /* 0: no end */
	uint64_t idle_ns; /* 0: none */
	struct bufshare_device *dev;
	struct bufshare_host *host;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct monitor *m)
{
	bool ok = true;
	int c;

	while (ok && (c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 'a':
			m->application = optarg;
			break;
		case 'n':
			ok = parse_u64(optarg, UINT64_MAX, &m->count);
			break;
		case 'i':
			ok = parse_seconds(optarg, &m->idle_ns);
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (!ok)
		return usage(ctl, "%s: not a number", optarg);
	if (optind < argc)
		return usage(ctl, "takes no argument");
	return EXIT_OK;
}

/* A monitor looks on: what it is given it gives back, so that nobody waits for it. */
static int next_event(struct monitor *m, struct bufshare_event *ev)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	int r;

	if (!m->host)
		return bufshare_device_read_event(m->dev, ev);
	r = bufshare_host_read_event(m->host, ev);
	if (r == 0 && ev->type == BUFSHARE_EVENT_UPDATED &&
	    bufshare_host_get_buffer(m->host, ev->buffer_id, &buf) == 0)
		bufshare_host_buffer_release(buf, ev->seq);
	return r;
}

static void add_buffer(struct monitor *m, const struct bufshare_event *ev, struct json_object *o)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;

	if (!m->host || ev->type != BUFSHARE_EVENT_ADDED ||
	    bufshare_host_get_buffer(m->host, ev->buffer_id, &buf) < 0)
		return;
	json_add_string(o, "application", bufshare_host_buffer_get_application(buf));
	json_add_u64(o, "size", bufshare_host_buffer_get_size(buf));
	json_add_string(o, "path", path_name(bufshare_host_buffer_get_path(buf)));
}

static void print_event(struct monitor *m, const struct bufshare_event *ev)
{
	_cleanup_(cleanup_json) struct json_object *o = event_json(ev);
	bool first = true;

	add_buffer(m, ev, o);
	if (m->ctl->json != JSON_OFF) {
		json_print(m->ctl, o);
		return;
	}
	json_object_object_foreach(o, key, value) {
		if (key[0] == 's' && key[1] == 'c' && key[2] == 'h')
			continue; /* the schema is for programs */
		printf(first ? "%s%s" : "  %s %s", first ? "" : key, json_object_get_string(value));
		first = false;
	}
	putchar('\n');
	fflush(stdout);
}

static int watch(struct monitor *m)
{
	int fd = m->host ? bufshare_host_get_fd(m->host) : bufshare_device_get_fd(m->dev);
	struct bufshare_event ev;
	uint64_t n = 0;
	int r;

	while (!m->count || n < m->count) {
		r = next_event(m, &ev);
		if (r == 0) {
			print_event(m, &ev);
			n++;
			continue;
		}
		if (r == -EAGAIN)
			r = wait_for(m->ctl, fd, m->idle_ns ? now_ns() + m->idle_ns : 0);
		if (r == -EINTR || r == 0)
			return EXIT_OK;
		if (r < 0)
			return fail(m->ctl, r, NULL, "the other side is gone");
	}
	return EXIT_OK;
}

int cmd_monitor(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	struct monitor m = { .ctl = ctl, .application = "*" };
	int status;

	status = parse(ctl, argc, argv, &m);
	if (status != EXIT_OK)
		return status;
	status = ctl->socket ? connect_host(ctl, m.application, &host) : open_device(ctl, &dev);
	if (status != EXIT_OK)
		return status;
	m.host = host;
	m.dev = dev;
	return watch(&m);
}
