/* SPDX-License-Identifier: MIT */
/*
 * What the files of the device model have in common.
 */
#ifndef BUFSHARE_DAEMON_DEVICE_INTERNAL_H
#define BUFSHARE_DAEMON_DEVICE_INTERNAL_H

#include "host/daemon/device.h"

/* One buffer less, or the command itself, that RESET waits for; the last one answers it. */
void dev_reset_one_less(struct dev *dev);

/* The guest is to be told something of the buffer. */
void dev_tell(struct dev_buffer *buffer);

/* The same of the host's properties. */
void dev_tell_properties(struct dev_buffer *buffer);

/* Nothing of what it was to be told. */
void dev_tell_nothing(struct dev_buffer *buffer);

/* A buffer of which UNREGISTER or RESET left pages with consumers; NULL: none of that id. */
struct dev_buffer *dev_find_kept(struct dev *dev, uint64_t id);

/*
 * Whether so many bytes can be registered beside what the guest has and what is kept; which
 * limit that reaches, else 0.
 */
uint32_t dev_size_limit(const struct dev *dev, uint64_t size, bool again);

/* The buffer is registered again: whoever has pages of what it was has pages of it. */
void dev_take_over(struct dev_buffer *buffer);

/* Goes on with the end of a buffer that has left, as far as consumers let go of it. */
void dev_check_dead(struct dev_buffer *buffer);

/* The buffer counts, and its id is taken. -ENOMEM. */
int dev_insert(struct dev *dev, struct dev_buffer *buffer);

void dev_take_out(struct dev_buffer *buffer);

/* A command of the guest that waits for the REGISTER before it; owns itself. */
struct dev_deferred {
	STAILQ_ENTRY(dev_deferred) link;
	void *token;
	size_t size;
	uint8_t request[];
};

/* The buffer is there, for everybody; answers its REGISTER. */
void dev_made(struct dev_buffer *buffer, void *token);

/* It will be; until then commands for it wait in their order. -ENOMEM. */
void dev_making(struct dev_buffer *buffer, void *token);
int dev_defer(struct dev_buffer *buffer, void *token, const void *request, size_t size);

/* It never will be; its commands are answered so. */
void dev_unmake(struct dev_buffer *buffer, uint32_t status, uint32_t detail);

void dev_buffer_free(struct dev_buffer *buffer);
void dev_updated(struct dev_buffer *buffer, uint64_t seq, uint64_t time_ns,
		 const struct dev_damage *damage);

/* Its damage meant something else before, so that all of it is to be copied. */
void dev_copy_all(struct dev_buffer *buffer);

/* Nobody holds, or is to be given, an update of it any more. */
void dev_end_cycle(struct dev_buffer *buffer);

/*
 * Changes one side's properties, all or nothing. The limits hold for both sides together,
 * so that one message to a consumer has room for all. -ENOSPC: *limit is reached; -ENOMEM.
 */
int dev_apply_properties(const struct dev *dev, struct props *side, const struct props *other,
			 const char *block, size_t size, uint32_t *limit);

/* Whether so many properties of so many bytes are too many; which limit that is, else 0. */
uint32_t dev_properties_limit(const struct dev *dev, size_t n, size_t size);

/* The buffer is gone for everybody; an UNREGISTER waits for the answer unless token is NULL. */
void dev_remove(struct dev_buffer *buffer, uint32_t reason, void *token);

/* ---- device-saved.c ---- */

struct dev_saved_slot {
	uint64_t epoch;
	uint64_t generation;
	uint32_t size;
	char block[PROPS_BLOCK_MAX];
};

/* Keeps the host's properties as they are now. */
void dev_save(struct dev_buffer *buffer);

/* Of this buffer, which the guest unregistered; of all, as there is a new epoch. */
void dev_forget(struct dev_buffer *buffer);
void dev_forget_all(struct dev *dev);

/* Gives a buffer that is registered again what was kept. */
void dev_restore(struct dev_buffer *buffer);

#endif /* BUFSHARE_DAEMON_DEVICE_INTERNAL_H */
