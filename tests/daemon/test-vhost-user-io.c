/* SPDX-License-Identifier: MIT */
/* What the front end does while the device runs: memory comes and goes, messages come in pieces. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/transport-fixture.h"

/*
 * Memory.
 */

static uint64_t mem_reg(struct fixture *f, uint32_t request, const struct vhost_user_region *region,
			int fd)
{
	struct vhost_user_mem_reg reg = { .region = *region };

	return ff_call(f->ff, request, &reg, sizeof(reg), &fd, fd >= 0 ? 1 : 0);
}

static void test_memory_plugged(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_region region = { 1ULL << 32, 0x10000, 0x7fff00000000, 0 };
	int fd = memfd_create("plugged", MFD_CLOEXEC);
	struct memory_span span;

	assert_int_equal(ftruncate(fd, region.size), 0);
	ff_start(f->ff);
	fixture_settle(f);
	fixture_forget(f);
	assert_int_equal(mem_reg(f, VHOST_USER_ADD_MEM_REG, &region, fd), 0);
	fixture_expect(f, "M");
	assert_int_equal(memory_lookup(vu_memory(f->vu), region.gpa, region.size, &span), 0);
	fixture_echo(f);

	/* With a descriptor, as old front ends do, or without. */
	assert_int_equal(mem_reg(f, VHOST_USER_REM_MEM_REG, &region, fd), 0);
	assert_int_equal(memory_lookup(vu_memory(f->vu), region.gpa, 1, &span), -EFAULT);
	assert_int_equal(mem_reg(f, VHOST_USER_ADD_MEM_REG, &region, fd), 0);
	assert_int_equal(mem_reg(f, VHOST_USER_REM_MEM_REG, &region, -1), 0);
	fixture_echo(f);
	close(fd);
}

/* The table is sent again whenever something changes, and when a VM goes on. */
static void test_table_again(void **state)
{
	struct fixture *f = *state;
	struct memory_region *region;

	f->ff->protocol_mask = ~VHOST_USER_PROTOCOL_F_MEM_SLOTS;
	ff_start(f->ff);
	fixture_echo(f);
	region = memory_region_ref(memory_get(vu_memory(f->vu), 1));
	ff_stop(f->ff);
	ff_resume(f->ff);
	assert_ptr_equal(memory_get(vu_memory(f->vu), 1), region);
	memory_region_unref(region);
	fixture_echo(f);
}

/* The table changes under a queue that runs; its rings stay in it, mapped elsewhere. */
static void test_table_while_running(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_mem_table table = { .num_regions = 1 };
	struct memory_region *region;

	ff_start(f->ff);
	fixture_echo(f);
	region = memory_region_ref(memory_get(vu_memory(f->vu), 1));

	ff_regions(table.regions);
	table.regions[0] = table.regions[1];
	table.regions[0].size -= 4096;
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_MEM_TABLE, &table,
				 offsetof(struct vhost_user_mem_table, regions[1]),
				 &f->ff->ram_fd, 1),
			 0);
	assert_int_equal(memory_count(vu_memory(f->vu)), 1);
	assert_ptr_not_equal(memory_get(vu_memory(f->vu), 0)->hva, region->hva);
	memory_region_unref(region);
	fixture_echo(f);
}

/* A table with room for more regions than it has, as old User Mode Linux sends it. */
static void test_table_with_rest(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_mem_table table = { .num_regions = 1 };

	ff_connect(f->ff);
	ff_regions(table.regions);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_MEM_TABLE, &table,
				 offsetof(struct vhost_user_mem_table, regions[2]),
				 &f->ff->ram_fd, 1),
			 0);
	assert_int_equal(memory_count(vu_memory(f->vu)), 1);
}

static void test_rings_unplugged(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_region regions[2];
	struct vq_element *element;

	ff_start(f->ff);
	fixture_echo(f);
	ff_regions(regions);
	assert_int_equal(mem_reg(f, VHOST_USER_REM_MEM_REG, &regions[1], -1), 0);
	assert_int_equal(vq_pop(vu_queue(f->vu, ECHO), &element), -EPROTO);
	assert_int_equal(vq_pop(vu_queue(f->vu, EVENTS), &element), -EPROTO);
	assert_int_equal(mem_reg(f, VHOST_USER_ADD_MEM_REG, &regions[1], f->ff->ram_fd), 0);
	ff_reset(f->ff);
	fixture_echo(f);
}

/*
 * The socket.
 */

/* Byte by byte, the descriptor with the first one; the loop never waits for the next. */
static void test_pieces(void **state)
{
	struct fixture *f = *state;
	struct __attribute__((packed)) {
		struct vhost_user_header hdr;
		uint64_t value;
	} msg = { { VHOST_USER_SET_VRING_ERR, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, 8 }, 0 };
	uint64_t ack;
	size_t i;

	ff_connect(f->ff);
	for (i = 0; i < sizeof(msg); i++) {
		assert_true(ff_is_quiet(f->ff));
		ff_send_raw(f->ff, (uint8_t *)&msg + i, 1, &f->ff->queues[ECHO].err, i == 0);
	}
	ff_reply(f->ff, VHOST_USER_SET_VRING_ERR, &ack, sizeof(ack));
	assert_int_equal(ack, 0);

	/* And one whose payload is more than zeros. */
	msg.hdr.request = VHOST_USER_SET_FEATURES;
	msg.value = f->ff->features;
	for (i = 0; i < sizeof(msg); i += 4) {
		assert_true(ff_is_quiet(f->ff));
		ff_send_raw(f->ff, (uint8_t *)&msg + i, 4, NULL, 0);
	}
	ff_reply(f->ff, VHOST_USER_SET_FEATURES, &ack, sizeof(ack));
	assert_int_equal(ack, 0);
	assert_int_equal(vu_features(f->vu), f->ff->features);
	ff_start(f->ff);
	fixture_echo(f);
}

/* While half a message is there everything else goes on. */
static void test_half_a_message(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_header hdr = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };
	uint64_t features;

	ff_start(f->ff);
	ff_send_raw(f->ff, &hdr, 5, NULL, 0);
	fixture_echo(f);
	ff_send_raw(f->ff, (uint8_t *)&hdr + 5, sizeof(hdr) - 5, NULL, 0);
	ff_reply(f->ff, VHOST_USER_GET_FEATURES, &features, sizeof(features));
}

/* Several messages in one write, each with its own descriptors or none. */
static void test_messages_at_once(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_header hdrs[50];
	uint64_t features;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(hdrs); i++)
		hdrs[i] = (struct vhost_user_header){ VHOST_USER_GET_FEATURES, 1, 0 };
	ff_send_raw(f->ff, hdrs, sizeof(hdrs), NULL, 0);
	for (i = 0; i < ARRAY_SIZE(hdrs); i++)
		ff_reply(f->ff, VHOST_USER_GET_FEATURES, &features, sizeof(features));
	assert_true(ff_is_quiet(f->ff));
}

/* A front end that asks on and on and reads nothing: no reply is lost, nothing waits for it. */
static void test_unread_replies(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_header hdr = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };
	uint64_t features;
	int i, sent = 0;

	ff_start(f->ff);
	for (;;) {
		ssize_t n = send(f->ff->sock, &hdr, sizeof(hdr), MSG_DONTWAIT);

		if (n == sizeof(hdr)) {
			sent++;
			fixture_settle(f);
			continue;
		}
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
		break;
	}
	assert_true(sent > 100);
	fixture_echo(f);

	for (i = 0; i < sent; i++)
		ff_reply(f->ff, VHOST_USER_GET_FEATURES, &features, sizeof(features));
	assert_true(ff_is_quiet(f->ff));
	assert_int_equal(loop_iterate(f->loop, 0), 0);
	fixture_echo(f);
}

static void test_unknown_request(void **state)
{
	struct fixture *f = *state;
	char payload[100] = "";

	ff_connect(f->ff);
	assert_int_equal(ff_call(f->ff, 31, payload, sizeof(payload), NULL, 0), 1);
	assert_int_equal(ff_call(f->ff, 0, NULL, 0, &f->ff->ram_fd, 1), 1);
	assert_int_equal(ff_call(f->ff, UINT32_MAX, NULL, 0, NULL, 0), 1);
	ff_message(f->ff, 31, 0, payload, sizeof(payload), &f->ff->ram_fd, 1);
	assert_true(ff_is_quiet(f->ff));
	ff_start(f->ff);
	fixture_echo(f);
}

static void test_backend_channel_twice(void **state)
{
	struct fixture *f = *state;

	ff_connect(f->ff);
	assert_int_equal(ff_call(f->ff, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &f->ff->ram_fd, 1),
			 0);
	ff_start(f->ff);
	fixture_echo(f);
}

static void close_front_end(struct fixture *f)
{
	close(f->ff->sock);
	f->ff->sock = -1;
	fixture_settle(f);
}

static void test_closed(void **state)
{
	struct fixture *f = *state;
	struct memory_span span;

	ff_start(f->ff);
	fixture_echo(f);
	fixture_forget(f);
	close_front_end(f);
	fixture_expect(f, "sC");
	assert_int_equal(f->close_reason, 0);

	/* The memory is there as long as somebody may look at it. */
	assert_int_equal(memory_lookup(vu_memory(f->vu), FF_HIGH_GPA, 1, &span), 0);
	*(volatile uint8_t *)span.hva = 1;
}

static void test_closed_and_freed(void **state)
{
	struct fixture *f = *state;

	f->free_when_closed = true;
	ff_start(f->ff);
	close_front_end(f);
	assert_null(f->vu);
	assert_int_equal(f->close_reason, 0);
}

/* In the middle of a message, and with a reply that nobody reads. */
static void test_closed_in_message(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_header hdr = { VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 8 };

	ff_connect(f->ff);
	ff_message(f->ff, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
	ff_send_raw(f->ff, &hdr, sizeof(hdr), &f->ff->ram_fd, 1);
	close_front_end(f);
	fixture_expect(f, "C");
	assert_int_equal(f->close_reason, 0);
}

/* The teardown sees that the descriptor of half a message is not forgotten. */
static void test_freed_in_message(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_header hdr = { VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 8 };

	ff_connect(f->ff);
	ff_send_raw(f->ff, &hdr, sizeof(hdr), &f->ff->ram_fd, 1);
	fixture_settle(f);
	f->vu = vu_free(f->vu);
}

static void test_new_refused(void **state)
{
	struct fixture *f = *state;
	struct vu_config config = { .num_queues = 1 };
	struct vu *vu = NULL;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(vu_new(f->loop, fds[0], &config, &vu), -EPROTOTYPE);
	close(fds[0]);
	close(fds[1]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	config.num_queues = 0;
	assert_int_equal(vu_new(f->loop, fds[0], &config, &vu), -EINVAL);
	config.num_queues = VU_MAX_QUEUES + 1;
	assert_int_equal(vu_new(f->loop, fds[0], &config, &vu), -EINVAL);
	config.num_queues = 1;
	config.config_size = VU_MAX_CONFIG_SIZE + 1;
	assert_int_equal(vu_new(f->loop, fds[0], &config, &vu), -EINVAL);
	config.config_size = 0;
	assert_int_equal(vu_new(f->loop, -1, &config, &vu), -EBADF);
	assert_null(vu);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_memory_plugged),
		FIXTURE_TEST(test_table_again),
		FIXTURE_TEST(test_table_while_running),
		FIXTURE_TEST(test_table_with_rest),
		FIXTURE_TEST(test_rings_unplugged),
		FIXTURE_TEST(test_pieces),
		FIXTURE_TEST(test_half_a_message),
		FIXTURE_TEST(test_messages_at_once),
		FIXTURE_TEST(test_unread_replies),
		FIXTURE_TEST(test_unknown_request),
		FIXTURE_TEST(test_backend_channel_twice),
		FIXTURE_TEST(test_closed),
		FIXTURE_TEST(test_closed_and_freed),
		FIXTURE_TEST(test_closed_in_message),
		FIXTURE_TEST(test_freed_in_message),
		FIXTURE_TEST(test_new_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
