/* SPDX-License-Identifier: MIT */
/*
 * What the worker gives up before it reads a byte of anybody's: privileges for good, and
 * every system call that it does not need.
 */
#ifndef BUFSHARE_DAEMON_SANDBOX_H
#define BUFSHARE_DAEMON_SANDBOX_H

enum sandbox_mode {
	SANDBOX_AUTO, /* all that this build and this system have */
	SANDBOX_OFF,
};

/*
 * Both for the whole process, without a way back, and in this order. An error is one of the
 * system, not that something is missing here: that is in the log, at the level debug.
 */

/* Privileges; while there is one thread, from which others have it. */
int sandbox_drop(int mode);

/* System calls, in all threads; there can be no more of them. */
int sandbox_enter(int mode);

#endif /* BUFSHARE_DAEMON_SANDBOX_H */
