/* SPDX-License-Identifier: MIT */
/*
 * A file that appears whole or not at all, whatever interrupts its writing. Devices and
 * pipes are just written to.
 */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include <stdint.h>
#include <stdio.h>

struct new_file {
	FILE *stream;
	char *path; /* of the file to be; NULL: written in place */
	char *second; /* its name until it is whole, where it cannot do without */
	int error;
};

/* path "-" is standard output. */
int new_file_begin(struct new_file *file, const char *path);
void new_file_fail(struct new_file *file, int error);

/* Puts it in place, or removes what was written. Returns the first error. */
int new_file_finish(struct new_file *file);

/* Reads a whole file ("-": standard input) of up to max bytes. -EFBIG; free(*bytes). */
int read_whole_file(const char *path, uint64_t max, uint8_t **bytes, uint64_t *size);

#endif /* CLI_FILE_H */
