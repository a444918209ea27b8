/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory: a table of regions, each a piece of a file that is mapped here.
 *
 * The bytes belong to the guest, which may write them at any moment: copy, check, then
 * use, and never read a byte twice.
 *
 * Each region lies inside its file when it is added; after that only F_SEAL_SHRINK keeps
 * it there. A region whose file was shrunk is torn as soon as somebody touches the lost
 * pages: they are zeros of ours then, and the region is no memory of the guest any more.
 */
#ifndef BUFSHARE_DAEMON_MEMORY_H
#define BUFSHARE_DAEMON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As many as the largest front ends use; they learn this number (MEM_SLOTS). */
#define MEMORY_MAX_REGIONS	64

struct memory;

/* How a front end describes a region. */
struct memory_info {
	uint64_t gpa;		/* guest-physical address of its first byte */
	uint64_t size;		/* bytes */
	uint64_t uva;		/* its address in the front end, by which rings are given */
	uint64_t offset;	/* of its first byte in the file */
};

/*
 * A region. It stays mapped, with its file open, until it has left the table and the last
 * reference is gone. Two regions are the same memory if and only if they are the same
 * object: a table that is replaced keeps the objects of regions that did not change.
 * All fields are read-only.
 */
struct memory_region {
	struct memory_info info;
	int number;		/* its own in the table */
	uint8_t *hva;		/* its first byte in this process */
	int fd;			/* of the file, borrowed */
	int seals;		/* F_SEAL_* of the file; -1: a file that can not have any */
	uint64_t page_size;	/* of the file: more than the system's with hugetlbfs */

	/* the rest belongs to memory.c */
	unsigned int refs;
	int guard;
	void *map;
	size_t map_size;
	dev_t dev;
	ino_t ino;
};

/* Where a piece of guest memory is; valid until the table changes, or with a reference longer. */
struct memory_span {
	struct memory_region *region;	/* borrowed */
	uint8_t *hva;			/* in this process */
	uint64_t offset;		/* in region->fd */
};

/* An empty table. */
int memory_new(struct memory **memory);

/* NULL is fine. Returns NULL. */
struct memory *memory_free(struct memory *memory);

/*
 * Adds a region. The fd becomes the table's on success. -EINVAL: empty, or an address
 * wraps around; -EEXIST: it overlaps another one; -ENOSPC: the table is full; -ENXIO: it
 * reaches beyond the end of the file; -EMEDIUMTYPE: not a regular file; or why it can not
 * be mapped.
 */
int memory_add(struct memory *memory, const struct memory_info *info, int fd);

/*
 * The number of the region with that gpa, size and uva: in the order of memory_replace(), or
 * from MEMORY_FIRST_ADDED on. -ENOENT: there is none.
 */
int memory_number(const struct memory *memory, const struct memory_info *info);
#define MEMORY_FIRST_ADDED	MEMORY_MAX_REGIONS

/* Removes the region with that gpa, size and uva. -ENOENT: there is none. */
int memory_remove(struct memory *memory, const struct memory_info *info);

/*
 * Makes these n regions the table, all of them or (on error, as memory_add) none: then the
 * table is as before. The fds become the table's on success, which may close some at once.
 */
int memory_replace(struct memory *memory, const struct memory_info *infos, const int *fds,
		   size_t n);

/* The regions, in no order: index 0 to memory_count() - 1. */
size_t memory_count(const struct memory *memory);
struct memory_region *memory_get(const struct memory *memory, size_t index);

/* Whether a region of the table is torn. */
bool memory_is_torn(const struct memory *memory);

/* Whether this one is, in the table or not. */
bool memory_region_is_torn(const struct memory_region *region);

/* Where size bytes of guest memory at gpa are; -EFAULT: not wholly inside one region, or none. */
int memory_lookup(const struct memory *memory, uint64_t gpa, uint64_t size,
		  struct memory_span *span);

/* The same by address in the front end. */
int memory_lookup_uva(const struct memory *memory, uint64_t uva, uint64_t size,
		      struct memory_span *span);

/* Keeps a region usable (hva, fd) beyond its time in the table. Not thread-safe. */
struct memory_region *memory_region_ref(struct memory_region *region);

/* NULL is fine. Returns NULL. */
struct memory_region *memory_region_unref(struct memory_region *region);

#endif /* BUFSHARE_DAEMON_MEMORY_H */
