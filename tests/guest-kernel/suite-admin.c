/* SPDX-License-Identifier: MIT */
/* What administrators see: fdinfo, debugfs and tracepoints. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "suite.h"

static char text[1 << 20];

/* The file's text, which is there until the next call; NULL if there is no such file. */
static const char *read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return NULL;
	while ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	close(fd);
	text[size] = '\0';
	return text;
}

static uint64_t number_behind(const char *where, const char *key)
{
	const char *at = where ? strstr(where, key) : NULL;

	if (!at)
		fail(__FILE__, __LINE__, "no \"%s\"", key);
	return strtoull(at + strlen(key), NULL, 10);
}

static uint64_t fdinfo(int fd, const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return number_behind(read_text(path), key);
}

static const char *debugfs(const char *name)
{
	const char *found;
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%s/%s",
		 node.card + strlen("/dev/dri/card"), name);
	found = read_text(path);
	if (!found && access("/sys/kernel/debug", F_OK) == 0 &&
	    access("/sys/kernel/debug/dri", F_OK) < 0 && errno == ENOENT)
		skip("no debugfs");
	return found;
}

uint64_t counter(const char *key)
{
	return number_behind(debugfs("bufshare_counters"), key);
}

static void fdinfo_of_file(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	uint32_t handle = create(fd, 768 << 10);
	uint64_t id;

	expect(fdinfo(fd, "virtio-bufshare-registered:\t") == 0);
	expect(fdinfo(fd, "drm-total-memory:\t") == 768);
	id = register_handle(fd, handle);
	expect(fdinfo(fd, "virtio-bufshare-registered:\t") == 1);
	expect(fdinfo(fd, "virtio-bufshare-registered-memory:\t") == 768);
	expect(fdinfo(fd, "virtio-bufshare-busy:\t") == 0);
	expect(fdinfo(fd, "virtio-bufshare-in-flight:\t") == 0);
	expect(fdinfo(fd, "virtio-bufshare-waiting:\t") == 0);
	expect(fdinfo(other, "virtio-bufshare-registered:\t") == 0);
	unregister(fd, id);
	expect(fdinfo(fd, "virtio-bufshare-registered:\t") == 0);
	expect(fdinfo(fd, "virtio-bufshare-registered-memory:\t") == 0);
}

static void fdinfo_driver(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", open_node(node.card));
	expect(strstr(read_text(path), "drm-driver:\tvirtio-bufshare\n"));
}

static void debugfs_buffers(void)
{
	int fd = open_node(node.render), other = open_node(node.card);
	uint64_t ids[2] = { register_new(fd, 4096), register_new(other, 8192) };
	struct drm_bufshare_update_entry entry = update_entry(ids[1]);
	char line[256];
	int i;

	expect_ok(update(other, &entry, 1));
	expect_event(other, DRM_BUFSHARE_EVENT_RELEASED, ids[1]);
	snprintf(line, sizeof(line), "%llu pid=%d state=live size=4096 ranges=1 ",
		 (unsigned long long)ids[0], getpid());
	expect(strstr(debugfs("bufshare_buffers"), line));
	snprintf(line, sizeof(line), "%llu pid=%d state=live size=8192 ",
		 (unsigned long long)ids[1], getpid());
	expect(strstr(debugfs("bufshare_buffers"), line));
	expect(strstr(text, "seq=1 sent=1 released=1 waiting=0 syncobjs=0 application=" APPLICATION));
	close(fd);
	close(other);
	/* Without a process first, and then not at all. */
	snprintf(line, sizeof(line), "%llu pid=%d ", (unsigned long long)ids[0], getpid());
	expect(!strstr(debugfs("bufshare_buffers"), line));
	snprintf(line, sizeof(line), "%llu pid=", (unsigned long long)ids[0]);
	for (i = 0; i < 500 && strstr(debugfs("bufshare_buffers"), line); i++)
		usleep(10000);
	expect(i < 500);
}

static void debugfs_counters(void)
{
	int fd = open_node(node.render);
	uint64_t registers = counter("command.REGISTER "), updates = counter("updates ");
	uint64_t released = counter("event.RELEASED ");
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));

	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	expect(counter("command.REGISTER ") == registers + 1);
	expect(counter("updates ") == updates + 1);
	expect(counter("event.RELEASED ") == released + 1);
	expect(counter("running ") == 1);
	expect(counter("buffers ") >= 1 && counter("bytes ") >= 4096);
}

/* Nothing is under way, most of the time. */
static void debugfs_requests(void)
{
	const char *requests;
	int i;

	expect_no_event(open_node(node.render));
	for (i = 0; i < 100; i++) {
		requests = debugfs("bufshare_requests");
		expect(requests);
		if (requests[0] == '\0')
			return;
		usleep(10000);
	}
	fail(__FILE__, __LINE__, "still there: %s", requests);
}

static void debugfs_is_private(void)
{
	expect(debugfs("bufshare_buffers"));
	drop_privileges();
	expect(!debugfs("bufshare_buffers"));
}

#define TRACING "/sys/kernel/tracing/"

static void write_tracing(const char *file, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), TRACING "%s", file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	expect(fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value));
	close(fd);
}

static void expect_traced(const char *what, uint64_t id, const char *rest)
{
	char wanted[128];

	snprintf(wanted, sizeof(wanted), "%s buffer=%llu %s", what, (unsigned long long)id, rest);
	if (!strstr(text, wanted))
		fail(__FILE__, __LINE__, "not in the trace: %s", wanted);
}

static void tracepoints(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_update_entry entry;

	if (access(TRACING "events", F_OK) < 0 &&
	    mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL) < 0)
		skip("no tracefs");
	write_tracing("trace", "");
	write_tracing("events/virtio_bufshare/enable", "1");
	entry = update_entry(register_new(fd, 4096));
	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	unregister(fd, entry.id);
	expect_no_event(fd);
	write_tracing("events/virtio_bufshare/enable", "0");

	expect(read_text(TRACING "trace"));
	expect_traced(" REGISTER", entry.id, "epoch=");
	expect_traced(" REGISTER", entry.id, "result=0 status=0 ");
	expect(strstr(text, "bufshare_update: card") && strstr(text, "bufshare_file_event: card"));
	expect_traced(" UPDATE", entry.id, "epoch=");
	expect_traced(" UPDATE", entry.id, "result=0 ");
	expect_traced(" RELEASED", entry.id, "seq=1 value=0 flags=0x1 epoch=");
	expect_traced(" RELEASED", entry.id, "seq=1 value=0 flags=0x1\n");
	expect_traced(" UNREGISTER", entry.id, "result=0 ");
	expect_traced(" PING", 0, "result=0 ");
}

const struct test admin_tests[] = {
	{ "fdinfo: of a file", fdinfo_of_file },
	{ "fdinfo: the driver", fdinfo_driver },
	{ "debugfs: buffers of all files", debugfs_buffers },
	{ "debugfs: counters", debugfs_counters },
	{ "debugfs: requests", debugfs_requests },
	{ "debugfs: for the administrator only", debugfs_is_private },
	{ "tracepoints: commands and events", tracepoints },
	{ NULL, NULL },
};
