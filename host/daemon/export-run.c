/* SPDX-License-Identifier: MIT */
/*
 * What is slow about exports, and done in their thread: no more than the job is touched,
 * and nothing is logged or allocated.
 */
#include <errno.h>
#include <linux/udmabuf.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/daemon/export-internal.h"

/* The kernel looks up and pins every page. */
void export_run_udmabuf(struct export_job *job)
{
	struct export *e = export_of(job);

	e->result = ioctl(e->exporter->udmabuf, UDMABUF_CREATE_LIST, e->list);
	if (e->result < 0)
		e->result = -errno;
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

void export_run_copy(struct export_job *job)
{
	struct export *e = export_of(job);
	unsigned int i;

	for (i = 0; i < e->num_spans; i++)
		copy_bytes(e, e->spans[i].from, e->spans[i].to);
}
