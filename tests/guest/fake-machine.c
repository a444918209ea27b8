/* SPDX-License-Identifier: MIT */
/*
 * The machine: folders, nodes, files and objects.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/fd-leak.h"
#include "guest/fake-drm-internal.h"
#include "lib/internal.h"

#define DRM_MAJOR 226

struct fake_machine fake;
_Thread_local volatile bool fake_inside;

bool fake_in_driver(void)
{
	return fake_inside;
}

int __real_fstat(int fd, struct stat *st);

noreturn void fake_die(const char *what)
{
	fprintf(stderr, "fake driver: %s: %s\n", what, strerror(errno));
	abort();
}

/* ---- folders ---- */

__attribute__((format(printf, 2, 3))) static void format_path(char path[FAKE_PATH_MAX],
							      const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(path, FAKE_PATH_MAX, format, args);
	va_end(args);
	if (n < 0 || n >= FAKE_PATH_MAX)
		fake_die("a path is too long");
}

static void make_folder(const char *path)
{
	char part[FAKE_PATH_MAX], *slash = part;

	format_path(part, "%s", path);
	while ((slash = strchr(slash + 1, '/'))) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			fake_die(part);
		*slash = '/';
	}
	if (mkdir(part, 0755) < 0 && errno != EEXIST)
		fake_die(part);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fprintf(f, "%s\n", text) < 0 || fclose(f) != 0)
		fake_die(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

static void remove_tree(const char *path)
{
	if (nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) < 0)
		fake_die(path);
}

/* devices/pciN/virtioM, and the link to it by which everybody finds it. */
static void make_virtio(unsigned int number, char folder[FAKE_PATH_MAX])
{
	char link[FAKE_PATH_MAX];

	format_path(folder, "%s/devices/pci%u/virtio%u", fake.sysfs, number, number);
	make_folder(folder);
	format_path(link, "%s/bus/virtio/devices/virtio%u", fake.sysfs, number);
	if (symlink(folder, link) < 0)
		fake_die(link);
}

void fake_device_set_attribute(struct fake_device *dev, const char *name, const char *text)
{
	char path[FAKE_PATH_MAX];

	format_path(path, "%s/%s", dev->folder, name);
	if (text)
		write_file(path, text);
	else if (unlink(path) < 0)
		fake_die(path);
}

static void set_number(struct fake_device *dev, const char *name, const char *format, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), format[1] == 'x' ? "0x%04" PRIx64 : "%" PRIu64, n);
	fake_device_set_attribute(dev, name, text);
}

static void set_attributes(struct fake_device *dev)
{
	const struct fake_config *c = &dev->config;

	fake_device_set_attribute(dev, "label", c->label);
	fake_device_set_attribute(dev, "application", c->application);
	fake_device_set_attribute(dev, "uuid", c->uuid);
	set_number(dev, "subsystem_vendor", "%x", c->subsystem_vendor);
	set_number(dev, "subsystem_device", "%x", c->subsystem_device);
	set_number(dev, "max_buffers", "%u", c->max_buffers);
	set_number(dev, "max_buffer_size", "%u", c->max_buffer_size);
	set_number(dev, "max_total_size", "%u", c->max_total_size);
	set_number(dev, "max_ranges", "%u", c->max_ranges);
	set_number(dev, "max_properties", "%u", c->max_properties);
	set_number(dev, "max_properties_size", "%u", c->max_properties_size);
	set_number(dev, "max_damage", "%u", c->max_damage);
}

/* ---- the machine ---- */

int fake_machine_setup(void **state)
{
	char folder[FAKE_PATH_MAX];

	memset(&fake, 0, sizeof(fake));
	fake.fds_before = fd_count();
	snprintf(fake.root, sizeof(fake.root), "/tmp/fake-drm-XXXXXX");
	if (!mkdtemp(fake.root))
		fake_die(fake.root);
	format_path(fake.sysfs, "%s/sys", fake.root);
	format_path(fake.dri, "%s/dri", fake.root);
	make_folder(fake.dri);
	format_path(folder, "%s/bus/virtio/devices", fake.sysfs);
	make_folder(folder);
	make_virtio(0, folder); /* of another driver */
	device_set_roots(fake.sysfs, fake.dri);
	return 0;
}

static void object_free(struct fake_object *object)
{
	if (object->map && object->fd >= 0)
		munmap(object->map, object->size);
	LIST_REMOVE(object, link);
	if (object->fd >= 0)
		close(object->fd);
	free(object);
}

int fake_machine_teardown(void **state)
{
	unsigned int i, files = 0;
	struct fake_object *object;
	int fds;

	for (i = 0; i < fake.num_devices; i++)
		files += fake_count_files(&fake.devices[i]);
	while ((object = LIST_FIRST(&fake.foreign)))
		object_free(object);
	if (!files && LIST_FIRST(&fake.objects))
		fake_die("an object outlived its files");
	remove_tree(fake.root);
	fds = fd_count();
	if (files || fds != fake.fds_before) {
		fprintf(stderr, "# %u nodes are open; descriptors: %d before the test, %d after\n",
			files, fake.fds_before, fds);
		return -1;
	}
	return 0;
}

static void set_defaults(struct fake_config *c)
{
	c->label = c->label ?: "";
	c->application = c->application ?: "";
	c->uuid = c->uuid ?: "00000000-0000-0000-0000-000000000000";
	c->driver_name = c->driver_name ?: DRIVER_NAME;
	c->max_buffers = c->max_buffers ?: 64;
	c->max_buffer_size = c->max_buffer_size ?: 64 << 20;
	c->max_total_size = c->max_total_size ?: 256 << 20;
	c->max_ranges = c->max_ranges ?: 1024;
	c->max_properties = c->max_properties ?: 64;
	c->max_properties_size = c->max_properties_size ?: DRM_BUFSHARE_MAX_PROPERTIES_SIZE;
	c->max_damage = c->max_damage ?: DRM_BUFSHARE_MAX_DAMAGE;
}

/* A node: in sysfs and where programs open it. */
static void make_node(struct fake_device *dev, const char *name, unsigned int minor,
		      char path[FAKE_PATH_MAX])
{
	char folder[FAKE_PATH_MAX], number[32];

	format_path(folder, "%s/devices/pci%u/drm/%s", fake.sysfs, dev->number + 1, name);
	make_folder(folder);
	format_path(path, "%s/dev", folder);
	snprintf(number, sizeof(number), "%u:%u", DRM_MAJOR, minor);
	write_file(path, number);
	format_path(path, "%s/%s", fake.dri, name);
	write_file(path, "");
}

struct fake_device *fake_device_add(const struct fake_config *config)
{
	struct fake_device *dev = &fake.devices[fake.num_devices];
	char name[32], folder[FAKE_PATH_MAX];

	if (fake.num_devices == FAKE_MAX_DEVICES)
		fake_die("too many devices");
	dev->number = fake.num_devices++;
	if (config)
		dev->config = *config;
	set_defaults(&dev->config);
	dev->plugged = true;
	dev->num_ranges = 1;
	TAILQ_INIT(&dev->files);
	TAILQ_INIT(&dev->buffers);

	make_virtio(dev->number + 1, folder);
	format_path(dev->folder, "%s/bufshare", folder);
	make_folder(dev->folder);
	set_attributes(dev);
	if (dev->config.no_nodes)
		return dev;
	snprintf(name, sizeof(name), "renderD%u", 128 + dev->number);
	make_node(dev, name, 128 + dev->number, dev->path);
	snprintf(name, sizeof(name), "card%u", dev->number);
	if (!dev->config.no_card)
		make_node(dev, name, dev->number, dev->card_path);
	return dev;
}

void fake_device_unplug(struct fake_device *dev)
{
	char path[FAKE_PATH_MAX];
	struct fake_file *file;

	format_path(path, "%s/bus/virtio/devices/virtio%u", fake.sysfs, dev->number + 1);
	unlink(path);
	unlink(dev->path);
	unlink(dev->card_path);
	format_path(path, "%s/devices/pci%u", fake.sysfs, dev->number + 1);
	remove_tree(path);
	fake_files_reap(dev);
	TAILQ_FOREACH(file, &dev->files, link)
		fake_send_event(file, DRM_BUFSHARE_EVENT_DEVICE_LOST, NULL, 0, 0, 0);
	dev->plugged = false;
}

void fake_device_replace(struct fake_device *dev, const char *label)
{
	char aside[FAKE_PATH_MAX];

	/* Kept for the time of the test, or its inode would be the new one's. */
	format_path(aside, "%s.gone", dev->folder);
	if (rename(dev->folder, aside) < 0)
		fake_die(aside);
	make_folder(dev->folder);
	dev->config.label = label;
	set_attributes(dev);
}

const char *fake_device_path(const struct fake_device *dev)
{
	return dev->path;
}

const char *fake_device_card_path(const struct fake_device *dev)
{
	return dev->card_path;
}

/* ---- objects ---- */

static struct fake_object *object_from_fd(int fd, uint64_t size)
{
	struct fake_object *object = calloc(1, sizeof(*object));
	struct stat st;

	if (!object || fd < 0 || ftruncate(fd, (off_t)size) < 0 || fstat(fd, &st) < 0)
		fake_die("an object's memory");
	object->refs = 1;
	object->fd = fd;
	object->inode = st.st_ino;
	object->size = size;
	object->number = ++fake.last_object;
	return object;
}

struct fake_object *fake_object_new(uint64_t size)
{
	struct fake_object *object;

	object = object_from_fd(memfd_create("object", MFD_CLOEXEC), size);
	LIST_INSERT_HEAD(&fake.objects, object, link);
	return object;
}

struct fake_object *fake_object_new_user(void *addr, uint64_t size)
{
	struct fake_object *object = calloc(1, sizeof(*object));

	if (!object)
		fake_die("an object");
	object->refs = 1;
	object->fd = -1;
	object->map = addr;
	object->size = size;
	object->number = ++fake.last_object;
	LIST_INSERT_HEAD(&fake.objects, object, link);
	return object;
}

void fake_object_put(struct fake_object *object)
{
	if (--object->refs == 0)
		object_free(object);
}

int fake_dmabuf_new(uint64_t size, bool shareable)
{
	int fd = memfd_create("dmabuf", MFD_CLOEXEC);
	struct fake_object *object;

	if (!shareable) {
		if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
			fake_die("a dma-buf");
		return fd;
	}
	object = object_from_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0), size);
	object->foreign = true;
	LIST_INSERT_HEAD(&fake.foreign, object, link);
	return fd;
}

/* ---- files ---- */

static void file_close(struct fake_file *file)
{
	struct fake_device *dev = file->dev;
	struct fake_buffer *buf, *next;
	unsigned int i;

	for (buf = TAILQ_FIRST(&dev->buffers); buf; buf = next) {
		next = TAILQ_NEXT(buf, link);
		if (buf->file == file)
			fake_buffer_free(buf);
	}
	for (i = 0; i < FAKE_MAX_HANDLES; i++)
		if (file->handles[i])
			fake_object_put(file->handles[i]);
	TAILQ_REMOVE(&dev->files, file, link);
	close(file->kernel_end);
	free(file);
}

/* Files whose last descriptor the program has closed. */
void fake_files_reap(struct fake_device *dev)
{
	struct fake_file *file, *next;

	for (file = TAILQ_FIRST(&dev->files); file; file = next) {
		struct pollfd p = { .fd = file->kernel_end };

		next = TAILQ_NEXT(file, link);
		if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP)
			file_close(file);
	}
}

struct fake_file *fake_file_find(int fd)
{
	struct fake_file *file;
	struct stat st;
	unsigned int i;

	if (__real_fstat(fd, &st) < 0)
		return NULL;
	for (i = 0; i < fake.num_devices; i++) {
		fake_files_reap(&fake.devices[i]);
		TAILQ_FOREACH(file, &fake.devices[i].files, link)
			if (file->inode == st.st_ino && S_ISSOCK(st.st_mode))
				return file;
	}
	return NULL;
}

static int file_open(struct fake_device *dev, bool card)
{
	struct fake_file *file;
	struct stat st;
	int ends[2];

	fake_inside = true;
	file = calloc(1, sizeof(*file));
	fake_inside = false;
	dev->opens++;
	if (dev->open_error) {
		free(file);
		errno = dev->open_error;
		return -1;
	}
	if (!file || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0 ||
	    fstat(ends[0], &st) < 0)
		fake_die("a node");
	file->dev = dev;
	file->card = card;
	file->kernel_end = ends[1];
	file->inode = st.st_ino;
	TAILQ_INSERT_TAIL(&dev->files, file, link);
	return ends[0];
}

/* ---- what the linker puts in the library's way ---- */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fstat(int fd, struct stat *st);
void *__real_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);

int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	unsigned int i;
	va_list args;

	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	for (i = 0; i < fake.num_devices; i++) {
		struct fake_device *dev = &fake.devices[i];

		if (dev->plugged && (!strcmp(path, dev->path) || !strcmp(path, dev->card_path)))
			return file_open(dev, strcmp(path, dev->path) != 0);
	}
	return __real_open(path, flags, mode);
}

int __wrap_fstat(int fd, struct stat *st)
{
	const struct fake_file *file = fake_file_find(fd);
	int r = __real_fstat(fd, st);

	if (file && r == 0) {
		st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | S_IFCHR;
		st->st_rdev = makedev(DRM_MAJOR, (file->card ? 0 : 128) + file->dev->number);
	}
	return r;
}

void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	const struct fake_file *file = fd < 0 ? NULL : fake_file_find(fd);
	unsigned int i;

	if (!file)
		return __real_mmap(addr, size, prot, flags, fd, offset);
	errno = file->dev->mmap_error ?: EINVAL;
	if (file->dev->mmap_error)
		return MAP_FAILED;
	/* As the kernel has it: only for files that have a handle. */
	for (i = 0; i < FAKE_MAX_HANDLES; i++) {
		const struct fake_object *object = file->handles[i];

		if (object && object->number == (uint64_t)offset >> 32 && size <= object->size)
			return __real_mmap(addr, size, prot, flags, object->fd, 0);
	}
	return MAP_FAILED;
}
