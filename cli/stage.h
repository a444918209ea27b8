/* SPDX-License-Identifier: MIT */
/*
 * A device without a guest: the daemon's own model of one, with its consumer socket, in
 * this process. Host programs see what they would see of a virtual machine.
 */
#ifndef CLI_STAGE_H
#define CLI_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <bufshare-types.h>

#include "common/props.h"

struct stage;
struct stage_buffer;

/*
 * Listens at the path as a device of that label (not a valid one: none). Whenever it waits
 * it also looks at the fd, which ends every wait with -EINTR. -errno.
 */
int stage_new(const char *path, const char *label, int interrupt_fd, struct stage **stage);

/* Tells the consumers that it is the end. NULL is fine. Returns NULL. */
struct stage *stage_free(struct stage *s);

/*
 * One more buffer; an id that was there before becomes another one. -EINVAL: its size is
 * not one of whole pages, or the application none; -ENOSPC: too many, or too much memory.
 */
int stage_add(struct stage *s, uint64_t id, uint64_t size, const char *application,
	      const struct props *props, struct stage_buffer **buffer);
void *stage_map(struct stage_buffer *b);

/* A block of props.h. */
int stage_set(struct stage_buffer *b, const char *block, size_t size);
int stage_update(struct stage_buffer *b, const struct bufshare_rect *rects, size_t n);
bool stage_is_busy(const struct stage_buffer *b);
bool stage_is_seen(const struct stage_buffer *b);
void stage_remove(struct stage_buffer *b, bool producer_gone);

/* Does what is to do, until something was (1) or the deadline (0); 0: there is none. */
int stage_wait(struct stage *s, uint64_t deadline_ns);

/* The same until there is something to read from the fd. */
int stage_wait_input(struct stage *s, int fd);

#endif /* CLI_STAGE_H */
