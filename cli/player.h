/* SPDX-License-Identifier: MIT */
/*
 * Plays a recording: reads and checks it, and says when which buffer comes, changes and
 * goes. What that means is up to whoever plays: a guest's device, or one without a guest.
 */
#ifndef CLI_PLAYER_H
#define CLI_PLAYER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <bufshare-types.h>

#include "common/props.h"

#define PLAYER_MAX_BUFFERS 256
#define PLAYER_MAX_BYTES (1ull << 30) /* of one buffer */

/* A buffer of the recording that is there. */
struct player_buffer {
	uint64_t id; /* in the recording; 0: this place is free */
	const char *application; /* while it is added */
	uint64_t size;
	struct props props;

	/* What add() fills in. */
	void *handle;
	void *map; /* its bytes */
};

/* Each returns 0, a negative errno, or an exit status after it has said what is wrong. */
struct player_ops {
	/* It is a recording, of a device of that label (NULL: not known). NULL: does not matter. */
	int (*begin)(void *data, const char *label);

	/* If it fails nothing is left of the buffer. */
	int (*add)(void *data, struct player_buffer *b);

	/* A checked block of what changed, as of props.h. */
	int (*set)(void *data, struct player_buffer *b, const char *block, size_t size);

	/* All of it is new, or n rectangles. */
	int (*update)(void *data, struct player_buffer *b, const struct bufshare_rect *rects,
		      size_t n);

	/* Whether somebody keeps the update before: 1 or 0. */
	int (*busy)(void *data, struct player_buffer *b);

	/* reason: text of the recording, or NULL. */
	void (*remove)(void *data, struct player_buffer *b, const char *reason);

	/* Until something happens (1), or the deadline (0). -EINTR: the user wants an end. */
	int (*wait)(void *data, uint64_t deadline_ns);

	/* Until there is something to read, or -EINTR. */
	int (*wait_input)(void *data, int fd);

	/* Until somebody sees the buffer; NULL: does not matter. */
	int (*wait_seen)(void *data, struct player_buffer *b);
};

struct player {
	const struct player_ops *ops;
	void *data;
	double speed;
	int input; /* to wait for before each record; -1: a file, that does not need it */
	uint64_t line, updates;
	const char *wrong; /* with -EBADMSG: what is, with the record of that line */

	/* the rest belongs to player.c */
	uint64_t start;
	bool begun;
	struct player_buffer buffers[PLAYER_MAX_BUFFERS];
};

/* Plays all of it. As an operation, or -ETIMEDOUT: somebody keeps an update. */
int player_run(struct player *p, FILE *f);

/* Waits until nobody keeps anything any more. */
int player_wait_all(struct player *p);

/* Removes what is there. */
void player_clear(struct player *p);

#endif /* CLI_PLAYER_H */
