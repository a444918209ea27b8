/* SPDX-License-Identifier: MIT */
/*
 * top, on the host: how often which buffer is updated, or which program keeps up with it.
 */
#include <errno.h>
#include <stdio.h>

#include "cli/host-events.h"
#include "common/cleanup.h"

struct top {
	struct ctl *ctl;
	struct bufshare_host *host;
	bool consumers;
	struct json_object *list; /* that is being made */
};

static void add_buffer(struct top *top, const struct bufshare_host_stats *s)
{
	_cleanup_(cleanup_host_buffer) struct bufshare_host_buffer *buf = NULL;
	struct json_object *o;

	if (bufshare_host_get_buffer(top->host, s->buffer_id, &buf) < 0)
		return; /* gone since */
	o = json_object_new_object();
	json_add_u64(o, "id", s->buffer_id);
	json_add_string(o, "application", bufshare_host_buffer_get_application(buf));
	json_add_u64(o, "size", bufshare_host_buffer_get_size(buf));
	json_add_string(o, "path", path_name(bufshare_host_buffer_get_path(buf)));
	json_add_u64(o, "consumers", s->consumers);
	json_add_u64(o, "updates", s->updates);
	json_add_u64(o, "bytes_copied", s->bytes_copied);
	json_object_array_add(top->list, o);
}

static void add_consumer(struct top *top, const struct bufshare_host_consumer *c)
{
	struct json_object *o = json_object_new_object();

	json_add_u64(o, "id", c->pid);
	json_add_string(o, "program", c->program);
	json_add_u64(o, "uid", c->uid);
	json_add_u64(o, "buffers", c->buffers);
	json_add_u64(o, "delivered", c->delivered);
	json_add_u64(o, "released", c->released);
	json_add_u64(o, "coalesced", c->coalesced);
	json_add_u64(o, "revoked", c->revoked);
	json_add_u64(o, "held_ns", c->held_ns);
	json_add_u64(o, "lag", c->lag);
	json_add_u64(o, "queued", c->queued);
	json_object_object_add(o, "self", json_object_new_boolean((json_bool)c->self));
	json_object_array_add(top->list, o);
}

static void take(void *data, const struct bufshare_event *ev)
{
	struct top *top = data;
	struct bufshare_host_consumer consumer;
	struct bufshare_host_stats stats;

	if (ev->type == BUFSHARE_EVENT_CONSUMER && top->consumers &&
	    bufshare_host_get_consumer(top->host, &consumer) == 0)
		add_consumer(top, &consumer);
	if (ev->type == BUFSHARE_EVENT_STATS && ev->buffer_id && !top->consumers &&
	    bufshare_host_get_stats(top->host, &stats) == 0)
		add_buffer(top, &stats);
}

/* An interruption ends the whole, as it does between two looks. */
static int look(void *data, struct json_object **list)
{
	struct top *top = data;
	int r;

	top->list = json_object_new_array();
	r = host_ask_stats(top->ctl, top->host, take, top);
	if (r == 0) {
		*list = top->list;
		return EXIT_OK;
	}
	json_object_put(top->list);
	return fail(top->ctl, r, NULL, "the daemon does not tell its counters");
}

static int drain(void *data)
{
	struct top *top = data;
	struct bufshare_event ev;
	int r;

	while ((r = host_look_on(top->host, &ev)) == 0)
		;
	return r == -EAGAIN ? EXIT_OK : fail(top->ctl, r, NULL, "the daemon is gone");
}

int cmd_top_host(struct ctl *ctl, int argc, char **argv)
{
	static const char *const buffer_counters[] = { "updates", "bytes_copied", NULL };
	static const char *const buffer_columns[] = { "id", "application", "size", "path",
						      "consumers", "updates/s", "bytes_copied/s",
						      NULL };
	static const char *const consumer_counters[] = { "delivered", "released", "coalesced", NULL };
	static const char *const consumer_columns[] = { "id", "program", "uid", "buffers",
							"delivered/s", "coalesced/s", "lag",
							"queued", "revoked", NULL };
	_cleanup_(cleanup_host) struct bufshare_host *host = NULL;
	struct rates rates = { .ctl = ctl, .fd = -1, .drain = drain };
	struct top top = { .ctl = ctl };
	int status;

	status = rates_parse(ctl, argc, argv, &rates);
	if (status == EXIT_OK)
		status = connect_host(ctl, "*", &host);
	if (status == EXIT_OK)
		status = sync_host(ctl, host);
	if (status != EXIT_OK)
		return status;
	top.host = host;
	top.consumers = rates.consumers;
	rates.name = rates.consumers ? "consumers" : "buffers";
	rates.counters = rates.consumers ? consumer_counters : buffer_counters;
	rates.columns = rates.consumers ? consumer_columns : buffer_columns;
	rates.fd = bufshare_host_get_fd(host);
	return rates_run(&rates, look, &top);
}
