/* SPDX-License-Identifier: MIT */
/*
 * A buffer that is shared until a host program took it: share and import.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/hold.h"
#include "common/cleanup.h"

#define MAX_LINE 4096

/* What the loop works on. */
struct held {
	struct ctl *ctl;
	const struct hold *hold;
	struct bufshare_device *dev;
	struct bufshare_buffer *buf;
	char line[MAX_LINE]; /* of standard input, as far as it has come */
	size_t length;
	bool taken, ends;
};

int hold_option(struct ctl *ctl, int option, struct hold *h)
{
	switch (option) {
	case 'a':
		h->application = optarg;
		return EXIT_OK;
	case 'p':
		if (!strchr(optarg, '=') || h->num_properties == HOLD_MAX_PROPERTIES)
			return usage(ctl, "--property %s: not NAME=VALUE, or too many", optarg);
		h->properties[h->num_properties++] = optarg;
		return EXIT_OK;
	case 't':
		return seconds_option(ctl, option, &h->timeout_ns) ? EXIT_OK : EXIT_USAGE;
	case 'n':
		h->dry_run = true;
		return EXIT_OK;
	case 'k':
		h->keep = true;
		return EXIT_OK;
	case 'i':
		h->keep = h->interactive = true;
		return EXIT_OK;
	default:
		return EXIT_USAGE;
	}
}

/* ---- what is said ---- */

/* For people on standard error, for programs on standard output. */
static void say(const struct held *h, const char *event, const char *text)
{
	_cleanup_(cleanup_json) struct json_object *o = NULL;

	if (h->ctl->json == JSON_OFF) {
		note(h->ctl, "%s", text);
		return;
	}
	o = json_new();
	json_add_string(o, "event", event);
	json_add_u64(o, "buffer", bufshare_buffer_get_id(h->buf));
	json_add_string(o, "application", h->hold->application);
	json_print(h->ctl, o);
}

static void say_shared(const struct held *h)
{
	char text[128];

	snprintf(text, sizeof(text), "buffer %" PRIu64 " is shared as %s",
		 bufshare_buffer_get_id(h->buf), h->hold->application);
	say(h, "shared", text);
}

/* ---- events ---- */

/*
 * When nobody saw the update and somebody comes, that one can read the contents at once,
 * but only holds the next update.
 */
static int update_for_newcomer(struct bufshare_buffer *buf)
{
	if (bufshare_buffer_is_busy(buf) != 0)
		return 0;
	return bufshare_buffer_update(buf, NULL, 0, NULL);
}

/* One event. A negative errno: it is over. */
static int one_event(struct held *h, const struct bufshare_event *ev)
{
	switch (ev->type) {
	case BUFSHARE_EVENT_RELEASED:
		if (ev->flags & BUFSHARE_RELEASED_NO_CONSUMER)
			return 0;
		if (ev->flags & BUFSHARE_RELEASED_CONSUMER_GONE) {
			say(h, "consumer-gone", "a host program ended while it had the buffer");
			return 0;
		}
		say(h, "taken", "a host program took it");
		h->taken = true;
		h->ends = !h->hold->keep;
		return 0;
	case BUFSHARE_EVENT_CONSUMERS:
		return ev->value ? update_for_newcomer(h->buf) : 0;
	case BUFSHARE_EVENT_RESTARTED:
		return update_for_newcomer(h->buf);
	case BUFSHARE_EVENT_BUFFER_LOST:
		return -ESTALE;
	case BUFSHARE_EVENT_DEVICE_LOST:
		return -ENODEV;
	default:
		return 0;
	}
}

static int read_events(struct held *h)
{
	struct bufshare_event ev;
	int r = 0;

	while (r == 0 && !h->ends) {
		r = bufshare_device_read_event(h->dev, &ev);
		if (r == 0)
			r = one_event(h, &ev);
	}
	return r == -EAGAIN ? 0 : r;
}

/* ---- standard input ---- */

static void update_part(struct held *h, const char *rectangle)
{
	struct bufshare_rect rect;
	uint64_t seq;
	int n = 0, r;

	if (*rectangle && (sscanf(rectangle, "%" SCNu32 ",%" SCNu32 ",%" SCNu32 ",%" SCNu32 "%n",
				  &rect.x, &rect.y, &rect.width, &rect.height, &n) != 4 ||
			   rectangle[n])) {
		usage(h->ctl, "update %s: not X,Y,WIDTH,HEIGHT", rectangle);
		return;
	}
	r = bufshare_buffer_update(h->buf, &rect, *rectangle ? 1 : 0, &seq);
	if (r < 0)
		fail(h->ctl, r, NULL, "cannot update the buffer");
}

/* A line that is wrong is told, and the next one read: people type them. */
static void one_line(struct held *h, char *line)
{
	int r;

	if (strncmp(line, "set ", 4) == 0 && strchr(line, '=')) {
		set_property(h->ctl, h->buf, line + 4);
	} else if (strncmp(line, "remove ", 7) == 0) {
		r = bufshare_buffer_set_property(h->buf, line + 7, NULL);
		if (r < 0)
			fail(h->ctl, r, NULL, "cannot remove the property %s", line + 7);
	} else if (strcmp(line, "update") == 0) {
		update_part(h, "");
	} else if (strncmp(line, "update ", 7) == 0) {
		update_part(h, line + 7);
	} else if (strcmp(line, "end") == 0) {
		h->ends = true;
	} else if (*line) {
		usage(h->ctl, "%s: not set NAME=VALUE, remove NAME, update [X,Y,WIDTH,HEIGHT] or end",
		      line);
	}
}

static int read_lines(struct held *h)
{
	char *end;
	ssize_t n;

	n = read(STDIN_FILENO, h->line + h->length, sizeof(h->line) - 1 - h->length);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n == 0) {
		h->ends = true;
		return 0;
	}
	h->length += (size_t)n;
	h->line[h->length] = '\0';
	while (!h->ends && (end = memchr(h->line, '\n', h->length))) {
		*end++ = '\0';
		one_line(h, h->line);
		h->length -= (size_t)(end - h->line);
		memmove(h->line, end, h->length + 1);
	}
	return h->length == sizeof(h->line) - 1 ? -EMSGSIZE : 0;
}

/* ---- the whole of it ---- */

static int say_what_would_be(const struct held *h)
{
	_cleanup_(cleanup_json) struct json_object *o = json_new();
	struct json_object *properties = json_object_new_object();
	const char *name = NULL, *value;

	json_add_string(o, "application", h->hold->application);
	json_add_u64(o, "size", bufshare_buffer_get_size(h->buf));
	while (bufshare_buffer_next_property(h->buf, &name) == 0)
		if (bufshare_buffer_get_property(h->buf, name, &value) == 0)
			json_add_string(properties, name, value);
	json_object_object_add(o, "properties", properties);
	print_object(h->ctl, o);
	return EXIT_OK;
}

static int until_end(struct held *h)
{
	const uint64_t deadline = h->hold->timeout_ns ? now_ns() + h->hold->timeout_ns : 0;
	const int input = h->hold->interactive ? STDIN_FILENO : -1;
	int r;

	while (!h->ends) {
		r = wait_for_either(h->ctl, bufshare_device_get_fd(h->dev), input, deadline);
		if (r == -EINTR)
			return h->hold->keep ? EXIT_OK : (note(h->ctl, "interrupted"), EXIT_FAILED);
		if (r == 0 && h->taken)
			return EXIT_OK;
		if (r == 0)
			return fail(h->ctl, -ETIMEDOUT,
				    "does a host program subscribe to this application?",
				    "nobody took it");
		if (r > 0 && r & WAIT_SECOND) {
			int lines = read_lines(h);

			if (lines < 0)
				return fail(h->ctl, lines, NULL, "cannot read standard input");
		}
		if (r > 0)
			r = read_events(h);
		if (r < 0)
			return fail(h->ctl, r, r == -ENODEV ? "the device was unplugged" : NULL,
				    "the buffer is shared no more");
	}
	return EXIT_OK;
}

/* Properties that say a picture and are wrong: no host program will show it. */
static void note_wrong_picture(const struct held *h)
{
	struct bufshare_framebuffer fb;
	const char *value;
	int r = bufshare_buffer_get_framebuffer(h->buf, &fb);

	if (r == -EINVAL)
		note(h->ctl, "its properties say a picture that does not lie inside its %" PRIu64
			     " bytes; host programs will not show it",
		     bufshare_buffer_get_size(h->buf));
	else if (r == -ENOENT &&
		 bufshare_buffer_get_property(h->buf, BUFSHARE_PROPERTY_WIDTH, &value) == 0)
		note(h->ctl, "a picture has width, height, stride and format; host programs will "
			     "not show this one");
}

int hold_buffer(struct ctl *ctl, const struct hold *hold, struct bufshare_device *dev,
		struct bufshare_buffer *buf)
{
	struct held h = { .ctl = ctl, .hold = hold, .dev = dev, .buf = buf };
	size_t i;
	int r = EXIT_OK;

	for (i = 0; r == EXIT_OK && i < hold->num_properties; i++)
		r = set_property(ctl, buf, hold->properties[i]);
	if (r == EXIT_OK)
		note_wrong_picture(&h);
	if (r == EXIT_OK && hold->dry_run)
		return say_what_would_be(&h);
	if (r == EXIT_OK)
		r = share_buffer(ctl, buf, hold->application);
	if (r != EXIT_OK)
		return r;
	r = bufshare_buffer_update(buf, NULL, 0, NULL);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot update the buffer");
	say_shared(&h);
	return until_end(&h);
}
