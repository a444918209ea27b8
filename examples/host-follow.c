/* SPDX-License-Identifier: MIT */
/*
 * Record every update of an application to standard output: pictures as Y4M, which video
 * tools read from a pipe, and anything else as it is.
 *
 * cc -o host-follow host-follow.c $(pkg-config --cflags --libs libbufshare-host libdrm)
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <bufshare-host.h>
#include <drm_fourcc.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = signo;
}

/* Red, green, blue to one of Y, Cb and Cr as BT.601 has them, in 16.16 fixed point. */
static int component(const unsigned char *p, int which)
{
	static const int matrix[3][4] = {
		{ 16829, 33039, 6416, 16 },
		{ -9714, -19071, 28784, 128 },
		{ 28784, -24103, -4681, 128 },
	};
	const int *m = matrix[which];

	return (((m[0] * p[2] + m[1] * p[1] + m[2] * p[0] + 32768) >> 16) + m[3]) & 255;
}

static void write_frame(const struct bufshare_framebuffer *fb, const unsigned char *pixels)
{
	uint32_t x, y;
	int which;

	puts("FRAME");
	for (which = 0; which < 3; which++) {
		for (y = 0; y < fb->height; y++) {
			const unsigned char *row = pixels + (size_t)y * fb->stride;

			for (x = 0; x < fb->width; x++)
				putchar(component(row + (size_t)x * 4, which));
		}
	}
}

/* A stream has one size: pictures of another are passed over. */
static int record(struct bufshare_host_buffer *buf)
{
	static uint32_t width, height;
	struct bufshare_framebuffer fb;
	const void *map;
	int r;

	r = bufshare_host_buffer_map(buf, &map);
	if (r == 0)
		r = bufshare_host_buffer_begin_read(buf);
	if (r < 0)
		return r;

	if (bufshare_host_buffer_get_framebuffer(buf, &fb) < 0) {
		fwrite(map, 1, bufshare_host_buffer_get_size(buf), stdout);
	} else if (fb.format == DRM_FORMAT_XRGB8888 && fb.modifier == DRM_FORMAT_MOD_LINEAR) {
		if (!width) {
			width = fb.width;
			height = fb.height;
			printf("YUV4MPEG2 W%u H%u F30:1 Ip A1:1 C444\n", width, height);
		}
		if (fb.width == width && fb.height == height)
			write_frame(&fb, (const unsigned char *)map + fb.offset);
	}
	bufshare_host_buffer_end_read(buf);
	return fflush(stdout) == 0 ? 0 : -errno;
}

static int follow(struct bufshare_host *host)
{
	struct pollfd p = { .fd = bufshare_host_get_fd(host), .events = POLLIN };
	struct bufshare_host_buffer *buf;
	struct bufshare_event ev;
	int r = 0;

	while (!interrupted && (r == 0 || r == -EAGAIN)) {
		r = bufshare_host_read_event(host, &ev);
		if (r == -EAGAIN)
			poll(&p, 1, -1);
		if (r < 0 || ev.type != BUFSHARE_EVENT_UPDATED ||
		    bufshare_host_get_buffer(host, ev.buffer_id, &buf) < 0)
			continue;

		/* The guest waits with this buffer until it is released. */
		r = record(buf);
		bufshare_host_buffer_release(buf, ev.seq);
		bufshare_host_buffer_unref(buf);
	}
	return interrupted ? 0 : r;
}

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct bufshare_host *host = NULL;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: host-follow SOCKET APPLICATION > FILE\n");
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);

	r = bufshare_host_connect(argv[1], argv[2], &host);
	if (r == 0)
		r = follow(host);
	bufshare_host_unref(host);
	if (r < 0)
		fprintf(stderr, "host-follow: %s\n", strerror(-r));
	return r < 0;
}
