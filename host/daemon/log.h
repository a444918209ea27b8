/* SPDX-License-Identifier: MIT */
/*
 * Messages of the daemon, one line each, to stderr. When stderr is not a terminal
 * each line begins with "<N>", its severity as sd-daemon(3) has it, for the journal.
 */
#ifndef BUFSHARE_DAEMON_LOG_H
#define BUFSHARE_DAEMON_LOG_H

#include <stddef.h>

/* The numbers are those of syslog(3). */
enum log_level {
	LOG_LEVEL_ERR		= 3, /* something does not work, and will not by itself */
	LOG_LEVEL_WARN		= 4, /* the other side misbehaved, or less works than could */
	LOG_LEVEL_INFO		= 6, /* one line per change of state */
	LOG_LEVEL_DEBUG		= 7, /* every message */
	LOG_LEVEL_TRACE		= 8, /* and its first bytes; to the journal it is debug too */
};

/* Drops what is less severe than level. At start: LOG_LEVEL_INFO. */
void log_set_level(int level);
int log_level(void);

/* Whether a message of that level would be written. */
int log_enabled(int level);

/*
 * Like printf, without the newline. A line is at most 512 bytes long, the rest is cut
 * off. Control characters become '?', so that text from a guest or consumer can not forge
 * a line or drive a terminal. errno stays as it was.
 */
void log_err(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What was received or is sent, in hexadecimal, as far as it fits into a line. */
void log_trace(const char *what, const void *bytes, size_t size);

#endif /* BUFSHARE_DAEMON_LOG_H */
