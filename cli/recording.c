/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "cli/recording.h"
#include "common/cleanup.h"

int recording_write(FILE *f, struct json_object *record, const void *bytes, uint64_t n)
{
	const char *line;

	if (n)
		json_add_u64(record, "bytes", n);
	line = json_object_to_json_string_ext(record, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
	errno = 0;
	if (fputs(line, f) == EOF || fputc('\n', f) == EOF ||
	    (n && (fwrite(bytes, 1, n, f) != n || fputc('\n', f) == EOF)))
		return errno ? -errno : -EIO;
	return 0;
}

/* A line without its end; it grows with what is there, not with what is claimed. */
static int read_line(FILE *f, char **line)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0, room = 0;
	int c;

	while ((c = getc(f)) != EOF && c != '\n') {
		if (n + 1 >= room) {
			char *more;

			room = room ? 2 * room : 256;
			more = room > RECORDING_MAX_LINE ? NULL : realloc(text, room);
			if (!more)
				return room > RECORDING_MAX_LINE ? -EBADMSG : -ENOMEM;
			text = more;
		}
		text[n++] = (char)c;
	}
	if (ferror(f))
		return -EIO;
	if (c == EOF)
		return n ? -EBADMSG : -ENODATA;
	if (!n)
		return -EBADMSG;
	text[n] = '\0';
	if (strlen(text) != n)
		return -EBADMSG;
	*line = steal_ptr(&text);
	return 0;
}

static int read_bytes(FILE *f, uint64_t n, uint8_t **bytes)
{
	_cleanup_free_ uint8_t *buf = malloc(n);

	if (!buf)
		return -ENOMEM;
	if (fread(buf, 1, n, f) != n || getc(f) != '\n')
		return -EBADMSG;
	*bytes = steal_ptr(&buf);
	return 0;
}

int recording_read(FILE *f, uint64_t max_bytes, struct json_object **record, uint8_t **bytes,
		   uint64_t *n)
{
	_cleanup_(cleanup_json) struct json_object *o = NULL;
	_cleanup_free_ uint8_t *buf = NULL;
	_cleanup_free_ char *line = NULL;
	uint64_t size = 0;
	int r;

	r = read_line(f, &line);
	if (r < 0)
		return r;
	o = json_tokener_parse(line);
	if (!json_object_is_type(o, json_type_object))
		return -EBADMSG;
	if (json_object_object_get_ex(o, "bytes", NULL)) {
		if (!recording_number(o, "bytes", &size) || !size)
			return -EBADMSG;
		if (size > max_bytes)
			return -EFBIG;
		r = read_bytes(f, size, &buf);
		if (r < 0)
			return r;
	}
	*record = steal_ptr(&o);
	*bytes = steal_ptr(&buf);
	*n = size;
	return 0;
}

bool recording_number(struct json_object *record, const char *key, uint64_t *value)
{
	struct json_object *o;

	if (!json_object_object_get_ex(record, key, &o) || !json_object_is_type(o, json_type_int) ||
	    json_object_get_int64(o) < 0)
		return false;
	*value = json_object_get_uint64(o);
	return true;
}

const char *recording_text(struct json_object *record, const char *key)
{
	struct json_object *o;

	if (!json_object_object_get_ex(record, key, &o) ||
	    !json_object_is_type(o, json_type_string) ||
	    strlen(json_object_get_string(o)) != (size_t)json_object_get_string_len(o))
		return NULL;
	return json_object_get_string(o);
}
