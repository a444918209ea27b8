/* SPDX-License-Identifier: MIT */
/*
 * What the files of the device model have in common.
 */
#ifndef BUFSHARE_DAEMON_DEVICE_INTERNAL_H
#define BUFSHARE_DAEMON_DEVICE_INTERNAL_H

#include "host/daemon/device.h"

/* One buffer less, or the command itself, that RESET waits for; the last one answers it. */
void dev_reset_one_less(struct dev *dev);

int dev_insert(struct dev *dev, struct dev_buffer *buffer);
void dev_buffer_free(struct dev_buffer *buffer);
void dev_updated(struct dev_buffer *buffer, uint64_t seq, uint64_t time_ns,
		 const struct dev_damage *damage);

/*
 * Changes one side's properties, all or nothing. The limits hold for both sides together,
 * so that one message to a consumer has room for all. -ENOSPC, -ENOMEM.
 */
int dev_apply_properties(struct props *side, const struct props *other, const char *block,
			 size_t size);

/* The buffer is gone for everybody; an UNREGISTER waits for the answer unless token is NULL. */
void dev_remove(struct dev_buffer *buffer, uint32_t reason, void *token);

#endif /* BUFSHARE_DAEMON_DEVICE_INTERNAL_H */
