/* SPDX-License-Identifier: MIT */
/*
 * Survives a file that shrinks while it is mapped: whoever touches the lost pages finds
 * zeros there, and the mapping is torn from then on.
 */
#ifndef BUFSHARE_DAEMON_MEMORY_GUARD_H
#define BUFSHARE_DAEMON_MEMORY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mappings at the same time; more than the table has, because exports keep some longer. */
#define MEMORY_GUARD_MAX	256

/*
 * Guards a mapping of a file with pages of page_size, at which it begins and ends; takes
 * SIGBUS for the whole process. Returns a number for the mapping, or -ENOSPC.
 */
int memory_guard_add(void *map, size_t size, size_t page_size);

/* Before it is unmapped. */
void memory_guard_remove(int guard);

bool memory_guard_is_torn(int guard);

#endif /* BUFSHARE_DAEMON_MEMORY_GUARD_H */
