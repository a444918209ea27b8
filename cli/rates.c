/* SPDX-License-Identifier: MIT */
/*
 * top, on either side: what counters of the same things say, one look after the other.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/cleanup.h"

/* To the upper left corner, and nothing below: what a terminal shows is replaced. */
#define HOME_AND_CLEAR "\033[H\033[J"

int rates_parse(struct ctl *ctl, int argc, char **argv, struct rates *r)
{
	int c;

	r->interval_ns = 1000000000;
	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 'b':
			r->batch = true;
			break;
		case 'c':
			r->consumers = true;
			break;
		case 'n':
			if (!number_option(ctl, c, 0, UINT64_MAX, &r->count))
				return EXIT_USAGE;
			break;
		case 's':
			if (!seconds_option(ctl, c, &r->interval_ns))
				return EXIT_USAGE;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (!no_argument_left(ctl, argc))
		return EXIT_USAGE;
	r->batch |= ctl->json != JSON_OFF || !isatty(STDOUT_FILENO);
	return EXIT_OK;
}

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_uint64(value) : 0;
}

/* A counter that is smaller than before began anew. */
static void add_rate(struct json_object *o, struct json_object *before, const char *counter,
		     uint64_t ns)
{
	uint64_t now = number(o, counter), then = before ? number(before, counter) : now;
	double rate = now > then ? (double)(now - then) * 1e9 / (double)ns : 0;
	char text[32], key[64];

	snprintf(text, sizeof(text), "%.1f", rate);
	snprintf(key, sizeof(key), "%s/s", counter);
	json_object_object_add(o, key, json_object_new_double_s(rate, text));
}

static int compare_ids(const void *a, const void *b)
{
	const uint64_t x = number(*(struct json_object *const *)a, "id");
	const uint64_t y = number(*(struct json_object *const *)b, "id");

	return (x > y) - (x < y);
}

/* The next one with this id, from *at on: both lists are in the order of their ids. */
static struct json_object *find(struct json_object *list, uint64_t id, size_t *at)
{
	for (; *at < json_object_array_length(list); ++*at) {
		struct json_object *o = json_object_array_get_idx(list, *at);

		if (number(o, "id") > id)
			return NULL;
		if (number(o, "id") == id) {
			++*at;
			return o;
		}
	}
	return NULL;
}

static void show(const struct rates *r, struct json_object *list, struct json_object *before,
		 uint64_t ns)
{
	size_t i, k, at = 0;

	for (i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		struct json_object *same = find(before, number(o, "id"), &at);

		for (k = 0; r->counters[k]; k++)
			add_rate(o, same, r->counters[k], ns);
	}
	if (!r->batch)
		fputs(HOME_AND_CLEAR, stdout);
	print_list(r->ctl, r->name ?: "buffers", list, r->columns);
}

int rates_run(const struct rates *r, int (*look)(void *data, struct json_object **list), void *data)
{
	_cleanup_(cleanup_json) struct json_object *before = NULL;
	uint64_t since = now_ns(), n;
	int status, woken;

	status = look(data, &before);
	if (status == EXIT_OK)
		json_object_array_sort(before, compare_ids);
	for (n = 0; status == EXIT_OK && (!r->count || n < r->count); n++) {
		struct json_object *list = NULL;
		uint64_t now;

		do {
			woken = wait_for(r->ctl, r->fd, since + r->interval_ns);
			if (woken == 1)
				status = r->drain(data);
		} while (woken == 1 && status == EXIT_OK);
		if (woken == -EINTR || status != EXIT_OK)
			return status;
		status = look(data, &list);
		if (status != EXIT_OK)
			return status;
		json_object_array_sort(list, compare_ids);
		now = now_ns();
		show(r, list, before, now - since);
		json_object_put(before);
		before = list;
		since = now;
		if (ferror(stdout))
			return EXIT_FAILED;
	}
	return status;
}
