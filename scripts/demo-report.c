/* SPDX-License-Identifier: MIT */
/*
 * The summary of scripts/demo: holds what the guest says of each frame (JSON lines of
 * "bufsharectl pattern") against what the host program wrote down (demo-receiver).
 *
 * The two clocks differ, and an emulated one runs slow or fast as well. The difference at a
 * frame is taken from whichever of its neighbours had the shortest way update, receive,
 * release, released, as if both directions took the same time there: the way NTP does it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "common/cleanup.h"

#define MAX_FRAMES 100000
#define NEIGHBOURS 8 /* on either side; few enough for the clocks to agree on how long it was */

struct frame {
	bool sent, released, received;
	uint64_t updated_ns, released_ns; /* guest clock */
	uint64_t guest_ns, received_ns, given_back_ns; /* as the host has it; the last two host clock */
};

struct report {
	struct frame *frames;
	uint32_t n;
	char path[32];
	uint64_t copied;
};

static void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void cleanup_json(struct json_object **o)
{
	json_object_put(*o);
}

static bool number(struct json_object *o, const char *key, uint64_t *value)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return false;
	*value = (uint64_t)json_object_get_int64(v);
	return true;
}

static int read_guest(struct report *r, FILE *f)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	uint64_t frame, updated, released;

	while (getline(&line, &size, f) > 0) {
		_cleanup_(cleanup_json) struct json_object *o = json_tokener_parse(line);

		if (!o || !number(o, "frame", &frame) || !number(o, "time_ns", &updated))
			continue; /* the summary, or a line of the console */
		if (frame >= r->n)
			return -EPROTO;
		r->frames[frame].sent = true;
		r->frames[frame].updated_ns = updated;
		if (number(o, "released_ns", &released) && released) {
			r->frames[frame].released = true;
			r->frames[frame].released_ns = released;
		}
	}
	return 0;
}

static int read_host(struct report *r, FILE *f)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	uint32_t frame;
	uint64_t a, b, c;

	while (getline(&line, &size, f) > 0) {
		if (sscanf(line, "path %31s", r->path) == 1 ||
		    sscanf(line, "copied %" SCNu64, &r->copied) == 1)
			continue;
		if (sscanf(line, "%" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64, &frame, &a, &b,
			   &c) != 4 || frame >= r->n || r->frames[frame].received)
			return -EPROTO;
		r->frames[frame].received = true;
		r->frames[frame].guest_ns = a;
		r->frames[frame].received_ns = b;
		r->frames[frame].given_back_ns = c;
	}
	return 0;
}

/* What to take from a host time near that frame to get the guest's. */
static int64_t clock_offset(const struct report *r, uint32_t frame)
{
	uint32_t i = frame > NEIGHBOURS ? frame - NEIGHBOURS : 0;
	int64_t best = INT64_MAX, offset = 0;

	for (; i < r->n && i <= frame + NEIGHBOURS; i++) {
		const struct frame *f = &r->frames[i];
		int64_t there, back;

		if (!f->received || !f->released)
			continue;
		there = (int64_t)(f->received_ns - f->guest_ns);
		back = (int64_t)(f->given_back_ns - f->released_ns);
		if (there - back < best) {
			best = there - back;
			offset = back + (there - back) / 2;
		}
	}
	return offset;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int print(const struct report *r)
{
	_cleanup_free_ int64_t *ways = calloc(r->n, sizeof(*ways));
	uint32_t i, sent = 0, received = 0, released = 0, lost = 0;
	int64_t sum = 0;

	if (!ways)
		return -ENOMEM;
	for (i = 0; i < r->n; i++) {
		const struct frame *f = &r->frames[i];

		sent += f->sent;
		released += f->released;
		lost += !f->sent || !f->received || !f->released;
		if (!f->received)
			continue;
		ways[received] = (int64_t)(f->received_ns - f->guest_ns) - clock_offset(r, i);
		sum += ways[received++];
	}
	qsort(ways, received, sizeof(*ways), compare);

	printf("  frames sent by the guest        %" PRIu32 "\n", sent);
	printf("  frames received on the host     %" PRIu32 "\n", received);
	printf("  frames released to the guest    %" PRIu32 "\n", released);
	if (received)
		printf("  update to receive               mean %.2f ms, median %.2f ms\n",
		       (double)sum / received / 1e6, (double)ways[received / 2] / 1e6);
	printf("  export path                     %s\n", r->path);
	printf("  bytes copied on the host        %" PRIu64 "\n", r->copied);
	if (lost)
		printf("  frames not accounted for        %" PRIu32 "\n", lost);
	return lost ? -EIO : 0;
}

int main(int argc, char **argv)
{
	_cleanup_(cleanup_file) FILE *host = NULL, *guest = NULL;
	struct report r = { 0 };
	int ret;

	if (argc != 4) {
		fprintf(stderr, "usage: demo-report FRAMES RECORD GUEST-LOG\n");
		return 2;
	}
	r.n = (uint32_t)strtoul(argv[1], NULL, 10);
	host = fopen(argv[2], "re");
	guest = fopen(argv[3], "re");
	if (!r.n || r.n > MAX_FRAMES || !host || !guest) {
		fprintf(stderr, "demo: cannot read the records: %m\n");
		return 1;
	}
	r.frames = calloc(r.n, sizeof(*r.frames));
	if (!r.frames)
		return 1;
	ret = read_guest(&r, guest);
	if (ret == 0)
		ret = read_host(&r, host);
	if (ret == 0)
		ret = print(&r);
	else
		fprintf(stderr, "demo: the records contradict each other\n");
	free(r.frames);
	return ret < 0;
}
