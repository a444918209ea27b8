/* SPDX-License-Identifier: MIT */
/* The device itself, and what becomes of buffers when programs end. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

static void driver_name(void)
{
	drmVersionPtr version = drmGetVersion(open_node(node.render));

	expect(version);
	expect(strcmp(version->name, "virtio-bufshare") == 0);
	drmFreeVersion(version);
}

static void params(void)
{
	int fd = open_node(node.render);
	uint64_t param;

	for (param = DRM_BUFSHARE_PARAM_EPOCH; param <= DRM_BUFSHARE_PARAM_MAX_UPDATES; param++)
		expect(get_param(fd, param) > 0);
	expect(get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE) <= VIRTIO_BUFSHARE_MAX_BUFFER_SIZE);
	expect(get_param(fd, DRM_BUFSHARE_PARAM_MAX_PROPERTIES) <= VIRTIO_BUFSHARE_MAX_PROPERTIES);
	expect(get_param(fd, DRM_BUFSHARE_PARAM_EPOCH) == get_param(fd, DRM_BUFSHARE_PARAM_EPOCH));
}

static void params_unknown(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_get_param args = { .param = 0, .value = 7 };

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_GET_PARAM, &args), -EINVAL);
	args.param = 1 << 30;
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_GET_PARAM, &args), -EINVAL);
	expect(args.value == 7);
}

static void unknown_ioctl(void)
{
	int fd = open_node(node.render);
	uint64_t args[8] = { 0 };

	expect_result(call(fd, DRM_IOWR(DRM_COMMAND_BASE + DRM_BUFSHARE_USER_MEMORY + 1, uint64_t[8]), args),
		      -EINVAL);
}

static void ping(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_ping args = { 0 };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_PING, &args));
	expect(args.time_ns > 0 && args.time_ns < 5000000000);
	args = (struct drm_bufshare_ping){ .flags = 1 };
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_PING, &args), -EINVAL);
	args = (struct drm_bufshare_ping){ .pad = 1 };
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_PING, &args), -EINVAL);
}

/* Everything works on the card node as well. */
static void card_node(void)
{
	int fd = open_node(node.card);
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));

	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	unregister(fd, entry.id);
}

static uint64_t attribute(const char *name)
{
	char text[128], *end;
	uint64_t value;

	read_attribute(&node, name, text, sizeof(text));
	value = strtoull(text, &end, 0);
	expect(end != text && *end == '\0');
	return value;
}

static void sysfs_limits(void)
{
	static const struct {
		const char *name;
		uint64_t param;
	} limits[] = {
		{ "max_buffers", DRM_BUFSHARE_PARAM_MAX_BUFFERS },
		{ "max_buffer_size", DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE },
		{ "max_total_size", DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE },
		{ "max_ranges", DRM_BUFSHARE_PARAM_MAX_RANGES },
		{ "max_properties", DRM_BUFSHARE_PARAM_MAX_PROPERTIES },
		{ "max_properties_size", DRM_BUFSHARE_PARAM_MAX_PROPERTIES_SIZE },
		{ "max_damage", DRM_BUFSHARE_PARAM_MAX_DAMAGE },
	};
	int fd = open_node(node.render);
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		expect(attribute(limits[i].name) == get_param(fd, limits[i].param));
	expect(attribute("version") == VIRTIO_BUFSHARE_VERSION);
}

static bool is_label(const char *text)
{
	size_t i;

	if (text[0] == '.' || text[0] == '_' || text[0] == '-')
		return false;
	for (i = 0; text[i]; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
			return false;
	}
	return i < DRM_BUFSHARE_APPLICATION_SIZE;
}

static void sysfs_identity(void)
{
	char text[128];
	size_t i;

	read_attribute(&node, "label", text, sizeof(text));
	expect(is_label(text));
	read_attribute(&node, "application", text, sizeof(text));
	expect(is_label(text));

	read_attribute(&node, "uuid", text, sizeof(text));
	expect(strlen(text) == 36);
	for (i = 0; i < 36; i++)
		expect(i == 8 || i == 13 || i == 18 || i == 23 ? text[i] == '-' :
		       isxdigit((unsigned char)text[i]) && !isupper((unsigned char)text[i]));

	read_attribute(&node, "subsystem_vendor", text, sizeof(text));
	expect(strlen(text) == 6 && strncmp(text, "0x", 2) == 0);
	read_attribute(&node, "subsystem_device", text, sizeof(text));
	expect(strlen(text) == 6 && strncmp(text, "0x", 2) == 0);
}

/* Runs last: what the tests do, a good device answers well. */
static void no_bad_messages(void)
{
	expect(attribute("bad_messages") == 0);
}

static void close_unregisters(void)
{
	int watcher = open_node(node.render), fd = open_node(node.render);
	uint64_t first = register_new(fd, 4096), second = register_new(fd, 4096);
	struct drm_bufshare_update_entry entry = update_entry(second);

	expect_ok(update(fd, &entry, 1));
	close(fd);
	wait_unlisted(watcher, first);
	wait_unlisted(watcher, second);
}

/* A mapping keeps the file, and so the registration. */
static void mapping_keeps_file(void)
{
	int watcher = open_node(node.render), fd = open_node(node.render);
	uint32_t handle = create(fd, 4096);
	uint64_t id = register_handle(fd, handle);
	char *mem = map_handle(fd, handle, 4096);

	close(fd);
	strcpy(mem, "hello");
	expect(is_listed(watcher, id, DRM_BUFSHARE_LIST_ALL));
	expect(munmap(mem, 4096) == 0);
	wait_unlisted(watcher, id);
}

/* Registers, tells the ids through the pipe, and updates until it is killed. */
static void victim(int pipe_fd)
{
	int fd = open_node(node.render), i;
	uint64_t ids[4];
	struct drm_bufshare_update_entry entry;

	for (i = 0; i < 4; i++)
		ids[i] = register_new(fd, 1 << 20);
	expect(write(pipe_fd, ids, sizeof(ids)) == sizeof(ids));
	for (i = 0;; i++) {
		entry = update_entry(ids[i % 4]);
		expect_ok(update(fd, &entry, 1));
	}
}

static void kill_unregisters(void)
{
	int watcher = open_node(node.render), fds[2], round, i;
	uint64_t ids[4];
	pid_t pid;

	for (round = 0; round < 5; round++) {
		expect(pipe(fds) == 0);
		pid = fork();
		expect(pid >= 0);
		if (pid == 0)
			victim(fds[1]);
		expect(read(fds[0], ids, sizeof(ids)) == sizeof(ids));
		for (i = 0; i < 4; i++)
			expect(is_listed(watcher, ids[i], DRM_BUFSHARE_LIST_ALL));
		usleep(20000);
		expect(kill(pid, SIGKILL) == 0);
		expect(waitpid(pid, NULL, 0) == pid);
		for (i = 0; i < 4; i++)
			wait_unlisted(watcher, ids[i]);
		close(fds[0]);
		close(fds[1]);
	}
}

/* Programs that do everything at the same time, killed while they are at it. */
static void busy(uint32_t seed)
{
	int fd = open_node(node.render);
	struct drm_bufshare_reset reset = { 0 };
	struct drm_bufshare_update_entry entry;
	struct drm_bufshare_event event;
	uint32_t handles[4], i;
	uint64_t ids[4] = { 0 };

	for (i = 0; i < 4; i++)
		handles[i] = create(fd, 65536);
	for (;; seed = seed * 1103515245 + 12345) {
		i = seed >> 16 & 3;
		if (seed >> 18 & 1 && ids[i]) {
			entry = update_entry(ids[i]);
			expect_ok(update(fd, &entry, 1));
		} else if (seed >> 19 & 1 && !ids[i]) {
			ids[i] = register_handle(fd, handles[i]);
		} else if (seed >> 20 & 1 && ids[i]) {
			unregister(fd, ids[i]);
			ids[i] = 0;
		} else if ((seed >> 21 & 15) == 0) {
			expect_ok(call(fd, DRM_IOCTL_BUFSHARE_RESET, &reset));
			memset(ids, 0, sizeof(ids));
		}
		while (read_event(fd, 0, &event))
			;
	}
}

static void many_at_once(void)
{
	int watcher = open_node(node.render), i;
	struct drm_bufshare_list list = { .flags = DRM_BUFSHARE_LIST_ALL };
	pid_t pids[4];

	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		expect(pids[i] >= 0);
		if (pids[i] == 0)
			busy((uint32_t)i + 1);
	}
	sleep(1);
	for (i = 0; i < 4; i++) {
		int status;

		/* none of them failed before */
		expect(waitpid(pids[i], &status, WNOHANG) == 0);
		expect(kill(pids[i], SIGKILL) == 0);
		expect(waitpid(pids[i], &status, 0) == pids[i]);
	}
	for (i = 0; i < 500; i++) {
		list.count = 0;
		expect_ok(call(watcher, DRM_IOCTL_BUFSHARE_LIST, &list));
		if (list.count == 0)
			return;
		usleep(10000);
	}
	expect(list.count == 0);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	expect(file);
	expect(fputs(text, file) >= 0);
	expect(fclose(file) == 0);
}

/* Everything but the last step: devices are suspended and, after a while, resumed. */
static void suspend(void)
{
	write_file("/sys/power/pm_test", "devices");
	write_file("/sys/power/state", "mem");
	write_file("/sys/power/pm_test", "none");
}

static bool is_event(const struct drm_bufshare_event *event, uint32_t type)
{
	return event->base.type == type;
}

/*
 * All buffers are as they were, with the same ids, and what was given to the host came back.
 * A program that goes on drawing notices nothing.
 */
static void suspend_resumes(void)
{
	int fd = open_node(node.render), status, i;
	struct drm_bufshare_update_entry entries[4];
	struct drm_bufshare_info before[4], after;
	struct drm_bufshare_event event;
	bool restarted = false;
	pid_t pid;

	if (access("/sys/power/pm_test", W_OK) < 0)
		skip("this kernel cannot test suspending");
	for (i = 0; i < 4; i++) {
		entries[i] = update_entry(register_new(fd, 1 << 16));
		expect_ok(update(fd, &entries[i], 1));
		expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entries[i].id);
		before[i] = get_info(fd, entries[i].id);
	}
	pid = fork();
	expect(pid >= 0);
	if (pid == 0)
		busy(7);

	suspend();
	expect(waitpid(pid, &status, WNOHANG) == 0);
	expect(kill(pid, SIGKILL) == 0);
	expect(waitpid(pid, &status, 0) == pid);
	while (!restarted && read_event(fd, 5000, &event))
		restarted = is_event(&event, DRM_BUFSHARE_EVENT_RESTARTED);
	expect(restarted);
	for (i = 0; i < 4; i++) {
		after = get_info(fd, before[i].id);
		expect(!(after.flags & DRM_BUFSHARE_INFO_LOST));
		expect(after.seq == before[i].seq && after.num_ranges == before[i].num_ranges);
		expect(memcmp(after.uuid, before[i].uuid, sizeof(after.uuid)) == 0);
		expect_ok(update(fd, &entries[i], 1));
		expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entries[i].id);
		expect(entries[i].seq == before[i].seq + 1);
		unregister(fd, entries[i].id);
	}
}

const struct test life_tests[] = {
	{ "device: the driver's name", driver_name },
	{ "device: parameters", params },
	{ "device: unknown parameter", params_unknown },
	{ "device: unknown ioctl", unknown_ioctl },
	{ "device: ping", ping },
	{ "device: all of it on the card node", card_node },
	{ "sysfs: limits", sysfs_limits },
	{ "sysfs: identity", sysfs_identity },
	{ "end: a file is closed", close_unregisters },
	{ "end: a mapping keeps the file", mapping_keeps_file },
	{ "end: a program is killed", kill_unregisters },
	{ "end: programs are killed in the middle of everything", many_at_once },
	{ "suspend: everything is there again", suspend_resumes },
	{ "device: nothing bad was heard of it", no_bad_messages },
	{ NULL, NULL },
};
