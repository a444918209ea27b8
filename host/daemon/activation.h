/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the service manager made for us (sd_listen_fds(3)). The VMM's is a stream
 * socket, the consumers' one of records, so they need no names.
 */
#ifndef BUFSHARE_DAEMON_ACTIVATION_H
#define BUFSHARE_DAEMON_ACTIVATION_H

#include <stdbool.h>

/* Whether there are any. */
bool activation_is_there(void);

/*
 * Takes them: no program that is started later finds them again. -1: there is none of that
 * kind. -EINVAL: one is neither, does not listen, or there are two of a kind; it is said.
 */
int activation_take(int *vmm, int *consumers);

#endif /* BUFSHARE_DAEMON_ACTIVATION_H */
