/* SPDX-License-Identifier: MIT */
/*
 * The device model with a world around it that remembers what it was told, for tests. What
 * should not happen fails the test.
 */
#ifndef TESTS_DAEMON_DEVICE_FIXTURE_H
#define TESTS_DAEMON_DEVICE_FIXTURE_H

#include "host/daemon/device.h"

#define PAGE VIRTIO_BUFSHARE_PAGE_SIZE
#define OK VIRTIO_BUFSHARE_STATUS_OK
#define INVALID VIRTIO_BUFSHARE_STATUS_INVALID
#define UNSUPPORTED VIRTIO_BUFSHARE_STATUS_UNSUPPORTED
#define LIMIT VIRTIO_BUFSHARE_STATUS_LIMIT

/* A world around the model that remembers what it was told. */
struct world {
	struct dev dev;
	unsigned int answers;
	size_t answer_size;
	union {
		struct virtio_bufshare_response hdr;
		struct virtio_bufshare_init_response init;
		struct virtio_bufshare_register_response registered;
		struct virtio_bufshare_unregister_response unregistered;
		struct virtio_bufshare_query_response query;
		struct virtio_bufshare_ping_response ping;
		struct virtio_bufshare_get_properties_response properties;
		char bytes[8192];
	} answer;
	unsigned int exports, drops, refreshes, filled, removals, resets;
	int refresh_result;
	struct dev_damage refreshed;
	uint32_t export_status, removed_reason;
	bool no_room; /* consumers take nothing */
	uint64_t delivered_seq;
	struct dev_damage delivered;
	uint64_t random;
	unsigned int slots, revokes; /* slots of all consumers */
	uint64_t revoked_seq, now;
};

/* A good REGISTER of two ranges and two properties, to be spoiled. */
struct reg {
	struct virtio_bufshare_register hdr;
	struct virtio_bufshare_range ranges[2];
	char properties[24];
};

/* Of every test; the device has epoch in force, and takes 4 buffers of 8 ranges. */
int setup(void **state);
int teardown(void **state);

/* One command that is answered at once; returns the status. */
uint32_t command(struct world *w, const void *request, size_t size);

/* The beginning of a command in the epoch in force. */
struct virtio_bufshare_request hdr(struct world *w, uint32_t type);

uint32_t init(struct world *w, uint64_t epoch);
uint32_t init_with(struct world *w, uint64_t epoch, uint64_t caps);

struct reg good(struct world *w, uint64_t id);
uint32_t send_register(struct world *w, const struct reg *r);

/* A good one that succeeds. */
struct dev_buffer *registered(struct world *w, uint64_t id);

uint32_t unregister(struct world *w, uint64_t id);

/* One more consumer. */
struct dev_slot *attach(struct world *w, struct dev_buffer *b, bool mapped);

/* An update with a square of damage at x. */
uint32_t update(struct world *w, uint64_t id, uint64_t seq, uint32_t x);

/* The next RELEASED; 0: there is none. Other events are passed over. */
uint64_t released(struct world *w, uint32_t *flags);

#endif /* TESTS_DAEMON_DEVICE_FIXTURE_H */
