/* SPDX-License-Identifier: MIT */
/*
 * bufshare-view: a window for each picture of an application.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <SDL.h>

#include <bufshare-host.h>

#include "common/cleanup.h"
#include "host/view/window.h"

/* A guest can share as many pictures as it likes; nobody wants that many windows. */
#define MAX_WINDOWS 16

struct view {
	uint64_t id; /* of the buffer; 0: this place is free */
	struct window window;
	bool closed; /* by the user, who does not want to see it again */
	uint64_t frames; /* since the last look at the clock */
	uint64_t latency_ns; /* of all of them */
	char name[96];
};

struct viewer {
	struct bufshare_host *host;
	struct view views[MAX_WINDOWS];
	bool wait; /* for the next daemon */
	bool statistics;
	uint64_t since; /* of the statistics */
	bool told_too_many;
	int fd; /* of the connection, to be polled */
	uint32_t wake; /* SDL event: the connection has something */
	int stop; /* eventfd that ends the thread */
	SDL_sem *go; /* the connection may be looked at again */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void drop_buffer(struct bufshare_host_buffer **buf)
{
	bufshare_host_buffer_unref(*buf);
}

/* ---- pictures ---- */

static struct view *find(struct viewer *v, uint64_t id)
{
	size_t i;

	for (i = 0; i < MAX_WINDOWS; i++)
		if (v->views[i].id == id)
			return &v->views[i];
	return NULL;
}

static struct view *find_window(struct viewer *v, uint32_t sdl_id)
{
	size_t i;

	for (i = 0; i < MAX_WINDOWS; i++)
		if (v->views[i].window.window && SDL_GetWindowID(v->views[i].window.window) == sdl_id)
			return &v->views[i];
	return NULL;
}

static void name_view(struct view *view, const struct bufshare_host_buffer *buf)
{
	const char *title;

	if (bufshare_host_buffer_get_property(buf, BUFSHARE_PROPERTY_TITLE, &title) < 0 || !*title)
		title = bufshare_host_buffer_get_application(buf);
	snprintf(view->name, sizeof(view->name), "%s", title);
}

static void complain(const struct view *view)
{
	fprintf(stderr, "bufshare-view: buffer %" PRIu64 ": %s\n", view->id, SDL_GetError());
}

static void close_view(struct view *view)
{
	window_close(&view->window);
	*view = (struct view){ 0 };
}

/* Reads the contents, to which the caller has the right. */
static void draw(struct view *view, struct bufshare_host_buffer *buf,
		 const struct bufshare_rect *damage, size_t n)
{
	const void *map;

	if (!view->window.window || bufshare_host_buffer_map(buf, &map) < 0 ||
	    bufshare_host_buffer_begin_read(buf) < 0)
		return;
	if (window_update(&view->window, map, damage, n) < 0)
		complain(view);
	bufshare_host_buffer_end_read(buf);
	window_present(&view->window);
}

static void tell_no_picture(uint64_t id, const struct bufshare_host_buffer *buf)
{
	struct bufshare_framebuffer fb;
	int r = bufshare_host_buffer_get_framebuffer(buf, &fb);

	if (r < 0)
		fprintf(stderr, "bufshare-view: buffer %" PRIu64 " of %s is not shown: %s\n", id,
			bufshare_host_buffer_get_application(buf),
			r == -ENOENT ? "it is no picture" : "its picture does not lie in it");
}

/* The properties say what the picture is like now, or that it is one at all. */
static void follow(struct viewer *v, uint64_t id, struct bufshare_host_buffer *buf)
{
	struct bufshare_framebuffer fb;
	struct view *view = find(v, id);
	int r = bufshare_host_buffer_get_framebuffer(buf, &fb);

	if (r < 0 && !view)
		return;
	if (!view) {
		view = find(v, 0);
		if (!view && !v->told_too_many)
			fprintf(stderr, "bufshare-view: more than %d pictures: the others are not shown\n",
				MAX_WINDOWS);
		v->told_too_many |= !view;
		if (!view)
			return;
		view->id = id;
	}
	if (r < 0 || view->closed)
		return; /* in the middle of a change */
	name_view(view, buf);
	r = view->window.window ? window_follow(&view->window, &fb) :
				  window_open(&view->window, &fb, view->name);
	if (r < 0)
		complain(view);
	if (view->window.window)
		window_set_title(&view->window, view->name);
}

static void updated(struct viewer *v, const struct bufshare_event *ev,
		    struct bufshare_host_buffer *buf)
{
	struct view *view = find(v, ev->buffer_id);
	const struct bufshare_rect *damage = NULL;
	size_t n = 0;

	if (view) {
		bufshare_host_buffer_get_damage(buf, &damage, &n);
		draw(view, buf, damage, n);
		view->frames++;
		view->latency_ns += now_ns() - ev->time_ns;
	}
	bufshare_host_buffer_release(buf, ev->seq);
}

static void take(struct viewer *v, const struct bufshare_event *ev)
{
	_cleanup_(drop_buffer) struct bufshare_host_buffer *buf = NULL;
	struct view *view = ev->buffer_id ? find(v, ev->buffer_id) : NULL;

	if (ev->type == BUFSHARE_EVENT_REMOVED && view)
		close_view(view);
	if (!ev->buffer_id || bufshare_host_get_buffer(v->host, ev->buffer_id, &buf) < 0)
		return;
	switch (ev->type) {
	case BUFSHARE_EVENT_ADDED:
		tell_no_picture(ev->buffer_id, buf);
		follow(v, ev->buffer_id, buf);
		view = find(v, ev->buffer_id);
		if (view && ev->seq)
			draw(view, buf, NULL, 0);
		break;
	case BUFSHARE_EVENT_PROPERTIES:
		follow(v, ev->buffer_id, buf);
		break;
	case BUFSHARE_EVENT_UPDATED:
		updated(v, ev, buf);
		break;
	}
}

/* 0, or a negative errno when the connection is over. */
static int take_all(struct viewer *v)
{
	struct bufshare_event ev;
	int r;

	while ((r = bufshare_host_read_event(v->host, &ev)) == 0)
		take(v, &ev);
	return r == -EAGAIN ? 0 : r;
}

/* ---- statistics ---- */

static void show_statistics(struct viewer *v)
{
	const uint64_t now = now_ns();
	char title[192];
	size_t i;

	for (i = 0; i < MAX_WINDOWS; i++) {
		struct view *view = &v->views[i];
		double fps = (double)view->frames * 1e9 / (double)(now - v->since);
		double ms = view->frames ? (double)view->latency_ns / (double)view->frames / 1e6 : 0;

		if (!view->window.window)
			continue;
		snprintf(title, sizeof(title), "%s: %.1f frames a second, %.2f ms", view->name, fps, ms);
		window_set_title(&view->window, v->statistics ? title : view->name);
		if (v->statistics)
			printf("buffer %" PRIu64 ": %.1f frames a second, %.2f ms\n", view->id, fps, ms);
		view->frames = view->latency_ns = 0;
	}
	fflush(stdout);
	v->since = now;
}

/* ---- the loop ---- */

/* SDL waits for its own events only: this waits for those of the connection. */
static int wait_for_connection(void *data)
{
	struct viewer *v = data;
	struct pollfd p[2] = {
		{ .fd = v->fd, .events = POLLIN },
		{ .fd = v->stop, .events = POLLIN },
	};
	SDL_Event event = { .type = v->wake };

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents)
			break;
		if (!p[0].revents)
			continue;
		if (SDL_PushEvent(&event) == 1)
			SDL_SemWait(v->go);
		else
			SDL_Delay(10); /* there are too many already */
	}
	return 0;
}

/* false: the user has seen enough. */
static bool take_sdl(struct viewer *v, const SDL_Event *event)
{
	struct view *view;

	switch (event->type) {
	case SDL_QUIT:
		return false;
	case SDL_KEYDOWN:
		if (event->key.keysym.sym == SDLK_s) {
			v->statistics = !v->statistics;
			show_statistics(v);
		}
		return event->key.keysym.sym != SDLK_q && event->key.keysym.sym != SDLK_ESCAPE;
	case SDL_WINDOWEVENT:
		view = find_window(v, event->window.windowID);
		if (view && event->window.event == SDL_WINDOWEVENT_CLOSE) {
			window_close(&view->window);
			view->closed = true;
		} else if (view) {
			window_present(&view->window);
		}
		break;
	}
	return true;
}

static int loop(struct viewer *v)
{
	SDL_Event event;
	int r = take_all(v);

	v->since = now_ns();
	while (r == 0) {
		bool any = SDL_WaitEventTimeout(&event, 1000);

		if (any && event.type == v->wake) {
			r = take_all(v);
			SDL_SemPost(v->go);
		} else if (any && !take_sdl(v, &event)) {
			break;
		}
		if (v->statistics && now_ns() - v->since >= 1000000000)
			show_statistics(v);
	}
	return r;
}

static int run(struct viewer *v)
{
	const uint64_t one = 1;
	SDL_Thread *thread;
	int r;

	v->fd = bufshare_host_get_fd(v->host);
	v->wake = SDL_RegisterEvents(1);
	v->go = SDL_CreateSemaphore(0);
	v->stop = eventfd(0, EFD_CLOEXEC);
	thread = v->go && v->stop >= 0 ? SDL_CreateThread(wait_for_connection, "wait", v) : NULL;
	if (!thread)
		return -ENOMEM;
	r = loop(v);
	/* In this order: the thread may be about to wait to go on, more than once. */
	if (write(v->stop, &one, sizeof(one)) == sizeof(one)) {
		SDL_SemPost(v->go);
		SDL_WaitThread(thread, NULL);
	}
	close(v->stop);
	SDL_DestroySemaphore(v->go);
	return r;
}

/* ---- the command line ---- */

static int usage(FILE *f)
{
	fputs("usage: bufshare-view [-sw] SOCKET [APPLICATION]\n"
	      "\n"
	      "Shows the pictures that a virtual machine shares, each in a window.\n"
	      "\n"
	      "  -s, --statistics  frame rate and latency, in the titles and every second\n"
	      "  -w, --wait        when the virtual machine has ended, wait for the next one\n"
	      "  -h, --help, -V, --version\n"
	      "\n"
	      "Keys: s statistics, q or Escape ends.\n",
	      f);
	return f == stdout ? 0 : 2;
}

/* -1: go on, else the exit status. */
static int parse(struct viewer *v, int argc, char **argv)
{
	static const struct option options[] = {
		{ "statistics", no_argument, NULL, 's' }, { "wait", no_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },	  { "version", no_argument, NULL, 'V' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "swhV", options, NULL)) != -1) {
		switch (c) {
		case 's':
			v->statistics = true;
			break;
		case 'w':
			v->wait = true;
			break;
		case 'h':
			return usage(stdout);
		case 'V':
			puts("bufshare-view " PACKAGE_VERSION);
			return 0;
		default:
			return usage(stderr);
		}
	}
	return argc - optind == 1 || argc - optind == 2 ? -1 : usage(stderr);
}

static const char *hint(int r)
{
	switch (r) {
	case -ENOENT:
	case -ECONNREFUSED:
		return " (is vhost-user-bufshare running, and is this its consumer socket?)";
	case -EACCES:
		return " (the daemon does not let this user in)";
	case -EPROTO:
		return " (this is not the consumer socket of a daemon of this version)";
	default:
		return "";
	}
}

int main(int argc, char **argv)
{
	struct viewer v = { 0 };
	int r, i;

	r = parse(&v, argc, argv);
	if (r >= 0)
		return r;
	r = bufshare_host_connect(argv[optind], argc - optind == 2 ? argv[optind + 1] : "*", &v.host);
	if (r < 0) {
		fprintf(stderr, "bufshare-view: cannot connect to %s: %s%s\n", argv[optind],
			strerror(-r), hint(r));
		return 1;
	}
	if (v.wait)
		bufshare_host_set_reconnect(v.host, -1);
	if (SDL_Init(SDL_INIT_VIDEO) < 0) {
		fprintf(stderr, "bufshare-view: no display: %s\n", SDL_GetError());
		bufshare_host_unref(v.host);
		return 1;
	}
	r = run(&v);
	for (i = 0; i < MAX_WINDOWS; i++)
		close_view(&v.views[i]);
	SDL_Quit();
	bufshare_host_unref(v.host);
	if (r < 0)
		fprintf(stderr, "bufshare-view: the daemon is gone: %s\n", strerror(-r));
	return r < 0;
}
