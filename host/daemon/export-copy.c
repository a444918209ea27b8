/* SPDX-License-Identifier: MIT */
/*
 * Copies of buffers, for whoever can not have the guest's pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "host/daemon/export-internal.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Less than this takes no longer than to give it to the thread. */
#define AT_ONCE (64 << 10)

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

int export_make_copy(struct export *e)
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
	/* It is as much the guest's business as what it is a copy of. */
	madvise(map, e->size, MADV_DONTDUMP);
	e->copy = map;
	return 0;
}

int export_need_copy(struct dev_buffer *b)
{
	return b->export->copy ? 0 : export_make_copy(b->export);
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
static void find_spans(struct export *e, const struct props *props, const struct dev_damage *damage)
{
	uint64_t stride, height, offset = 0;
	unsigned int i;

	e->num_spans = 0;
	if (props_get(props, "offset") && !number(props, "offset", &offset))
		offset = e->size;
	if (damage->all || !props_get(props, "format") || props_get(props, "modifier") ||
	    props_get(props, "plane1.offset") || !number(props, "stride", &stride) ||
	    !number(props, "height", &height) || !stride || offset > e->size ||
	    stride > e->size || height > (e->size - offset) / stride) {
		e->spans[e->num_spans++] = (struct span){ 0, e->size };
		return;
	}
	for (i = 0; i < damage->n; i++) {
		uint64_t top = damage->v[i].y, bottom = top + damage->v[i].height;

		if (bottom > height)
			bottom = height;
		if (top < bottom)
			e->spans[e->num_spans++] = (struct span){
				offset + top * stride,
				offset + bottom * stride,
			};
	}
}

static uint64_t count_bytes(const struct export *e)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < e->num_spans; i++)
		n += e->spans[i].to - e->spans[i].from;
	return n;
}

bool export_is_torn(const struct export *e)
{
	uint32_t i;

	for (i = 0; i < e->n; i++)
		if (memory_region_is_torn(e->pieces[i].region))
			return true;
	return false;
}

static void copied(struct export_job *job)
{
	struct export *e = export_of(job);
	struct exporter *ex = e->exporter;

	if (export_job_ended(e))
		ex->ops->copied(ex->data, e->buffer, export_is_torn(e) ? -EFAULT : 0,
				count_bytes(e));
}

int export_refresh(struct dev_buffer *b, const struct dev_damage *damage, uint64_t *bytes)
{
	struct export *e = b->export;
	struct exporter *ex = e->exporter;

	*bytes = 0;
	if (!e->copy)
		return 0;
	find_spans(e, &b->guest, damage);
	e->job.run = export_run_copy;
	e->job.done = copied;
	if (ex->thread && count_bytes(e) > AT_ONCE) {
		export_thread_give(ex->thread, &e->job);
		return -EINPROGRESS;
	}
	e->job.run(&e->job);
	*bytes = count_bytes(e);
	return export_is_torn(e) ? -EFAULT : 0;
}
