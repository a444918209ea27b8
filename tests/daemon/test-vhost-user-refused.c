/* SPDX-License-Identifier: MIT */
/*
 * A front end that asks for one thing that can not be done, and for nothing else that is
 * wrong: it is refused and changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/messages.h"
#include "common/fd-leak.h"

/* Right but for one value. */
static void refuse(struct fixture *f, uint32_t request, const union message_payload *p,
		   uint32_t size, int fd)
{
	int before = fd_count();

	assert_int_equal(ff_call(f->ff, request, p->bytes, size, &fd, fd >= 0 ? 1 : 0), 1);
	assert_int_equal(fd_count(), before);
}

/* Nothing of what was refused is left: the VM starts, and works. */
static void expect_unchanged(struct fixture *f)
{
	if (f->ff->running)
		ff_reset(f->ff);
	else
		ff_start(f->ff);
	fixture_echo(f);
}

static void test_no_such_queue(void **state)
{
	static const uint32_t requests[] = {
		VHOST_USER_SET_VRING_NUM,  VHOST_USER_SET_VRING_ADDR, VHOST_USER_SET_VRING_BASE,
		VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_ERR,
		VHOST_USER_SET_VRING_ENABLE,
	};
	struct fixture *f = *state;
	union message_payload p;
	size_t i;

	message_connect(f);
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		bool fd = requests[i] >= VHOST_USER_SET_VRING_KICK &&
			  requests[i] <= VHOST_USER_SET_VRING_ERR;
		uint32_t size = requests[i] == VHOST_USER_SET_VRING_ADDR ? 40 : 8;

		message_fill(f, requests[i], &p);
		p.state.index = 2;
		refuse(f, requests[i], &p, size, fd ? f->ff->queues[ECHO].kick : -1);
		p.state.index = 0xff;
		refuse(f, requests[i], &p, size, fd ? f->ff->queues[ECHO].kick : -1);
		if (fd)
			continue;
		p.state.index = UINT32_MAX;
		refuse(f, requests[i], &p, size, -1);
	}
	expect_unchanged(f);
}

/* There is no way to refuse that: it stands where it always stood. */
static void test_base_of_no_queue(void **state)
{
	const uint32_t indexes[] = { 2, 255, 256, UINT32_MAX };
	struct fixture *f = *state;
	size_t i;

	ff_start(f->ff);
	for (i = 0; i < ARRAY_SIZE(indexes); i++) {
		struct vhost_user_vring_state queue = { indexes[i], 1 };

		ff_message(f->ff, VHOST_USER_GET_VRING_BASE, 0, &queue, sizeof(queue), NULL, 0);
		ff_reply(f->ff, VHOST_USER_GET_VRING_BASE, &queue, sizeof(queue));
		assert_int_equal(queue.index, indexes[i]);
		assert_int_equal(queue.num, 0);
	}
	fixture_echo(f);
}

static void test_features(void **state)
{
	struct fixture *f = *state;
	union message_payload p;

	message_connect(f);
	p.u64 = f->ff->features | 1;
	refuse(f, VHOST_USER_SET_FEATURES, &p, 8, -1);
	p.u64 = f->ff->features | 1ULL << 33;
	refuse(f, VHOST_USER_SET_FEATURES, &p, 8, -1);
	p.u64 = f->ff->protocol | 1ULL << 14;
	refuse(f, VHOST_USER_SET_PROTOCOL_FEATURES, &p, 8, -1);
	expect_unchanged(f);
	assert_int_equal(vu_features(f->vu), f->ff->features);
}

static void test_queue_sizes(void **state)
{
	static const uint32_t sizes[] = { 0, 3, 127, 1025, 2048, 65536, UINT32_MAX };
	struct fixture *f = *state;
	union message_payload p;
	size_t i;

	message_connect(f);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p.state = (struct vhost_user_vring_state){ ECHO, sizes[i] };
		refuse(f, VHOST_USER_SET_VRING_NUM, &p, 8, -1);
	}
	p.state.num = 1024;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_NUM, p.bytes, 8, NULL, 0), 0);
	p.state.num = 65536;
	refuse(f, VHOST_USER_SET_VRING_BASE, &p, 8, -1);
	p.state.num = 65535;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_BASE, p.bytes, 8, NULL, 0), 0);
	p.state.num = 2;
	refuse(f, VHOST_USER_SET_VRING_ENABLE, &p, 8, -1);
	expect_unchanged(f);
}

static void test_alignment(void **state)
{
	struct fixture *f = *state;
	union message_payload p;

	message_connect(f);
	message_fill(f, VHOST_USER_SET_VRING_ADDR, &p);
	p.addr.desc += 8;
	refuse(f, VHOST_USER_SET_VRING_ADDR, &p, 40, -1);
	message_fill(f, VHOST_USER_SET_VRING_ADDR, &p);
	p.addr.avail += 1;
	refuse(f, VHOST_USER_SET_VRING_ADDR, &p, 40, -1);
	message_fill(f, VHOST_USER_SET_VRING_ADDR, &p);
	p.addr.used += 2;
	refuse(f, VHOST_USER_SET_VRING_ADDR, &p, 40, -1);
	expect_unchanged(f);
}

/* Sets queue 0 up with these addresses; enabling it is what is refused. */
static void refuse_rings(struct fixture *f, const union message_payload *addr)
{
	union message_payload p = { .state = { ECHO, 0 } };

	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_ENABLE, p.bytes, 8, NULL, 0), 0);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_ADDR, addr->bytes, 40, NULL, 0), 0);
	p.state.num = 1;
	refuse(f, VHOST_USER_SET_VRING_ENABLE, &p, 8, -1);
}

static void test_rings_outside(void **state)
{
	static const uint64_t wrong[] = {
		0,
		FF_HIGH_GPA, /* an address of the guest, not of the front end */
		FF_HIGH_UVA - 4096,
		FF_HIGH_UVA + FF_HIGH_SIZE - 16,
		0xfffffffffffffff0,
	};
	struct fixture *f = *state;
	union message_payload p;
	size_t i;

	ff_start(f->ff);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		message_fill(f, VHOST_USER_SET_VRING_ADDR, &p);
		p.addr.desc = wrong[i];
		refuse_rings(f, &p);
		message_fill(f, VHOST_USER_SET_VRING_ADDR, &p);
		p.addr.avail = wrong[i];
		refuse_rings(f, &p);
		message_fill(f, VHOST_USER_SET_VRING_ADDR, &p);
		p.addr.used = wrong[i];
		refuse_rings(f, &p);
	}
	/* Enabled before it gets its kick: that is refused then. */
	p.state = (struct vhost_user_vring_state){ ECHO, 0 };
	ff_message(f->ff, VHOST_USER_GET_VRING_BASE, 0, p.bytes, 8, NULL, 0);
	ff_reply(f->ff, VHOST_USER_GET_VRING_BASE, &p.state, sizeof(p.state));
	p.state = (struct vhost_user_vring_state){ ECHO, 1 };
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_ENABLE, p.bytes, 8, NULL, 0), 0);
	p.u64 = ECHO;
	refuse(f, VHOST_USER_SET_VRING_KICK, &p, 8, f->ff->queues[ECHO].kick);
	expect_unchanged(f);
}

/* It has a size, and there is memory at address zero, which is where it would have its rings. */
static void test_not_set_up(void **state)
{
	struct fixture *f = *state;
	const struct vhost_user_region zero = { 1ULL << 32, 0x10000, 0, 0 };
	union message_payload p = { .reg = { .region = zero } };

	message_connect(f);
	assert_int_equal(ff_call(f->ff, VHOST_USER_ADD_MEM_REG, p.bytes, 40, &f->ff->ram_fd, 1), 0);
	message_fill(f, VHOST_USER_SET_VRING_NUM, &p);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_NUM, p.bytes, 8, NULL, 0), 0);
	p.u64 = ECHO;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_KICK, p.bytes, 8,
				 &f->ff->queues[ECHO].kick, 1),
			 0);
	p.state = (struct vhost_user_vring_state){ ECHO, 1 };
	refuse(f, VHOST_USER_SET_VRING_ENABLE, &p, 8, -1);
	expect_unchanged(f);
}

/* A driver of before virtio 1.0 would have its fields in another order on some machines. */
static void test_legacy_driver(void **state)
{
	struct fixture *f = *state;
	union message_payload p;

	ff_start(f->ff);
	ff_stop(f->ff);
	p.u64 = f->ff->features & ~VHOST_USER_F_VERSION_1;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_FEATURES, p.bytes, 8, NULL, 0), 0);
	p.u64 = ECHO;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_VRING_KICK, p.bytes, 8,
				 &f->ff->queues[ECHO].kick, 1),
			 0);
	p.state = (struct vhost_user_vring_state){ ECHO, 1 };
	refuse(f, VHOST_USER_SET_VRING_ENABLE, &p, 8, -1);
	expect_unchanged(f);
}

static void test_while_running(void **state)
{
	struct fixture *f = *state;
	union message_payload p;

	ff_start(f->ff);
	fixture_echo(f);
	message_fill(f, VHOST_USER_SET_VRING_NUM, &p);
	refuse(f, VHOST_USER_SET_VRING_NUM, &p, 8, -1);
	message_fill(f, VHOST_USER_SET_VRING_ADDR, &p);
	refuse(f, VHOST_USER_SET_VRING_ADDR, &p, 40, -1);
	p.state = (struct vhost_user_vring_state){ ECHO, 0 };
	refuse(f, VHOST_USER_SET_VRING_BASE, &p, 8, -1);
	p.u64 = f->ff->features & ~VQ_F_EVENT_IDX;
	refuse(f, VHOST_USER_SET_FEATURES, &p, 8, -1);
	p.u64 = f->ff->features;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_FEATURES, p.bytes, 8, NULL, 0), 0);
	fixture_echo(f);
}

/* There is nothing that would poll a queue without a kick, and a file can not be waited for. */
static void test_kicks(void **state)
{
	struct fixture *f = *state;
	union message_payload p = { .u64 = ECHO | VHOST_USER_VRING_NOFD };

	message_connect(f);
	refuse(f, VHOST_USER_SET_VRING_KICK, &p, 8, -1);
	p.u64 = ECHO;
	refuse(f, VHOST_USER_SET_VRING_KICK, &p, 8, f->ff->ram_fd);
	expect_unchanged(f);
	fixture_settle(f);
	p.u64 = ECHO | VHOST_USER_VRING_NOFD;
	refuse(f, VHOST_USER_SET_VRING_KICK, &p, 8, -1);
	fixture_echo(f);
}

static void refuse_region(struct fixture *f, struct vhost_user_region region, int fd)
{
	union message_payload p = { .reg = { .region = region } };

	refuse(f, VHOST_USER_ADD_MEM_REG, &p, 40, fd);
}

static void test_regions(void **state)
{
	const struct vhost_user_region right = { 1ULL << 32, 0x1000, 0x7fff00000000, 0 };
	struct fixture *f = *state;
	struct vhost_user_region wrong;
	union message_payload p;

	message_connect(f);
	wrong = right;
	wrong.size = 0;
	refuse_region(f, wrong, f->ff->ram_fd);
	wrong = right;
	wrong.gpa = UINT64_MAX - 0xfff;
	refuse_region(f, wrong, f->ff->ram_fd);
	wrong = right;
	wrong.uva = UINT64_MAX - 0xfff;
	refuse_region(f, wrong, f->ff->ram_fd);
	wrong = right;
	wrong.offset = FF_RAM_SIZE;
	refuse_region(f, wrong, f->ff->ram_fd);
	wrong = right;
	wrong.gpa = 1ULL << 33; /* overlaps */
	refuse_region(f, wrong, f->ff->ram_fd);
	refuse_region(f, right, f->ff->queues[ECHO].kick); /* no file */

	p.reg = (struct vhost_user_mem_reg){ .region = right };
	refuse(f, VHOST_USER_REM_MEM_REG, &p, 40, -1);
	assert_int_equal(memory_count(vu_memory(f->vu)), 1);
	fixture_expect(f, "");
	expect_unchanged(f);
}

static void test_table_refused(void **state)
{
	struct fixture *f = *state;
	const int fds[2] = { f->ff->ram_fd, f->ff->ram_fd };
	union message_payload p;
	int before;

	ff_start(f->ff);
	fixture_settle(f);
	fixture_forget(f);
	before = fd_count();
	message_fill(f, VHOST_USER_SET_MEM_TABLE, &p);
	p.table.regions[1].gpa = p.table.regions[0].gpa;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_MEM_TABLE, p.bytes, 72, fds, 2), 1);
	assert_int_equal(fd_count(), before);
	fixture_expect(f, "");
	fixture_echo(f);
}

static void test_too_many_regions(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_region region = { 1ULL << 32, 0x1000, 0x7fff00000000, 0 };
	union message_payload p;
	int i;

	ff_connect(f->ff);
	for (i = 0; i < MEMORY_MAX_REGIONS; i++) {
		p.reg = (struct vhost_user_mem_reg){ .region = region };
		assert_int_equal(ff_call(f->ff, VHOST_USER_ADD_MEM_REG, p.bytes, 40,
					 &f->ff->ram_fd, 1),
				 0);
		region.gpa += region.size;
		region.uva += region.size;
	}
	refuse_region(f, region, f->ff->ram_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_no_such_queue),
		FIXTURE_TEST(test_base_of_no_queue),
		FIXTURE_TEST(test_features),
		FIXTURE_TEST(test_queue_sizes),
		FIXTURE_TEST(test_alignment),
		FIXTURE_TEST(test_rings_outside),
		FIXTURE_TEST(test_not_set_up),
		FIXTURE_TEST(test_legacy_driver),
		FIXTURE_TEST(test_while_running),
		FIXTURE_TEST(test_kicks),
		FIXTURE_TEST(test_regions),
		FIXTURE_TEST(test_table_refused),
		FIXTURE_TEST(test_too_many_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
