/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The damage of updates. Like bufshare_props.h, testable in user space. */
#ifndef BUFSHARE_DAMAGE_H
#define BUFSHARE_DAMAGE_H

#include <linux/types.h>
#include <linux/virtio_bufshare.h>

bool bufshare_damage_valid(const struct virtio_bufshare_rect *rects, unsigned int count);
unsigned int bufshare_damage_merge(struct virtio_bufshare_rect *rects, unsigned int count,
				   const struct virtio_bufshare_rect *more,
				   unsigned int more_count, unsigned int max);

#endif /* BUFSHARE_DAMAGE_H */
