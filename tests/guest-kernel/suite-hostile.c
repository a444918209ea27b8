/* SPDX-License-Identifier: MIT */
/*
 * The driver and a device that lies (hostile-device): whatever it says, calls end, with an
 * error where there is one, and the driver goes on as soon as the device does.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

static void set_timeout(unsigned int ms)
{
	static const char path[] = "/sys/module/virtio_bufshare/parameters/timeout_ms";
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	expect(fd >= 0 && dprintf(fd, "%u", ms) > 0);
	close(fd);
}

/* From now on the device does this. */
static void tell(int fd, const char *lie)
{
	struct drm_bufshare_register args = register_args(create(fd, 4096));

	memset(args.application, 0, sizeof(args.application));
	snprintf(args.application, sizeof(args.application), "lie.%s", lie);
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args));
}

/* A file of the device, which tells the truth so far. */
static int open_liar(void)
{
	int fd = open_node(node.render);

	set_timeout(300);
	tell(fd, "none");
	return fd;
}

static int ping(int fd)
{
	struct drm_bufshare_ping args = { 0 };

	return call(fd, DRM_IOCTL_BUFSHARE_PING, &args);
}

/* All that there is works again. */
static void expect_works(int fd)
{
	struct drm_bufshare_update_entry entry;
	struct drm_bufshare_event event;

	tell(fd, "none");
	expect_ok(ping(fd));
	while (read_event(fd, 10, &event))
		;
	entry = update_entry(register_new(fd, 4096));
	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	unregister(fd, entry.id);
}

/* ---- answers ---- */

static int do_register(int fd, uint64_t id)
{
	struct drm_bufshare_register args = register_args(create(fd, 4096));
	int ret = call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);

	if (!ret)
		unregister(fd, args.id);
	return ret;
}

static int do_unregister(int fd, uint64_t id)
{
	struct drm_bufshare_unregister args = { .id = id };
	int ret = call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args);

	expect((args.flags & ~DRM_BUFSHARE_UNREGISTER_STILL_MAPPED) == 0);
	/* In any case the id is void. */
	args.flags = 0;
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args), -ENOENT);
	return ret;
}

static int do_set(int fd, uint64_t id)
{
	static const char block[] = "width=7";
	struct drm_bufshare_set_properties args = {
		.id = id, .properties = (uintptr_t)block, .properties_size = sizeof(block),
	};

	return call(fd, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
}

static int do_get(int fd, uint64_t id)
{
	char block[512];
	struct drm_bufshare_get_properties args = {
		.id = id, .properties = (uintptr_t)block, .properties_size = sizeof(block),
	};

	return call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args);
}

static int do_reset(int fd, uint64_t id)
{
	struct drm_bufshare_reset args = { .flags = DRM_BUFSHARE_RESET_ALL };

	return call(fd, DRM_IOCTL_BUFSHARE_RESET, &args);
}

static int do_ping(int fd, uint64_t id)
{
	return ping(fd);
}

static const struct {
	const char *name;
	int (*run)(int fd, uint64_t id);
} commands[] = {
	{ "register", do_register },
	{ "unregister", do_unregister },
	{ "set", do_set },
	{ "get", do_get },
	{ "reset", do_reset },
	{ "ping", do_ping },
};

/* A lie about the answer to a command, which fails with this error. */
static void lie_about(size_t command, const char *kind, int error)
{
	int fd = open_liar(), ret;
	uint64_t id = register_new(fd, 4096);
	char lie[64];

	if (commands[command].run == do_get) {
		/* The device is asked when it says that there is something new. */
		tell(fd, "event.properties");
		expect_ok(ping(fd));
	}
	snprintf(lie, sizeof(lie), "%s.%s", commands[command].name, kind);
	tell(fd, lie);
	ret = commands[command].run(fd, id);
	if (ret != error)
		fail(__FILE__, __LINE__, "%s: %d, not %d", lie, ret, error);
	expect_works(fd);
	close(fd);
}

static void lie_about_all(const char *kind, int error)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		lie_about(i, kind, error);
}

static void lie_about_one(const char *name, const char *kind, int error)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			lie_about(i, kind, error);
}

static void answer_short(void)
{
	lie_about_all("short", -EIO);
}

/* It says OK and nothing more: enough for commands that have no more to say. */
static void answer_header(void)
{
	lie_about_one("register", "header", -EIO);
	lie_about_one("unregister", "header", -EIO);
	lie_about_one("get", "header", -EIO);
	lie_about_one("ping", "header", -EIO);
	lie_about_one("set", "header", 0);
	lie_about_one("reset", "header", 0);
}

static void answer_empty(void)
{
	lie_about_all("empty", -EIO);
}

static void answer_long(void)
{
	lie_about_all("long", -EIO);
}

static void answer_huge(void)
{
	lie_about_all("huge", -EIO);
}

static void answer_status(void)
{
	lie_about_all("status", -EIO);
	lie_about_all("max-status", -EIO);
}

static void answer_error(void)
{
	lie_about_all("error", -EINVAL);
}

static void answer_never(void)
{
	lie_about_all("never", -ETIMEDOUT);
}

static void answer_late(void)
{
	lie_about_all("late", -ETIMEDOUT);
}

/* Each command finds that the device restarted, again and again. */
static void answer_epoch(void)
{
	lie_about_one("set", "epoch", -ESTALE);
	lie_about_one("ping", "epoch", -ESTALE);
	lie_about_one("unregister", "epoch", 0);
	lie_about_one("register", "epoch", -ESTALE);
}

static void answer_register(void)
{
	lie_about_one("register", "no-uuid", -EIO);
	lie_about_one("register", "path", -EIO);
}

static void answer_rest(void)
{
	lie_about_one("unregister", "flags", 0);
	lie_about_one("ping", "cookie", -EIO);
}

static void answer_properties(void)
{
	lie_about_one("get", "large-block", -EIO);
	lie_about_one("get", "block-beyond", -EIO);
	lie_about_one("get", "reserved", -EIO);
	lie_about_one("get", "guest-name", -EIO);
	lie_about_one("get", "unterminated", -EIO);
	lie_about_one("get", "name-twice", -EIO);
}

/* An update has no answer for the program; where there is a wrong one, the buffer is lost. */
static void answer_update(void)
{
	static const char *const kinds[] = { "short", "empty", "long", "huge", "status", "error" };
	int fd = open_liar();
	struct drm_bufshare_update_entry entry;
	char lie[64];
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		entry = update_entry(register_new(fd, 4096));
		snprintf(lie, sizeof(lie), "update.%s", kinds[i]);
		tell(fd, lie);
		expect_ok(update(fd, &entry, 1));
		expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
		expect_event(fd, DRM_BUFSHARE_EVENT_BUFFER_LOST, entry.id);
		expect(get_info(fd, entry.id).flags & DRM_BUFSHARE_INFO_LOST);
		expect_result(update(fd, &entry, 1), -ESTALE);
		expect_works(fd);
	}
}

/* More updates than the queue has room for, and a file that is closed with them. */
static void answer_update_late(void)
{
	int fd = open_liar(), i;
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));

	tell(fd, "update.late");
	for (i = 0; i < 1000; i++) {
		expect_ok(update(fd, &entry, 1));
		if (i % 100 == 0)
			usleep(1000);
	}
	expect(get_info(fd, entry.id).seq == 1000);
	close(fd);
	sleep(2);
	expect_works(open_node(node.render));
}

/* Who waits for an answer that does not come can be killed. */
static void answer_never_killed(void)
{
	int fd = open_liar(), status, i;
	pid_t pids[3];

	set_timeout(60000);
	for (i = 0; i < 3; i++) {
		tell(fd, i == 0 ? "register.never" : i == 1 ? "ping.never" : "set.never");
		pids[i] = fork();
		expect(pids[i] >= 0);
		if (pids[i] == 0) {
			int own = open_node(node.render);
			uint64_t id = i == 2 ? register_new(own, 4096) : 0;

			_exit(commands[i == 0 ? 0 : i == 1 ? 5 : 2].run(own, id) ? 1 : 0);
		}
		usleep(50000);
		if (waitpid(pids[i], &status, WNOHANG) != 0)
			fail(__FILE__, __LINE__, "command %d did not wait: 0x%x", i, status);
		expect(kill(pids[i], SIGKILL) == 0);
		expect(waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status));
	}
	expect_works(fd);
}

/* ---- events ---- */

/* The device says this of a buffer with one update that it has not released. */
static struct drm_bufshare_update_entry events(int fd, const char *kind)
{
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	char lie[64];

	snprintf(lie, sizeof(lie), "event.%s", kind);
	tell(fd, lie);
	expect_ok(update(fd, &entry, 1));
	expect_ok(ping(fd));
	return entry;
}

static void events_ignored(void)
{
	static const char *const kinds[] = {
		"unknown", "short", "empty", "huge", "no-buffer", "never-was", "max-buffer",
		"old-epoch", "future", "max-seq", "past", "lost-reason",
	};
	struct drm_bufshare_update_entry entry;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd = open_liar();
		struct drm_bufshare_info info;

		entry = events(fd, kinds[i]);
		expect_no_event(fd);
		info = get_info(fd, entry.id);
		expect(info.seq == 1 && info.released == 0 && !(info.flags & DRM_BUFSHARE_INFO_LOST));
		expect_works(fd);
		close(fd);
	}
}

static void released_twice(void)
{
	int fd = open_liar();
	struct drm_bufshare_update_entry entry = events(fd, "released-twice");
	struct drm_bufshare_event event;

	/* of all flags it says only those that there are */
	event = expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	expect(event.seq == 1 && event.flags == (DRM_BUFSHARE_RELEASED_NO_CONSUMER |
						 DRM_BUFSHARE_RELEASED_CONSUMER_GONE |
						 DRM_BUFSHARE_RELEASED_TIMEOUT));
	expect_no_event(fd);
	expect_works(fd);
}

static void many_consumers(void)
{
	int fd = open_liar();
	struct drm_bufshare_update_entry entry = events(fd, "consumers");

	expect(expect_event(fd, DRM_BUFSHARE_EVENT_CONSUMERS, entry.id).value == UINT32_MAX);
	expect_works(fd);
}

static void lost(void)
{
	int fd = open_liar();
	struct drm_bufshare_update_entry entry = events(fd, "lost");

	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	expect_event(fd, DRM_BUFSHARE_EVENT_BUFFER_LOST, entry.id);
	expect_ok(ping(fd)); /* lost again: nothing */
	expect_no_event(fd);
	expect_works(fd);
}

/* Programs get to do what they want meanwhile, and a file's queue does not grow. */
static void flood(void)
{
	int fd = open_liar(), other = open_node(node.render), i, n = 0;
	struct drm_bufshare_event event;

	events(fd, "flood");
	tell(other, "none");
	for (i = 0; i < 20; i++) {
		expect_ok(ping(other));
		usleep(10000);
	}
	while (read_event(fd, 200, &event))
		n++;
	expect(n > 0);
	expect_works(fd);
}

/* The recovery of one is the recovery of many. */
static void restarted(void)
{
	static const char *const kinds[] = { "restarted", "restarted-often" };
	int fd = open_liar(), i;
	struct drm_bufshare_event event;

	for (i = 0; i < 2; i++) {
		struct drm_bufshare_update_entry entry = events(fd, kinds[i]);
		bool told = false;

		while (read_event(fd, 500, &event))
			told = told || event.base.type == DRM_BUFSHARE_EVENT_RESTARTED;
		expect(told);
		expect(get_info(fd, entry.id).released == 1);
		expect_works(fd);
	}
}

/* INIT is not answered well after a restart: everything is lost, and nobody waits for ever. */
static void restarted_in_vain(void)
{
	static const char *const lies[] = {
		"init.error", "init.no-epoch", "init.more-caps", "init.short", "init.never",
	};
	struct drm_bufshare_event event;
	uint64_t id;
	int fd;
	size_t i;

	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		fd = open_liar();
		id = register_new(fd, 4096);
		tell(fd, lies[i]);
		ping(fd);
		do {
			if (!read_event(fd, 5000, &event))
				fail(__FILE__, __LINE__, "%s: the buffer is not lost", lies[i]);
		} while (event.base.type != DRM_BUFSHARE_EVENT_BUFFER_LOST || event.id != id);
		expect_works(fd);
		close(fd);
	}
}

/* ---- the device goes ---- */

static void write_driver(const char *file)
{
	const char *name = strrchr(node.sysfs, '/') + 1;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/virtio/drivers/virtio_bufshare/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	expect(fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name));
	close(fd);
}

static void expect_gone(int fd)
{
	struct drm_bufshare_event event;
	bool lost = false;

	while (read_event(fd, 100, &event)) {
		expect(!lost);
		lost = event.base.type == DRM_BUFSHARE_EVENT_DEVICE_LOST;
	}
	expect(lost);
	expect_result(ping(fd), -ENODEV);
}

/* The device does not answer somebody when it goes. */
static void gone_while_waiting(size_t command, const char *lie)
{
	int fd = open_liar(), status;
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	char *mem = map_handle(fd, create(fd, 4096), 4096);
	pid_t pid;

	tell(fd, lie);
	expect_ok(update(fd, &entry, 1));
	pid = fork();
	expect(pid >= 0);
	if (pid == 0) {
		int own = open_node(node.render);
		uint64_t id = command ? register_new(own, 4096) : 0;

		_exit(-commands[command].run(own, id));
	}
	usleep(100000);
	write_driver("unbind");
	expect(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	expect(WEXITSTATUS(status) == ENODEV);
	memset(mem, 1, 4096);
	expect_gone(fd);
	close(fd);
	write_driver("bind");
}

static void gone_register(void)
{
	gone_while_waiting(0, "register.never");
}

static void gone_set(void)
{
	gone_while_waiting(2, "set.never");
}

static void gone_ping(void)
{
	gone_while_waiting(5, "ping.never");
}

/* ---- what breaks the queue: only a new start of the driver helps ---- */

static void breaks(const char *lie)
{
	int fd = open_liar(), status;
	pid_t pid;

	tell(fd, lie);
	ping(fd);
	expect(ping(fd) < 0);
	expect(do_register(fd, 0) < 0);
	/* Who does not wait for the time to be over can be killed. */
	pid = fork();
	expect(pid >= 0);
	if (pid == 0)
		for (;;)
			ping(fd);
	usleep(100000);
	expect(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	write_driver("unbind");
	expect_gone(fd);
	write_driver("bind");
}

static void answer_twice(void)
{
	breaks("ping.twice");
}

static void answer_other(void)
{
	breaks("ping.other");
}

static void answer_beyond(void)
{
	breaks("ping.beyond");
}

static void answer_index(void)
{
	breaks("ping.index");
}

static void answer_index_often(void)
{
	breaks("ping.index-often");
}

const struct test hostile_tests[] = {
	{ "answer: short", answer_short },
	{ "answer: only its header", answer_header },
	{ "answer: empty", answer_empty },
	{ "answer: a byte too long", answer_long },
	{ "answer: of 4 GiB", answer_huge },
	{ "answer: unknown status", answer_status },
	{ "answer: every command is invalid", answer_error },
	{ "answer: another epoch, always", answer_epoch },
	{ "answer: never", answer_never },
	{ "answer: late", answer_late },
	{ "answer: REGISTER", answer_register },
	{ "answer: UNREGISTER and PING", answer_rest },
	{ "answer: properties", answer_properties },
	{ "answer: UPDATE", answer_update },
	{ "answer: UPDATE late, a thousand times", answer_update_late },
	{ "answer: never, and the program is killed", answer_never_killed },
	{ "event: makes no sense", events_ignored },
	{ "event: RELEASED twice", released_twice },
	{ "event: more consumers than there are", many_consumers },
	{ "event: BUFFER_LOST twice", lost },
	{ "event: a flood", flood },
	{ "event: RESTARTED", restarted },
	{ "event: RESTARTED, and no INIT", restarted_in_vain },
	{ "gone: while REGISTER waits", gone_register },
	{ "gone: while SET_PROPERTIES waits", gone_set },
	{ "gone: while PING waits", gone_ping },
	{ "ring: answered twice", answer_twice },
	{ "ring: answered what was not asked", answer_other },
	{ "ring: answered what cannot be", answer_beyond },
	{ "ring: more answers than room", answer_index },
	{ "ring: more answers than room, over and over", answer_index_often },
	{ NULL, NULL },
};
