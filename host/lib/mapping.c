/* SPDX-License-Identifier: MIT */
/*
 * The memory of a buffer: one linear mapping, whatever its path; for reading, until the
 * program asks to write. What the daemon passes is checked so that the mapping can not
 * raise SIGBUS, except on BUFSHARE_PATH_MEMFD, where the guest's memory file may be one
 * that can shrink.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/dmabuf.h"
#include "host/lib/internal.h"

static bool has_seals(int fd, int wanted)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & wanted) == wanted;
}

/* Bytes of a regular file; 0 if it is none. */
static uint64_t file_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return st.st_size;
}

/* Its pages may not be there to be had, which is SIGBUS. */
static bool has_huge_pages(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 || fs.f_type == HUGETLBFS_MAGIC;
}

static bool copy_valid(int fd, uint64_t size)
{
	return has_seals(fd, F_SEAL_SHRINK) && file_size(fd) >= size && !has_huge_pages(fd);
}

static bool udmabuf_valid(int fd, uint64_t size)
{
	off_t end;

	if (!dmabuf_is(fd))
		return false;

	end = lseek(fd, 0, SEEK_END);
	return end >= 0 && (uint64_t)end >= size;
}

int mapping_check(int path, int fd, uint64_t size, const struct host_ranges *ranges)
{
	bool valid = false;

	switch (path) {
	case BUFSHARE_PATH_COPY:
		valid = copy_valid(fd, size);
		break;
	case BUFSHARE_PATH_UDMABUF:
		valid = udmabuf_valid(fd, size);
		break;
	case BUFSHARE_PATH_MEMFD:
		valid = ranges->size == size && ranges->end <= file_size(fd);
		break;
	}
	return valid ? 0 : -EPROTO;
}

static int read_all(int fd, void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)data + done, size - done, done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPROTO;
		done += n;
	}
	return 0;
}

/* Adds a range to the ends of those before. */
static int range_add(struct host_ranges *ranges, const struct host_range *range)
{
	uint64_t end;

	if (range->size == 0 || range->size % VIRTIO_BUFSHARE_PAGE_SIZE ||
	    range->offset % VIRTIO_BUFSHARE_PAGE_SIZE)
		return -EPROTO;
	if (__builtin_add_overflow(range->offset, range->size, &end) ||
	    __builtin_add_overflow(ranges->size, range->size, &ranges->size))
		return -EPROTO;

	if (end > ranges->end)
		ranges->end = end;
	return 0;
}

int ranges_read(int fd, size_t n, struct host_ranges *ranges)
{
	const size_t size = n * sizeof(struct bufshare_ipc_range);
	_cleanup_(ranges_clear) struct host_ranges got = { .n = n };
	size_t i;
	int r;

	_Static_assert(sizeof(struct host_range) == sizeof(struct bufshare_ipc_range),
		       "the file is read into place");

	if (!has_seals(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) || file_size(fd) != size)
		return -EPROTO;

	got.v = malloc(size);
	if (!got.v)
		return -ENOMEM;

	r = read_all(fd, got.v, size);
	if (r < 0)
		return r;

	for (i = 0; i < n; i++) {
		got.v[i].offset = le64toh(got.v[i].offset);
		got.v[i].size = le64toh(got.v[i].size);
		r = range_add(&got, &got.v[i]);
		if (r < 0)
			return r;
	}

	*ranges = got;
	got.v = NULL;
	return 0;
}

void ranges_clear(struct host_ranges *ranges)
{
	free(ranges->v);
	*ranges = (struct host_ranges){ 0 };
}

/* How a buffer is mapped, by its path, at its place if it has one. */
struct how {
	int prot;
	int flags;
	void *at; /* NULL: anywhere */
};

/* What is written to a copy stays here: it is nobody else's, and the file is read-only. */
static struct how how_to_map(const struct bufshare_host_buffer *buf, int path)
{
	const bool private = buf->writable && path == BUFSHARE_PATH_COPY;

	return (struct how){
		.prot = PROT_READ | (buf->writable ? PROT_WRITE : 0),
		.flags = (private ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED) |
			 (buf->addr ? MAP_FIXED : 0),
		.at = buf->addr,
	};
}

static int map_whole(int fd, uint64_t size, const struct how *how, void **addr)
{
	void *p = mmap(how->at, size, how->prot, how->flags, fd, 0);

	if (p == MAP_FAILED)
		return -errno;

	*addr = p;
	return 0;
}

static int map_ranges(int fd, const struct host_ranges *ranges, const struct how *how, void **addr)
{
	size_t i, done = 0;
	char *base = how->at;

	if (!base)
		base = mmap(NULL, ranges->size, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;

	for (i = 0; i < ranges->n; i++) {
		const struct host_range *range = &ranges->v[i];

		if (mmap(base + done, range->size, how->prot, how->flags | MAP_FIXED, fd,
			 range->offset) == MAP_FAILED) {
			int r = -errno;

			if (!how->at)
				munmap(base, ranges->size);
			return r;
		}
		done += range->size;
	}

	*addr = base;
	return 0;
}

static int map_any(struct bufshare_host_buffer *buf, int path, int fd,
		   const struct host_ranges *ranges)
{
	const struct how how = how_to_map(buf, path);

	return path == BUFSHARE_PATH_MEMFD ? map_ranges(fd, ranges, &how, &buf->addr) :
					     map_whole(fd, buf->size, &how, &buf->addr);
}

int mapping_replace(struct bufshare_host_buffer *buf, int path, int *fd, struct host_ranges *ranges)
{
	int r = 0;

	if (buf->addr)
		r = map_any(buf, path, *fd, ranges);
	if (r < 0) {
		/* The program reads there: nothing is better than a hole. */
		mmap(buf->addr, buf->size, PROT_READ | (buf->writable ? PROT_WRITE : 0),
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
		return r;
	}
	if (dup3(*fd, buf->fd, O_CLOEXEC) < 0)
		return -errno;
	cleanup_close(fd);
	*fd = -1;

	buf->path = path;
	buf->host->num_ranges -= buf->ranges.n;
	ranges_clear(&buf->ranges);
	buf->ranges = *ranges;
	buf->host->num_ranges += buf->ranges.n;
	*ranges = (struct host_ranges){ 0 };
	return 0;
}

void mapping_drop(struct bufshare_host_buffer *buf)
{
	if (buf->addr)
		munmap(buf->addr, buf->size);
	buf->addr = NULL;
	if (buf->fd >= 0)
		close(buf->fd);
	buf->fd = -1;
}

BUFSHARE_EXPORT int bufshare_host_buffer_map(struct bufshare_host_buffer *buf, const void **addr)
{
	int r = 0;

	if (!buf || !addr)
		return -EINVAL;

	if (!buf->addr)
		r = map_any(buf, buf->path, buf->fd, &buf->ranges);
	if (r < 0)
		return r;

	*addr = buf->addr;
	return 0;
}

/* Whether what this program writes reaches the guest. */
static int check_writable(const struct bufshare_host_buffer *buf)
{
	if (buf->path != BUFSHARE_PATH_COPY)
		return 0;
	return buf->copy_reason == BUFSHARE_COPY_RIGHT ? -EACCES : -EOPNOTSUPP;
}

static int make_writable(struct bufshare_host_buffer *buf)
{
	int r;

	buf->writable = true;
	if (!buf->addr)
		r = map_any(buf, buf->path, buf->fd, &buf->ranges);
	else
		r = mprotect(buf->addr, buf->size, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
	buf->writable = r == 0;
	return r;
}

BUFSHARE_EXPORT int bufshare_host_buffer_map_writable(struct bufshare_host_buffer *buf, void **addr)
{
	int r;

	if (!buf || !addr)
		return -EINVAL;

	r = check_writable(buf);
	if (r == 0 && !buf->writable)
		r = make_writable(buf);
	if (r < 0)
		return r;

	*addr = buf->addr;
	return 0;
}

static int sync_access(struct bufshare_host_buffer *buf, uint64_t flags)
{
	if (!buf)
		return -EINVAL;
	if (buf->path != BUFSHARE_PATH_UDMABUF)
		return 0;
	return dmabuf_sync(buf->fd, flags);
}

BUFSHARE_EXPORT int bufshare_host_buffer_begin_read(struct bufshare_host_buffer *buf)
{
	return sync_access(buf, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
}

BUFSHARE_EXPORT int bufshare_host_buffer_end_read(struct bufshare_host_buffer *buf)
{
	return sync_access(buf, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
}

static int sync_write(struct bufshare_host_buffer *buf, uint64_t flag)
{
	int r = buf ? check_writable(buf) : -EINVAL;

	return r < 0 ? r : sync_access(buf, flag | DMA_BUF_SYNC_RW);
}

BUFSHARE_EXPORT int bufshare_host_buffer_begin_write(struct bufshare_host_buffer *buf)
{
	return sync_write(buf, DMA_BUF_SYNC_START);
}

BUFSHARE_EXPORT int bufshare_host_buffer_end_write(struct bufshare_host_buffer *buf)
{
	return sync_write(buf, DMA_BUF_SYNC_END);
}

BUFSHARE_EXPORT int bufshare_host_buffer_get_dmabuf(const struct bufshare_host_buffer *buf)
{
	if (!buf)
		return -EINVAL;
	return buf->path == BUFSHARE_PATH_UDMABUF ? buf->fd : -EOPNOTSUPP;
}
