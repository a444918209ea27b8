/* SPDX-License-Identifier: MIT */
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

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/recovery-fixture.h"
#include "host/lib/internal.h"

pid_t worker_of(pid_t keeper)
{
	_cleanup_close_ int fd = -1;
	char path[64], text[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", keeper, keeper);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	return atoi(text);
}

void kill_worker(struct world *w)
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

int recovery_setup(void **state)
{
	struct world *w;

	assert_int_equal(fd_leak_setup(state), 0);
	w = calloc(1, sizeof(*w));
	process_start(&w->daemon, -1, socket_option(), "--export=copy", "--log-level=err", NULL);
	w->ff = ff_new(process_connect(process_path("s"), SOCK_STREAM), pump, w);
	w->gpa = ff_alloc(w->ff, SIZE);
	*state = w;
	return 0;
}

int recovery_teardown(void **state)
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

uint32_t try_command(struct world *w, void *request, size_t size, union answer *answer,
		     size_t answer_size)
{
	struct virtio_bufshare_request *hdr = request;

	hdr->epoch = htole64(w->epoch);
	memset(answer, 0xee, sizeof(*answer));
	assert_in_range(ff_command(w->ff, request, size, answer, answer_size),
			sizeof(answer->hdr), answer_size);
	return le32toh(answer->hdr.status);
}

void init(struct world *w, uint64_t epoch)
{
	struct virtio_bufshare_init req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_RECOVERY |
				VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES),
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
			.size = htole64(SIZE),
			.seq = htole64(again ? w->seq : 0),
			.num_ranges = htole32(1),
			.application = "test.app",
		},
		.range = { htole64(w->gpa), htole64(SIZE) },
	};

	return try_command(w, &req, sizeof(req), answer, sizeof(answer->registered));
}

/* What DRV-LIFE-1 asks of a driver; the worker may be killed meanwhile too. */
void recover(struct world *w)
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

void command(struct world *w, void *request, size_t size, union answer *answer,
	     size_t answer_size)
{
	uint32_t status;

	while ((status = try_command(w, request, size, answer, answer_size)) == S(EPOCH))
		recover(w);
	assert_int_equal(status, S(OK));
}

void register_buffer(struct world *w, uint64_t id)
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

void unregister(struct world *w)
{
	struct virtio_bufshare_unregister req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(w->registered),
	};
	union answer answer;

	command(w, &req, sizeof(req), &answer, sizeof(answer.unregistered));
	w->registered = 0;
}

void read_event(struct world *w)
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
void update(struct world *w)
{
	struct virtio_bufshare_update req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_UPDATE),
		.buffer = htole64(w->registered),
		.seq = htole64(w->seq + 1),
	};
	union answer answer;
	uint32_t status;

	memset(ff_ptr(w->ff, w->gpa, SIZE), (int)(w->seq + 1), SIZE);
	while ((status = try_command(w, &req, sizeof(req), &answer, sizeof(answer.hdr))) == S(EPOCH))
		recover(w);
	assert_int_equal(status, S(OK));
	w->seq++;
	while (w->released != w->seq)
		read_event(w);
}

void query(struct world *w)
{
	struct virtio_bufshare_named req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_QUERY),
		.buffer = htole64(w->registered),
	};
	union answer answer;

	command(w, &req, sizeof(req), &answer, sizeof(answer.query));
	assert_int_equal(le64toh(answer.query.seq), w->seq);
}

void add_event_buffers(struct world *w)
{
	ff_add_event_buffers(w->ff, EVENTS, 8, sizeof(struct virtio_bufshare_event));
}

/* ---- the host ---- */

struct bufshare_host *see_buffer(struct world *w, struct bufshare_host_buffer **buffer)
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
	*buffer = buf;
	return host;
}

void expect_buffer(struct world *w)
{
	struct bufshare_host_buffer *buf;
	struct bufshare_host *host = see_buffer(w, &buf);

	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
}

void end(struct world *w)
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
