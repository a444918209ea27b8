/* SPDX-License-Identifier: MIT */
/*
 * Everything printed is one json-c tree; columns are another way to write it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/cleanup.h"
#include "common/props.h"

#define MAX_COLUMNS 16

int flush_output(void)
{
	static int first; /* stdio keeps that there was an error, and not which */

	errno = 0;
	if (fflush(stdout) != 0 && !first)
		first = errno ? -errno : -EIO;
	if (ferror(stdout) && !first)
		first = -EIO;
	return first;
}

struct json_object *json_new(void)
{
	struct json_object *o = json_object_new_object();

	json_add_u64(o, "schema", JSON_SCHEMA);
	return o;
}

void json_add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

void json_add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

void json_add_uuid(struct json_object *o, const char *key, const uint8_t u[BUFSHARE_UUID_SIZE])
{
	char text[37];

	snprintf(text, sizeof(text),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		 u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
		 u[15]);
	json_add_string(o, key, text);
}

/*
 * What json-c leaves as it is: DEL and the control characters from 0x80 on, which a
 * terminal obeys, and what is not UTF-8. They are in strings only.
 */
static void print_json_text(const char *text)
{
	while (*text) {
		size_t n = props_character(text);

		if (!n)
			fputs("\\ufffd", stdout);
		else if (*text == '\x7f')
			fputs("\\u007f", stdout);
		else if (n == 2 && (unsigned char)*text == 0xc2 && (unsigned char)text[1] < 0xa0)
			printf("\\u%04x", (unsigned char)text[1]);
		else
			fwrite(text, 1, n, stdout);
		text += n ?: 1;
	}
}

void json_print(const struct ctl *ctl, struct json_object *o)
{
	int flags = ctl->json == JSON_PRETTY ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED :
					       JSON_C_TO_STRING_PLAIN;

	print_json_text(json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE));
	putchar('\n');
	flush_output();
}

const char *style(const struct ctl *ctl, int style)
{
	static const char *const codes[] = {
		[STYLE_NONE] = "\033[0m",
		[STYLE_TITLE] = "\033[1m",
		[STYLE_GOOD] = "\033[32m",
		[STYLE_WARN] = "\033[33m",
		[STYLE_BAD] = "\033[31m",
	};

	return ctl->color ? codes[style] : "";
}

/* Bytes of the character that a terminal may be shown; 0: of something else. */
static size_t printable(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	/* The control characters of ASCII, and in UTF-8 those from 0x80 on. */
	if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
		return 0;
	return props_character(text);
}

void write_clean(FILE *file, const char *text)
{
	while (*text) {
		size_t n = printable(text);

		if (n)
			fwrite(text, 1, n, file);
		else
			fputc('?', file);
		text += n ?: props_character(text) ?: 1;
	}
}

void print_clean(const char *text)
{
	write_clean(stdout, text);
}

/* How wide write_clean() is, for characters that are one column wide. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; width++)
		text += props_character(text) ?: 1;
	return width;
}

static void print_row_of(struct json_object *list)
{
	size_t i;

	for (i = 0; i < json_object_array_length(list); i++) {
		if (i)
			putchar(',');
		print_clean(json_object_get_string(json_object_array_get_idx(list, i)));
	}
}

void print_value(struct json_object *value)
{
	size_t i;

	if (!json_object_is_type(value, json_type_array)) {
		print_clean(json_object_get_string(value));
		return;
	}
	if (!json_object_is_type(json_object_array_get_idx(value, 0), json_type_array)) {
		print_row_of(value);
		return;
	}
	for (i = 0; i < json_object_array_length(value); i++) {
		if (i)
			putchar(' ');
		print_row_of(json_object_array_get_idx(value, i));
	}
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(o, key, &value) || !value)
		return "-";
	if (json_object_is_type(value, json_type_string) && !json_object_get_string_len(value))
		return "-";
	return json_object_get_string(value);
}

static size_t column_width(const struct ctl *ctl, struct json_object *list, const char *key)
{
	size_t width = ctl->legend ? strlen(key) : 0, i;

	for (i = 0; i < json_object_array_length(list); i++) {
		size_t n = width_of(text_of(json_object_array_get_idx(list, i), key));

		width = n > width ? n : width;
	}
	return width;
}

/* o NULL: the titles. */
static void print_row(const struct ctl *ctl, struct json_object *o, const char *const keys[],
		      const size_t widths[])
{
	size_t k;

	for (k = 0; keys[k] && k < MAX_COLUMNS; k++) {
		const char *text = o ? text_of(o, keys[k]) : keys[k];

		if (!o)
			fputs(style(ctl, STYLE_TITLE), stdout);
		print_clean(text);
		if (!o)
			fputs(style(ctl, STYLE_NONE), stdout);
		if (keys[k + 1])
			printf("%*s", (int)(widths[k] - width_of(text)) + 2, "");
	}
	putchar('\n');
}

static void print_columns(const struct ctl *ctl, struct json_object *list, const char *const keys[])
{
	size_t widths[MAX_COLUMNS], i;

	for (i = 0; keys[i] && i < MAX_COLUMNS; i++)
		widths[i] = column_width(ctl, list, keys[i]);
	if (ctl->legend)
		print_row(ctl, NULL, keys, widths);
	for (i = 0; i < json_object_array_length(list); i++)
		print_row(ctl, json_object_array_get_idx(list, i), keys, widths);
}

/* The same object with the schema in front. */
static struct json_object *with_schema(struct json_object *o)
{
	struct json_object *all = json_new();

	json_object_object_foreach(o, key, value)
		json_object_object_add(all, key, json_object_get(value));
	return all;
}

void print_list(const struct ctl *ctl, const char *name, struct json_object *list,
		const char *const keys[])
{
	struct json_object *o;
	size_t i, rows = json_object_array_length(list);

	if (ctl->json == JSON_OFF) {
		if (rows)
			print_columns(ctl, list, keys);
	} else if (ctl->json == JSON_LINES) {
		for (i = 0; i < rows; i++) {
			o = with_schema(json_object_array_get_idx(list, i));
			json_print(ctl, o);
			json_object_put(o);
		}
	} else {
		o = json_new();
		json_object_object_add(o, name, json_object_get(list));
		json_print(ctl, o);
		json_object_put(o);
	}
	flush_output();
}

static void print_fields(struct json_object *o, const char *prefix)
{
	struct json_object_iterator it = json_object_iter_begin(o), end = json_object_iter_end(o);

	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		struct json_object *value = json_object_iter_peek_value(&it);
		const char *key = json_object_iter_peek_name(&it);

		if (strcmp(key, "schema") == 0)
			continue;
		if (json_object_is_type(value, json_type_object)) {
			printf("%s:\n", key);
			print_fields(value, "  ");
			continue;
		}
		printf("%s", prefix);
		print_clean(key);
		printf(": ");
		print_value(value);
		putchar('\n');
	}
}

void print_object(const struct ctl *ctl, struct json_object *o)
{
	if (ctl->json != JSON_OFF)
		json_print(ctl, o);
	else
		print_fields(o, "");
	flush_output();
}

const char *path_name(int path)
{
	switch (path) {
	case BUFSHARE_PATH_COPY:
		return "copy";
	case BUFSHARE_PATH_UDMABUF:
		return "udmabuf";
	case BUFSHARE_PATH_MEMFD:
		return "memfd";
	default:
		return "none";
	}
}

/* The words of bufsharectl(1). */
const char *copy_reason_name(int reason)
{
	static const char *const names[] = {
		[BUFSHARE_COPY_ASKED] = "asked",
		[BUFSHARE_COPY_NO_UDMABUF] = "no-udmabuf",
		[BUFSHARE_COPY_UDMABUF_DENIED] = "udmabuf-denied",
		[BUFSHARE_COPY_NOT_SEALED] = "not-sealed",
		[BUFSHARE_COPY_RANGES] = "ranges",
		[BUFSHARE_COPY_SIZE] = "size",
		[BUFSHARE_COPY_KERNEL] = "kernel",
		[BUFSHARE_COPY_FILES] = "files",
		[BUFSHARE_COPY_DRIVER] = "driver",
		[BUFSHARE_COPY_RIGHT] = "right",
		[BUFSHARE_COPY_CAPABILITY] = "program",
	};

	return reason > 0 && (size_t)reason < ARRAY_SIZE(names) ? names[reason] : NULL;
}

static const char *word(const char *const words[], size_t n, uint64_t i)
{
	return i < n && words[i] ? words[i] : "unknown";
}

const char *reason_name(uint64_t reason)
{
	static const char *const names[] = {
		[BUFSHARE_REASON_UNREGISTERED] = "unregistered",
		[BUFSHARE_REASON_PRODUCER_GONE] = "producer-gone",
		[BUFSHARE_REASON_RESET] = "reset",
		[BUFSHARE_REASON_MEMORY] = "memory",
		[BUFSHARE_REASON_HOST] = "host",
	};

	return word(names, ARRAY_SIZE(names), reason);
}

const char *state_name(uint64_t state)
{
	static const char *const names[] = {
		[BUFSHARE_GUEST_NONE] = "none",
		[BUFSHARE_GUEST_RUNNING] = "running",
		[BUFSHARE_GUEST_SUSPENDED] = "suspended",
		[BUFSHARE_GUEST_RESET] = "reset",
		[BUFSHARE_GUEST_RECOVERING] = "recovering",
		[BUFSHARE_GUEST_GONE] = "gone",
	};

	return word(names, ARRAY_SIZE(names), state);
}

/* Bits that no name is known for appear as a number. */
static struct json_object *flag_names(const struct bufshare_event *ev)
{
	static const char *const released[] = { "no-consumer", "consumer-gone", "timeout",
						"host-gone" };
	static const char *const updated[] = { "coalesced" };
	const bool is_release = ev->type == BUFSHARE_EVENT_RELEASED;
	const char *const *names = is_release ? released : updated;
	const uint32_t known = is_release ? ARRAY_SIZE(released) :
			       ev->type == BUFSHARE_EVENT_UPDATED ? ARRAY_SIZE(updated) : 0;
	struct json_object *list = json_object_new_array();
	uint32_t i;

	for (i = 0; i < 32; i++) {
		if (!(ev->flags & 1U << i))
			continue;
		json_object_array_add(list, i < known ? json_object_new_string(names[i]) :
							json_object_new_uint64(1U << i));
	}
	return list;
}

struct json_object *event_json(const struct bufshare_event *ev)
{
	static const char *const names[] = {
		[BUFSHARE_EVENT_RELEASED] = "released",
		[BUFSHARE_EVENT_CONSUMERS] = "consumers",
		[BUFSHARE_EVENT_BUFFER_LOST] = "buffer-lost",
		[BUFSHARE_EVENT_RESTARTED] = "restarted",
		[BUFSHARE_EVENT_DEVICE_LOST] = "device-lost",
		[BUFSHARE_EVENT_OVERFLOW] = "overflow",
		[BUFSHARE_EVENT_PROPERTIES] = "properties",
		[BUFSHARE_EVENT_ADDED] = "added",
		[BUFSHARE_EVENT_REMOVED] = "removed",
		[BUFSHARE_EVENT_UPDATED] = "updated",
		[BUFSHARE_EVENT_REVOKED] = "revoked",
		[BUFSHARE_EVENT_SYNCED] = "synced",
		[BUFSHARE_EVENT_STATE] = "state",
		[BUFSHARE_EVENT_STATS] = "stats",
		[BUFSHARE_EVENT_CONSUMER] = "consumer",
	};
	struct json_object *o = json_new();

	json_add_string(o, "event", word(names, ARRAY_SIZE(names), ev->type));
	if (ev->buffer_id)
		json_add_u64(o, "buffer", ev->buffer_id);
	if (ev->seq)
		json_add_u64(o, "seq", ev->seq);
	if (ev->flags)
		json_object_object_add(o, "flags", flag_names(ev));
	if (ev->type == BUFSHARE_EVENT_REMOVED || ev->type == BUFSHARE_EVENT_BUFFER_LOST)
		json_add_string(o, "reason", reason_name(ev->value));
	else if (ev->type == BUFSHARE_EVENT_STATE)
		json_add_string(o, "state", state_name(ev->value));
	else if (ev->type == BUFSHARE_EVENT_CONSUMERS)
		json_add_u64(o, "consumers", ev->value);
	json_add_u64(o, "time_ns", ev->time_ns);
	if (ev->guest_time_ns)
		json_add_u64(o, "guest_time_ns", ev->guest_time_ns);
	return o;
}
