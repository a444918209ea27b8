/* SPDX-License-Identifier: MIT */
/*
 * help: what there is, from the table of verbs.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const char *where(const struct verb *v)
{
	if (!v->guest)
		return " (on the host, with -H)";
	return v->host ? "" : " (in the guest)";
}

static void print_options(const struct option_row *rows)
{
	for (; rows->name; rows++) {
		char letter[8] = "   ", left[64];

		if (rows->code < 256)
			snprintf(letter, sizeof(letter), "-%c,", rows->code);
		if (!rows->arg)
			snprintf(left, sizeof(left), "--%s", rows->name);
		else if (rows->arg[0] == '[')
			snprintf(left, sizeof(left), "--%s[=%s", rows->name, rows->arg + 1);
		else
			snprintf(left, sizeof(left), "--%s %s", rows->name, rows->arg);
		printf("  %s %-26s %s%s\n", letter, left, rows->help,
		       rows->flags == OPTION_HOST ? " (host)" :
		       rows->flags == OPTION_GUEST ? " (guest)" : "");
	}
}

void help_all(void)
{
	const struct verb *v;

	printf("usage: bufsharectl [OPTION...] VERB [ARGUMENT...]\n\nVerbs:\n");
	for (v = verbs; v->name; v++)
		printf("  %-11s %-24s %s%s\n", v->name, v->args, v->help, where(v));
	printf("\nOptions:\n");
	print_options(global_options);
	printf("\nSee bufsharectl(1).\n");
}

void help_verb(const struct verb *v)
{
	printf("usage: bufsharectl [OPTION...] %s%s%s%s\n\n%s%s.\n", v->name,
	       v->options ? " [OPTION...]" : "", v->args[0] ? " " : "", v->args, v->help, where(v));
	if (v->options) {
		putchar('\n');
		print_options(v->options);
	}
}

size_t word_distance(const char *a, const char *b)
{
	size_t row[32], i, j, n = strlen(b);

	if (n >= 32 || strlen(a) >= 32)
		return 32;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

bool near_enough(const char *name, size_t distance)
{
	return distance <= 2 || (distance < 32 && 2 * distance <= strlen(name));
}

const struct verb *find_verb(const char *name)
{
	static const struct ctl none;
	const struct verb *v, *near = verbs;

	for (v = verbs; v->name; v++) {
		if (strcmp(v->name, name) == 0)
			return v;
		if (word_distance(name, v->name) < word_distance(name, near->name))
			near = v;
	}
	if (near_enough(name, word_distance(name, near->name)))
		usage(&none, "no verb \"%s\" (did you mean \"%s\"?)", name, near->name);
	else
		usage(&none, "no verb \"%s\"", name);
	return NULL;
}

int cmd_help(struct ctl *ctl, int argc, char **argv)
{
	const struct verb *v;

	if (argc > 2)
		return usage(ctl, "one verb at a time");
	if (argc < 2) {
		help_all();
		return EXIT_OK;
	}
	v = find_verb(argv[1]);
	if (!v)
		return EXIT_USAGE;
	help_verb(v);
	return EXIT_OK;
}
