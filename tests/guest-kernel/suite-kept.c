/* SPDX-License-Identifier: MIT */
/*
 * Pages that programs of the host do not let go of: they are nobody else's until the device
 * says that it is over. The device is one that says what it is told to (hostile-device).
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "liar.h"

#define SIZE 65536

static unsigned int references(void)
{
	int fd = open("/sys/module/virtio_bufshare/refcnt", O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0)
		skip("this kernel does not unload modules");
	expect(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return (unsigned int)atoi(text);
}

static void wait_kept(uint64_t buffers, uint64_t bytes)
{
	int i;

	for (i = 0; i < 500 && counter("kept_buffers ") != buffers; i++)
		usleep(10000);
	expect(counter("kept_buffers ") == buffers);
	expect(counter("kept_bytes ") == bytes);
}

/* The device says so of the buffer that was registered last. */
static void say(int fd, const char *what)
{
	tell(fd, what);
	expect_ok(ping(fd));
	tell(fd, "none");
}

static uint32_t take_back(int fd, uint64_t id)
{
	struct drm_bufshare_unregister args = { .id = id };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args));
	return args.flags;
}

/* Unregisters a buffer that the host does not let go of. */
static void leave_mapped(int liar, int fd, uint64_t id)
{
	tell(liar, "unregister.mapped");
	expect(take_back(fd, id) == DRM_BUFSHARE_UNREGISTER_STILL_MAPPED);
	tell(liar, "none");
}

static void until_event(void)
{
	int liar = open_liar(), fd = open_node(node.render);
	unsigned int before = references();

	leave_mapped(liar, fd, register_new(fd, SIZE));
	wait_kept(1, SIZE);
	expect(references() == before + 1);
	close(fd);
	usleep(100000);
	wait_kept(1, SIZE);
	say(liar, "event.unmapped");
	wait_kept(0, 0);
	expect(references() == before - 1);
}

/* The event and the answer come from two queues. */
static void event_first(void)
{
	int liar = open_liar(), fd = open_node(node.render);
	uint64_t id = register_new(fd, SIZE);

	tell(liar, "unregister.unmapped");
	expect(take_back(fd, id) == DRM_BUFSHARE_UNREGISTER_STILL_MAPPED);
	tell(liar, "none");
	expect_ok(ping(fd));
	wait_kept(0, 0);
}

static void program_gone(void)
{
	int liar = open_liar(), fd = open_node(node.render);

	register_new(fd, SIZE);
	tell(liar, "unregister.mapped");
	close(fd);
	wait_kept(1, SIZE);
	tell(liar, "none");
	say(liar, "event.unmapped");
	wait_kept(0, 0);
}

/* The same buffer can be registered again, and the registrations are told apart. */
static void registered_again(void)
{
	int liar = open_liar(), fd = open_node(node.render);
	uint32_t handle = create(fd, SIZE);
	uint64_t again;

	leave_mapped(liar, fd, register_handle(fd, handle));
	say(liar, "event.unmapped");
	wait_kept(0, 0);
	leave_mapped(liar, fd, register_handle(fd, handle));
	again = register_handle(fd, handle);
	say(liar, "event.unmapped"); /* of the one that is registered: nonsense */
	wait_kept(1, SIZE);
	expect(!(get_info(fd, again).flags & DRM_BUFSHARE_INFO_LOST));
	tell(liar, "unregister.mapped");
	take_back(fd, again);
	tell(liar, "none");
	wait_kept(2, 2 * SIZE);
	say(liar, "event.unmapped");
	wait_kept(1, SIZE);
	/* A device that restarted does not know of the other one. */
	say(liar, "event.restarted");
	wait_kept(0, 0);
}

/* After a restart the device is asked, and knows better. */
static void asked_again(void)
{
	int liar = open_liar(), fd = open_node(node.render);
	struct drm_bufshare_event event;
	uint64_t id = register_new(fd, SIZE), unregisters;

	tell(liar, "unregister.mapped-after-restart");
	expect(take_back(fd, id) == DRM_BUFSHARE_UNREGISTER_STILL_MAPPED);
	wait_kept(1, SIZE);
	unregisters = counter("command.UNREGISTER ");
	expect_ok(ping(fd));
	while (read_event(fd, 1000, &event) && event.base.type != DRM_BUFSHARE_EVENT_RESTARTED)
		;
	expect(event.base.type == DRM_BUFSHARE_EVENT_RESTARTED);
	while (counter("command.UNREGISTER ") == unregisters)
		usleep(1000);
	expect_ok(ping(liar));
	wait_kept(1, SIZE);
	tell(liar, "none");
	say(liar, "event.restarted");
	wait_kept(0, 0);
}

/* What is kept counts like what is registered, whoever it was from. */
static void limits(void)
{
	int liar = open_liar(), fd = open_node(node.render), i;
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE);
	uint64_t size = get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE), ids[64];
	struct drm_bufshare_register args;
	int n = (int)(max / size) - 1;

	expect(n > 0 && n < 64);
	for (i = 0; i < n; i++)
		ids[i] = register_new(fd, size);
	tell(liar, "unregister.mapped");
	for (i = 0; i < n; i++)
		take_back(fd, ids[i]);
	tell(liar, "none");
	wait_kept((uint64_t)n, (uint64_t)n * size);
	args = register_args(create(fd, size));
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args), -ENOSPC);
	expect(args.status == VIRTIO_BUFSHARE_STATUS_LIMIT);
	expect(args.detail == VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE);
	say(liar, "event.restarted");
	wait_kept(0, 0);
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args));
}

static long pinned_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];
	long kib = -1;

	expect(file);
	while (kib < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "VmPin: %ld kB", &kib);
	fclose(file);
	expect(kib >= 0);
	return kib;
}

/* A program's own memory stays pinned, and charged. */
static void user_memory(void)
{
	int liar = open_liar(), fd = open_node(node.render), i;
	struct drm_bufshare_user_memory args = { .size = SIZE };
	void *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	expect(mem != MAP_FAILED);
	args.addr = (uintptr_t)mem;
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args));
	leave_mapped(liar, fd, register_handle(fd, args.handle));
	close(fd);
	wait_kept(1, SIZE);
	expect(pinned_kib() == SIZE / 1024);
	say(liar, "event.unmapped");
	for (i = 0; i < 500 && pinned_kib(); i++)
		usleep(10000);
	expect(pinned_kib() == 0);
}

/* With the device ends what it knows. */
static void device_gone(void)
{
	int liar = open_liar(), fd = open_node(node.render);
	unsigned int before;

	before = references() - 2;
	leave_mapped(liar, fd, register_new(fd, SIZE));
	close(fd);
	wait_kept(1, SIZE);
	write_driver("unbind");
	close(liar);
	expect(references() == before);
	write_driver("bind");
	expect(counter("kept_buffers ") == 0);
	expect_works(open_liar());
}

const struct test kept_tests[] = {
	{ "kept: until the device says that it is over", until_event },
	{ "kept: not, if the event comes before the answer", event_first },
	{ "kept: when the program is gone", program_gone },
	{ "kept: and registered again", registered_again },
	{ "kept: asked for again after a restart", asked_again },
	{ "kept: within the limits of the device", limits },
	{ "kept: a program's own memory", user_memory },
	{ "kept: not longer than the device is there", device_gone },
	{ NULL, NULL },
};
