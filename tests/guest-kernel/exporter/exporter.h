/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the test module of the exporters and the suite that uses it have in common. */
#ifndef TESTS_GUEST_KERNEL_EXPORTER_H
#define TESTS_GUEST_KERNEL_EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define EXPORTER_NODE "/dev/bufshare-exporter"
#define EXPORTER_PAGES 4

/* dma-bufs of EXPORTER_PAGES pages, each but the first wrong in one way. */
enum exporter_kind {
	EXPORTER_MEMORY, /* adjacent pages, each in a piece of its own */
	EXPORTER_DEVICE, /* no RAM */
	EXPORTER_DEVICE_AT_END, /* no RAM in the last piece */
	EXPORTER_ADDRESS_OFF, /* the last piece begins in the middle of a page */
	EXPORTER_SIZE_OFF, /* the last piece ends in the middle of a page */
	EXPORTER_EMPTY_PIECE,
	EXPORTER_SHORT, /* a page is missing */
	EXPORTER_LONG, /* a page too many */
	EXPORTER_TWICE, /* the last page is the first */
	EXPORTER_ATTACH_FAILS, /* with -EBUSY */
	EXPORTER_MAP_FAILS, /* with -EIO */
	EXPORTER_SCATTERED, /* of any pages of RAM, as many as asked for, no two adjacent */
	EXPORTER_NUM_KINDS,
};

struct exporter_make {
	__u32 kind;
	__s32 fd;
	__u32 pages; /* of EXPORTER_SCATTERED */
};

/* How many dma-bufs there are, and how often they are attached to. */
struct exporter_count {
	__u32 buffers;
	__u32 attachments;
};

#define EXPORTER_IOCTL_MAKE _IOWR('B', 0, struct exporter_make)
#define EXPORTER_IOCTL_COUNT _IOR('B', 1, struct exporter_count)

#endif /* TESTS_GUEST_KERNEL_EXPORTER_H */
