/* SPDX-License-Identifier: MIT */
/*
 * Texts that people and distributions write, and that programs read: the registry of ids,
 * access rules, formats of lines, numbers. Steps: what it is, and the text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/ids.h"
#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/daemon/access.h"

const char fuzz_name[] = "text";

#define MAX_STEPS 64

static void ids(char *text, size_t size)
{
	FILE *f = size ? fmemopen(text, size, "r") : NULL;
	uint16_t device;

	for (device = 0; f && device < 4; device++) {
		rewind(f);
		free(ids_find(f, 0, device));
	}
	if (f)
		fclose(f);
}

static void access_rule(const char *text, bool group)
{
	const gid_t groups[] = { 0, 1, 1000 };
	struct access_rules rules = { .n = 0 };
	struct access_peer peer;
	const char *why;

	why = access_add_rule(&rules, text, group);
	fuzz_check(rules.n == !why);
	if (why)
		return;
	fuzz_check(rules.v[0].rights & ACCESS_SEE && !(rules.v[0].rights & ~ACCESS_ALL));
	fuzz_check(strnlen(rules.v[0].application, sizeof(rules.v[0].application)) <
		   sizeof(rules.v[0].application));
	access_peer_match(&peer, &rules, 1000, groups, 3);
	fuzz_check(!(access_rights(&peer, &rules, "org.example") & ~ACCESS_ALL));
}

static void line_format(const char *text)
{
	const struct ctl ctl = { .verb = &verbs[0], .signals = -1, .quiet = true };
	struct json_object *o;

	if (format_check(&ctl, text) != EXIT_OK)
		return;
	o = json_new();
	json_add_string(o, "application", "org.example");
	json_add_u64(o, "seq", 1);
	format_print(text, o);
	json_object_put(o);
}

static void number(const char *text)
{
	uint64_t value;
	uint32_t format;

	if (parse_u64(text, 1000, &value))
		fuzz_check(value <= 1000);
	parse_seconds(text, &value);
	parse_format(text, &format);
}

static void step(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in) % NUM_TEXT_STEPS;
	const uint8_t *bytes;
	size_t size;
	char *text;

	bytes = fuzz_chunk(in, &size);
	text = strndup((const char *)bytes, size);
	fuzz_check(text);
	switch (what) {
	case TEXT_STEP_IDS:
		ids(text, strlen(text));
		break;
	case TEXT_STEP_USER:
	case TEXT_STEP_GROUP:
		access_rule(text, what == TEXT_STEP_GROUP);
		break;
	case TEXT_STEP_FORMAT:
		line_format(text);
		break;
	case TEXT_STEP_NUMBER:
		number(text);
		break;
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	int i;

	fuzz_mute(true);
	for (i = 0; in.size && i < MAX_STEPS; i++)
		step(&in);
	fuzz_mute(false);
	return 0;
}
