/* SPDX-License-Identifier: MIT */
/*
 * bench: what sharing costs, as ratios. Everything that is compared is measured in turns
 * in one run, so that a machine that gets slower meanwhile makes no difference.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

#define APPLICATION "bufsharectl.bench"
#define FRAME_SIZE (1920u * 1080 * 4)
#define SMALL_SIZE 4096u
#define MAX_BUFFERS 4096
#define UPDATES 64 /* of one turn */
#define MAX_TURNS 1000
#define RELEASE_NS 200000000ull

enum metric {
	METRIC_ROUND_TRIP,
	METRIC_UPDATE_ONE, /* small, alone */
	METRIC_UPDATE_MANY, /* small, each of many in turn */
	METRIC_UPDATE_FRAME, /* large, alone */
	METRIC_COPY_FRAME,
	NUM_METRICS,
};

struct bench {
	struct ctl *ctl;
	struct bufshare_device *dev;
	uint64_t num_buffers, turns;
	struct bufshare_buffer **small;
	size_t num_small;
	struct bufshare_buffer *frame;
	uint64_t frame_size, register_ns;
	uint64_t *times[NUM_METRICS]; /* of each turn */
	size_t done; /* turns */
};

static int parse(struct ctl *ctl, int argc, char **argv, struct bench *b)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 'b':
			if (!number_option(ctl, c, 1, MAX_BUFFERS, &b->num_buffers))
				return EXIT_USAGE;
			break;
		case 'n':
			if (!number_option(ctl, c, 1, MAX_TURNS, &b->turns))
				return EXIT_USAGE;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	return no_argument_left(ctl, argc) ? EXIT_OK : EXIT_USAGE;
}

/* ---- buffers ---- */

static int make_small(struct bench *b)
{
	uint64_t i, limit = MAX_BUFFERS;
	int r;

	bufshare_device_get_limit(b->dev, BUFSHARE_LIMIT_BUFFERS, &limit);
	b->small = calloc(b->num_buffers, sizeof(*b->small));
	if (!b->small)
		return fail(b->ctl, -ENOMEM, NULL, "no memory");
	for (i = 0; i < b->num_buffers; i++) {
		r = bufshare_buffer_new(b->dev, SMALL_SIZE, &b->small[i]);
		if (r < 0)
			return fail(b->ctl, r, NULL, "cannot make a buffer");
		b->num_small++;
		r = share_buffer(b->ctl, b->small[i], APPLICATION);
		if (r != EXIT_OK) {
			note(b->ctl, "the device takes %" PRIu64 " buffers; --buffers N for fewer",
			     limit);
			return r;
		}
	}
	return EXIT_OK;
}

static int make_frame(struct bench *b)
{
	uint64_t limit = FRAME_SIZE, begin;
	void *map;
	int r;

	bufshare_device_get_limit(b->dev, BUFSHARE_LIMIT_BUFFER_SIZE, &limit);
	b->frame_size = limit < FRAME_SIZE ? limit : FRAME_SIZE;
	r = bufshare_buffer_new(b->dev, b->frame_size, &b->frame);
	if (r == 0)
		r = bufshare_buffer_map(b->frame, &map);
	if (r < 0)
		return fail(b->ctl, r, NULL, "cannot make a buffer");
	memset(map, 1, b->frame_size); /* no page is missing when time counts */
	begin = now_ns();
	r = share_buffer(b->ctl, b->frame, APPLICATION);
	b->register_ns = now_ns() - begin;
	return r;
}

/* ---- measuring ---- */

static int drain(struct bench *b)
{
	struct bufshare_event ev;
	int r;

	while ((r = bufshare_device_read_event(b->dev, &ev)) == 0)
		if (ev.type == BUFSHARE_EVENT_DEVICE_LOST)
			return -ENODEV;
	return r == -EAGAIN ? 0 : r;
}

/* What the turn before has sent is released before this one begins, or late and left alone. */
static int settle(struct bench *b, struct bufshare_buffer *buf)
{
	const uint64_t deadline = now_ns() + RELEASE_NS;
	int r;

	for (;;) {
		r = drain(b);
		if (r < 0 || bufshare_buffer_is_busy(buf) != 1)
			return r;
		r = wait_for(b->ctl, bufshare_device_get_fd(b->dev), deadline);
		if (r <= 0)
			return r;
	}
}

/* The time of one update among UPDATES, of n buffers in turn. */
static int time_updates(struct bench *b, struct bufshare_buffer *const *bufs, size_t n,
			uint64_t *ns)
{
	uint64_t begin;
	size_t i;
	int r = 0;

	for (i = 0; i < n && r == 0; i++)
		r = settle(b, bufs[i]);
	begin = now_ns();
	for (i = 0; i < UPDATES && r == 0; i++)
		r = bufshare_buffer_update(bufs[i % n], NULL, 0, NULL);
	*ns = (now_ns() - begin) / UPDATES;
	return r;
}

static int time_copy(struct bench *b, void *to, uint64_t *ns)
{
	uint64_t begin;
	void *map;
	int r;

	r = bufshare_buffer_map(b->frame, &map);
	if (r < 0)
		return r;
	begin = now_ns();
	memcpy(to, map, b->frame_size);
	*ns = now_ns() - begin;
	return 0;
}

static int one_turn(struct bench *b, void *copy)
{
	uint64_t ns[NUM_METRICS];
	size_t m;
	int r;

	r = bufshare_device_ping(b->dev, &ns[METRIC_ROUND_TRIP]);
	if (r == 0)
		r = time_updates(b, b->small, 1, &ns[METRIC_UPDATE_ONE]);
	if (r == 0)
		r = time_updates(b, b->small, b->num_small, &ns[METRIC_UPDATE_MANY]);
	if (r == 0)
		r = time_updates(b, &b->frame, 1, &ns[METRIC_UPDATE_FRAME]);
	if (r == 0)
		r = time_copy(b, copy, &ns[METRIC_COPY_FRAME]);
	if (r < 0)
		return r;
	for (m = 0; m < NUM_METRICS; m++)
		b->times[m][b->done] = ns[m];
	b->done++;
	return 0;
}

static int measure(struct bench *b)
{
	_cleanup_free_ void *copy = malloc(b->frame_size);
	uint64_t i;
	size_t m;
	int r = 0;

	for (m = 0; m < NUM_METRICS; m++) {
		b->times[m] = calloc(b->turns, sizeof(*b->times[m]));
		if (!b->times[m] || !copy)
			return fail(b->ctl, -ENOMEM, NULL, "no memory");
	}
	memset(copy, 2, b->frame_size);
	/* The first turn warms up. */
	for (i = 0; i <= b->turns && r == 0; i++) {
		r = one_turn(b, copy);
		if (i == 0)
			b->done = 0;
	}
	if (r == -EINTR)
		return EXIT_FAILED;
	return r < 0 ? fail(b->ctl, r, NULL, "cannot go on after turn %zu", b->done) : EXIT_OK;
}

/* ---- what came out ---- */

static uint64_t median(struct bench *b, int metric)
{
	qsort(b->times[metric], b->done, sizeof(uint64_t), compare_u64);
	return b->times[metric][b->done / 2];
}

static void add_ratio(struct json_object *o, const char *key, uint64_t a, uint64_t b)
{
	double ratio = b ? (double)a / (double)b : 0;
	char text[32];

	snprintf(text, sizeof(text), "%.2f", ratio);
	json_object_object_add(o, key, json_object_new_double_s(ratio, text));
}

static void print_results(struct bench *b)
{
	_cleanup_(cleanup_json) struct json_object *o = json_new();
	const uint64_t one = median(b, METRIC_UPDATE_ONE), many = median(b, METRIC_UPDATE_MANY);
	const uint64_t frame = median(b, METRIC_UPDATE_FRAME), copy = median(b, METRIC_COPY_FRAME);

	json_add_u64(o, "turns", b->done);
	json_add_u64(o, "buffers", b->num_small);
	json_add_u64(o, "frame_size", b->frame_size);
	json_add_u64(o, "round_trip_ns", median(b, METRIC_ROUND_TRIP));
	json_add_u64(o, "register_frame_ns", b->register_ns);
	json_add_u64(o, "update_one_ns", one);
	json_add_u64(o, "update_many_ns", many);
	json_add_u64(o, "update_frame_ns", frame);
	json_add_u64(o, "copy_frame_ns", copy);
	add_ratio(o, "many_to_one", many, one);
	add_ratio(o, "frame_to_small", frame, one);
	add_ratio(o, "copy_to_share", copy, frame);
	print_object(b->ctl, o);
}

int cmd_bench(struct ctl *ctl, int argc, char **argv)
{
	struct bench b = { .ctl = ctl, .num_buffers = 32, .turns = 11 };
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	int status;
	size_t i;

	status = parse(ctl, argc, argv, &b);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	b.dev = dev;
	if (status == EXIT_OK)
		status = make_frame(&b);
	if (status == EXIT_OK)
		status = make_small(&b);
	if (status == EXIT_OK)
		status = measure(&b);
	if (status == EXIT_OK)
		print_results(&b);
	for (i = 0; i < b.num_small; i++)
		bufshare_buffer_unref(b.small[i]);
	bufshare_buffer_unref(b.frame);
	free(b.small);
	for (i = 0; i < NUM_METRICS; i++)
		free(b.times[i]);
	return status;
}
