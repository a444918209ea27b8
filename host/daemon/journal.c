/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/daemon/journal.h"

static void close_all(int *fds, size_t *n)
{
	while (*n > 0)
		close(fds[--*n]);
}

void message_clear(struct message *msg)
{
	close_all(msg->fds, &msg->num_fds);
	msg->size = 0;
}

void journal_init(struct journal *journal)
{
	TAILQ_INIT(&journal->entries);
	journal->n = 0;
}

static void drop(struct journal *journal, struct journal_entry *e)
{
	TAILQ_REMOVE(&journal->entries, e, link);
	journal->n--;
	close_all(e->fds, &e->num_fds);
	free(e);
}

static void forget(struct journal *journal, uint32_t first, uint32_t last)
{
	struct journal_entry *e, *next;

	for (e = TAILQ_FIRST(&journal->entries); e; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->key >= first && e->key <= last)
			drop(journal, e);
	}
}

void journal_clear(struct journal *journal)
{
	forget(journal, 0, UINT32_MAX);
}

static void insert(struct journal *journal, struct journal_entry *new)
{
	struct journal_entry *e;

	journal->n++;
	TAILQ_FOREACH(e, &journal->entries, link) {
		if (e->key > new->key) {
			TAILQ_INSERT_BEFORE(e, new, link);
			return;
		}
	}
	TAILQ_INSERT_TAIL(&journal->entries, new, link);
}

int journal_note(struct journal *journal, const struct vu_note *note, struct message *msg)
{
	struct journal_entry *new = NULL;

	if (note->keep) {
		if (journal->n >= JOURNAL_MAX)
			return -ENOSPC;
		new = malloc(sizeof(*new) + msg->size);
		if (!new)
			return -ENOMEM;
	}
	if (note->forget_first)
		forget(journal, note->forget_first, note->forget_last);
	if (!new)
		return 0;

	forget(journal, note->keep, note->keep);
	new->key = note->keep;
	new->size = msg->size;
	memcpy(new->bytes, msg->bytes, msg->size);
	memcpy(new->fds, msg->fds, sizeof(msg->fds));
	new->num_fds = msg->num_fds;
	msg->num_fds = 0;
	insert(journal, new);
	return 0;
}
