/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "liar.h"

void set_timeout(unsigned int ms)
{
	static const char path[] = "/sys/module/virtio_bufshare/parameters/timeout_ms";
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	expect(fd >= 0 && dprintf(fd, "%u", ms) > 0);
	close(fd);
}

void tell(int fd, const char *lie)
{
	struct drm_bufshare_register args = register_args(create(fd, 4096));

	memset(args.application, 0, sizeof(args.application));
	snprintf(args.application, sizeof(args.application), "lie.%s", lie);
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args));
}

void write_driver(const char *file)
{
	const char *name = strrchr(node.sysfs, '/') + 1;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/virtio/drivers/virtio_bufshare/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	expect(fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name));
	close(fd);
}

int open_liar(void)
{
	int fd = open_node(node.render);

	set_timeout(300);
	tell(fd, "none");
	return fd;
}

int ping(int fd)
{
	struct drm_bufshare_ping args = { 0 };

	return call(fd, DRM_IOCTL_BUFSHARE_PING, &args);
}

void expect_works(int fd)
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

const struct command commands[NUM_COMMANDS] = {
	[COMMAND_REGISTER] = { "register", do_register },
	[COMMAND_UNREGISTER] = { "unregister", do_unregister },
	[COMMAND_SET] = { "set", do_set },
	[COMMAND_GET] = { "get", do_get },
	[COMMAND_RESET] = { "reset", do_reset },
	[COMMAND_PING] = { "ping", do_ping },
};
