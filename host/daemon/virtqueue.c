/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/daemon/log.h"
#include "host/daemon/virtqueue-internal.h"

/* A chain of descriptors while it is being read. */
struct chain {
	const uint8_t *table; /* in guest memory, of any alignment */
	uint32_t table_size; /* descriptors */
	bool indirect;
	uint16_t num_readable;
	uint16_t num_segments;
	uint64_t readable;
	uint64_t writable;
};

static __virtio16 *used_event(const struct vq *vq)
{
	return &vq->avail->ring[vq->size];
}

static __virtio16 *avail_event(const struct vq *vq)
{
	return (__virtio16 *)&vq->used->ring[vq->size];
}

/* False: the reader is gone. A full pipe has a wakeup on its way already. */
static bool signal_fd(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	return n >= 0 || errno == EAGAIN;
}

int vq_break(struct vq *vq, const char *why, uint64_t value)
{
	log_warn("queue %u: %s (%" PRIu64 "); not served until the driver resets the device",
		 vq->index, why, value);
	vq->broken = true;
	if (vq->err_fd >= 0)
		signal_fd(vq->err_fd);
	return -EPROTO;
}

bool vq_is_running(const struct vq *vq)
{
	return vq->running && !vq->broken;
}

unsigned int vq_in_flight(const struct vq *vq)
{
	return vq->num_elements;
}

/*
 * Taking elements.
 */

static int next_head(struct vq *vq, uint16_t *head)
{
	const uint16_t next = next_avail(vq);
	uint16_t new = load16(&vq->avail->idx, memory_order_acquire) - next;
	uint16_t h;

	if (new == 0)
		return -EAGAIN;
	if (new > vq->size)
		return vq_break(vq, "more elements available than its size", new);

	h = load16(&vq->avail->ring[next % vq->size], memory_order_relaxed);
	if (h >= vq->size)
		return vq_break(vq, "no such descriptor", h);
	if (vq->state->order[h])
		return vq_break(vq, "descriptor is in flight already", h);

	*head = h;
	return 0;
}

/* Asks for a kick at the next element; one that came before the driver saw that is found here. */
static int next_head_or_arm(struct vq *vq, uint16_t *head)
{
	int r;

	r = next_head(vq, head);
	if (r != -EAGAIN || !(vq->features & VQ_F_EVENT_IDX))
		return r;

	store16(avail_event(vq), next_avail(vq), memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return next_head(vq, head);
}

/* The fence keeps the compiler from reading the guest's copy again later. */
static struct vring_desc read_desc(const uint8_t *table, uint32_t index)
{
	struct vring_desc raw;

	memcpy(&raw, table + index * sizeof(raw), sizeof(raw));
	atomic_signal_fence(memory_order_seq_cst);

	return (struct vring_desc){
		.addr = le64toh(raw.addr),
		.len = le32toh(raw.len),
		.flags = le16toh(raw.flags),
		.next = le16toh(raw.next),
	};
}

/* Goes on in the table that a descriptor points to; its write flag means nothing there. */
static int enter_indirect(struct vq *vq, struct chain *chain, const struct vring_desc *desc)
{
	uint32_t count = desc->len / sizeof(*desc);
	struct memory_span span;

	if (!(vq->features & VQ_F_INDIRECT))
		return vq_break(vq, "indirect descriptor without the feature", desc->flags);
	if (chain->indirect)
		return vq_break(vq, "indirect descriptor in an indirect table", desc->flags);
	if (desc->flags & VRING_DESC_F_NEXT)
		return vq_break(vq, "indirect descriptor with a next one", desc->flags);
	if (count == 0 || count > vq->size || desc->len % sizeof(*desc))
		return vq_break(vq, "bad size of an indirect table", desc->len);
	if (memory_lookup(vq->memory, desc->addr, desc->len, &span) < 0)
		return vq_break(vq, "indirect table outside of memory", desc->addr);

	chain->table = span.hva;
	chain->table_size = count;
	chain->indirect = true;
	return 0;
}

static int add_segment(struct vq *vq, struct chain *chain, const struct vring_desc *desc)
{
	bool write = desc->flags & VRING_DESC_F_WRITE;
	uint64_t *total = write ? &chain->writable : &chain->readable;
	struct memory_span span;

	/* This ends every loop: a longer chain visits a descriptor twice. */
	if (chain->num_segments == vq->size)
		return vq_break(vq, "chain longer than its size", chain->num_segments);
	if (desc->len == 0)
		return vq_break(vq, "empty descriptor", desc->addr);
	if (!write && chain->writable)
		return vq_break(vq, "readable descriptor behind a writable one", desc->addr);
	if (memory_lookup(vq->memory, desc->addr, desc->len, &span) < 0)
		return vq_break(vq, "descriptor outside of memory", desc->addr);

	*total += desc->len;
	if (*total > UINT32_MAX)
		return vq_break(vq, "chain of too many bytes", *total);

	vq->segments[chain->num_segments].gpa = desc->addr;
	vq->segments[chain->num_segments].size = desc->len;
	chain->num_segments++;
	if (!write)
		chain->num_readable++;
	return 0;
}

static int read_chain(struct vq *vq, uint16_t head, struct chain *chain)
{
	uint32_t index = head;

	for (;;) {
		struct vring_desc desc = read_desc(chain->table, index);
		int r;

		if (desc.flags & VRING_DESC_F_INDIRECT) {
			r = enter_indirect(vq, chain, &desc);
			if (r < 0)
				return r;
			index = 0;
			continue;
		}

		r = add_segment(vq, chain, &desc);
		if (r < 0)
			return r;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		if (desc.next >= chain->table_size)
			return vq_break(vq, "no such next descriptor", desc.next);
		index = desc.next;
	}
}

static int element_new(struct vq *vq, const struct chain *chain, uint16_t head,
		       struct vq_element **element)
{
	size_t segments_size = chain->num_segments * sizeof(struct vq_segment);
	struct vq_element *e;

	e = calloc(1, sizeof(*e) + segments_size);
	if (!e)
		return -ENOMEM;

	e->readable = chain->readable;
	e->writable = chain->writable;
	e->head = head;
	e->num_readable = chain->num_readable;
	e->num_segments = chain->num_segments;
	memcpy(e->segments, vq->segments, segments_size);

	e->vq = vq;
	LIST_INSERT_HEAD(&vq->elements, e, link);
	vq->num_elements++;
	*element = e;
	return 0;
}

int vq_pop(struct vq *vq, struct vq_element **element)
{
	struct chain chain = { .table = (const uint8_t *)vq->desc, .table_size = vq->size };
	bool again = vq->next_again < vq->num_again;
	uint16_t head;
	int r = 0;

	if (!vq->running)
		return -ENOTCONN;
	if (vq->broken)
		return -EPROTO;

	if (again)
		head = vq->again[vq->next_again];
	else
		r = next_head_or_arm(vq, &head);
	if (r < 0)
		return r;
	/* The queue may have become smaller since that was popped for the first time. */
	if (head >= vq->size)
		return vq_break(vq, "what was in flight is beyond its size", head);

	r = read_chain(vq, head, &chain);
	if (r < 0)
		return r;

	r = element_new(vq, &chain, head, element);
	if (r < 0)
		return r;

	if (again) {
		vq->next_again++;
		return 0;
	}
	/* In flight from the first store on; the second can be made up for (adopt()). */
	vq->state->order[head] = vq->state->popped + 1;
	vq->state->popped++;
	return 0;
}

/*
 * Using elements.
 */

int vq_element_read(const struct vq_element *element, uint32_t offset, void *buf, uint32_t size)
{
	uint8_t *to = buf;
	unsigned int i;

	if (!element->vq || !vq_is_running(element->vq))
		return -ENOTCONN;
	if (offset > element->readable || size > element->readable - offset)
		return -EINVAL;

	for (i = 0; size > 0 && i < element->num_readable; i++) {
		const struct vq_segment *seg = &element->segments[i];
		struct memory_span span;
		uint32_t n;

		if (offset >= seg->size) {
			offset -= seg->size;
			continue;
		}
		if (memory_lookup(element->vq->memory, seg->gpa, seg->size, &span) < 0)
			return -EFAULT;

		n = seg->size - offset < size ? seg->size - offset : size;
		memcpy(to, span.hva + offset, n);
		to += n;
		size -= n;
		offset = 0;
	}
	atomic_signal_fence(memory_order_seq_cst);
	return 0;
}

/* Returns how much was written: less when there is no room, or when its memory went away. */
static uint32_t write_answer(const struct vq_element *e, const uint8_t *answer, uint32_t size)
{
	uint32_t written = 0;
	unsigned int i;

	for (i = e->num_readable; written < size && i < e->num_segments; i++) {
		const struct vq_segment *seg = &e->segments[i];
		uint32_t n = seg->size < size - written ? seg->size : size - written;
		struct memory_span span;

		if (memory_lookup(e->vq->memory, seg->gpa, seg->size, &span) < 0)
			break;

		memcpy(span.hva, answer + written, n);
		written += n;
	}
	return written;
}

void vq_element_free(struct vq_element *e)
{
	if (e->vq) {
		LIST_REMOVE(e, link);
		e->vq->num_elements--;
	}
	free(e->answer);
	free(e);
}

/* Writes the answer, then the used ring, then its index. */
void vq_deliver(struct vq_element *e, const void *answer, uint32_t size)
{
	struct vq *vq = e->vq;
	struct vring_used_elem *slot = &vq->used->ring[vq->next_used % vq->size];

	slot->len = htole32(write_answer(e, answer, size));
	slot->id = htole32(e->head);
	vq->state->completing = VQ_COMPLETING(vq->next_used, e->head);
	vq->next_used++;
	store16(&vq->used->idx, vq->next_used, memory_order_release);
	vq->state->order[e->head] = 0;
	vq->state->completing = 0;
	vq->pushed = true;
	vq_element_free(e);
}

/* An answer that can not be kept becomes an empty one, which no driver takes for success. */
static void keep_answer(struct vq_element *e, const void *answer, uint32_t size)
{
	e->answered = true;
	e->answer_size = size < e->writable ? size : e->writable;
	if (e->answer_size == 0)
		return;

	e->answer = malloc(e->answer_size);
	if (e->answer)
		memcpy(e->answer, answer, e->answer_size);
	else
		e->answer_size = 0;
}

void vq_push(struct vq_element *element, const void *answer, uint32_t size)
{
	if (!element)
		return;

	if (!element->vq || element->vq->broken)
		vq_element_free(element);
	else if (element->vq->running)
		vq_deliver(element, answer, size);
	else
		keep_answer(element, answer, size);
}

/* Whether the driver wants to be called for what was pushed since the last time. */
static bool wants_call(struct vq *vq)
{
	uint16_t old = vq->called_used;
	bool first = !vq->called;

	/* It sees the new used index before we see what it asks for. */
	atomic_thread_fence(memory_order_seq_cst);

	if (!(vq->features & VQ_F_EVENT_IDX))
		return !(load16(&vq->avail->flags, memory_order_relaxed) &
			 VRING_AVAIL_F_NO_INTERRUPT);

	vq->called = true;
	vq->called_used = vq->next_used;
	return first || vring_need_event(load16(used_event(vq), memory_order_relaxed),
					 vq->next_used, old);
}

void vq_call(struct vq *vq)
{
	vq->call_missed = vq->call_fd < 0;
	if (vq->call_missed)
		return;
	if (signal_fd(vq->call_fd)) {
		vq->call_sent = true;
		return;
	}

	log_warn("queue %u: can not call the driver: %m", vq->index);
	vq_set_call(vq, -1);
	vq->call_missed = true;
}

void vq_notify(struct vq *vq)
{
	if (!vq_is_running(vq) || !vq->pushed)
		return;

	vq->pushed = false;
	if (wants_call(vq))
		vq_call(vq);
}
