/* SPDX-License-Identifier: MIT */
/*
 * The worker's life: it is this program once more, in a process of its own with memory that
 * is laid out anew, and gets nothing but its end of a socket pair, the state, and the
 * socket for consumers.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/keeper-internal.h"
#include "host/daemon/log.h"
#include "host/daemon/record.h"

/* Workers that end so soon after they were ready, without an answer, are worth a pause. */
#define SHORT_LIFE_NS	100000000ULL
#define FIRST_PAUSE_NS	1000000ULL
#define MAX_SHORT_LIVES	11 /* that count; the pause is a second then */

/* How long a worker may leave what it is told unread before it is taken for dead. */
#define SEND_TIMEOUT_S	20

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- starting ---- */

static void inherit(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
}

static void __attribute__((noreturn)) become_worker(const struct keeper *k, int channel)
{
	char option[64];
	char **argv;
	sigset_t none;
	size_t n = 0;

	while (k->config.argv[n])
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	if (!argv)
		_exit(1);
	/* First, so that nothing that was given can stand before it. */
	memcpy(argv + 1, k->config.argv, n * sizeof(*argv));
	argv[0] = k->config.argv[0];
	snprintf(option, sizeof(option), "--worker=%d,%d,%d", channel, k->state_fd,
		 k->config.consumers);
	argv[1] = option;

	inherit(channel);
	inherit(k->state_fd);
	inherit(k->config.consumers);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", argv);
	log_err("cannot start the worker: %m (is /proc mounted?)");
	_exit(1);
}

/* ---- its end ---- */

static const char *how_it_ended(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d", WTERMSIG(status));
	else
		snprintf(text, size, "status %d", WEXITSTATUS(status));
	return text;
}

static int wait_for(struct keeper *k)
{
	int status = 0;

	k->channel_source = loop_source_remove(k->channel_source);
	if (k->channel >= 0)
		close(k->channel);
	k->channel = -1;
	k->ready = k->answered = false;
	/* Only what it says counts, and it can not say any more. */
	kill(k->pid, SIGKILL);
	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		;
	k->pid = 0;
	return status;
}

void keeper_reap(struct keeper *k)
{
	if (k->pid)
		wait_for(k);
}

/* Nobody writes to the state now. */
static void forget_guest(struct keeper *k)
{
	if (k->vmm < 0)
		memset(&k->state->guest, 0, sizeof(k->state->guest));
	k->closing = false;
}

static void on_ended(struct keeper *k)
{
	bool was_ready = k->ready;
	uint64_t lived = now_ns() - k->ready_ns, pause = 0;
	bool answered = k->answered;
	int status = wait_for(k);
	char text[32];

	if (k->ending && k->vmm < 0) {
		loop_quit(k->loop, k->result);
		return;
	}
	if (!k->was_ready) { /* it said why */
		loop_quit(k->loop, -ECHILD);
		return;
	}
	if (answered || (was_ready && lived >= SHORT_LIFE_NS))
		k->short_lives = 0;
	else if (k->short_lives < MAX_SHORT_LIVES)
		k->short_lives++;
	if (k->short_lives > 1)
		pause = FIRST_PAUSE_NS << (k->short_lives - 1);

	log_warn("the worker ended (%s): starting another one", how_it_ended(status, text, sizeof(text)));
	forget_guest(k);
	keeper_update_listening(k);
	loop_timer_set(k->respawn, pause, 0);
}

/* ---- talking ---- */

static void on_record(struct keeper *k, const struct worker_record *record, const void *reply,
		      size_t size)
{
	switch (record->kind) {
	case WORKER_READY:
		if (!k->was_ready)
			log_info("the device is ready");
		k->ready = k->was_ready = true;
		k->ready_ns = now_ns();
		keeper_tell(k, KEEPER_LEVEL, log_level());
		keeper_replay(k);
		break;
	case WORKER_DONE:
		k->answered = true;
		keeper_answered(k, record, reply, size);
		break;
	case WORKER_GONE_DONE:
		k->closing = false;
		break;
	}
	keeper_update_listening(k);
}

/* What it said before it ended counts. */
static void on_channel(void *data, uint32_t events)
{
	struct keeper *k = data;
	struct worker_record record;
	uint8_t reply[VU_MAX_REPLY];
	int fds[VHOST_USER_MAX_FDS];
	size_t num_fds;
	ssize_t n;

	n = record_receive(k->channel, &record, sizeof(record), reply, sizeof(reply), fds, &num_fds);
	while (num_fds > 0)
		close(fds[--num_fds]);
	if (n == -EAGAIN)
		return;
	if (n < 0)
		on_ended(k);
	else
		on_record(k, &record, reply, (size_t)n);
}

void keeper_tell_message(struct keeper *k, uint32_t kind, const void *bytes, size_t size,
			 const int *fds, size_t num_fds)
{
	const struct keeper_record record = { .kind = kind };

	if (k->channel >= 0 &&
	    record_send(k->channel, &record, sizeof(record), bytes, size, fds, num_fds) == -EAGAIN)
		kill(k->pid, SIGKILL);
}

void keeper_tell(struct keeper *k, uint32_t kind, int32_t value)
{
	const struct keeper_record record = { .kind = kind, .value = value };

	if (k->channel >= 0 &&
	    record_send(k->channel, &record, sizeof(record), NULL, 0, NULL, 0) == -EAGAIN)
		kill(k->pid, SIGKILL);
}

int keeper_spawn(struct keeper *k)
{
	const struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r = setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ? -errno : 0;
	if (r == 0)
		r = loop_add_fd(k->loop, fds[0], EPOLLIN, on_channel, k, &k->channel_source);
	if (r == 0) {
		k->pid = fork();
		if (k->pid == 0)
			become_worker(k, fds[1]);
		if (k->pid < 0) {
			r = -errno;
			k->pid = 0;
			k->channel_source = loop_source_remove(k->channel_source);
		}
	}
	close(fds[1]);
	if (r < 0)
		close(fds[0]);
	else
		k->channel = fds[0];
	return r;
}
