/* SPDX-License-Identifier: MIT */
/*
 * The keeper between a VMM and a worker neither of which can be trusted: the worker reads
 * what the guest wrote, so it may say anything, at any time, and end. No process is started;
 * the input is the worker. Whatever is said, no descriptor is lost, a message is given to
 * one worker at a time, and its reply is that worker's.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "fuzz/steps.h"
#include "host/daemon/keeper.h"
#include "host/daemon/keeper-proto.h"
#include "host/daemon/log.h"
#include "host/daemon/record.h"

const char fuzz_name[] = "keeper";

#define MAX_STEPS 256
#define WORKER_PID 0x7ffffff0 /* nobody's */
#define SOCKET_SIZE (1 << 20)
#define LONG_NS 2000000000ull /* what is longer waits for something, and not in vain */

static struct {
	bool on; /* the keeper runs, and not somebody else in this process */
	unsigned int no_forks; /* that many fail */
	int channel; /* the worker's end, -1: there is none */
	int next_channel;
	bool outstanding; /* a message, at the worker */
	size_t size; /* of it */
	size_t answered; /* bytes of all messages that were */
	size_t sent; /* by all VMMs */
} worker = { .channel = -1, .next_channel = -1 };

struct run {
	struct fuzz_input in;
	struct loop *loop;
	struct keeper *keeper;
	struct sockaddr_un addr;
	socklen_t addr_size;
	int listener;
	int vmm; /* its end, -1: none */
};

static int event = -1;

/* ---- a process that is none ---- */

pid_t __real_fork(void);
pid_t __wrap_fork(void);
int __real_kill(pid_t pid, int signo);
int __wrap_kill(pid_t pid, int signo);
pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __real_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]);
int __real_loop_timer_set(struct loop_source *source, uint64_t delay_ns, uint64_t period_ns);
int __wrap_loop_timer_set(struct loop_source *source, uint64_t delay_ns, uint64_t period_ns);

static void close_worker(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int __wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	int r = __real_socketpair(domain, type, protocol, fds);
	const int room = SOCKET_SIZE;

	if (r == 0 && worker.on) {
		/* Who hears is who says: nobody reads while the keeper tells all it knows. */
		setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		close_worker(&worker.next_channel);
		worker.next_channel = dup(fds[1]);
	}
	return r;
}

pid_t __wrap_fork(void)
{
	if (!worker.on)
		return __real_fork();
	if (worker.no_forks) {
		worker.no_forks--;
		close_worker(&worker.next_channel);
		errno = EAGAIN;
		return -1;
	}
	fuzz_check(worker.channel < 0); /* one at a time */
	worker.channel = worker.next_channel;
	worker.next_channel = -1;
	worker.outstanding = false;
	return WORKER_PID;
}

int __wrap_kill(pid_t pid, int signo)
{
	if (!worker.on)
		return __real_kill(pid, signo);
	fuzz_check(pid == WORKER_PID && signo == SIGKILL);
	close_worker(&worker.channel);
	return 0;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
	if (!worker.on)
		return __real_waitpid(pid, status, options);
	fuzz_check(pid == WORKER_PID && worker.channel < 0);
	*status = SIGKILL;
	return pid;
}

/* Its pauses are none; what it gives others time for, they get. */
int __wrap_loop_timer_set(struct loop_source *source, uint64_t delay_ns, uint64_t period_ns)
{
	return __real_loop_timer_set(source, delay_ns < LONG_NS ? 0 : delay_ns, period_ns);
}

/* ---- the worker ---- */

/* Reads whatever the keeper said. */
static void hear(void)
{
	struct keeper_record record;
	uint8_t bytes[KEEPER_MAX_MESSAGE];
	int fds[VHOST_USER_MAX_FDS];
	size_t num_fds;
	ssize_t n;

	while (worker.channel >= 0 &&
	       (n = record_receive(worker.channel, &record, sizeof(record), bytes, sizeof(bytes),
				   fds, &num_fds)) >= 0) {
		fuzz_check(record.kind >= KEEPER_VMM && record.kind <= KEEPER_END);
		fuzz_check(!num_fds || record.kind == KEEPER_REPLAY || record.kind == KEEPER_MESSAGE);
		while (num_fds > 0)
			close(fds[--num_fds]);
		if (record.kind == KEEPER_GONE || record.kind == KEEPER_VMM)
			worker.outstanding = false;
		if (record.kind != KEEPER_MESSAGE)
			continue;
		fuzz_check(!worker.outstanding);
		worker.outstanding = true;
		/* Nothing is given again once it was answered. */
		worker.size = (size_t)n;
		fuzz_check(worker.answered + worker.size <= worker.sent);
	}
}

static void settle(struct run *s)
{
	int i;

	for (i = 0; i < 64 && loop_iterate(s->loop, 0) > 0; i++)
		hear();
	hear();
}

static void vmm_hear(struct run *s)
{
	uint8_t buf[4096];

	while (recv(s->vmm, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static void say(struct run *s, const struct worker_record *record, const void *reply, size_t size,
		bool with_fd)
{
	if (worker.channel < 0)
		return;
	if (record->kind == WORKER_DONE && worker.outstanding) {
		worker.answered += worker.size;
		worker.outstanding = false;
	}
	record_send(worker.channel, record, sizeof(*record), reply, size, &event, with_fd);
	settle(s);
}

static void worker_record(struct run *s)
{
	struct worker_record record = { .kind = fuzz_u8(&s->in), .error = -fuzz_u8(&s->in) };
	const uint8_t *reply;
	bool with_fd;
	size_t size;

	record.note.keep = fuzz_u16(&s->in);
	record.note.forget_first = fuzz_u16(&s->in);
	record.note.forget_last = fuzz_u16(&s->in);
	with_fd = fuzz_u8(&s->in) & 1;
	reply = fuzz_chunk(&s->in, &size);
	say(s, &record, reply, size, with_fd);
}

/* A good one: it answers what was said last with a reply, which the VMM gets. */
static void worker_answers(struct run *s)
{
	const struct worker_record done = {
		.kind = WORKER_DONE,
		.note.keep = fuzz_u8(&s->in),
	};
	const uint8_t reply = fuzz_u8(&s->in);
	uint8_t got;

	if (!worker.outstanding || s->vmm < 0)
		return;
	vmm_hear(s);
	say(s, &done, &reply, 1, false);
	if (recv(s->vmm, &got, 1, MSG_DONTWAIT) == 1)
		fuzz_check(got == reply);
}

static void worker_raw(struct run *s)
{
	size_t size;
	const uint8_t *bytes = fuzz_chunk(&s->in, &size);

	if (worker.channel >= 0 && size < sizeof(struct worker_record)) {
		send(worker.channel, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		settle(s);
	}
}

/* ---- the VMM ---- */

static void vmm_connect(struct run *s)
{
	if (s->vmm >= 0)
		close(s->vmm);
	s->vmm = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	fuzz_check(s->vmm >= 0);
	if (connect(s->vmm, (const struct sockaddr *)&s->addr, s->addr_size) < 0)
		close_worker(&s->vmm);
	settle(s);
}

/* Says so many bytes with so many descriptors. */
static void vmm_send(struct run *s, const void *bytes, size_t size, size_t num_fds)
{
	int fds[VHOST_USER_MAX_FDS];
	size_t i;

	if (s->vmm < 0 || !size)
		return;
	vmm_hear(s);
	for (i = 0; i < num_fds; i++)
		fds[i] = event;
	worker.sent += size;
	record_send(s->vmm, bytes, size, NULL, 0, fds, num_fds);
	settle(s);
}

static void vmm_message(struct run *s)
{
	struct {
		struct vhost_user_header hdr;
		uint8_t payload[KEEPER_MAX_MESSAGE];
	} m;
	uint8_t request = fuzz_u8(&s->in), fds = fuzz_u8(&s->in);
	const uint8_t *payload;
	size_t size;

	payload = fuzz_chunk(&s->in, &size);
	if (size > sizeof(m.payload))
		size = sizeof(m.payload);
	m.hdr = (struct vhost_user_header){ request, VHOST_USER_VERSION, (uint32_t)size };
	if (size)
		memcpy(m.payload, payload, size);
	vmm_send(s, &m, sizeof(m.hdr) + size, fds % (VHOST_USER_MAX_FDS + 1));
}

static void step(struct run *s)
{
	const uint8_t *bytes;
	size_t size;

	switch (fuzz_u8(&s->in) % NUM_KEEPER_STEPS) {
	case KEEPER_STEP_READY:
		say(s, &(struct worker_record){ .kind = WORKER_READY }, NULL, 0, false);
		break;
	case KEEPER_STEP_ANSWER:
		worker_answers(s);
		break;
	case KEEPER_STEP_RECORD:
		worker_record(s);
		break;
	case KEEPER_STEP_RAW:
		worker_raw(s);
		break;
	case KEEPER_STEP_DIE:
		close_worker(&worker.channel);
		worker.no_forks = fuzz_u8(&s->in) & 3;
		settle(s);
		break;
	case KEEPER_STEP_CONNECT:
		vmm_connect(s);
		break;
	case KEEPER_STEP_HANG_UP:
		close_worker(&s->vmm);
		settle(s);
		break;
	case KEEPER_STEP_MESSAGE:
		vmm_message(s);
		break;
	case KEEPER_STEP_BYTES:
		bytes = fuzz_chunk(&s->in, &size);
		vmm_send(s, bytes, size, size & 1);
		break;
	case KEEPER_STEP_LEVEL:
		keeper_set_log_level(s->keeper, -1);
		settle(s);
		break;
	case KEEPER_STEP_END:
		keeper_end(s->keeper);
		settle(s);
		break;
	}
}

/* In the abstract name space, under a name that the kernel finds. */
static void listen_for_vmm(struct run *s)
{
	s->addr.sun_family = AF_UNIX;
	s->addr_size = sizeof(s->addr);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	fuzz_check(s->listener >= 0);
	fuzz_check(bind(s->listener, (const struct sockaddr *)&s->addr, sizeof(sa_family_t)) == 0);
	fuzz_check(listen(s->listener, 4) == 0);
	fuzz_check(getsockname(s->listener, (struct sockaddr *)&s->addr, &s->addr_size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct virtio_bufshare_config device;
	static char name[] = "fuzz", *argv[] = { name, NULL };
	struct run s = { .in = { data, size }, .vmm = -1 };
	struct keeper_config config = { .argv = argv, .device = &device, .vmm = -1, .consumers = -1 };
	int before, i;

	log_set_level(-1);
	if (event < 0)
		event = eventfd(0, EFD_CLOEXEC);
	before = fuzz_lowest_fd();
	config.once = fuzz_u8(&s.in) & 1;
	config.linger_s = fuzz_u8(&s.in) & 1 ? 60 : 0;
	listen_for_vmm(&s);
	config.listener = s.listener;
	worker.on = true;
	worker.no_forks = 0;
	worker.answered = worker.sent = 0;
	fuzz_check(loop_new(&s.loop) == 0);
	fuzz_check(keeper_new(s.loop, &config, &s.keeper) == 0);
	fuzz_faults(true);
	settle(&s);
	for (i = 0; s.in.size && i < MAX_STEPS; i++)
		step(&s);
	keeper_free(s.keeper);
	fuzz_faults(false);
	loop_free(s.loop);
	worker.on = false;
	fuzz_check(worker.channel < 0);
	close_worker(&worker.next_channel);
	close_worker(&s.vmm);
	close(s.listener);
	fuzz_check(fuzz_lowest_fd() == before);
	return 0;
}
