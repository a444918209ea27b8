/* SPDX-License-Identifier: MIT */
/*
 * What replay in a guest and on the host have in common.
 */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include "cli/cli.h"
#include "cli/player.h"

struct replay {
	struct ctl *ctl;
	const char *file;
	bool hold; /* the buffers stay until interrupted */
	bool wait; /* for somebody who sees them */
	struct player player;
};

/* The command line. An exit status; with EXIT_OK the caller frees *replay. */
int replay_new(struct ctl *ctl, int argc, char **argv, struct replay **replay);

/* Plays with the player's ops, of which remove is called for all that is there in the end. */
int replay_run(struct replay *replay);

#endif /* CLI_REPLAY_H */
