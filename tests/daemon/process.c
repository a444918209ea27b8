/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/process.h"

#define MAX_ARGS 32

static char dir[64];
static const char *program = "./host/daemon/vhost-user-bufshare";

void process_use(const char *path)
{
	program = path;
}

const char *process_dir(void)
{
	if (!dir[0]) {
		strcpy(dir, "/tmp/bufshare-test.XXXXXX");
		assert_non_null(mkdtemp(dir));
	}
	return dir;
}

const char *process_path(const char *name)
{
	static char paths[4][108];
	static unsigned int next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	assert_in_range(snprintf(path, sizeof(paths[0]), "%s/%s", process_dir(), name), 1,
			sizeof(paths[0]) - 1);
	return path;
}

void process_rmdir(void)
{
	if (dir[0] && rmdir(dir) < 0)
		fail_msg("%s: %s", dir, strerror(errno));
	dir[0] = '\0';
}

void process_sleep_ms(unsigned int ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

int process_pump(void *data)
{
	process_sleep_ms(1);
	return 0;
}

static int activate_fds[3], num_activate;

void process_activate(const int *fds, int n)
{
	assert_in_range(n, 0, ARRAY_SIZE(activate_fds));
	memcpy(activate_fds, fds, (size_t)n * sizeof(int));
	num_activate = n;
}

/* In the child. */
static void activate(void)
{
	char text[32];
	int i;

	for (i = 0; i < num_activate; i++)
		activate_fds[i] = fcntl(activate_fds[i], F_DUPFD_CLOEXEC, 100);
	for (i = 0; i < num_activate; i++)
		dup2(activate_fds[i], 3 + i);
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof(text), "%d", num_activate);
	setenv("LISTEN_FDS", text, 1);
}

static void __attribute__((noreturn)) run(char **argv, int log, int keep_fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(log, STDERR_FILENO);
	if (keep_fd >= 0)
		fcntl(keep_fd, F_SETFD, 0);
	if (num_activate)
		activate();
	execv(argv[0], argv);
	_exit(127);
}

void process_start(struct process *p, int keep_fd, ...)
{
	char *argv[MAX_ARGS] = { (char *)program };
	int fds[2], n = 1;
	va_list ap;

	va_start(ap, keep_fd);
	do {
		assert_in_range(n, 1, MAX_ARGS - 1);
		argv[n] = va_arg(ap, char *);
	} while (argv[n++]);
	va_end(ap);

	*p = (struct process){ .log = -1 };
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	p->log = fds[0];
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0)
		run(argv, fds[1], keep_fd);
	close(fds[1]);
	num_activate = 0;
}

/* Reads more of what it says. False: it said its last word. */
static bool read_log(struct process *p, int timeout_ms)
{
	struct pollfd pfd = { .fd = p->log, .events = POLLIN };
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		fail_msg("it is silent, after: %s", p->text);
	if (p->size == sizeof(p->text) - 1) { /* the older half is of no use any more */
		memmove(p->text, p->text + p->size / 2, p->size - p->size / 2);
		p->size -= p->size / 2;
	}
	n = read(p->log, p->text + p->size, sizeof(p->text) - 1 - p->size);
	assert_true(n >= 0);
	p->size += (size_t)n;
	p->text[p->size] = '\0';
	return n > 0;
}

void process_says(struct process *p, const char *text)
{
	while (!strstr(p->text, text))
		if (!read_log(p, PROCESS_TIMEOUT_MS))
			fail_msg("it ended without \"%s\": %s", text, p->text);
}

int process_end(struct process *p)
{
	int status;

	while (read_log(p, PROCESS_TIMEOUT_MS))
		;
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	p->pid = 0;
	close(p->log);
	p->log = -1;
	return status;
}

int process_kill(struct process *p, int signo)
{
	assert_int_equal(kill(p->pid, signo), 0);
	return process_end(p);
}

void process_clean_up(struct process *p)
{
	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	if (p->log > 0)
		close(p->log);
	*p = (struct process){ .log = -1 };
}

int process_connect(const char *path, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	int i;

	assert_true(sock >= 0);
	assert_in_range(strlen(path), 1, sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	for (i = 0; i < PROCESS_TIMEOUT_MS; i++) {
		if (connect(sock, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
			return sock;
		process_sleep_ms(1);
	}
	fail_msg("nobody listens at %s: %s", path, strerror(errno));
	return -1;
}
