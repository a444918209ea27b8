/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/fake-frontend.h"
#include "daemon/fake-frontend-internal.h"
#include "host/daemon/virtqueue.h"

/* Requests and answers up to this size need no memory of their own. */
#define SLOT_SIZE 4096

/* Pumps that an event has to come in to be "there". */
#define POLL_PUMPS 3

static uint16_t load16(const __virtio16 *p)
{
	return le16toh(atomic_load_explicit((const _Atomic uint16_t *)p, memory_order_acquire));
}

static void store16(__virtio16 *p, uint16_t value)
{
	atomic_store_explicit((_Atomic uint16_t *)p, htole16(value), memory_order_release);
}

/* Each ring has pages of its own, so that what is read behind it can be told apart. */
#define RING_SIZE 4096

static void clear_rings(struct ff *ff, struct ff_queue *queue)
{
	memset(queue->ring.desc, 0, RING_SIZE);
	memset(queue->ring.avail, 0, RING_SIZE);
	memset(queue->ring.used, 0, RING_SIZE);
}

void ff_driver_new(struct ff *ff, struct ff_queue *queue)
{
	queue->desc_gpa = ff_alloc(ff, RING_SIZE);
	queue->avail_gpa = ff_alloc(ff, RING_SIZE);
	queue->used_gpa = ff_alloc(ff, RING_SIZE);
	queue->ring.num = FF_QUEUE_SIZE;
	queue->ring.desc = ff_ptr(ff, queue->desc_gpa, RING_SIZE);
	queue->ring.avail = ff_ptr(ff, queue->avail_gpa, RING_SIZE);
	queue->ring.used = ff_ptr(ff, queue->used_gpa, RING_SIZE);
	queue->slots = ff_alloc(ff, 2 * SLOT_SIZE * FF_QUEUE_SIZE);
	clear_rings(ff, queue);
}

void ff_driver_reset(struct ff *ff, struct ff_queue *queue)
{
	clear_rings(ff, queue);
	queue->avail_idx = 0;
	queue->kicked_idx = 0;
	queue->used_idx = 0;
	memset(queue->desc_busy, 0, sizeof(queue->desc_busy));
	memset(queue->tokens, 0, sizeof(queue->tokens));
}

static uint16_t take_desc(struct ff_queue *queue, struct ff_token *chain)
{
	uint16_t i;

	for (i = 0; i < FF_QUEUE_SIZE; i++) {
		if (queue->desc_busy[i])
			continue;
		queue->desc_busy[i] = true;
		chain->descs[chain->num_descs++] = i;
		return i;
	}
	fail_msg("the queue is full");
	return 0;
}

static void set_desc(struct vring_desc *desc, uint64_t gpa, uint32_t size, uint16_t flags,
		     uint16_t next)
{
	desc->addr = htole64(gpa);
	desc->len = htole32(size);
	desc->flags = htole16(flags);
	desc->next = htole16(next);
}

/* One piece of a chain: guest memory, and which way it goes. */
struct piece {
	uint64_t gpa;
	uint32_t size;
	uint16_t flags;
};

/* The request in two pieces, if it has two bytes, and the answer in one. */
static unsigned int cut(struct ff *ff, struct ff_token *token, uint64_t out_gpa, const void *out,
			size_t out_size, struct piece pieces[3])
{
	uint32_t first = out_size / 2;
	unsigned int n = 0;

	if (out_size)
		memcpy(ff_ptr(ff, out_gpa, out_size), out, out_size);
	if (first)
		pieces[n++] = (struct piece){ out_gpa, first, 0 };
	if (out_size)
		pieces[n++] = (struct piece){ out_gpa + first, out_size - first, 0 };
	if (token->in_size) {
		memset(ff_ptr(ff, token->in_gpa, token->in_size), FF_UNWRITTEN, token->in_size);
		pieces[n++] = (struct piece){ token->in_gpa, token->in_size, VRING_DESC_F_WRITE };
	}
	assert_true(n > 0);
	return n;
}

static void fill_direct(struct ff_queue *queue, struct ff_token *token, const struct piece *pieces,
			unsigned int n)
{
	unsigned int i;

	while (token->num_descs < n)
		take_desc(queue, token);
	for (i = 0; i < n; i++) {
		bool last = i == n - 1;

		set_desc(&queue->ring.desc[token->descs[i]], pieces[i].gpa, pieces[i].size,
			 pieces[i].flags | (last ? 0 : VRING_DESC_F_NEXT),
			 last ? 0 : token->descs[i + 1]);
	}
}

/* The table stands at an address that is a multiple of nothing. */
static void fill_indirect(struct ff *ff, struct ff_queue *queue, struct ff_token *token,
			  const struct piece *pieces, unsigned int n)
{
	uint64_t table = ff_alloc(ff, 1 + n * sizeof(struct vring_desc)) + 1;
	unsigned int i;

	for (i = 0; i < n; i++) {
		bool last = i == n - 1;
		struct vring_desc desc;

		set_desc(&desc, pieces[i].gpa, pieces[i].size,
			 pieces[i].flags | (last ? 0 : VRING_DESC_F_NEXT), last ? 0 : i + 1);
		memcpy((uint8_t *)ff_ptr(ff, table, 1) + i * sizeof(desc), &desc, sizeof(desc));
	}
	set_desc(&queue->ring.desc[token->descs[0]], table, n * sizeof(struct vring_desc),
		 VRING_DESC_F_INDIRECT, 0);
}

static void make_available(struct ff_queue *queue, uint16_t head)
{
	queue->ring.avail->ring[queue->avail_idx % FF_QUEUE_SIZE] = htole16(head);
	store16(&queue->ring.avail->idx, ++queue->avail_idx);
}

static unsigned int add(struct ff *ff, unsigned int index, const void *out, size_t out_size,
			size_t in_size, bool indirect)
{
	struct ff_queue *queue = &ff->queues[index];
	struct ff_token token = { .in_flight = true, .in_size = in_size };
	struct piece pieces[3];
	uint64_t out_gpa;
	unsigned int n;
	uint16_t head;

	head = take_desc(queue, &token);
	out_gpa = queue->slots + head * 2ULL * SLOT_SIZE;
	token.in_gpa = out_gpa + SLOT_SIZE;
	if (out_size > SLOT_SIZE)
		out_gpa = ff_alloc(ff, out_size);
	if (in_size > SLOT_SIZE)
		token.in_gpa = ff_alloc(ff, in_size);

	n = cut(ff, &token, out_gpa, out, out_size, pieces);
	if (indirect)
		fill_indirect(ff, queue, &token, pieces, n);
	else
		fill_direct(queue, &token, pieces, n);

	queue->tokens[head] = token;
	make_available(queue, head);
	return head;
}

unsigned int ff_add(struct ff *ff, unsigned int queue, const void *out, size_t out_size,
		    size_t in_size)
{
	return add(ff, queue, out, out_size, in_size, false);
}

/* Kicks only if the device asked for it, so that one that forgets to ask is found out. */
void ff_kick(struct ff *ff, unsigned int index)
{
	struct ff_queue *queue = &ff->queues[index];
	const uint64_t one = 1;
	bool kick;

	atomic_thread_fence(memory_order_seq_cst);
	if (ff->features & VQ_F_EVENT_IDX)
		kick = vring_need_event(load16((__virtio16 *)&vring_avail_event(&queue->ring)),
					queue->avail_idx, queue->kicked_idx);
	else
		kick = !(load16(&queue->ring.used->flags) & VRING_USED_F_NO_NOTIFY);

	queue->kicked_idx = queue->avail_idx;
	if (kick)
		assert_int_equal(write(queue->kick, &one, sizeof(one)), sizeof(one));
}

unsigned int ff_send(struct ff *ff, unsigned int queue, const void *out, size_t out_size,
		     size_t in_size)
{
	unsigned int token = add(ff, queue, out, out_size, in_size, false);

	ff_kick(ff, queue);
	return token;
}

unsigned int ff_send_indirect(struct ff *ff, unsigned int queue, const void *out, size_t out_size,
			      size_t in_size)
{
	unsigned int token = add(ff, queue, out, out_size, in_size, true);

	ff_kick(ff, queue);
	return token;
}

/* Takes what the device gave back, and asks to be called for the next. */
static void collect(struct ff *ff, struct ff_queue *queue)
{
	while (queue->used_idx != load16(&queue->ring.used->idx)) {
		const struct vring_used_elem *elem =
			&queue->ring.used->ring[queue->used_idx % FF_QUEUE_SIZE];
		uint32_t id = le32toh(elem->id);

		assert_in_range(id, 0, FF_QUEUE_SIZE - 1);
		assert_true(queue->tokens[id].in_flight);
		assert_false(queue->tokens[id].used);
		queue->tokens[id].used = true;
		queue->tokens[id].written = le32toh(elem->len);
		queue->tokens[id].order = queue->num_used++;
		assert_true(queue->tokens[id].written <= queue->tokens[id].in_size);
		queue->used_idx++;
		if (ff->features & VQ_F_EVENT_IDX)
			store16((__virtio16 *)&vring_used_event(&queue->ring), queue->used_idx);
	}
}

bool ff_is_used(struct ff *ff, unsigned int queue, unsigned int token)
{
	collect(ff, &ff->queues[queue]);
	assert_in_range(token, 0, FF_QUEUE_SIZE - 1);
	assert_true(ff->queues[queue].tokens[token].in_flight);
	return ff->queues[queue].tokens[token].used;
}

/* Copies the answer and frees the token. */
static uint32_t finish(struct ff *ff, struct ff_queue *queue, unsigned int id, void *buf,
		       size_t size)
{
	struct ff_token token = queue->tokens[id];
	size_t n = token.written < size ? token.written : size;
	unsigned int i;

	if (n)
		memcpy(buf, ff_ptr(ff, token.in_gpa, n), n);
	for (i = 0; i < token.num_descs; i++)
		queue->desc_busy[token.descs[i]] = false;
	memset(&queue->tokens[id], 0, sizeof(queue->tokens[id]));
	return token.written;
}

uint32_t ff_wait(struct ff *ff, unsigned int queue, unsigned int token, void *buf, size_t size)
{
	uint64_t deadline = ff_deadline();

	while (!ff_is_used(ff, queue, token))
		ff_pump(ff, deadline);
	return finish(ff, &ff->queues[queue], token, buf, size);
}

uint32_t ff_command(struct ff *ff, const void *out, size_t out_size, void *in, size_t in_size)
{
	unsigned int token = ff_send(ff, 0, out, out_size, in_size);

	return ff_wait(ff, 0, token, in, in_size);
}

uint64_t ff_calls(struct ff *ff, unsigned int queue)
{
	uint64_t calls = 0, n;

	while (read(ff->queues[queue].call, &n, sizeof(n)) == sizeof(n))
		calls += n;
	return calls;
}

void ff_add_event_buffers(struct ff *ff, unsigned int queue, unsigned int count, size_t size)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		add(ff, queue, NULL, 0, size, false);
	ff_kick(ff, queue);
}

/* The token that came back first. */
static struct ff_token *first_used(struct ff_queue *queue)
{
	struct ff_token *first = NULL;
	unsigned int i;

	for (i = 0; i < FF_QUEUE_SIZE; i++) {
		struct ff_token *token = &queue->tokens[i];

		if (token->used && (!first || token->order < first->order))
			first = token;
	}
	return first;
}

static uint32_t take_event(struct ff *ff, unsigned int index, struct ff_token *token, void *buf,
			   size_t size)
{
	struct ff_queue *queue = &ff->queues[index];
	uint32_t in_size = token->in_size;
	uint32_t written;

	written = finish(ff, queue, token - queue->tokens, buf, size);
	ff_add_event_buffers(ff, index, 1, in_size);
	return written;
}

uint32_t ff_wait_event(struct ff *ff, unsigned int queue, void *buf, size_t size)
{
	uint64_t deadline = ff_deadline();

	for (;;) {
		struct ff_token *token;

		collect(ff, &ff->queues[queue]);
		token = first_used(&ff->queues[queue]);
		if (token)
			return take_event(ff, queue, token, buf, size);
		ff_pump(ff, deadline);
	}
}

bool ff_poll_event(struct ff *ff, unsigned int queue, void *buf, size_t size)
{
	uint64_t deadline = ff_deadline();
	int i;

	for (i = 0; i <= POLL_PUMPS; i++) {
		struct ff_token *token;

		collect(ff, &ff->queues[queue]);
		token = first_used(&ff->queues[queue]);
		if (token) {
			take_event(ff, queue, token, buf, size);
			return true;
		}
		ff_pump(ff, deadline);
	}
	return false;
}
