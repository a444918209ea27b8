/* SPDX-License-Identifier: MIT */
/*
 * release: takes the updates of a buffer and gives them back, as slowly as one likes.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/cleanup.h"

struct taker {
	struct ctl *ctl;
	struct bufshare_host *host;
	uint64_t id;
	uint64_t count;
	uint64_t hold_ns;
	uint64_t timeout_ns;
	uint64_t held; /* seq, 0: none */
	uint64_t since;
	uint64_t done;
	bool synced;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct taker *t)
{
	int o;

	while ((o = next_option(ctl, argc, argv)) != -1) {
		switch (o) {
		case 'n':
			if (!number_option(ctl, o, 1, UINT64_MAX, &t->count))
				return EXIT_USAGE;
			break;
		case 'w':
			if (!seconds_option(ctl, o, &t->hold_ns))
				return EXIT_USAGE;
			break;
		case 't':
			if (!seconds_option(ctl, o, &t->timeout_ns))
				return EXIT_USAGE;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	return id_argument(ctl, argc, argv, &t->id) ? EXIT_OK : EXIT_USAGE;
}

static void say(struct taker *t, const char *event, uint64_t seq)
{
	_cleanup_(cleanup_json) struct json_object *o = NULL;

	if (t->ctl->json == JSON_OFF) {
		printf("%s  buffer %" PRIu64 "  seq %" PRIu64 "  held_ns %" PRIu64 "\n", event, t->id,
		       seq, now_ns() - t->since);
		flush_output();
		return;
	}
	o = json_new();
	json_add_string(o, "event", event);
	json_add_u64(o, "buffer", t->id);
	json_add_u64(o, "seq", seq);
	json_add_u64(o, "held_ns", now_ns() - t->since);
	json_print(t->ctl, o);
}

static int give_back(struct taker *t)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	int r;

	r = bufshare_host_get_buffer(t->host, t->id, &buf);
	if (r == 0)
		r = bufshare_host_buffer_release(buf, t->held);
	if (r < 0)
		return r;
	say(t, "released", t->held);
	t->held = 0;
	t->done++;
	return 0;
}

/* An update of another buffer goes back at once. */
static void pass_over(struct taker *t, const struct bufshare_event *ev)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;

	if (ev->type == BUFSHARE_EVENT_UPDATED &&
	    bufshare_host_get_buffer(t->host, ev->buffer_id, &buf) == 0)
		bufshare_host_buffer_release(buf, ev->seq);
}

/* EXIT_OK, or it has said why it is over. */
static int take(struct taker *t, const struct bufshare_event *ev)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;

	if (ev->type == BUFSHARE_EVENT_SYNCED && !t->synced) {
		t->synced = true;
		if (bufshare_host_get_buffer(t->host, t->id, &buf) < 0)
			return fail(t->ctl, -ENOENT,
				    "bufsharectl -H SOCKET buffers lists those there are",
				    "no buffer %" PRIu64, t->id);
	}
	if (ev->buffer_id != t->id) {
		pass_over(t, ev);
	} else if (ev->type == BUFSHARE_EVENT_UPDATED) {
		t->held = ev->seq;
		t->since = now_ns();
	} else if (ev->type == BUFSHARE_EVENT_REVOKED) {
		say(t, "revoked", ev->seq);
		t->held = 0;
		t->done++;
	} else if (ev->type == BUFSHARE_EVENT_REMOVED) {
		return fail(t->ctl, -ENOENT, NULL, "buffer %" PRIu64 " is gone", t->id);
	}
	return EXIT_OK;
}

static int run(struct taker *t)
{
	uint64_t deadline = now_ns() + t->timeout_ns;
	struct bufshare_event ev;
	int r, status;

	while (t->done < t->count) {
		r = bufshare_host_read_event(t->host, &ev);
		if (r == 0) {
			status = take(t, &ev);
			if (status != EXIT_OK)
				return status;
			continue;
		}
		if (r == -EAGAIN)
			r = wait_for(t->ctl, bufshare_host_get_fd(t->host),
				     t->held ? t->since + t->hold_ns : deadline);
		if (r == 0 && !t->held)
			return fail(t->ctl, -ETIMEDOUT, NULL, "buffer %" PRIu64 " was not updated",
				    t->id);
		if (r == 0) {
			r = give_back(t);
			deadline = now_ns() + t->timeout_ns;
		}
		if (r == -EINTR)
			return EXIT_OK; /* what is held goes back with the connection */
		if (r < 0)
			return fail(t->ctl, r, NULL, "the daemon is gone");
	}
	return EXIT_OK;
}

int cmd_release(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	struct taker t = { .ctl = ctl, .count = 1, .hold_ns = 1, .timeout_ns = 10000000000ull };
	int status;

	status = parse(ctl, argc, argv, &t);
	if (status == EXIT_OK)
		status = connect_host(ctl, "*", &host);
	if (status != EXIT_OK)
		return status;
	t.host = host;
	return run(&t);
}
