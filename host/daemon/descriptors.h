/* SPDX-License-Identifier: MIT */
/*
 * File descriptors: how many there may be, and how many buffers that is enough for.
 */
#ifndef HOST_DAEMON_DESCRIPTORS_H
#define HOST_DAEMON_DESCRIPTORS_H

#include <stdint.h>

/*
 * Takes all that the hard limit allows; the usual soft one is for programs that select().
 * Returns how many of so many buffers the descriptors are enough for; it says so, with what
 * to do, when that is fewer.
 */
uint32_t descriptors_for_buffers(uint32_t buffers);

#endif /* HOST_DAEMON_DESCRIPTORS_H */
