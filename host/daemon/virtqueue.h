/* SPDX-License-Identifier: MIT */
/*
 * The device's side of a split virtqueue whose driver is not trusted.
 *
 * A queue is stopped, running or broken. Whatever the driver does wrong breaks the queue:
 * one line in the log, the error descriptor signalled, and nothing more is taken from or
 * given to the driver until it starts the queue again. While a queue is stopped nothing of
 * the guest's is written: neither rings nor buffers nor the call descriptor.
 *
 * The upper half is for the device, the lower half for the transport.
 */
#ifndef BUFSHARE_DAEMON_VIRTQUEUE_H
#define BUFSHARE_DAEMON_VIRTQUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "host/daemon/memory.h"

/* Queue sizes are powers of two up to this; so is the number of pieces of one element. */
#define VQ_MAX_SIZE	1024

struct vq;

/*
 * What of a queue outlives the process that serves it: all zero at first, then written at
 * each step such that the next process finds out how far this one came, wherever it ended.
 */
struct vq_state {
	_Atomic uint64_t popped; /* elements ever */
	_Atomic uint64_t completing; /* being put into the used ring: VQ_COMPLETING; 0: none */
	_Atomic uint64_t order[VQ_MAX_SIZE]; /* by head: popped with it; 0: not in flight */
	_Atomic uint16_t offset; /* from popped to the driver's index, modulo 65536 */
};

/* The used index before it, and its head. */
#define VQ_COMPLETING(used, head) (1ULL << 32 | (uint32_t)(used) << 16 | (head))

/* A piece of guest memory. */
struct vq_segment {
	uint64_t gpa;
	uint32_t size;
};

/*
 * What the driver made available: a request that the device reads, and room for an answer.
 * The device holds it until it pushes it, which it must do with every element it popped,
 * also after the queue was stopped or freed. All fields are read-only.
 */
struct vq_element {
	uint32_t readable;		/* bytes of the request */
	uint32_t writable;		/* bytes of room for the answer */

	/* the rest belongs to virtqueue.c */
	LIST_ENTRY(vq_element) link;	/* vq.elements */
	struct vq *vq;			/* NULL: nobody waits for it any more */
	uint16_t head;
	uint16_t num_readable;		/* segments of the request; those of the answer follow */
	uint16_t num_segments;
	bool answered;			/* pushed while the queue was stopped */
	uint8_t *answer;
	uint32_t answer_size;
	struct vq_segment segments[];
};

/*
 * Takes the next element. All of its segments were in guest memory at this moment.
 * -EAGAIN: there is none; only after this answer does the driver kick again, so pop until
 * it comes. -ENOTCONN: the queue is stopped; -EPROTO: it is broken; -ENOMEM.
 */
int vq_pop(struct vq *vq, struct vq_element **element);

/*
 * Copies size bytes of the request, from offset on. The guest can change the bytes between
 * two calls: copy each once. -EINVAL: not that many there; -EFAULT: the memory is gone;
 * -ENOTCONN: the element is void, or its queue stopped.
 */
int vq_element_read(const struct vq_element *element, uint32_t offset, void *buf, uint32_t size);

/*
 * Gives the element back to the driver with an answer, of which as much is written as
 * there is room for, and frees it. If the queue is stopped the answer is kept and
 * delivered when the queue is resumed, or dropped when it is started afresh. The driver
 * learns of it by vq_notify(). NULL is fine.
 */
void vq_push(struct vq_element *element, const void *answer, uint32_t size);

/* Calls the driver if something was pushed that it wants to be called for. Once per batch. */
void vq_notify(struct vq *vq);

/* Elements that were popped and not yet pushed, or pushed and not yet delivered. */
unsigned int vq_in_flight(const struct vq *vq);

bool vq_is_running(const struct vq *vq);


/* Virtio feature bits of the ring. */
#define VQ_F_INDIRECT	(1ULL << 28)
#define VQ_F_EVENT_IDX	(1ULL << 29)

/* Where the front end has the rings: addresses of its own, not the guest's. */
struct vq_addresses {
	uint64_t desc;
	uint64_t avail;
	uint64_t used;
};

/*
 * A stopped queue. The memory is borrowed and must outlive it; index is for the log. State
 * (NULL: of its own) is too; what it says of elements in flight holds if the queue is
 * resumed before it was started afresh: those are popped again, first and in their order.
 */
int vq_new(unsigned int index, struct memory *memory, struct vq_state *state, struct vq **vq);

/* Elements that the device still holds become void. NULL is fine. Returns NULL. */
struct vq *vq_free(struct vq *vq);

/* The setters need a queue that is not running: -EBUSY. -EINVAL: not a size, not aligned. */
int vq_set_size(struct vq *vq, uint32_t size);
int vq_set_addresses(struct vq *vq, const struct vq_addresses *addresses);
int vq_set_base(struct vq *vq, uint32_t base);

/* The index of the next element to pop, modulo 65536. */
uint16_t vq_get_base(const struct vq *vq);

/*
 * Descriptors to call the driver (an eventfd, pipe or socket) and to tell an error to
 * the front end, non-blocking; -1: none. They become the queue's.
 */
void vq_set_call(struct vq *vq, int fd);
void vq_set_err(struct vq *vq, int fd);

/* Could the queue start? -EINVAL: it has no size or addresses; -EFAULT: they are not memory. */
int vq_check(struct vq *vq);

/*
 * Starts a queue that vq_check() accepted. Resume: the driver is the one that made the
 * elements in flight available, and gets their answers; else they are void.
 */
int vq_start(struct vq *vq, uint64_t features, bool resume);

void vq_stop(struct vq *vq);

/* Finds the rings again after the memory table changed. A queue that can not is broken. */
void vq_remap(struct vq *vq);

#endif /* BUFSHARE_DAEMON_VIRTQUEUE_H */
