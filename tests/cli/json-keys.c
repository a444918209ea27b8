/* SPDX-License-Identifier: MIT */
/*
 * Whether what a verb printed as JSON is what bufsharectl(1) says of it:
 *
 *   json-keys PAGE VERB SEEN <OUTPUT
 *
 * Every object begins with the schema; all keys are in the verb's item of the section
 * "JSON", as .Li, and each object has them in the order of the page. What is seen is
 * appended to the file SEEN. What stands in "properties" is for guests to name. VERB is
 * what the item has behind .Cm, such as "top" or "top Fl c".
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#include "common/cleanup.h"

#define MAX_KEYS 64
#define MAX_DEPTH 4
#define SCHEMA 1

static char *keys[MAX_KEYS];
static size_t num_keys;
static const char *verb;
static FILE *seen;
static int wrong;

static void complain(const char *what, const char *key)
{
	printf("%s: %s: %s\n", verb, key, what);
	wrong = 1;
}

/* Whether "Cm ONE , Cm OTHER Fl x" has the verb. */
static bool names_verb(char *line)
{
	char *part;

	while ((part = strsep(&line, ","))) {
		part += strspn(part, " ");
		while (*part && part[strlen(part) - 1] == ' ')
			part[strlen(part) - 1] = '\0';
		if (strncmp(part, "Cm ", 3) == 0 && strcmp(part + 3, verb) == 0)
			return true;
	}
	return false;
}

/* The .Li of the verb's item in the section. */
static void read_page(const char *path)
{
	_cleanup_free_ char *line = NULL;
	FILE *page = fopen(path, "re");
	bool section = false, item = false;
	size_t room = 0;
	char name[64];

	while (page && getline(&line, &room, page) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, ".Sh ", 4) == 0)
			section = strcmp(line, ".Sh JSON") == 0;
		else if (strncmp(line, ".It ", 4) == 0 || strcmp(line, ".El") == 0)
			item = false;
		if (section && strncmp(line, ".It ", 4) == 0)
			item = names_verb(line + 4);
		if (section && item && num_keys < MAX_KEYS && sscanf(line, ".Li %63s", name) == 1)
			keys[num_keys++] = strdup(name);
	}
	if (page)
		fclose(page);
	if (!num_keys)
		complain("no keys in the page", path);
}

static size_t find_key(const char *key)
{
	size_t i;

	for (i = 0; i < num_keys && strcmp(keys[i], key) != 0; i++)
		;
	return i;
}

static void check_object(struct json_object *o, int depth);

static void check_value(struct json_object *value, int depth)
{
	size_t i;

	if (depth == MAX_DEPTH)
		complain("deeper than it may be", "");
	else if (json_object_is_type(value, json_type_object))
		check_object(value, depth + 1);
	else if (json_object_is_type(value, json_type_array))
		for (i = 0; i < json_object_array_length(value); i++)
			check_value(json_object_array_get_idx(value, i), depth + 1);
}

static void check_object(struct json_object *o, int depth)
{
	size_t before = 0, at;
	bool any = false;

	json_object_object_foreach(o, key, value) {
		if (depth == 0 && !any && (strcmp(key, "schema") != 0 ||
					   json_object_get_int(value) != SCHEMA))
			complain("does not begin with the schema", key);
		any = true;
		if (strcmp(key, "schema") == 0)
			continue;
		at = find_key(key);
		if (at == num_keys)
			complain("not in the page", key);
		else if (at < before)
			complain("not in the order of the page", key);
		before = at;
		fprintf(seen, "%s %s\n", verb, key);
		if (strcmp(key, "properties") != 0)
			check_value(value, depth);
	}
}

int main(int argc, char **argv)
{
	static char text[1 << 20];
	struct json_tokener *tokener = json_tokener_new();
	size_t size = fread(text, 1, sizeof(text), stdin), at = 0;

	if (argc != 4 || size == sizeof(text))
		return 2;
	verb = argv[2];
	seen = fopen(argv[3], "ae");
	if (!seen)
		return 2;
	read_page(argv[1]);
	while (at < size && !wrong) {
		struct json_object *o;

		o = json_tokener_parse_ex(tokener, text + at, (int)(size - at));
		at += json_tokener_get_parse_end(tokener);
		if (json_object_is_type(o, json_type_object))
			check_object(o, 0);
		else if (o || strspn(text + at, "\n") != size - at)
			complain("no JSON object", text + at);
		json_object_put(o);
	}
	json_tokener_free(tokener);
	for (at = 0; at < num_keys; at++)
		free(keys[at]);
	fclose(seen);
	return wrong;
}
