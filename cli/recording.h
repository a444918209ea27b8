/* SPDX-License-Identifier: MIT */
/*
 * A recording: lines of JSON, some followed by bytes. bufsharectl(1) says what is in it.
 */
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include <stdio.h>

#include "cli/cli.h"

#define RECORDING_VERSION 1

/* Keys that more than one place spells. */
#define RECORDING_KEY "recording"
#define RECORDING_RECORD "record"

/* No line is longer: 64 properties, each letter of them escaped. */
#define RECORDING_MAX_LINE (1u << 20)

/* Writes a record, with n bytes behind it if n is not 0. -errno. */
int recording_write(FILE *f, struct json_object *record, const void *bytes, uint64_t n);

/*
 * Reads a record; its bytes, which the caller frees, are of at most max_bytes. -ENODATA:
 * the end; -EBADMSG: not a record; -EFBIG: too many bytes.
 */
int recording_read(FILE *f, uint64_t max_bytes, struct json_object **record, uint8_t **bytes,
		   uint64_t *n);

/* A number of a record; false: it has none of that name. */
bool recording_number(struct json_object *record, const char *key, uint64_t *value);

/* A text of a record; NULL: it has none of that name. */
const char *recording_text(struct json_object *record, const char *key);

#endif /* CLI_RECORDING_H */
