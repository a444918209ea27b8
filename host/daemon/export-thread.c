/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include "common/cleanup.h"
#include "host/daemon/export-thread.h"
#include "host/daemon/log.h"

TAILQ_HEAD(jobs, export_job);

struct export_thread {
	struct loop_source *source;
	int event; /* something was done */
	bool started, failed;
	pthread_t thread;
	pthread_mutex_t lock; /* of all that follows, and of the states of jobs */
	pthread_cond_t changed;
	struct jobs queue, ran;
	bool running; /* the thread is there */
	bool end;
};

/* ---- in the thread ---- */

static void run(struct export_thread *t, struct export_job *job)
{
	const uint64_t one = 1;

	TAILQ_REMOVE(&t->queue, job, link);
	job->state = EXPORT_JOB_RUNNING;
	pthread_mutex_unlock(&t->lock);
	job->run(job);
	pthread_mutex_lock(&t->lock);
	job->state = EXPORT_JOB_RAN;
	TAILQ_INSERT_TAIL(&t->ran, job, link);
	/* It can only fail if the loop was not there for 2^64 jobs. */
	while (write(t->event, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void *work(void *data)
{
	struct export_thread *t = data;

	prctl(PR_SET_NAME, "bufshare-export");
	pthread_mutex_lock(&t->lock);
	t->running = true;
	pthread_cond_broadcast(&t->changed);
	while (!t->end) {
		if (TAILQ_EMPTY(&t->queue))
			pthread_cond_wait(&t->changed, &t->lock);
		else
			run(t, TAILQ_FIRST(&t->queue));
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ---- in the loop ---- */

static struct export_job *take_ran(struct export_thread *t)
{
	struct export_job *job;

	pthread_mutex_lock(&t->lock);
	job = TAILQ_FIRST(&t->ran);
	if (job) {
		TAILQ_REMOVE(&t->ran, job, link);
		job->state = EXPORT_JOB_IDLE;
	}
	pthread_mutex_unlock(&t->lock);
	return job;
}

static void tell_ran(struct export_thread *t)
{
	struct export_job *job;

	while ((job = take_ran(t)))
		job->done(job);
}

static void on_event(void *data, uint32_t events)
{
	struct export_thread *t = data;
	uint64_t n;

	if (read(t->event, &n, sizeof(n)) == sizeof(n))
		tell_ran(t);
}

static void cleanup_thread(struct export_thread **t)
{
	export_thread_free(*t);
}

int export_thread_new(struct loop *loop, struct export_thread **thread)
{
	_cleanup_(cleanup_thread) struct export_thread *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	TAILQ_INIT(&t->queue);
	TAILQ_INIT(&t->ran);
	t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event < 0)
		return -errno;
	r = loop_add_fd(loop, t->event, EPOLLIN, on_event, t, &t->source);
	if (r < 0)
		return r;
	*thread = steal_ptr(&t);
	return 0;
}

static void end(struct export_thread *t)
{
	pthread_mutex_lock(&t->lock);
	t->end = true;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
}

struct export_thread *export_thread_free(struct export_thread *t)
{
	if (!t)
		return NULL;
	if (t->started)
		end(t);
	tell_ran(t);
	loop_source_remove(t->source);
	if (t->event >= 0)
		close(t->event);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

/* What is sent to the process is for the loop; only faults of its own are for the thread. */
static int create(struct export_thread *t)
{
	static const int faults[] = { SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };
	sigset_t most, before;
	size_t i;
	int r;

	sigfillset(&most);
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&most, faults[i]);
	r = pthread_sigmask(SIG_SETMASK, &most, &before);
	if (r)
		return -r;
	r = pthread_create(&t->thread, NULL, work, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int export_thread_start(struct export_thread *t)
{
	int r;

	if (t->started)
		return 0;
	if (t->failed)
		return -EAGAIN;
	r = create(t);
	if (r < 0) {
		log_warn("there is no thread for exports, which now hold up everything else: %s",
			 strerror(-r));
		t->failed = true;
		return r;
	}
	t->started = true;
	pthread_mutex_lock(&t->lock);
	while (!t->running)
		pthread_cond_wait(&t->changed, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

/* done() comes from the loop all the same: whoever gave the job is not ready for it yet. */
static void run_here(struct export_thread *t, struct export_job *job)
{
	pthread_mutex_lock(&t->lock);
	TAILQ_INSERT_TAIL(&t->queue, job, link);
	run(t, job);
	pthread_mutex_unlock(&t->lock);
}

void export_thread_give(struct export_thread *t, struct export_job *job)
{
	if (export_thread_start(t) < 0) {
		run_here(t, job);
		return;
	}
	pthread_mutex_lock(&t->lock);
	job->state = EXPORT_JOB_QUEUED;
	TAILQ_INSERT_TAIL(&t->queue, job, link);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

bool export_thread_take_back(struct export_thread *t, struct export_job *job)
{
	bool idle;

	pthread_mutex_lock(&t->lock);
	if (job->state == EXPORT_JOB_QUEUED) {
		TAILQ_REMOVE(&t->queue, job, link);
		job->state = EXPORT_JOB_IDLE;
	}
	idle = job->state == EXPORT_JOB_IDLE;
	pthread_mutex_unlock(&t->lock);
	return idle;
}
