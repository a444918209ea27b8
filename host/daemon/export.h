/* SPDX-License-Identifier: MIT */
/*
 * How guest memory becomes something that consumers can map: as a dma-buf of the guest's
 * pages, as a copy, or as the guest's memory file itself.
 */
#ifndef BUFSHARE_DAEMON_EXPORT_H
#define BUFSHARE_DAEMON_EXPORT_H

#include "host/daemon/device.h"
#include "host/daemon/export-thread.h"
#include "host/daemon/memory.h"

enum export_mode {
	EXPORT_AUTO, /* udmabuf where it works, else copy */
	EXPORT_UDMABUF,
	EXPORT_COPY,
	EXPORT_MEMFD,
};

/* What the thread did. */
struct exporter_ops {
	/* As export_make() returns it; not DEV_LATER. */
	void (*made)(void *data, struct dev_buffer *buffer, uint32_t status, uint32_t detail);

	/* As export_refresh() returns it; not -EINPROGRESS. */
	void (*copied)(void *data, struct dev_buffer *buffer, int r, uint64_t bytes);
};

struct exporter {
	int mode; /* enum export_mode */
	int udmabuf; /* /dev/udmabuf, -1: not there */
	uint32_t list_limit; /* of udmabuf: ranges of one buffer */
	uint64_t size_limit; /* of udmabuf: bytes of one buffer */
	uint32_t why; /* enum bufshare_ipc_why: all buffers are copied, 0: not all */
	uint32_t said; /* bits of the reasons that were logged */

	/* Set by whoever has a thread, after exporter_init(). */
	struct export_thread *thread; /* borrowed; NULL: everything is done at once */
	const struct exporter_ops *ops;
	void *data;
};

/* Finds out what this host can do. -ENOENT, -EACCES: mode is UDMABUF, and it is not there. */
int exporter_init(struct exporter *exporter, int mode);
/* What it can do as the guest is told: the capability, and lower limits if it has them. */
void exporter_describe(const struct exporter *exporter, struct virtio_bufshare_config *device);

void exporter_close(struct exporter *exporter);

/*
 * Sets the buffer's export, path and why. A status of virtio_bufshare.h; or DEV_LATER, and
 * ops->made() follows unless the export is freed. What the buffer is to its consumers does
 * not change from there on: one dma-buf, one copy.
 */
uint32_t export_make(struct exporter *exporter, const struct memory *memory,
		     struct dev_buffer *buffer, uint32_t *detail);

/* What the thread does with it may go on, and is not told. NULL is fine. Returns NULL. */
struct export *export_free(struct export *e);

/* There is a copy from now on, whatever the path; it is filled by export_refresh(). */
int export_need_copy(struct dev_buffer *buffer);

/*
 * Brings the copy up to date; does nothing if there is none. -EFAULT: the memory is gone;
 * -EINPROGRESS: ops->copied() follows unless the export is freed, and it is not to be
 * refreshed until then.
 */
int export_refresh(struct dev_buffer *buffer, const struct dev_damage *damage, uint64_t *bytes);

/* False: a piece of it is no longer memory of the guest. */
bool export_is_valid(const struct export *e, const struct memory *memory);

/* What goes to a consumer by that path of the buffer, or by PATH_COPY; borrowed. */
int export_fd(const struct export *e, uint32_t path);

/* PATH_MEMFD: the memfd with the ranges, borrowed, and how many. */
int export_ranges_fd(const struct export *e, uint32_t *n);

#endif /* BUFSHARE_DAEMON_EXPORT_H */
