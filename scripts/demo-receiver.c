/* SPDX-License-Identifier: MIT */
/*
 * The host program of scripts/demo: receives one picture and one moving pattern from a
 * virtual machine, keeps the picture and the pattern's last frame as PNG, and writes a
 * line per frame for demo-report.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bufshare-host.h>

#include "cli/png.h"
#include "common/cleanup.h"
#include "common/pattern.h"

#define APP_PICTURE "demo.picture"
#define APP_PATTERN "demo.pattern"

struct receiver {
	struct bufshare_host *host;
	const char *folder; /* where the pictures go */
	FILE *frames; /* a line per frame */
	uint32_t expected; /* frames */
	uint32_t received;
	bool picture;
	int path;
	struct bufshare_host_stats stats;
};

static void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void cleanup_buffer(struct bufshare_host_buffer **buf)
{
	bufshare_host_buffer_unref(*buf);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void progress(const struct receiver *r)
{
	bool tty = isatty(STDOUT_FILENO);

	if (!tty && r->received % 20 && r->received != r->expected)
		return;
	printf("%sdemo: frame %" PRIu32 " of %" PRIu32 "%s", tty ? "\r" : "", r->received,
	       r->expected, tty && r->received < r->expected ? "" : "\n");
	fflush(stdout);
}

static int save(const struct receiver *r, const char *name, const struct bufshare_framebuffer *fb,
		const void *map)
{
	_cleanup_free_ char *path = NULL;
	int ret;

	if (asprintf(&path, "%s/%s", r->folder, name) < 0)
		return -ENOMEM;
	ret = png_write_file(path, fb, (const uint8_t *)map + fb->offset);
	if (ret < 0)
		fprintf(stderr, "demo: cannot write %s: %s\n", path, strerror(-ret));
	return ret;
}

/* One frame of the pattern: which one is it, and when did it come? */
static int take_frame(struct receiver *r, const struct bufshare_event *ev,
		      const struct bufshare_framebuffer *fb, const void *map)
{
	uint32_t frame;
	int ret;

	ret = pattern_read(fb, (const uint8_t *)map + fb->offset, &frame);
	if (ret < 0) {
		fprintf(stderr, "demo: update %" PRIu64 " of buffer %" PRIu64
			" shows no frame number\n", ev->seq, ev->buffer_id);
		return ret;
	}
	r->received++;
	progress(r);
	if (frame + 1 == r->expected) {
		ret = save(r, "last-frame.png", fb, map);
		if (ret < 0)
			return ret;
	}
	return fprintf(r->frames, "%" PRIu32 " %" PRIu64 " %" PRIu64 " ", frame, ev->guest_time_ns,
		       ev->time_ns) < 0 ? -EIO : 1;
}

static int updated(struct receiver *r, const struct bufshare_event *ev)
{
	_cleanup_(cleanup_buffer) struct bufshare_host_buffer *buf = NULL;
	struct bufshare_framebuffer fb;
	const void *map;
	int ret, frame = 0;

	ret = bufshare_host_get_buffer(r->host, ev->buffer_id, &buf);
	if (ret == -ENOENT)
		return 0; /* removed since */
	if (ret < 0)
		return ret;

	ret = bufshare_host_buffer_get_framebuffer(buf, &fb);
	if (ret == 0)
		ret = bufshare_host_buffer_map(buf, &map);
	if (ret < 0)
		return ret;

	r->path = bufshare_host_buffer_get_path(buf);
	ret = bufshare_host_buffer_begin_read(buf);
	if (ret < 0)
		return ret;
	if (strcmp(bufshare_host_buffer_get_application(buf), APP_PICTURE) == 0) {
		ret = save(r, "picture.png", &fb, map);
		r->picture = ret == 0;
		if (r->picture)
			printf("demo: the picture came, %" PRIu32 "x%" PRIu32 "\n", fb.width,
			       fb.height);
	} else {
		ret = frame = take_frame(r, ev, &fb, map);
	}
	bufshare_host_buffer_end_read(buf);
	if (ret < 0)
		return ret;

	ret = bufshare_host_buffer_release(buf, ev->seq);
	if (frame > 0)
		fprintf(r->frames, "%" PRIu64 "\n", now_ns());
	if (ret == 0 && r->received == r->expected)
		ret = bufshare_host_request_stats(r->host);
	return ret == -EALREADY ? 0 : ret;
}

static int loop(struct receiver *r)
{
	struct pollfd p = { .fd = bufshare_host_get_fd(r->host), .events = POLLIN };
	struct bufshare_event ev;
	int ret;

	for (;;) {
		ret = bufshare_host_read_event(r->host, &ev);
		if (ret == -EAGAIN) {
			if (poll(&p, 1, -1) < 0)
				return -errno;
			continue;
		}
		if (ret < 0)
			return ret;
		if (ev.type == BUFSHARE_EVENT_STATE && ev.value == BUFSHARE_GUEST_GONE)
			return 0;
		if (ev.type == BUFSHARE_EVENT_UPDATED)
			ret = updated(r, &ev);
		else if (ev.type == BUFSHARE_EVENT_STATS && ev.buffer_id == 0)
			ret = bufshare_host_get_stats(r->host, &r->stats);
		if (ret < 0)
			return ret;
	}
}

static const char *path_name(int path)
{
	switch (path) {
	case BUFSHARE_PATH_COPY:
		return "copy";
	case BUFSHARE_PATH_UDMABUF:
		return "udmabuf";
	case BUFSHARE_PATH_MEMFD:
		return "memfd";
	default:
		return "none";
	}
}

int main(int argc, char **argv)
{
	_cleanup_(cleanup_file) FILE *frames = NULL;
	struct receiver r = { 0 };
	int ret;

	if (argc != 5) {
		fprintf(stderr, "usage: demo-receiver SOCKET FOLDER FRAMES RECORD\n");
		return 2;
	}
	r.folder = argv[2];
	r.expected = (uint32_t)strtoul(argv[3], NULL, 10);
	r.frames = frames = fopen(argv[4], "we");
	if (!frames) {
		fprintf(stderr, "demo: cannot write %s: %m\n", argv[4]);
		return 1;
	}

	ret = bufshare_host_connect(argv[1], "demo.*", &r.host);
	if (ret < 0) {
		fprintf(stderr, "demo: cannot connect to %s: %s\n", argv[1], strerror(-ret));
		return 1;
	}
	ret = loop(&r);
	bufshare_host_unref(r.host);
	if (ret < 0)
		fprintf(stderr, "demo: receiving failed: %s\n", strerror(-ret));
	fprintf(frames, "path %s\ncopied %" PRIu64 "\n", path_name(r.path), r.stats.bytes_copied);
	if (fflush(frames) != 0 || ferror(frames)) {
		fprintf(stderr, "demo: cannot write %s: %m\n", argv[4]);
		ret = -EIO;
	}
	return ret < 0 || !r.picture || r.received != r.expected;
}
