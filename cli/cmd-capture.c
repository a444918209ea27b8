/* SPDX-License-Identifier: MIT */
/*
 * capture, on the host: what a buffer holds, to a file.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/contents.h"
#include "common/cleanup.h"

struct capture {
	uint64_t id;
	const char *file;
	bool next;
	uint64_t timeout_ns;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct capture *c)
{
	int o;

	while ((o = next_option(ctl, argc, argv)) != -1) {
		switch (o) {
		case 'x':
			c->next = true;
			break;
		case 't':
			if (!seconds_option(ctl, o, &c->timeout_ns))
				return EXIT_USAGE;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind + 2 != argc || !parse_u64(argv[optind], UINT64_MAX, &c->id))
		return usage(ctl, "wants the id of a buffer and a file");
	c->file = argv[optind + 1];
	return EXIT_OK;
}

static int save(struct ctl *ctl, const struct capture *c, struct bufshare_host_buffer *buf)
{
	struct bufshare_framebuffer fb;
	const void *map;
	bool picture;
	char what[32];
	int r, status;

	snprintf(what, sizeof(what), "buffer %" PRIu64, c->id);
	picture = bufshare_host_buffer_get_framebuffer(buf, &fb) == 0;
	r = bufshare_host_buffer_map(buf, &map);
	if (r == 0)
		r = bufshare_host_buffer_begin_read(buf);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot map %s", what);
	status = save_contents(ctl, what, c->file, picture ? &fb : NULL, map,
			       bufshare_host_buffer_get_size(buf));
	bufshare_host_buffer_end_read(buf);
	return status;
}

/* EXIT_OK with the buffer when its contents are to be saved. *seq: of what is held, 0. */
static int wait_contents(struct ctl *ctl, const struct capture *c, struct bufshare_host *host,
			 struct bufshare_host_buffer **buf, uint64_t *seq)
{
	const uint64_t deadline = now_ns() + c->timeout_ns;
	struct bufshare_event ev;
	bool there = false;
	int r;

	for (;;) {
		r = bufshare_host_read_event(host, &ev);
		if (r == 0 && ev.buffer_id == c->id) {
			there = ev.type != BUFSHARE_EVENT_REMOVED;
			*seq = ev.type == BUFSHARE_EVENT_UPDATED ? ev.seq : 0;
			if (*seq || (ev.type == BUFSHARE_EVENT_ADDED && ev.seq && !c->next))
				return bufshare_host_get_buffer(host, c->id, buf) < 0 ?
					       EXIT_NOT_FOUND : EXIT_OK;
		} else if (r == 0 && ev.type == BUFSHARE_EVENT_SYNCED && !there) {
			return fail(ctl, -ENOENT, "bufsharectl -H SOCKET buffers lists those there are",
				    "no buffer %" PRIu64, c->id);
		}
		if (r == -EAGAIN)
			r = wait_for(ctl, bufshare_host_get_fd(host), deadline);
		else if (r == 0)
			continue;
		if (r == 0)
			return fail(ctl, -ETIMEDOUT, NULL, "buffer %" PRIu64 " was not updated", c->id);
		if (r == -EINTR)
			return EXIT_FAILED;
		if (r < 0)
			return fail(ctl, r, NULL, "the daemon is gone");
	}
}

int cmd_capture_host(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	struct capture c = { .timeout_ns = 10000000000ull };
	uint64_t seq = 0;
	int status;

	status = parse(ctl, argc, argv, &c);
	if (status == EXIT_OK)
		status = connect_host(ctl, "*", &host);
	if (status == EXIT_OK)
		status = wait_contents(ctl, &c, host, &buf, &seq);
	if (status != EXIT_OK)
		return status;
	status = save(ctl, &c, buf);
	if (seq)
		bufshare_host_buffer_release(buf, seq);
	return status;
}
