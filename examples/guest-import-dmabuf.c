/* SPDX-License-Identifier: MIT */
/*
 * Share memory of another driver: a dma-buf of any DRM device that has dumb buffers, such
 * as a GPU or vgem, goes to the host without a copy.
 *
 * cc -o guest-import-dmabuf guest-import-dmabuf.c $(pkg-config --cflags --libs libbufshare libdrm)
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bufshare.h>
#include <drm_fourcc.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

/* A picture in a dumb buffer of the other driver; drawn there, and given out as a dma-buf. */
static int draw_elsewhere(const char *node, struct bufshare_framebuffer *fb)
{
	uint32_t handle, x, y;
	uint64_t size, offset;
	uint32_t *pixels;
	int gpu, dmabuf = -1;

	gpu = open(node, O_RDWR | O_CLOEXEC);
	if (gpu < 0 || drmModeCreateDumbBuffer(gpu, fb->width, fb->height, 32, 0, &handle,
					       &fb->stride, &size) != 0) {
		perror(node);
		return -1;
	}
	if (drmModeMapDumbBuffer(gpu, handle, &offset) == 0) {
		pixels = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, gpu, (off_t)offset);
		for (y = 0; pixels != MAP_FAILED && y < fb->height; y++)
			for (x = 0; x < fb->width; x++)
				pixels[y * fb->stride / 4 + x] = (x ^ y) * 0x010101;
		if (pixels != MAP_FAILED)
			munmap(pixels, size);
	}
	drmPrimeHandleToFD(gpu, handle, DRM_CLOEXEC | DRM_RDWR, &dmabuf);
	close(gpu); /* the dma-buf keeps the memory */
	return dmabuf;
}

int main(int argc, char **argv)
{
	struct bufshare_framebuffer fb = {
		.width = 256,
		.height = 256,
		.format = DRM_FORMAT_XRGB8888,
	};
	struct bufshare_device *dev = NULL;
	struct bufshare_buffer *buf = NULL;
	uint64_t seq;
	int dmabuf, r;

	if (argc != 2) {
		fprintf(stderr, "usage: %s /dev/dri/cardN\n", argv[0]);
		return 2;
	}
	dmabuf = draw_elsewhere(argv[1], &fb);
	if (dmabuf < 0)
		return 1;

	r = bufshare_device_new_from_label(NULL, &dev);
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r == 0)
		r = bufshare_buffer_import(dev, dmabuf, &buf);
	close(dmabuf); /* and so does the buffer */
	if (r == 0)
		r = bufshare_buffer_set_framebuffer(buf, &fb);
	if (r == 0)
		r = bufshare_buffer_register(buf, "example.import");
	if (r == 0)
		r = bufshare_buffer_update(buf, NULL, 0, &seq);
	if (r == 0)
		r = bufshare_buffer_wait(buf, seq, -1);
	if (r < 0)
		fprintf(stderr, "cannot share it: %s %s\n", strerror(-r),
			bufshare_buffer_get_refusal(buf));
	else
		printf("shared\n");

	bufshare_buffer_unref(buf);
	bufshare_device_unref(dev);
	return r < 0;
}
