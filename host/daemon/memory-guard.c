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

static struct guard *find(uintptr_t addr)
{
	size_t i;

	for (i = 0; i < MEMORY_GUARD_MAX; i++) {
		uintptr_t start = atomic_load(&guards[i].start);

		if (start && addr >= start && addr - start < atomic_load(&guards[i].size))
			return &guards[i];
	}
	return NULL;
}

/* Everything behind the page is beyond the end of the file too. */
static bool mend(struct guard *g, uintptr_t addr)
{
	uintptr_t start = atomic_load(&g->start);
	uintptr_t page = addr - (addr - start) % atomic_load(&g->page_size);

	atomic_store(&g->torn, true);
	return mmap((void *)page, start + atomic_load(&g->size) - page, PROT_READ | PROT_WRITE,
		    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	struct guard *g = info->si_code > 0 ? find(addr) : NULL; /* else somebody sent it */
	int saved = errno;

	/* One that is not ours happens again, and ends the process. */
	if (!g || !mend(g, addr))
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
