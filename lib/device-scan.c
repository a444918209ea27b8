/* SPDX-License-Identifier: MIT */
/*
 * From sysfs to a list of devices, without opening a node: the driver puts what tells
 * devices apart into the folder "bufshare" of each virtio device; the DRM nodes hang off
 * the device above it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/internal.h"

static const char *sysfs_root = "/sys";
static const char *dri_root = "/dev/dri";

void device_set_roots(const char *sysfs, const char *dri)
{
	sysfs_root = sysfs;
	dri_root = dri;
}

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static void cleanup_list(struct bufshare_device ***devs)
{
	size_t n;

	if (!*devs)
		return;
	for (n = 0; (*devs)[n]; n++)
		bufshare_device_unref((*devs)[n]);
	free(*devs);
}

/* An attribute without its newline. -ENOENT: not there; -EINVAL: longer than any. */
static int read_attribute(int folder, const char *name, char *value, size_t size)
{
	_cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, value, size);
	if (n < 0)
		return -errno;
	if ((size_t)n == size)
		return -EINVAL;
	value[n] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

static int read_number(int folder, const char *name, uint64_t *value)
{
	char text[32], *end;
	int r;

	r = read_attribute(folder, name, text, sizeof(text));
	if (r < 0)
		return r;
	errno = 0;
	*value = strtoull(text, &end, 0);
	return errno || end == text || *end ? -EINVAL : 0;
}

static int read_uuid(int folder, uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	char text[64], *p = text;
	unsigned int i, byte;
	int r;

	r = read_attribute(folder, "uuid", text, sizeof(text));
	if (r < 0)
		return r;
	for (i = 0; i < BUFSHARE_UUID_SIZE; i++) {
		if (*p == '-')
			p++;
		if (sscanf(p, "%2x", &byte) != 1 || !p[1])
			return -EINVAL;
		uuid[i] = (uint8_t)byte;
		p += 2;
	}
	return *p ? -EINVAL : 0;
}

static int read_identity(int folder, struct bufshare_device *dev)
{
	static const char *const limits[NUM_LIMITS] = {
		[BUFSHARE_LIMIT_BUFFERS] = "max_buffers",
		[BUFSHARE_LIMIT_BUFFER_SIZE] = "max_buffer_size",
		[BUFSHARE_LIMIT_TOTAL_SIZE] = "max_total_size",
		[BUFSHARE_LIMIT_RANGES] = "max_ranges",
		[BUFSHARE_LIMIT_PROPERTIES] = "max_properties",
		[BUFSHARE_LIMIT_PROPERTIES_SIZE] = "max_properties_size",
		[BUFSHARE_LIMIT_DAMAGE] = "max_damage",
	};
	uint64_t vendor, device;
	int i, r;

	r = read_attribute(folder, "label", dev->label, sizeof(dev->label));
	if (r == 0)
		r = read_attribute(folder, "application", dev->application,
				   sizeof(dev->application));
	if (r == 0)
		r = read_uuid(folder, dev->uuid);
	if (r == 0)
		r = read_number(folder, "subsystem_vendor", &vendor);
	if (r == 0)
		r = read_number(folder, "subsystem_device", &device);
	for (i = BUFSHARE_LIMIT_BUFFERS; r == 0 && i < NUM_LIMITS; i++) {
		r = read_number(folder, limits[i], &dev->limits[i]);
		if (r == -ENOENT) { /* an older driver, which has limits all the same */
			dev->limits[i] = LIMIT_NOT_TOLD;
			r = 0;
		}
	}
	if (r < 0)
		return r;
	dev->vendor = (uint16_t)vendor;
	dev->device = (uint16_t)device;
	return 0;
}

/* The number by which the kernel knows a node; 0 if it does not say. */
static dev_t read_node_number(int drm, const char *node)
{
	unsigned int major, minor;
	char name[64], text[32];

	snprintf(name, sizeof(name), "%.*s/dev", 32, node);
	if (read_attribute(drm, name, text, sizeof(text)) < 0 ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		return 0;
	return makedev(major, minor);
}

/* The DRM nodes of the device above the virtio device. -ENOENT: not there (yet). */
static int find_nodes(int virtio, struct bufshare_device *dev)
{
	_cleanup_(cleanup_dir) DIR *dir = NULL;
	const struct dirent *entry;
	int fd;

	/* The folder of a device is entered through a link, so ".." is the device above. */
	fd = openat(virtio, "../drm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		unsigned int card;
		char **path;

		if (strncmp(entry->d_name, "renderD", 7) == 0)
			card = 0;
		else if (strncmp(entry->d_name, "card", 4) == 0)
			card = 1;
		else
			continue;
		path = card ? &dev->card_path : &dev->path;
		dev->numbers[card] = read_node_number(fd, entry->d_name);
		free(*path);
		*path = NULL;
		if (asprintf(path, "%s/%s", dri_root, entry->d_name) < 0) {
			*path = NULL;
			return -ENOMEM;
		}
	}
	if (!dev->path)
		return -ENOENT;
	if (!dev->card_path)
		dev->card_path = strdup("");
	return dev->card_path ? 0 : -ENOMEM;
}

int device_check_folder(const struct bufshare_device *dev)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/bus/virtio/devices/%s/bufshare", sysfs_root, dev->name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return stat(path, &st) == 0 && st.st_ino == dev->folder ? 0 : -ENODEV;
}

static int scan_one(int virtio_bus, const char *name, struct bufshare_device **found)
{
	_cleanup_(device_unrefp) struct bufshare_device *dev = NULL;
	_cleanup_close_ int virtio = -1, folder = -1;
	struct stat st;
	int r;

	virtio = openat(virtio_bus, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (virtio < 0)
		return -errno;
	folder = openat(virtio, "bufshare", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || fstat(folder, &st) < 0)
		return -errno;

	dev = device_new();
	if (!dev)
		return -ENOMEM;
	dev->folder = st.st_ino;
	dev->name = strdup(name);
	if (!dev->name)
		return -ENOMEM;
	r = read_identity(folder, dev);
	if (r == 0)
		r = find_nodes(virtio, dev);
	if (r == 0)
		*found = steal_ptr(&dev);
	return r;
}

/* renderD9 before renderD128 */
static int compare_nodes(const void *a, const void *b)
{
	const struct bufshare_device *const *x = a, *const *y = b;

	return strverscmp((*x)->path, (*y)->path);
}

BUFSHARE_EXPORT int bufshare_device_enumerate(struct bufshare_device ***devs, size_t *n)
{
	_cleanup_(cleanup_list) struct bufshare_device **list = calloc(1, sizeof(*list));
	_cleanup_(cleanup_dir) DIR *dir = NULL;
	_cleanup_free_ char *path = NULL;
	const struct dirent *entry;
	size_t count = 0;

	if (!devs || !n)
		return -EINVAL;
	if (!list || asprintf(&path, "%s/bus/virtio/devices", sysfs_root) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	dir = opendir(path);
	if (!dir && errno != ENOENT) /* which it is on a machine without virtio */
		return -errno;
	while (dir && (entry = readdir(dir))) {
		struct bufshare_device *dev = NULL, **longer;
		int r;

		if (entry->d_name[0] == '.')
			continue;
		r = scan_one(dirfd(dir), entry->d_name, &dev);
		if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
			return r; /* of this program, and says nothing of the device */
		if (r < 0)
			continue; /* another driver's, or on its way in or out */
		longer = reallocarray(list, count + 2, sizeof(*list));
		if (!longer) {
			bufshare_device_unref(dev);
			return -ENOMEM;
		}
		list = longer;
		list[count++] = dev;
		list[count] = NULL;
	}
	qsort(list, count, sizeof(*list), compare_nodes);
	*devs = steal_ptr(&list);
	*n = count;
	return 0;
}

BUFSHARE_EXPORT void bufshare_device_list_free(struct bufshare_device **devs, size_t n)
{
	size_t i;

	for (i = 0; devs && i < n; i++)
		bufshare_device_unref(devs[i]);
	free(devs);
}

static bool same_node(const char *wanted, const char *path)
{
	struct stat a, b;

	/* By name first, so that a path works of which no node is there. */
	if (strcmp(wanted, path) == 0)
		return true;
	return stat(wanted, &a) == 0 && stat(path, &b) == 0 && S_ISCHR(a.st_mode) &&
	       S_ISCHR(b.st_mode) && a.st_rdev == b.st_rdev;
}

/* What is looked for: NULL and 0 fit every device. */
struct wanted {
	const char *label, *path;
	dev_t number;
};

static bool fits(const struct bufshare_device *dev, const struct wanted *wanted)
{
	if (wanted->label && strcmp(wanted->label, dev->label) != 0)
		return false;
	if (wanted->number && wanted->number != dev->numbers[0] &&
	    wanted->number != dev->numbers[1])
		return false;
	return !wanted->path || same_node(wanted->path, dev->path) ||
	       same_node(wanted->path, dev->card_path);
}

static int find(const struct wanted *wanted, struct bufshare_device **found)
{
	_cleanup_(device_unrefp) struct bufshare_device *match = NULL;
	struct bufshare_device **devs;
	size_t i, n, matches = 0;
	int r;

	r = bufshare_device_enumerate(&devs, &n);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++) {
		if (fits(devs[i], wanted) && matches++ == 0)
			match = bufshare_device_ref(devs[i]);
	}
	bufshare_device_list_free(devs, n);
	if (matches == 0)
		return -ENOENT;
	if (matches > 1)
		return -ENOTUNIQ;
	*found = steal_ptr(&match);
	return 0;
}

BUFSHARE_EXPORT int bufshare_device_new_from_label(const char *label, struct bufshare_device **dev)
{
	return dev ? find(&(struct wanted){ .label = label }, dev) : -EINVAL;
}

BUFSHARE_EXPORT int bufshare_device_new_from_path(const char *path, struct bufshare_device **dev)
{
	return path && dev ? find(&(struct wanted){ .path = path }, dev) : -EINVAL;
}

BUFSHARE_EXPORT int bufshare_device_new_from_fd(int fd, struct bufshare_device **dev)
{
	_cleanup_(device_unrefp) struct bufshare_device *found = NULL;
	_cleanup_close_ int own = -1;
	struct stat st;
	int r;

	if (fd < 0 || !dev)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return errno == EBADF ? -EINVAL : -errno;
	if (!S_ISCHR(st.st_mode) || !st.st_rdev)
		return -EOPNOTSUPP;
	r = ioctl_check_driver(fd);
	if (r == 0)
		r = find(&(struct wanted){ .number = st.st_rdev }, &found);
	if (r < 0)
		return r == -ENOENT ? -ENODEV : r;

	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return -errno;
	r = device_take_fd(found, own);
	if (r < 0)
		return r;
	steal_fd(&own);
	*dev = steal_ptr(&found);
	return 0;
}
