/* SPDX-License-Identifier: MIT */
/*
 * replay, on the host: host programs see what record has seen, without a guest.
 */
#include <errno.h>
#include <string.h>

#include "cli/replay.h"
#include "cli/stage.h"
#include "common/cleanup.h"

struct host {
	struct ctl *ctl;
	bool wait;
	struct stage *stage; /* NULL: not begun */
};

static int op_begin(void *data, const char *label)
{
	struct host *h = data;
	const char *hint = "it is to be a new socket, for host programs to connect to";
	int r;

	r = stage_new(h->ctl->socket, label, h->ctl->signals, &h->stage);
	return r < 0 ? fail(h->ctl, r, hint, "cannot listen at %s", h->ctl->socket) : 0;
}

static int op_add(void *data, struct player_buffer *b)
{
	struct host *h = data;
	struct stage_buffer *new;
	int r;

	r = stage_add(h->stage, b->id, b->size, b->application, &b->props, &new);
	if (r < 0)
		return r == -EINVAL ? -EBADMSG : r;
	b->handle = new;
	b->map = stage_map(new);
	return 0;
}

static int op_set(void *data, struct player_buffer *b, const char *block, size_t size)
{
	return stage_set(b->handle, block, size);
}

static int op_update(void *data, struct player_buffer *b, const struct bufshare_rect *rects,
		     size_t n)
{
	return stage_update(b->handle, rects, n);
}

static int op_busy(void *data, struct player_buffer *b)
{
	return stage_is_busy(b->handle);
}

static void op_remove(void *data, struct player_buffer *b, const char *reason)
{
	stage_remove(b->handle, reason && strcmp(reason, "unregistered") != 0);
}

static int op_wait(void *data, uint64_t deadline)
{
	struct host *h = data;

	return stage_wait(h->stage, deadline);
}

static int op_wait_input(void *data, int fd)
{
	struct host *h = data;

	return stage_wait_input(h->stage, fd);
}

static int op_wait_seen(void *data, struct player_buffer *b)
{
	struct host *h = data;
	int r = 0;

	while (h->wait && r >= 0 && !stage_is_seen(b->handle))
		r = stage_wait(h->stage, 0);
	return r < 0 ? r : 0;
}

static const struct player_ops ops = {
	.begin = op_begin,
	.add = op_add,
	.set = op_set,
	.update = op_update,
	.busy = op_busy,
	.remove = op_remove,
	.wait = op_wait,
	.wait_input = op_wait_input,
	.wait_seen = op_wait_seen,
};

int cmd_replay_host(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_free_ struct replay *replay = NULL;
	struct host host = { .ctl = ctl };
	int status;

	status = replay_new(ctl, argc, argv, &replay);
	if (status != EXIT_OK)
		return status;
	host.wait = replay->wait;
	replay->player.ops = &ops;
	replay->player.data = &host;
	status = replay_run(replay);
	stage_free(host.stage);
	return status;
}
