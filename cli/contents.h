/* SPDX-License-Identifier: MIT */
/*
 * What a buffer holds, as a file.
 */
#ifndef CLI_CONTENTS_H
#define CLI_CONTENTS_H

#include "cli/cli.h"

/*
 * Writes size bytes at map to a file ("-": standard output): as a PNG if its name says so
 * and fb (NULL: it is no picture) is in a format that PNG can hold, else as they are. what
 * is the buffer's name for messages. EXIT_OK, or it has said why not.
 */
int save_contents(struct ctl *ctl, const char *what, const char *file,
		  const struct bufshare_framebuffer *fb, const void *map, uint64_t size);

#endif /* CLI_CONTENTS_H */
