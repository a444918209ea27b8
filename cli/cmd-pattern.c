/* SPDX-License-Identifier: MIT */
/*
 * pattern: a moving picture. A buffer is drawn to only when no host program holds it, so
 * every frame is seen whole.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <drm_fourcc.h>

#include "cli/cli.h"
#include "common/cleanup.h"
#include "common/pattern.h"

#define MAX_BUFFERS 8
#define MAX_FPS 1000

struct target {
	struct bufshare_buffer *buf;
	struct bufshare_framebuffer fb;
	void *map;
	bool busy;
	uint32_t frame; /* the one that is in it */
	uint64_t seq, sent_ns;
};

struct pattern {
	struct ctl *ctl;
	struct bufshare_device *dev;
	const char *application;
	uint32_t width, height, format;
	uint64_t fps, frames, num_targets;
	struct target targets[MAX_BUFFERS];
	uint64_t sent, released, unseen;
	uint64_t *times_ns; /* update to release, of those that were seen */
	size_t num_times, room;
};

static bool parse_size(const char *s, struct pattern *p)
{
	char format[8] = "XR24";
	int n = 0;

	if (sscanf(s, "%5" SCNu32 "x%5" SCNu32 "%n", &p->width, &p->height, &n) != 2)
		return false;
	if (s[n] == ':') {
		if (strlen(s + n + 1) != 4)
			return false;
		strcpy(format, s + n + 1);
	} else if (s[n]) {
		return false;
	}
	return p->width >= PATTERN_MIN_WIDTH && p->height >= PATTERN_MIN_HEIGHT &&
	       parse_format(format, &p->format);
}

static int parse(struct ctl *ctl, int argc, char **argv, struct pattern *p)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 'a':
			p->application = optarg;
			break;
		case 'f':
			if (!number_option(ctl, c, 1, MAX_FPS, &p->fps))
				return EXIT_USAGE;
			break;
		case 'n':
			if (!number_option(ctl, c, 0, UINT32_MAX, &p->frames))
				return EXIT_USAGE;
			break;
		case 'b':
			if (!number_option(ctl, c, 1, MAX_BUFFERS, &p->num_targets))
				return EXIT_USAGE;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc || !parse_size(argv[optind], p))
		return usage(ctl, "wants a size of at least %dx%d, like 640x480 or 640x480:XR24",
			     PATTERN_MIN_WIDTH, PATTERN_MIN_HEIGHT);
	return EXIT_OK;
}

static const char *hint_of(int error)
{
	if (error == -EOPNOTSUPP)
		return "XR24, AR24, XB24 and AB24 work";
	if (error == -EINVAL)
		return "it is larger than the device takes; see: bufsharectl -j devices";
	return NULL;
}

static int make_targets(struct pattern *p)
{
	uint64_t i;
	int r;

	for (i = 0; i < p->num_targets; i++) {
		struct target *t = &p->targets[i];

		r = bufshare_buffer_new_framebuffer(p->dev, p->width, p->height, p->format, &t->buf);
		if (r == 0)
			r = bufshare_buffer_get_framebuffer(t->buf, &t->fb);
		if (r == 0)
			r = bufshare_buffer_map(t->buf, &t->map);
		if (r == 0)
			r = pattern_draw(&t->fb, t->map, 0);
		if (r == 0)
			r = bufshare_buffer_set_property(t->buf, BUFSHARE_PROPERTY_TITLE, "pattern");
		if (r < 0)
			return fail(p->ctl, r, hint_of(r), "cannot make a buffer");
		r = share_buffer(p->ctl, t->buf, p->application);
		if (r != EXIT_OK)
			return r;
	}
	return EXIT_OK;
}

static int keep_time(struct pattern *p, uint64_t ns)
{
	if (p->num_times == p->room) {
		size_t room = p->room ? 2 * p->room : 256;
		uint64_t *more = reallocarray(p->times_ns, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->times_ns = more;
		p->room = room;
	}
	p->times_ns[p->num_times++] = ns;
	return 0;
}

static int released(struct pattern *p, struct target *t, const struct bufshare_event *ev)
{
	bool seen = !(ev->flags & (BUFSHARE_RELEASED_NO_CONSUMER | BUFSHARE_RELEASED_HOST_GONE));
	struct json_object *o;

	t->busy = false;
	p->released++;
	p->unseen += !seen;
	if (p->ctl->json == JSON_LINES) {
		o = json_new();
		json_add_u64(o, "frame", t->frame);
		json_add_u64(o, "buffer", ev->buffer_id);
		json_add_u64(o, "seq", t->seq);
		json_add_u64(o, "time_ns", t->sent_ns);
		/* Nobody's release says nothing of the way there and back. */
		if (seen)
			json_add_u64(o, "released_ns", ev->time_ns);
		json_print(p->ctl, o);
		json_object_put(o);
	}
	return seen ? keep_time(p, ev->time_ns - t->sent_ns) : 0;
}

static int take_event(struct pattern *p, const struct bufshare_event *ev)
{
	uint64_t i;

	if (ev->type == BUFSHARE_EVENT_DEVICE_LOST)
		return -ENODEV;
	if (ev->type == BUFSHARE_EVENT_BUFFER_LOST)
		return -ESTALE;
	if (ev->type != BUFSHARE_EVENT_RELEASED)
		return 0;
	for (i = 0; i < p->num_targets; i++) {
		struct target *t = &p->targets[i];

		if (t->busy && bufshare_buffer_get_id(t->buf) == ev->buffer_id && ev->seq >= t->seq)
			return released(p, t, ev);
	}
	return 0;
}

/* Takes what has happened, and waits for something to until the deadline (0: none). */
static int events(struct pattern *p, uint64_t deadline)
{
	struct bufshare_event ev;
	int r;

	while ((r = bufshare_device_read_event(p->dev, &ev)) == 0) {
		r = take_event(p, &ev);
		if (r < 0)
			return r;
		deadline = 1; /* something has happened: look, do not wait */
	}
	if (r != -EAGAIN)
		return r;
	r = wait_for(p->ctl, bufshare_device_get_fd(p->dev), deadline);
	return r < 0 ? r : 0;
}

static int send_frame(struct pattern *p, struct target *t)
{
	int r;

	r = pattern_draw(&t->fb, t->map, (uint32_t)p->sent);
	if (r < 0)
		return r;
	t->frame = (uint32_t)p->sent;
	t->sent_ns = now_ns();
	r = bufshare_buffer_update(t->buf, NULL, 0, &t->seq);
	if (r < 0)
		return r;
	t->busy = true;
	p->sent++;
	return 0;
}

static int play(struct pattern *p)
{
	const uint64_t period = 1000000000 / p->fps;
	uint64_t due = now_ns();
	int r = 0;

	while (!p->frames || p->sent < p->frames) {
		struct target *t = &p->targets[p->sent % p->num_targets];

		while (r == 0 && t->busy)
			r = events(p, 0);
		while (r == 0 && now_ns() < due)
			r = events(p, due);
		if (r == 0)
			r = send_frame(p, t);
		if (r < 0)
			return r;
		/* A frame that came late does not make the next ones hurry. */
		due += period;
		if (due < now_ns())
			due = now_ns();
	}
	while (r == 0 && p->released < p->sent)
		r = events(p, 0);
	return r;
}

static void summary(struct pattern *p)
{
	_cleanup_(cleanup_json) struct json_object *o = json_new();
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < p->num_times; i++)
		sum += p->times_ns[i];
	json_add_u64(o, "sent", p->sent);
	json_add_u64(o, "released", p->released);
	json_add_u64(o, "unseen", p->unseen);
	if (p->num_times) {
		qsort(p->times_ns, p->num_times, sizeof(*p->times_ns), compare_u64);
		json_add_u64(o, "update_to_release_mean_ns", sum / p->num_times);
		json_add_u64(o, "update_to_release_median_ns", p->times_ns[p->num_times / 2]);
	}
	print_object(p->ctl, o);
}

int cmd_pattern(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	struct pattern p = {
		.ctl = ctl,
		.application = "bufsharectl.pattern",
		.fps = 30,
		.num_targets = 2,
	};
	uint64_t i;
	int status, r;

	status = parse(ctl, argc, argv, &p);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	p.dev = dev;
	if (status == EXIT_OK)
		status = make_targets(&p);
	if (status == EXIT_OK) {
		r = play(&p);
		if (r < 0 && r != -EINTR)
			status = fail(ctl, r, NULL, "cannot go on after frame %" PRIu64, p.sent);
		else if (r == -EINTR && p.frames)
			status = EXIT_FAILED; /* not all of them */
		summary(&p);
	}
	for (i = 0; i < p.num_targets; i++)
		bufshare_buffer_unref(p.targets[i].buf);
	free(p.times_ns);
	return status;
}
