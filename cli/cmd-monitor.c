/* SPDX-License-Identifier: MIT */
/*
 * monitor: events as they come, on either side.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

struct monitor {
	struct ctl *ctl;
	const char *application;
	const char *format; /* NULL: none */
	uint64_t count; /* 0: no end */
	uint64_t idle_ns; /* 0: none */
	struct bufshare_device *dev;
	struct bufshare_host *host;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct monitor *m)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 'a':
			m->application = optarg;
			break;
		case 'F':
			if (format_check(ctl, optarg))
				return EXIT_USAGE;
			m->format = optarg;
			break;
		case 'n':
			if (!number_option(ctl, c, 0, UINT64_MAX, &m->count))
				return EXIT_USAGE;
			break;
		case 'i':
			if (!seconds_option(ctl, c, &m->idle_ns))
				return EXIT_USAGE;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	return no_argument_left(ctl, argc) ? EXIT_OK : EXIT_USAGE;
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

static void add_damage(const struct bufshare_host_buffer *buf, struct json_object *o)
{
	struct json_object *list, *one;
	const struct bufshare_rect *rects;
	size_t n, i, k;

	if (bufshare_host_buffer_get_damage(buf, &rects, &n) < 0 || !n)
		return;
	list = json_object_new_array();
	for (i = 0; i < n; i++) {
		const uint32_t numbers[] = { rects[i].x, rects[i].y, rects[i].width,
					     rects[i].height };

		one = json_object_new_array();
		for (k = 0; k < ARRAY_SIZE(numbers); k++)
			json_object_array_add(one, json_object_new_uint64(numbers[k]));
		json_object_array_add(list, one);
	}
	json_object_object_add(o, "damage", list);
}

/* What the host knows of the buffer; of a removed one nothing. */
static void add_buffer(struct monitor *m, const struct bufshare_event *ev, struct json_object *o)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;

	if (!m->host || !ev->buffer_id ||
	    bufshare_host_get_buffer(m->host, ev->buffer_id, &buf) < 0)
		return;
	json_add_string(o, "application", bufshare_host_buffer_get_application(buf));
	if (ev->type == BUFSHARE_EVENT_ADDED) {
		json_add_u64(o, "size", bufshare_host_buffer_get_size(buf));
		json_add_string(o, "path", path_name(bufshare_host_buffer_get_path(buf)));
	} else if (ev->type == BUFSHARE_EVENT_UPDATED) {
		add_damage(buf, o);
	}
}

static int event_style(const struct bufshare_event *ev)
{
	switch (ev->type) {
	case BUFSHARE_EVENT_ADDED:
	case BUFSHARE_EVENT_RESTARTED:
		return STYLE_GOOD;
	case BUFSHARE_EVENT_OVERFLOW:
	case BUFSHARE_EVENT_REVOKED:
	case BUFSHARE_EVENT_STATE:
		return STYLE_WARN;
	case BUFSHARE_EVENT_REMOVED:
	case BUFSHARE_EVENT_BUFFER_LOST:
	case BUFSHARE_EVENT_DEVICE_LOST:
		return STYLE_BAD;
	default:
		return STYLE_TITLE;
	}
}

static void print_words(const struct monitor *m, const struct bufshare_event *ev,
			struct json_object *o)
{
	json_object_object_foreach(o, key, value) {
		if (strcmp(key, "schema") == 0)
			continue; /* is for programs */
		if (strcmp(key, "event") == 0) {
			printf("%s%s%s", style(m->ctl, event_style(ev)),
			       json_object_get_string(value), style(m->ctl, STYLE_NONE));
			continue;
		}
		printf("  %s ", key);
		print_value(value);
	}
	putchar('\n');
	flush_output();
}

static void print_event(struct monitor *m, const struct bufshare_event *ev)
{
	_cleanup_(cleanup_json) struct json_object *o = event_json(ev);

	add_buffer(m, ev, o);
	if (m->format)
		format_print(m->format, o);
	else if (m->ctl->json != JSON_OFF)
		json_print(m->ctl, o);
	else
		print_words(m, ev, o);
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
			if (ferror(stdout))
				return EXIT_FAILED; /* nobody reads; main() says so */
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
