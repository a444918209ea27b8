/* SPDX-License-Identifier: MIT */
/*
 * Puts a machine under a program that knows nothing of it (the program's own main() runs
 * afterwards). The environment describes the machine:
 *
 * FAKE_LABELS="a b"	devices with these labels (-: none); the first has application "org.example"
 * FAKE_SUBSYSTEM=N	their subsystem ids are 0000 and N
 * FAKE_CONSUMERS=N	so many host programs see each buffer, and release it at once
 * FAKE_BUFFER=1	another program shares a framebuffer titled "other" on the first device;
 *			=lost: the host has dropped it
 * FAKE_PRIVILEGED=1	this program may see others' buffers
 * FAKE_DENIED=1	the nodes may not be opened
 * FAKE_REFUSE=STATUS	the host refuses registrations
 * FAKE_GONE=1		registering fails: the device is gone
 * FAKE_FAIL="CALL:ERRNO ..."	calls that fail: PING, CREATE, INFO or UPDATE
 * FAKE_RANGES=N	buffers consist of so many pieces of memory
 * FAKE_PATH=N		enum virtio_bufshare_path of buffers; 1, copy, at first
 * FAKE_KEEPS=1		the host programs release nothing
 * FAKE_MAPPED=1	a host program does not let go of the memory
 * FAKE_BUS=DIR		what is on the PCI bus, as in sysfs
 * FAKE_MODULES=DIR	what is installed for this kernel, as depmod leaves it
 * FAKE_MODPROBE=FILE	what modprobe.d says
 */
#include <dirent.h>
#include <drm_fourcc.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libkmod.h>

#include <bufshare.h>

#include "guest/fake-drm-internal.h"

static struct bufshare_device *other_program;
static struct bufshare_buffer *other_buffer;

static bool is_set(const char *name)
{
	return getenv(name) != NULL;
}

static void share_other(struct fake_device *dev)
{
	if (bufshare_device_new_from_path(fake_device_path(dev), &other_program) < 0 ||
	    bufshare_device_open(other_program) < 0 ||
	    bufshare_buffer_new_framebuffer(other_program, 32, 16, DRM_FORMAT_XRGB8888,
					    &other_buffer) < 0 ||
	    bufshare_buffer_set_property(other_buffer, "title", "other") < 0 ||
	    bufshare_buffer_register(other_buffer, "org.example") < 0 ||
	    bufshare_buffer_update(other_buffer, NULL, 0, NULL) < 0)
		fake_die("the other program");
	if (strcmp(getenv("FAKE_BUFFER"), "lost") == 0)
		fake_host_lose_buffer(dev, bufshare_buffer_get_id(other_buffer), 0);
}

static void fail_calls(struct fake_device *dev)
{
	static const struct {
		const char *name;
		unsigned long request;
	} calls[] = {
		{ "PING", DRM_IOCTL_BUFSHARE_PING },
		{ "CREATE", DRM_IOCTL_BUFSHARE_CREATE },
		{ "INFO", DRM_IOCTL_BUFSHARE_INFO },
		{ "UPDATE", DRM_IOCTL_BUFSHARE_UPDATE },
	};
	char *all = strdup(getenv("FAKE_FAIL") ?: ""), *save = NULL, *call;
	size_t i;

	for (call = strtok_r(all, " ", &save); call; call = strtok_r(NULL, " ", &save)) {
		size_t n = strcspn(call, ":");

		for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
			if (strlen(calls[i].name) == n && strncmp(call, calls[i].name, n) == 0)
				fake_fail_ioctl(dev, calls[i].request, atoi(call + n + 1), -1);
	}
	free(all);
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);

DIR *__wrap_opendir(const char *path)
{
	const char *bus = getenv("FAKE_BUS");

	return __real_opendir(bus && strcmp(path, "/sys/bus/pci/devices") == 0 ? bus : path);
}

__attribute__((constructor)) static void begin(void)
{
	char *labels = strdup(getenv("FAKE_LABELS") ?: ""), *save = NULL, *label;
	struct fake_device *dev;

	if (!labels || fake_machine_setup(NULL) != 0)
		fake_die("the machine");
	for (label = strtok_r(labels, " ", &save); label; label = strtok_r(NULL, " ", &save)) {
		struct fake_config config = { .label = strcmp(label, "-") ? label : "" };

		if (!fake.num_devices)
			config.application = "org.example";
		config.subsystem_device = (uint16_t)atoi(getenv("FAKE_SUBSYSTEM") ?: "0");
		dev = fake_device_add(&config);
		fake_set_consumers(dev, (uint32_t)atoi(getenv("FAKE_CONSUMERS") ?: "0"));
		fake_set_auto_release(dev, is_set("FAKE_CONSUMERS") && !is_set("FAKE_KEEPS"));
		fake_set_num_ranges(dev, (uint32_t)atoi(getenv("FAKE_RANGES") ?: "1"));
		fake_set_still_mapped(dev, is_set("FAKE_MAPPED"));
		dev->path_kind = (uint32_t)atoi(getenv("FAKE_PATH") ?: "1");
		fail_calls(dev);
		fake_set_privileged(dev, is_set("FAKE_PRIVILEGED"));
		if (is_set("FAKE_BUFFER") && dev == &fake.devices[0])
			share_other(dev);
		if (is_set("FAKE_DENIED"))
			fake_fail_open(dev, EACCES);
		if (is_set("FAKE_REFUSE"))
			fake_refuse_register(dev, (uint32_t)atoi(getenv("FAKE_REFUSE")), 0);
		if (is_set("FAKE_GONE"))
			fake_fail_ioctl(dev, DRM_IOCTL_BUFSHARE_REGISTER, ENODEV, -1);
	}
	free(labels);
}

struct kmod_ctx *__real_kmod_new(const char *folder, const char *const *config);
struct kmod_ctx *__wrap_kmod_new(const char *folder, const char *const *config);

struct kmod_ctx *__wrap_kmod_new(const char *folder, const char *const *config)
{
	const char *const files[] = { getenv("FAKE_MODPROBE") ?: "/dev/null", NULL };
	const char *modules = getenv("FAKE_MODULES");

	return modules ? __real_kmod_new(modules, files) : __real_kmod_new(folder, config);
}

__attribute__((destructor)) static void end(void)
{
	bufshare_buffer_unref(other_buffer);
	bufshare_device_unref(other_program);
	fake_machine_teardown(NULL);
}
