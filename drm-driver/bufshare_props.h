/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Labels and property blocks. Depends on nothing of the kernel but types and strings, so
 * that it can be tested in user space.
 */
#ifndef BUFSHARE_PROPS_H
#define BUFSHARE_PROPS_H

#include <linux/types.h>
#include <linux/virtio_bufshare.h>

#define BUFSHARE_PROPS_REMOVALS	(1U << 0) /* "name" without "=" is allowed */
#define BUFSHARE_PROPS_GUEST	(1U << 1) /* names of the guest are allowed */
#define BUFSHARE_PROPS_HOST	(1U << 2) /* names of the host are allowed */

/* Room in which any checked block can be applied to any other. */
#define BUFSHARE_PROPS_ROOM	(2 * VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE)

bool bufshare_label_valid(const char *field, size_t size);
int bufshare_props_check(const char *block, size_t size, unsigned int flags);
size_t bufshare_props_apply(char *block, size_t size, const char *changes, size_t changes_size);
unsigned int bufshare_props_count(const char *block, size_t size);

#endif /* BUFSHARE_PROPS_H */
