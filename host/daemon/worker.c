/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/backend.h"
#include "host/daemon/keeper-proto.h"
#include "host/daemon/log.h"
#include "host/daemon/loop.h"
#include "host/daemon/record.h"
#include "host/daemon/sandbox.h"
#include "host/daemon/worker.h"

struct worker {
	struct loop *loop;
	struct backend *backend;
	struct state *state;
	size_t state_size;
	struct loop_source *source; /* of the channel */
	int channel;
};

/* A record, and what came with it. */
struct received {
	struct keeper_record record;
	uint8_t bytes[KEEPER_MAX_MESSAGE];
	size_t size;
	int fds[VHOST_USER_MAX_FDS];
	size_t num_fds;
};

static int answer(struct worker *w, const struct worker_record *record, const void *reply,
		  size_t size)
{
	return record_send(w->channel, record, sizeof(*record), reply, size, NULL, 0);
}

/* The device starts when the VMM has its answer: it does not wait for what comes then. */
static int on_message(struct worker *w, struct received *in)
{
	struct worker_record done = { .kind = WORKER_DONE };
	struct vu *vu = backend_vu(w->backend);
	uint8_t reply[VU_MAX_REPLY];
	ssize_t size;
	int r;

	size = vu_feed(vu, in->bytes, in->size, in->fds, in->num_fds, reply, &done.note);
	in->num_fds = 0;
	if (size < 0)
		done.error = (int32_t)size;
	r = answer(w, &done, reply, size < 0 ? 0 : (size_t)size);
	if (r == 0 && size >= 0)
		vu_start_if_ready(vu);
	return r;
}

/* Another worker took it, so it can be taken; if not there is no telling what else is wrong. */
static int on_replay(struct worker *w, struct received *in)
{
	uint8_t reply[VU_MAX_REPLY];
	struct vu_note note;
	ssize_t size;

	size = vu_feed(backend_vu(w->backend), in->bytes, in->size, in->fds, in->num_fds, reply,
		       &note);
	in->num_fds = 0;
	return size < 0 ? (int)size : 0;
}

static int on_gone(struct worker *w, int reason)
{
	const struct worker_record done = { .kind = WORKER_GONE_DONE };

	backend_disconnect(w->backend, reason);
	return answer(w, &done, NULL, 0);
}

static int on_record(struct worker *w, struct received *in)
{
	bool for_vmm = in->record.kind == KEEPER_MESSAGE || in->record.kind == KEEPER_REPLAY ||
		       in->record.kind == KEEPER_REPLAYED;

	if (for_vmm && !backend_vu(w->backend))
		return -EPROTO;
	switch (in->record.kind) {
	case KEEPER_VMM:
		return backend_connect_fed(w->backend);
	case KEEPER_REPLAY:
		return on_replay(w, in);
	case KEEPER_REPLAYED:
		vu_start_if_ready(backend_vu(w->backend));
		return 0;
	case KEEPER_MESSAGE:
		return on_message(w, in);
	case KEEPER_GONE:
		return on_gone(w, in->record.value);
	case KEEPER_LEVEL:
		log_set_level(in->record.value);
		return 0;
	case KEEPER_END:
		loop_quit(w->loop, 0);
		return 0;
	default:
		return -EPROTO;
	}
}

/* One record at a time: the guest and the consumers have their turn in between. */
static void on_channel(void *data, uint32_t events)
{
	struct worker *w = data;
	struct received in;
	ssize_t n;
	int r;

	n = record_receive(w->channel, &in.record, sizeof(in.record), in.bytes, sizeof(in.bytes),
			   in.fds, &in.num_fds);
	if (n == -EAGAIN)
		return;
	r = n < 0 ? (int)n : 0;
	if (r == 0) {
		in.size = (size_t)n;
		r = on_record(w, &in);
		while (in.num_fds > 0)
			close(in.fds[--in.num_fds]);
	}
	if (r < 0)
		loop_quit(w->loop, r);
}

static void nobody_left(void *data, int reason)
{
	/* The keeper knows before anybody here does. */
}

static int set_up(struct worker *w, struct options *o)
{
	struct virtio_bufshare_config *device = &o->backend.device;
	const struct worker_fds *fds = &o->worker;
	const struct worker_record ready = { .kind = WORKER_READY };
	struct stat st;
	int r;

	/* Its size is what the keeper made it, whatever anybody wrote into it. */
	if (fstat(fds->state, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)STATE_SAVED)
		return -EINVAL;
	w->state_size = (size_t)st.st_size;
	w->state = mmap(NULL, w->state_size, PROT_READ | PROT_WRITE, MAP_SHARED, fds->state, 0);
	if (w->state == MAP_FAILED) {
		w->state = NULL;
		return -errno;
	}
	*device = w->state->device;
	o->backend.state = w->state;
	o->backend.saved = (char *)w->state + STATE_SAVED;
	o->backend.num_saved = dev_saved_count(w->state_size - STATE_SAVED);
	o->backend.gone = nobody_left;

	r = loop_new(&w->loop);
	if (r == 0)
		r = loop_add_fd(w->loop, fds->channel, EPOLLIN, on_channel, w, &w->source);
	if (r == 0)
		r = backend_new(w->loop, &o->backend, fds->consumers, &w->backend);
	/* Nobody's byte was read so far. */
	if (r == 0)
		r = sandbox_drop(o->sandbox);
	if (r == 0)
		r = backend_start_thread(w->backend);
	if (r == 0)
		r = sandbox_enter(o->sandbox);
	if (r == 0)
		r = answer(w, &ready, NULL, 0);
	return r;
}

int worker_run(struct options *options)
{
	struct worker w = { .channel = options->worker.channel };
	int r;

	/* It ends with the keeper, and not by what a terminal sends to both. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "bufshare-worker");
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);

	r = set_up(&w, options);
	if (r == 0)
		r = loop_run(w.loop);
	if (r < 0 && r != -ENOTCONN)
		log_err("the worker ends: %s", strerror(-r));
	backend_free(w.backend);
	loop_source_remove(w.source);
	loop_free(w.loop);
	if (w.state)
		munmap(w.state, w.state_size);
	return r < 0;
}
