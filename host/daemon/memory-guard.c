/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "host/daemon/memory-guard.h"

/* Read by the signal handler, in whatever thread it runs: start is written last, cleared first. */
struct guard {
	_Atomic uintptr_t start; /* 0: free */
	_Atomic size_t size;
	_Atomic size_t page_size;
	_Atomic bool torn;
};

static struct guard guards[MEMORY_GUARD_MAX];

/* A mapping as it was when the handler found it. */
struct found {
	struct guard *guard;
	uintptr_t start;
	size_t size, page_size;
};

/*
 * While one thread is in here another may put a new mapping in the place of an old one: what
 * was read counts if start is the same afterwards. The mapping that faults stays in place.
 */
static bool find(uintptr_t addr, struct found *found)
{
	size_t i;

	for (i = 0; i < MEMORY_GUARD_MAX; i++) {
		struct guard *g = &guards[i];
		const struct found f = {
			.guard = g,
			.start = atomic_load(&g->start),
			.size = atomic_load(&g->size),
			.page_size = atomic_load(&g->page_size),
		};

		if (!f.start || addr < f.start || addr - f.start >= f.size ||
		    atomic_load(&g->start) != f.start)
			continue;
		*found = f;
		return true;
	}
	return false;
}

/* Everything behind the page is beyond the end of the file too. */
static bool mend(const struct found *f, uintptr_t addr)
{
	uintptr_t page = addr - (addr - f->start) % f->page_size;

	atomic_store(&f->guard->torn, true);
	return mmap((void *)page, f->start + f->size - page, PROT_READ | PROT_WRITE,
		    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	int saved = errno;
	struct found f;

	/* One that is not ours happens again, and ends the process; one without a code was sent. */
	if (info->si_code <= 0 || !find(addr, &f) || !mend(&f, addr))
		signal(SIGBUS, SIG_DFL);
	errno = saved;
}

static void take_sigbus(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
}

int memory_guard_add(void *map, size_t size, size_t page_size)
{
	int i;

	for (i = 0; i < MEMORY_GUARD_MAX; i++) {
		if (atomic_load(&guards[i].start))
			continue;
		take_sigbus();
		atomic_store(&guards[i].size, size);
		atomic_store(&guards[i].page_size, page_size);
		atomic_store(&guards[i].torn, false);
		atomic_store(&guards[i].start, (uintptr_t)map);
		return i;
	}
	return -ENOSPC;
}

void memory_guard_remove(int guard)
{
	atomic_store(&guards[guard].start, 0);
}

bool memory_guard_is_torn(int guard)
{
	return atomic_load(&guards[guard].torn);
}
