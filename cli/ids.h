/* SPDX-License-Identifier: MIT */
/*
 * The registry of reserved subsystem ids, applications.ids.
 */
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include <stdint.h>
#include <stdio.h>

/* What a device with these ids is for, to be freed; NULL: they are not reserved. */
char *ids_lookup(uint16_t vendor, uint16_t device);

/* The same in one file. */
char *ids_find(FILE *file, uint16_t vendor, uint16_t device);

#endif /* CLI_IDS_H */
