/* SPDX-License-Identifier: MIT */
/*
 * monitor: events as they come, on either side.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/host-events.h"
#include "cli/watch.h"
#include "common/cleanup.h"

struct monitor {
	struct ctl *ctl;
	const char *application;
	const char *format; /* NULL: none */
	uint64_t count; /* 0: no end */
	uint64_t idle_ns; /* 0: none */
	uint64_t interval_ns; /* between two looks at the guest's buffers */
	struct bufshare_device *dev;
	struct watch *buffers; /* of the guest, for root; NULL: not to be seen */
	struct bufshare_host *host;
	struct bufshare_buffer_info info; /* of the guest's buffer that an event is about */
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
		case 's':
			if (!seconds_option(ctl, c, &m->interval_ns))
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
	int r;

	m->info.id = 0;
	if (m->host)
		return host_look_on(m->host, ev);
	r = bufshare_device_read_event(m->dev, ev);
	return r == -EAGAIN && m->buffers ? watch_next(m->buffers, ev, &m->info) : r;
}

static void add_damage(const struct bufshare_host_buffer *buf, struct json_object *o)
{
	struct json_object *damage = host_damage(buf);

	if (json_object_array_length(damage))
		json_object_object_add(o, "damage", damage);
	else
		json_object_put(damage);
}

static void add_guest_buffer(struct monitor *m, const struct bufshare_event *ev,
			     struct json_object *o)
{
	json_add_string(o, "application", m->info.application);
	if (ev->type == BUFSHARE_EVENT_ADDED) {
		json_add_u64(o, "size", m->info.size);
		json_add_string(o, "path", path_name((int)m->info.path));
	}
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

	if (m->info.id)
		add_guest_buffer(m, ev, o);
	else
		add_buffer(m, ev, o);
	if (m->format)
		format_print(m->format, o);
	else if (m->ctl->json != JSON_OFF)
		json_print(m->ctl, o);
	else
		print_words(m, ev, o);
}

/* Until there may be something. 0: nothing has come for so long that it is over. */
static int wait_more(struct monitor *m, uint64_t last_ns)
{
	const uint64_t idle = m->idle_ns ? last_ns + m->idle_ns : 0;
	const uint64_t due = m->buffers ? watch_due(m->buffers) : 0;
	int fd = m->host ? bufshare_host_get_fd(m->host) : bufshare_device_get_fd(m->dev);
	int r;

	r = wait_for(m->ctl, fd, !idle || (due && due < idle) ? due : idle);
	return r == 0 && (!idle || now_ns() < idle) ? 1 : r;
}

static int follow(struct monitor *m)
{
	uint64_t n = 0, last_ns = now_ns();
	struct bufshare_event ev;
	int r;

	while (!m->count || n < m->count) {
		r = next_event(m, &ev);
		if (r == 0) {
			print_event(m, &ev);
			n++;
			last_ns = now_ns();
			if (ferror(stdout))
				return EXIT_FAILED; /* nobody reads; main() says so */
			continue;
		}
		if (r == -EAGAIN)
			r = wait_more(m, last_ns);
		if (r == -EINTR || r == 0)
			return EXIT_OK;
		if (r < 0)
			return fail(m->ctl, r, NULL, "the other side is gone");
	}
	return EXIT_OK;
}

static int begin_guest(struct monitor *m)
{
	int r;

	r = watch_new(m->dev, m->interval_ns, &m->buffers);
	if (r == -EACCES)
		note(m->ctl, "only root sees the buffers of other programs; this is of the device");
	else if (r < 0)
		return fail(m->ctl, r, NULL, "cannot look at the buffers");
	return EXIT_OK;
}

int cmd_monitor(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	struct monitor m = { .ctl = ctl, .application = "*", .interval_ns = 100000000 };
	int status;

	status = parse(ctl, argc, argv, &m);
	if (status != EXIT_OK)
		return status;
	status = ctl->socket ? connect_host(ctl, m.application, &host) : open_device(ctl, &dev);
	m.host = host;
	m.dev = dev;
	if (status == EXIT_OK && dev)
		status = begin_guest(&m);
	if (status == EXIT_OK)
		status = follow(&m);
	watch_free(m.buffers);
	return status;
}
