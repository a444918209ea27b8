/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifdef HAVE_LIBCAP_NG
#include <cap-ng.h>
#endif
#ifdef HAVE_LIBSECCOMP
#include <seccomp.h>
#endif

#include "common/cleanup.h"
#include "host/daemon/log.h"
#include "host/daemon/sandbox.h"

/* The leak check at the end of a program with sanitizers needs much that no daemon needs. */
#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_SANITIZERS 1
#endif
#endif
#ifndef WITH_SANITIZERS
#define WITH_SANITIZERS 0
#endif

/* Only with privileges: in a user namespace of its own it would not see who consumers are. */
static void leave_namespaces(void)
{
	static const struct {
		int flag;
		const char *name;
	} spaces[] = {
		{ CLONE_NEWNET, "network" },
		{ CLONE_NEWIPC, "IPC" },
		{ CLONE_NEWUTS, "host name" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(spaces); i++)
		if (unshare(spaces[i].flag) < 0)
			log_debug("sandbox: the %s stays visible: %m", spaces[i].name);
}

static int drop_capabilities(void)
{
#ifdef HAVE_LIBCAP_NG
	capng_clear(CAPNG_SELECT_BOTH);
	/* The bounding set can only be dropped with privileges; without it there are none. */
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		log_debug("sandbox: the bounding set stays");
#else
	log_debug("sandbox: built without libcap-ng, capabilities stay");
#endif
	return 0;
}

static int limit_resources(void)
{
	const struct rlimit none = { 0, 0 };

	/* No children, and no threads. */
	return setrlimit(RLIMIT_NPROC, &none) < 0 ? -errno : 0;
}

#ifdef HAVE_LIBSECCOMP
static const int allowed[] = {
	/* memory */
	SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(munmap),
	SCMP_SYS(memfd_create), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64),
	/* descriptors */
	SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(fcntl), SCMP_SYS(fcntl64), SCMP_SYS(fstat),
	SCMP_SYS(fstat64), SCMP_SYS(fstatfs), SCMP_SYS(fstatfs64), SCMP_SYS(lseek),
	SCMP_SYS(_llseek), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(statx),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write),
	SCMP_SYS(writev),
	/* sockets that are there already */
	SCMP_SYS(accept4), SCMP_SYS(getpeername), SCMP_SYS(getsockname), SCMP_SYS(getsockopt),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendto),
	SCMP_SYS(setsockopt), SCMP_SYS(shutdown),
	/* waiting */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_nanosleep_time64), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_wait), SCMP_SYS(futex),
	SCMP_SYS(futex_time64), SCMP_SYS(gettimeofday), SCMP_SYS(nanosleep), SCMP_SYS(poll),
	SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_settime64),
	/* this process */
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(getegid), SCMP_SYS(getegid32),
	SCMP_SYS(geteuid), SCMP_SYS(geteuid32), SCMP_SYS(getgid), SCMP_SYS(getgid32),
	SCMP_SYS(getpid), SCMP_SYS(getrandom), SCMP_SYS(getrlimit), SCMP_SYS(gettid),
	SCMP_SYS(getuid), SCMP_SYS(getuid32), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(sysinfo),
	SCMP_SYS(tgkill), SCMP_SYS(uname), SCMP_SYS(ugetrlimit),
};

/* Those that are allowed with some arguments only. */
static int allow_some(scmp_filter_ctx ctx)
{
	const uint64_t writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
	int r;

	/* No code but what is there. */
	r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap2), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* A copy is opened again to be read, by its name in /proc. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, UDMABUF_CREATE_LIST));
	/* Whether the log is a terminal. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TCGETS));
	/* Limits are read and not set. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
				     SCMP_A2(SCMP_CMP_EQ, 0));
	return r;
}

static void release(scmp_filter_ctx *ctx)
{
	seccomp_release(*ctx);
}

/*
 * What is not in the list fails with EPERM: a C library that tries something new goes on
 * without it, and so does an attacker.
 */
static int filter_calls(void)
{
	_cleanup_(release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	size_t i;
	int r = 0;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (i = 0; r == 0 && i < ARRAY_SIZE(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (r == 0)
		r = allow_some(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	/* A kernel without it, or a container that has no room for another filter. */
	if (r == -EINVAL || r == -EOPNOTSUPP || r == -ENOSYS) {
		log_debug("sandbox: this system takes no filter of system calls: %s", strerror(-r));
		r = 0;
	}
	return r;
}
#else
static int filter_calls(void)
{
	log_debug("sandbox: built without libseccomp, system calls are not filtered");
	return 0;
}
#endif

int sandbox_drop(int mode)
{
	if (mode == SANDBOX_OFF)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	leave_namespaces();
	return drop_capabilities();
}

int sandbox_enter(int mode)
{
	int r;

	if (mode == SANDBOX_OFF || WITH_SANITIZERS)
		return 0;
	r = limit_resources();
	return r < 0 ? r : filter_calls();
}
