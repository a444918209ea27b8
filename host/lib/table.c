/* SPDX-License-Identifier: MIT */
/*
 * The buffers in sight: an array sorted by id. Guests count their ids up, so that
 * a new one goes to the end.
 */
#include <errno.h>
#include <string.h>

#include "host/lib/internal.h"

/* Index of the first buffer whose id is at least this one. */
static size_t lower_bound(const struct bufshare_host *host, uint64_t id)
{
	size_t low = 0, high = host->table_size;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (host->table[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct bufshare_host_buffer *table_find(const struct bufshare_host *host, uint64_t id)
{
	size_t i = lower_bound(host, id);

	return i < host->table_size && host->table[i]->id == id ? host->table[i] : NULL;
}

struct bufshare_host_buffer *table_next(const struct bufshare_host *host, uint64_t id)
{
	size_t i;

	if (id == UINT64_MAX)
		return NULL;

	i = lower_bound(host, id + 1);
	return i < host->table_size ? host->table[i] : NULL;
}

static int table_grow(struct bufshare_host *host)
{
	size_t room = host->table_room ? 2 * host->table_room : 16;
	struct bufshare_host_buffer **table;

	table = reallocarray(host->table, room, sizeof(*table));
	if (!table)
		return -ENOMEM;

	host->table = table;
	host->table_room = room;
	return 0;
}

int table_add(struct bufshare_host *host, struct bufshare_host_buffer *buf)
{
	size_t i = lower_bound(host, buf->id);

	if (i < host->table_size && host->table[i]->id == buf->id)
		return -EEXIST;
	if (host->table_size >= HOST_MAX_BUFFERS)
		return -ENOSPC;
	if (host->table_size == host->table_room) {
		int r = table_grow(host);

		if (r < 0)
			return r;
	}

	memmove(&host->table[i + 1], &host->table[i],
		(host->table_size - i) * sizeof(*host->table));
	host->table[i] = buf;
	host->table_size++;
	return 0;
}

void table_remove(struct bufshare_host *host, struct bufshare_host_buffer *buf)
{
	size_t i = lower_bound(host, buf->id);

	host->table_size--;
	memmove(&host->table[i], &host->table[i + 1],
		(host->table_size - i) * sizeof(*host->table));
}

struct bufshare_host_buffer *table_pop(struct bufshare_host *host)
{
	return host->table_size ? host->table[--host->table_size] : NULL;
}
