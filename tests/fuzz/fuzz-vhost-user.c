/* SPDX-License-Identifier: MIT */
/*
 * Messages of a front end, in any order, with any descriptors; the memory that it hands
 * over is the input's too. The device behind answers every request with the request.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/daemon/log.h"
#include "host/daemon/loop.h"
#include "host/daemon/vhost-user-proto.h"
#include "host/daemon/vhost-user.h"

const char fuzz_name[] = "vhost-user";

#define MEMORY_SIZE 0x10000
#define MAX_STEPS 256
#define MAX_PAYLOAD 4200 /* more than any message has */
#define MAX_FDS 12

struct state {
	struct fuzz_input in;
	struct loop *loop;
	struct vu *vu;
	int sock;
	bool gone;
};

/* Made once: what the front end has to hand over. */
static uint8_t *guest;
static int memfd = -1, event = -1, stream = -1;

static void started(void *data, int how)
{
	fuzz_check(how == VU_START_FRESH || how == VU_START_RESUMED || how == VU_START_UNKNOWN);
}

static void stopped(void *data)
{
	struct state *s = data;

	fuzz_check(!vq_is_running(vu_queue(s->vu, 0)));
}

static void queue_kick(void *data, unsigned int index)
{
	struct state *s = data;
	struct vq *vq = vu_queue(s->vu, index);
	struct vq_element *element;
	uint8_t buf[256];
	int i;

	for (i = 0; i < 1024 && vq_pop(vq, &element) == 0; i++) {
		uint32_t size = element->readable < sizeof(buf) ? element->readable : sizeof(buf);

		if (vq_element_read(element, 0, buf, size) < 0)
			size = 0;
		vq_push(element, buf, size);
	}
	vq_notify(vq);
}

static void memory_changed(void *data)
{
	struct state *s = data;

	fuzz_check(memory_count(vu_memory(s->vu)) <= MEMORY_MAX_REGIONS);
}

static void closed(void *data, int reason)
{
	struct state *s = data;

	s->gone = true;
}

static const struct vu_ops ops = { started, stopped, queue_kick, memory_changed, closed };

static void make_once(void)
{
	int fds[2];

	if (guest)
		return;
	log_set_level(-1);
	memfd = fuzz_memfd(MEMORY_SIZE);
	guest = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	fuzz_check(guest != MAP_FAILED);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fuzz_socketpair(SOCK_STREAM, fds);
	stream = fds[0];
	close(fds[1]);
	fuzz_check(event >= 0);
}

/* What arrives, and what the back end says to it. */
static void settle(struct state *s)
{
	uint8_t buf[4096];
	int i;

	for (i = 0; i < 32 && loop_iterate(s->loop, 0) > 0; i++)
		;
	while (s->sock >= 0 && recv(s->sock, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static void send_bytes(struct state *s, const void *bytes, size_t size, int fd, unsigned int num_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)bytes, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	unsigned int i;

	if (num_fds) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		for (i = 0; i < num_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	if (size && sendmsg(s->sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		settle(s);
}

static void send_message(struct state *s, uint32_t request, uint32_t flags, const void *payload,
			 size_t size, int fd, unsigned int num_fds)
{
	struct {
		struct vhost_user_header hdr;
		uint8_t payload[MAX_PAYLOAD];
	} m = { .hdr = { request, flags, (uint32_t)size } };

	if (size)
		memcpy(m.payload, payload, size);
	send_bytes(s, &m, sizeof(m.hdr) + size, fd, num_fds);
}

static void message(struct state *s, uint8_t request)
{
	const int kinds[] = { event, memfd, stream, event };
	uint8_t flags = fuzz_u8(&s->in), fds = fuzz_u8(&s->in);
	const uint8_t *payload;
	size_t size;

	payload = fuzz_chunk(&s->in, &size);
	if (size > MAX_PAYLOAD)
		size = MAX_PAYLOAD;
	send_message(s, request, VHOST_USER_VERSION ^ flags, payload, size, kinds[fds >> 4 & 3],
		     (fds & 15) % (MAX_FDS + 1));
}

static void give_memory(struct state *s)
{
	const struct vhost_user_mem_table table = {
		.num_regions = 1,
		.regions = { { .size = MEMORY_SIZE } },
	};

	send_message(s, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, &table,
		     offsetof(struct vhost_user_mem_table, regions[1]), memfd, 1);
}

static void write_memory(struct state *s)
{
	size_t offset = fuzz_u16(&s->in) % MEMORY_SIZE, size;
	const uint8_t *bytes = fuzz_chunk(&s->in, &size);

	if (size > MEMORY_SIZE - offset)
		size = MEMORY_SIZE - offset;
	if (size)
		memcpy(guest + offset, bytes, size);
}

static void step(struct state *s)
{
	uint8_t what = fuzz_u8(&s->in);
	const uint8_t *bytes;
	size_t size;

	switch (what) {
	case VU_STEP_RAW:
		bytes = fuzz_chunk(&s->in, &size);
		send_bytes(s, bytes, size, -1, 0);
		break;
	case VU_STEP_WRITE:
		write_memory(s);
		break;
	case VU_STEP_KICK:
		eventfd_write(event, 1);
		settle(s);
		break;
	case VU_STEP_MEMORY:
		give_memory(s);
		break;
	default:
		message(s, what);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t config[64] = "the config space";
	struct state s = { .in = { data, size } };
	const struct vu_config vu_config = {
		.num_queues = 2,
		.config = config,
		.config_size = sizeof(config),
		.ops = &ops,
		.data = &s,
	};
	int fds[2], before, i;
	eventfd_t value;

	make_once();
	before = fuzz_lowest_fd();
	memset(guest, 0, MEMORY_SIZE);
	eventfd_read(event, &value);
	fuzz_check(loop_new(&s.loop) == 0);
	fuzz_socketpair(SOCK_STREAM, fds);
	s.sock = fds[1];
	fuzz_check(vu_new(s.loop, fds[0], &vu_config, &s.vu) == 0);
	for (i = 0; s.in.size && !s.gone && i < MAX_STEPS; i++)
		step(&s);
	close(s.sock);
	s.sock = -1;
	settle(&s);
	vu_free(s.vu);
	loop_free(s.loop);
	fuzz_check(fuzz_lowest_fd() == before);
	return 0;
}
