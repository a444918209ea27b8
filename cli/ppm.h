/* SPDX-License-Identifier: MIT */
/*
 * Binary portable pixmaps (P6), which every program can write.
 */
#ifndef CLI_PPM_H
#define CLI_PPM_H

#include "cli/png.h"

/* Whether the first bytes of a file are those of a binary PPM. */
bool ppm_is(const void *bytes, uint64_t size);

/* Reads one of up to 8 bits a channel, like png_read(). */
int ppm_read(const void *bytes, uint64_t size, struct png_picture *picture, const char **why);

#endif /* CLI_PPM_H */
