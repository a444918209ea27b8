/* SPDX-License-Identifier: MIT */
/*
 * replay, in a guest: shares again what record has seen.
 */
#include <errno.h>
#include <string.h>

#include "cli/replay.h"
#include "common/cleanup.h"

struct guest {
	struct ctl *ctl;
	struct bufshare_device *dev;
};

static int set_all(struct bufshare_buffer *buf, const struct props *props)
{
	const struct prop *it = NULL;
	int r = 0;

	while (r == 0 && (it = props_next(props, it ? it->name : NULL)))
		r = bufshare_buffer_set_property(buf, it->name, it->value);
	return r;
}

static int op_add(void *data, struct player_buffer *b)
{
	_cleanup_(cleanup_buffer) struct bufshare_buffer *buf = NULL;
	struct guest *g = data;
	int r;

	r = bufshare_buffer_new(g->dev, b->size, &buf);
	if (r == 0)
		r = bufshare_buffer_map(buf, &b->map);
	if (r == 0)
		r = set_all(buf, &b->props);
	if (r == 0)
		r = share_buffer(g->ctl, buf, b->application);
	if (r == 0)
		b->handle = steal_ptr(&buf);
	return r;
}

static int op_set(void *data, struct player_buffer *b, const char *block, size_t size)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < size; i += strlen(block + i) + 1) {
		const char *value = strchr(block + i, '=');
		char name[PROPS_NAME_SIZE] = "";

		strncat(name, block + i, value ? (size_t)(value - block) - i : sizeof(name) - 1);
		r = bufshare_buffer_set_property(b->handle, name, value ? value + 1 : NULL);
	}
	return r;
}

static int op_update(void *data, struct player_buffer *b, const struct bufshare_rect *rects,
		     size_t n)
{
	return bufshare_buffer_update(b->handle, rects, n, NULL);
}

static int op_busy(void *data, struct player_buffer *b)
{
	return bufshare_buffer_is_busy(b->handle);
}

static void op_remove(void *data, struct player_buffer *b, const char *reason)
{
	bufshare_buffer_unregister(b->handle);
	bufshare_buffer_unref(b->handle);
}

static int op_wait(void *data, uint64_t deadline)
{
	struct guest *g = data;
	struct bufshare_event ev;
	int r, n = 0;

	while ((r = bufshare_device_read_event(g->dev, &ev)) == 0) {
		if (ev.type == BUFSHARE_EVENT_DEVICE_LOST)
			return -ENODEV;
		n++;
	}
	if (r != -EAGAIN)
		return r;
	return n ? 1 : wait_for(g->ctl, bufshare_device_get_fd(g->dev), deadline);
}

static int op_wait_input(void *data, int fd)
{
	struct guest *g = data;

	return wait_for(g->ctl, fd, 0);
}

static const struct player_ops ops = {
	.add = op_add,
	.set = op_set,
	.update = op_update,
	.busy = op_busy,
	.remove = op_remove,
	.wait = op_wait,
	.wait_input = op_wait_input,
};

int cmd_replay_guest(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_free_ struct replay *replay = NULL;
	struct guest guest = { .ctl = ctl };
	int status;

	status = replay_new(ctl, argc, argv, &replay);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	if (status != EXIT_OK)
		return status;
	guest.dev = dev;
	replay->player.ops = &ops;
	replay->player.data = &guest;
	return replay_run(replay);
}
