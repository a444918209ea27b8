/* SPDX-License-Identifier: MIT */
/*
 * Share one picture with the host and wait until a program there has taken it.
 *
 * cc -o guest-share-framebuffer guest-share-framebuffer.c $(pkg-config --cflags --libs libbufshare libdrm)
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <bufshare.h>
#include <drm_fourcc.h>

static void draw(const struct bufshare_framebuffer *fb, unsigned char *pixels)
{
	uint32_t x, y;

	for (y = 0; y < fb->height; y++) {
		uint32_t *row = (uint32_t *)(pixels + (size_t)y * fb->stride);

		for (x = 0; x < fb->width; x++)
			row[x] = (x * 255 / fb->width) << 16 | (y * 255 / fb->height) << 8;
	}
}

/* Waits until the update was released by a program that saw it. */
static int wait_taken(struct bufshare_device *dev, uint64_t seq)
{
	struct pollfd p = { .fd = bufshare_device_get_fd(dev), .events = POLLIN };
	struct bufshare_event ev;
	int r;

	while (poll(&p, 1, -1) > 0) {
		while ((r = bufshare_device_read_event(dev, &ev)) == 0) {
			if (ev.type == BUFSHARE_EVENT_RELEASED && ev.seq >= seq)
				return ev.flags & BUFSHARE_RELEASED_NO_CONSUMER ? 0 : 1;
			if (ev.type == BUFSHARE_EVENT_DEVICE_LOST)
				return -1;
		}
	}
	return -1;
}

int main(void)
{
	const uint32_t width = 640, height = 480;
	const char *application = "example.picture";
	struct bufshare_device *dev = NULL;
	struct bufshare_buffer *buf = NULL;
	struct bufshare_framebuffer fb;
	uint64_t seq;
	void *pixels;
	int r;

	r = bufshare_device_new_from_label(NULL, &dev);
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r == 0)
		r = bufshare_buffer_new_framebuffer(dev, width, height, DRM_FORMAT_XRGB8888, &buf);
	if (r == 0)
		r = bufshare_buffer_get_framebuffer(buf, &fb);
	if (r == 0)
		r = bufshare_buffer_map(buf, &pixels);
	if (r == 0) {
		draw(&fb, pixels);
		r = bufshare_buffer_set_property(buf, BUFSHARE_PROPERTY_TITLE, "a gradient");
	}
	if (r == 0)
		r = bufshare_buffer_register(buf, application);
	if (r == 0)
		r = bufshare_buffer_update(buf, NULL, 0, &seq);
	if (r < 0)
		fprintf(stderr, "cannot share: %s\n", strerror(-r));
	else
		printf("%s\n", wait_taken(dev, seq) > 0 ? "taken" : "nobody was there");

	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
	return r < 0;
}
