/* SPDX-License-Identifier: MIT */
#ifndef BUFSHARE_DAEMON_LISTENER_H
#define BUFSHARE_DAEMON_LISTENER_H

#include <sys/types.h>

/*
 * Listens at a Unix socket of that type (SOCK_*) and mode. One that was left behind at the
 * path, at which nobody listens, is replaced. The fd, or why not after it was logged.
 */
int listen_at(const char *path, int type, mode_t mode);

#endif /* BUFSHARE_DAEMON_LISTENER_H */
