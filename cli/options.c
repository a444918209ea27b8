/* SPDX-License-Identifier: MIT */
/*
 * getopt_long() by the rows of the verb table.
 */
#include <getopt.h>
#include <stdio.h>
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

static int wrong(const struct ctl *ctl, int code, char **argv)
{
	/* A letter may be one of several behind a dash; a long one is an argument of its own. */
	const char letter[] = { '-', (char)optopt, '\0' };
	const char *name = optopt > 0 && optopt < 256 && strncmp(argv[optind - 1], "--", 2) != 0 ?
				   letter : argv[optind - 1];

	if (code == ':')
		usage(ctl, "%s: its argument is missing", name);
	else
		usage(ctl, "%s: no such option, or not with an argument", name);
	return OPTION_WRONG;
}

int next_global_option(const struct ctl *ctl, int argc, char **argv)
{
	int code = parse(global_options, "+", argc, argv);

	return code == '?' || code == ':' ? wrong(ctl, code, argv) : code;
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
		return wrong(ctl, code, argv);
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

bool only_arguments(const struct ctl *ctl, int argc, char **argv, int n)
{
	return next_option(ctl, argc, argv) == -1 && argc - optind == n;
}
