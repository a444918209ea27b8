/* SPDX-License-Identifier: MIT */
/*
 * The driver's calls, tested from a program in the guest. Each test is a process of its own,
 * so a test that fails half way leaves nothing behind that the driver does not clean up.
 */
#ifndef TESTS_GUEST_KERNEL_SUITE_H
#define TESTS_GUEST_KERNEL_SUITE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <drm/bufshare_drm.h>
#include <linux/virtio_bufshare.h>

#define APPLICATION "guest-suite"

/* A device, found without opening it. */
struct node {
	char sysfs[256]; /* folder of the virtio device */
	char render[64];
	char card[64];
};

/* The device that is tested, and another one if the guest has it. */
extern struct node node;
extern struct node other_node;
extern bool have_other_node;

struct test {
	const char *name;
	void (*run)(void);
};

extern const struct test object_tests[];
extern const struct test register_tests[];
extern const struct test import_tests[];
extern const struct test memory_tests[];
extern const struct test property_tests[];
extern const struct test update_tests[];
extern const struct test fence_tests[];
extern const struct test event_tests[];
extern const struct test admin_tests[];
extern const struct test life_tests[];
extern const struct test hostile_tests[];
extern const struct test kept_tests[];
extern const struct test gone_tests[];
extern const struct test fault_tests[];
extern const struct test share_tests[];
extern const struct test generic_tests[];
extern const struct test crowd_tests[];
extern const struct test unreachable_tests[];

/* Ends the test, which has failed or is skipped. */
_Noreturn void fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void skip(const char *reason);

#define expect(condition) \
	do { \
		if (!(condition)) \
			fail(__FILE__, __LINE__, "%s", #condition); \
	} while (0)

/* The call returns 0 or a negative errno. */
#define expect_result(call, result) check_result(__FILE__, __LINE__, #call, call, result)
#define expect_ok(call) check_result(__FILE__, __LINE__, #call, call, 0)

void check_result(const char *file, int line, const char *what, int result, int expected);

/* One call: 0 or a negative errno. */
int call(int fd, unsigned long request, void *args);

/* Cannot fail; the path is one of a node. */
int open_node(const char *path);
uint64_t get_param(int fd, uint64_t param);
uint32_t create(int fd, uint64_t size);
void close_handle(int fd, uint32_t handle);
void *map_handle(int fd, uint32_t handle, size_t size);

/* A register call that would succeed, for a test to break. */
struct drm_bufshare_register register_args(uint32_t handle);

/* Creates and registers; the properties are a literal "a=b\0c=d\0", or NULL. */
uint64_t register_new(int fd, uint64_t size);
uint64_t register_handle(int fd, uint32_t handle);
void unregister(int fd, uint64_t id);
struct drm_bufshare_info get_info(int fd, uint64_t id);
bool is_listed(int fd, uint64_t id, uint32_t flags);

/* Waits until the administrator's list does not have it. */
void wait_unlisted(int fd, uint64_t id);

/* An update of everything that would succeed. */
struct drm_bufshare_update_entry update_entry(uint64_t id);
int update(int fd, struct drm_bufshare_update_entry *entries, uint32_t count);

/* Whether there was an event before the time was over; reads one. */
bool read_event(int fd, int timeout_ms, struct drm_bufshare_event *event);

/* The next event must be of this type and registration. */
struct drm_bufshare_event expect_event(int fd, uint32_t type, uint64_t id);
void expect_no_event(int fd);

/* A node of vgem, the driver of pure memory; -1 if the kernel does not have it. */
int open_vgem(void);

/*
 * A timeline of fences that a test signals in order. With vgem the fences are known to the
 * process that made them only, and signal themselves after ten seconds. To be closed; what was
 * not signalled is then. Skips the test where the kernel has neither.
 */
int timeline_new(void);
void timeline_advance(int timeline, uint32_t by);

/* A sync_file that is signalled when the timeline has come to the value. */
int fence_new(int timeline, uint32_t value);

/* Forgets the rights of the superuser. */
void drop_privileges(void);

/* The number behind the key in the debugfs of the device. Skips the test without debugfs. */
uint64_t counter(const char *key);

/* Reads the attribute "bufshare/NAME" of a virtio device. */
void read_attribute(const struct node *n, const char *name, char *text, size_t size);

#endif /* TESTS_GUEST_KERNEL_SUITE_H */
