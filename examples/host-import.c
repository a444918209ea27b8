/* SPDX-License-Identifier: MIT */
/*
 * Import a buffer of the guest into another DRM device without a copy, as one does to
 * show it, or to encode it.
 *
 * cc -o host-import host-import.c $(pkg-config --cflags --libs libbufshare-host libdrm)
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bufshare-host.h>
#include <xf86drm.h>

/* The first buffer of the application that comes, for at most 5 seconds. */
static int wait_buffer(struct bufshare_host *host, struct bufshare_host_buffer **buf)
{
	struct pollfd p = { .fd = bufshare_host_get_fd(host), .events = POLLIN };
	struct bufshare_event ev;
	int r;

	for (;;) {
		r = bufshare_host_read_event(host, &ev);
		if (r == 0 && ev.type == BUFSHARE_EVENT_ADDED)
			return bufshare_host_get_buffer(host, ev.buffer_id, buf);
		if (r == -EAGAIN && poll(&p, 1, 5000) == 0)
			return -ETIMEDOUT;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
}

static int import(int node, struct bufshare_host_buffer *buf)
{
	uint32_t handle;
	int dmabuf;

	/* Only guest pages that come through udmabuf are a dma-buf. */
	dmabuf = bufshare_host_buffer_get_dmabuf(buf);
	if (dmabuf < 0)
		return dmabuf;

	if (drmPrimeFDToHandle(node, dmabuf, &handle) < 0)
		return -errno;

	printf("buffer %" PRIu64 ", %" PRIu64 " bytes, is handle %u of the device\n",
	       bufshare_host_buffer_get_id(buf), bufshare_host_buffer_get_size(buf), handle);
	drmCloseBufferHandle(node, handle);
	return 0;
}

int main(int argc, char **argv)
{
	struct bufshare_host_buffer *buf = NULL;
	struct bufshare_host *host = NULL;
	int node, r;

	if (argc != 4) {
		fprintf(stderr, "usage: host-import SOCKET APPLICATION /dev/dri/NODE\n");
		return 2;
	}
	node = open(argv[3], O_RDWR | O_CLOEXEC);
	if (node < 0) {
		perror(argv[3]);
		return 1;
	}

	r = bufshare_host_connect(argv[1], argv[2], &host);
	if (r == 0)
		r = wait_buffer(host, &buf);
	if (r == 0)
		r = import(node, buf);
	if (r == -EOPNOTSUPP)
		fprintf(stderr, "the daemon copies this buffer: there is no dma-buf of it\n");
	else if (r < 0)
		fprintf(stderr, "cannot import: %s\n", strerror(-r));

	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
	close(node);
	return r < 0;
}
