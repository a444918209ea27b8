/* SPDX-License-Identifier: MIT */
/*
 * Messages of a hostile daemon at libbufshare-host, with a program that does what programs
 * do: it looks at every event's buffer, maps it, reads it and gives it back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bufshare-host.h>

#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/ipc-io.h"

const char fuzz_name[] = "host-library";

#define MEMORY_SIZE 0x10000
#define MAX_STEPS 128
#define MAX_EVENTS 256
#define MAX_KEPT 4

struct state {
	struct fuzz_input in;
	struct bufshare_host *host;
	struct bufshare_host_buffer *kept[MAX_KEPT];
	int sock;
	int file;
};

static int memfd = -1, unsealed = -1, event = -1;

static void make_once(void)
{
	if (memfd >= 0)
		return;
	memfd = fuzz_memfd(MEMORY_SIZE);
	unsealed = memfd_create("fuzz", MFD_CLOEXEC);
	fuzz_check(unsealed >= 0 && ftruncate(unsealed, MEMORY_SIZE) == 0);
	event = eventfd(0, EFD_CLOEXEC);
	fuzz_check(event >= 0);
}

static void send_message(struct state *s)
{
	uint8_t kind = fuzz_u8(&s->in) % NUM_KINDS, type = fuzz_u8(&s->in);
	const int fds[NUM_KINDS] = { -1, memfd, s->file, unsealed, event };
	union ipc_message msg;
	const uint8_t *bytes;
	size_t size;

	bytes = fuzz_chunk(&s->in, &size);
	if (size > sizeof(msg) - sizeof(msg.hdr))
		size = sizeof(msg) - sizeof(msg.hdr);
	memcpy(msg.bytes + sizeof(msg.hdr), bytes, size);
	ipc_header(&msg, type, sizeof(msg.hdr) + size);
	ipc_send(s->sock, &msg, sizeof(msg.hdr) + size, fds[kind]);
}

static void send_record(struct state *s)
{
	size_t size;
	const uint8_t *bytes = fuzz_chunk(&s->in, &size);

	send(s->sock, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void make_file(struct state *s)
{
	size_t size;
	const uint8_t *bytes = fuzz_chunk(&s->in, &size);

	fuzz_faults(false);
	if (s->file >= 0)
		close(s->file);
	s->file = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fuzz_check(s->file >= 0);
	fuzz_check(write(s->file, bytes, size) == (ssize_t)size);
	fuzz_check(fcntl(s->file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	fuzz_faults(true);
}

/* Whatever the library gives out of a buffer must be there. */
static void look_at(struct bufshare_host_buffer *buf)
{
	struct bufshare_framebuffer fb;
	const char *name = NULL, *value;
	const volatile uint8_t *bytes;
	uint64_t size = bufshare_host_buffer_get_size(buf);
	const void *map;

	while (bufshare_host_buffer_next_property(buf, &name) == 0)
		fuzz_check(bufshare_host_buffer_get_property(buf, name, &value) == 0);
	fuzz_check(strlen(bufshare_host_buffer_get_application(buf)) < BUFSHARE_APPLICATION_SIZE);
	if (bufshare_host_buffer_map(buf, &map) < 0)
		return;
	if (bufshare_host_buffer_begin_read(buf) < 0)
		return;
	bytes = map;
	(void)bytes[0];
	(void)bytes[size - 1];
	if (bufshare_host_buffer_get_framebuffer(buf, &fb) == 0) {
		fuzz_check(fb.offset < size && fb.height && fb.stride);
		fuzz_check((uint64_t)fb.stride * (fb.height - 1) < size - fb.offset);
		(void)bytes[fb.offset + (uint64_t)fb.stride * (fb.height - 1)];
	}
	bufshare_host_buffer_end_read(buf);
}

static void handle(struct state *s, const struct bufshare_event *ev)
{
	struct bufshare_host_buffer *buf;

	if (!ev->buffer_id || bufshare_host_get_buffer(s->host, ev->buffer_id, &buf) < 0)
		return;
	look_at(buf);
	if (ev->type == BUFSHARE_EVENT_UPDATED && (ev->seq & 1))
		bufshare_host_buffer_release(buf, ev->seq);
	bufshare_host_buffer_unref(buf);
}

static void read_events(struct state *s)
{
	struct bufshare_event ev;
	int i, r = 0;

	for (i = 0; i < MAX_EVENTS && r >= 0; i++) {
		r = bufshare_host_read_event(s->host, &ev);
		if (r >= 0)
			handle(s, &ev);
	}
}

static void keep(struct state *s)
{
	unsigned int i = fuzz_u8(&s->in) % MAX_KEPT;
	uint64_t id = fuzz_u8(&s->in);

	if (s->kept[i])
		s->kept[i] = bufshare_host_buffer_unref(s->kept[i]);
	else if (bufshare_host_get_buffer(s->host, id, &s->kept[i]) < 0)
		s->kept[i] = NULL;
}

static void release(struct state *s)
{
	uint64_t seq = fuzz_u8(&s->in);
	int i;

	for (i = 0; i < MAX_KEPT; i++) {
		if (!s->kept[i])
			continue;
		look_at(s->kept[i]);
		bufshare_host_buffer_release(s->kept[i], seq);
	}
}

static void drain(struct state *s)
{
	union ipc_message msg;
	int fd;

	while (ipc_recv(s->sock, &msg, &fd) >= 0)
		fuzz_check(fd < 0);
}

static void step(struct state *s)
{
	switch (fuzz_u8(&s->in) % NUM_HOST_STEPS) {
	case HOST_STEP_MESSAGE:
		send_message(s);
		break;
	case HOST_STEP_RECORD:
		send_record(s);
		break;
	case HOST_STEP_FILE:
		make_file(s);
		break;
	case HOST_STEP_KEEP:
		keep(s);
		break;
	case HOST_STEP_RELEASE:
		release(s);
		break;
	case HOST_STEP_SUBSCRIBE:
		bufshare_host_subscribe(s->host, "fuzz.*");
		break;
	case HOST_STEP_UNSUBSCRIBE:
		bufshare_host_unsubscribe(s->host, "fuzz.*");
		break;
	case HOST_STEP_STATS:
		bufshare_host_request_stats(s->host);
		break;
	case HOST_STEP_SET_PROPERTY:
		if (s->kept[0])
			bufshare_host_buffer_set_property(s->kept[0], "host.fuzz", "1");
		break;
	case HOST_STEP_DRAIN:
		drain(s);
		break;
	}
	read_events(s);
}

/* The welcome is the input's if it is one, and else a good one, so that there is more to see. */
static int connect_host(struct state *s)
{
	struct bufshare_ipc_welcome m = { .magic = htole32(BUFSHARE_IPC_MAGIC) };
	int fds[2], r;

	fuzz_socketpair(SOCK_SEQPACKET, fds);
	s->sock = fds[1];
	if (fuzz_u8(&s->in) & 1)
		send_message(s);
	ipc_header(&m, BUFSHARE_IPC_WELCOME, sizeof(m));
	m.version = htole32(BUFSHARE_IPC_VERSION);
	m.caps = htole64(BUFSHARE_IPC_CAP_ZERO_COPY | BUFSHARE_IPC_CAP_SET_PROPERTIES);
	m.epoch = htole64(1);
	m.uuid[0] = 1;
	m.state = htole32(BUFSHARE_IPC_STATE_RUNNING);
	ipc_field_set(m.label, sizeof(m.label), "fuzz");
	ipc_send(s->sock, &m, sizeof(m), -1);
	fuzz_faults(true);
	r = bufshare_host_new_from_fd(fds[0], "*", &s->host);
	if (r < 0)
		close(fds[0]);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state s = { .in = { data, size }, .file = -1 };
	int before, i;

	make_once();
	before = fuzz_lowest_fd();
	if (connect_host(&s) == 0) {
		for (i = 0; s.in.size && i < MAX_STEPS; i++)
			step(&s);
		/* Buffers outlive the connection. */
		if (size & 1)
			s.host = bufshare_host_unref(s.host);
		release(&s);
		for (i = 0; i < MAX_KEPT; i++)
			bufshare_host_buffer_unref(s.kept[i]);
		bufshare_host_unref(s.host);
	}
	fuzz_faults(false);
	close(s.sock);
	if (s.file >= 0)
		close(s.file);
	fuzz_check(fuzz_lowest_fd() == before);
	return 0;
}
