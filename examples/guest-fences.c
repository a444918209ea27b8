/* SPDX-License-Identifier: MIT */
/*
 * Order by fences instead of events: the host is told of a picture when a fence says that
 * it is complete, and a point of a timeline says when the host is done with it.
 *
 * cc -o guest-fences guest-fences.c $(pkg-config --cflags --libs libbufshare libdrm)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bufshare.h>
#include <drm_fourcc.h>
#include <xf86drm.h>

#define WIDTH 160
#define HEIGHT 120
#define FRAMES 30

/*
 * Draws, and gives a fence that is signalled when it is done: with a GPU it is one that
 * its driver gives out before the picture is complete. Here it is complete at once.
 */
static int draw(int fd, unsigned char *pixels, const struct bufshare_framebuffer *fb, uint32_t frame,
		int *fence)
{
	uint32_t y, drawn;
	int r;

	for (y = 0; y < fb->height; y++)
		memset(pixels + (size_t)y * fb->stride, (int)(frame * 8 + y), fb->width * 4);
	if (drmSyncobjCreate(fd, DRM_SYNCOBJ_CREATE_SIGNALED, &drawn) != 0)
		return -errno;
	r = drmSyncobjExportSyncFile(fd, drawn, fence) == 0 ? 0 : -errno;
	drmSyncobjDestroy(fd, drawn);
	return r;
}

/* The point has no fence before the release, so it is waited for as well. */
static int wait_released(int fd, uint32_t timeline, uint64_t point)
{
	const unsigned int flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT;

	return drmSyncobjTimelineWait(fd, &timeline, &point, 1, INT64_MAX, flags, NULL);
}

static int animate(struct bufshare_device *dev, struct bufshare_buffer *buf, void *pixels)
{
	const int fd = bufshare_device_get_fd(dev); /* syncobjs are of this file */
	struct bufshare_update update = {
		.buffer = buf,
		.flags = BUFSHARE_UPDATE_ACQUIRE_FD | BUFSHARE_UPDATE_RELEASE_SYNCOBJ,
	};
	struct bufshare_framebuffer fb;
	uint32_t frame;
	int r;

	r = bufshare_buffer_get_framebuffer(buf, &fb);
	if (r == 0 && drmSyncobjCreate(fd, 0, &update.release_syncobj) != 0)
		r = -errno;
	for (frame = 1; r == 0 && frame <= FRAMES; frame++) {
		r = draw(fd, pixels, &fb, frame, &update.acquire_fd);
		if (r < 0)
			break;
		update.release_point = frame;
		r = bufshare_device_update(dev, &update, 1);
		close(update.acquire_fd);
		if (r == 0)
			r = wait_released(fd, update.release_syncobj, frame);
	}
	if (update.release_syncobj)
		drmSyncobjDestroy(fd, update.release_syncobj);
	return r;
}

int main(void)
{
	struct bufshare_device *dev = NULL;
	struct bufshare_buffer *buf = NULL;
	void *pixels;
	int r;

	r = bufshare_device_new_from_label(NULL, &dev);
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r == 0 && !bufshare_device_has_feature(dev, BUFSHARE_FEATURE_FENCES))
		r = -EOPNOTSUPP;
	if (r == 0)
		r = bufshare_buffer_new_framebuffer(dev, WIDTH, HEIGHT, DRM_FORMAT_XRGB8888, &buf);
	if (r == 0)
		r = bufshare_buffer_map(buf, &pixels);
	if (r == 0)
		r = bufshare_buffer_register(buf, "example.fences");
	if (r == 0)
		r = animate(dev, buf, pixels);
	if (r < 0)
		fprintf(stderr, "cannot animate: %s\n", strerror(-r));
	else
		printf("%d frames\n", FRAMES);

	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
	return r < 0;
}
