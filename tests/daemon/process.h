/* SPDX-License-Identifier: MIT */
/*
 * The daemon as a program: started, watched and ended by a test. What should not happen
 * fails the test.
 */
#ifndef TESTS_DAEMON_PROCESS_H
#define TESTS_DAEMON_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* How long anything may take before the test fails. */
#define PROCESS_TIMEOUT_MS	10000

struct process {
	pid_t pid; /* 0: it ended */
	int log; /* the reading end of its stderr */
	char text[8192]; /* what it said so far */
	size_t size;
};

/* Another program than the daemon, from now on. */
void process_use(const char *path);

/* A folder for sockets, made at the first call; process_rmdir() wants it empty. */
const char *process_dir(void);
const char *process_path(const char *name);
void process_rmdir(void);

/* The options are strings up to NULL. keep_fd: it inherits that descriptor; -1: none. */
void process_start(struct process *p, int keep_fd, ...);

/*
 * The next one that is started inherits these as a service manager gives them, n times fd
 * (up to 3).
 */
void process_activate(const int *fds, int n);

/* Waits until it says that; fails if it ends before. */
void process_says(struct process *p, const char *text);

/* Waits until it ends by itself; returns its status as waitpid(2) has it. */
int process_end(struct process *p);

/* Signals it, and waits for its end. */
int process_kill(struct process *p, int signo);

/* Ends it without a word if it lives. For the end of a test, whatever it did. */
void process_clean_up(struct process *p);

/* A connection to one of its sockets; waits until there is somebody. */
int process_connect(const char *path, int type);

/* For ff_new(): the daemon runs by itself. */
int process_pump(void *data);

void process_sleep_ms(unsigned int ms);

#endif /* TESTS_DAEMON_PROCESS_H */
