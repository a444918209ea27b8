/* SPDX-License-Identifier: MIT */
#ifndef COMMON_DMABUF_H
#define COMMON_DMABUF_H

#include <stdbool.h>
#include <stdint.h>

bool dmabuf_is(int fd);

/* DMA_BUF_IOCTL_SYNC */
int dmabuf_sync(int fd, uint64_t flags);

#endif /* COMMON_DMABUF_H */
