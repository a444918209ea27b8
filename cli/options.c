/* SPDX-License-Identifier: MIT */
/*
 * getopt_long() by the rows of the verb table.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

#define MAX_OPTIONS 24

static int argument(const struct option_row *row)
{
	if (!row->arg)
		return no_argument;
	return row->arg[0] == '[' ? optional_argument : required_argument;
}

/* ':' instead of '?' when an argument is missing; getopt itself says nothing. */
static int parse(const struct option_row *rows, const char *stop, int argc, char **argv)
{
	struct option longs[MAX_OPTIONS + 1] = { 0 };
	char shorts[2 * MAX_OPTIONS + 4];
	size_t n = 0, used;

	used = (size_t)snprintf(shorts, sizeof(shorts), "%s:", stop);
	opterr = 0;
	for (; rows && rows[n].name && n < MAX_OPTIONS; n++) {
		const struct option_row *row = &rows[n];

		longs[n].name = row->name;
		longs[n].has_arg = argument(row);
		longs[n].val = row->code;
		if (row->code >= 256)
			continue;
		shorts[used++] = (char)row->code;
		if (argument(row) == required_argument)
			shorts[used++] = ':';
	}
	shorts[used] = '\0';
	return getopt_long(argc, argv, shorts, longs, NULL);
}

/* The long option that somebody may have meant, or NULL. */
static const char *meant(const struct option_row *rows, const char *name)
{
	const char *best = NULL;
	size_t least = SIZE_MAX;

	for (; rows && rows->name; rows++) {
		size_t n = word_distance(name, rows->name);

		if (n < least) {
			least = n;
			best = rows->name;
		}
	}
	return near_enough(name, least) ? best : NULL;
}

static int wrong(const struct ctl *ctl, const struct option_row *rows, int code, char **argv)
{
	/* A letter may be one of several behind a dash; a long one is an argument of its own. */
	const bool is_long = strncmp(argv[optind - 1], "--", 2) == 0;
	const char letter[] = { '-', (char)optopt, '\0' };
	const char *name = is_long || optopt <= 0 || optopt > 255 ? argv[optind - 1] : letter;
	const char *other = is_long ? meant(rows, name + 2) : NULL;

	if (code == ':')
		usage(ctl, "%s: its argument is missing", name);
	else if (is_long && optopt)
		usage(ctl, "%s: takes no argument", name);
	else if (other)
		usage(ctl, "%s: no such option (did you mean --%s?)", name, other);
	else
		usage(ctl, "%s: no such option", name);
	return OPTION_WRONG;
}

int next_global_option(const struct ctl *ctl, int argc, char **argv)
{
	int code = parse(global_options, "+", argc, argv);

	return code == '?' || code == ':' ? wrong(ctl, global_options, code, argv) : code;
}

static const struct option_row *row_of(const struct option_row *rows, int code)
{
	while (rows->code != code)
		rows++;
	return rows;
}

int next_option(const struct ctl *ctl, int argc, char **argv)
{
	const struct option_row *row;
	int code;

	code = parse(ctl->verb->options, "", argc, argv);
	if (code == -1)
		return -1;
	if (code == '?' || code == ':')
		return wrong(ctl, ctl->verb->options, code, argv);
	row = row_of(ctl->verb->options, code);
	if (row->flags == OPTION_HOST && !ctl->socket) {
		usage(ctl, "--%s goes with -H only", row->name);
		return OPTION_WRONG;
	}
	if (row->flags == OPTION_GUEST && ctl->socket) {
		usage(ctl, "--%s does not go with -H", row->name);
		return OPTION_WRONG;
	}
	return code;
}

bool help_is_asked(const struct verb *verb, int argc, char **argv)
{
	struct option_row rows[MAX_OPTIONS + 1] = { { 'h', "help", NULL, "" } };
	_cleanup_free_ char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	int code = 0;
	size_t n;

	for (n = 0; verb->options && verb->options[n].name && n + 1 < MAX_OPTIONS; n++)
		rows[n + 1] = verb->options[n];
	if (!copy)
		return false;
	/* getopt_long() changes the order. */
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	optind = 0;
	while (code != -1 && code != 'h')
		code = parse(rows, "", argc, copy);
	return code == 'h';
}

bool number_option(const struct ctl *ctl, int code, uint64_t min, uint64_t max, uint64_t *value)
{
	const char *name = row_of(ctl->verb->options, code)->name;
	uint64_t n;

	if (parse_u64(optarg, max, &n) && n >= min) {
		*value = n;
		return true;
	}
	if (max < UINT32_MAX)
		usage(ctl, "--%s %s: not a number from %" PRIu64 " to %" PRIu64, name, optarg, min, max);
	else
		usage(ctl, "--%s %s: not a number%s", name, optarg, min ? " from 1 on" : "");
	return false;
}

bool seconds_option(const struct ctl *ctl, int code, uint64_t *ns)
{
	if (parse_seconds(optarg, ns))
		return true;
	usage(ctl, "--%s %s: not a number of seconds, like 2 or 0.5",
	      row_of(ctl->verb->options, code)->name, optarg);
	return false;
}

bool no_argument_left(const struct ctl *ctl, int argc)
{
	if (optind < argc)
		usage(ctl, "takes no argument");
	return optind == argc;
}

bool no_arguments(const struct ctl *ctl, int argc, char **argv)
{
	return next_option(ctl, argc, argv) == -1 && no_argument_left(ctl, argc);
}

bool id_argument(const struct ctl *ctl, int argc, char **argv, uint64_t *id)
{
	if (optind + 1 == argc && parse_u64(argv[optind], UINT64_MAX, id))
		return true;
	usage(ctl, "wants the id of a buffer");
	return false;
}
