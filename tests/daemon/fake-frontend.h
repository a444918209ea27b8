/* SPDX-License-Identifier: MIT */
/*
 * A VMM with a guest, for tests: a vhost-user front end that says what QEMU says, in its
 * order, and a driver with real rings in real (memfd) memory.
 *
 * It lives in the same thread as the back end it talks to: wherever it has to wait it calls
 * pump, which should run the back end's loop once. What should not happen fails the test.
 */
#ifndef TESTS_DAEMON_FAKE_FRONTEND_H
#define TESTS_DAEMON_FAKE_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "host/daemon/vhost-user-proto.h"

/*
 * Guest memory: two regions of one sealed memfd with a hole between their guest-physical
 * addresses, as on a PC, but none in the file. Address in the guest, address in the front
 * end and offset in the file all differ.
 */
#define FF_RAM_SIZE	(64ULL << 20)
#define FF_BEYOND_SIZE	0x800ULL /* at the file's end, in a page with memory but not memory */
#define FF_LOW_GPA	0ULL
#define FF_LOW_SIZE	0xc0000ULL
#define FF_LOW_UVA	0x7f1200000000ULL
#define FF_HIGH_GPA	0x100000ULL
#define FF_HIGH_SIZE	(FF_RAM_SIZE - FF_LOW_SIZE - FF_BEYOND_SIZE)
#define FF_HIGH_UVA	0x7f3400000000ULL

#define FF_MAX_QUEUES	3
#define FF_QUEUE_SIZE	128

/* More than the protocol allows, for messages that are wrong. */
#define FF_MAX_FDS	16
#define FF_MAX_PAYLOAD	8192

/* How long anything may take before the test fails. */
#define FF_TIMEOUT_MS	10000

#define FF_UNWRITTEN	0xee

struct ff_token {
	bool in_flight;
	bool used;		/* the device gave it back */
	uint32_t written;	/* bytes that it says it wrote */
	uint64_t order;		/* of being used */
	uint64_t in_gpa;
	uint32_t in_size;
	uint16_t descs[3];
	unsigned int num_descs;
};

/* One queue as the driver has it. Hostile tests write into the rings themselves. */
struct ff_queue {
	struct vring ring;	/* in guest memory */
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;
	uint16_t base;		/* what the back end answered when it was stopped */
	uint16_t avail_idx;	/* how many chains were made available */
	uint16_t kicked_idx;	/* how many of them the device was told of */
	uint16_t used_idx;	/* how many came back */
	uint64_t num_used;
	int kick;		/* eventfds, the call a socket with use_call_pipe */
	int call;
	int err;
	bool desc_busy[FF_QUEUE_SIZE];
	struct ff_token tokens[FF_QUEUE_SIZE]; /* by first descriptor */
	uint64_t slots;		/* gpa of a small request and answer for each descriptor */
};

struct ff {
	int sock;
	int (*pump)(void *data);
	void *data;

	/* What it accepts of what is offered: to be changed before ff_connect(). */
	uint64_t features_mask;
	uint64_t protocol_mask;
	bool use_call_pipe;	/* calls come through a socket, as under User Mode Linux */
	unsigned int num_queues; /* 2 */

	uint64_t features;	/* accepted */
	uint64_t protocol;
	bool connected;
	bool running;
	bool memory_known;	/* to the back end */

	uint64_t replies;	/* that came */

	int ram_fd;
	uint8_t *ram;
	uint64_t next_low;	/* of the allocators */
	uint64_t next_high;
	int backend;		/* our end of the back-end channel */
	struct ff_queue queues[FF_MAX_QUEUES];
};

/*
 * A front end on a connected socket, which becomes its own. pump is called with data
 * while it waits; it returns a negative value when waiting is in vain.
 */
struct ff *ff_new(int sock, int (*pump)(void *data), void *data);

/* The VMM exits: closes everything. Always returns NULL. */
struct ff *ff_free(struct ff *ff);

/*
 * The guest: memory.
 */

/* Page-aligned, zeroed guest memory above the hole; never given back. */
uint64_t ff_alloc(struct ff *ff, size_t size);

/* The same below the hole: adjacent to nothing that ff_alloc() gives. */
uint64_t ff_alloc_low(struct ff *ff, size_t size);

/* Where guest memory is in this process; fails the test if it is no memory. */
void *ff_ptr(struct ff *ff, uint64_t gpa, size_t size);

/* Its address in the front end. */
uint64_t ff_uva(uint64_t gpa);

/* The bytes right behind the guest's memory: whoever reads them went too far. */
void *ff_beyond(struct ff *ff);

/* The two regions as messages describe them. */
void ff_regions(struct vhost_user_region regions[2]);

/*
 * The VM: life cycle. Each returns when the back end has acknowledged.
 */

/* The VMM starts: features, config space, backend channel, call descriptors. */
void ff_connect(struct ff *ff);

/* The driver is ready (connects first if need be): memory, rings from their beginning, enable. */
void ff_start(struct ff *ff);

/* The VM is paused, or the guest resets the device: the same messages. */
void ff_stop(struct ff *ff);

/* The VM goes on after ff_stop() where it was. */
void ff_resume(struct ff *ff);

/* The guest reset the device and its driver started again: ff_stop(), new rings, ff_start(). */
void ff_reset(struct ff *ff);

/* Disables or enables a queue; no more than that. */
void ff_enable(struct ff *ff, unsigned int queue, bool enable);

/* Reads size bytes of the config space at offset, as one message. */
void ff_get_config(struct ff *ff, uint32_t offset, void *buf, uint32_t size);

/*
 * The driver: requests. A token names a request in flight of its queue.
 */

/*
 * Makes a request available and kicks: a copy of out_size bytes (may be 0) and room for
 * in_size bytes of answer (may be 0). The out part is cut into two descriptors. The room
 * is filled with FF_UNWRITTEN.
 */
unsigned int ff_send(struct ff *ff, unsigned int queue, const void *out, size_t out_size,
		     size_t in_size);

/* The same in one indirect descriptor. */
unsigned int ff_send_indirect(struct ff *ff, unsigned int queue, const void *out, size_t out_size,
			      size_t in_size);

/* The same as ff_send() with no kick. ff_kick() tells the device of all that were added. */
unsigned int ff_add(struct ff *ff, unsigned int queue, const void *out, size_t out_size,
		    size_t in_size);
void ff_kick(struct ff *ff, unsigned int queue);

/*
 * Pumps until the request is used. Copies up to size bytes of the answer, returns how many
 * bytes the device wrote. The token is free then.
 */
uint32_t ff_wait(struct ff *ff, unsigned int queue, unsigned int token, void *buf, size_t size);

/* Whether the request is used; does not pump. */
bool ff_is_used(struct ff *ff, unsigned int queue, unsigned int token);

/* ff_send() on queue 0 and ff_wait(): one command. */
uint32_t ff_command(struct ff *ff, const void *out, size_t out_size, void *in, size_t in_size);

/* How many calls came since the last time this was asked. */
uint64_t ff_calls(struct ff *ff, unsigned int queue);

/*
 * The driver: a queue on which the device speaks (tokens of it are not for the caller).
 */

/* Makes count buffers of size bytes each available and kicks. */
void ff_add_event_buffers(struct ff *ff, unsigned int queue, unsigned int count, size_t size);

/*
 * Pumps until an event is there, copies up to size bytes, makes its buffer available
 * again and kicks. Returns how many bytes the device wrote.
 */
uint32_t ff_wait_event(struct ff *ff, unsigned int queue, void *buf, size_t size);

/* The same if an event is there already, or comes within a few pumps; else false. */
bool ff_poll_event(struct ff *ff, unsigned int queue, void *buf, size_t size);

/*
 * Raw messages.
 */

/* Sends bytes as they are, all at once, with fds. Pumps while the socket is full. */
void ff_send_raw(struct ff *ff, const void *bytes, size_t size, const int *fds, size_t num_fds);

/* Sends one message; flags (VHOST_USER_NEED_REPLY) go besides the version. */
void ff_message(struct ff *ff, uint32_t request, uint32_t flags, const void *payload,
		uint32_t size, const int *fds, size_t num_fds);

/* Pumps until the reply to request is there; its payload must have exactly size bytes. */
void ff_reply(struct ff *ff, uint32_t request, void *payload, uint32_t size);

/* Sends a request without payload whose reply is a number, and returns that. */
uint64_t ff_get_u64(struct ff *ff, uint32_t request);

/* Sends with NEED_REPLY, returns what is acknowledged: 0 is success. */
uint64_t ff_call(struct ff *ff, uint32_t request, const void *payload, uint32_t size,
		 const int *fds, size_t num_fds);

/* Pumps until the back end has closed the connection. Then only ff_free() is left. */
void ff_expect_closed(struct ff *ff);

/* Pumps a while; true if the connection is still there and has nothing to read. */
bool ff_is_quiet(struct ff *ff);

#endif /* TESTS_DAEMON_FAKE_FRONTEND_H */
