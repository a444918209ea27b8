/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/daemon/virtqueue-internal.h"

int vq_new(unsigned int index, struct memory *memory, struct vq_state *state, struct vq **vq)
{
	struct vq *v;

	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;

	v->index = index;
	v->memory = memory;
	v->state = state ? state : &v->own;
	v->adopt = state != NULL;
	v->call_fd = -1;
	v->err_fd = -1;
	LIST_INIT(&v->elements);
	*vq = v;
	return 0;
}

/* Nobody waits for what is in flight: what the device holds becomes void, the rest is freed. */
static void forget_elements(struct vq *vq)
{
	struct vq_element *e;

	while ((e = LIST_FIRST(&vq->elements))) {
		bool answered = e->answered;

		LIST_REMOVE(e, link);
		e->vq = NULL;
		if (answered)
			vq_element_free(e);
	}
	vq->num_elements = 0;
	vq->next_again = vq->num_again = 0;
}

static void forget_order(struct vq *vq)
{
	unsigned int i;

	vq->adopt = false;
	vq->state->completing = 0;
	for (i = 0; i < VQ_MAX_SIZE; i++)
		vq->state->order[i] = 0;
}

struct vq *vq_free(struct vq *vq)
{
	if (!vq)
		return NULL;

	forget_elements(vq);
	vq_set_call(vq, -1);
	vq_set_err(vq, -1);
	free(vq);
	return NULL;
}

int vq_set_size(struct vq *vq, uint32_t size)
{
	if (vq->running)
		return -EBUSY;
	if (size == 0 || size > VQ_MAX_SIZE || (size & (size - 1)))
		return -EINVAL;

	vq->size = size;
	return 0;
}

int vq_set_addresses(struct vq *vq, const struct vq_addresses *addresses)
{
	if (vq->running)
		return -EBUSY;
	if (addresses->desc % VRING_DESC_ALIGN_SIZE || addresses->avail % VRING_AVAIL_ALIGN_SIZE ||
	    addresses->used % VRING_USED_ALIGN_SIZE)
		return -EINVAL;

	vq->addresses = *addresses;
	vq->has_addresses = true;
	return 0;
}

int vq_set_base(struct vq *vq, uint32_t base)
{
	if (vq->running)
		return -EBUSY;
	if (base > UINT16_MAX)
		return -EINVAL;

	vq->state->offset = (uint16_t)(base - vq->state->popped);
	return 0;
}

uint16_t vq_get_base(const struct vq *vq)
{
	return next_avail(vq);
}

static void replace_fd(int *fd, int new)
{
	if (*fd >= 0)
		close(*fd);
	*fd = new;
}

/*
 * QEMU replaces the descriptor right after the start, when the driver may have been called
 * already, and nobody looks at the old one any more. One call too many does no harm.
 */
void vq_set_call(struct vq *vq, int fd)
{
	replace_fd(&vq->call_fd, fd);
	if (fd >= 0 && vq_is_running(vq) && (vq->call_missed || vq->call_sent))
		vq_call(vq);
}

void vq_set_err(struct vq *vq, int fd)
{
	replace_fd(&vq->err_fd, fd);
}

static int map_ring(const struct vq *vq, uint64_t uva, uint64_t size, unsigned int align,
		    void **ring)
{
	struct memory_span span;
	int r;

	r = memory_lookup_uva(vq->memory, uva, size, &span);
	if (r < 0)
		return r;

	/* A region may be mapped here with another alignment than there. */
	if ((uintptr_t)span.hva % align)
		return -EFAULT;

	*ring = span.hva;
	return 0;
}

static int map_rings(struct vq *vq)
{
	uint64_t desc_size = (uint64_t)vq->size * sizeof(*vq->desc);
	uint64_t avail_size = sizeof(*vq->avail) + (vq->size + 1ULL) * sizeof(vq->avail->ring[0]);
	uint64_t used_size = sizeof(*vq->used) + (uint64_t)vq->size * sizeof(vq->used->ring[0]) +
			     sizeof(__virtio16);
	void *desc, *avail, *used;
	int r;

	if (vq->size == 0 || !vq->has_addresses)
		return -EINVAL;

	r = map_ring(vq, vq->addresses.desc, desc_size, VRING_DESC_ALIGN_SIZE, &desc);
	if (r < 0)
		return r;

	r = map_ring(vq, vq->addresses.avail, avail_size, VRING_AVAIL_ALIGN_SIZE, &avail);
	if (r < 0)
		return r;

	r = map_ring(vq, vq->addresses.used, used_size, VRING_USED_ALIGN_SIZE, &used);
	if (r < 0)
		return r;

	vq->desc = desc;
	vq->avail = avail;
	vq->used = used;
	return 0;
}

int vq_check(struct vq *vq)
{
	return map_rings(vq);
}

static int compare_order(const void *a, const void *b, void *data)
{
	const struct vq_state *state = data;
	uint64_t x = state->order[*(const uint16_t *)a], y = state->order[*(const uint16_t *)b];

	return (x > y) - (x < y);
}

/*
 * Another process served this queue and ended, at any step. What it had put into the used
 * ring is done; all else that it had popped is to be popped again.
 */
static void adopt(struct vq *vq)
{
	struct vq_state *state = vq->state;
	uint64_t completing = state->completing, newest = state->popped;
	uint16_t head = (uint16_t)completing;
	unsigned int i;

	vq->adopt = false;
	if (completing && (uint16_t)(completing >> 16) != vq->next_used && head < VQ_MAX_SIZE)
		state->order[head] = 0;
	state->completing = 0;

	for (i = 0; i < vq->size; i++) {
		if (!state->order[i])
			continue;
		vq->again[vq->num_again++] = (uint16_t)i;
		if (state->order[i] > newest)
			newest = state->order[i];
	}
	state->popped = newest;
	qsort_r(vq->again, vq->num_again, sizeof(vq->again[0]), compare_order, state);

	/* It may have ended before it called the driver. */
	vq->pushed = true;
	vq->call_missed = true;
}

/* The device answered these while the queue was stopped. */
static void deliver_answered(struct vq *vq)
{
	struct vq_element *e, *next;

	for (e = LIST_FIRST(&vq->elements); e; e = next) {
		next = LIST_NEXT(e, link);
		if (e->answered)
			vq_deliver(e, e->answer, e->answer_size);
	}
}

int vq_start(struct vq *vq, uint64_t features, bool resume)
{
	int r;

	r = map_rings(vq);
	if (r < 0)
		return r;

	if (!resume) {
		forget_elements(vq);
		forget_order(vq);
		vq->broken = false;
		vq->pushed = false;
		vq->call_missed = false;
	}
	vq->features = features;
	vq->running = true;
	if (vq->broken)
		return 0;

	/* Another program may have served this queue before us. */
	vq->next_used = load16(&vq->used->idx, memory_order_relaxed);
	if (vq->adopt)
		adopt(vq);
	store16(&vq->used->flags, 0, memory_order_relaxed);
	vq->called = false;
	vq->call_sent = false;

	deliver_answered(vq);
	if (vq->call_missed)
		vq->pushed = true;
	vq_notify(vq);
	return 0;
}

void vq_stop(struct vq *vq)
{
	vq->running = false;
}

void vq_remap(struct vq *vq)
{
	if (vq_is_running(vq) && map_rings(vq) < 0)
		vq_break(vq, "its rings are not in memory any more", vq->addresses.desc);
}
