/* SPDX-License-Identifier: MIT */
/*
 * replay: in a guest, shares again what record has seen, at the same pace.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/recording.h"
#include "common/cleanup.h"

#define MAX_BUFFERS 256
#define MAX_BYTES (1ull << 30)

/* How long a host program may keep what the next record overwrites. */
#define RELEASE_NS 10000000000ull

/* Some thirty years. */
#define NEVER_NS 1e18

struct target {
	uint64_t id; /* in the recording; 0: free */
	struct bufshare_buffer *buf;
	uint64_t size;
	void *map;
};

struct player {
	struct ctl *ctl;
	struct bufshare_device *dev;
	double speed;
	uint64_t start, line, updates;
	struct target targets[MAX_BUFFERS];
};

static int parse(struct ctl *ctl, int argc, char **argv, struct player *p, const char **file)
{
	uint64_t speed;
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		if (c != 's')
			return EXIT_USAGE;
		if (!parse_seconds(optarg, &speed))
			return usage(ctl, "--speed %s: not a number", optarg);
		p->speed = (double)speed / 1e9;
	}
	if (optind + 1 != argc)
		return usage(ctl, "wants one file");
	*file = argv[optind];
	return EXIT_OK;
}

static int wrong(struct player *p, const char *what)
{
	return fail(p->ctl, 0, "is it a recording?", "record %" PRIu64 ": %s", p->line, what),
	       EXIT_PROTOCOL;
}

static struct target *find(struct player *p, uint64_t id)
{
	size_t i;

	for (i = 0; i < MAX_BUFFERS; i++)
		if (p->targets[i].id == id)
			return &p->targets[i];
	return NULL;
}

/* Takes events until something happens, or the deadline. 1: something; 0: the deadline. */
static int wait_event(struct player *p, uint64_t deadline)
{
	struct bufshare_event ev;
	int r, n = 0;

	while ((r = bufshare_device_read_event(p->dev, &ev)) == 0) {
		if (ev.type == BUFSHARE_EVENT_DEVICE_LOST)
			return -ENODEV;
		n++;
	}
	if (r != -EAGAIN)
		return r;
	return n ? 1 : wait_for(p->ctl, bufshare_device_get_fd(p->dev), deadline);
}

static int wait_released(struct player *p, struct target *t)
{
	const uint64_t deadline = now_ns() + RELEASE_NS;
	int r;

	while ((r = bufshare_buffer_is_busy(t->buf)) == 1) {
		r = wait_event(p, deadline);
		if (r == 0)
			r = -ETIMEDOUT;
		if (r < 0)
			return r;
	}
	return r;
}

static int wait_turn(struct player *p, struct json_object *record)
{
	uint64_t at = 0, deadline;
	double ns;
	int r = 1;

	if (!recording_number(record, "at_ns", &at))
		return 0;
	ns = (double)at / p->speed;
	deadline = p->start + (ns < NEVER_NS ? (uint64_t)ns : (uint64_t)NEVER_NS);
	while (r > 0 && now_ns() < deadline)
		r = wait_event(p, deadline);
	return r < 0 ? r : 0;
}

/* The record has all properties of the guest: what it does not have goes. */
static int remove_others(struct bufshare_buffer *buf, struct json_object *all)
{
	const char *name = NULL;
	int r = 0;

	while (r == 0 && bufshare_buffer_next_property(buf, &name) == 0)
		if (strncmp(name, "host.", 5) != 0 && !json_object_object_get_ex(all, name, NULL))
			r = bufshare_buffer_set_property(buf, name, NULL);
	return r;
}

static int set_properties(struct bufshare_buffer *buf, struct json_object *record)
{
	struct json_object *all;
	int r;

	if (!json_object_object_get_ex(record, "properties", &all) ||
	    !json_object_is_type(all, json_type_object))
		return -EBADMSG;
	r = remove_others(buf, all);
	if (r < 0)
		return r;
	json_object_object_foreach(all, name, value) {
		if (!json_object_is_type(value, json_type_string))
			return -EBADMSG;
		r = bufshare_buffer_set_property(buf, name, json_object_get_string(value));
		if (r < 0)
			return r;
	}
	return r;
}

/* Rectangles that no update can have are left out; without any, all of it changed. */
static size_t get_damage(struct json_object *record, struct bufshare_rect *rects)
{
	struct json_object *all;
	size_t n = 0, i;

	if (!json_object_object_get_ex(record, "damage", &all) ||
	    !json_object_is_type(all, json_type_array))
		return 0;
	for (i = 0; i < json_object_array_length(all) && n < BUFSHARE_MAX_DAMAGE; i++) {
		struct json_object *rect = json_object_array_get_idx(all, i);
		uint32_t v[4] = { 0 };
		size_t k;

		for (k = 0; json_object_is_type(rect, json_type_array) && k < 4; k++)
			v[k] = (uint32_t)json_object_get_int64(json_object_array_get_idx(rect, k));
		if (v[2] && v[3])
			rects[n++] = (struct bufshare_rect){ v[0], v[1], v[2], v[3] };
	}
	return n;
}

static int play_update(struct player *p, struct target *t, struct json_object *record,
		       const uint8_t *bytes, uint64_t n)
{
	struct bufshare_rect rects[BUFSHARE_MAX_DAMAGE];
	int r;

	if (n > t->size)
		return -EBADMSG;
	r = wait_released(p, t);
	if (r < 0)
		return r;
	if (n)
		memcpy(t->map, bytes, n);
	r = bufshare_buffer_update(t->buf, rects, get_damage(record, rects), NULL);
	p->updates += r == 0;
	return r;
}

static int play_added(struct player *p, uint64_t id, struct json_object *record,
		      const uint8_t *bytes, uint64_t n)
{
	const char *application = recording_text(record, "application");
	struct target *t = find(p, 0);
	int r;

	if (!application || find(p, id) || !t || !recording_number(record, "size", &t->size) ||
	    !t->size || t->size > MAX_BYTES)
		return -EBADMSG;
	r = bufshare_buffer_new(p->dev, t->size, &t->buf);
	if (r < 0)
		return r;
	t->id = id;
	r = bufshare_buffer_map(t->buf, &t->map);
	if (r == 0)
		r = set_properties(t->buf, record);
	if (r < 0)
		return r;
	r = share_buffer(p->ctl, t->buf, application);
	if (r != EXIT_OK)
		return r;
	return n ? play_update(p, t, record, bytes, n) : 0;
}

static void drop(struct target *t)
{
	if (t->id)
		bufshare_buffer_unregister(t->buf);
	bufshare_buffer_unref(t->buf);
	*t = (struct target){ 0 };
}

static int play_removed(struct player *p, struct target *t)
{
	int r = wait_released(p, t);

	drop(t);
	return r;
}

/* 0, a negative errno, or an exit status after it has said what is wrong. */
static int play(struct player *p, struct json_object *record, const uint8_t *bytes, uint64_t n)
{
	const char *what = recording_text(record, RECORDING_RECORD);
	struct target *t;
	uint64_t id;
	int r;

	if (!what || !recording_number(record, "buffer", &id) || !id)
		return wrong(p, "names no buffer");
	r = wait_turn(p, record);
	if (r < 0)
		return r;
	if (strcmp(what, "added") == 0)
		return play_added(p, id, record, bytes, n);
	t = find(p, id);
	if (!t)
		return wrong(p, "is of a buffer that was not added");
	if (strcmp(what, "updated") == 0)
		return play_update(p, t, record, bytes, n);
	if (strcmp(what, "properties") == 0)
		return set_properties(t->buf, record);
	if (strcmp(what, "removed") == 0)
		return play_removed(p, t);
	return 0; /* of a later version */
}

static int failed(struct player *p, int r)
{
	if (r == -EINTR)
		return EXIT_OK;
	if (r == -EBADMSG)
		return wrong(p, "is malformed");
	if (r == -ETIMEDOUT)
		return fail(p->ctl, r, NULL, "a host program keeps its update");
	return fail(p->ctl, r, NULL, "cannot replay record %" PRIu64, p->line);
}

static int play_all(struct player *p, FILE *f)
{
	uint64_t version;
	int r;

	for (p->line = 1;; p->line++) {
		_cleanup_(cleanup_json) struct json_object *record = NULL;
		_cleanup_free_ uint8_t *bytes = NULL;
		uint64_t n = 0;

		r = recording_read(f, MAX_BYTES, &record, &bytes, &n);
		if (r == -ENODATA && p->line > 1)
			return EXIT_OK;
		if (r == -ENODATA)
			return wrong(p, "is not there");
		if (r < 0)
			return failed(p, r);
		if (p->line == 1) {
			if (!recording_number(record, RECORDING_KEY, &version))
				return wrong(p, "does not begin a recording");
			if (version != RECORDING_VERSION)
				return wrong(p, "is of another version");
			p->start = now_ns();
			continue;
		}
		r = play(p, record, bytes, n);
		if (r != 0)
			return r < 0 ? failed(p, r) : r;
	}
}

int cmd_replay(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	struct player *p;
	const char *file = NULL;
	int status, r = 0;
	size_t i;
	FILE *f;

	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(ctl, -ENOMEM, NULL, "cannot replay");
	p->ctl = ctl;
	p->speed = 1;
	status = parse(ctl, argc, argv, p, &file);
	f = status != EXIT_OK ? NULL : strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	if (status == EXIT_OK && !f)
		status = fail(ctl, -errno, NULL, "cannot read %s", file);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	p->dev = dev;
	if (status == EXIT_OK)
		status = play_all(p, f);
	for (i = 0; i < MAX_BUFFERS; i++) {
		if (status == EXIT_OK && p->targets[i].id && r >= 0)
			r = wait_released(p, &p->targets[i]);
		drop(&p->targets[i]);
	}
	if (status == EXIT_OK && r < 0)
		status = failed(p, r);
	if (status == EXIT_OK)
		note(ctl, "%" PRIu64 " updates", p->updates);
	if (f && f != stdin)
		fclose(f);
	free(p);
	return status;
}
