/* SPDX-License-Identifier: MIT */
/*
 * A driver that does one thing wrong, and nothing else: each case spoils a chain that is
 * served when nobody spoils it.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/transport-fixture.h"

#define DESC(f) ((f)->ff->queues[ECHO].ring.desc)
#define AVAIL(f) ((f)->ff->queues[ECHO].ring.avail)
#define USED(f) ((f)->ff->queues[ECHO].ring.used)

/* Where the chain that is spoiled has its request, its answer, and an indirect table. */
#define REQUEST	(FF_HIGH_GPA + FF_HIGH_SIZE - 0x10000)
#define ANSWER	(REQUEST + 0x1000)
#define TABLE	(REQUEST + 0x2000)
#define END	(FF_HIGH_GPA + FF_HIGH_SIZE)
#define HOLE	(FF_LOW_GPA + FF_LOW_SIZE)

static void set_desc(struct vring_desc *desc, uint64_t gpa, uint32_t size, uint16_t flags,
		     uint16_t next)
{
	desc->addr = htole64(gpa);
	desc->len = htole32(size);
	desc->flags = htole16(flags);
	desc->next = htole16(next);
}

static struct vring_desc *table(struct fixture *f)
{
	return ff_ptr(f->ff, TABLE, 0x1000);
}

/* Descriptors 0 and 1 are the request, 2 is the answer. Right behind the ring is another. */
static void make_chain(struct fixture *f)
{
	set_desc(&DESC(f)[FF_QUEUE_SIZE], ANSWER, 8, VRING_DESC_F_WRITE, 0);
	memcpy(ff_ptr(f->ff, REQUEST, 8), "12345678", 8);
	set_desc(&DESC(f)[0], REQUEST, 4, VRING_DESC_F_NEXT, 1);
	set_desc(&DESC(f)[1], REQUEST + 4, 4, VRING_DESC_F_NEXT, 2);
	set_desc(&DESC(f)[2], ANSWER, 8, VRING_DESC_F_WRITE, 0);
	AVAIL(f)->ring[0] = 0;
	AVAIL(f)->idx = htole16(1);
}

/* The same in a table, to which descriptor 0 points. */
static void make_indirect(struct fixture *f)
{
	make_chain(f);
	memcpy(table(f), DESC(f), 3 * sizeof(struct vring_desc));
	set_desc(&table(f)[3], ANSWER, 8, VRING_DESC_F_WRITE, 0);
	set_desc(&DESC(f)[0], TABLE, 3 * sizeof(struct vring_desc), VRING_DESC_F_INDIRECT, 0);
}

static void kick(struct fixture *f)
{
	const uint64_t one = 1;

	assert_int_equal(write(f->ff->queues[ECHO].kick, &one, sizeof(one)), sizeof(one));
	fixture_settle(f);
}

/* Every descriptor of the ring is a piece of the request. */
static void make_longest(struct fixture *f)
{
	unsigned int i;

	make_chain(f);
	for (i = 0; i < FF_QUEUE_SIZE; i++)
		set_desc(&DESC(f)[i], REQUEST, 1, VRING_DESC_F_NEXT, i + 1);
	set_desc(&DESC(f)[FF_QUEUE_SIZE - 1], ANSWER, 8, VRING_DESC_F_WRITE, 0);
}

/*
 * What is right, and must be served. Each returns how many bytes of answer are right.
 */

static unsigned int right_direct(struct fixture *f)
{
	make_chain(f);
	return 8;
}

static unsigned int right_longest(struct fixture *f)
{
	make_longest(f);
	return 8;
}

static unsigned int right_indirect(struct fixture *f)
{
	make_indirect(f);
	return 8;
}

/* A descriptor in the ring and the rest in a table. */
static unsigned int right_mixed(struct fixture *f)
{
	make_chain(f);
	memcpy(table(f), &DESC(f)[1], 2 * sizeof(struct vring_desc));
	table(f)[0].next = htole16(1);
	set_desc(&DESC(f)[1], TABLE, 2 * sizeof(struct vring_desc), VRING_DESC_F_INDIRECT, 0);
	return 8;
}

/* The device must ignore it there. */
static unsigned int right_indirect_write_flag(struct fixture *f)
{
	make_indirect(f);
	DESC(f)[0].flags = htole16(VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE);
	return 8;
}

static unsigned int right_longest_table(struct fixture *f)
{
	make_longest(f);
	memcpy(table(f), DESC(f), FF_QUEUE_SIZE * sizeof(struct vring_desc));
	set_desc(&DESC(f)[0], TABLE, FF_QUEUE_SIZE * sizeof(struct vring_desc),
		 VRING_DESC_F_INDIRECT, 0);
	return 8;
}

/* Up to the last byte of memory. */
static unsigned int right_end_of_memory(struct fixture *f)
{
	make_chain(f);
	DESC(f)[2].addr = htole64(END - 8);
	return 8;
}

static unsigned int right_low_memory(struct fixture *f)
{
	make_chain(f);
	DESC(f)[2].addr = htole64(HOLE - 8);
	return 8;
}

static unsigned int right_no_answer(struct fixture *f)
{
	make_chain(f);
	set_desc(&DESC(f)[1], REQUEST + 4, 4, 0, 0);
	return 0;
}

/* The next field means nothing without the flag. */
static unsigned int right_stray_next(struct fixture *f)
{
	make_chain(f);
	DESC(f)[2].next = htole16(0xffff);
	return 8;
}

struct right {
	const char *name;
	unsigned int (*make)(struct fixture *f);
};

static void test_right(void **state)
{
	struct fixture *f = *state;
	const struct right *right = f->param;
	unsigned int size;

	ff_start(f->ff);
	size = right->make(f);
	kick(f);
	assert_int_equal(le16toh(USED(f)->idx), 1);
	assert_int_equal(le32toh(USED(f)->ring[0].id), 0);
	assert_int_equal(le32toh(USED(f)->ring[0].len), size);
}

/*
 * What is wrong: one field of a right chain, or a whole one that is made wrong.
 */

static void wrong_loop(struct fixture *f)
{
	make_chain(f);
	set_desc(&DESC(f)[2], ANSWER, 8, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 3);
	set_desc(&DESC(f)[3], ANSWER, 8, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
}

/* 4 GiB of request out of 60 MiB of memory. */
static void wrong_total(struct fixture *f)
{
	unsigned int i;

	make_longest(f);
	for (i = 0; i < FF_QUEUE_SIZE - 1; i++) {
		DESC(f)[i].addr = htole64(FF_HIGH_GPA);
		DESC(f)[i].len = htole32(60U << 20);
	}
}

static void wrong_indirect_in_table(struct fixture *f)
{
	make_indirect(f);
	set_desc(&table(f)[2], TABLE + 0x800, sizeof(struct vring_desc), VRING_DESC_F_INDIRECT, 0);
	set_desc(&table(f)[128], ANSWER, 8, VRING_DESC_F_WRITE, 0);
}

static void wrong_indirect_to_itself(struct fixture *f)
{
	make_indirect(f);
	set_desc(&table(f)[0], TABLE, 3 * sizeof(struct vring_desc), VRING_DESC_F_INDIRECT, 0);
}

/* Its last descriptor is right as well, and yet not in memory. */
static void wrong_table_over_end(struct fixture *f)
{
	make_indirect(f);
	memcpy(ff_ptr(f->ff, END - 32, 32), table(f), 32);
	memcpy(ff_beyond(f->ff), table(f) + 2, 16);
	DESC(f)[0].addr = htole64(END - 32);
}

/* As many in the ring as there may be, and one more in a table. */
static void wrong_mixed_too_long(struct fixture *f)
{
	unsigned int last = FF_QUEUE_SIZE - 1;

	make_longest(f);
	set_desc(&table(f)[0], REQUEST, 1, VRING_DESC_F_NEXT, 1);
	set_desc(&table(f)[1], ANSWER, 8, VRING_DESC_F_WRITE, 0);
	set_desc(&DESC(f)[last], TABLE, 2 * sizeof(struct vring_desc), VRING_DESC_F_INDIRECT, 0);
}

enum field {
	NOTHING,
	AVAIL_HEAD,
	AVAIL_INDEX,
	ADDR,
	LEN,
	FLAGS,
	NEXT,
};

struct wrong {
	const char *name;
	void (*make)(struct fixture *f);
	int field;
	unsigned int desc;
	uint64_t value;
	bool in_table;
	uint64_t without; /* features */
};

/* The chain is right but for one field. */
static void spoil(struct fixture *f, const struct wrong *wrong, struct vring_desc *descs)
{
	switch (wrong->field) {
	case NOTHING:
		break;
	case AVAIL_HEAD:
		AVAIL(f)->ring[0] = htole16(wrong->value);
		break;
	case AVAIL_INDEX:
		AVAIL(f)->idx = htole16(wrong->value);
		break;
	case ADDR:
		descs[wrong->desc].addr = htole64(wrong->value);
		break;
	case LEN:
		descs[wrong->desc].len = htole32(wrong->value);
		break;
	case FLAGS:
		descs[wrong->desc].flags = htole16(wrong->value);
		break;
	case NEXT:
		descs[wrong->desc].next = htole16(wrong->value);
		break;
	default:
		fail();
	}
}

static uint64_t errors_told(struct fixture *f)
{
	uint64_t n = 0;

	if (read(f->ff->queues[ECHO].err, &n, sizeof(n)) < 0)
		assert_int_equal(errno, EAGAIN);
	return n;
}

static void expect_broken(struct fixture *f, uint16_t used)
{
	struct vq_element *element;
	char buf[8];

	assert_int_equal(f->pop_error, -EPROTO);
	assert_int_equal(errors_told(f), 1);
	assert_false(vq_is_running(vu_queue(f->vu, ECHO)));

	/* Not served any more, not even what is right; the other queue is. */
	AVAIL(f)->idx = USED(f)->idx;
	make_chain(f);
	kick(f);
	assert_int_equal(le16toh(USED(f)->idx), used);
	assert_int_equal(vq_pop(vu_queue(f->vu, ECHO), &element), -EPROTO);
	assert_int_equal(errors_told(f), 0);
	ff_add_event_buffers(f->ff, EVENTS, 1, 8);
	assert_int_equal(fixture_event(f, "event", 6), 0);
	assert_int_equal(ff_wait_event(f->ff, EVENTS, buf, sizeof(buf)), 6);

	/* It stays so when the VM was paused, until the driver begins anew. */
	ff_stop(f->ff);
	if (f->ff->queues[ECHO].base != 0 || f->ff->queues[EVENTS].base != 0) {
		ff_resume(f->ff);
		fixture_settle(f);
		assert_int_equal(f->how, VU_START_RESUMED);
		assert_int_equal(vq_pop(vu_queue(f->vu, ECHO), &element), -EPROTO);
	}
	f->hold = false;
	ff_reset(f->ff);
	fixture_echo(f);
	assert_int_equal(errors_told(f), 0);
}

static void test_wrong(void **state)
{
	struct fixture *f = *state;
	const struct wrong *wrong = f->param;

	f->ff->features_mask &= ~wrong->without;
	ff_start(f->ff);
	wrong->make(f);
	spoil(f, wrong, wrong->in_table ? table(f) : DESC(f));
	kick(f);
	expect_broken(f, 0);
}

/* A descriptor is made available again before it was answered: two answers for one request. */
static void test_twice_in_flight(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	f->hold = true;
	make_chain(f);
	AVAIL(f)->ring[0] = 0;
	AVAIL(f)->idx = htole16(1);
	kick(f);
	assert_int_equal(f->num_held, 1);
	assert_true(vq_is_running(vu_queue(f->vu, ECHO)));

	AVAIL(f)->ring[1] = 0;
	AVAIL(f)->idx = htole16(2);
	kick(f);
	assert_int_equal(f->num_held, 1);
	expect_broken(f, 0);
}

/* What was in flight when the queue broke is not answered any more. */
static void test_answer_when_broken(void **state)
{
	struct fixture *f = *state;
	uint8_t *answer;

	ff_start(f->ff);
	f->hold = true;
	make_chain(f);
	answer = ff_ptr(f->ff, ANSWER, 8);
	memset(answer, 0x11, 8);
	kick(f);
	assert_int_equal(f->num_held, 1);
	AVAIL(f)->ring[1] = htole16(FF_QUEUE_SIZE);
	AVAIL(f)->idx = htole16(2);
	kick(f);
	assert_int_equal(f->pop_error, -EPROTO);

	fixture_answer(f, 0, 8);
	vq_notify(vu_queue(f->vu, ECHO));
	assert_int_equal(le16toh(USED(f)->idx), 0);
	assert_int_equal(answer[0], 0x11);
	assert_int_equal(ff_calls(f->ff, ECHO), 0);
}

/* Only the driver's own memory suffers from what it writes into the used ring. */
static void test_used_ring_spoiled(void **state)
{
	struct fixture *f = *state;

	ff_start(f->ff);
	fixture_echo(f);
	memset(USED(f), 0xff, sizeof(*USED(f)) + FF_QUEUE_SIZE * sizeof(USED(f)->ring[0]));
	make_chain(f);
	AVAIL(f)->idx = htole16(2);
	AVAIL(f)->ring[1] = 0;
	kick(f);
	assert_int_equal(le16toh(USED(f)->idx), 2);
	assert_int_equal(le32toh(USED(f)->ring[1].id), 0);

	/* Another device may have left any index there. */
	ff_stop(f->ff);
	USED(f)->idx = htole16(0x1234);
	ff_resume(f->ff);
	fixture_settle(f);
	AVAIL(f)->idx = htole16(3);
	AVAIL(f)->ring[2] = 0;
	kick(f);
	assert_int_equal(le16toh(USED(f)->idx), 0x1235);
}

/* A driver that writes while the device reads. */
struct racer {
	struct fixture *f;
	_Atomic bool stop;
};

static void *race(void *data)
{
	struct racer *racer = data;
	struct fixture *f = racer->f;
	unsigned int seed = 1;

	while (!racer->stop) {
		unsigned int i = rand_r(&seed) % 3;
		volatile struct vring_desc *desc = rand_r(&seed) % 4 ? &table(f)[i] : &DESC(f)[0];

		switch (rand_r(&seed) % 4) {
		case 0:
			desc->addr = htole64(rand_r(&seed) % 2 ? TABLE : END - 4);
			break;
		case 1:
			desc->len = htole32(rand_r(&seed) % 2 ? 32 : 0x7fffffff);
			break;
		case 2:
			desc->flags = htole16(rand_r(&seed) % 8);
			break;
		default:
			desc->next = htole16(rand_r(&seed) % 2 ? 2 : 0x7fff);
			break;
		}
	}
	return NULL;
}

/* Whatever it reads, it stays within memory: the sanitizers see to that. */
static void test_racing_driver(void **state)
{
	struct fixture *f = *state;
	struct racer racer = { .f = f };
	unsigned int broken = 0;
	pthread_t thread;
	int rounds;

	ff_start(f->ff);
	make_indirect(f);
	AVAIL(f)->idx = 0;
	assert_int_equal(pthread_create(&thread, NULL, race, &racer), 0);
	for (rounds = 0; broken < 300 && rounds < 100000; rounds++) {
		AVAIL(f)->idx = htole16(le16toh(AVAIL(f)->idx) + 1);
		kick(f);
		sched_yield();
		if (vq_is_running(vu_queue(f->vu, ECHO)))
			continue;
		broken++;
		ff_reset(f->ff);
		make_indirect(f);
		AVAIL(f)->idx = 0;
	}
	racer.stop = true;
	pthread_join(thread, NULL);
	assert_true(broken > 0);
	ff_reset(f->ff);
	fixture_echo(f);
}

#define RIGHT(what) { #what, what }
static struct right rights[] = {
	RIGHT(right_direct),
	RIGHT(right_longest),
	RIGHT(right_indirect),
	RIGHT(right_mixed),
	RIGHT(right_indirect_write_flag),
	RIGHT(right_longest_table),
	RIGHT(right_end_of_memory),
	RIGHT(right_low_memory),
	RIGHT(right_no_answer),
	RIGHT(right_stray_next),
};

static struct wrong wrongs[] = {
	{ "wrong_head", make_chain, AVAIL_HEAD, 0, FF_QUEUE_SIZE, false, 0 },
	{ "wrong_avail_jump", make_chain, AVAIL_INDEX, 0, FF_QUEUE_SIZE + 1, false, 0 },
	{ "wrong_avail_backwards", make_chain, AVAIL_INDEX, 0, 0xffff, false, 0 },
	{ "wrong_next", make_chain, NEXT, 1, FF_QUEUE_SIZE, false, 0 },
	{ "wrong_next_itself", make_chain, NEXT, 1, 1, false, 0 },
	{ "wrong_empty", make_chain, LEN, 1, 0, false, 0 },
	{ "wrong_address_in_hole", make_chain, ADDR, 1, HOLE, false, 0 },
	{ "wrong_address_beyond_end", make_chain, ADDR, 2, END, false, 0 },
	{ "wrong_into_hole", make_chain, ADDR, 2, HOLE - 7, false, 0 },
	{ "wrong_over_end", make_chain, ADDR, 2, END - 7, false, 0 },
	{ "wrong_address_wraps", make_chain, ADDR, 1, UINT64_MAX - 3, false, 0 },
	{ "wrong_length", make_chain, LEN, 1, UINT32_MAX, false, 0 },
	{ "wrong_order", make_chain, FLAGS, 0, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, false, 0 },
	{ "wrong_indirect_next", make_indirect, FLAGS, 0,
	  VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, false, 0 },
	{ "wrong_table_empty", make_indirect, LEN, 0, 0, false, 0 },
	{ "wrong_table_size", make_indirect, LEN, 0, 3 * sizeof(struct vring_desc) + 1, false, 0 },
	{ "wrong_table_too_large", make_indirect, LEN, 0,
	  (FF_QUEUE_SIZE + 1) * sizeof(struct vring_desc), false, 0 },
	{ "wrong_table_outside", make_indirect, ADDR, 0, HOLE, false, 0 },
	{ "wrong_table_next", make_indirect, NEXT, 1, 3, true, 0 },
	{ "wrong_table_next_to_first", make_indirect, NEXT, 1, 0, true, 0 },
	{ "wrong_table_address", make_indirect, ADDR, 2, HOLE, true, 0 },
	{ "wrong_table_order", make_indirect, FLAGS, 0,
	  VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, true, 0 },
	{ "wrong_loop", wrong_loop, NOTHING, 0, 0, false, 0 },
	{ "wrong_total", wrong_total, NOTHING, 0, 0, false, 0 },
	{ "wrong_indirect_in_table", wrong_indirect_in_table, NOTHING, 0, 0, false, 0 },
	{ "wrong_indirect_to_itself", wrong_indirect_to_itself, NOTHING, 0, 0, false, 0 },
	{ "wrong_table_over_end", wrong_table_over_end, NOTHING, 0, 0, false, 0 },
	{ "wrong_mixed_too_long", wrong_mixed_too_long, NOTHING, 0, 0, false, 0 },
	{ "wrong_indirect_without_feature", make_indirect, NOTHING, 0, 0, false, VQ_F_INDIRECT },
};

int main(void)
{
	const struct CMUnitTest others[] = {
		FIXTURE_TEST(test_twice_in_flight),
		FIXTURE_TEST(test_answer_when_broken),
		FIXTURE_TEST(test_used_ring_spoiled),
		FIXTURE_TEST(test_racing_driver),
	};
	struct CMUnitTest tests[ARRAY_SIZE(rights) + ARRAY_SIZE(wrongs) + ARRAY_SIZE(others)];
	size_t i, n = 0;

	for (i = 0; i < ARRAY_SIZE(rights); i++)
		tests[n++] = (struct CMUnitTest){ rights[i].name, test_right, fixture_setup,
						  fixture_teardown, &rights[i] };
	for (i = 0; i < ARRAY_SIZE(wrongs); i++)
		tests[n++] = (struct CMUnitTest){ wrongs[i].name, test_wrong, fixture_setup,
						  fixture_teardown, &wrongs[i] };
	for (i = 0; i < ARRAY_SIZE(others); i++)
		tests[n++] = others[i];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
