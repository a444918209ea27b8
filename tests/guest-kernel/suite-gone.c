/* SPDX-License-Identifier: MIT */
/* The device goes while somebody waits for it, or breaks its queue: a new start helps. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xf86drm.h>

#include "liar.h"

/* ---- the device goes ---- */

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
		uint64_t id = command != COMMAND_REGISTER ? register_new(own, 4096) : 0;

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
	gone_while_waiting(COMMAND_REGISTER, "register.never");
}

static void gone_set(void)
{
	gone_while_waiting(COMMAND_SET, "set.never");
}

static void gone_ping(void)
{
	gone_while_waiting(COMMAND_PING, "ping.never");
}

/*
 * The fence of an update never comes. Who waits for the release, on a file of another device,
 * does not wait for ever; and when the fence comes nothing happens.
 */
static void gone_fence(void)
{
	int fd = open_liar(), timeline = timeline_new(), other, file;
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	uint32_t there;
	uint64_t point = 1;

	if (!have_other_node)
		skip("there is one device only");
	other = open_node(other_node.render);
	expect(drmSyncobjCreate(fd, 0, &entry.release_syncobj) == 0);
	expect(drmSyncobjHandleToFD(fd, entry.release_syncobj, &file) == 0);
	expect(drmSyncobjFDToHandle(other, file, &there) == 0);
	entry.flags = DRM_BUFSHARE_UPDATE_IN_FENCE_FD | DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ;
	entry.in_fence_fd = fence_new(timeline, 1);
	entry.release_point = point;
	expect_ok(update(fd, &entry, 1));
	expect(drmSyncobjTimelineWait(other, &there, &point, 1, 0,
				      DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL) < 0);
	write_driver("unbind");
	expect(drmSyncobjTimelineWait(other, &there, &point, 1, 0,
				      DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL) == 0);
	timeline_advance(timeline, 1);
	expect_gone(fd);
	write_driver("bind");
}

/* ---- what breaks the queue: only a new start of the driver helps ---- */

static void breaks(const char *lie)
{
	int fd = open_liar(), status;
	pid_t pid;

	tell(fd, lie);
	ping(fd);
	expect(ping(fd) < 0);
	expect(commands[COMMAND_REGISTER].run(fd, 0) < 0);
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

const struct test gone_tests[] = {
	{ "gone: while REGISTER waits", gone_register },
	{ "gone: while SET_PROPERTIES waits", gone_set },
	{ "gone: while PING waits", gone_ping },
	{ "gone: while an update waits for a fence", gone_fence },
	{ "ring: answered twice", answer_twice },
	{ "ring: answered what was not asked", answer_other },
	{ "ring: answered what cannot be", answer_beyond },
	{ "ring: more answers than room", answer_index },
	{ "ring: more answers than room, over and over", answer_index_often },
	{ NULL, NULL },
};
