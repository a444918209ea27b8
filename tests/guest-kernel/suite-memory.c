/* SPDX-License-Identifier: MIT */
/* Buffers of memory that the program has already. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

#define SIZE 65536
#define PAGE 4096

static void *map_memory(size_t size, int prot, int flags, int fd)
{
	void *mem = mmap(NULL, size, prot, flags, fd, 0);

	expect(mem != MAP_FAILED);
	return mem;
}

static char *anonymous(size_t size)
{
	return map_memory(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static char *shared(size_t size, int *memfd)
{
	*memfd = memfd_create("suite", MFD_CLOEXEC);
	expect(*memfd >= 0);
	expect(ftruncate(*memfd, (off_t)size) == 0);
	return map_memory(size, PROT_READ | PROT_WRITE, MAP_SHARED, *memfd);
}

static struct drm_bufshare_user_memory memory_args(void *mem, uint64_t size)
{
	return (struct drm_bufshare_user_memory){ .addr = (uintptr_t)mem, .size = size };
}

static int from_memory(int fd, void *mem, uint64_t size)
{
	struct drm_bufshare_user_memory args = memory_args(mem, size);

	return call(fd, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args);
}

/* Opens the node, and makes a buffer of the memory. */
static uint32_t make(int fd, void *mem, uint64_t size)
{
	struct drm_bufshare_user_memory args = memory_args(mem, size);

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args));
	expect(args.handle != 0);
	return args.handle;
}

/* A line of /proc/self/status, in KiB. */
static long status_kib(const char *name)
{
	char line[256];
	long value = -1;
	FILE *file;

	file = fopen("/proc/self/status", "re");
	expect(file);
	while (value < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtol(line + strlen(name) + 1, NULL, 10);
	}
	fclose(file);
	expect(value >= 0);
	return value;
}

static void wait_unpinned(void)
{
	int tries;

	for (tries = 0; tries < 500 && status_kib("VmPin") > 0; tries++)
		usleep(10000);
	expect(status_kib("VmPin") == 0);
}

static void feature(void)
{
	int fd = open_node(node.render);

	expect(get_param(fd, DRM_BUFSHARE_PARAM_FEATURES) & DRM_BUFSHARE_FEATURE_USER_MEMORY);
}

static void use(int fd, uint32_t handle, uint64_t size)
{
	struct drm_bufshare_update_entry entry = update_entry(register_handle(fd, handle));
	struct drm_bufshare_info info;

	info = get_info(fd, entry.id);
	expect(info.size == size);
	expect(info.num_ranges >= 1 && info.num_ranges <= size / PAGE);
	expect(info.flags & DRM_BUFSHARE_INFO_USER_MEMORY);
	expect(!(info.flags & DRM_BUFSHARE_INFO_IMPORTED));
	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	unregister(fd, entry.id);
}

static void memory_anonymous(void)
{
	int fd = open_node(node.render);
	char *mem = anonymous(SIZE);

	strcpy(mem + 5000, "hello");
	use(fd, make(fd, mem, SIZE), SIZE);
	expect(strcmp(mem + 5000, "hello") == 0);
}

static void memory_shared(void)
{
	int fd = open_node(node.render), memfd;
	char *mem = shared(SIZE, &memfd);

	use(fd, make(fd, mem, SIZE), SIZE);
}

/* The middle of a mapping, and what lies in two of them. */
static void memory_part(void)
{
	int fd = open_node(node.render);
	char *mem = anonymous(4 * SIZE);

	expect(mprotect(mem, SIZE, PROT_READ) == 0);
	expect(madvise(mem + 2 * SIZE, SIZE, MADV_DONTDUMP) == 0);
	use(fd, make(fd, mem + SIZE, 2 * SIZE), 2 * SIZE);
}

/* What was written into a private mapping of a file is not the file's. */
static void memory_private_file(void)
{
	int fd = open_node(node.render), file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *mem = map_memory(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file);

	use(fd, make(fd, mem, PAGE), PAGE);
}

/* Two buffers of one memory are two buffers. */
static void memory_twice(void)
{
	int fd = open_node(node.render);
	char *mem = anonymous(SIZE);
	uint32_t a = make(fd, mem, SIZE), b = make(fd, mem, SIZE);

	expect(a != b);
	expect(register_handle(fd, a) != register_handle(fd, b));
}

static void memory_zero_size(void)
{
	expect_result(from_memory(open_node(node.render), anonymous(PAGE), 0), -EINVAL);
}

static void memory_address_off(void)
{
	char *mem = anonymous(2 * PAGE);

	expect_result(from_memory(open_node(node.render), mem + 16, PAGE), -EINVAL);
}

static void memory_size_off(void)
{
	expect_result(from_memory(open_node(node.render), anonymous(2 * PAGE), PAGE + 16), -EINVAL);
}

static void memory_flags(void)
{
	struct drm_bufshare_user_memory args = memory_args(anonymous(PAGE), PAGE);

	args.flags = 1;
	expect_result(call(open_node(node.render), DRM_IOCTL_BUFSHARE_USER_MEMORY, &args), -EINVAL);
}

static void memory_too_large(void)
{
	int fd = open_node(node.render);
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE);

	expect_result(from_memory(fd, anonymous(PAGE), max + PAGE), -EINVAL);
}

static void memory_around_the_end(void)
{
	uint64_t page = PAGE;

	expect_result(from_memory(open_node(node.render), (void *)(uintptr_t)-page, 2 * page),
		      -EFAULT);
}

static void memory_of_kernel(void)
{
	uint64_t half = 1ULL << 63;

	expect_result(from_memory(open_node(node.render), (void *)(uintptr_t)half, PAGE), -EFAULT);
}

/* One page of memory at two addresses. */
static void memory_page_twice(void)
{
	int fd = open_node(node.render), memfd;
	char *mem = shared(4 * PAGE, &memfd);

	expect(mmap(mem + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memfd,
		    PAGE) == mem + 3 * PAGE);
	expect_result(from_memory(fd, mem, 4 * PAGE), -EOPNOTSUPP);
	wait_unpinned();
	/* in another order is fine */
	expect(mmap(mem, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memfd, 3 * PAGE) ==
	       mem);
	expect(mmap(mem + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memfd,
		    0) == mem + 3 * PAGE);
	use(fd, make(fd, mem, 4 * PAGE), 4 * PAGE);
}

static void memory_hole(void)
{
	char *mem = anonymous(4 * PAGE);

	expect(munmap(mem + 2 * PAGE, PAGE) == 0);
	expect_result(from_memory(open_node(node.render), mem, 4 * PAGE), -EFAULT);
	wait_unpinned();
}

static void memory_read_only(void)
{
	char *mem = map_memory(PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	expect_result(from_memory(open_node(node.render), mem, PAGE), -EFAULT);
}

/* Beyond the end of a memfd there is nothing. */
static void memory_past_end(void)
{
	int fd = open_node(node.render), memfd;
	char *mem = shared(4 * PAGE, &memfd);

	expect(ftruncate(memfd, 2 * PAGE) == 0);
	expect_result(from_memory(fd, mem, 4 * PAGE), -EFAULT);
}

/* A driver's pages, which have no struct page behind the mapping. */
static void memory_of_device(void)
{
	int fd = open_node(node.render);
	char *mem = map_handle(fd, create(fd, PAGE), PAGE);

	mem[0] = 1;
	expect_result(from_memory(fd, mem, PAGE), -EOPNOTSUPP);
}

/* The last page of the range is what matters. */
static void memory_ends_in_device(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_map args = { .handle = create(fd, PAGE) };
	char *mem = anonymous(2 * PAGE);

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_MAP, &args));
	expect(mmap(mem + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		    (off_t)args.offset) == mem + PAGE);
	expect_result(from_memory(fd, mem, 2 * PAGE), -EOPNOTSUPP);
	wait_unpinned();
}

static void memory_no_map(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_map args = { .handle = make(fd, anonymous(PAGE), PAGE) };

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_MAP, &args), -EOPNOTSUPP);
}

/* The dumb buffers' call gives an offset, but it maps nothing. */
static void memory_no_dumb_map(void)
{
	int fd = open_node(node.card);
	struct drm_mode_map_dumb args = { .handle = make(fd, anonymous(PAGE), PAGE) };

	if (call(fd, DRM_IOCTL_MODE_MAP_DUMB, &args) == 0)
		expect(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    (off_t)args.offset) == MAP_FAILED);
}

static void memory_no_export(void)
{
	int fd = open_node(node.render), buf = -1;
	uint32_t handle = make(fd, anonymous(PAGE), PAGE);

	expect(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &buf) < 0);
	expect(errno == EOPNOTSUPP && buf == -1);
}

/* Pinned until neither the handle nor a registration is there. */
static void memory_pinned(void)
{
	int fd = open_node(node.render);
	uint32_t handle = make(fd, anonymous(SIZE), SIZE);
	uint64_t id;

	expect(status_kib("VmPin") == SIZE / 1024);
	id = register_handle(fd, handle);
	close_handle(fd, handle);
	expect(status_kib("VmPin") == SIZE / 1024);
	unregister(fd, id);
	wait_unpinned();
}

static void memory_pinned_until_close(void)
{
	int fd = open_node(node.render);
	char *mem = anonymous(SIZE);

	register_handle(fd, make(fd, mem, SIZE));
	expect(munmap(mem, SIZE) == 0);
	expect(status_kib("VmPin") == SIZE / 1024);
	close(fd);
	wait_unpinned();
}

static void limit_memlock(size_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	expect(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	drop_privileges();
}

/* Exactly the limit is allowed; once it is given back, it can be used again. */
static void memory_limit(void)
{
	int fd = open_node(node.render), tries;
	uint32_t handle;

	limit_memlock(SIZE);
	expect_result(from_memory(fd, anonymous(SIZE + PAGE), SIZE + PAGE), -ENOMEM);
	handle = make(fd, anonymous(SIZE), SIZE);
	expect_result(from_memory(fd, anonymous(PAGE), PAGE), -ENOMEM);
	close_handle(fd, handle);
	for (tries = 0; tries < 500 && from_memory(fd, anonymous(PAGE), PAGE); tries++)
		usleep(10000);
	expect(tries < 500);
}

/* The limit is the user's, not each of his programs'. */
static void memory_limit_of_user(void)
{
	int fd = open_node(node.render), other = open_node(node.render), status;
	pid_t pid;

	limit_memlock(SIZE);
	make(fd, anonymous(SIZE), SIZE);
	pid = fork();
	expect(pid >= 0);
	if (pid == 0)
		_exit(from_memory(other, anonymous(PAGE), PAGE) == -ENOMEM ? 0 : 1);
	expect(waitpid(pid, &status, 0) == pid && status == 0);
}

/* What was refused counts no more. */
static void memory_refused_is_not_counted(void)
{
	int fd = open_node(node.render), i;

	limit_memlock(SIZE);
	for (i = 0; i < 32; i++)
		expect_result(from_memory(fd, map_memory(SIZE, PROT_READ,
							 MAP_PRIVATE | MAP_ANONYMOUS, -1), SIZE),
			      -EFAULT);
	expect(status_kib("VmPin") == 0);
	make(fd, anonymous(SIZE), SIZE);
}

/* The pages outlive the program for as long as the file that a child has is open. */
static void memory_of_dead_program(void)
{
	int fd = open_node(node.render), status;
	struct drm_bufshare_update_entry entry;
	uint64_t id = 0;
	int fds[2];
	pid_t pid;

	expect(pipe(fds) == 0);
	pid = fork();
	expect(pid >= 0);
	if (pid == 0) {
		id = register_handle(fd, make(fd, anonymous(SIZE), SIZE));
		expect(write(fds[1], &id, sizeof(id)) == sizeof(id));
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid && status == 0);
	expect(read(fds[0], &id, sizeof(id)) == sizeof(id));
	entry = update_entry(id);
	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, id);
	unregister(fd, id);
}

/* A page of a new file in a file system of this type, mapped; NULL if there is no such type. */
static char *map_file(const char *type)
{
	char dir[] = "/tmp/suite.XXXXXX", path[64];
	int file;

	expect(mkdtemp(dir));
	if (mount("none", dir, type, 0, type[0] == 'h' ? "/tmp" : NULL) < 0) {
		expect(rmdir(dir) == 0);
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/suite.%d", dir, (int)getpid());
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	expect(file >= 0);
	expect(unlink(path) == 0);
	expect(ftruncate(file, PAGE) == 0);
	expect(umount2(dir, MNT_DETACH) == 0);
	expect(rmdir(dir) == 0);
	return map_memory(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file);
}

/* One that is never written back, but is a file's all the same. */
static void memory_of_file(void)
{
	char *mem = map_file("ramfs");

	expect(mem);
	mem[0] = 1;
	expect_result(from_memory(open_node(node.render), mem, PAGE), -EOPNOTSUPP);
}

static void memory_of_written_file(void)
{
	char *mem = map_file("hostfs");

	if (!mem)
		skip("this kernel has no hostfs");
	expect_result(from_memory(open_node(node.render), mem, PAGE), -EOPNOTSUPP);
}

const struct test memory_tests[] = {
	{ "user memory: the feature is there", feature },
	{ "user memory: anonymous", memory_anonymous },
	{ "user memory: shared", memory_shared },
	{ "user memory: parts of two mappings", memory_part },
	{ "user memory: private copy of a file", memory_private_file },
	{ "user memory: the same twice", memory_twice },
	{ "user memory: zero size", memory_zero_size },
	{ "user memory: address not on a page", memory_address_off },
	{ "user memory: size not whole pages", memory_size_off },
	{ "user memory: unknown flag", memory_flags },
	{ "user memory: too large", memory_too_large },
	{ "user memory: around the end of the address space", memory_around_the_end },
	{ "user memory: not the program's", memory_of_kernel },
	{ "user memory: a hole", memory_hole },
	{ "user memory: a page twice", memory_page_twice },
	{ "user memory: read-only", memory_read_only },
	{ "user memory: past the end of the shared memory", memory_past_end },
	{ "user memory: a file's", memory_of_file },
	{ "user memory: that of a file which is written back", memory_of_written_file },
	{ "user memory: a device's", memory_of_device },
	{ "user memory: a device's behind the program's own", memory_ends_in_device },
	{ "user memory: cannot be mapped", memory_no_map },
	{ "user memory: cannot be mapped as a dumb buffer", memory_no_dumb_map },
	{ "user memory: cannot be exported", memory_no_export },
	{ "user memory: pinned until it is unregistered", memory_pinned },
	{ "user memory: pinned until the file is closed", memory_pinned_until_close },
	{ "user memory: the limit", memory_limit },
	{ "user memory: the limit is the user's", memory_limit_of_user },
	{ "user memory: what is refused does not count", memory_refused_is_not_counted },
	{ "user memory: outlives the program", memory_of_dead_program },
	{ NULL, NULL },
};
