/* SPDX-License-Identifier: MIT */
/*
 * The device a verb of the guest works on, and what such verbs do with its buffers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/cleanup.h"

static bool file_says(int folder, const char *name, const char *file, const char *wanted)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	char text[16] = "";

	if (asprintf(&path, "%s/%s", name, file) < 0) {
		path = NULL;
		return false;
	}
	fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
	       strncmp(text, wanted, strlen(wanted)) == 0;
}

bool device_on_the_bus(void)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	dir = opendir("/sys/bus/pci/devices");
	while (dir && !found && (entry = readdir(dir)))
		found = file_says(dirfd(dir), entry->d_name, "vendor", "0x1af4") &&
			file_says(dirfd(dir), entry->d_name, "device", "0x1065");
	if (dir)
		closedir(dir);
	return found;
}

static const char *no_device_hint(void)
{
	return device_on_the_bus() ? "the driver is not loaded; run: bufsharectl load" :
			      "start the VM with one; on the host, bufsharectl qemu-args prints how";
}

static int find_device(struct ctl *ctl, struct bufshare_device **dev)
{
	struct bufshare_device **devs;
	uint64_t index;
	size_t n;
	int r;

	if (ctl->device && strchr(ctl->device, '/'))
		return bufshare_device_new_from_path(ctl->device, dev);
	r = bufshare_device_new_from_label(ctl->device, dev);
	if (r != -ENOENT || !ctl->device || !parse_u64(ctl->device, 1000, &index))
		return r;
	r = bufshare_device_enumerate(&devs, &n);
	if (r < 0)
		return r;
	r = -ENOENT;
	if (index < n) {
		*dev = bufshare_device_ref(devs[index]);
		r = 0;
	}
	bufshare_device_list_free(devs, n);
	return r;
}

int open_device(struct ctl *ctl, struct bufshare_device **dev)
{
	_cleanup_(cleanup_device) struct bufshare_device *d = NULL;
	int r;

	r = find_device(ctl, &d);
	if (r == -ENOENT && ctl->device)
		return fail(ctl, r, "bufsharectl devices lists those there are", "no device \"%s\"",
			    ctl->device);
	if (r == -ENOENT)
		return fail(ctl, 0, no_device_hint(), "no virtio-bufshare device"), EXIT_NOT_FOUND;
	if (r == -ENOTUNIQ)
		return fail(ctl, r, "choose one by its path: -d /dev/dri/renderDN",
			    "more than one device fits");
	if (r < 0)
		return fail(ctl, r, NULL, "cannot look for devices");
	r = bufshare_device_open(d);
	if (r < 0)
		return fail(ctl, r, r == -EACCES ? DENIED_HINT : NULL,
			    "cannot open %s", bufshare_device_get_path(d));
	*dev = steal_ptr(&d);
	return EXIT_OK;
}


static bool same(const char *text, int error)
{
	return strcmp(text, strerror(-error)) == 0;
}

static int register_failed(struct ctl *ctl, const struct bufshare_buffer *buf, int r)
{
	const char *why = bufshare_buffer_get_refusal(buf), *hint = NULL;

	if (*why && !same(why, r))
		hint = why;
	else if (r == -EINVAL)
		hint = "an application is letters, digits, \".\", \"_\" and \"-\", up to 63";
	else if (r == -ENODEV)
		hint = "the device was unplugged";
	else if (r == -ENOTCONN || r == -ETIMEDOUT)
		hint = "is vhost-user-bufshare of this device still running on the host?";
	return fail(ctl, r, hint, "cannot register the buffer");
}

int share_buffer(struct ctl *ctl, struct bufshare_buffer *buf, const char *application)
{
	int r;

	r = bufshare_buffer_register(buf, application);
	return r < 0 ? register_failed(ctl, buf, r) : EXIT_OK;
}

const char *property_hint(int error)
{
	switch (error) {
	case -EINVAL:
		return "a name is small letters, digits, \".\", \"_\" and \"-\", a value is UTF-8";
	case -EPERM:
		return "what begins with \"host.\" belongs to the host";
	case -ENOSPC:
		return "the buffer has as many properties as the device takes";
	case -EACCES:
		return "run it as root; who shares a buffer has bufsharectl share -i";
	case -ENOENT:
		return "bufsharectl buffers lists the buffers there are";
	default:
		return NULL;
	}
}

int set_property(struct ctl *ctl, struct bufshare_buffer *buf, const char *assignment)
{
	_cleanup_free_ char *name = strdup(assignment);
	char *value;
	int r;

	if (!name)
		return fail(ctl, -ENOMEM, NULL, "no memory");
	value = strchr(name, '=');
	*value++ = '\0';
	r = bufshare_buffer_set_property(buf, name, value);
	return r < 0 ? fail(ctl, r, property_hint(r), "cannot set the property %s", name) : EXIT_OK;
}
