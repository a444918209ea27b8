/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "cli/contents.h"
#include "cli/file.h"
#include "cli/png.h"

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static int write_raw(const char *path, const void *map, uint64_t size)
{
	struct new_file file;
	int r;

	r = new_file_begin(&file, path);
	if (r < 0)
		return r;
	errno = 0;
	if (fwrite(map, 1, size, file.stream) != size)
		new_file_fail(&file, errno ? -errno : -EIO);
	return new_file_finish(&file);
}

int save_contents(struct ctl *ctl, const char *what, const char *file,
		  const struct bufshare_framebuffer *fb, const void *map, uint64_t size)
{
	const bool png = ends_with(file, ".png");
	int r;

	if (png && !fb)
		return fail(ctl, 0, "save it as FILE.raw instead", "%s is not a picture", what);
	if (png && (!png_format_known(fb->format) || fb->modifier))
		return fail(ctl, 0, "save it as FILE.raw instead", "PNG cannot hold the format %.4s",
			    (const char *)&fb->format);
	signals_kill(strcmp(file, "-") == 0); /* nothing is left of that */
	r = png ? png_write_file(file, fb, (const uint8_t *)map + fb->offset) :
		  write_raw(file, map, size);
	signals_kill(false);
	if (r < 0)
		return fail(ctl, r, r == -ENOSPC ? "nothing was left behind" : NULL,
			    "cannot write %s", file);
	return EXIT_OK;
}
