/* SPDX-License-Identifier: MIT */
/*
 * The event loop: file descriptors, timers and signals, each with a callback.
 *
 * One thread. A callback may add and remove any source, its own too; a source that was
 * removed is never called again, not even for an event that was already on its way.
 */
#ifndef BUFSHARE_DAEMON_LOOP_H
#define BUFSHARE_DAEMON_LOOP_H

#include <stdint.h>

struct loop;
struct loop_source;

/*
 * Also makes the process ignore SIGPIPE: a pipe or socket whose reader went away is an
 * error like any other to everything that runs in a loop.
 */
int loop_new(struct loop **loop);

/* Removes what sources are left. NULL is fine. Returns NULL. Not from within a callback. */
struct loop *loop_free(struct loop *loop);

/*
 * Calls fn with the EPOLL* events that fd has, whenever it has any of events (EPOLLIN,
 * EPOLLOUT, 0), or EPOLLERR or EPOLLHUP. Level-triggered. The fd stays the caller's and
 * must stay open as long as the source is there. -EEXIST: the loop has that fd already;
 * -EPERM: it is a file that can not be waited for.
 */
int loop_add_fd(struct loop *loop, int fd, uint32_t events,
		void (*fn)(void *data, uint32_t events), void *data, struct loop_source **source);

/* Changes what an fd source waits for. */
int loop_source_set_events(struct loop_source *source, uint32_t events);

/* Adds a timer that is not set. Its time is CLOCK_MONOTONIC. */
int loop_add_timer(struct loop *loop, void (*fn)(void *data), void *data,
		   struct loop_source **source);

/*
 * Sets a timer: to run out delay_ns from now (zero: as soon as the loop runs again) and
 * then every period_ns, or once if that is zero. Whatever was set before is void. A
 * periodic timer that ran out several times while the loop was busy is called once.
 */
int loop_timer_set(struct loop_source *source, uint64_t delay_ns, uint64_t period_ns);

/* Stops a timer; it can be set again. */
int loop_timer_stop(struct loop_source *source);

/*
 * Calls fn for the signal, which is blocked from now on in this thread and in those it
 * starts; removing the source unblocks it, and drops one that is pending. One source per
 * signal.
 */
int loop_add_signal(struct loop *loop, int signo, void (*fn)(void *data, int signo), void *data,
		    struct loop_source **source);

/* Removes a source. NULL is fine. Returns NULL. The fd of an fd source stays open. */
struct loop_source *loop_source_remove(struct loop_source *source);

/*
 * Waits up to timeout_ms (0: not at all, -1: for ever) and calls what has events.
 * Returns how many callbacks were made. Tests drive a loop with this.
 */
int loop_iterate(struct loop *loop, int timeout_ms);

/* Iterates until loop_quit(); returns its result, or why the loop can not wait any more. */
int loop_run(struct loop *loop);

/* Makes loop_run() return result when the callbacks at hand are done; also before it runs. */
void loop_quit(struct loop *loop, int result);

#endif /* BUFSHARE_DAEMON_LOOP_H */
