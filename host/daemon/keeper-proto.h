/* SPDX-License-Identifier: MIT */
/*
 * What keeper and worker say to each other: records of a SOCK_SEQPACKET socket pair, each a
 * header and what follows it. Both are the same program, so there is no version.
 */
#ifndef BUFSHARE_DAEMON_KEEPER_PROTO_H
#define BUFSHARE_DAEMON_KEEPER_PROTO_H

#include <stdint.h>

#include "host/daemon/vhost-user.h"
#include "host/daemon/vhost-user-proto.h"

/* A vhost-user message with its header: more is none. */
#define KEEPER_MAX_MESSAGE	(sizeof(struct vhost_user_header) + 4096)

/* Keeper to worker. */
enum keeper_kind {
	KEEPER_VMM	= 1, /* there is one; what it said before follows as REPLAY */
	KEEPER_REPLAY	= 2, /* a message that another worker has answered */
	KEEPER_REPLAYED	= 3, /* that was all */
	KEEPER_MESSAGE	= 4, /* a message, to be answered by DONE before the next one comes */
	KEEPER_GONE	= 5, /* the VMM is; value: why (negative errno); answered by GONE_DONE */
	KEEPER_LEVEL	= 6, /* value: log level */
	KEEPER_END	= 7, /* come to an orderly end */
};

struct keeper_record {
	uint32_t kind;
	int32_t value;
};

/* Worker to keeper. */
enum worker_kind {
	WORKER_READY	 = 1, /* it can serve a VMM */
	WORKER_DONE	 = 2, /* the message is; its reply follows, if it has one */
	WORKER_GONE_DONE = 3, /* nothing of the VMM is left */
};

struct worker_record {
	uint32_t kind;
	int32_t error; /* DONE: why the connection is to be closed; 0: it is not */
	struct vu_note note; /* DONE: what to remember of the message */
};

#endif /* BUFSHARE_DAEMON_KEEPER_PROTO_H */
