/* SPDX-License-Identifier: MIT */
/*
 * Rings and descriptors of a hostile driver. The input writes into the guest's memory
 * wherever it likes, between any two things that the device does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/daemon/log.h"
#include "host/daemon/memory.h"
#include "host/daemon/virtqueue.h"

const char fuzz_name[] = "virtqueue";

/* Two regions that touch, with the rings in the first. */
#define MEMORY_SIZE 0x8000
#define LOW_SIZE 0x4000
#define GPA 0x10000
#define UVA 0x7f0000000000

#define MAX_STEPS 512
#define MAX_HELD 32
#define MAX_READ 0x10000

struct state {
	struct fuzz_input in;
	struct memory *memory;
	struct vq *vq;
	uint8_t *map;
	int fd;
	bool high; /* the second region is there */
	struct vq_element *held[MAX_HELD];
	unsigned int num_held;
};

static const struct memory_info low = { .gpa = GPA, .size = LOW_SIZE, .uva = UVA };
static const struct memory_info high = {
	.gpa = GPA + LOW_SIZE,
	.size = MEMORY_SIZE - LOW_SIZE,
	.uva = UVA + LOW_SIZE,
	.offset = LOW_SIZE,
};

static void add(struct state *s, const struct memory_info *info)
{
	int fd = dup(s->fd);

	fuzz_check(fd >= 0);
	fuzz_check(memory_add(s->memory, info, fd) == 0);
}

static void pop(struct state *s)
{
	struct vq_element *element;
	uint64_t sum = 0;
	int r, i;

	if (s->num_held == MAX_HELD)
		return;
	r = vq_pop(s->vq, &element);
	fuzz_check(r == 0 || r == -EAGAIN || r == -ENOTCONN || r == -EPROTO);
	if (r < 0)
		return;
	for (i = 0; i < element->num_segments; i++)
		sum += element->segments[i].size;
	fuzz_check(element->num_readable <= element->num_segments);
	fuzz_check(sum == (uint64_t)element->readable + element->writable);
	s->held[s->num_held++] = element;
}

/* The element that an argument means; NULL: none is held. */
static struct vq_element *chosen(struct state *s, unsigned int *index)
{
	*index = fuzz_u8(&s->in);
	if (!s->num_held)
		return NULL;
	*index %= s->num_held;
	return s->held[*index];
}

static void push(struct state *s)
{
	static const uint8_t answer[MAX_READ];
	unsigned int i;
	struct vq_element *element = chosen(s, &i);
	uint16_t size = fuzz_u16(&s->in);

	if (!element)
		return;
	s->held[i] = s->held[--s->num_held];
	vq_push(element, answer, size);
}

static void read_element(struct state *s)
{
	unsigned int i;
	struct vq_element *element = chosen(s, &i);
	uint16_t offset = fuzz_u16(&s->in), size = fuzz_u16(&s->in);
	uint8_t *buf;
	int r;

	if (!element)
		return;
	buf = malloc(size ? size : 1);
	fuzz_check(buf);
	r = vq_element_read(element, offset, buf, size);
	fuzz_check(r == 0 || r == -EINVAL || r == -EFAULT || r == -ENOTCONN);
	fuzz_check(r != 0 || (uint32_t)offset + size <= element->readable);
	free(buf);
}

static void start(struct state *s)
{
	uint8_t how = fuzz_u8(&s->in);
	uint64_t features = (how & 1 ? VQ_F_INDIRECT : 0) | (how & 2 ? VQ_F_EVENT_IDX : 0);

	if (!vq_is_running(s->vq) && vq_check(s->vq) == 0)
		vq_start(s->vq, features, how & 4);
}

static void remap(struct state *s)
{
	bool wanted = fuzz_u8(&s->in) & 1;

	if (wanted == s->high)
		return;
	if (wanted)
		add(s, &high);
	else
		fuzz_check(memory_remove(s->memory, &high) == 0);
	s->high = wanted;
	vq_remap(s->vq);
}

static void set_addresses(struct state *s)
{
	struct vq_addresses a;

	a.desc = UVA + fuzz_u16(&s->in);
	a.avail = UVA + fuzz_u16(&s->in);
	a.used = UVA + fuzz_u16(&s->in);
	vq_set_addresses(s->vq, &a);
}

static void write_memory(struct state *s)
{
	size_t offset = fuzz_u16(&s->in) % MEMORY_SIZE, size;
	const uint8_t *bytes = fuzz_chunk(&s->in, &size);

	if (size > MEMORY_SIZE - offset)
		size = MEMORY_SIZE - offset;
	if (size)
		memcpy(s->map + offset, bytes, size);
}

static void step(struct state *s)
{
	switch (fuzz_u8(&s->in) % NUM_VQ_STEPS) {
	case VQ_STEP_WRITE:
		write_memory(s);
		break;
	case VQ_STEP_POP:
		pop(s);
		break;
	case VQ_STEP_PUSH:
		push(s);
		break;
	case VQ_STEP_READ:
		read_element(s);
		break;
	case VQ_STEP_NOTIFY:
		vq_notify(s->vq);
		break;
	case VQ_STEP_STOP:
		vq_stop(s->vq);
		break;
	case VQ_STEP_START:
		start(s);
		break;
	case VQ_STEP_SIZE:
		vq_set_size(s->vq, fuzz_u16(&s->in));
		break;
	case VQ_STEP_BASE:
		vq_set_base(s->vq, fuzz_u16(&s->in));
		break;
	case VQ_STEP_ADDRESSES:
		set_addresses(s);
		break;
	case VQ_STEP_REMAP:
		remap(s);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *map;
	static int fd = -1;
	struct state s = { .in = { data, size }, .high = true };
	int before, i;

	if (!map) {
		log_set_level(-1);
		fd = fuzz_memfd(MEMORY_SIZE);
		map = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		fuzz_check(map != MAP_FAILED);
	}
	before = fuzz_lowest_fd();
	memset(map, 0, MEMORY_SIZE);
	s.map = map;
	s.fd = fd;
	fuzz_check(memory_new(&s.memory) == 0);
	add(&s, &low);
	add(&s, &high);
	fuzz_check(vq_new(0, s.memory, NULL, &s.vq) == 0);
	for (i = 0; s.in.size && i < MAX_STEPS; i++)
		step(&s);

	/* Either order is right: elements outlive their queue. */
	if (size & 1)
		s.vq = vq_free(s.vq);
	while (s.num_held)
		vq_push(s.held[--s.num_held], NULL, 0);
	vq_free(s.vq);
	memory_free(s.memory);
	fuzz_check(fuzz_lowest_fd() == before);
	return 0;
}
