/* SPDX-License-Identifier: MIT */
/*
 * A queue that another process served until it ended, at each of the steps where that can
 * be: nothing is answered twice, nothing is forgotten.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_ring.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "host/daemon/virtqueue.h"

#define SIZE 16u
#define UVA 0x7f0000000000ULL
#define MEMORY 0x10000u
#define BUFFERS 0x8000u /* where the requests are, 16 bytes each */

struct world {
	struct memory *memory;
	uint8_t *ram; /* the guest's side of it */
	struct vring ring;
	struct vq_state *state; /* what survives */
	struct vq *vq;
};

/* The driver made requests 0 to SIZE - 1 available, each of one descriptor. */
static int setup(void **state)
{
	const struct memory_info info = { .size = MEMORY, .uva = UVA };
	struct world *w = calloc(1, sizeof(*w));
	unsigned int i;
	int fd;

	assert_int_equal(fd_leak_setup(state), 0);
	w->state = calloc(1, sizeof(*w->state));
	fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, MEMORY), 0);
	w->ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_int_equal(memory_new(&w->memory), 0);
	assert_int_equal(memory_add(w->memory, &info, fd), 0);
	vring_init(&w->ring, SIZE, w->ram, 64);
	for (i = 0; i < SIZE; i++) {
		w->ring.desc[i].addr = htole64(BUFFERS + 16 * i);
		w->ring.desc[i].len = htole32(16);
		w->ring.avail->ring[i] = htole16((uint16_t)i);
	}
	w->ring.avail->idx = htole16(SIZE);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	vq_free(w->vq);
	memory_free(w->memory);
	munmap(w->ram, MEMORY);
	free(w->state);
	free(w);
	return fd_leak_teardown(state);
}

static uint64_t uva(const struct world *w, const void *p)
{
	return UVA + (uint64_t)((const uint8_t *)p - w->ram);
}

/* A process begins to serve the queue. */
static void serve(struct world *w, bool resume)
{
	const struct vq_addresses addresses = {
		.desc = uva(w, w->ring.desc),
		.avail = uva(w, w->ring.avail),
		.used = uva(w, w->ring.used),
	};

	assert_int_equal(vq_new(0, w->memory, w->state, &w->vq), 0);
	assert_int_equal(vq_set_size(w->vq, SIZE), 0);
	assert_int_equal(vq_set_addresses(w->vq, &addresses), 0);
	assert_int_equal(vq_start(w->vq, VQ_F_EVENT_IDX, resume), 0);
}

static struct vq_element *pop(struct world *w, uint16_t head)
{
	struct vq_element *e;

	assert_int_equal(vq_pop(w->vq, &e), 0);
	assert_int_equal(e->head, head);
	return e;
}

/* The process ends: nothing it had in its own memory is there any more. */
static void end(struct world *w, struct vq_element **held, unsigned int n)
{
	w->vq = vq_free(w->vq);
	while (n > 0)
		vq_push(held[--n], NULL, 0);
}

static void expect_used(const struct world *w, const uint16_t *heads, uint16_t n)
{
	unsigned int i;

	assert_int_equal(le16toh(w->ring.used->idx), n);
	for (i = 0; i < n; i++)
		assert_int_equal(le32toh(w->ring.used->ring[i].id), heads[i]);
}

static void test_in_flight(void **state)
{
	static const uint16_t order[] = { 1, 3, 0, 2, 4 };
	struct world *w = *state;
	struct vq_element *e[4];
	unsigned int i;

	serve(w, false);
	for (i = 0; i < 4; i++)
		e[i] = pop(w, (uint16_t)i);
	vq_push(e[1], NULL, 0);
	vq_push(e[3], NULL, 0);
	e[1] = e[2];
	end(w, e, 2);

	serve(w, true);
	assert_int_equal(vq_get_base(w->vq), 4);
	for (i = 0; i < 3; i++)
		vq_push(pop(w, (uint16_t)(2 * i)), NULL, 0); /* 0, 2, and the first new one */
	expect_used(w, order, 5);
	assert_int_equal(vq_get_base(w->vq), 5);
}

/* The second of two stores was not made: it counts as popped all the same. */
static void test_popped_half(void **state)
{
	struct world *w = *state;
	struct vq_element *e;

	serve(w, false);
	e = pop(w, 0);
	w->state->popped = 0;
	end(w, &e, 1);
	serve(w, true);
	assert_int_equal(vq_get_base(w->vq), 1);
	vq_push(pop(w, 0), NULL, 0);
	vq_push(pop(w, 1), NULL, 0);
}

static void complete_half(struct world *w, bool index_written)
{
	struct vq_element *e;

	serve(w, false);
	e = pop(w, 0);
	w->state->completing = VQ_COMPLETING(0, 0);
	w->ring.used->ring[0].id = 0;
	if (index_written)
		w->ring.used->idx = htole16(1);
	end(w, &e, 1);
	serve(w, true);
	assert_int_equal(w->state->completing, 0);
}

static void test_not_completed(void **state)
{
	static const uint16_t order[] = { 0, 1 };
	struct world *w = *state;

	complete_half(w, false);
	vq_push(pop(w, 0), NULL, 0);
	vq_push(pop(w, 1), NULL, 0);
	expect_used(w, order, 2);
}

static void test_completed(void **state)
{
	static const uint16_t order[] = { 0, 1 };
	struct world *w = *state;

	complete_half(w, true);
	vq_push(pop(w, 1), NULL, 0); /* 0 is with the driver */
	expect_used(w, order, 2);
}

/* The driver began anew meanwhile: it waits for nothing. */
static void test_afresh(void **state)
{
	struct world *w = *state;
	struct vq_element *e;

	serve(w, false);
	e = pop(w, 0);
	end(w, &e, 1);
	serve(w, false);
	assert_int_equal(vq_set_base(w->vq, 0), -EBUSY);
	vq_stop(w->vq);
	assert_int_equal(vq_set_base(w->vq, 0), 0);
	assert_int_equal(vq_start(w->vq, VQ_F_EVENT_IDX, false), 0);
	vq_push(pop(w, 0), NULL, 0);
	vq_push(pop(w, 1), NULL, 0);
}

/* What is to be popped again is no descriptor of a queue that became smaller. */
static void test_smaller(void **state)
{
	struct world *w = *state;
	struct vq_element *held[9], *e;
	unsigned int i;

	serve(w, false);
	for (i = 0; i < 9; i++)
		held[i] = pop(w, (uint16_t)i);
	end(w, held, 9);
	for (i = 0; i < 8; i++)
		w->state->order[i] = 0;
	serve(w, true);
	vq_stop(w->vq);
	assert_int_equal(vq_set_size(w->vq, 8), 0);
	assert_int_equal(vq_start(w->vq, VQ_F_EVENT_IDX, true), 0);
	assert_int_equal(vq_pop(w->vq, &e), -EPROTO);
	assert_false(vq_is_running(w->vq));
}

/* Whatever stands there, it is read within bounds. */
static void test_nonsense(void **state)
{
	struct world *w = *state;
	struct vq_element *e;

	memset(w->state, 0xff, sizeof(*w->state));
	serve(w, true);
	while (vq_pop(w->vq, &e) == 0)
		vq_push(e, NULL, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_flight),
		TEST(test_popped_half),
		TEST(test_not_completed),
		TEST(test_completed),
		TEST(test_afresh),
		TEST(test_smaller),
		TEST(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
