/* SPDX-License-Identifier: MIT */
/*
 * A machine with virtio-bufshare devices, without a kernel: a sysfs tree and device nodes
 * in a temporary folder, and a driver behind drmIoctl(), open() and mmap().
 *
 * The driver is not a list of expected calls. It keeps GEM objects, handles and
 * registrations per open file, checks what the real one checks, and sends events in the
 * real format. The node is a socket, so read() and poll() are the kernel's; dma-bufs and
 * mappings are memfds.
 *
 * A program links tests/guest/libfakedrm.la with $(FAKE_DRM_LDFLAGS), which put the fake
 * before the library's calls. tests/guest/bufsharectl-fake is the whole tool on such a
 * machine (fake-main.c says how the environment describes it). One machine exists at a
 * time. What cannot go wrong ends the program if it does.
 */
#ifndef TESTS_FAKE_DRM_H
#define TESTS_FAKE_DRM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <drm/bufshare_drm.h>

struct fake_device;

/* What a device's sysfs attributes and its driver say. Zero: as in the comment. */
struct fake_config {
	const char *label; /* none */
	const char *application; /* none */
	const char *uuid; /* RFC 9562 text; none */
	uint16_t subsystem_vendor;
	uint16_t subsystem_device;
	uint64_t max_buffers; /* 64 */
	uint64_t max_buffer_size; /* 64 MiB */
	uint64_t max_total_size; /* 256 MiB */
	uint64_t max_ranges; /* 1024 */
	uint64_t max_properties; /* 64 */
	uint64_t max_properties_size; /* 3072 */
	uint64_t max_damage; /* 16 */
	const char *driver_name; /* virtio-bufshare */
	uint64_t no_features; /* DRM_BUFSHARE_FEATURE_* that driver or device lack; none */
	bool older; /* a driver whose events end before their flags */
	bool newer; /* one with flags, events and fields that nobody knows */
	bool no_card; /* only a render node */
	bool no_nodes; /* the driver has not made its nodes (yet) */
};

/* ---- the machine ---- */

/*
 * Setup and teardown of a cmocka test. The machine has one virtio device of another
 * driver. The library is directed to its folders. Teardown fails the test if a file
 * descriptor is open that was not before the setup, or a node is.
 */
int fake_machine_setup(void **state);
int fake_machine_teardown(void **state);

/*
 * Plugs in a device; config NULL is all zero. The first one is virtio1 with card0 and
 * renderD128, the next virtio2 with card1 and renderD129.
 */
struct fake_device *fake_device_add(const struct fake_config *config);

/*
 * Another device takes its place, name and nodes while the program does not look; what the
 * library found before is the one that is gone.
 */
void fake_device_replace(struct fake_device *dev, const char *label);

/* Pulls it out: nodes and attributes vanish, open files get DEVICE_LOST, calls are ENODEV. */
void fake_device_unplug(struct fake_device *dev);

/* Its nodes, as the library tells them; valid as long as the machine. */
const char *fake_device_path(const struct fake_device *dev);
const char *fake_device_card_path(const struct fake_device *dev);

/* Writes an attribute; NULL as text removes it, as in an older driver. */
void fake_device_set_attribute(struct fake_device *dev, const char *name, const char *text);

/* ---- how calls go wrong ---- */

/* The next count calls of a DRM_IOCTL_* fail with a positive errno; count < 0: all. */
void fake_fail_ioctl(struct fake_device *dev, unsigned long request, int error, int count);

/*
 * All calls of all devices go to this function, which answers 0 or a negative errno, and
 * not to the fake driver; NULL: no more.
 */
void fake_set_ioctl_hook(int (*hook)(unsigned long request, void *arg));

/* Whether this is called from inside the fake driver. */
bool fake_in_driver(void);

/* Opening its nodes fails with a positive errno; 0: no more. */
void fake_fail_open(struct fake_device *dev, int error);

/* mmap() of its nodes fails with a positive errno; 0: no more. */
void fake_fail_mmap(struct fake_device *dev, int error);

/* The host refuses registrations: status and detail of virtio_bufshare.h; 0: no more. */
void fake_refuse_register(struct fake_device *dev, uint32_t status, uint32_t detail);

/* What LIST_ALL and RESET_ALL need. Not there at first. */
void fake_set_privileged(struct fake_device *dev, bool privileged);

/* Ranges of the buffers that are registered from now on; 1 at first. */
void fake_set_num_ranges(struct fake_device *dev, uint32_t num_ranges);

/* RESET is done, and the host's answer is this positive errno; 0: no more. */
void fake_set_reset_error(struct fake_device *dev, int error);

/* UNREGISTER says STILL_MAPPED. */
void fake_set_still_mapped(struct fake_device *dev, bool still_mapped);

/* ---- what the host does ---- */

/* Consumers of the buffers that are registered from now on; 0 at first. */
void fake_set_consumers(struct fake_device *dev, uint32_t consumers);

/* Each update is released at once, as by a consumer that is quick, or if there is none. */
void fake_set_auto_release(struct fake_device *dev, bool auto_release);

/* Each sends its event to the file that registered the buffer. */
void fake_host_release(struct fake_device *dev, uint64_t id, uint64_t seq, uint32_t flags);
void fake_host_consumers(struct fake_device *dev, uint64_t id, uint32_t consumers);
void fake_host_set_property(struct fake_device *dev, uint64_t id, const char *name,
			    const char *value);
void fake_host_lose_buffer(struct fake_device *dev, uint64_t id, uint32_t reason);

/* The host side comes back: updates are released, all files get RESTARTED. */
void fake_host_restart(struct fake_device *dev);

/* Puts raw bytes into the event stream of the newest open file. */
void fake_send_raw(struct fake_device *dev, const void *bytes, size_t size);

/* ---- fences ---- */

/* A sync_file that is not signalled; the caller closes it. */
int fake_fence_new(void);
void fake_fence_signal(int fd);

/* Whether the acquire fences of an update that is not released are signalled. */
bool fake_host_was_told(struct fake_device *dev, uint64_t id, uint64_t seq);

/* ---- what the driver knows ---- */

/* Calls of a DRM_IOCTL_* so far, of all, and opens of the machine's nodes. */
unsigned int fake_count_ioctl(const struct fake_device *dev, unsigned long request);
unsigned int fake_count_ioctls(const struct fake_device *dev);
unsigned int fake_count_opens(const struct fake_device *dev);

unsigned int fake_count_files(struct fake_device *dev); /* open now */
unsigned int fake_count_handles(struct fake_device *dev); /* of all files */
unsigned int fake_count_registered(struct fake_device *dev);

/* Of a registered buffer, which must be there. */
const char *fake_get_application(struct fake_device *dev, uint64_t id);
const char *fake_get_property(struct fake_device *dev, uint64_t id, const char *name);
void *fake_get_memory(struct fake_device *dev, uint64_t id); /* mapped until the teardown */

/* Rectangles of the newest update that reached the driver. */
size_t fake_get_damage(const struct fake_device *dev, const struct drm_bufshare_rect **rects);

/* DRM_BUFSHARE_CREATE_* of the newest buffer. */
uint32_t fake_get_create_flags(const struct fake_device *dev);

/* A dma-buf of another driver; the caller closes it. */
int fake_dmabuf_new(uint64_t size, bool shareable);

#endif /* TESTS_FAKE_DRM_H */
