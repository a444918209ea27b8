/* SPDX-License-Identifier: MIT */
/*
 * The device: what the guest registered, who sees it, and what either side is still to be
 * told. Pure: commands come in as bytes, everything else goes through ops, so that tests
 * and fuzzers can drive it. Nothing in here queues without bound: updates and events are
 * state, of which the newest counts.
 */
#ifndef BUFSHARE_DAEMON_DEVICE_H
#define BUFSHARE_DAEMON_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <linux/virtio_bufshare.h>

#include "common/props.h"

struct dev;
struct export;

struct dev_range {
	uint64_t addr;
	uint64_t size;
};

struct dev_rect {
	uint32_t x, y, width, height;
};

/* What changed; no rectangle at all while nothing did. */
struct dev_damage {
	bool all;
	unsigned int n;
	struct dev_rect v[VIRTIO_BUFSHARE_MAX_DAMAGE];
};

struct dev_update {
	uint64_t seq;
	uint64_t time_ns, host_time_ns;
};

/* Updates that a copy is still to be given. */
struct dev_batch {
	bool wanted;
	uint64_t first; /* seq, 0: no update, somebody just needs the contents */
	uint64_t merged; /* updates */
	bool seen; /* by somebody who needs no copy */
	struct dev_damage damage;
};

/*
 * The copy of a buffer. While it is brought up to date nothing of the buffer is released,
 * so that a guest which keeps to the rules does not write what is being read.
 */
struct dev_copy {
	bool valid; /* its contents are those of an update, and what came later is in next */
	bool busy; /* now is being copied, up to upto */
	struct dev_update contents, upto;
	struct dev_batch now, next;
	uint32_t flags; /* of releases that wait */
};

/*
 * One buffer as one consumer sees it. The guest waits for it while it holds an update, or is
 * still to be given one; unless it held one for too long (late), then for that no longer.
 */
struct dev_slot {
	LIST_ENTRY(dev_slot) link; /* dev_buffer.slots */
	TAILQ_ENTRY(dev_slot) waiting_link; /* dev.waiting */
	struct dev_buffer *buffer;
	void *consumer;
	bool mapped; /* it may have the pages, or the copy, and did not say CLOSED */
	bool former; /* of the same pages when they were registered before */
	bool copied; /* it gets a copy instead */
	bool filling; /* which is not valid yet: there is nothing to show */
	bool hidden; /* out of sight for this consumer; all that counts is mapped */
	bool late; /* the guest does not wait until it is given an update again */
	bool waiting; /* the guest waits */
	uint64_t since_ns; /* it waits, for the same thing */
	uint64_t held; /* seq it was given and has not released, 0: none */
	uint64_t revoked_seq; /* taken from it, and it has not said RELEASE, 0: none */
	uint64_t pending; /* the first seq it was not given, 0: it has the newest */
	uint64_t merged; /* updates behind pending */
	struct dev_damage damage; /* of what is pending */
	uint64_t delivered, released, coalesced, revoked, held_ns; /* counters */
};

struct dev_buffer {
	TAILQ_ENTRY(dev_buffer) link; /* dev.buffers, .making, .lost, .dying or .kept */
	TAILQ_ENTRY(dev_buffer) event_link; /* dev.eventful */
	LIST_ENTRY(dev_buffer) id_link; /* dev.buckets */
	LIST_HEAD(, dev_slot) slots;
	struct dev *dev;
	uint64_t id;
	uint64_t size;
	struct dev_range *ranges;
	uint32_t num_ranges;
	bool again; /* known from before a restart */
	char application[VIRTIO_BUFSHARE_APPLICATION_SIZE];
	uint8_t uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	struct props guest, host;

	struct export *export;
	bool dropped; /* the export, of a lost buffer */
	uint32_t path; /* enum virtio_bufshare_path, the best there is */
	uint32_t why; /* enum bufshare_ipc_why: it is no better */
	uint32_t copies; /* slots that get a copy */
	struct dev_copy copy;

	struct dev_update newest;
	uint64_t released; /* every update up to it is */
	uint32_t consumers; /* that see it */
	uint64_t updates, bytes_copied;

	/* What the guest is still to be told. */
	bool eventful;
	bool tell_released, tell_consumers, tell_properties, tell_lost, tell_unmapped;
	uint32_t released_flags;
	uint64_t properties_generation;
	uint32_t lost_reason;
	uint32_t saved; /* number of the slot with the host's properties, 0: none */

	/* Its REGISTER is not answered; commands that came behind it wait. */
	bool making;
	STAILQ_HEAD(dev_deferred_list, dev_deferred) deferred;

	/* Consumers do not see it any more; UNREGISTER waits for them to let go of the pages. */
	bool dying, detaching, still_mapped;
	bool lost; /* it waits for its UNREGISTER */
	bool by_reset; /* RESET waits for it */
	bool answered; /* what is left is that consumers have something of it */
	bool remembered; /* namely pages: UNREGISTER is answered once more */
	bool asked; /* it was, so EVENT_UNMAPPED follows */
	bool counted; /* in dev.kept_size */
	void *token; /* NULL: nobody waits for an answer */
	unsigned int ticks;
};

/* Instead of a status: there is none yet. */
#define DEV_LATER UINT32_MAX

struct dev_ops {
	/* The answer to a command; the token is not used afterwards. */
	void (*complete)(void *data, void *token, const void *response, size_t size);

	/* There is something for dev_next_event(). */
	void (*events)(void *data);

	/*
	 * Makes a buffer reachable: sets its export, path and why. 0, or a status of
	 * virtio_bufshare.h with its detail; or DEV_LATER, and dev_exported() follows unless
	 * the export is dropped.
	 */
	uint32_t (*export_buffer)(void *data, struct dev_buffer *buffer, uint32_t *detail);
	void (*drop_export)(void *data, struct dev_buffer *buffer);

	/*
	 * Brings the copy up to date. -EFAULT: the buffer's memory is gone; -EINPROGRESS:
	 * dev_copied() follows unless the export is dropped.
	 */
	int (*refresh)(void *data, struct dev_buffer *buffer, const struct dev_damage *damage);

	/* There is something to show to the slot's consumer from now on. */
	void (*filled)(void *data, struct dev_slot *slot);

	/* For the consumers: attach those that are to see it; tell those that do. */
	void (*added)(void *data, struct dev_buffer *buffer);
	void (*removed)(void *data, struct dev_buffer *buffer, uint32_t reason);
	void (*properties)(void *data, struct dev_buffer *buffer, const char *block, size_t size);

	/* Hands the pending update to the slot's consumer. -EAGAIN: no room now. */
	int (*deliver)(void *data, struct dev_slot *slot, uint64_t seq);

	/* An update was taken from the slot's consumer: it held it too long. */
	void (*revoked)(void *data, struct dev_slot *slot, uint64_t seq);

	/* The slot is freed next. */
	void (*detached)(void *data, struct dev_slot *slot);

	/* A new epoch: what was there is void; first: nothing was. */
	void (*reset)(void *data, bool first);

	uint64_t (*now_ns)(void *data);
	void (*random)(void *data, void *buf, size_t size);

	/* 16 bytes nobody can foresee, the same for the same input. */
	void (*uuid)(void *data, uint64_t epoch, uint64_t id, uint8_t uuid[16]);
};

struct dev_saved_slot;

/* Where the host's properties are that outlive this process; n 0: nowhere. */
struct dev_saved {
	uint32_t n, next;
	_Atomic uint64_t *ids; /* of the buffers, 0: free */
	struct dev_saved_slot *slots;
};

struct dev_limits {
	uint32_t max_buffers;
	uint64_t max_buffer_size;
	uint64_t max_total_size;
	uint32_t max_ranges; /* once adjacent ones are merged */
	uint32_t max_properties, max_properties_size; /* of both sides; 0: the interface's */
	char application[VIRTIO_BUFSHARE_APPLICATION_SIZE]; /* the only one it takes; empty: any */
};

struct dev {
	const struct dev_ops *ops;
	void *data;
	struct dev_limits limits;
	uint64_t offered_caps; /* of the config space */
	uint64_t caps; /* in force since INIT */
	uint64_t epoch; /* 0: the driver has not said INIT */
	uint64_t last_epoch; /* that was in force last, and can be resumed; 0: none */
	struct dev_saved saved;
	LIST_HEAD(dev_bucket, dev_buffer) *buckets; /* buffers by id; NULL: there are none */
	unsigned int bucket_bits; /* of their number */
	uint64_t bucket_key; /* that nobody can foresee: the guest chooses the ids */
	TAILQ_HEAD(dev_buffers, dev_buffer) buffers;
	struct dev_buffers making;
	struct dev_buffers lost; /* of which the guest keeps the id */
	struct dev_buffers dying; /* whose UNREGISTER is not answered */
	struct dev_buffers kept; /* of which consumers still have something */
	TAILQ_HEAD(, dev_buffer) eventful;
	TAILQ_HEAD(, dev_slot) waiting; /* that the guest waits for, the longest first */
	bool tell_restarted; /* the guest, until it says INIT */
	uint32_t num_buffers; /* that the guest has */
	uint32_t num_kept;
	uint64_t total_size, kept_size; /* of these; of the latter what the host pays for */
	uint64_t bytes_copied; /* since the start, of all buffers that ever were */
	void *reset_token; /* of a RESET that waits, NULL: none */
	unsigned int reset_left; /* buffers it waits for */
};

void dev_init(struct dev *dev, const struct dev_ops *ops, void *data,
	      const struct dev_limits *limits, uint64_t caps);

/*
 * Room for the host's properties of n buffers: one more than max_buffers. All zero, or what
 * another process left. It stays the caller's.
 */
size_t dev_saved_size(uint32_t n);
uint32_t dev_saved_count(size_t size); /* the other way round */
void dev_saved_init(struct dev_saved *saved, void *area, uint32_t n);

/*
 * Drops everything but the epoch that can be resumed, and what consumers still have of
 * buffers; deferred answers are given.
 */
void dev_void(struct dev *dev);

/* The same with all of that, and every slot. */
void dev_clear(struct dev *dev);

/* A command of the control queue, copied out of the guest's memory. */
void dev_command(struct dev *dev, void *token, const void *request, size_t size);

/* The largest command there is. */
size_t dev_max_command(void);

/*
 * Another process was the device and ended without a word: the epoch was in force and can
 * be resumed, nothing is registered. The guest is told so.
 */
void dev_restarted(struct dev *dev, uint64_t epoch);

bool dev_has_event(const struct dev *dev);

/* Takes the next thing to tell the guest. False: nothing. */
bool dev_next_event(struct dev *dev, struct virtio_bufshare_event *event);

/* Once a second: lets UNREGISTERs that waited too long go. */
void dev_tick(struct dev *dev);

/*
 * The device can not go on with the buffer: it is taken from the consumers, the guest is
 * told, and nothing but UNREGISTER works with it any more. It leaves dev.buffers.
 */
void dev_lost(struct dev_buffer *buffer, uint32_t reason);

/* What came of an export, and of a copy, that took longer. */
void dev_exported(struct dev_buffer *buffer, uint32_t status, uint32_t detail);
void dev_copied(struct dev_buffer *buffer, int r);

/* What consumers still have is of another epoch, whose buffers nobody asks for. */
void dev_forget_kept(struct dev *dev);

/* Lost buffers too, and those that are being made. */
struct dev_buffer *dev_find(struct dev *dev, uint64_t id);

/* ---- the consumers' side ---- */

/*
 * The consumer sees the buffer from now on, or (filling) when ops->filled() says so; it
 * holds nothing. copied: it gets a copy, and none of the guest's pages. NULL: no memory.
 */
struct dev_slot *dev_attach(struct dev_buffer *buffer, void *consumer, bool copied);

/* The newest update that the slot's consumer can see, or that there is in its copy. */
const struct dev_update *dev_slot_update(const struct dev_slot *slot);

/* The consumer has nothing to do with the buffer any more; gone: it ended. Frees the slot. */
void dev_detach(struct dev_slot *slot, bool gone);

/*
 * The buffer goes out of this consumer's sight, which may still have something of it; and
 * comes back, as if attached again.
 */
void dev_hide(struct dev_slot *slot);
void dev_show(struct dev_slot *slot);

/*
 * The consumer gives an update back, or answers that one was taken from it. What it
 * neither holds nor held is ignored.
 */
void dev_release(struct dev_slot *slot, uint64_t seq);

/* There is room again: delivers what is pending. */
void dev_flush(struct dev_slot *slot);

/*
 * The guest no longer waits for what it has waited for since before_ns, or longer. Returns
 * since when it waits for the next, 0: for nothing.
 */
uint64_t dev_take_back(struct dev *dev, uint64_t before_ns);

/* Properties of the host side, a checked block. -EOPNOTSUPP: not in force; -ENOSPC, -ENOMEM. */
int dev_set_host_properties(struct dev_buffer *buffer, const char *block, size_t size);

void dev_damage_add(struct dev_damage *to, const struct dev_damage *damage);

#endif /* BUFSHARE_DAEMON_DEVICE_H */
