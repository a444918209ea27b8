/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/memory.h"
#include "host/daemon/memory-guard.h"

struct memory {
	size_t count;
	struct memory_region *regions[MEMORY_MAX_REGIONS];
};

int memory_new(struct memory **memory)
{
	struct memory *m;

	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;

	*memory = m;
	return 0;
}

static void clear(struct memory *memory)
{
	size_t i;

	for (i = 0; i < memory->count; i++)
		memory_region_unref(memory->regions[i]);
	memory->count = 0;
}

struct memory *memory_free(struct memory *memory)
{
	if (!memory)
		return NULL;

	clear(memory);
	free(memory);
	return NULL;
}

struct memory_region *memory_region_ref(struct memory_region *region)
{
	region->refs++;
	return region;
}

struct memory_region *memory_region_unref(struct memory_region *region)
{
	if (!region || --region->refs > 0)
		return NULL;

	memory_guard_remove(region->guard);
	munmap(region->map, region->map_size);
	close(region->fd);
	free(region);
	return NULL;
}

bool memory_region_is_torn(const struct memory_region *region)
{
	return memory_guard_is_torn(region->guard);
}

static bool wraps(uint64_t start, uint64_t size)
{
	return size > UINT64_MAX - start;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int check_info(const struct memory_info *info)
{
	if (info->size == 0 || wraps(info->gpa, info->size) || wraps(info->uva, info->size) ||
	    wraps(info->offset, info->size))
		return -EINVAL;
	return 0;
}

static int check_overlap(const struct memory *memory, const struct memory_info *info)
{
	size_t i;

	for (i = 0; i < memory->count; i++) {
		const struct memory_info *other = &memory->regions[i]->info;

		if (overlap(info->gpa, info->size, other->gpa, other->size) ||
		    overlap(info->uva, info->size, other->uva, other->size))
			return -EEXIST;
	}
	return 0;
}

static uint64_t file_page_size(int fd)
{
	uint64_t page_size = sysconf(_SC_PAGESIZE);
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
		page_size = fs.f_bsize;
	return page_size;
}

/*
 * The file is mapped from the page on in which the region begins; pages of hugetlbfs are
 * larger, and can only be mapped and unmapped as a whole.
 */
static int map_region(struct memory_region *region, int fd)
{
	uint64_t skip = region->info.offset % region->page_size;
	uint64_t size = skip + region->info.size;
	uint64_t rest = size % region->page_size;
	void *map;

	if (rest && wraps(size, region->page_size - rest))
		return -EINVAL;
	if (rest)
		size += region->page_size - rest;
	if (size > SIZE_MAX)
		return -EFBIG;

	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		   region->info.offset - skip);
	if (map == MAP_FAILED)
		return -errno;

	region->guard = memory_guard_add(map, size, region->page_size);
	if (region->guard < 0) {
		munmap(map, size);
		return region->guard;
	}

	/* The guest's secrets do not belong into our core dumps. */
	madvise(map, size, MADV_DONTDUMP);

	region->map = map;
	region->map_size = size;
	region->hva = (uint8_t *)map + skip;
	return 0;
}

/* On success the region has the fd. */
static int region_new(const struct memory_info *info, int fd, struct memory_region **region)
{
	_cleanup_free_ struct memory_region *new = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	if (info->offset + info->size > (uint64_t)st.st_size)
		return -ENXIO;

	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;

	new->info = *info;
	new->refs = 1;
	new->seals = fcntl(fd, F_GET_SEALS);
	new->page_size = file_page_size(fd);
	new->dev = st.st_dev;
	new->ino = st.st_ino;
	r = map_region(new, fd);
	if (r < 0)
		return r;

	new->fd = fd;
	*region = steal_ptr(&new);
	return 0;
}

static bool number_is_free(const struct memory *memory, int number)
{
	size_t i;

	for (i = 0; i < memory->count; i++)
		if (memory->regions[i]->number == number)
			return false;
	return true;
}

int memory_add(struct memory *memory, const struct memory_info *info, int fd)
{
	struct memory_region *region;
	int r;

	r = check_info(info);
	if (r < 0)
		return r;

	r = check_overlap(memory, info);
	if (r < 0)
		return r;

	if (memory->count == MEMORY_MAX_REGIONS)
		return -ENOSPC;

	r = region_new(info, fd, &region);
	if (r < 0)
		return r;

	region->number = MEMORY_FIRST_ADDED;
	while (!number_is_free(memory, region->number))
		region->number++;
	memory->regions[memory->count++] = region;
	return 0;
}

static int find_index(const struct memory *memory, const struct memory_info *info)
{
	size_t i;

	for (i = 0; i < memory->count; i++) {
		const struct memory_info *it = &memory->regions[i]->info;

		if (it->gpa == info->gpa && it->size == info->size && it->uva == info->uva)
			return (int)i;
	}
	return -ENOENT;
}

int memory_number(const struct memory *memory, const struct memory_info *info)
{
	int i = find_index(memory, info);

	return i < 0 ? i : memory->regions[i]->number;
}

int memory_remove(struct memory *memory, const struct memory_info *info)
{
	int i = find_index(memory, info);

	if (i < 0)
		return i;
	memory_region_unref(memory->regions[i]);
	memory->regions[i] = memory->regions[--memory->count];
	return 0;
}

/* The region of the old table that is the same memory at the same addresses, if there is one. */
static struct memory_region *find_same(const struct memory *memory, const struct memory_info *info,
				       int fd)
{
	struct stat st;
	size_t i;

	if (fstat(fd, &st) < 0 || info->offset + info->size > (uint64_t)st.st_size)
		return NULL;

	for (i = 0; i < memory->count; i++) {
		struct memory_region *region = memory->regions[i];

		if (memcmp(&region->info, info, sizeof(*info)) == 0 && region->dev == st.st_dev &&
		    region->ino == st.st_ino && !memory_region_is_torn(region))
			return region;
	}
	return NULL;
}

/* One region of a new table: the old object, or a new one that has a duplicate of the fd. */
static int carry_over_or_add(const struct memory *old, struct memory *new,
			     const struct memory_info *info, int fd)
{
	_cleanup_close_ int copy = -1;
	struct memory_region *same;
	int r;

	r = check_info(info);
	if (r < 0)
		return r;

	same = find_same(old, info, fd);
	if (same) {
		r = check_overlap(new, info);
		if (r < 0)
			return r;
		new->regions[new->count++] = memory_region_ref(same);
		return 0;
	}

	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;

	r = memory_add(new, info, copy);
	if (r < 0)
		return r;

	steal_fd(&copy);
	return 0;
}

int memory_replace(struct memory *memory, const struct memory_info *infos, const int *fds,
		   size_t n)
{
	struct memory new = { .count = 0 };
	size_t i;
	int r;

	if (n > MEMORY_MAX_REGIONS)
		return -ENOSPC;

	for (i = 0; i < n; i++) {
		r = carry_over_or_add(memory, &new, &infos[i], fds[i]);
		if (r < 0) {
			clear(&new);
			return r;
		}
	}

	clear(memory);
	*memory = new;
	for (i = 0; i < n; i++) {
		memory->regions[i]->number = (int)i;
		close(fds[i]);
	}
	return 0;
}

size_t memory_count(const struct memory *memory)
{
	return memory->count;
}

struct memory_region *memory_get(const struct memory *memory, size_t index)
{
	return memory->regions[index];
}

bool memory_is_torn(const struct memory *memory)
{
	size_t i;

	for (i = 0; i < memory->count; i++)
		if (memory_region_is_torn(memory->regions[i]))
			return true;
	return false;
}

static bool is_inside(uint64_t start, uint64_t start_size, uint64_t addr, uint64_t size)
{
	return addr >= start && addr - start <= start_size && size <= start_size - (addr - start);
}

static void make_span(struct memory_region *region, uint64_t delta, struct memory_span *span)
{
	span->region = region;
	span->hva = region->hva + delta;
	span->offset = region->info.offset + delta;
}

int memory_lookup(const struct memory *memory, uint64_t gpa, uint64_t size,
		  struct memory_span *span)
{
	size_t i;

	for (i = 0; size > 0 && i < memory->count; i++) {
		struct memory_region *region = memory->regions[i];

		if (is_inside(region->info.gpa, region->info.size, gpa, size) &&
		    !memory_region_is_torn(region)) {
			make_span(region, gpa - region->info.gpa, span);
			return 0;
		}
	}
	return -EFAULT;
}

int memory_lookup_uva(const struct memory *memory, uint64_t uva, uint64_t size,
		      struct memory_span *span)
{
	size_t i;

	for (i = 0; size > 0 && i < memory->count; i++) {
		struct memory_region *region = memory->regions[i];

		if (is_inside(region->info.uva, region->info.size, uva, size) &&
		    !memory_region_is_torn(region)) {
			make_span(region, uva - region->info.uva, span);
			return 0;
		}
	}
	return -EFAULT;
}
