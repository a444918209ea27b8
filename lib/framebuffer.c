/* SPDX-License-Identifier: MIT */
/*
 * Buffers with pictures.
 */
#include <errno.h>

#include "common/framebuffer.h"
#include "lib/internal.h"

#define STRIDE_ALIGN 64

BUFSHARE_EXPORT int bufshare_buffer_new_framebuffer(struct bufshare_device *dev, uint32_t width,
						    uint32_t height, uint32_t format,
						    struct bufshare_buffer **buf)
{
	_cleanup_(buffer_unrefp) struct bufshare_buffer *b = NULL;
	struct bufshare_framebuffer fb;
	uint64_t size;
	int r;

	if (!dev || !buf)
		return -EINVAL;
	r = framebuffer_layout(width, height, format, STRIDE_ALIGN, &fb, &size);
	if (r == 0)
		r = bufshare_buffer_new(dev, size, &b);
	if (r == 0)
		r = bufshare_buffer_set_framebuffer(b, &fb);
	if (r < 0)
		return r;
	*buf = steal_ptr(&b);
	return 0;
}

BUFSHARE_EXPORT int bufshare_buffer_set_framebuffer(struct bufshare_buffer *buf,
						    const struct bufshare_framebuffer *fb)
{
	char block[FRAMEBUFFER_BLOCK_MAX];
	int r;

	if (!buf || !fb)
		return -EINVAL;
	r = framebuffer_check(fb, buf->size);
	return r < 0 ? r : buffer_set_block(buf, block, framebuffer_write(fb, &buf->props, block));
}

BUFSHARE_EXPORT int bufshare_buffer_get_framebuffer(struct bufshare_buffer *buf,
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
