// SPDX-License-Identifier: GPL-2.0 OR MIT
#include <asm/byteorder.h>
#include <linux/string.h>
#include <linux/types.h>

#include "bufshare_damage.h"

/**
 * bufshare_damage_valid - check rectangles
 * @rects: the rectangles
 * @count: how many
 *
 * Each is of some size, and its far edges are numbers.
 */
bool bufshare_damage_valid(const struct virtio_bufshare_rect *rects, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		__u32 width = __le32_to_cpu(rects[i].width);
		__u32 height = __le32_to_cpu(rects[i].height);

		if (!width || width > ~__le32_to_cpu(rects[i].x))
			return false;
		if (!height || height > ~__le32_to_cpu(rects[i].y))
			return false;
	}
	return true;
}

/* Makes @a cover @b too. */
static void cover(struct virtio_bufshare_rect *a, const struct virtio_bufshare_rect *b)
{
	__u32 ax = __le32_to_cpu(a->x), bx = __le32_to_cpu(b->x);
	__u32 ay = __le32_to_cpu(a->y), by = __le32_to_cpu(b->y);
	__u32 a_right = ax + __le32_to_cpu(a->width), b_right = bx + __le32_to_cpu(b->width);
	__u32 a_bottom = ay + __le32_to_cpu(a->height), b_bottom = by + __le32_to_cpu(b->height);
	__u32 x = ax < bx ? ax : bx;
	__u32 y = ay < by ? ay : by;

	a->x = __cpu_to_le32(x);
	a->y = __cpu_to_le32(y);
	a->width = __cpu_to_le32((a_right > b_right ? a_right : b_right) - x);
	a->height = __cpu_to_le32((a_bottom > b_bottom ? a_bottom : b_bottom) - y);
}

/**
 * bufshare_damage_merge - add the damage of an update to that of another
 * @rects: valid, with room for @max
 * @count: how many; zero is everything
 * @more: valid
 * @more_count: how many; zero is everything
 * @max: not zero
 *
 * Return: the number of @rects now; zero is everything. Where @max does not suffice, it is
 * the one rectangle that covers all.
 */
unsigned int bufshare_damage_merge(struct virtio_bufshare_rect *rects, unsigned int count,
				   const struct virtio_bufshare_rect *more,
				   unsigned int more_count, unsigned int max)
{
	unsigned int i;

	if (!count || !more_count)
		return 0;
	if (count + more_count <= max) {
		memcpy(rects + count, more, more_count * sizeof(*more));
		return count + more_count;
	}
	for (i = 1; i < count; i++)
		cover(&rects[0], &rects[i]);
	for (i = 0; i < more_count; i++)
		cover(&rects[0], &more[i]);
	return 1;
}
