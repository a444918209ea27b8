/* SPDX-License-Identifier: MIT */
/*
 * share: the contents of a file, until a host program took them.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/file.h"
#include "cli/png.h"
#include "common/cleanup.h"

#define MAX_PROPERTIES 64

struct share {
	const char *file;
	const char *application;
	const char *properties[MAX_PROPERTIES];
	size_t num_properties;
	uint64_t timeout_ns; /* 0: none */
	bool hold;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct share *s)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 'a':
			s->application = optarg;
			break;
		case 'p':
			if (!strchr(optarg, '=') || s->num_properties == MAX_PROPERTIES)
				return usage(ctl, "--property %s: not NAME=VALUE, or too many", optarg);
			s->properties[s->num_properties++] = optarg;
			break;
		case 't':
			if (!parse_seconds(optarg, &s->timeout_ns))
				return usage(ctl, "--timeout %s: not a number of seconds", optarg);
			break;
		case 'k':
			s->hold = true;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc)
		return usage(ctl, "wants one file, or - for standard input");
	s->file = argv[optind];
	return EXIT_OK;
}

static int fill_picture(struct bufshare_device *dev, const struct png_picture *p,
			struct bufshare_buffer **buf)
{
	_cleanup_(cleanup_buffer) struct bufshare_buffer *b = NULL;
	struct bufshare_framebuffer fb;
	void *map;
	uint32_t y;
	int r;

	r = bufshare_buffer_new_framebuffer(dev, p->width, p->height, p->format, &b);
	if (r == 0)
		r = bufshare_buffer_get_framebuffer(b, &fb);
	if (r == 0)
		r = bufshare_buffer_map(b, &map);
	if (r < 0)
		return r;
	for (y = 0; y < p->height; y++)
		memcpy((uint8_t *)map + (size_t)y * fb.stride, p->pixels + (size_t)y * p->width * 4,
		       (size_t)p->width * 4);
	*buf = steal_ptr(&b);
	return 0;
}

static int fill_bytes(struct bufshare_device *dev, const uint8_t *bytes, uint64_t size,
		      struct bufshare_buffer **buf)
{
	_cleanup_(cleanup_buffer) struct bufshare_buffer *b = NULL;
	char text[32];
	void *map;
	int r;

	r = bufshare_buffer_new(dev, size, &b);
	if (r == 0)
		r = bufshare_buffer_map(b, &map);
	if (r < 0)
		return r;
	memcpy(map, bytes, size);
	/* The buffer is whole pages; this is how much of it is the file. */
	snprintf(text, sizeof(text), "%" PRIu64, size);
	r = bufshare_buffer_set_property(b, "size", text);
	if (r < 0)
		return r;
	*buf = steal_ptr(&b);
	return 0;
}

static int make_buffer(struct ctl *ctl, const struct share *s, struct bufshare_device *dev,
		       struct bufshare_buffer **buf)
{
	_cleanup_free_ uint8_t *bytes = NULL, *pixels = NULL;
	struct png_picture picture = { 0 };
	uint64_t size, limit = 0;
	const char *why;
	int r;

	bufshare_device_get_limit(dev, BUFSHARE_LIMIT_BUFFER_SIZE, &limit);
	r = read_whole_file(s->file, limit, &bytes, &size);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot read %s", s->file);
	if (!size)
		return fail(ctl, 0, NULL, "%s is empty", s->file);
	if (png_is(bytes, size)) {
		r = png_read(bytes, size, &picture, &why);
		pixels = picture.pixels;
		if (r == -EBADMSG)
			return fail(ctl, 0, "is the file damaged?", "cannot read the picture %s: %s",
				    s->file, why);
		if (r == 0)
			r = fill_picture(dev, &picture, buf);
	} else {
		r = fill_bytes(dev, bytes, size, buf);
	}
	return r < 0 ? fail(ctl, r, NULL, "cannot make a buffer for %s", s->file) : EXIT_OK;
}

static int set_properties(struct ctl *ctl, const struct share *s, struct bufshare_buffer *buf)
{
	_cleanup_free_ char *title = strdup(s->file);
	size_t i;
	int r;

	if (title && strcmp(title, "-") != 0)
		bufshare_buffer_set_property(buf, BUFSHARE_PROPERTY_TITLE, basename(title));
	for (i = 0; i < s->num_properties; i++) {
		r = set_property(ctl, buf, s->properties[i]);
		if (r != EXIT_OK)
			return r;
	}
	return EXIT_OK;
}

/*
 * One event. 1: a host program took it; 0: go on. When nobody saw the update and somebody
 * comes, that one can read the contents at once, but only holds the next update.
 */
static int one_event(struct ctl *ctl, struct bufshare_buffer *buf, const struct bufshare_event *ev)
{
	int r;

	switch (ev->type) {
	case BUFSHARE_EVENT_RELEASED:
		if (ev->flags & BUFSHARE_RELEASED_NO_CONSUMER)
			return 0;
		if (ev->flags & BUFSHARE_RELEASED_CONSUMER_GONE) {
			note(ctl, "a host program ended while it had the buffer");
			return 0;
		}
		note(ctl, "a host program took it");
		return 1;
	case BUFSHARE_EVENT_CONSUMERS:
	case BUFSHARE_EVENT_RESTARTED:
		if (ev->type == BUFSHARE_EVENT_CONSUMERS && !ev->value)
			return 0;
		if (bufshare_buffer_is_busy(buf) != 0)
			return 0;
		r = bufshare_buffer_update(buf, NULL, 0, NULL);
		return r < 0 ? r : 0;
	case BUFSHARE_EVENT_BUFFER_LOST:
		return -ESTALE;
	case BUFSHARE_EVENT_DEVICE_LOST:
		return -ENODEV;
	default:
		return 0;
	}
}

static int wait_taken(struct ctl *ctl, const struct share *s, struct bufshare_device *dev,
		      struct bufshare_buffer *buf)
{
	const uint64_t deadline = s->timeout_ns ? now_ns() + s->timeout_ns : 0;
	struct bufshare_event ev;
	int r;

	for (;;) {
		r = bufshare_device_read_event(dev, &ev);
		if (r == 0) {
			r = one_event(ctl, buf, &ev);
			if (r == 1 && !s->hold)
				return EXIT_OK;
			if (r < 0)
				return fail(ctl, r, NULL, "the buffer is shared no more");
			continue;
		}
		if (r == -EAGAIN)
			r = wait_for(ctl, bufshare_device_get_fd(dev), deadline);
		if (r == 1)
			continue;
		if (r == -EINTR)
			return s->hold ? EXIT_OK : (note(ctl, "interrupted"), EXIT_FAILED);
		if (r == 0)
			return fail(ctl, -ETIMEDOUT, "does a host program subscribe to this application?",
				    "nobody took it");
		return fail(ctl, r, NULL, "cannot read events");
	}
}

int cmd_share(struct ctl *ctl, int argc, char **argv)
{
	struct share s = { .application = "bufsharectl.share" };
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_buffer) struct bufshare_buffer *buf = NULL;
	int r;

	r = parse(ctl, argc, argv, &s);
	if (r == EXIT_OK)
		r = open_device(ctl, &dev);
	if (r == EXIT_OK)
		r = make_buffer(ctl, &s, dev, &buf);
	if (r == EXIT_OK)
		r = set_properties(ctl, &s, buf);
	if (r != EXIT_OK)
		return r;
	r = share_buffer(ctl, buf, s.application);
	if (r != EXIT_OK)
		return r;
	r = bufshare_buffer_update(buf, NULL, 0, NULL);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot update the buffer");
	note(ctl, "buffer %" PRIu64 " is shared as %s", bufshare_buffer_get_id(buf), s.application);
	return wait_taken(ctl, &s, dev, buf);
}
