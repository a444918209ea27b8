/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "host/daemon/export.h"
#include "host/daemon/log.h"
#include "host/ipc.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* A piece of the buffer that lies in one piece in one file. */
struct piece {
	uint64_t start; /* in the buffer */
	uint64_t size;
	uint64_t gpa;
	uint64_t offset; /* in the file */
	const uint8_t *hva;
	struct memory_region *region; /* a reference */
};

struct export {
	struct piece *pieces;
	uint32_t n;
	int fd; /* UDMABUF: our own; MEMFD: of the region */
	bool fd_borrowed;
	uint8_t *copy; /* NULL: nobody needed one */
	int copy_fd;
	uint64_t size;
	int ranges_fd;
};

static const char *const why_text[] = {
	[BUFSHARE_IPC_WHY_ASKED] = "so it is told to",
	[BUFSHARE_IPC_WHY_NO_UDMABUF] =
		"there is no /dev/udmabuf (zero-copy needs a kernel with CONFIG_UDMABUF)",
	[BUFSHARE_IPC_WHY_UDMABUF_DENIED] =
		"this user may not open /dev/udmabuf (give it access for zero-copy)",
	[BUFSHARE_IPC_WHY_NOT_SEALED] =
		"the guest's memory is not sealed (start QEMU with memory-backend-memfd,share=on)",
	[BUFSHARE_IPC_WHY_RANGES] =
		"it has more ranges than udmabuf takes (raise udmabuf.list_limit)",
	[BUFSHARE_IPC_WHY_SIZE] =
		"it is larger than udmabuf takes (raise udmabuf.size_limit_mb)",
	[BUFSHARE_IPC_WHY_KERNEL] = "udmabuf refuses it",
	[BUFSHARE_IPC_WHY_FILES] = "it lies in more than one file",
	[BUFSHARE_IPC_WHY_DRIVER] = "the guest's driver did not ask for zero-copy",
};

/* Each reason once: they tend to hold for every buffer there is. */
static void say_why(struct exporter *ex, uint32_t why)
{
	if (!(ex->said & (1U << why)))
		log_info("buffers are copied at each update: %s", why_text[why]);
	ex->said |= 1U << why;
}

static uint64_t read_parameter(const char *name, uint64_t otherwise)
{
	_cleanup_free_ char *path = NULL;
	uint64_t value = otherwise;
	FILE *f;

	if (asprintf(&path, "/sys/module/udmabuf/parameters/%s", name) < 0)
		return otherwise;
	f = fopen(path, "re");
	if (!f)
		return otherwise;
	if (fscanf(f, "%" SCNu64, &value) != 1)
		value = otherwise;
	fclose(f);
	return value;
}

int exporter_init(struct exporter *ex, int mode)
{
	*ex = (struct exporter){ .mode = mode, .udmabuf = -1 };
	if (mode == EXPORT_COPY) {
		ex->why = BUFSHARE_IPC_WHY_ASKED;
		ex->said = 1U << ex->why; /* whoever asked knows */
	}
	if (mode == EXPORT_COPY || mode == EXPORT_MEMFD)
		return 0;

	/* The kernel's defaults, should it not tell. */
	ex->list_limit = (uint32_t)read_parameter("list_limit", 1024);
	ex->size_limit = read_parameter("size_limit_mb", 64) << 20;
	ex->udmabuf = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (ex->udmabuf >= 0)
		return 0;
	if (mode == EXPORT_UDMABUF) {
		int r = -errno;

		log_err("cannot open /dev/udmabuf: %m (the kernel needs CONFIG_UDMABUF, and this user access; or use --export=auto)");
		return r;
	}
	ex->why = errno == EACCES || errno == EPERM ? BUFSHARE_IPC_WHY_UDMABUF_DENIED :
						      BUFSHARE_IPC_WHY_NO_UDMABUF;
	say_why(ex, ex->why);
	return 0;
}

void exporter_describe(const struct exporter *ex, struct virtio_bufshare_config *device)
{
	if (ex->mode == EXPORT_MEMFD || ex->udmabuf >= 0)
		device->caps |= htole64(VIRTIO_BUFSHARE_CAP_ZERO_COPY);
	else
		device->caps &= htole64(~VIRTIO_BUFSHARE_CAP_ZERO_COPY);

	/* Otherwise what does not fit is copied. */
	if (ex->mode != EXPORT_UDMABUF)
		return;
	if (le32toh(device->max_ranges) > ex->list_limit)
		device->max_ranges = htole32(ex->list_limit);
	if (le64toh(device->max_buffer_size) > ex->size_limit)
		device->max_buffer_size = htole64(ex->size_limit);
}

void exporter_close(struct exporter *ex)
{
	if (ex->udmabuf >= 0)
		close(ex->udmabuf);
	ex->udmabuf = -1;
}

struct export *export_free(struct export *e)
{
	uint32_t i;

	if (!e)
		return NULL;
	for (i = 0; i < e->n; i++)
		memory_region_unref(e->pieces[i].region);
	if (e->copy)
		munmap(e->copy, e->size);
	if (e->copy_fd >= 0)
		close(e->copy_fd);
	if (e->fd >= 0 && !e->fd_borrowed)
		close(e->fd);
	if (e->ranges_fd >= 0)
		close(e->ranges_fd);
	free(e->pieces);
	free(e);
	return NULL;
}

static void cleanup_export(struct export **e)
{
	export_free(*e);
}

/* Where the ranges are; those that touch in their file become one. -EFAULT: not guest memory. */
static int find_pieces(struct export *e, const struct memory *memory, const struct dev_buffer *b)
{
	struct memory_span span;
	uint64_t start = 0;
	uint32_t i;
	int r;

	e->pieces = calloc(b->num_ranges, sizeof(*e->pieces));
	if (!e->pieces)
		return -ENOMEM;
	for (i = 0; i < b->num_ranges; i++) {
		const struct dev_range *range = &b->ranges[i];
		struct piece *last = e->n ? &e->pieces[e->n - 1] : NULL;

		r = memory_lookup(memory, range->addr, range->size, &span);
		if (r < 0)
			return r;
		if (last && last->region == span.region && last->offset + last->size == span.offset &&
		    last->hva + last->size == span.hva) {
			last->size += range->size;
		} else {
			e->pieces[e->n++] = (struct piece){
				.start = start,
				.size = range->size,
				.gpa = range->addr,
				.offset = span.offset,
				.hva = span.hva,
				.region = memory_region_ref(span.region),
			};
		}
		start += range->size;
	}
	return 0;
}

/* ---- udmabuf ---- */

/* Why udmabuf can not take the buffer; enum bufshare_ipc_why, WHY_NONE: it can. */
static uint32_t udmabuf_refusal(const struct exporter *ex, const struct export *e)
{
	uint32_t i;

	if (ex->why)
		return ex->why;
	for (i = 0; i < e->n; i++)
		if (e->pieces[i].region->seals < 0 ||
		    !(e->pieces[i].region->seals & F_SEAL_SHRINK))
			return BUFSHARE_IPC_WHY_NOT_SEALED;
	if (e->n > ex->list_limit)
		return BUFSHARE_IPC_WHY_RANGES;
	if (e->size > ex->size_limit)
		return BUFSHARE_IPC_WHY_SIZE;
	return BUFSHARE_IPC_WHY_NONE;
}

static int make_udmabuf(struct exporter *ex, struct export *e)
{
	_cleanup_free_ struct udmabuf_create_list *list = NULL;
	uint32_t i;
	int fd;

	list = calloc(1, sizeof(*list) + e->n * sizeof(list->list[0]));
	if (!list)
		return -ENOMEM;
	list->flags = UDMABUF_FLAGS_CLOEXEC;
	list->count = e->n;
	for (i = 0; i < e->n; i++) {
		list->list[i].memfd = (uint32_t)e->pieces[i].region->fd;
		list->list[i].offset = e->pieces[i].offset;
		list->list[i].size = e->pieces[i].size;
	}
	fd = ioctl(ex->udmabuf, UDMABUF_CREATE_LIST, list);
	if (fd < 0)
		return -errno;
	e->fd = fd;
	return 0;
}

/* ---- copy ---- */

/*
 * Nobody but who has it mapped already writes to it any more, and it never shrinks. A
 * descriptor for reading needs /proc; without it the seal has to do, which is as strong.
 */
static int seal_copy(int fd, int *sealed)
{
	char path[64];

	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*sealed = open(path, O_RDONLY | O_CLOEXEC);
	if (*sealed < 0)
		*sealed = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *sealed < 0 ? -errno : 0;
}

/* A file of which consumers get a descriptor that can only be read, and never shrinks. */
static int make_copy(struct export *e)
{
	_cleanup_close_ int fd = memfd_create("bufshare", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *map;
	int r;

	if (fd < 0 || ftruncate(fd, (off_t)e->size) < 0)
		return -errno;
	map = mmap(NULL, e->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	r = seal_copy(fd, &e->copy_fd);
	if (r < 0) {
		munmap(map, e->size);
		return r;
	}
	e->copy = map;
	return 0;
}

int export_need_copy(struct dev_buffer *b)
{
	return b->export->copy ? 0 : make_copy(b->export);
}

static void copy_bytes(struct export *e, uint64_t from, uint64_t to)
{
	uint32_t low = 0, high = e->n;

	/* The piece that has the first byte. */
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (e->pieces[mid].start <= from)
			low = mid;
		else
			high = mid;
	}
	for (; from < to; low++) {
		const struct piece *p = &e->pieces[low];
		uint64_t skip = from - p->start, n = p->size - skip;

		if (n > to - from)
			n = to - from;
		memcpy(e->copy + from, p->hva + skip, n);
		from += n;
	}
}

static bool number(const struct props *props, const char *name, uint64_t *value)
{
	const char *s = props_get(props, name);
	char *end;

	if (!s || *s < '0' || *s > '9')
		return false;
	errno = 0;
	*value = strtoull(s, &end, 10);
	return errno == 0 && *end == '\0';
}

/*
 * Damage in bytes is only known if the properties say how rows lie; copying more than the
 * damage is never wrong, so whole rows are copied, and everything in doubt.
 */
uint64_t export_refresh(struct dev_buffer *b, const struct dev_damage *damage)
{
	struct export *e = b->export;
	uint64_t stride, height, offset = 0, copied = 0;
	unsigned int i;

	if (!e->copy)
		return 0;
	if (props_get(&b->guest, "offset") && !number(&b->guest, "offset", &offset))
		offset = e->size;
	if (damage->all || !props_get(&b->guest, "format") || props_get(&b->guest, "modifier") ||
	    props_get(&b->guest, "plane1.offset") || !number(&b->guest, "stride", &stride) ||
	    !number(&b->guest, "height", &height) || !stride || offset > e->size ||
	    stride > e->size || height > (e->size - offset) / stride) {
		copy_bytes(e, 0, e->size);
		return e->size;
	}
	for (i = 0; i < damage->n; i++) {
		uint64_t top = damage->v[i].y, bottom = top + damage->v[i].height;

		if (bottom > height)
			bottom = height;
		if (top >= bottom)
			continue;
		copy_bytes(e, offset + top * stride, offset + bottom * stride);
		copied += (bottom - top) * stride;
	}
	return copied;
}

/* ---- memfd ---- */

static int make_memfd(struct export *e)
{
	_cleanup_close_ int fd = memfd_create("bufshare-ranges", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	_cleanup_free_ struct bufshare_ipc_range *ranges = calloc(e->n, sizeof(*ranges));
	const size_t size = e->n * sizeof(*ranges);
	uint32_t i;

	if (fd < 0)
		return -errno;
	if (!ranges)
		return -ENOMEM;
	for (i = 0; i < e->n; i++) {
		const struct memory_region *r = e->pieces[i].region, *first = e->pieces[0].region;

		if (r->dev != first->dev || r->ino != first->ino)
			return -EXDEV;
		ranges[i].offset = htole64(e->pieces[i].offset);
		ranges[i].size = htole64(e->pieces[i].size);
	}
	if (pwrite(fd, ranges, size, 0) != (ssize_t)size)
		return -EIO;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	e->ranges_fd = steal_fd(&fd);
	e->fd = e->pieces[0].region->fd;
	e->fd_borrowed = true;
	return 0;
}

/* ---- choice ---- */

/* It can only be copied. */
static int fall_back(struct exporter *ex, struct export *e, struct dev_buffer *b, uint32_t why)
{
	say_why(ex, why);
	b->path = VIRTIO_BUFSHARE_PATH_COPY;
	b->why = why;
	return make_copy(e);
}

static int make_zero_copy(struct exporter *ex, struct export *e, struct dev_buffer *b)
{
	uint32_t why;
	int r = -EOPNOTSUPP;

	b->path = VIRTIO_BUFSHARE_PATH_UDMABUF;
	why = udmabuf_refusal(ex, e);
	if (!why) {
		r = make_udmabuf(ex, e);
		if (r == 0)
			return 0;
		log_warn("udmabuf refuses buffer %" PRIu64 ": %s", b->id, strerror(-r));
		why = BUFSHARE_IPC_WHY_KERNEL;
	}
	if (ex->mode != EXPORT_UDMABUF)
		return fall_back(ex, e, b, why);
	b->why = why;
	log_warn("buffer %" PRIu64 " is refused: %s", b->id, why_text[why]);
	return r;
}

static int make(struct exporter *ex, struct export *e, struct dev_buffer *b)
{
	int r;

	b->why = BUFSHARE_IPC_WHY_NONE;
	if (ex->mode == EXPORT_COPY)
		return fall_back(ex, e, b, ex->why);
	if (ex->mode != EXPORT_MEMFD)
		return make_zero_copy(ex, e, b);
	b->path = VIRTIO_BUFSHARE_PATH_MEMFD;
	r = make_memfd(e);
	return r == -EXDEV ? fall_back(ex, e, b, BUFSHARE_IPC_WHY_FILES) : r;
}

/* What the guest is told of -EOPNOTSUPP. */
static uint32_t refused(const struct dev_buffer *b, uint32_t *detail)
{
	switch (b->why) {
	case BUFSHARE_IPC_WHY_RANGES:
		*detail = VIRTIO_BUFSHARE_LIMIT_RANGES;
		return VIRTIO_BUFSHARE_STATUS_LIMIT;
	case BUFSHARE_IPC_WHY_SIZE:
		*detail = VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE;
		return VIRTIO_BUFSHARE_STATUS_LIMIT;
	default:
		return VIRTIO_BUFSHARE_STATUS_MEMORY;
	}
}

uint32_t export_make(struct exporter *ex, const struct memory *memory, struct dev_buffer *b,
		     uint32_t *detail)
{
	_cleanup_(cleanup_export) struct export *e = calloc(1, sizeof(*e));
	int r = -ENOMEM;

	if (e) {
		e->fd = e->copy_fd = e->ranges_fd = -1;
		e->size = b->size;
		r = find_pieces(e, memory, b);
		if (r == -EFAULT)
			return VIRTIO_BUFSHARE_STATUS_MEMORY;
	}
	if (r == 0)
		r = make(ex, e, b);
	if (r == 0) {
		b->export = steal_ptr(&e);
		return VIRTIO_BUFSHARE_STATUS_OK;
	}
	if (r == -EOPNOTSUPP)
		return refused(b, detail);
	*detail = (uint32_t)-r;
	return VIRTIO_BUFSHARE_STATUS_HOST;
}

bool export_is_valid(const struct export *e, const struct memory *memory)
{
	struct memory_span span;
	uint32_t i;

	for (i = 0; i < e->n; i++) {
		const struct piece *p = &e->pieces[i];

		if (memory_lookup(memory, p->gpa, p->size, &span) < 0 ||
		    span.region->dev != p->region->dev || span.region->ino != p->region->ino ||
		    span.offset != p->offset)
			return false;
	}
	return true;
}

int export_fd(const struct export *e, uint32_t path)
{
	return path == VIRTIO_BUFSHARE_PATH_COPY ? e->copy_fd : e->fd;
}

int export_ranges_fd(const struct export *e, uint32_t *n)
{
	*n = e->n;
	return e->ranges_fd;
}
