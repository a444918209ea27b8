/* SPDX-License-Identifier: MIT */
/*
 * The process that does the work: all that the VMM and the consumers say is read here, and
 * nowhere else.
 */
#ifndef BUFSHARE_DAEMON_WORKER_H
#define BUFSHARE_DAEMON_WORKER_H

#include "host/daemon/options.h"

/* Serves until the keeper ends it, or ends itself. The exit status. */
int worker_run(struct options *options);

#endif /* BUFSHARE_DAEMON_WORKER_H */
