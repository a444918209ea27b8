/* SPDX-License-Identifier: MIT */
/*
 * A guest without an operating system: QEMU under its test accelerator does what it is
 * told over a socket, instead of running a processor. Its memory and its device are real.
 *
 * The device is on the machine "microvm", behind the last of its virtio-mmio transports.
 * What should not happen ends the program.
 */
#ifndef TESTS_UDMABUF_QTEST_GUEST_H
#define TESTS_UDMABUF_QTEST_GUEST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <linux/virtio_bufshare.h>

struct guest {
	FILE *in, *out; /* of QEMU's test socket */
	uint64_t device; /* address of its registers */
	uint16_t avail, used; /* of the control queue */
	uint64_t epoch;
	uint64_t seq;

	/* Called while the device does not answer yet; NULL: nothing else to do. */
	void (*pump)(void *data);
	void *data;
};

_Noreturn void fail(const char *file, int line, const char *what);

#define must(condition) \
	do { \
		if (!(condition)) \
			fail(__FILE__, __LINE__, #condition); \
	} while (0)

/* Connects to QEMU and starts the device as a driver does, up to INIT. */
void guest_start(struct guest *g, const char *socket_path);
void guest_end(struct guest *g);

/* Guest memory, through QEMU. */
void guest_write(struct guest *g, uint64_t addr, const void *bytes, size_t size);
void guest_read(struct guest *g, uint64_t addr, void *bytes, size_t size);

/*
 * Registers a buffer of n ranges, the application "proof". Returns the status, with its
 * detail and, if it is OK, the path.
 */
uint32_t guest_register(struct guest *g, uint64_t id, const struct virtio_bufshare_range *ranges,
			uint32_t n, uint32_t *detail, uint32_t *path);

/* Both must succeed. */
void guest_unregister(struct guest *g, uint64_t id);
void guest_update(struct guest *g, uint64_t id);

#endif /* TESTS_UDMABUF_QTEST_GUEST_H */
