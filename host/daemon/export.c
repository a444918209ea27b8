/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "host/daemon/export-internal.h"
#include "host/daemon/log.h"
#include "host/ipc.h"

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

static void destroy(struct export *e)
{
	uint32_t i;

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
	free(e->list);
	free(e);
}

struct export *export_free(struct export *e)
{
	if (!e)
		return NULL;
	e->buffer = NULL;
	if (!e->exporter->thread || export_thread_take_back(e->exporter->thread, &e->job))
		destroy(e);
	return NULL;
}

bool export_job_ended(struct export *e)
{
	if (e->buffer)
		return true;
	destroy(e);
	return false;
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

static int make_list(struct export *e)
{
	uint32_t i;

	e->list = calloc(1, sizeof(*e->list) + e->n * sizeof(e->list->list[0]));
	if (!e->list)
		return -ENOMEM;
	e->list->flags = UDMABUF_FLAGS_CLOEXEC;
	e->list->count = e->n;
	for (i = 0; i < e->n; i++) {
		e->list->list[i].memfd = (uint32_t)e->pieces[i].region->fd;
		e->list->list[i].offset = e->pieces[i].offset;
		e->list->list[i].size = e->pieces[i].size;
	}
	return 0;
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
	return export_make_copy(e);
}

/* There can be no dma-buf of it; r says the same to the guest. */
static int no_udmabuf(struct exporter *ex, struct export *e, struct dev_buffer *b, uint32_t why,
		      int r)
{
	if (ex->mode != EXPORT_UDMABUF)
		return fall_back(ex, e, b, why);
	b->why = why;
	log_warn("buffer %" PRIu64 " is refused: %s", b->id, why_text[why]);
	return r;
}

/* What became of the list. */
static int take_udmabuf(struct exporter *ex, struct export *e, struct dev_buffer *b)
{
	free(steal_ptr(&e->list));
	if (e->result >= 0) {
		e->fd = e->result;
		return 0;
	}
	log_warn("udmabuf refuses buffer %" PRIu64 ": %s", b->id, strerror(-e->result));
	return no_udmabuf(ex, e, b, BUFSHARE_IPC_WHY_KERNEL, e->result);
}

static void udmabuf_made(struct export_job *job);

static int make_zero_copy(struct exporter *ex, struct export *e, struct dev_buffer *b)
{
	uint32_t why = udmabuf_refusal(ex, e);
	int r;

	b->path = VIRTIO_BUFSHARE_PATH_UDMABUF;
	if (why)
		return no_udmabuf(ex, e, b, why, -EOPNOTSUPP);
	r = make_list(e);
	if (r < 0)
		return r;
	e->job.run = export_run_udmabuf;
	e->job.done = udmabuf_made;
	if (ex->thread) {
		export_thread_give(ex->thread, &e->job);
		return -EINPROGRESS;
	}
	e->job.run(&e->job);
	return take_udmabuf(ex, e, b);
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

/* The export is the buffer's, unless it came to nothing. */
static uint32_t made(struct export *e, struct dev_buffer *b, int r, uint32_t *detail)
{
	b->export = e;
	if (r == 0)
		return VIRTIO_BUFSHARE_STATUS_OK;
	if (r == -EINPROGRESS)
		return DEV_LATER;
	b->export = export_free(e);
	if (r == -EFAULT)
		return VIRTIO_BUFSHARE_STATUS_MEMORY;
	if (r == -EOPNOTSUPP)
		return refused(b, detail);
	*detail = (uint32_t)-r;
	return VIRTIO_BUFSHARE_STATUS_HOST;
}

static void udmabuf_made(struct export_job *job)
{
	struct export *e = export_of(job);
	struct exporter *ex = e->exporter;
	struct dev_buffer *b = e->buffer;
	uint32_t status, detail = 0;

	if (!b && e->result >= 0)
		e->fd = e->result;
	if (!export_job_ended(e))
		return;
	status = made(e, b, take_udmabuf(ex, e, b), &detail);
	ex->ops->made(ex->data, b, status, detail);
}

uint32_t export_make(struct exporter *ex, const struct memory *memory, struct dev_buffer *b,
		     uint32_t *detail)
{
	struct export *e = calloc(1, sizeof(*e));
	int r;

	if (!e) {
		*detail = ENOMEM;
		return VIRTIO_BUFSHARE_STATUS_HOST;
	}
	e->exporter = ex;
	e->buffer = b;
	e->fd = e->copy_fd = e->ranges_fd = -1;
	e->size = b->size;
	r = find_pieces(e, memory, b);
	if (r == 0)
		r = make(ex, e, b);
	return made(e, b, r, detail);
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
