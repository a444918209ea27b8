/* SPDX-License-Identifier: MIT */
/*
 * The worker is killed, over and over and wherever it is: the VMM notices nothing, the guest
 * loses nothing, and who looks from outside finds the same buffers again.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_bufshare.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/fake-frontend.h"
#include "daemon/process.h"
#include "host/lib/internal.h"

#define PAGE 4096u
#define EVENTS VIRTIO_BUFSHARE_QUEUE_EVENT
#define S(name) VIRTIO_BUFSHARE_STATUS_##name

/* The guest's driver, as far as it matters here: it knows its buffers and begins again. */
struct world {
	struct process daemon;
	struct ff *ff;
	uint64_t epoch;
	uint64_t gpa;
	uint64_t registered; /* id, 0: none */
	uint8_t uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	uint64_t seq, released;

	unsigned int one_in, delay_us; /* steps at which to kill, and how late; 0: never */
	uint64_t done; /* steps that the VMM and the guest have taken */
	unsigned int seed;
	unsigned int kills, recoveries;
};

static pid_t worker_of(pid_t keeper)
{
	_cleanup_close_ int fd = -1;
	char path[64], text[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return atoi(text);
}

static void kill_worker(struct world *w)
{
	pid_t worker = worker_of(w->daemon.pid);

	if (worker <= 0 || kill(worker, SIGKILL) < 0)
		return; /* it is being started */
	w->kills++;
}

/*
 * At most one kill for each step, at random: a driver that always dies at the same step of
 * its recovery never gets beyond it.
 */
static int pump(void *data)
{
	struct world *w = data;
	uint64_t done = w->ff->replies + w->ff->queues[0].num_used + w->ff->queues[EVENTS].num_used;
	bool next = done != w->done;

	w->done = done;
	if (w->one_in && next && rand_r(&w->seed) % w->one_in == 0) {
		if (w->delay_us)
			usleep(w->delay_us);
		kill_worker(w);
	}
	return process_pump(NULL);
}

static const char *socket_option(void)
{
	static char option[128];

	strcpy(option, "--socket-path=");
	return strcat(option, process_path("s"));
}

static int setup(void **state)
{
	struct world *w;

	assert_int_equal(fd_leak_setup(state), 0);
	w = calloc(1, sizeof(*w));
	process_start(&w->daemon, -1, socket_option(), "--export=copy", "--log-level=err", NULL);
	w->ff = ff_new(process_connect(process_path("s"), SOCK_STREAM), pump, w);
	w->gpa = ff_alloc(w->ff, 2 * PAGE);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	ff_free(w->ff);
	process_clean_up(&w->daemon);
	unlink(process_path("s"));
	unlink(process_path("s.consumers"));
	process_rmdir();
	free(w);
	return fd_leak_teardown(state);
}

/* ---- the driver ---- */

union answer {
	struct virtio_bufshare_response hdr;
	struct virtio_bufshare_init_response init;
	struct virtio_bufshare_register_response registered;
	struct virtio_bufshare_unregister_response unregistered;
	struct virtio_bufshare_query_response query;
};

static uint32_t try_command(struct world *w, void *request, size_t size, union answer *answer,
			    size_t answer_size)
{
	struct virtio_bufshare_request *hdr = request;

	hdr->epoch = htole64(w->epoch);
	memset(answer, 0xee, sizeof(*answer));
	assert_in_range(ff_command(w->ff, request, size, answer, answer_size),
			sizeof(answer->hdr), answer_size);
	return le32toh(answer->hdr.status);
}

static void init(struct world *w, uint64_t epoch)
{
	struct virtio_bufshare_init req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_RECOVERY),
	};
	union answer answer;

	w->epoch = epoch;
	assert_int_equal(try_command(w, &req, sizeof(req), &answer, sizeof(answer.init)), S(OK));
	if (epoch)
		assert_int_equal(le64toh(answer.init.epoch), epoch); /* it goes on */
	w->epoch = le64toh(answer.init.epoch);
	assert_true(w->epoch != 0);
}

static uint32_t try_register(struct world *w, uint64_t id, bool again, union answer *answer)
{
	struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range range;
	} req = {
		.hdr = {
			.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_REGISTER),
			.hdr.flags = htole32(again ? VIRTIO_BUFSHARE_REGISTER_AGAIN : 0),
			.buffer = htole64(id),
			.size = htole64(2 * PAGE),
			.seq = htole64(again ? w->seq : 0),
			.num_ranges = htole32(1),
			.application = "test.app",
		},
		.range = { htole64(w->gpa), htole64(2 * PAGE) },
	};

	return try_command(w, &req, sizeof(req), answer, sizeof(answer->registered));
}

/* What DRV-LIFE-1 asks of a driver; the worker may be killed meanwhile too. */
static void recover(struct world *w)
{
	union answer answer;
	uint32_t status;

	w->recoveries++;
	w->released = w->seq;
	do {
		init(w, w->epoch);
		if (!w->registered)
			return;
		status = try_register(w, w->registered, true, &answer);
	} while (status == S(EPOCH));
	assert_int_equal(status, S(OK));
	assert_memory_equal(answer.registered.uuid, w->uuid, sizeof(w->uuid));
}

static void command(struct world *w, void *request, size_t size, union answer *answer,
		    size_t answer_size)
{
	uint32_t status;

	while ((status = try_command(w, request, size, answer, answer_size)) == S(EPOCH))
		recover(w);
	assert_int_equal(status, S(OK));
}

static void register_buffer(struct world *w, uint64_t id)
{
	union answer answer;
	uint32_t status;

	w->seq = w->released = 0;
	while ((status = try_register(w, id, false, &answer)) == S(EPOCH))
		recover(w);
	assert_int_equal(status, S(OK));
	w->registered = id;
	memcpy(w->uuid, answer.registered.uuid, sizeof(w->uuid));
}

static void unregister(struct world *w)
{
	struct virtio_bufshare_unregister req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(w->registered),
	};
	union answer answer;

	command(w, &req, sizeof(req), &answer, sizeof(answer.unregistered));
	w->registered = 0;
}

static void read_event(struct world *w)
{
	struct virtio_bufshare_event ev;

	assert_int_equal(ff_wait_event(w->ff, EVENTS, &ev, sizeof(ev)), sizeof(ev));
	switch (le32toh(ev.type)) {
	case VIRTIO_BUFSHARE_EVENT_RESTARTED:
		if (le64toh(ev.epoch) == w->epoch)
			recover(w);
		break;
	case VIRTIO_BUFSHARE_EVENT_RELEASED:
		if (le64toh(ev.epoch) != w->epoch || le64toh(ev.buffer) != w->registered)
			break; /* it crossed with UNREGISTER */
		assert_in_range(le64toh(ev.seq), 1, w->seq);
		if (le64toh(ev.seq) > w->released) /* else it is from before the restart */
			w->released = le64toh(ev.seq);
		break;
	}
}

/* Tells an update and waits until it is released. */
static void update(struct world *w)
{
	struct virtio_bufshare_update req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_UPDATE),
		.buffer = htole64(w->registered),
		.seq = htole64(w->seq + 1),
	};
	union answer answer;
	uint32_t status;

	memset(ff_ptr(w->ff, w->gpa, 2 * PAGE), (int)(w->seq + 1), 2 * PAGE);
	while ((status = try_command(w, &req, sizeof(req), &answer, sizeof(answer.hdr))) == S(EPOCH))
		recover(w);
	assert_int_equal(status, S(OK));
	w->seq++;
	while (w->released != w->seq)
		read_event(w);
}

static void query(struct world *w)
{
	struct virtio_bufshare_named req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_QUERY),
		.buffer = htole64(w->registered),
	};
	union answer answer;

	command(w, &req, sizeof(req), &answer, sizeof(answer.query));
	assert_int_equal(le64toh(answer.query.seq), w->seq);
}

static void add_event_buffers(struct world *w)
{
	ff_add_event_buffers(w->ff, EVENTS, 8, sizeof(struct virtio_bufshare_event));
}

/* ---- the host ---- */

/* What a consumer sees that comes now. */
static void expect_buffer(struct world *w)
{
	struct bufshare_host *host = NULL;
	struct bufshare_host_buffer *buf;
	struct bufshare_event ev;
	uint8_t uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	const void *map;
	int i, r;

	for (i = 0; i < PROCESS_TIMEOUT_MS && !host; i++) {
		int sock = process_connect(process_path("s.consumers"), SOCK_SEQPACKET);

		fcntl(sock, F_SETFL, O_NONBLOCK);
		assert_int_equal(host_begin(sock, "*", &host), 0);
		while ((r = host_finish(host)) == -EAGAIN)
			process_sleep_ms(1);
		if (r < 0)
			host = bufshare_host_unref(host);
	}
	assert_non_null(host);
	do {
		r = bufshare_host_read_event(host, &ev);
		if (r == -EAGAIN)
			process_sleep_ms(1);
		else
			assert_int_equal(r, 0);
	} while (r == -EAGAIN || ev.type != BUFSHARE_EVENT_ADDED);
	assert_int_equal(ev.buffer_id, w->registered);
	assert_int_equal(ev.seq, w->seq);
	assert_int_equal(bufshare_host_get_buffer(host, ev.buffer_id, &buf), 0);
	bufshare_host_buffer_get_uuid(buf, uuid);
	assert_memory_equal(uuid, w->uuid, sizeof(uuid));
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	assert_int_equal(*(const uint8_t *)map, (uint8_t)w->seq);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
}

/* ---- the tests ---- */

/* All that a VMM and a driver say in their life. */
static void live(struct world *w)
{
	uint8_t magic[4], first[VIRTIO_BUFSHARE_UUID_SIZE];
	int i;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 1);
	for (i = 0; i < 3; i++)
		update(w);
	ff_get_config(w->ff, 0, magic, sizeof(magic));
	assert_memory_equal(magic, "bshr", 4);

	/* The machine is paused and goes on. */
	ff_stop(w->ff);
	ff_resume(w->ff);
	update(w);
	query(w);
	unregister(w);
	register_buffer(w, 2);
	update(w);
	memcpy(first, w->uuid, sizeof(first));

	/* It reboots. */
	w->registered = 0;
	ff_reset(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 2);
	assert_memory_not_equal(w->uuid, first, sizeof(first));
	update(w);
	query(w);
}

static void end(struct world *w)
{
	int status;

	w->one_in = 0;
	update(w);
	expect_buffer(w);
	w->ff = ff_free(w->ff);
	status = process_kill(&w->daemon, SIGTERM);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_undisturbed(void **state)
{
	struct world *w = *state;

	live(w);
	end(w);
	assert_int_equal(w->recoveries, 0);
}

static void killed(struct world *w, unsigned int one_in, unsigned int delay_us)
{
	w->one_in = one_in;
	w->delay_us = delay_us;
	live(w);
	while (w->kills < 6) {
		update(w);
		ff_stop(w->ff);
		ff_resume(w->ff);
		query(w);
	}
	end(w);
}

static void test_killed_often(void **state)
{
	killed(*state, 2, 0);
}

static void test_killed_now_and_then(void **state)
{
	killed(*state, 3, 0);
}

static void test_killed_in_between(void **state)
{
	killed(*state, 2, 150);
}

static void test_killed_late(void **state)
{
	killed(*state, 2, 700);
}

/* A front end that tells all regions in one message. */
static void test_memory_table(void **state)
{
	struct world *w = *state;

	w->ff->protocol_mask &= ~VHOST_USER_PROTOCOL_F_MEM_SLOTS;
	killed(w, 2, 100);
}

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

/* Nobody says anything while it dies: the guest is told by itself. */
static void test_event(void **state)
{
	struct world *w = *state;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	update(w);
	kill_worker(w);
	while (!w->recoveries)
		read_event(w);
	assert_int_equal(w->kills, 1);
	end(w);
}

/* It dies while the machine is paused: the guest is told when it goes on. */
static void test_killed_while_paused(void **state)
{
	struct world *w = *state;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	ff_stop(w->ff);
	kill_worker(w);
	process_sleep_ms(20);
	assert_false(w->recoveries);
	ff_resume(w->ff);
	while (!w->recoveries)
		read_event(w);
	end(w);
}

/* A command that the worker took and did not answer is answered by the next one. */
static void test_unanswered(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_ping ping = { .hdr.type = htole32(VIRTIO_BUFSHARE_CMD_PING) };
	struct virtio_bufshare_ping_response pong;
	pid_t worker;
	unsigned int tokens[3];
	int i;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	ping.hdr.epoch = htole64(w->epoch);
	worker = worker_of(w->daemon.pid);
	assert_int_equal(kill(worker, SIGSTOP), 0);
	for (i = 0; i < 3; i++)
		tokens[i] = ff_send(w->ff, 0, &ping, sizeof(ping), sizeof(pong));
	assert_int_equal(kill(worker, SIGKILL), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(ff_wait(w->ff, 0, tokens[i], &pong, sizeof(pong)),
				 sizeof(pong.hdr));
		assert_int_equal(le32toh(pong.hdr.status), S(EPOCH));
	}
	recover(w);
	end(w);
}

/* A worker that can not start is tried again, and the VMM waits. */
static void test_vmm_speaks_meanwhile(void **state)
{
	struct world *w = *state;
	uint8_t magic[4];
	int i;

	ff_connect(w->ff);
	for (i = 0; i < 5; i++) {
		kill_worker(w);
		ff_get_config(w->ff, 0, magic, sizeof(magic));
		assert_memory_equal(magic, "bshr", 4);
	}
	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	end(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_undisturbed),
		TEST(test_killed_often),
		TEST(test_killed_now_and_then),
		TEST(test_killed_in_between),
		TEST(test_killed_late),
		TEST(test_memory_table),
		TEST(test_hot_plug),
		TEST(test_hot_unplug_from_table),
		TEST(test_event),
		TEST(test_killed_while_paused),
		TEST(test_unanswered),
		TEST(test_vmm_speaks_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
