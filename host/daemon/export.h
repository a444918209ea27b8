/* SPDX-License-Identifier: MIT */
/*
 * How guest memory becomes something that consumers can map: as a dma-buf of the guest's
 * pages, as a copy, or as the guest's memory file itself.
 */
#ifndef BUFSHARE_DAEMON_EXPORT_H
#define BUFSHARE_DAEMON_EXPORT_H

#include "host/daemon/device.h"
#include "host/daemon/memory.h"

enum export_mode {
	EXPORT_AUTO, /* udmabuf where it works, else copy */
	EXPORT_UDMABUF,
	EXPORT_COPY,
	EXPORT_MEMFD,
};

struct exporter {
	int mode; /* enum export_mode */
	int udmabuf; /* /dev/udmabuf, -1: not there */
	uint32_t list_limit; /* of udmabuf: ranges of one buffer */
	uint64_t size_limit; /* of udmabuf: bytes of one buffer */
	bool said_why; /* why it copies */
};

/* Finds out what this host can do. -ENOENT, -EACCES: mode is UDMABUF, and it is not there. */
int exporter_init(struct exporter *exporter, int mode);
void exporter_close(struct exporter *exporter);

/* Sets the buffer's export and path. A status of virtio_bufshare.h. */
uint32_t export_make(struct exporter *exporter, const struct memory *memory,
		     struct dev_buffer *buffer, uint32_t *detail);

/* NULL is fine. Returns NULL. */
struct export *export_free(struct export *e);

/* Brings a copy up to date; does nothing for the other paths. Returns bytes copied. */
uint64_t export_refresh(struct dev_buffer *buffer, const struct dev_damage *damage);

/* False: a piece of it is no longer memory of the guest. */
bool export_is_valid(const struct export *e, const struct memory *memory);

/* What goes to a consumer; borrowed. */
int export_fd(const struct export *e);

/* PATH_MEMFD: the memfd with the ranges, borrowed, and how many; else -1. */
int export_ranges_fd(const struct export *e, uint32_t *n);

#endif /* BUFSHARE_DAEMON_EXPORT_H */
