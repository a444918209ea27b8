/* SPDX-License-Identifier: MIT */
/*
 * What a worker knew that was killed, the next one knows too: the guest's memory, as it came
 * and went, and what the host said of the buffers.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/recovery-fixture.h"
#include "host/lib/internal.h"

static uint64_t region_message(struct world *w, uint32_t request,
			       const struct vhost_user_mem_reg *reg, int fd)
{
	uint64_t ack = ff_call(w->ff, request, reg, sizeof(*reg), &fd, fd >= 0);

	kill_worker(w);
	return ack;
}

/* Memory comes and goes, each time just before the worker does. */
static void test_hot_plug(void **state)
{
	const struct vhost_user_mem_reg reg = {
		.region = { .gpa = 1ULL << 40, .size = 16 * PAGE, .uva = 1ULL << 46 },
	};
	_cleanup_close_ int fd = memfd_create("dimm", MFD_CLOEXEC);
	struct world *w = *state;
	int i;

	assert_int_equal(ftruncate(fd, (off_t)reg.region.size), 0);
	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(region_message(w, VHOST_USER_ADD_MEM_REG, &reg, fd), 0);
		assert_int_not_equal(region_message(w, VHOST_USER_ADD_MEM_REG, &reg, fd), 0);
		assert_int_equal(region_message(w, VHOST_USER_REM_MEM_REG, &reg, -1), 0);
		assert_int_not_equal(region_message(w, VHOST_USER_REM_MEM_REG, &reg, -1), 0);
	}
	end(w);
}

/* A region that came in a table, and went by itself. */
static void test_hot_unplug_from_table(void **state)
{
	struct world *w = *state;
	struct vhost_user_mem_table table = { .num_regions = 2 };
	const int fds[2] = { w->ff->ram_fd, w->ff->ram_fd };
	struct vhost_user_mem_reg reg = { .padding = 0 };

	ff_connect(w->ff);
	ff_regions(table.regions);
	reg.region = table.regions[0];
	assert_int_equal(ff_call(w->ff, VHOST_USER_SET_MEM_TABLE, &table,
				 offsetof(struct vhost_user_mem_table, regions[2]), fds, 2), 0);
	kill_worker(w);
	assert_int_not_equal(region_message(w, VHOST_USER_ADD_MEM_REG, &reg, fds[0]), 0);
	assert_int_equal(region_message(w, VHOST_USER_REM_MEM_REG, &reg, -1), 0);
	assert_int_not_equal(region_message(w, VHOST_USER_REM_MEM_REG, &reg, -1), 0);
	assert_int_equal(region_message(w, VHOST_USER_ADD_MEM_REG, &reg, fds[0]), 0);
	w->ff->memory_known = true;
	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 1);
	end(w);
}

/* ---- what the host said ---- */

/* Descriptors, of which the daemon keeps 256 for itself, and more changes than buffers. */
#define FEW_DESCRIPTORS 276
#define FEW 40

struct properties {
	struct virtio_bufshare_get_properties_response hdr;
	char block[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE];
};

static struct properties guest_gets(struct world *w)
{
	struct virtio_bufshare_named req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_GET_PROPERTIES),
		.buffer = htole64(w->registered),
	};
	struct properties got;

	for (;;) {
		req.hdr.epoch = htole64(w->epoch);
		assert_true(ff_command(w->ff, &req, sizeof(req), &got, sizeof(got)) >=
			    sizeof(got.hdr.hdr));
		if (le32toh(got.hdr.hdr.status) != S(EPOCH))
			break;
		recover(w);
	}
	assert_int_equal(le32toh(got.hdr.hdr.status), S(OK));
	return got;
}

/* The block as the guest reads it. */
static void guest_reads(struct world *w, const char *want, size_t size, uint64_t generation)
{
	const struct properties got = guest_gets(w);

	assert_int_equal(le32toh(got.hdr.properties_size), size);
	assert_memory_equal(got.block, want, size);
	assert_int_equal(le64toh(got.hdr.generation), generation);
}

/* An event of the host's properties; what was told before a restart may be told again. */
static void expect_told(struct world *w, uint64_t generation)
{
	struct virtio_bufshare_event ev;

	for (;;) {
		ff_wait_event(w->ff, EVENTS, &ev, sizeof(ev));
		if (le32toh(ev.type) == VIRTIO_BUFSHARE_EVENT_RESTARTED)
			recover(w);
		if (le32toh(ev.type) != VIRTIO_BUFSHARE_EVENT_PROPERTIES)
			continue;
		if (le64toh(ev.value) == generation)
			return;
		assert_true(le64toh(ev.value) < generation);
	}
}

/* A consumer comes, says it, and is heard before it goes. */
static void host_sets(struct world *w, const char *name, const char *value, uint64_t generation)
{
	struct bufshare_host_buffer *buf;
	struct bufshare_host *host = see_buffer(w, &buf);

	assert_int_equal(bufshare_host_buffer_set_property(buf, name, value), 0);
	expect_told(w, generation);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
}

static void host_reads(struct world *w, const char *name, const char *want)
{
	struct bufshare_host_buffer *buf;
	struct bufshare_host *host = see_buffer(w, &buf);
	const char *value = NULL;

	assert_int_equal(bufshare_host_buffer_get_property(buf, name, &value), want ? 0 : -ENOENT);
	if (want)
		assert_string_equal(value, want);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
}

static void restart(struct world *w)
{
	unsigned int before = w->recoveries;

	kill_worker(w);
	while (w->recoveries == before)
		read_event(w);
}

static void test_host_properties(void **state)
{
	struct world *w = *state;
	int i;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	update(w);
	host_sets(w, "host.scale", "2", 1);
	host_sets(w, "host.window", "3", 2);
	for (i = 0; i < 3; i++) {
		restart(w);
		host_reads(w, "host.scale", "2");
		guest_reads(w, "host.scale=2\0host.window=3", 27, 2);
	}
	host_sets(w, "host.scale", NULL, 3);
	restart(w);
	host_reads(w, "host.scale", NULL);
	guest_reads(w, "host.window=3", 14, 3);

	/* They go with the buffer, whatever its id. */
	unregister(w);
	restart(w);
	register_buffer(w, 7);
	guest_reads(w, "", 0, 0);
	update(w);
	host_sets(w, "host.a", "b", 1);
	w->registered = 0;
	ff_reset(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	guest_reads(w, "", 0, 0);
	end(w);
}

/* The worker dies before it could tell the guest, which has no room for events. */
static void test_host_property_untold(void **state)
{
	struct world *w = *state;
	struct bufshare_host_buffer *buf;
	struct bufshare_host *host;

	ff_start(w->ff);
	init(w, 0);
	register_buffer(w, 7);
	host = see_buffer(w, &buf);
	assert_int_equal(bufshare_host_buffer_set_property(buf, "host.a", "b"), 0);
	while (!le64toh(guest_gets(w).hdr.generation))
		process_sleep_ms(1);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
	kill_worker(w);
	add_event_buffers(w);
	expect_told(w, 1);
	guest_reads(w, "host.a=b", 9, 1);
	end(w);
}

/* Where the limit of descriptors leaves room for fewer buffers than were asked for. */
static void test_few_descriptors(void **state)
{
	struct world *w = *state;
	char value[16];
	int i;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	update(w);
	for (i = 1; i <= FEW; i++) {
		snprintf(value, sizeof(value), "%d", i);
		host_sets(w, "host.n", value, (uint64_t)i);
	}
	restart(w);
	host_reads(w, "host.n", value);
	assert_int_equal(w->recoveries, 1); /* of the one kill */
	end(w);
}

static int setup_few(void **state)
{
	struct rlimit limit = { FEW_DESCRIPTORS, FEW_DESCRIPTORS };

	/* Nobody can take that back but root, and nothing comes behind it. */
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	return recovery_setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RECOVERY_TEST(test_hot_plug),
		RECOVERY_TEST(test_hot_unplug_from_table),
		RECOVERY_TEST(test_host_properties),
		RECOVERY_TEST(test_host_property_untold),
		cmocka_unit_test_setup_teardown(test_few_descriptors, setup_few, recovery_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
