/* SPDX-License-Identifier: MIT */
/*
 * Show the host what Weston shows: it draws its picture straight into a shared buffer, whose
 * dma-buf it takes for a client's shared memory. It has to run with --debug to allow that.
 *
 * xml=$(pkg-config --variable=pkgdatadir libweston-14-protocols)/weston-output-capture.xml
 * wayland-scanner client-header $xml weston-output-capture.h
 * wayland-scanner private-code $xml weston-output-capture.c
 * cc -o guest-wayland-capture guest-wayland-capture.c weston-output-capture.c \
 *	$(pkg-config --cflags --libs libbufshare libdrm wayland-client)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bufshare.h>
#include <drm_fourcc.h>
#include <wayland-client.h>
#include "weston-output-capture.h"

static struct wl_shm *shm;
static struct wl_output *output;
static struct weston_capture_v1 *factory;
static struct bufshare_framebuffer fb; /* what Weston wants to draw */
static int answer; /* to the last capture: 1, or a negative errno; 0: none yet */

static void on_global(void *data, struct wl_registry *registry, uint32_t name, const char *type,
		      uint32_t version)
{
	if (strcmp(type, wl_shm_interface.name) == 0)
		shm = wl_registry_bind(registry, name, &wl_shm_interface, 1);
	else if (strcmp(type, wl_output_interface.name) == 0 && !output)
		output = wl_registry_bind(registry, name, &wl_output_interface, 1);
	else if (strcmp(type, weston_capture_v1_interface.name) == 0)
		factory = wl_registry_bind(registry, name, &weston_capture_v1_interface, 1);
}

static void on_global_remove(void *data, struct wl_registry *registry, uint32_t name)
{
}

static const struct wl_registry_listener registry_listener = { on_global, on_global_remove };

static void on_format(void *data, struct weston_capture_source_v1 *source, uint32_t format)
{
	fb.format = format;
}

static void on_size(void *data, struct weston_capture_source_v1 *source, int32_t width,
		    int32_t height)
{
	fb.width = (uint32_t)width;
	fb.height = (uint32_t)height;
	fb.stride = fb.width * 4; /* the protocol allows no other */
}

static void on_complete(void *data, struct weston_capture_source_v1 *source)
{
	answer = 1;
}

static void on_retry(void *data, struct weston_capture_source_v1 *source)
{
	answer = -ESTALE; /* the size has changed */
}

static void on_failed(void *data, struct weston_capture_source_v1 *source, const char *why)
{
	fprintf(stderr, "Weston cannot capture: %s\n", why ? why : "no reason given");
	answer = -EACCES;
}

static const struct weston_capture_source_v1_listener source_listener = {
	on_format, on_size, on_complete, on_retry, on_failed,
};

/* The shared buffer as the compositor knows it: libwayland maps the dma-buf as it does a memfd. */
static int make_wl_buffer(struct bufshare_buffer *buf, struct wl_buffer **buffer)
{
	struct wl_shm_pool *pool;
	int fd, r = bufshare_buffer_export(buf, &fd);

	if (r < 0)
		return r;
	pool = wl_shm_create_pool(shm, fd, (int32_t)(fb.stride * fb.height));
	*buffer = wl_shm_pool_create_buffer(pool, 0, (int32_t)fb.width, (int32_t)fb.height,
					    (int32_t)fb.stride, WL_SHM_FORMAT_XRGB8888);
	wl_shm_pool_destroy(pool);
	close(fd);
	return 0;
}

/* One picture: drawn by the compositor, given to the host, and back again. */
static int share_frame(struct wl_display *display, struct weston_capture_source_v1 *source,
		       struct wl_buffer *buffer, struct bufshare_buffer *buf)
{
	int r;

	answer = 0;
	weston_capture_source_v1_capture(source, buffer);
	while (answer == 0) {
		if (wl_display_dispatch(display) < 0)
			return -EPIPE;
	}
	r = answer < 0 ? answer : bufshare_buffer_update(buf, NULL, 0, NULL);
	return r < 0 ? r : bufshare_buffer_wait(buf, 0, -1);
}

int main(int argc, char **argv)
{
	struct wl_display *display = wl_display_connect(NULL);
	struct weston_capture_source_v1 *source;
	struct bufshare_device *dev = NULL;
	struct bufshare_buffer *buf = NULL;
	struct wl_buffer *buffer = NULL;
	int frames = argc > 1 ? atoi(argv[1]) : 60, r;

	if (!display || wl_registry_add_listener(wl_display_get_registry(display),
						 &registry_listener, NULL) < 0 ||
	    wl_display_roundtrip(display) < 0 || !shm || !output || !factory) {
		fprintf(stderr, "no compositor is there that can be captured\n");
		return 1;
	}
	source = weston_capture_v1_create(factory, output, WESTON_CAPTURE_V1_SOURCE_FRAMEBUFFER);
	weston_capture_source_v1_add_listener(source, &source_listener, NULL);
	wl_display_roundtrip(display); /* now format and size are known */

	r = fb.format == DRM_FORMAT_XRGB8888 ? bufshare_device_new_from_label(NULL, &dev) : -ENOTSUP;
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r == 0)
		r = bufshare_buffer_new(dev, (uint64_t)fb.stride * fb.height, &buf);
	if (r == 0)
		r = bufshare_buffer_set_framebuffer(buf, &fb);
	if (r == 0)
		r = bufshare_buffer_register(buf, "example.wayland");
	if (r == 0)
		r = make_wl_buffer(buf, &buffer);
	for (; r == 0 && frames > 0; frames--)
		r = share_frame(display, source, buffer, buf);
	if (r < 0)
		fprintf(stderr, "cannot share: %s\n", strerror(-r));

	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
	wl_display_disconnect(display);
	return r < 0;
}
