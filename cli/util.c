/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/cleanup.h"

static int exit_status(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENODEV:
		return EXIT_NOT_FOUND;
	case -EACCES:
	case -EPERM:
		return EXIT_PERMISSION;
	case -ETIMEDOUT:
		return EXIT_TIMEOUT;
	case -EPROTO:
		return EXIT_PROTOCOL;
	default:
		return EXIT_FAILED;
	}
}

static void prefix(const struct ctl *ctl)
{
	fprintf(stderr, "bufsharectl: ");
	if (ctl->verb)
		fprintf(stderr, "%s: ", ctl->verb->name);
}

int fail(const struct ctl *ctl, int error, const char *hint, const char *format, ...)
{
	va_list ap;

	prefix(ctl);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	if (error)
		fprintf(stderr, ": %s", strerror(-error));
	if (hint)
		fprintf(stderr, " (%s)", hint);
	fputc('\n', stderr);
	return exit_status(error);
}

int usage(const struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	prefix(ctl);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "; see: bufsharectl help%s%s\n", ctl->verb ? " " : "",
		ctl->verb ? ctl->verb->name : "");
	return EXIT_USAGE;
}

void note(const struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	if (ctl->quiet)
		return;
	prefix(ctl);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- finding things ---- */

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

/* Is the device plugged in, though no driver has it? */
static bool on_the_bus(void)
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
	return on_the_bus() ? "the driver is not loaded; run: bufsharectl load" :
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
		return fail(ctl, r, r == -EACCES ? "your user must be in the node's group, render as a rule" : NULL,
			    "cannot open %s", bufshare_device_get_path(d));
	*dev = steal_ptr(&d);
	return EXIT_OK;
}

int connect_host(struct ctl *ctl, const char *application, struct bufshare_host **host)
{
	const char *hint = NULL;
	int r;

	r = bufshare_host_connect(ctl->socket, application, host);
	if (r == 0)
		return EXIT_OK;
	if (r == -ENOENT || r == -ECONNREFUSED)
		hint = "is vhost-user-bufshare running, and is this its consumer socket?";
	else if (r == -EACCES)
		hint = "the daemon serves its own user, and root";
	else if (r == -EPROTO)
		hint = "this is not the consumer socket of a daemon of this version";
	return fail(ctl, r, hint, "cannot connect to %s", ctl->socket);
}

int sync_host(struct ctl *ctl, struct bufshare_host *host)
{
	const uint64_t deadline = now_ns() + 10000000000ull;
	struct bufshare_event ev;
	int r;

	for (;;) {
		r = bufshare_host_read_event(host, &ev);
		if (r == 0 && ev.type == BUFSHARE_EVENT_SYNCED)
			return EXIT_OK;
		if (r == 0)
			continue;
		if (r == -EAGAIN)
			r = wait_for(ctl, bufshare_host_get_fd(host), deadline);
		if (r == 0)
			r = -ETIMEDOUT;
		if (r < 0)
			return fail(ctl, r, NULL, "the daemon does not list its buffers");
	}
}

/* ---- waiting ---- */

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int wait_for(const struct ctl *ctl, int fd, uint64_t deadline_ns)
{
	struct pollfd p[2] = {
		{ .fd = ctl->signals, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	struct timespec ts = { 0 };
	int r;

	do {
		uint64_t now = now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;

		ts.tv_sec = (time_t)(left / 1000000000);
		ts.tv_nsec = (long)(left % 1000000000);
		r = ppoll(p, fd < 0 ? 1 : 2, deadline_ns ? &ts : NULL, NULL);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (p[0].revents)
		return -EINTR;
	return fd >= 0 && p[1].revents;
}

/* ---- arguments ---- */

bool parse_u64(const char *s, uint64_t max, uint64_t *value)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*value = strtoull(s, &end, 10);
	return !errno && !*end && *value <= max;
}

bool parse_seconds(const char *s, uint64_t *ns)
{
	double value;
	char *end;

	if ((*s < '0' || *s > '9') && *s != '.')
		return false;
	value = strtod(s, &end);
	if (*end || !(value > 0) || value > 1e9)
		return false;
	*ns = (uint64_t)(value * 1e9);
	return true;
}

bool parse_format(const char *s, uint32_t *format)
{
	if (strlen(s) != 4)
		return false;
	*format = (uint32_t)(unsigned char)s[0] | (uint32_t)(unsigned char)s[1] << 8 |
		  (uint32_t)(unsigned char)s[2] << 16 | (uint32_t)(unsigned char)s[3] << 24;
	return true;
}

/* ---- cleanup ---- */

void cleanup_device(struct bufshare_device **dev)
{
	bufshare_device_unref(*dev);
}

void cleanup_buffer(struct bufshare_buffer **buf)
{
	bufshare_buffer_unref(*buf);
}

void cleanup_host(struct bufshare_host **host)
{
	bufshare_host_unref(*host);
}

void cleanup_host_buffer(struct bufshare_host_buffer **buf)
{
	bufshare_host_buffer_unref(*buf);
}

void cleanup_json(struct json_object **o)
{
	json_object_put(*o);
}
