/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "suite.h"

#define UPDATES 100

static void nothing_to_read(void)
{
	int fd = open_node(node.render);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct drm_bufshare_event event;

	register_new(fd, 4096);
	expect(poll(&p, 1, 50) == 0);
	expect(read(fd, &event, sizeof(event)) < 0 && errno == EAGAIN);
}

/* A blocking poll() ends with the release. */
static void poll_wakes(void)
{
	int fd = open_node(node.render);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	pid_t pid = fork();

	if (pid == 0) {
		usleep(100000);
		_exit(update(fd, &entry, 1) ? 1 : 0);
	}
	expect(poll(&p, 1, 5000) == 1 && p.revents == POLLIN);
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
}

/* Each file has its own events. */
static void only_own(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));

	register_new(other, 4096);
	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	expect_no_event(other);
}

/* Several in one read, and none in a buffer that is too small. */
static void read_sizes(void)
{
	int fd = open_node(node.render), i;
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	struct drm_bufshare_event events[3];
	char little[sizeof(events[0]) - 1];
	uint64_t id = entry.id;

	for (i = 0; i < 3; i++)
		expect_ok(update(fd, &entry, 1));
	while (get_info(fd, id).released < 3)
		usleep(1000);
	expect(read(fd, little, sizeof(little)) == 0);
	/* one release may stand for several updates */
	expect(read(fd, events, sizeof(events)) >= (ssize_t)sizeof(events[0]));
	expect(events[0].base.type == DRM_BUFSHARE_EVENT_RELEASED);
}

/* What could not be written to the program is still there for the next read. */
static void read_fault(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	void *nowhere = (void *)4096; /* nothing is mapped that low */
	struct pollfd p = { .fd = fd, .events = POLLIN };

	expect_ok(update(fd, &entry, 1));
	expect(poll(&p, 1, 5000) == 1);
	expect(read(fd, nowhere, sizeof(struct drm_bufshare_event)) < 0 && errno == EFAULT);
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
}

static void update_unread(int fd, uint64_t id)
{
	struct drm_bufshare_update_entry entry;
	uint64_t last = 0;
	int i;

	for (i = 0; i < UPDATES; i++) {
		entry = update_entry(id);
		expect_ok(update(fd, &entry, 1));
		last = entry.seq;
		/* One event for each, as if the program were slow and the host quick. */
		while (get_info(fd, id).released < last)
			usleep(100);
	}
}

/* Reads all events; they end with one OVERFLOW. The number of releases. */
static int read_overflowed(int fd, uint64_t id)
{
	struct drm_bufshare_event event;
	int releases = 0, overflows = 0;

	while (read_event(fd, 100, &event)) {
		expect(overflows == 0);
		if (event.base.type == DRM_BUFSHARE_EVENT_OVERFLOW) {
			expect(event.id == 0);
			overflows++;
		} else {
			expect(event.base.type == DRM_BUFSHARE_EVENT_RELEASED && event.id == id);
			releases++;
		}
	}
	expect(overflows == 1);
	return releases;
}

/* The queue of a file is bounded, updates go on, and the state is where the events are not. */
static void overflow(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_update_entry entry;
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_info info;
	int releases;

	update_unread(fd, id);
	info = get_info(fd, id);
	expect(info.seq == UPDATES && info.released == UPDATES && info.flags == 0);
	releases = read_overflowed(fd, id);
	expect(releases >= 64 && releases < UPDATES);

	/* It works again, and overflows again. */
	entry = update_entry(id);
	expect_ok(update(fd, &entry, 1));
	expect(expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, id).seq == UPDATES + 1);
	expect_no_event(fd);
	update_unread(fd, id);
	expect(get_info(fd, id).released == 2 * UPDATES + 1);
	expect(read_overflowed(fd, id) == releases);
}

/* A file that reads nothing does not stand in the way of another. */
static void overflow_is_own(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	struct drm_bufshare_update_entry entry = update_entry(register_new(other, 4096));

	update_unread(fd, register_new(fd, 4096));
	expect_ok(update(other, &entry, 1));
	expect_event(other, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	expect_no_event(other);
}

/* Events of a buffer that is gone do not come. */
static void none_after_unregister(void)
{
	int fd = open_node(node.render), i;
	uint32_t handle = create(fd, 4096);
	struct drm_bufshare_update_entry entry;
	struct drm_bufshare_event event;
	uint64_t id;

	for (i = 0; i < 50; i++) {
		id = register_handle(fd, handle);
		entry = update_entry(id);
		expect_ok(update(fd, &entry, 1));
		unregister(fd, id);
		while (read_event(fd, 0, &event))
			expect(event.id == id && event.seq == 1);
	}
	expect_no_event(fd);
}

const struct test event_tests[] = {
	{ "events: nothing to read", nothing_to_read },
	{ "events: poll wakes up", poll_wakes },
	{ "events: each file has its own", only_own },
	{ "events: read of several, and of less than one", read_sizes },
	{ "events: read to where nothing is", read_fault },
	{ "events: overflow, twice", overflow },
	{ "events: an overflow concerns its file only", overflow_is_own },
	{ "events: none after the buffer is unregistered", none_after_unregister },
	{ NULL, NULL },
};
