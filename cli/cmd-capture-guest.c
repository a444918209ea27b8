/* SPDX-License-Identifier: MIT */
/*
 * capture, in the guest: what a dma-buf or a memfd holds, to a file. That is memory which
 * somebody has, and may give away; the driver shows nobody the buffers of others.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/dma-buf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/contents.h"
#include "cli/fd.h"
#include "cli/png.h"
#include "common/cleanup.h"
#include "common/dmabuf.h"
#include "common/framebuffer.h"

struct capture {
	const char *what, *file;
	struct bufshare_framebuffer fb;
	bool picture;
};

static bool parse_property(const char *text, struct bufshare_framebuffer *fb)
{
	_cleanup_free_ char *name = strdup(text);
	uint64_t value = 0;
	char *equals;

	equals = name ? strchr(name, '=') : NULL;
	if (!equals)
		return false;
	*equals++ = '\0';
	if (strcmp(name, BUFSHARE_PROPERTY_FORMAT) == 0)
		return parse_format(equals, &fb->format);
	if (!parse_u64(equals, UINT32_MAX, &value))
		return false;
	if (strcmp(name, BUFSHARE_PROPERTY_WIDTH) == 0)
		fb->width = (uint32_t)value;
	else if (strcmp(name, BUFSHARE_PROPERTY_HEIGHT) == 0)
		fb->height = (uint32_t)value;
	else if (strcmp(name, BUFSHARE_PROPERTY_STRIDE) == 0)
		fb->stride = (uint32_t)value;
	else if (strcmp(name, BUFSHARE_PROPERTY_OFFSET) == 0)
		fb->offset = value;
	else
		return false;
	return true;
}

static int parse(struct ctl *ctl, int argc, char **argv, struct capture *c)
{
	int o;

	while ((o = next_option(ctl, argc, argv)) != -1) {
		if (o != 'p')
			return EXIT_USAGE;
		if (!parse_property(optarg, &c->fb))
			return usage(ctl, "--property %s: not width, height, stride, offset or format",
				     optarg);
		c->picture = true;
	}
	if (optind + 2 != argc)
		return usage(ctl, "wants a file descriptor, as FD, PID:FD or a file, and a file to "
				  "write");
	c->what = argv[optind];
	c->file = argv[optind + 1];
	return EXIT_OK;
}

/* Whether all pixels lie in the memory. */
static bool fits(const struct bufshare_framebuffer *fb, uint64_t size)
{
	return png_format_bytes(fb->format) && framebuffer_check(fb, size) == 0;
}

/* A file may shrink under a mapping, which would be the end of us: it is read. */
static int read_file(int fd, void *to, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (uint8_t *)to + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ESTALE;
		done += (uint64_t)n;
	}
	return 0;
}

static int save_file(struct ctl *ctl, const struct capture *c, int fd, uint64_t size)
{
	_cleanup_free_ void *copy = malloc(size);
	int r;

	r = copy ? read_file(fd, copy, size) : -ENOMEM;
	if (r < 0)
		return fail(ctl, r, NULL, "cannot read %s", c->what);
	return save_contents(ctl, c->what, c->file, c->picture ? &c->fb : NULL, copy, size);
}

/* A dma-buf keeps its size. */
static int save_mapped(struct ctl *ctl, const struct capture *c, int fd, uint64_t size)
{
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	int status;

	if (map == MAP_FAILED)
		return fail(ctl, -errno, "only a dma-buf, a memfd or a file has contents to map",
			    "cannot map %s", c->what);
	status = save_contents(ctl, c->what, c->file, c->picture ? &c->fb : NULL, map, size);
	munmap(map, size);
	return status;
}

int cmd_capture_guest(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_close_ int fd = -1;
	struct capture c = { 0 };
	struct stat st;
	off_t size;
	int status;

	status = parse(ctl, argc, argv, &c);
	if (status == EXIT_OK)
		status = open_fd(ctl, c.what, O_RDONLY, &fd);
	if (status != EXIT_OK)
		return status;
	size = lseek(fd, 0, SEEK_END);
	if (size <= 0 || fstat(fd, &st) < 0)
		return fail(ctl, size < 0 ? -errno : 0, NULL, "%s has no contents", c.what);
	if (c.picture && !fits(&c.fb, (uint64_t)size))
		return fail(ctl, 0, "width, height, stride and format say how it lies there",
			    "%s does not hold such a picture", c.what);
	if (dmabuf_sync(fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ) < 0 && S_ISREG(st.st_mode))
		return save_file(ctl, &c, fd, (uint64_t)size);
	status = save_mapped(ctl, &c, fd, (uint64_t)size);
	dmabuf_sync(fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
	return status;
}
