/* SPDX-License-Identifier: MIT */
/*
 * Animate without tearing: two buffers, each drawn to only while no host program holds
 * it, with the damage of what moved.
 *
 * cc -o guest-double-buffer guest-double-buffer.c $(pkg-config --cflags --libs libbufshare libdrm)
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <bufshare.h>
#include <drm_fourcc.h>

#define WIDTH 320
#define HEIGHT 200
#define BOX 32
#define FRAMES 100

struct frame {
	struct bufshare_buffer *buf;
	unsigned char *pixels;
	uint32_t stride;
	uint32_t box; /* where the box stands in this buffer */
};

static void fill(struct frame *f, uint32_t left, uint32_t colour)
{
	uint32_t x, y;

	for (y = 0; y < BOX; y++) {
		uint32_t *row = (uint32_t *)(f->pixels + (size_t)(y + 50) * f->stride);

		for (x = left; x < left + BOX; x++)
			row[x] = colour;
	}
}

static int make(struct bufshare_device *dev, struct frame *f)
{
	struct bufshare_framebuffer fb;
	void *pixels;
	int r;

	r = bufshare_buffer_new_framebuffer(dev, WIDTH, HEIGHT, DRM_FORMAT_XRGB8888, &f->buf);
	if (r == 0)
		r = bufshare_buffer_get_framebuffer(f->buf, &fb);
	if (r == 0)
		r = bufshare_buffer_map(f->buf, &pixels);
	if (r == 0)
		r = bufshare_buffer_register(f->buf, "example.animation");
	if (r < 0)
		return r;
	f->pixels = pixels;
	f->stride = fb.stride;
	return 0;
}

/* Events only announce a release; whether a buffer is busy is a state one can ask for. */
static int wait_free(struct bufshare_device *dev, struct frame *f)
{
	struct pollfd p = { .fd = bufshare_device_get_fd(dev), .events = POLLIN };
	struct bufshare_event ev;
	int busy;

	while ((busy = bufshare_buffer_is_busy(f->buf)) > 0) {
		poll(&p, 1, -1);
		while (bufshare_device_read_event(dev, &ev) == 0)
			;
	}
	return busy;
}

int main(void)
{
	struct bufshare_device *dev = NULL;
	struct frame frames[2] = { 0 };
	uint32_t n;
	int r;

	r = bufshare_device_new_from_label(NULL, &dev);
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r == 0)
		r = make(dev, &frames[0]);
	if (r == 0)
		r = make(dev, &frames[1]);

	for (n = 0; r == 0 && n < FRAMES; n++) {
		struct frame *f = &frames[n % 2];
		uint32_t left = n * (WIDTH - BOX) / FRAMES;
		struct bufshare_rect damage[2] = {
			{ f->box, 50, BOX, BOX },
			{ left, 50, BOX, BOX },
		};

		r = wait_free(dev, f);
		if (r < 0)
			break;
		fill(f, f->box, 0);
		fill(f, left, 0xffffff);
		f->box = left;
		r = bufshare_buffer_update(f->buf, damage, 2, NULL);
	}
	if (r < 0)
		fprintf(stderr, "cannot animate: %s\n", strerror(-r));

	bufshare_buffer_unref(frames[0].buf);
	bufshare_buffer_unref(frames[1].buf);
	bufshare_device_unref(dev);
	return r < 0;
}
