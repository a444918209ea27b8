/* SPDX-License-Identifier: MIT */
/*
 * The messages of a VMM that the next worker has to be told, by key, with their
 * descriptors. Their bytes mean nothing here.
 */
#ifndef BUFSHARE_DAEMON_JOURNAL_H
#define BUFSHARE_DAEMON_JOURNAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "host/daemon/keeper-proto.h"

/* More than the largest front end has: regions and a few for each queue. */
#define JOURNAL_MAX	512

struct message {
	uint8_t bytes[KEEPER_MAX_MESSAGE];
	size_t size;
	int fds[VHOST_USER_MAX_FDS];
	size_t num_fds;
};

/* Closes the descriptors. */
void message_clear(struct message *msg);

struct journal_entry {
	TAILQ_ENTRY(journal_entry) link;
	uint32_t key;
	size_t size;
	int fds[VHOST_USER_MAX_FDS];
	size_t num_fds;
	uint8_t bytes[];
};

struct journal {
	TAILQ_HEAD(, journal_entry) entries; /* by key */
	unsigned int n;
};

void journal_init(struct journal *journal);
void journal_clear(struct journal *journal);

/*
 * Does what the note says; a message that is kept loses its descriptors to the journal.
 * -ENOMEM, -ENOSPC: nothing changed.
 */
int journal_note(struct journal *journal, const struct vu_note *note, struct message *msg);

#endif /* BUFSHARE_DAEMON_JOURNAL_H */
