/* SPDX-License-Identifier: MIT */
/*
 * What the files of exports have in common.
 */
#ifndef BUFSHARE_DAEMON_EXPORT_INTERNAL_H
#define BUFSHARE_DAEMON_EXPORT_INTERNAL_H

#include "host/daemon/export.h"

struct udmabuf_create_list;

/* A piece of the buffer that lies in one piece in one file. */
struct piece {
	uint64_t start; /* in the buffer */
	uint64_t size;
	uint64_t gpa;
	uint64_t offset; /* in the file */
	const uint8_t *hva;
	struct memory_region *region; /* a reference */
};

/* Bytes of the buffer. */
struct span {
	uint64_t from, to;
};

/*
 * While its job is on the way an export is left as it is, but for the job's own fields; so
 * is the guest's memory, to which the pieces have references, whatever becomes of the buffer.
 */
struct export {
	struct exporter *exporter;
	struct dev_buffer *buffer; /* NULL: gone; the end of the job frees the export */
	struct piece *pieces;
	uint32_t n;
	int fd; /* UDMABUF: our own; MEMFD: of the region */
	bool fd_borrowed;
	uint8_t *copy; /* NULL: nobody needed one */
	int copy_fd;
	uint64_t size;
	int ranges_fd;

	struct export_job job; /* one at a time: */
	struct udmabuf_create_list *list; /* makes the dma-buf of this list; its descriptor or -errno: */
	int result;
	struct span spans[VIRTIO_BUFSHARE_MAX_DAMAGE]; /* or copies these */
	unsigned int num_spans;
};

static inline struct export *export_of(struct export_job *job)
{
	return (struct export *)((char *)job - offsetof(struct export, job));
}

/* For done() of a job. False: the buffer was gone, and now the export is. */
bool export_job_ended(struct export *e);

/* A file of which consumers get a descriptor that can only be read, and never shrinks. */
int export_make_copy(struct export *e);

/* In the thread. */
void export_run_copy(struct export_job *job);
void export_run_udmabuf(struct export_job *job);

/* Whether a piece of the guest's memory turned out not to be there. */
bool export_is_torn(const struct export *e);

#endif /* BUFSHARE_DAEMON_EXPORT_INTERNAL_H */
