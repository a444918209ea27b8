/* SPDX-License-Identifier: MIT */
/*
 * A daemon as a program, a VMM with a guest whose driver begins again whenever it has to, and
 * a worker that can be killed wherever it is.
 */
#ifndef TESTS_DAEMON_RECOVERY_FIXTURE_H
#define TESTS_DAEMON_RECOVERY_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/virtio_bufshare.h>

#include "daemon/fake-frontend.h"
#include "daemon/process.h"

#define PAGE 4096u
#define SIZE (32 * PAGE) /* of a buffer: its copies are made in a thread */
#define EVENTS VIRTIO_BUFSHARE_QUEUE_EVENT
#define S(name) VIRTIO_BUFSHARE_STATUS_##name

/* The guest's driver, as far as it matters here: it knows its buffers and begins again. */
struct world {
	struct process daemon;
	struct ff *ff;
	uint64_t epoch;
	uint64_t gpa;
	uint64_t registered; /* id, 0: none */
	uint8_t uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	uint64_t seq, released;

	unsigned int one_in, delay_us; /* steps at which to kill, and how late; 0: never */
	uint64_t done; /* steps that the VMM and the guest have taken */
	unsigned int seed;
	unsigned int kills, recoveries;
};

union answer {
	struct virtio_bufshare_response hdr;
	struct virtio_bufshare_init_response init;
	struct virtio_bufshare_register_response registered;
	struct virtio_bufshare_unregister_response unregistered;
	struct virtio_bufshare_query_response query;
};

int recovery_setup(void **state);
int recovery_teardown(void **state);

#define RECOVERY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, recovery_setup, recovery_teardown)

pid_t worker_of(pid_t keeper);
void kill_worker(struct world *w);

/* ---- the driver ---- */

/* One command in the driver's epoch: its status. */
uint32_t try_command(struct world *w, void *request, size_t size, union answer *answer,
		     size_t answer_size);

/* The same, which succeeds in the end, however often the driver has to begin again. */
void command(struct world *w, void *request, size_t size, union answer *answer,
	     size_t answer_size);
void init(struct world *w, uint64_t epoch);
void recover(struct world *w);
void register_buffer(struct world *w, uint64_t id);
void unregister(struct world *w);

/* Tells an update and waits until it is released. */
void update(struct world *w);
void query(struct world *w);
void read_event(struct world *w);
void add_event_buffers(struct world *w);

/* ---- the host ---- */

struct bufshare_host;
struct bufshare_host_buffer;

/* A consumer that comes now and sees the buffer as the guest left it. */
struct bufshare_host *see_buffer(struct world *w, struct bufshare_host_buffer **buffer);
void expect_buffer(struct world *w);

/* Everything works; then the VM ends, and the daemon. */
void end(struct world *w);

#endif /* TESTS_DAEMON_RECOVERY_FIXTURE_H */
