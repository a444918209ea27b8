/* SPDX-License-Identifier: MIT */
#ifndef BUFSHARE_DAEMON_OPTIONS_H
#define BUFSHARE_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "host/daemon/backend.h"

/* What a worker inherits from the keeper. */
struct worker_fds {
	int channel; /* to the keeper */
	int state; /* struct state */
	int consumers; /* the listening socket, -1: none */
};

struct options {
	const char *socket_path; /* NULL: another of the three */
	int fd; /* -1: another of the three */
	bool activated; /* the service manager has the sockets */
	char *consumer_path; /* NULL: no consumers */
	mode_t consumer_mode; /* of that socket */
	bool once;
	unsigned int linger_s;
	int log_level;
	int sandbox; /* enum sandbox_mode */
	struct worker_fds worker; /* channel -1: this is no worker */
	struct backend_config backend;
};

/* Returns -1 to go on, else the exit status: --help and the like, or a usage error. */
int options_parse(int argc, char **argv, struct options *o);

#endif /* BUFSHARE_DAEMON_OPTIONS_H */
