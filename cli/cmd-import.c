/* SPDX-License-Identifier: MIT */
/*
 * import: memory that is there already, a dma-buf or a memfd, shared in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/fd.h"
#include "cli/hold.h"
#include "common/cleanup.h"

#define UDMABUF "/dev/udmabuf"

struct import {
	const char *what;
	bool udmabuf;
	struct hold hold;
	void *map; /* of a memfd; the buffer lives in it */
	size_t size;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct import *im)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		if (c == 'u')
			im->udmabuf = true;
		else if (hold_option(ctl, c, &im->hold) != EXIT_OK)
			return EXIT_USAGE;
	}
	if (optind + 1 != argc)
		return usage(ctl, "wants a file descriptor, as FD, PID:FD or a file");
	im->what = argv[optind];
	return EXIT_OK;
}

/* Makes a dma-buf of a memfd; it must not shrink any more, which is sealed. */
static int make_udmabuf(struct ctl *ctl, int memfd, uint64_t size, int *dmabuf)
{
	_cleanup_close_ int device = -1;
	struct udmabuf_create create = { .memfd = (uint32_t)memfd, .flags = UDMABUF_FLAGS_CLOEXEC,
					 .size = size };
	int fd;

	device = open(UDMABUF, O_RDWR | O_CLOEXEC);
	if (device < 0)
		return fail(ctl, -errno, "modprobe udmabuf; its node is for the group kvm",
			    "cannot open " UDMABUF);
	if (fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 && errno != EPERM)
		return fail(ctl, -errno, "it was made without MFD_ALLOW_SEALING",
			    "cannot seal the memfd");
	fd = ioctl(device, UDMABUF_CREATE, &create);
	if (fd < 0)
		return fail(ctl, -errno, "it is whole pages of a memfd, up to the module's size_limit_mb",
			    "cannot make a dma-buf of the memfd");
	*dmabuf = fd;
	return EXIT_OK;
}

static const char *import_hint(int r)
{
	switch (r) {
	case -EREMOTE:
		return "the memory is a device's, not RAM";
	case -EXDEV:
		return "the memory is behind an IOMMU";
	case -EADDRNOTAVAIL:
		return "the memory is reached through bounce buffers only";
	case -EOPNOTSUPP:
	case -EINVAL:
		return "it is no dma-buf of whole pages, and no memfd";
	default:
		return NULL;
	}
}

static int import_dmabuf(struct ctl *ctl, const struct import *im, struct bufshare_device *dev,
			 int fd, struct bufshare_buffer **buf)
{
	int r = bufshare_buffer_import(dev, fd, buf);

	return r < 0 ? fail(ctl, r, import_hint(r), "cannot import %s", im->what) : EXIT_OK;
}

static int import_memory(struct ctl *ctl, struct import *im, struct bufshare_device *dev, int fd,
			 uint64_t size, struct bufshare_buffer **buf)
{
	const char *hint = NULL;
	int r;

	im->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (im->map == MAP_FAILED)
		return fail(ctl, -errno, "it must be open for writing", "cannot map %s", im->what);
	im->size = size;
	r = bufshare_buffer_new_from_memory(dev, im->map, size, buf);
	if (r == -EOPNOTSUPP)
		hint = "only memory and memfds, not files, and with a driver that can; or try --udmabuf";
	else if (r == -ENOMEM)
		hint = "more than may be locked: see ulimit -l";
	else if (r == -EINVAL)
		hint = "it must be whole pages, and no more than the device takes";
	return r < 0 ? fail(ctl, r, hint, "cannot share the memory of %s", im->what) : EXIT_OK;
}

/* A memfd is a file that can have seals; what has a size and none is a file in memory or not. */
static int import_fd(struct ctl *ctl, struct import *im, struct bufshare_device *dev, int fd,
		     struct bufshare_buffer **buf)
{
	_cleanup_close_ int dmabuf = -1;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return fail(ctl, -errno, NULL, "cannot look at %s", im->what);
	if (im->udmabuf) {
		r = make_udmabuf(ctl, fd, (uint64_t)st.st_size, &dmabuf);
		return r ? r : import_dmabuf(ctl, im, dev, dmabuf, buf);
	}
	r = bufshare_buffer_import(dev, fd, buf);
	if (r == 0)
		return EXIT_OK;
	/* What is no dma-buf the kernel calls invalid. */
	if ((r == -EINVAL || r == -EOPNOTSUPP) && S_ISREG(st.st_mode) && st.st_size > 0)
		return import_memory(ctl, im, dev, fd, (uint64_t)st.st_size, buf);
	return fail(ctl, r, import_hint(r), "cannot import %s", im->what);
}

int cmd_import(struct ctl *ctl, int argc, char **argv)
{
	struct import im = { .hold.application = "bufsharectl.import" };
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	struct bufshare_buffer *buf = NULL;
	_cleanup_close_ int fd = -1;
	int status;

	status = parse(ctl, argc, argv, &im);
	if (status != EXIT_OK)
		return status;
	status = open_fd(ctl, im.what, O_RDWR, &fd);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	if (status == EXIT_OK)
		status = import_fd(ctl, &im, dev, fd, &buf);
	if (status == EXIT_OK)
		status = hold_buffer(ctl, &im.hold, dev, buf);
	bufshare_buffer_unref(buf);
	if (im.size)
		munmap(im.map, im.size);
	return status;
}
