/* SPDX-License-Identifier: MIT */
/*
 * How a picture lies in a buffer. The guest says it in properties, as text, and may
 * say anything.
 */
#include <errno.h>

#include "common/framebuffer.h"
#include "host/lib/internal.h"

BUFSHARE_EXPORT int bufshare_host_buffer_get_framebuffer(const struct bufshare_host_buffer *buf,
							 struct bufshare_framebuffer *fb)
{
	struct bufshare_framebuffer f;
	int r;

	if (!buf || !fb)
		return -EINVAL;
	r = framebuffer_read(&buf->props, &f);
	if (r == 0)
		r = framebuffer_check(&f, buf->size);
	if (r == 0)
		*fb = f;
	return r;
}
