/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/loop.h"

/* Events that one iteration takes; the others wait for the next. */
#define MAX_EVENTS 32

#define NS_PER_S 1000000000ULL

struct loop_source {
	LIST_ENTRY(loop_source) link; /* loop.sources or loop.removed */
	struct loop *loop;
	bool (*dispatch)(struct loop_source *source, uint32_t events);
	bool removed;
	int fd;
	bool owns_fd;
	int signo; /* of a signal, else 0 */
	void *data;
	void (*fd_fn)(void *data, uint32_t events);
	void (*timer_fn)(void *data);
	void (*signal_fn)(void *data, int signo);
};

struct loop {
	int epoll_fd;
	LIST_HEAD(, loop_source) sources;
	LIST_HEAD(, loop_source) removed; /* kept while events may point to them */
	unsigned int depth; /* of iterations within callbacks */
	bool quit;
	int result;
};

int loop_new(struct loop **loop)
{
	_cleanup_free_ struct loop *l = NULL;

	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return -errno;

	LIST_INIT(&l->sources);
	LIST_INIT(&l->removed);
	signal(SIGPIPE, SIG_IGN);

	*loop = steal_ptr(&l);
	return 0;
}

static void free_removed(struct loop *loop)
{
	struct loop_source *source;

	while ((source = LIST_FIRST(&loop->removed))) {
		LIST_REMOVE(source, link);
		free(source);
	}
}

struct loop *loop_free(struct loop *loop)
{
	struct loop_source *source;

	if (!loop)
		return NULL;

	while ((source = LIST_FIRST(&loop->sources)))
		loop_source_remove(source);
	free_removed(loop);
	close(loop->epoll_fd);
	free(loop);
	return NULL;
}

/* Puts a source into the loop. On error it, and an fd of its own, are gone. */
static int add_source(struct loop *loop, struct loop_source *s, uint32_t events,
		      struct loop_source **source)
{
	struct epoll_event event = { .events = events, .data.ptr = s };
	int r = 0;

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, s->fd, &event) < 0) {
		r = -errno;
		if (s->owns_fd)
			close(s->fd);
		free(s);
		return r;
	}

	s->loop = loop;
	LIST_INSERT_HEAD(&loop->sources, s, link);
	*source = s;
	return 0;
}

static bool dispatch_fd(struct loop_source *source, uint32_t events)
{
	source->fd_fn(source->data, events);
	return true;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events,
		void (*fn)(void *data, uint32_t events), void *data, struct loop_source **source)
{
	struct loop_source *s;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;

	s->fd = fd;
	s->dispatch = dispatch_fd;
	s->fd_fn = fn;
	s->data = data;
	return add_source(loop, s, events, source);
}

int loop_source_set_events(struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		return -errno;
	return 0;
}

/* The timer may have been set anew since it ran out: then there is nothing to read. */
static bool dispatch_timer(struct loop_source *source, uint32_t events)
{
	uint64_t times;

	if (read(source->fd, &times, sizeof(times)) != sizeof(times))
		return false;

	source->timer_fn(source->data);
	return true;
}

int loop_add_timer(struct loop *loop, void (*fn)(void *data), void *data,
		   struct loop_source **source)
{
	struct loop_source *s;
	int fd;

	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return -errno;

	s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return -ENOMEM;
	}

	s->fd = fd;
	s->owns_fd = true;
	s->dispatch = dispatch_timer;
	s->timer_fn = fn;
	s->data = data;
	return add_source(loop, s, EPOLLIN, source);
}

static int set_timer(struct loop_source *source, uint64_t delay_ns, uint64_t period_ns)
{
	struct itimerspec spec = {
		.it_value = { .tv_sec = delay_ns / NS_PER_S, .tv_nsec = delay_ns % NS_PER_S },
		.it_interval = { .tv_sec = period_ns / NS_PER_S, .tv_nsec = period_ns % NS_PER_S },
	};

	if (timerfd_settime(source->fd, 0, &spec, NULL) < 0)
		return -errno;
	return 0;
}

int loop_timer_set(struct loop_source *source, uint64_t delay_ns, uint64_t period_ns)
{
	/* A time of zero would stop it. */
	return set_timer(source, delay_ns ? delay_ns : 1, period_ns);
}

int loop_timer_stop(struct loop_source *source)
{
	return set_timer(source, 0, 0);
}

static bool dispatch_signal(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return false;

	source->signal_fn(source->data, info.ssi_signo);
	return true;
}

int loop_add_signal(struct loop *loop, int signo, void (*fn)(void *data, int signo), void *data,
		    struct loop_source **source)
{
	struct loop_source *s;
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	if (sigaddset(&set, signo) < 0)
		return -EINVAL;

	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;

	s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return -ENOMEM;
	}

	s->fd = fd;
	s->owns_fd = true;
	s->signo = signo;
	s->dispatch = dispatch_signal;
	s->signal_fn = fn;
	s->data = data;
	r = add_source(loop, s, EPOLLIN, source);
	if (r < 0)
		return r;

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return 0;
}

/* One that is pending was meant for the source, not for the signal's default action. */
static void unblock_signal(struct loop_source *source)
{
	struct signalfd_siginfo info;
	sigset_t set;

	while (read(source->fd, &info, sizeof(info)) == sizeof(info))
		;

	sigemptyset(&set);
	sigaddset(&set, source->signo);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

struct loop_source *loop_source_remove(struct loop_source *source)
{
	struct loop *loop;

	if (!source)
		return NULL;

	loop = source->loop;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	LIST_REMOVE(source, link);
	if (source->signo)
		unblock_signal(source);
	if (source->owns_fd)
		close(source->fd);

	source->removed = true;
	LIST_INSERT_HEAD(&loop->removed, source, link);
	if (loop->depth == 0)
		free_removed(loop);
	return NULL;
}

int loop_iterate(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[MAX_EVENTS];
	int calls = 0;
	int i, n;

	do {
		n = epoll_wait(loop->epoll_fd, events, ARRAY_SIZE(events), timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	loop->depth++;
	for (i = 0; i < n; i++) {
		struct loop_source *source = events[i].data.ptr;

		if (!source->removed && source->dispatch(source, events[i].events))
			calls++;
	}
	loop->depth--;

	if (loop->depth == 0)
		free_removed(loop);
	return calls;
}

int loop_run(struct loop *loop)
{
	while (!loop->quit) {
		int r = loop_iterate(loop, -1);

		if (r < 0)
			return r;
	}
	loop->quit = false;
	return loop->result;
}

void loop_quit(struct loop *loop, int result)
{
	loop->quit = true;
	loop->result = result;
}
