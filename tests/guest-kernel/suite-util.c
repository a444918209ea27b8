/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

#define EVENT_MS 5000

void fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void check_result(const char *file, int line, const char *what, int result, int expected)
{
	if (result != expected)
		fail(file, line, "%s: %s (%d), not %s (%d)", what, strerror(-result), result,
		     strerror(-expected), expected);
}

void skip(const char *reason)
{
	printf("# skipped: %s\n", reason);
	fflush(stdout);
	_exit(77);
}

int call(int fd, unsigned long request, void *args)
{
	return drmIoctl(fd, request, args) < 0 ? -errno : 0;
}

int open_node(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	return fd;
}

uint64_t get_param(int fd, uint64_t param)
{
	struct drm_bufshare_get_param args = { .param = param };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_GET_PARAM, &args));
	return args.value;
}

uint32_t create(int fd, uint64_t size)
{
	struct drm_bufshare_create args = { .size = size };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_CREATE, &args));
	expect(args.handle != 0);
	return args.handle;
}

void close_handle(int fd, uint32_t handle)
{
	struct drm_gem_close args = { .handle = handle };

	expect_ok(call(fd, DRM_IOCTL_GEM_CLOSE, &args));
}

void *map_handle(int fd, uint32_t handle, size_t size)
{
	struct drm_bufshare_map args = { .handle = handle };
	void *mem;

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_MAP, &args));
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)args.offset);
	expect(mem != MAP_FAILED);
	return mem;
}

struct drm_bufshare_register register_args(uint32_t handle)
{
	return (struct drm_bufshare_register){ .handle = handle, .application = APPLICATION };
}

uint64_t register_handle(int fd, uint32_t handle)
{
	struct drm_bufshare_register args = register_args(handle);
	int r = call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);

	if (r < 0)
		fail(__FILE__, __LINE__, "REGISTER: %s, status %u, detail %u", strerror(-r),
		     args.status, args.detail);
	expect(args.id != 0);
	return args.id;
}

uint64_t register_new(int fd, uint64_t size)
{
	return register_handle(fd, create(fd, size));
}

void unregister(int fd, uint64_t id)
{
	struct drm_bufshare_unregister args = { .id = id };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args));
}

struct drm_bufshare_info get_info(int fd, uint64_t id)
{
	struct drm_bufshare_info args = { .id = id };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_INFO, &args));
	return args;
}

bool is_listed(int fd, uint64_t id, uint32_t flags)
{
	uint64_t found = 0;
	struct drm_bufshare_list args = {
		.ids = (uintptr_t)&found, .count = 1, .flags = flags, .after = id - 1,
	};

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	return args.count > 0 && found == id;
}

void wait_unlisted(int fd, uint64_t id)
{
	int tries;

	for (tries = 0; tries < 500; tries++) {
		if (!is_listed(fd, id, DRM_BUFSHARE_LIST_ALL))
			return;
		usleep(10000);
	}
	fail(__FILE__, __LINE__, "buffer %llu is still registered", (unsigned long long)id);
}

struct drm_bufshare_update_entry update_entry(uint64_t id)
{
	return (struct drm_bufshare_update_entry){ .id = id };
}

int update(int fd, struct drm_bufshare_update_entry *entries, uint32_t count)
{
	struct drm_bufshare_update args = { .updates = (uintptr_t)entries, .count = count };

	return call(fd, DRM_IOCTL_BUFSHARE_UPDATE, &args);
}

bool read_event(int fd, int timeout_ms, struct drm_bufshare_event *event)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	expect(poll(&p, 1, timeout_ms) >= 0);
	if (!(p.revents & POLLIN))
		return false;
	n = read(fd, event, sizeof(*event));
	expect(n == sizeof(*event));
	expect(event->base.length == sizeof(*event));
	return true;
}

struct drm_bufshare_event expect_event(int fd, uint32_t type, uint64_t id)
{
	struct drm_bufshare_event event;

	if (!read_event(fd, EVENT_MS, &event))
		fail(__FILE__, __LINE__, "no event, but 0x%x was expected", type);
	if (event.base.type != type || event.id != id)
		fail(__FILE__, __LINE__, "event 0x%x of %llu, not 0x%x of %llu", event.base.type,
		     (unsigned long long)event.id, type, (unsigned long long)id);
	return event;
}

void expect_no_event(int fd)
{
	struct drm_bufshare_ping ping = { 0 };
	struct drm_bufshare_event event;
	int answer;

	/* What the device has to say of commands before this one, it says before the answer. */
	answer = call(fd, DRM_IOCTL_BUFSHARE_PING, &ping);
	if (read_event(fd, answer ? 100 : 5, &event))
		fail(__FILE__, __LINE__, "event 0x%x of %llu", event.base.type,
		     (unsigned long long)event.id);
}

void drop_privileges(void)
{
	expect(setresuid(65534, 65534, 65534) == 0);
}

void read_attribute(const struct node *n, const char *name, char *text, size_t size)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/bufshare/%s", n->sysfs, name);
	file = fopen(path, "re");
	if (!file)
		fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	if (!fgets(text, (int)size, file))
		fail(__FILE__, __LINE__, "%s: empty", path);
	fclose(file);
	expect(strchr(text, '\n'));
	*strchr(text, '\n') = '\0';
}

static int find_vgem(void)
{
	drmVersionPtr version;
	char path[64];
	int i, fd;

	for (i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		if (version && strcmp(version->name, "vgem") == 0)
			return fd;
		drmFreeVersion(version);
		close(fd);
	}
	return -1;
}

static void load_vgem(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("modprobe", "modprobe", "-q", "vgem", NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

int open_vgem(void)
{
	int fd = find_vgem();

	if (fd >= 0)
		return fd;
	load_vgem();
	return find_vgem();
}
