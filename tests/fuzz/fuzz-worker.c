/* SPDX-License-Identifier: MIT */
/*
 * A worker that takes over: the state that another one left behind, which had read what the
 * guest wrote when it ended, the memory of the guest, and what the keeper says. The worker
 * runs until the keeper has said all.
 */
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/daemon/keeper-proto.h"
#include "host/daemon/log.h"
#include "host/daemon/record.h"
#include "host/daemon/sandbox.h"
#include "host/daemon/state.h"
#include "host/daemon/worker.h"

const char fuzz_name[] = "worker";

#define MEMORY_SIZE 0x10000
#define MAX_STEPS 128
#define SOCKET_SIZE (1 << 20)

struct state_of_run {
	struct fuzz_input in;
	struct state *state;
	size_t size; /* of it */
	int state_fd;
	int channel; /* the keeper's end */
	unsigned int questions; /* to be answered */
	bool full; /* the channel */
};

static uint8_t *guest;
static int memfd = -1, event = -1;

static void make_once(void)
{
	if (guest)
		return;
	log_set_level(-1);
	memfd = fuzz_memfd(MEMORY_SIZE);
	guest = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fuzz_check(guest != MAP_FAILED && event >= 0);
}

/* What the options of keeper and worker say. */
static struct virtio_bufshare_config device_config(void)
{
	return (struct virtio_bufshare_config){
		.magic = htole32(VIRTIO_BUFSHARE_MAGIC),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_RECOVERY),
		.max_buffers = htole32(8),
		.max_buffer_size = htole64(MEMORY_SIZE),
		.max_total_size = htole64(2 * MEMORY_SIZE),
		.max_ranges = htole32(8),
		.max_properties = htole32(VIRTIO_BUFSHARE_MAX_PROPERTIES),
		.max_properties_size = htole32(VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE),
		.max_damage = htole32(VIRTIO_BUFSHARE_MAX_DAMAGE),
	};
}

/* As the keeper makes it; steps write over it. */
static void make_state(struct state_of_run *s)
{
	const struct virtio_bufshare_config device = device_config();

	s->size = state_size(&device);
	s->state_fd = fuzz_memfd(s->size);
	s->state = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->state_fd, 0);
	fuzz_check(s->state != MAP_FAILED);
	s->state->device = device;
}

/* Twice what the offset says: the state is larger than 64 KiB. */
static void write_at(struct fuzz_input *in, void *memory, size_t memory_size)
{
	size_t offset = 2 * (size_t)fuzz_u16(in) % memory_size, size;
	const uint8_t *bytes = fuzz_chunk(in, &size);

	if (size > memory_size - offset)
		size = memory_size - offset;
	if (size)
		memcpy((uint8_t *)memory + offset, bytes, size);
}

/* The worker does not read yet, so what does not fit is not said. */
static void say(struct state_of_run *s, uint32_t kind, int32_t value, const void *bytes,
		size_t size, int fd, size_t num_fds)
{
	const struct keeper_record record = { kind, kind == KEEPER_LEVEL ? -1 : value };
	int fds[VHOST_USER_MAX_FDS];
	size_t i;
	int r;

	for (i = 0; i < num_fds; i++)
		fds[i] = fd;
	r = s->full ? -EAGAIN :
		      record_send(s->channel, &record, sizeof(record), bytes, size, fds, num_fds);
	if (r < 0)
		s->full = true;
	else if (kind == KEEPER_MESSAGE || kind == KEEPER_GONE)
		s->questions++;
}

static void say_record(struct state_of_run *s)
{
	uint8_t kind = fuzz_u8(&s->in), value = fuzz_u8(&s->in);
	size_t size;
	const uint8_t *bytes = fuzz_chunk(&s->in, &size);

	say(s, kind, -value, bytes, size, event, value % (VHOST_USER_MAX_FDS + 1));
}

static void say_message(struct state_of_run *s, uint32_t kind, uint32_t request,
			const void *payload, size_t size, int fd, size_t num_fds)
{
	struct {
		struct vhost_user_header hdr;
		uint8_t payload[KEEPER_MAX_MESSAGE];
	} m = { .hdr = { request, VHOST_USER_VERSION, (uint32_t)size } };

	if (size)
		memcpy(m.payload, payload, size);
	say(s, kind, 0, &m, sizeof(m.hdr) + size, fd, num_fds);
}

static void say_any_message(struct state_of_run *s)
{
	uint32_t kind = fuzz_u8(&s->in) & 1 ? KEEPER_REPLAY : KEEPER_MESSAGE;
	uint8_t request = fuzz_u8(&s->in), fds = fuzz_u8(&s->in);
	const uint8_t *payload;
	size_t size;

	payload = fuzz_chunk(&s->in, &size);
	if (size > KEEPER_MAX_MESSAGE - sizeof(struct vhost_user_header))
		size = KEEPER_MAX_MESSAGE - sizeof(struct vhost_user_header);
	say_message(s, kind, request, payload, size, fds & 16 ? memfd : event,
		    (fds & 15) % (VHOST_USER_MAX_FDS + 1));
}

static void say_memory(struct state_of_run *s)
{
	const struct vhost_user_mem_table table = {
		.num_regions = 1,
		.regions = { { .size = MEMORY_SIZE } },
	};

	say_message(s, KEEPER_REPLAY, VHOST_USER_SET_MEM_TABLE, &table,
		    offsetof(struct vhost_user_mem_table, regions[1]), memfd, 1);
}

static void step(struct state_of_run *s)
{
	const uint8_t *bytes;
	size_t size;

	switch (fuzz_u8(&s->in) % NUM_WORKER_STEPS) {
	case WORKER_STEP_STATE:
		write_at(&s->in, s->state, s->size);
		break;
	case WORKER_STEP_WRITE:
		write_at(&s->in, guest, MEMORY_SIZE);
		break;
	case WORKER_STEP_RECORD:
		say_record(s);
		break;
	case WORKER_STEP_MESSAGE:
		say_any_message(s);
		break;
	case WORKER_STEP_MEMORY:
		say_memory(s);
		break;
	case WORKER_STEP_RAW:
		/* Shorter than a header, so that it is no record. */
		bytes = fuzz_chunk(&s->in, &size);
		if (size && size < sizeof(struct keeper_record))
			send(s->channel, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	}
}

static void run_worker(struct state_of_run *s, int channel)
{
	struct options options = {
		.sandbox = SANDBOX_OFF,
		.worker = { .channel = channel, .state = s->state_fd, .consumers = -1 },
		.backend = {
			.device = device_config(),
			.export_mode = EXPORT_COPY,
			.max_consumers = 1,
		},
	};
	int status;

	fuzz_faults(true);
	status = worker_run(&options);
	fuzz_faults(false);
	fuzz_check(status == 0 || status == 1);
	/* What it changes of its process is not for ours. */
	prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	log_set_level(-1);
}

/* It is ready first, and answers nothing that it was not asked. */
static void check_answers(struct state_of_run *s)
{
	struct worker_record record;
	uint8_t reply[VU_MAX_REPLY];
	int fds[VHOST_USER_MAX_FDS];
	unsigned int answers = 0;
	size_t num_fds;

	while (record_receive(s->channel, &record, sizeof(record), reply, sizeof(reply), fds,
			      &num_fds) >= 0) {
		fuzz_check(num_fds == 0);
		fuzz_check((record.kind == WORKER_READY) == (answers == 0));
		fuzz_check(record.kind == WORKER_READY || record.kind == WORKER_DONE ||
			   record.kind == WORKER_GONE_DONE);
		answers++;
	}
	fuzz_check(answers <= 1 + s->questions);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_of_run s = { .in = { data, size } };
	const int room = SOCKET_SIZE;
	int fds[2], before, i;
	eventfd_t value;

	make_once();
	before = fuzz_lowest_fd();
	memset(guest, 0, MEMORY_SIZE);
	make_state(&s);
	fuzz_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK, fds);
	s.channel = fds[0];
	fuzz_check(setsockopt(s.channel, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	for (i = 0; s.in.size && i < MAX_STEPS; i++)
		step(&s);
	shutdown(s.channel, SHUT_WR);
	run_worker(&s, fds[1]);
	check_answers(&s);
	close(fds[0]);
	close(fds[1]);
	munmap(s.state, s.size);
	close(s.state_fd);
	eventfd_read(event, &value);
	fuzz_check(fuzz_lowest_fd() == before);
	return 0;
}
