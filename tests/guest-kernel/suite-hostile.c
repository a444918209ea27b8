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

#include "liar.h"

/* ---- answers ---- */

/* A lie about the answer to a command, which fails with this error. */
static void lie_about(size_t command, const char *kind, int error)
{
	int fd = open_liar(), ret;
	uint64_t id = register_new(fd, 4096);
	char lie[64];

	if (command == COMMAND_GET) {
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

	for (i = 0; i < NUM_COMMANDS; i++)
		lie_about(i, kind, error);
}

static void lie_about_one(const char *name, const char *kind, int error)
{
	size_t i;

	for (i = 0; i < NUM_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			lie_about(i, kind, error);
}

static void answer_short(void)
{
	lie_about_all("short", -EPROTO);
}

/* It says OK and nothing more: enough for commands that have no more to say. */
static void answer_header(void)
{
	lie_about_one("register", "header", -EPROTO);
	lie_about_one("unregister", "header", -EPROTO);
	lie_about_one("get", "header", -EPROTO);
	lie_about_one("ping", "header", -EPROTO);
	lie_about_one("set", "header", 0);
	lie_about_one("reset", "header", 0);
}

static void answer_empty(void)
{
	lie_about_all("empty", -EPROTO);
}

static void answer_long(void)
{
	lie_about_all("long", -EPROTO);
}

static void answer_huge(void)
{
	lie_about_all("huge", -EPROTO);
}

static void answer_status(void)
{
	lie_about_all("status", -EPROTO);
	lie_about_all("max-status", -EPROTO);
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
	lie_about_one("register", "no-uuid", -EPROTO);
	lie_about_one("register", "path", -EPROTO);
}

static void answer_rest(void)
{
	int fd = open_liar();

	lie_about_one("unregister", "flags", 0);
	tell(fd, "event.restarted"); /* and what was still mapped is not any more */
	expect_ok(ping(fd));
	lie_about_one("ping", "cookie", -EPROTO);
}

static void answer_properties(void)
{
	lie_about_one("get", "large-block", -EPROTO);
	lie_about_one("get", "block-beyond", -EPROTO);
	lie_about_one("get", "reserved", -EPROTO);
	lie_about_one("get", "guest-name", -EPROTO);
	lie_about_one("get", "unterminated", -EPROTO);
	lie_about_one("get", "name-twice", -EPROTO);
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
	static const int waits[] = { COMMAND_REGISTER, COMMAND_PING, COMMAND_SET };
	pid_t pids[3];

	set_timeout(60000);
	for (i = 0; i < 3; i++) {
		tell(fd, i == 0 ? "register.never" : i == 1 ? "ping.never" : "set.never");
		pids[i] = fork();
		expect(pids[i] >= 0);
		if (pids[i] == 0) {
			int own = open_node(node.render);
			uint64_t id = i == 2 ? register_new(own, 4096) : 0;

			_exit(commands[waits[i]].run(own, id) ? 1 : 0);
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
		"old-epoch", "future", "max-seq", "past", "lost-reason", "unmapped",
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

/* The host side restarts each time that it has restarted. */
static void restarted_always(void)
{
	int fd = open_liar(), i, result;
	struct drm_bufshare_event event;

	register_new(fd, 4096);
	tell(fd, "init.restarted");
	for (i = 0; i < 10; i++) {
		result = ping(fd);
		expect(!result || result == -ESTALE || result == -ETIMEDOUT);
		while (read_event(fd, 10, &event))
			;
	}
	expect_works(fd);
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
	{ "event: RESTARTED after each INIT", restarted_always },
	{ "event: RESTARTED, and no INIT", restarted_in_vain },
	{ NULL, NULL },
};
