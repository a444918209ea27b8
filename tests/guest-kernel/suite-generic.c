/* SPDX-License-Identifier: MIT */
/*
 * What DRM's generic tests ask of any driver, where it concerns ours: docs/igt.md says which
 * ask what, and what does not apply.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

/* ---- the core's calls ---- */

static void version(void)
{
	drmVersionPtr v = drmGetVersion(open_node(node.card));

	expect(v && v->name[0] && v->desc[0] && v->date[0]);
	drmFreeVersion(v);
}

static void client_and_stats(void)
{
	int fd = open_node(node.card);
	struct drm_client client = { .idx = 0 };
	struct drm_stats stats;

	expect_ok(call(fd, DRM_IOCTL_GET_CLIENT, &client));
	expect(client.auth == 1);
	client.idx = INT_MAX;
	expect_result(call(fd, DRM_IOCTL_GET_CLIENT, &client), -EINVAL);
	expect_ok(call(fd, DRM_IOCTL_GET_STATS, &stats));
}

static void capabilities(void)
{
	int fd = open_node(node.render), card = open_node(node.card);
	uint64_t value;

	expect(drmGetCap(fd, DRM_CAP_SYNCOBJ, &value) == 0 && value == 1);
	expect(drmGetCap(fd, DRM_CAP_SYNCOBJ_TIMELINE, &value) == 0 && value == 1);
	expect(drmGetCap(fd, DRM_CAP_TIMESTAMP_MONOTONIC, &value) == 0 && value == 1);
	expect(drmGetCap(fd, DRM_CAP_PRIME, &value) == 0);
	expect(value == (DRM_PRIME_CAP_IMPORT | DRM_PRIME_CAP_EXPORT));
	/* There are dumb buffers, but the core tells of them for displays only. */
	expect(drmGetCap(card, DRM_CAP_DUMB_BUFFER, &value) < 0 && errno == EOPNOTSUPP);
	expect(drmGetCap(fd, 0xffff, &value) < 0);
}

static void master(void)
{
	int first = open_node(node.card), client = open_node(node.card);
	int second;
	drm_magic_t magic;

	expect(drmIsMaster(first) && !drmIsMaster(client));
	expect(drmGetMagic(client, &magic) == 0 && magic > 0);
	expect(drmAuthMagic(client, magic) < 0 && errno == EACCES);
	expect(drmAuthMagic(first, magic) == 0);
	expect(drmAuthMagic(first, magic) < 0 && errno == EINVAL);

	/* A magic number is good for the master that it was made under. */
	expect(drmGetMagic(client, &magic) == 0);
	second = open_node(node.card);
	expect(drmSetMaster(second) < 0);
	expect(drmDropMaster(first) == 0 && drmSetMaster(second) == 0);
	expect(drmAuthMagic(second, magic) < 0 && errno == EINVAL);
	/* Neither matters to us. */
	register_new(client, 4096);
}

/* Reads all files of a folder; those that can only be written, and links, are left out. */
static int read_all(const char *folder, int depth)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[PATH_MAX], data[4096];
	struct stat st;
	int fd, n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] == '.' || lstat(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth > 0)
			n += read_all(path, depth - 1);
		if (!S_ISREG(st.st_mode) || !(st.st_mode & 0444))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			continue;
		while (read(fd, data, sizeof(data)) > 0)
			;
		close(fd);
		n++;
	}
	closedir(dir);
	return n;
}

static void all_files(void)
{
	int fd = open_node(node.render);
	char path[128];

	register_new(fd, 65536);
	expect(read_all(node.sysfs, 2) > 10);
	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%s", node.card + strlen("/dev/dri/card"));
	if (access(path, F_OK) == 0)
		expect(read_all(path, 2) >= 3);
}

/* ---- read() ---- */

static int file_with_event(uint64_t *id)
{
	int fd = open_node(node.render);
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));

	*id = entry.id;
	expect_ok(update(fd, &entry, 1));
	while (get_info(fd, entry.id).released < 1)
		usleep(1000);
	return fd;
}

static void read_bad_address(void)
{
	uint64_t id;
	int fd = file_with_event(&id);

	expect(read(fd, (void *)-1, 4096) == -1 && errno == EFAULT);
	/* It is still there. */
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, id);
}

/* Into a mapping of the same file that was never touched. */
static void read_into_buffer(void)
{
	uint64_t id;
	int fd = file_with_event(&id);
	struct drm_bufshare_event *event = map_handle(fd, create(fd, 4096), 4096);

	expect(read(fd, event, 4096) == sizeof(*event));
	expect(event->base.type == DRM_BUFSHARE_EVENT_RELEASED && event->id == id);
}

static void on_alarm(int signo)
{
}

static void read_blocks(void)
{
	int fd = open(node.render, O_RDWR | O_CLOEXEC);
	struct itimerval soon = { .it_value.tv_usec = 100000 };
	struct sigaction action = { .sa_handler = on_alarm };
	char data[256];

	expect(fd >= 0 && sigaction(SIGALRM, &action, NULL) == 0);
	expect(setitimer(ITIMER_REAL, &soon, NULL) == 0);
	expect(read(fd, data, sizeof(data)) == -1 && errno == EINTR);
}

/* ---- dumb buffers ---- */

static struct drm_mode_create_dumb dumb(void)
{
	return (struct drm_mode_create_dumb){ .width = 640, .height = 480, .bpp = 32 };
}

static void *map_dumb(int fd, uint32_t handle, size_t size)
{
	struct drm_mode_map_dumb args = { .handle = handle };

	expect_ok(call(fd, DRM_IOCTL_MODE_MAP_DUMB, &args));
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)args.offset);
}

static void destroy_dumb(int fd, uint32_t handle)
{
	struct drm_mode_destroy_dumb args = { .handle = handle };

	expect_ok(call(fd, DRM_IOCTL_MODE_DESTROY_DUMB, &args));
}

static void dumb_wrong(void)
{
	int fd = open_node(node.card);
	struct drm_mode_create_dumb args = dumb();

	args.bpp = 0;
	expect_result(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &args), -EINVAL);
	args = dumb();
	args.width = 0;
	expect_result(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &args), -EINVAL);
	args = dumb();
	args.height = 0;
	expect_result(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &args), -EINVAL);
}

static void dumb_map(void)
{
	int fd = open_node(node.card);
	struct drm_mode_create_dumb args = dumb();
	uint32_t *mem;

	expect_ok(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &args));
	expect(args.pitch >= 640 * 4 && args.size >= (uint64_t)args.pitch * 480);
	expect(map_dumb(fd, args.handle, args.size + 1) == MAP_FAILED);
	mem = map_dumb(fd, args.handle, args.size);
	expect(mem != MAP_FAILED);
	destroy_dumb(fd, args.handle);
	expect(*mem == 0);
	munmap(mem, args.size);
}

/* Whoever gets memory does not see what was in it. */
static void dumb_is_clear(void)
{
	int fd = open_node(node.card), i;
	struct drm_mode_create_dumb args;
	char *mem;
	size_t at;

	for (i = 0; i < 10; i++) {
		args = dumb();
		expect_ok(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &args));
		mem = map_dumb(fd, args.handle, args.size);
		expect(mem != MAP_FAILED);
		for (at = 0; at < args.size; at++)
			if (mem[at])
				fail(__FILE__, __LINE__, "byte %zu is 0x%x", at, mem[at]);
		memset(mem, 0xa5, args.size);
		munmap(mem, args.size);
		destroy_dumb(fd, args.handle);
	}
}

/* ---- syncobjs ---- */

static void syncobj_wrong(void)
{
	int fd = open_node(node.render), file;
	uint32_t handle, none = 0;
	uint64_t point = 0;

	expect(drmSyncobjCreate(fd, 0xdead, &handle) < 0 && errno == EINVAL);
	expect(drmSyncobjDestroy(fd, 4711) < 0 && errno == EINVAL);
	expect(drmSyncobjHandleToFD(fd, 4711, &file) < 0 && errno == EINVAL);
	expect(drmSyncobjFDToHandle(fd, fd, &handle) < 0 && errno == EINVAL);
	expect(drmSyncobjFDToHandle(fd, -1, &handle) < 0 && errno == EINVAL);
	none = 4711;
	expect(drmSyncobjWait(fd, &none, 1, 0, 0, NULL) < 0 && errno == ENOENT);
	expect(drmSyncobjQuery(fd, &none, &point, 1) < 0 && errno == ENOENT);
	expect(drmSyncobjTimelineSignal(fd, &none, &point, 1) < 0 && errno == ENOENT);
}

static void syncobj_between_files(void)
{
	int fd = open_node(node.render), other = open_node(node.render), file;
	uint32_t handle, there;
	uint64_t point = 3, value = 0;

	expect(drmSyncobjCreate(fd, 0, &handle) == 0);
	expect(drmSyncobjHandleToFD(fd, handle, &file) == 0);
	expect(drmSyncobjFDToHandle(other, file, &there) == 0);
	close(file);
	expect(drmSyncobjTimelineSignal(fd, &handle, &point, 1) == 0);
	expect(drmSyncobjDestroy(fd, handle) == 0);
	expect(drmSyncobjQuery(other, &there, &value, 1) == 0 && value == 3);
}

const struct test generic_tests[] = {
	{ "generic: version", version },
	{ "generic: client and statistics", client_and_stats },
	{ "generic: capabilities", capabilities },
	{ "generic: master and authentication", master },
	{ "generic: all files in sysfs and debugfs", all_files },
	{ "generic: read to a bad address", read_bad_address },
	{ "generic: read into a buffer's mapping", read_into_buffer },
	{ "generic: read blocks, and is interrupted", read_blocks },
	{ "generic: dumb buffers that are none", dumb_wrong },
	{ "generic: map a dumb buffer", dumb_map },
	{ "generic: dumb buffers are clear", dumb_is_clear },
	{ "generic: wrong syncobjs", syncobj_wrong },
	{ "generic: a syncobj in two files", syncobj_between_files },
	{ NULL, NULL },
};
