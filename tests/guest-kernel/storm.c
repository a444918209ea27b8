/* SPDX-License-Identifier: MIT */
/*
 * guest-storm NODE PROCESSES CALLS SEED [faults]
 *
 * Calls of the driver at random, right and wrong, from several processes that share a file
 * and are killed now and then. It looks at no result: what counts is that the kernel has
 * nothing to say afterwards, and that the driver still works. With faults, those of the
 * kernel's failslab hit the calls, if it was told to filter by task.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <drm/bufshare_drm.h>
#include <xf86drm.h>

#define MAX_PROCESSES 16
#define POOL 8
#define BURST 500 /* calls of one process */
#define ROUND 20000l /* calls with one shared file, which keeps what nobody closes */
#define PAGE 4096ul
#define MAX_PAGES 64
#define BURST_SECONDS 120 /* then it hangs */

/* How often each kind of call was made, and worked; of all processes. */
struct count {
	atomic_ulong made, worked;
};

struct storm {
	uint64_t random;
	struct count *count; /* of the call at hand */
	struct file {
		int fd;
		uint32_t handles[POOL];
		uint64_t ids[POOL];
		uint32_t syncobjs[POOL];
	} own, shared, *file; /* shared: of all processes; file: for the call at hand */
	int fds[POOL]; /* dma-bufs */
	void *maps[POOL];
	void *memory; /* MAX_PAGES, for user memory */
};

static uint64_t next(struct storm *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

static uint32_t below(struct storm *s, uint32_t n)
{
	return (uint32_t)(next(s) >> 16) % n;
}

static bool seldom(struct storm *s)
{
	return below(s, 16) == 0;
}

/* One that may be right, or was once, or never could be. */
static uint32_t handle(struct storm *s)
{
	uint32_t i = below(s, POOL);

	if (!s->file->handles[i])
		i = below(s, POOL);
	return seldom(s) ? (uint32_t)next(s) : s->file->handles[i];
}

static uint64_t id(struct storm *s)
{
	uint32_t i = below(s, POOL);

	if (!s->file->ids[i])
		i = below(s, POOL);
	return seldom(s) ? next(s) : s->file->ids[i];
}

static uint64_t pointer(struct storm *s, const void *good)
{
	return seldom(s) ? next(s) : (uintptr_t)good;
}

static uint32_t flags(struct storm *s, uint32_t good)
{
	return seldom(s) ? (uint32_t)next(s) : (uint32_t)next(s) & good;
}

static uint64_t pages(struct storm *s)
{
	return seldom(s) ? next(s) : (below(s, MAX_PAGES) + 1) * PAGE;
}

/* ---- calls ---- */

static int request(struct storm *s, unsigned long number, void *args)
{
	int r = drmIoctl(s->file->fd, number, args);

	if (r == 0)
		s->count->worked++;
	return r;
}

static void do_create(struct storm *s)
{
	struct drm_bufshare_create args = {
		.size = pages(s),
		.flags = flags(s, DRM_BUFSHARE_CREATE_HUGE),
	};

	/* A size that is right by chance would take all memory. */
	if (args.size > MAX_PAGES * PAGE && args.size < 1ull << 40)
		args.size |= 1ull << 40;
	if (request(s, DRM_IOCTL_BUFSHARE_CREATE, &args) == 0)
		s->file->handles[below(s, POOL)] = args.handle;
}

static void do_user_memory(struct storm *s)
{
	struct drm_bufshare_user_memory args = {
		.addr = pointer(s, s->memory),
		.size = pages(s),
		.flags = flags(s, 0),
	};

	if (request(s, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args) == 0)
		s->file->handles[below(s, POOL)] = args.handle;
}

static void do_map(struct storm *s)
{
	struct drm_bufshare_map args = { .handle = handle(s) };
	uint32_t i = below(s, POOL);
	void *map;

	if (s->maps[i]) {
		munmap(s->maps[i], PAGE);
		s->maps[i] = NULL;
	}
	if (request(s, DRM_IOCTL_BUFSHARE_MAP, &args) < 0)
		return;
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->file->fd, (off_t)args.offset);
	if (map == MAP_FAILED)
		return;
	s->maps[i] = map;
	memset(map, (int)next(s), 64);
}

static void do_register(struct storm *s)
{
	static const char block[] = "height=8\0title=storm\0width=8";
	struct drm_bufshare_register args = {
		.handle = handle(s),
		.flags = seldom(s) ? (uint32_t)next(s) : 0,
		.properties = pointer(s, block),
		.properties_size = seldom(s) ? (uint32_t)next(s) : sizeof(block),
		.user_data = next(s),
		.application = "storm",
	};

	if (seldom(s))
		args.application[below(s, sizeof(args.application))] = (char)next(s);
	if (request(s, DRM_IOCTL_BUFSHARE_REGISTER, &args) == 0)
		s->file->ids[below(s, POOL)] = args.id;
}

static void do_unregister(struct storm *s)
{
	struct drm_bufshare_unregister args = { .id = id(s), .flags = flags(s, 0) };

	request(s, DRM_IOCTL_BUFSHARE_UNREGISTER, &args);
}

static void do_properties(struct storm *s)
{
	char block[DRM_BUFSHARE_MAX_PROPERTIES_SIZE] = "a=b\0title=t\0width\0";
	struct drm_bufshare_set_properties args = {
		.id = id(s),
		.properties = pointer(s, block),
		.properties_size = seldom(s) ? (uint32_t)next(s) : 18,
		.flags = flags(s, DRM_BUFSHARE_SET_PROPERTIES_ALL),
	};
	struct drm_bufshare_get_properties get = {
		.id = id(s),
		.properties = pointer(s, block),
		.properties_size = seldom(s) ? (uint32_t)next(s) : sizeof(block),
		.flags = flags(s, 0),
	};

	if (below(s, 2))
		block[below(s, 32)] = (char)next(s);
	if (below(s, 2))
		request(s, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
	else
		request(s, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &get);
}

/* Fields that no flag asks for are zero, or it is wrong. */
static void fill_entry(struct storm *s, struct drm_bufshare_update_entry *e)
{
	static const struct drm_bufshare_rect damage[2] = { { 0, 0, 4, 4 }, { 4, 4, 8, 1 } };

	e->id = id(s);
	e->num_damage = seldom(s) ? (uint32_t)next(s) : below(s, 3);
	if (e->num_damage)
		e->damage = pointer(s, damage);
	/* Mostly without a fence: one that never comes keeps all behind it. */
	e->flags = below(s, 4) ? 0 : flags(s, 0xf);
	if (e->flags & DRM_BUFSHARE_UPDATE_IN_FENCE_FD)
		e->in_fence_fd = seldom(s) ? (int)next(s) : s->fds[below(s, POOL)];
	if (e->flags & DRM_BUFSHARE_UPDATE_IN_SYNCOBJ) {
		e->in_syncobj = s->file->syncobjs[below(s, POOL)];
		e->in_point = below(s, 3);
	}
	if (e->flags & DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ) {
		e->release_syncobj = s->file->syncobjs[below(s, POOL)];
		e->release_point = below(s, 100);
	}
}

static void do_update(struct storm *s)
{
	struct drm_bufshare_update_entry entries[4] = { 0 };
	struct drm_bufshare_update args = {
		.updates = pointer(s, entries),
		.count = seldom(s) ? (uint32_t)next(s) : below(s, 2) + 1,
		.flags = flags(s, 0),
	};
	int i;

	for (i = 0; i < 4; i++)
		fill_entry(s, &entries[i]);
	request(s, DRM_IOCTL_BUFSHARE_UPDATE, &args);
}

static void do_ask(struct storm *s)
{
	uint64_t ids[POOL];
	struct drm_bufshare_info info = { .id = id(s), .flags = flags(s, 0) };
	struct drm_bufshare_ping ping = { .flags = flags(s, 0) };
	struct drm_bufshare_get_param param = { .param = below(s, 12) };
	struct drm_bufshare_list list = {
		.ids = pointer(s, ids),
		.count = seldom(s) ? (uint32_t)next(s) : POOL,
		.flags = flags(s, DRM_BUFSHARE_LIST_ALL),
		.after = below(s, 1000),
	};

	switch (below(s, 4)) {
	case 0:
		request(s, DRM_IOCTL_BUFSHARE_INFO, &info);
		break;
	case 1:
		request(s, DRM_IOCTL_BUFSHARE_PING, &ping);
		break;
	case 2:
		request(s, DRM_IOCTL_BUFSHARE_GET_PARAM, &param);
		break;
	case 3:
		if (list.count > POOL && list.ids == (uintptr_t)ids)
			list.ids = 0; /* the driver would be right to write that many */
		request(s, DRM_IOCTL_BUFSHARE_LIST, &list);
		break;
	}
}

static void do_reset(struct storm *s)
{
	struct drm_bufshare_reset args = { .flags = flags(s, DRM_BUFSHARE_RESET_ALL) };

	if (seldom(s) && seldom(s))
		request(s, DRM_IOCTL_BUFSHARE_RESET, &args);
}

static void do_close(struct storm *s)
{
	drmCloseBufferHandle(s->file->fd, handle(s));
}

static void do_prime(struct storm *s)
{
	uint32_t i = below(s, POOL);

	if (s->fds[i] >= 0 && below(s, 2)) {
		drmPrimeFDToHandle(s->file->fd, s->fds[i], &s->file->handles[below(s, POOL)]);
		return;
	}
	if (s->fds[i] >= 0)
		close(s->fds[i]);
	if (drmPrimeHandleToFD(s->file->fd, handle(s), DRM_CLOEXEC | DRM_RDWR, &s->fds[i]) < 0)
		s->fds[i] = -1;
}

static void do_syncobj(struct storm *s)
{
	uint32_t i = below(s, POOL);

	if (s->file->syncobjs[i] && below(s, 2))
		drmSyncobjSignal(s->file->fd, &s->file->syncobjs[i], 1);
	else if (s->file->syncobjs[i] && below(s, 2))
		drmSyncobjDestroy(s->file->fd, s->file->syncobjs[i]);
	else
		drmSyncobjCreate(s->file->fd, 0, &s->file->syncobjs[i]);
}

static void do_read(struct storm *s)
{
	char events[1024];

	if (read(s->file->fd, events, below(s, sizeof(events))) < 0)
		return;
}

static void do_reopen(struct storm *s)
{
	char path[32];
	int fd;

	if (!seldom(s))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->own.fd);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	close(s->own.fd);
	s->own = (struct file){ .fd = fd };
}

/* Any number, any bytes. */
static void do_garbage(struct storm *s)
{
	uint64_t args[32];
	unsigned int nr = DRM_COMMAND_BASE + below(s, 20), size = 8 * below(s, 20);
	size_t i;

	for (i = 0; i < sizeof(args) / sizeof(args[0]); i++)
		args[i] = below(s, 3) ? 0 : next(s);
	/* It must not ask for all memory. */
	if (nr != DRM_COMMAND_BASE + DRM_BUFSHARE_CREATE)
		request(s, DRM_IOC(DRM_IOC_READWRITE, DRM_IOCTL_BASE, nr, size), args);
}

static const struct {
	const char *name;
	void (*make)(struct storm *s);
	bool must_work; /* now and then */
} calls[] = {
	{ "create", do_create, true },
	{ "map", do_map, true },
	{ "register", do_register, true },
	{ "register", do_register, true },
	{ "unregister", do_unregister, true },
	{ "properties", do_properties, true },
	{ "update", do_update, true },
	{ "update", do_update, true },
	{ "update", do_update, true },
	{ "ask", do_ask, true },
	{ "reset", do_reset, false },
	{ "close", do_close, false },
	{ "prime", do_prime, false },
	{ "syncobj", do_syncobj, false },
	{ "read", do_read, false },
	{ "reopen", do_reopen, false },
	{ "garbage", do_garbage, false },
	{ "user memory", do_user_memory, true },
};

#define NUM_CALLS (sizeof(calls) / sizeof(calls[0]))

static struct count *counts; /* shared by all processes */
static bool with_faults;

/* ---- processes ---- */

static bool let_fail(void)
{
	int fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, "1", 1) == 1;
}

static _Noreturn void burst(const char *node, int shared, uint64_t seed)
{
	struct storm s = { .random = seed | 1, .shared.fd = shared };
	int i;

	alarm(BURST_SECONDS);
	s.own.fd = open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	s.memory = mmap(NULL, MAX_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	if (s.own.fd < 0 || s.memory == MAP_FAILED)
		_exit(1);
	for (i = 0; i < POOL; i++)
		s.fds[i] = -1;
	if (with_faults && !let_fail())
		_exit(1);
	for (i = 0; i < BURST; i++) {
		uint32_t which = below(&s, NUM_CALLS);

		s.file = below(&s, 3) ? &s.own : &s.shared;
		s.count = &counts[which];
		s.count->made++;
		calls[which].make(&s);
	}
	_exit(0);
}

/* One burst after the other; a third of them are killed at some moment. */
static _Noreturn void worker(const char *node, int shared, long count, uint64_t seed)
{
	struct storm s = { .random = seed | 1 };
	int status, failed = 0;
	long i;

	for (i = 0; i < count; i += BURST) {
		uint64_t burst_seed = next(&s);
		bool kill_it = below(&s, 3) == 0;
		pid_t pid = fork();

		if (pid == 0)
			burst(node, shared, burst_seed);
		if (pid < 0)
			_exit(1);
		if (kill_it) {
			usleep(below(&s, 100000));
			kill(pid, SIGKILL);
		}
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
			printf("# a call hangs: seed %llu\n", (unsigned long long)burst_seed);
			failed = 1;
		} else if (WIFEXITED(status) && WEXITSTATUS(status)) {
			printf("# no file, or no memory\n");
			failed = 1;
		}
	}
	fflush(stdout);
	_exit(failed);
}

/* A storm in which nothing works shows nothing. */
static int print_counts(void)
{
	int failed = 0;
	size_t i;

	for (i = 0; i < NUM_CALLS; i++) {
		if (!calls[i].must_work)
			continue;
		printf("# %s: %lu of %lu worked\n", calls[i].name, counts[i].worked, counts[i].made);
		failed |= !counts[i].worked;
	}
	return failed;
}

/* All processes at once, with a file that they share. */
static int play_round(const char *node, long processes, long count, uint64_t seed)
{
	int shared = open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int status, failed = 0;
	long i;

	if (shared < 0) {
		fprintf(stderr, "guest-storm: %s: %s\n", node, strerror(errno));
		return 1;
	}
	for (i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid == 0)
			worker(node, shared, count / processes,
			       (seed + (uint64_t)i) * 0x9e3779b97f4a7c15ull);
		failed |= pid < 0;
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	close(shared);
	return failed;
}

int main(int argc, char **argv)
{
	long processes, count, done;
	int failed = 0;
	uint64_t seed;

	with_faults = argc == 6 && strcmp(argv[5], "faults") == 0;
	if (argc != 5 && !with_faults) {
		fprintf(stderr, "usage: guest-storm NODE PROCESSES CALLS SEED [faults]\n");
		return 2;
	}
	processes = strtol(argv[2], NULL, 10);
	count = strtol(argv[3], NULL, 10);
	seed = strtoull(argv[4], NULL, 10);
	counts = mmap(NULL, NUM_CALLS * sizeof(*counts), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED || processes < 1 || processes > MAX_PROCESSES) {
		fprintf(stderr, "guest-storm: no memory, or not 1 to %d processes\n",
			MAX_PROCESSES);
		return 1;
	}
	for (done = 0; done < count && !failed; done += ROUND)
		failed = play_round(argv[1], processes, count - done < ROUND ? count - done : ROUND,
				    seed + (uint64_t)(done / ROUND * MAX_PROCESSES));
	printf("# %ld calls of %ld processes, seed %llu\n", count, processes,
	       (unsigned long long)seed);
	return failed | print_counts();
}
