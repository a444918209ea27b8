/* SPDX-License-Identifier: MIT */
/*
 * The back end of the vhost-user protocol over one connected socket: what makes a program
 * the device of a virtual machine.
 *
 * The front end (the VMM) is trusted with its guest's memory and with its own life: it
 * stops when it does not get an answer, and QEMU ends when the connection does. It is not
 * trusted with ours: every message is checked.
 *
 * - A malformed message closes the connection: a header that is not one, a payload of the
 *   wrong size, the wrong number of descriptors. No message behind it could be trusted.
 * - A message that is well-formed but can not be done (no such queue, an address outside of
 *   memory, a feature that was not offered) changes nothing. It is logged and, if the front
 *   end asked for an acknowledgement, refused with a non-zero one.
 * - A request that is not known is refused in the same way, its descriptors are closed.
 *
 * The device is started while all its queues are set up and enabled, and stopped as soon as
 * one of them is not. Nothing is ever sent on the back-end channel.
 */
#ifndef BUFSHARE_DAEMON_VHOST_USER_H
#define BUFSHARE_DAEMON_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/daemon/loop.h"
#include "host/daemon/memory.h"
#include "host/daemon/virtqueue.h"

#define VU_MAX_QUEUES		8
#define VU_MAX_CONFIG_SIZE	256	/* of the protocol */

struct vu;

/*
 * What the queues say of the driver when the device starts. A paused VM and a guest that
 * reset the device look the same on the wire until then, and not always different then:
 * the driver's INIT is what counts.
 */
enum vu_start {
	VU_START_FRESH,		/* the driver begins anew: whatever it had registered is void */
	VU_START_RESUMED,	/* the driver never noticed: everything is as it was */
	VU_START_UNKNOWN,	/* one of the two: wait whether the driver says INIT or goes on */
	VU_START_RESTARTED,	/* the driver never noticed that another process served it so far */
};

/* What the device is told. Every function must be there, none may free the back end but closed. */
struct vu_ops {
	/* The device runs; how: enum vu_start. queue_kick for every queue follows. */
	void (*started)(void *data, int how);

	/* It does not any more: nothing of the guest's may be written. Buffers stay readable. */
	void (*stopped)(void *data);

	/* The driver made something available, or may have: pop until -EAGAIN. */
	void (*queue_kick)(void *data, unsigned int index);

	/* Regions came or went (memory.h); also before the first start. */
	void (*memory_changed)(void *data);

	/*
	 * The connection is gone, stopped came before. reason: 0: the front end closed it;
	 * -EPROTO: malformed message; else why it can not be used. The memory and the
	 * queues stay until vu_free(), which may be called from here.
	 */
	void (*closed)(void *data, int reason);
};

/*
 * What of the device outlives the process that serves it: all zero for a new front end. That
 * process may have left anything, and a bool can not have any value, so there is none.
 */
struct vu_state {
	uint8_t running; /* started, and not stopped since */
	uint8_t was_started;
	struct {
		uint16_t stopped_base;
		uint8_t base_set; /* since it stopped */
	} queues[VU_MAX_QUEUES];
	struct vq_state vqs[VU_MAX_QUEUES];
};

/*
 * What whoever relays messages has to remember of one, so that it can tell the next process
 * what this one knew: all that were kept, sorted by key, are as good as all there ever were.
 */
struct vu_note {
	uint32_t keep; /* the message, under this key, instead of what had it; 0: not */
	uint32_t forget_first, forget_last; /* first, what has these keys; 0: nothing */
};

/* What kind of device it is. Copied, except for what it points to. */
struct vu_config {
	unsigned int num_queues;	/* 1 to VU_MAX_QUEUES */
	uint64_t features;		/* of the device; those of the transport are added */
	const void *config;		/* the config space; constant, must outlive the back end */
	size_t config_size;		/* up to VU_MAX_CONFIG_SIZE; zeros follow it */
	const struct vu_ops *ops;
	void *data;			/* for the ops */
	struct vu_state *state;		/* NULL: its own */
};

/* Serves the connected socket, which becomes the back end's on success. Calls nothing yet. */
int vu_new(struct loop *loop, int sock, const struct vu_config *config, struct vu **vu);

/* The same without a socket: messages come by vu_feed(). */
int vu_new_fed(struct loop *loop, const struct vu_config *config, struct vu **vu);

/*
 * One message, with its header; the descriptors become the back end's. Returns the size of
 * the reply for the front end (0: there is none), and what to remember of the message. An
 * error ends the connection: vu_close().
 */
ssize_t vu_feed(struct vu *vu, const void *message, size_t size, const int *fds, size_t num_fds,
		void *reply, struct vu_note *note);
#define VU_MAX_REPLY 512

/* Starts the device if it is ready: to be called behind vu_feed(), when the reply is out. */
void vu_start_if_ready(struct vu *vu);

/* The front end is gone: calls stopped and closed. reason as in the ops. */
void vu_close(struct vu *vu, int reason);

/* Closes the connection; calls nothing. NULL is fine. Returns NULL. */
struct vu *vu_free(struct vu *vu);

/* For the device: its queues (index < num_queues), its guest's memory. */
struct vq *vu_queue(struct vu *vu, unsigned int index);
struct memory *vu_memory(struct vu *vu);

bool vu_is_started(const struct vu *vu);

/* The features that the front end accepted; zero before. */
uint64_t vu_features(const struct vu *vu);

#endif /* BUFSHARE_DAEMON_VHOST_USER_H */
