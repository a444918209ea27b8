/* SPDX-License-Identifier: MIT */
/*
 * share: the contents of a file, until a host program took them.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/file.h"
#include "cli/hold.h"
#include "cli/png.h"
#include "cli/ppm.h"
#include "common/cleanup.h"

struct share {
	const char *file;
	bool raw; /* plain bytes, also if it is a picture */
	struct hold hold;
};

static int parse(struct ctl *ctl, int argc, char **argv, struct share *s)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		if (c == 'r')
			s->raw = true;
		else if (hold_option(ctl, c, &s->hold) != EXIT_OK)
			return EXIT_USAGE;
	}
	if (optind + 1 != argc)
		return usage(ctl, "wants one file, or - for standard input");
	s->file = argv[optind];
	if (s->hold.interactive && strcmp(s->file, "-") == 0)
		return usage(ctl, "standard input is either the contents or --interactive");
	return EXIT_OK;
}

static int fill_picture(struct bufshare_device *dev, const struct png_picture *p,
			struct bufshare_buffer **buf)
{
	_cleanup_(cleanup_buffer) struct bufshare_buffer *b = NULL;
	struct bufshare_framebuffer fb;
	void *map;
	uint32_t y;
	int r;

	r = bufshare_buffer_new_framebuffer(dev, p->width, p->height, p->format, &b);
	if (r == 0)
		r = bufshare_buffer_get_framebuffer(b, &fb);
	if (r == 0)
		r = bufshare_buffer_map(b, &map);
	if (r < 0)
		return r;
	for (y = 0; y < p->height; y++)
		memcpy((uint8_t *)map + (size_t)y * fb.stride, p->pixels + (size_t)y * p->width * 4,
		       (size_t)p->width * 4);
	*buf = steal_ptr(&b);
	return 0;
}

static int fill_bytes(struct bufshare_device *dev, const uint8_t *bytes, uint64_t size,
		      struct bufshare_buffer **buf)
{
	_cleanup_(cleanup_buffer) struct bufshare_buffer *b = NULL;
	char text[32];
	void *map;
	int r;

	r = bufshare_buffer_new(dev, size, &b);
	if (r == 0)
		r = bufshare_buffer_map(b, &map);
	if (r < 0)
		return r;
	memcpy(map, bytes, size);
	/* The buffer is whole pages; this is how much of it is the file. */
	snprintf(text, sizeof(text), "%" PRIu64, size);
	r = bufshare_buffer_set_property(b, "size", text);
	if (r < 0)
		return r;
	*buf = steal_ptr(&b);
	return 0;
}

/* A picture for people, but not for us: who shares one will want to know. */
static void note_other_picture(struct ctl *ctl, const struct share *s, const uint8_t *bytes,
			       uint64_t size)
{
	static const struct {
		const char *name, *begin;
	} kinds[] = {
		{ "JPEG", "\xff\xd8\xff" }, { "GIF", "GIF8" },
		{ "TIFF", "II*" },	     { "SVG", "<svg" }, { "JPEG XL", "\xff\x0a" },
		{ "PBM", "P1\n" },	     { "PGM", "P2\n" }, { "PPM of text", "P3\n" },
		{ "PBM", "P4\n" },	     { "PGM", "P5\n" }, { "PAM", "P7\n" },
	};
	size_t i;

	for (i = 0; !s->raw && i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].begin);

		if (size >= n && memcmp(bytes, kinds[i].begin, n) == 0)
			note(ctl, "%s looks like a %s, which is shared as plain bytes; "
				  "as a PNG or binary PPM it would be a picture", s->file, kinds[i].name);
	}
}

/* EXIT_OK, or it has said what is wrong; none: it is no picture. */
static int read_picture(struct ctl *ctl, const struct share *s, const uint8_t *bytes, uint64_t size,
			struct png_picture *picture, bool *none)
{
	const char *why = "";
	int r = 0;

	*none = false;
	if (!s->raw && png_is(bytes, size))
		r = png_read(bytes, size, picture, &why);
	else if (!s->raw && ppm_is(bytes, size))
		r = ppm_read(bytes, size, picture, &why);
	else
		*none = true;
	if (*none)
		note_other_picture(ctl, s, bytes, size);
	if (r == -EBADMSG)
		return fail(ctl, 0, "is the file damaged? With --raw it is shared as it is",
			    "cannot read the picture %s: %s", s->file, why);
	return r < 0 ? fail(ctl, r, NULL, "cannot read the picture %s", s->file) : EXIT_OK;
}

static int make_buffer(struct ctl *ctl, const struct share *s, struct bufshare_device *dev,
		       struct bufshare_buffer **buf)
{
	_cleanup_free_ uint8_t *bytes = NULL, *pixels = NULL;
	struct png_picture picture = { 0 };
	uint64_t size, limit = 1 << 30; /* where the driver does not tell */
	const char *hint = NULL;
	bool none;
	int r;

	bufshare_device_get_limit(dev, BUFSHARE_LIMIT_BUFFER_SIZE, &limit);
	signals_kill(true);
	r = read_whole_file(s->file, limit, &bytes, &size);
	signals_kill(false);
	if (r == -EFBIG)
		hint = "the device does not take buffers as large; see: bufsharectl -j devices";
	if (r < 0)
		return fail(ctl, r, hint, "cannot read %s", s->file);
	if (!size)
		return fail(ctl, 0, NULL, "%s is empty", s->file);
	r = read_picture(ctl, s, bytes, size, &picture, &none);
	pixels = picture.pixels;
	if (r != EXIT_OK)
		return r;
	r = none ? fill_bytes(dev, bytes, size, buf) : fill_picture(dev, &picture, buf);
	return r < 0 ? fail(ctl, r, NULL, "cannot make a buffer for %s", s->file) : EXIT_OK;
}

/* A title for people, unless one is among the properties. */
static void set_title(const struct share *s, struct bufshare_buffer *buf)
{
	_cleanup_free_ char *title = strdup(s->file);

	if (title && strcmp(title, "-") != 0)
		bufshare_buffer_set_property(buf, BUFSHARE_PROPERTY_TITLE, basename(title));
}

int cmd_share(struct ctl *ctl, int argc, char **argv)
{
	struct share s = { .hold.application = "bufsharectl.share" };
	_cleanup_(cleanup_device) struct bufshare_device *dev = NULL;
	_cleanup_(cleanup_buffer) struct bufshare_buffer *buf = NULL;
	int status;

	status = parse(ctl, argc, argv, &s);
	if (status == EXIT_OK)
		status = open_device(ctl, &dev);
	if (status == EXIT_OK)
		status = make_buffer(ctl, &s, dev, &buf);
	if (status != EXIT_OK)
		return status;
	set_title(&s, buf);
	return hold_buffer(ctl, &s.hold, dev, buf);
}
