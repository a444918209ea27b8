/* SPDX-License-Identifier: MIT */
/*
 * Slow work in a thread of its own, one job after the other; the loop is told when one is
 * done. All of this is called in the loop's thread, but for what a job runs.
 */
#ifndef BUFSHARE_DAEMON_EXPORT_THREAD_H
#define BUFSHARE_DAEMON_EXPORT_THREAD_H

#include <stdbool.h>
#include <sys/queue.h>

#include "host/daemon/loop.h"

struct export_thread;

enum export_job_state {
	EXPORT_JOB_IDLE,
	EXPORT_JOB_QUEUED,
	EXPORT_JOB_RUNNING, /* the job is the thread's */
	EXPORT_JOB_RAN, /* done() is still to be called */
};

/* Part of what it works on, so that there are no more jobs than of those. */
struct export_job {
	TAILQ_ENTRY(export_job) link;
	enum export_job_state state;

	/* In the thread: touches the job and what belongs to it, neither logs nor allocates. */
	void (*run)(struct export_job *job);

	/* In the loop, after run(). The job is idle; it can be freed or given again. */
	void (*done)(struct export_job *job);
};

/* The thread begins with the first job, or when it is told to. */
int export_thread_new(struct loop *loop, struct export_thread **thread);

/*
 * Waits for the job that runs, and calls done() of it. None may be queued. NULL is fine.
 * Returns NULL.
 */
struct export_thread *export_thread_free(struct export_thread *t);

/*
 * Begins the thread and waits until it runs, which some sandboxes forbid later. -errno:
 * there is none, and jobs are run at once, in the loop.
 */
int export_thread_start(struct export_thread *t);

/* A job that is idle. */
void export_thread_give(struct export_thread *t, struct export_job *job);

/* Takes back a job; it is idle. False: it runs or ran, and done() will be called. */
bool export_thread_take_back(struct export_thread *t, struct export_job *job);

#endif /* BUFSHARE_DAEMON_EXPORT_THREAD_H */
