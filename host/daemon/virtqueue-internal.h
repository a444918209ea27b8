/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of a virtqueue share: virtqueue.c, which takes and gives elements,
 * and virtqueue-setup.c, which has it ready for that.
 */
#ifndef BUFSHARE_DAEMON_VIRTQUEUE_INTERNAL_H
#define BUFSHARE_DAEMON_VIRTQUEUE_INTERNAL_H

#include <endian.h>
#include <stdatomic.h>

#include <linux/virtio_ring.h>

#include "host/daemon/virtqueue.h"

struct vq {
	unsigned int index;
	struct memory *memory;
	bool running;
	bool broken; /* until the driver starts it afresh */
	uint64_t features;

	uint16_t size;
	struct vq_addresses addresses;
	bool has_addresses;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;

	struct vq_state *state; /* of the caller, or own */
	bool adopt; /* what is in flight according to state came from another process */
	uint16_t again[VQ_MAX_SIZE]; /* heads of those, to be popped once more */
	unsigned int next_again, num_again;
	uint16_t next_used;
	bool pushed;		/* since the last vq_notify() */
	bool called;		/* at least once since the start, at called_used */
	uint16_t called_used;
	bool call_sent;		/* at least once since the start */
	bool call_missed;	/* there was nothing to call */
	int call_fd;
	int err_fd;

	LIST_HEAD(, vq_element) elements; /* vq_element.link */
	unsigned int num_elements;

	struct vq_segment segments[VQ_MAX_SIZE]; /* of the chain that is being read */
	struct vq_state own;
};

/* The driver's index of the next element to pop. */
static inline uint16_t next_avail(const struct vq *vq)
{
	return (uint16_t)(vq->state->popped + vq->state->offset);
}

/*
 * Indices in guest memory. The driver writes them while we read and the other way round,
 * so each access is one load or store.
 */
static inline uint16_t load16(const __virtio16 *p, memory_order order)
{
	return le16toh(atomic_load_explicit((const _Atomic uint16_t *)p, order));
}

static inline void store16(__virtio16 *p, uint16_t value, memory_order order)
{
	atomic_store_explicit((_Atomic uint16_t *)p, htole16(value), order);
}

/* Breaks the queue; value is for the log. Returns -EPROTO. */
int vq_break(struct vq *vq, const char *why, uint64_t value);

/* As vq_push() on a queue that runs. */
void vq_deliver(struct vq_element *element, const void *answer, uint32_t size);

void vq_element_free(struct vq_element *element);

/* Calls the driver, whether it wants that or not. */
void vq_call(struct vq *vq);

#endif /* BUFSHARE_DAEMON_VIRTQUEUE_INTERNAL_H */
