/* SPDX-License-Identifier: MIT */
/*
 * What the files of the consumers' side have in common.
 *
 * What a consumer is to be told is state, not a list of messages: a buffer (view) or the
 * state of the guest stands in line once, however much happens to it, and becomes messages
 * when there is room in the socket. Only answers wait as messages, and no further question
 * is read while too many do. So a consumer that does not read costs as much as there are
 * buffers, however long that lasts.
 */
#ifndef BUFSHARE_DAEMON_CONSUMERS_INTERNAL_H
#define BUFSHARE_DAEMON_CONSUMERS_INTERNAL_H

#include <stdbool.h>

#include "host/daemon/consumers.h"
#include "host/daemon/rate.h"
#include "host/ipc-io.h"

/* Answers that wait for one consumer to read, beyond which it is not listened to. */
#define CONSUMERS_MAX_ANSWERS 64

struct consumer;

/* Something that stands in line for room in a socket. */
struct out {
	TAILQ_ENTRY(out) link; /* consumer.line */
	bool queued;

	/* Says it. 0: all of it; -EAGAIN: there is no more room; else why it can not be. */
	int (*send)(struct consumer *c, struct out *out);
};

/* An answer as it will be sent; owns itself. */
struct answer {
	struct out out;
	size_t size;
	int fd; /* its own, -1: none */
	char bytes[];
};

/* The properties of a buffer at one time, shared by whoever was told of them. */
struct snapshot {
	unsigned int refs;
	size_t size;
	char block[];
};

/* One buffer as one consumer knows it. */
struct view {
	TAILQ_ENTRY(view) link; /* consumer.views, or consumer.leaving while it owes CLOSED */
	struct out out;
	struct consumer *c;
	struct dev_slot *slot; /* NULL: the device is done with it, the consumer not yet */
	uint64_t id;
	uint32_t path, why; /* for this consumer */
	struct snapshot *now; /* what is */
	struct snapshot *told; /* what the consumer knows, NULL: not of the buffer either */
	bool gone; /* in leaving */
	bool removed; /* REMOVED is to be sent */
	uint32_t reason;
	bool full; /* there was no room for UPDATED */
	uint64_t revoked; /* seq of the REVOKED that is to be sent, 0: none */
	unsigned int owed; /* CLOSED that the consumer is to say */
};

struct consumer_counters {
	uint64_t delivered, released, coalesced, revoked, held_ns;
};

struct consumer {
	LIST_ENTRY(consumer) link; /* consumers.list */
	TAILQ_HEAD(views, view) views, leaving; /* the latter in the order in which they left */
	TAILQ_HEAD(, out) line;
	struct consumers *all;
	struct loop_source *source;
	struct loop_source *pause; /* until it says HELLO; until it is listened to again */
	struct rate rate; /* of its messages */
	bool pausing; /* it sent more than it may */
	bool waited, said_it_waits;
	struct loop_source *retry; /* what is missing is not room in the socket */
	uint32_t events; /* of source */
	bool retrying;
	int sock;
	struct access_peer peer;
	unsigned int num_queued, max_queued; /* in line */
	unsigned int num_answers; /* of these */
	struct out *sending;
	bool welcome; /* it said HELLO */
	bool deaf; /* the other side is closed; what it said before counts */
	bool doomed; /* to be dropped when nobody walks over it any more */
	uint64_t caps;
	struct consumer_counters past; /* of views that are no more */
	char program[BUFSHARE_IPC_NAME_SIZE];
	char patterns[BUFSHARE_IPC_MAX_SUBSCRIPTIONS][BUFSHARE_IPC_NAME_SIZE];
	unsigned int num_patterns;

	struct out synced; /* SYNCED is to be sent, this often: */
	unsigned int unsynced;

	struct out state; /* STATE is to be sent: */
	uint32_t state_void; /* first RESET or GONE, 0: neither */
	int64_t state_now; /* then this, -1: nothing */
};

struct consumers {
	LIST_HEAD(, consumer) list;
	struct consumers_config config;
	struct loop *loop;
	struct loop_source *source; /* of the listener */
	struct loop_source *again; /* a timer, when it is looked at again */
	struct loop_source *reaper;
	struct loop_source *expiry; /* of what is held too long */
	bool expiry_set;
	struct dev *dev;
	int listener;
	unsigned int num;
	uint32_t state;
};

/* ---- consumers.c ---- */

void consumer_doom(struct consumer *c, const char *why);

/* What it may do with the buffers of an application; NULL: of any. */
unsigned int consumer_rights(const struct consumer *c, const char *application);

/* Something is held, or is to be given, from now on. */
void consumers_expire_later(struct consumers *cs);

/* Its events: whether it is listened to, and whether it waits for room. */
void consumer_listen(struct consumer *c);

/* ---- consumers-out.c ---- */

/* Something is to be told first: nothing can be sent at once. */
bool consumer_has_line(const struct consumer *c);

/* Sends now if nothing stands in line. -EAGAIN: no; -ENOTCONN: nobody reads it any more. */
int consumer_try(struct consumer *c, const void *message, size_t size, int fd);

/* An answer: sent, or put in line. Dooms the consumer when that can not be. */
void consumer_answer(struct consumer *c, const void *message, size_t size, int fd);

/* Puts one in line before all that waits. -ENOMEM, -EMFILE. */
int consumer_answer_first(struct consumer *c, const void *message, size_t size, int fd);

/*
 * Puts it in line, unless it stands there already; and sends it at once if it is the first
 * and there is room, or (behind) not before there is room again.
 */
void consumer_queue(struct consumer *c, struct out *out);
void consumer_queue_behind(struct consumer *c, struct out *out);

/* For what is being sent by its own function: the message is next. */
int consumer_send_now(struct consumer *c, const void *message, size_t size, int fd);

/* Nothing can be sent, for the reason r. */
void consumer_failed(struct consumer *c, int r);

/* What is said, in either direction, with --trace. */
void consumer_trace(const struct consumer *c, const char *what, const void *message, size_t size);

/* Takes it out of the line; it need not be there. */
void consumer_unqueue(struct consumer *c, struct out *out);

/* There is room again. */
void consumer_flush(struct consumer *c);

/* Forgets all answers. */
void consumer_drop_answers(struct consumer *c);

/* ---- consumers-view.c ---- */

bool consumer_wants(const struct consumer *c, const struct dev_buffer *buffer);

/* Makes the buffer visible to the consumer. */
void consumer_add(struct consumer *c, struct dev_buffer *buffer);

/* All that it subscribed to was told, if there is something that it was not told of. */
void consumer_sync(struct consumer *c);
int consumer_send_synced(struct consumer *c, struct out *out);

/* The view of a buffer that the consumer sees; NULL: it sees none of that id. */
struct view *view_find(struct consumer *c, uint64_t id);

/* Out of the list that it is in; and everything else of it. */
void view_take_out(struct view *v);
void view_free(struct view *v);

/* ---- consumers-leave.c ---- */

/* Out of sight for this consumer alone. */
void view_hide(struct view *v);

/* The consumer no longer has what it had of a buffer when that left its sight. */
void view_closed(struct consumer *c, uint64_t id);

/* The guest's buffers are void, and with them all views. */
void views_void(struct consumer *c);

/* Ends all views, as the consumer ended. */
void views_end(struct consumer *c);

/* ---- consumers-props.c ---- */

/* Of both sides' properties; NULL: no memory. */
struct snapshot *snapshot_new(const struct props *one, const struct props *two);

struct snapshot *snapshot_ref(struct snapshot *s);

/* NULL is fine. Returns NULL. */
struct snapshot *snapshot_unref(struct snapshot *s);

/*
 * The block that makes of what was told what is now; known is what is known after it. If
 * that would be more than PROPS_BLOCK_MAX, then only what is gone, and the rest is next.
 * block has room for twice as much. -ENOMEM.
 */
int snapshot_diff(const struct snapshot *told, struct snapshot *now, char *block, size_t *size,
		  struct snapshot **known);

/* ---- consumers-msg.c ---- */

/* Acts on one message. 0, or the errno it is refused with; the consumer is then dropped. */
int consumer_message(struct consumer *c, const union ipc_message *msg, size_t size);

/* ---- consumers-stats.c ---- */

/* Answers GET_STATS. */
void consumer_stats(struct consumer *c);

#endif /* BUFSHARE_DAEMON_CONSUMERS_INTERNAL_H */
