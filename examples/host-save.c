/* SPDX-License-Identifier: MIT */
/*
 * Save the next picture of an application as PPM.
 *
 * cc -o host-save host-save.c $(pkg-config --cflags --libs libbufshare-host libdrm)
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <bufshare-host.h>
#include <drm_fourcc.h>

static int write_ppm(FILE *f, const struct bufshare_framebuffer *fb, const unsigned char *pixels)
{
	uint32_t x, y;

	fprintf(f, "P6\n%u %u\n255\n", fb->width, fb->height);
	for (y = 0; y < fb->height; y++) {
		const unsigned char *p = pixels + (size_t)y * fb->stride;

		for (x = 0; x < fb->width; x++, p += 4) {
			putc(p[2], f);
			putc(p[1], f);
			putc(p[0], f);
		}
	}
	return fflush(f) == 0 && !ferror(f) ? 0 : -EIO;
}

/* A picture that is no picture, or that we cannot read, is passed over: -ENOENT. */
static int save(struct bufshare_host_buffer *buf, FILE *f)
{
	struct bufshare_framebuffer fb;
	const void *map;
	int r;

	/* The guest says what it likes; this checks that it lies inside the buffer. */
	if (bufshare_host_buffer_get_framebuffer(buf, &fb) < 0 ||
	    fb.format != DRM_FORMAT_XRGB8888 || fb.modifier != DRM_FORMAT_MOD_LINEAR)
		return -ENOENT;

	r = bufshare_host_buffer_map(buf, &map);
	if (r == 0)
		r = bufshare_host_buffer_begin_read(buf);
	if (r < 0)
		return r;

	r = write_ppm(f, &fb, (const unsigned char *)map + fb.offset);
	bufshare_host_buffer_end_read(buf);
	return r;
}

static int save_next(struct bufshare_host *host, FILE *f)
{
	struct pollfd p = { .fd = bufshare_host_get_fd(host), .events = POLLIN };
	struct bufshare_host_buffer *buf;
	struct bufshare_event ev;
	int r;

	for (;;) {
		r = bufshare_host_read_event(host, &ev);
		if (r == -EAGAIN && poll(&p, 1, -1) > 0)
			continue;
		if (r < 0)
			return r;
		if (ev.type != BUFSHARE_EVENT_UPDATED ||
		    bufshare_host_get_buffer(host, ev.buffer_id, &buf) < 0)
			continue;

		r = save(buf, f);
		bufshare_host_buffer_release(buf, ev.seq); /* the guest may draw again */
		bufshare_host_buffer_unref(buf);
		if (r != -ENOENT)
			return r;
	}
}

int main(int argc, char **argv)
{
	struct bufshare_host *host = NULL;
	FILE *f;
	int r;

	if (argc != 4) {
		fprintf(stderr, "usage: host-save SOCKET APPLICATION FILE.ppm\n");
		return 2;
	}
	f = fopen(argv[3], "wb");
	if (!f) {
		perror(argv[3]);
		return 1;
	}

	r = bufshare_host_connect(argv[1], argv[2], &host);
	if (r == 0)
		r = save_next(host, f);
	if (r < 0)
		fprintf(stderr, "cannot save: %s\n", strerror(-r));
	bufshare_host_unref(host);
	if (fclose(f) != 0 && r == 0) {
		perror(argv[3]);
		r = -EIO;
	}
	return r < 0;
}
