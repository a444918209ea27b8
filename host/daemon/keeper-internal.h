/* SPDX-License-Identifier: MIT */
/*
 * The parts of the keeper: keeper.c has its life, keeper-worker.c the worker's, keeper-vmm.c
 * relays what the VMM says.
 */
#ifndef BUFSHARE_DAEMON_KEEPER_INTERNAL_H
#define BUFSHARE_DAEMON_KEEPER_INTERNAL_H

#include <sys/types.h>

#include "host/daemon/journal.h"
#include "host/daemon/keeper.h"
#include "host/daemon/keeper-proto.h"
#include "host/daemon/state.h"

struct keeper {
	struct keeper_config config;
	struct loop *loop;
	struct state *state;
	int state_fd;

	/* The worker. */
	pid_t pid; /* 0: none */
	int channel;
	struct loop_source *channel_source;
	struct loop_source *respawn; /* a timer */
	bool ready; /* it said so */
	bool was_ready; /* one was, ever */
	uint64_t ready_ns; /* since when */
	bool answered; /* the VMM, since then */
	unsigned int short_lives; /* in a row */

	/* The VMM. */
	struct loop_source *listener_source;
	struct loop_source *again; /* a timer, when there may be room for a connection */
	bool no_room;
	struct loop_source *vmm_source;
	int vmm; /* -1: none */
	bool served; /* there was one */
	bool closing; /* the worker has yet to say that nothing of the last one is left */
	struct message in; /* size: what arrived of it */
	bool outstanding; /* all of it, and the worker has not answered */
	unsigned int killers; /* workers that ended over it */
	uint8_t reply[VU_MAX_REPLY];
	size_t reply_size, reply_sent;
	struct journal journal;

	bool ending;
	struct loop_source *linger; /* a timer */
	int result;
};

/* keeper.c */

/* Lets the worker come to its end, and then the loop. */
void keeper_finish(struct keeper *k, int result);

/* keeper-worker.c */

int keeper_spawn(struct keeper *k);

/* Ends the worker if there is one, and waits for it. */
void keeper_reap(struct keeper *k);

/* Tells the worker; one that does not listen any more is about to be noticed. */
void keeper_tell(struct keeper *k, uint32_t kind, int32_t value);
void keeper_tell_message(struct keeper *k, uint32_t kind, const void *bytes, size_t size,
			 const int *fds, size_t num_fds);

/* keeper-vmm.c */

/* Takes a connected socket, which becomes the keeper's on success. */
int keeper_connect(struct keeper *k, int sock);

/* The worker is ready: it is told all that the one before it knew. */
void keeper_replay(struct keeper *k);

/* The worker has answered the message that is outstanding. */
void keeper_answered(struct keeper *k, const struct worker_record *done, const void *reply,
		     size_t size);

/* Ends the connection of the VMM. */
void keeper_disconnect(struct keeper *k, int reason);

/* Accepts a VMM if one can be served now. */
void keeper_update_listening(struct keeper *k);

#endif /* BUFSHARE_DAEMON_KEEPER_INTERNAL_H */
