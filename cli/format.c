/* SPDX-License-Identifier: MIT */
/*
 * --format: an object as the line that somebody asked for.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

static const struct {
	char letter;
	const char *key;
} letters[] = {
	{ 'a', "application" }, { 'b', "buffer" }, { 'd', "damage" }, { 'e', "event" },
	{ 'f', "flags" },	{ 'r', "reason" }, { 's', "seq" },    { 't', "time_ns" },
};

/* What stands for itself behind a backslash, and what it becomes. */
static const char escapes[] = "nt\\", escaped[] = "\n\t\\";

static const char *key_of(char letter)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(letters); i++)
		if (letters[i].letter == letter)
			return letters[i].key;
	return NULL;
}

int format_check(const struct ctl *ctl, const char *format)
{
	const char *p;

	for (p = format; *p; p++) {
		if (*p == '\\' && (!p[1] || !strchr(escapes, *++p)))
			return usage(ctl, "--format: a backslash is followed by n, t or a backslash");
		if (*p != '%')
			continue;
		p++;
		if (*p == '{' && strchr(p, '}') > p + 1)
			p = strchr(p, '}');
		else if (*p != '%' && !key_of(*p))
			return usage(ctl, "--format: what %%%.1s means is not known", p);
	}
	return EXIT_OK;
}

static void print_key(struct json_object *o, const char *key)
{
	struct json_object *value;

	if (json_object_object_get_ex(o, key, &value))
		print_value(value);
	else
		putchar('-');
}

/* Returns the last character that was used. */
static const char *print_field(const char *p, struct json_object *o)
{
	_cleanup_free_ char *key = NULL;
	const char *end;

	if (*p == '%') {
		putchar('%');
		return p;
	}
	if (*p != '{') {
		print_key(o, key_of(*p));
		return p;
	}
	end = strchr(p, '}');
	key = strndup(p + 1, (size_t)(end - p - 1));
	print_key(o, key ?: "");
	return end;
}

void format_print(const char *format, struct json_object *o)
{
	const char *p;

	for (p = format; *p; p++) {
		if (*p == '%') {
			p = print_field(p + 1, o);
		} else if (*p == '\\') {
			p++;
			putchar(escaped[strchr(escapes, *p) - escapes]);
		} else {
			putchar(*p);
		}
	}
	putchar('\n');
	flush_output();
}
