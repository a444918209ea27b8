/* SPDX-License-Identifier: MIT */
/*
 * File descriptors as arguments.
 */
#ifndef CLI_FD_H
#define CLI_FD_H

#include "cli/cli.h"

/*
 * "FD" is ours by inheritance, "PID:FD" another program's, anything else a path, which is
 * opened with the flags. The fd is the caller's. EXIT_OK, or it has said why not.
 */
int open_fd(struct ctl *ctl, const char *what, int flags, int *fd);

#endif /* CLI_FD_H */
