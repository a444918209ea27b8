/* SPDX-License-Identifier: MIT */
/*
 * What stock VMMs do not survive, measured with QEMU 11.1.3, and what they say that others do
 * not: each of it is a rule for this side of the socket, and has a test that guards it.
 *
 *   the VMM                                          guarded by
 *   aborts on a virtio id that it has no name for    test_identity, test-qemu-args.tap,
 *                                                    tests/vm/vmm
 *   ends at start with reconnect-ms                  test-qemu-args.tap
 *   aborts, sooner or later, if the connection is    test_never_closed_first, test-recovery,
 *   closed before it closes it                       test-process (linger), tests/vm/vmm
 *   crashes on CONFIG_CHANGE_MSG and SHMEM_MAP       test_nothing_said; ff_free() looks after
 *   while the device is stopped, or about to be      every test that has a front end
 *   has shared objects and regions, and not all of   test_offers_no_more
 *   it works: not offered
 *   says the same for a reset and a pause            test_reset_or_pause, test-vhost-user,
 *                                                    tests/vm/life, tests/vm/kexec
 *   stands still while it waits for an answer        test_register, test_register_stop and
 *                                                    test_copy of test-export-slow
 *   aborts on config_size > 256, vq_size > 1024      test_identity, test-qemu-args.tap,
 *                                                    tests/vm/vmm
 *   reads the config space where the guest does      test_config_everywhere
 *   asks for the base of a queue that stands         test_stopped_twice
 *   does not look at how many queues there are       test_too_many_queues, tests/vm/vmm
 *   Cloud Hypervisor: in another order, with fewer   test_cloud_hypervisor
 *   features
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"
#include "daemon/fake-frontend-internal.h"
#include "host/daemon/virtqueue.h"

#define QUEUE VIRTIO_BUFSHARE_QUEUE_CONTROL
#define ALL ((struct virtio_bufshare_rect){ 0 })
#define CONFIG_HEADER offsetof(struct vhost_user_config, bytes)

/* What QEMU has numbers for, and we have nothing behind. */
#define PROTOCOL_F_STATUS		(1ULL << 16)
#define PROTOCOL_F_SHARED_OBJECT	(1ULL << 18)
#define PROTOCOL_F_SHMEM		(1ULL << 22)
#define F_LOG_ALL			(1ULL << 26)
#define F_ACCESS_PLATFORM		(1ULL << 33)

/* Requests that belong to those. */
static const uint32_t not_ours[] = {
	6 /* SET_LOG_BASE */, 20 /* NET_SET_MTU */, 31 /* GET_INFLIGHT_FD */,
	34 /* RESET_DEVICE */, 35 /* VRING_KICK */, 39 /* SET_STATUS */,
	41 /* GET_SHARED_OBJECT */, 44 /* GET_SHMEM_CONFIG */,
};

/* Nothing was said that was not asked for, on either socket. */
static void assert_silent(struct cf *cf)
{
	char c;

	cf_pump(cf);
	assert_true(cf->ff->backend >= 0);
	assert_int_equal(recv(cf->ff->backend, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(ff_is_quiet(cf->ff));
}

/* ---- the device as the VMM sees it ---- */

static void test_identity(void **state)
{
	const int id = VIRTIO_BUFSHARE_ID;

	assert_true((id >= 1 && id <= 13) || (id >= 16 && id <= 41) || id == 45);
	assert_true(id <= 63); /* Linux binds no other */
	assert_in_range(sizeof(struct virtio_bufshare_config), 1, 256);
}

static void test_offers_no_more(void **state)
{
	struct cf *cf = *state;
	uint64_t features = ff_get_u64(cf->ff, VHOST_USER_GET_FEATURES);
	uint64_t protocol = ff_get_u64(cf->ff, VHOST_USER_GET_PROTOCOL_FEATURES), value = 0;
	size_t i;

	assert_int_equal(protocol, VHOST_USER_PROTOCOL_F_MQ | VHOST_USER_PROTOCOL_F_REPLY_ACK |
					   VHOST_USER_PROTOCOL_F_BACKEND_REQ |
					   VHOST_USER_PROTOCOL_F_CONFIG |
					   VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD |
					   VHOST_USER_PROTOCOL_F_MEM_SLOTS);
	assert_false(features & (F_LOG_ALL | F_ACCESS_PLATFORM));
	assert_true(features & VHOST_USER_F_VERSION_1);
	assert_true(features & VHOST_USER_F_PROTOCOL_FEATURES);

	/* Not negotiated, asked for all the same: refused, or passed over. */
	value = protocol | PROTOCOL_F_SHARED_OBJECT | PROTOCOL_F_SHMEM | PROTOCOL_F_STATUS;
	assert_true(ff_call(cf->ff, VHOST_USER_SET_PROTOCOL_FEATURES, &value, sizeof(value), NULL,
			    0) != 0);
	for (i = 0; i < ARRAY_SIZE(not_ours); i++) {
		assert_true(ff_call(cf->ff, not_ours[i], NULL, 0, NULL, 0) != 0);
		ff_message(cf->ff, not_ours[i], 0, NULL, 0, NULL, 0);
	}
	assert_silent(cf);
	cf_register(cf, 1);
}

static void test_config_everywhere(void **state)
{
	struct cf *cf = *state;
	uint8_t all[VHOST_USER_MAX_CONFIG_SIZE], part[VHOST_USER_MAX_CONFIG_SIZE];
	struct vhost_user_config config;
	uint32_t offset, size;

	ff_get_config(cf->ff, 0, all, sizeof(all));
	assert_memory_equal(all, "bshr", 4);
	for (offset = 0; offset <= sizeof(all); offset++) {
		for (size = 1; size <= 8; size *= 2) {
			if (size <= sizeof(all) - offset) {
				ff_get_config(cf->ff, offset, part, size);
				assert_memory_equal(part, all + offset, size);
				continue;
			}
			config = (struct vhost_user_config){ .offset = offset, .size = size };
			ff_message(cf->ff, VHOST_USER_GET_CONFIG, 0, &config, CONFIG_HEADER + size,
				   NULL, 0);
			ff_reply(cf->ff, VHOST_USER_GET_CONFIG, NULL, 0);
		}
	}
	assert_silent(cf);
}

/* ---- the connection ---- */

static uint32_t get_base(struct cf *cf, uint32_t index)
{
	struct vhost_user_vring_state state = { index, 0 };

	ff_message(cf->ff, VHOST_USER_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
	ff_reply(cf->ff, VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
	assert_int_equal(state.index, index);
	return state.num;
}

static void test_stopped_twice(void **state)
{
	struct cf *cf = *state;
	uint32_t i, again;

	cf_register(cf, 1);
	ff_stop(cf->ff);
	for (again = 0; again < 2; again++) {
		for (i = 0; i < 2; i++) {
			ff_enable(cf->ff, i, false);
			assert_int_equal(get_base(cf, i), cf->ff->queues[i].base);
		}
	}
	assert_silent(cf);
	ff_resume(cf->ff);
	cf_update(cf, 1, 1, ALL);
}

static void test_too_many_queues(void **state)
{
	struct cf *cf = *state;
	const struct vhost_user_vring_state beyond = { 2, 0 };
	const struct vhost_user_vring_addr addr = { .index = 2 };
	const uint32_t with_fd[] = { VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_ERR,
				     VHOST_USER_SET_VRING_KICK };
	const uint32_t with_state[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
					VHOST_USER_SET_VRING_ENABLE };
	uint64_t value = 2;
	size_t i;

	assert_int_equal(ff_get_u64(cf->ff, VHOST_USER_GET_QUEUE_NUM), 2);
	for (i = 0; i < ARRAY_SIZE(with_fd); i++)
		assert_true(ff_call(cf->ff, with_fd[i], &value, sizeof(value),
				    &cf->ff->queues[2].kick, 1) != 0);
	for (i = 0; i < ARRAY_SIZE(with_state); i++)
		assert_true(ff_call(cf->ff, with_state[i], &beyond, sizeof(beyond), NULL, 0) != 0);
	assert_true(ff_call(cf->ff, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0) != 0);
	/* There is no other way to answer it; the VM that has such a queue goes on. */
	assert_int_equal(get_base(cf, 2), 0);
	assert_silent(cf);
	cf_register(cf, 1);
}

/* Whatever the guest does: its rings may break, the connection does not. */
static void test_never_closed_first(void **state)
{
	struct cf *cf = *state;
	uint8_t noise[64];
	uint64_t rings;
	size_t i;

	for (i = 0; i < 256; i++) {
		memset(noise, (int)i, sizeof(noise));
		ff_command(cf->ff, noise, i % sizeof(noise) + 1, noise, sizeof(noise));
	}
	rings = cf->ff->queues[QUEUE].desc_gpa;
	memset(ff_ptr(cf->ff, rings, 4096), 0xff, 4096);
	cf->ff->queues[QUEUE].ring.avail->idx += 1000;
	ff_kick(cf->ff, QUEUE);
	for (i = 0; i < 2; i++)
		assert_int_equal(write(cf->ff->queues[i].kick, &(uint64_t){ 1 }, 8), 8);
	assert_silent(cf);
	assert_false(cf->gone);
	ff_reset(cf->ff);
	assert_silent(cf);
	assert_false(cf->gone);
}

/*
 * Everything of which another device would send CONFIG_CHANGE_MSG, and the moments at which
 * QEMU does not survive one: before the driver is ready, with the answer to GET_VRING_BASE
 * under way, after a reset.
 */
static void test_nothing_said(void **state)
{
	struct cf *cf = *state;
	int sock = cf_subscriber(cf, "*");
	union ipc_message msg;
	size_t size;

	cf_register(cf, 1);
	cf_update(cf, 1, 1, ALL);
	size = cf_make_set_properties(&msg, 1, "host.a=b", sizeof("host.a=b"));
	cf_send(cf, sock, &msg, size);
	assert_silent(cf);
	close(sock);
	ff_stop(cf->ff);
	sock = cf_subscriber(cf, "*");
	cf_send(cf, sock, &msg, size);
	assert_silent(cf);
	ff_reset(cf->ff);
	assert_silent(cf);
	close(sock);
	cf_pump(cf);
	ff_stop(cf->ff);
	assert_silent(cf);
}

/* ---- reset, or pause ---- */

static void expect_state(struct cf *cf, int sock, uint32_t want)
{
	union cf_message msg = cf_skip_to(cf, sock, BUFSHARE_IPC_STATE);

	assert_int_equal(le32toh(msg.state.state), want);
}

static void test_reset_or_pause(void **state)
{
	struct cf *cf = *state;
	_cleanup_close_ int sock = -1;

	cf_register(cf, 1);
	sock = cf_knows(cf, 1);
	ff_stop(cf->ff);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_SUSPENDED);
	ff_resume(cf->ff);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_RUNNING);
	cf_update(cf, 1, 1, ALL); /* it is still there */
	cf_expect_updated(cf, sock, 1, 1);

	/* The same messages, but for the base. */
	ff_stop(cf->ff);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_SUSPENDED);
	ff_reset(cf->ff);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_RESET);
}

/* ---- Cloud Hypervisor ---- */

/* It asks for an acknowledgement of everything, also of what has a reply. */
static uint64_t cloud_get(struct ff *ff, uint32_t request)
{
	uint64_t value;

	ff_message(ff, request, VHOST_USER_NEED_REPLY, NULL, 0, NULL, 0);
	ff_reply(ff, request, &value, sizeof(value));
	return value;
}

static void cloud_set(struct ff *ff, uint32_t request, const void *payload, uint32_t size, int fd)
{
	assert_int_equal(ff_call(ff, request, payload, size, &fd, fd >= 0), 0);
}

static void cloud_connect(struct ff *ff)
{
	uint8_t byte;
	uint32_t i;

	ff_message(ff, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	/* Of the device's own features it takes none. */
	ff->features = ff_get_u64(ff, VHOST_USER_GET_FEATURES) &
		       (VHOST_USER_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES | VQ_F_INDIRECT |
			VQ_F_EVENT_IDX);
	ff->protocol = ff_get_u64(ff, VHOST_USER_GET_PROTOCOL_FEATURES) &
		       (VHOST_USER_PROTOCOL_F_CONFIG | VHOST_USER_PROTOCOL_F_MQ |
			VHOST_USER_PROTOCOL_F_MEM_SLOTS | VHOST_USER_PROTOCOL_F_REPLY_ACK |
			VHOST_USER_PROTOCOL_F_BACKEND_REQ);
	ff_message(ff, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &ff->protocol, sizeof(ff->protocol),
		   NULL, 0);
	assert_int_equal(cloud_get(ff, VHOST_USER_GET_QUEUE_NUM), 2);

	/* The guest's driver finds out what device it is before it is ready, byte by byte. */
	for (i = 0; i < 4; i++) {
		ff_get_config(ff, i, &byte, 1);
		assert_int_equal(byte, "bshr"[i]);
	}
	ff->connected = true;
}

static void cloud_memory(struct ff *ff)
{
	struct vhost_user_mem_table table = { .num_regions = 2 };
	const int fds[2] = { ff->ram_fd, ff->ram_fd };

	ff_regions(table.regions);
	assert_int_equal(ff_call(ff, VHOST_USER_SET_MEM_TABLE, &table,
				 offsetof(struct vhost_user_mem_table, regions[2]), fds, 2), 0);
}

static void cloud_queue(struct ff *ff, uint32_t index)
{
	const struct ff_queue *queue = &ff->queues[index];
	const struct vhost_user_vring_state num = { index, FF_QUEUE_SIZE };
	/* What the driver made available is not ours yet. */
	const struct vhost_user_vring_state base = { index, le16toh(queue->ring.avail->idx) };
	const struct vhost_user_vring_addr addr = {
		.index = index,
		.desc = ff_uva(queue->desc_gpa),
		.avail = ff_uva(queue->avail_gpa),
		.used = ff_uva(queue->used_gpa),
	};
	const uint64_t value = index;

	cloud_set(ff, VHOST_USER_SET_VRING_NUM, &num, sizeof(num), -1);
	cloud_set(ff, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	cloud_set(ff, VHOST_USER_SET_VRING_BASE, &base, sizeof(base), -1);
	cloud_set(ff, VHOST_USER_SET_VRING_CALL, &value, sizeof(value), queue->err);
	cloud_set(ff, VHOST_USER_SET_VRING_KICK, &value, sizeof(value), queue->kick);
}

static void cloud_enable(struct ff *ff, bool enable)
{
	uint32_t i;

	for (i = 0; i < 2; i++) {
		const struct vhost_user_vring_state ring = { i, enable };

		cloud_set(ff, VHOST_USER_SET_VRING_ENABLE, &ring, sizeof(ring), -1);
	}
	ff->running = enable;
}

static void cloud_activate(struct ff *ff)
{
	uint32_t i;

	cloud_set(ff, VHOST_USER_SET_FEATURES, &ff->features, sizeof(ff->features), -1);
	cloud_memory(ff);
	for (i = 0; i < 2; i++)
		cloud_queue(ff, i);
	cloud_enable(ff, true);
	/* Only now. */
	if (ff->backend < 0) {
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		ff->backend = fds[0];
		cloud_set(ff, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, fds[1]);
		close(fds[1]);
	}
}

static int pump(void *data)
{
	struct cf *cf = data;

	return loop_iterate(cf->loop, cf->wait_ms) < 0 ? -1 : 0;
}

/* Another VMM in place of the fixture's. */
static void replace_vmm(struct cf *cf)
{
	int sockets[2];

	cf->ff = ff_free(cf->ff);
	while (!cf->gone)
		loop_iterate(cf->loop, cf->wait_ms);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(backend_connect(cf->be, sockets[0]), 0);
	cf->ff = ff_new(sockets[1], pump, cf);
	cf->gpa[0] = ff_alloc(cf->ff, 2 * CF_PAGE);
	ff_alloc(cf->ff, CF_PAGE);
	cf->gpa[1] = ff_alloc(cf->ff, CF_PAGE);
}

static void driver_begins(struct cf *cf)
{
	struct virtio_bufshare_init req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
	};
	struct virtio_bufshare_init_response resp;

	ff_add_event_buffers(cf->ff, VIRTIO_BUFSHARE_QUEUE_EVENT, 16,
			     sizeof(struct virtio_bufshare_event));
	assert_int_equal(ff_command(cf->ff, &req, sizeof(req), &resp, sizeof(resp)), sizeof(resp));
	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
	cf->epoch = le64toh(resp.epoch);
}

/* From the start of the VM to its end, with a hot-plugged region, a pause and a reboot. */
static void test_cloud_hypervisor(void **state)
{
	struct cf *cf = *state;
	struct vhost_user_mem_reg reg = { .region = { FF_RAM_SIZE * 2, CF_PAGE, 1ULL << 46, 0 } };
	_cleanup_close_ int sock = -1;
	unsigned int i;

	replace_vmm(cf);
	cloud_connect(cf->ff);
	cloud_activate(cf->ff);
	driver_begins(cf);
	cf_register(cf, 1);
	sock = cf_knows(cf, 1);
	cf_update(cf, 1, 1, ALL);
	cf_expect_updated(cf, sock, 1, 1);
	cloud_set(cf->ff, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), cf->ff->ram_fd);

	/* A pause is no more than queues that are disabled. */
	cloud_enable(cf->ff, false);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_SUSPENDED);
	cloud_enable(cf->ff, true);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_RUNNING);
	cf_update(cf, 1, 2, ALL);
	cf_release(cf, sock, 1, 1);
	cf_expect_updated(cf, sock, 1, 2);

	/* A reset says RESET_OWNER, and the driver comes again. */
	cloud_enable(cf->ff, false);
	cloud_set(cf->ff, VHOST_USER_RESET_OWNER, NULL, 0, -1);
	for (i = 0; i < FF_MAX_QUEUES; i++)
		ff_driver_reset(cf->ff, &cf->ff->queues[i]);
	cloud_activate(cf->ff);
	driver_begins(cf);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_SUSPENDED);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_RESET);
	expect_state(cf, sock, BUFSHARE_IPC_STATE_RUNNING);
	cf_register(cf, 1);
	cf_expect_added_id(cf, sock, 1);
	assert_silent(cf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, cf_setup, cf_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		TEST(test_offers_no_more),
		TEST(test_config_everywhere),
		TEST(test_stopped_twice),
		TEST(test_too_many_queues),
		TEST(test_never_closed_first),
		TEST(test_nothing_said),
		TEST(test_reset_or_pause),
		TEST(test_cloud_hypervisor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
