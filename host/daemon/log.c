/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "host/daemon/log.h"

#define LINE_SIZE 512

/* Of one message: enough for all that have a fixed size. */
#define TRACE_BYTES 128

static int max_level = LOG_LEVEL_INFO;

void log_set_level(int level)
{
	max_level = level;
}

int log_level(void)
{
	return max_level;
}

int log_enabled(int level)
{
	return level <= max_level;
}

static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

/* The whole line is one write, so that lines of several processes do not mix. */
static void __attribute__((format(printf, 2, 0)))
log_line(int level, const char *format, va_list ap)
{
	char line[LINE_SIZE + 1];
	int saved = errno;
	int len = 0;
	int n;

	if (!log_enabled(level))
		return;

	if (!isatty(STDERR_FILENO))
		len = snprintf(line, LINE_SIZE, "<%d>",
			       level < LOG_LEVEL_DEBUG ? level : LOG_LEVEL_DEBUG);
	errno = saved; /* for %m */

	n = vsnprintf(line + len, LINE_SIZE - len, format, ap);
	if (n >= 0) {
		make_printable(line + len);
		len += n < LINE_SIZE - len ? n : LINE_SIZE - len - 1;
		line[len++] = '\n';
		/* A log that can not be written is no reason to stop. */
		if (write(STDERR_FILENO, line, len) < 0)
			errno = saved;
	}
	errno = saved;
}

void log_err(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_LEVEL_ERR, format, ap);
	va_end(ap);
}

void log_warn(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_LEVEL_WARN, format, ap);
	va_end(ap);
}

void log_info(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_LEVEL_INFO, format, ap);
	va_end(ap);
}

void log_debug(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_LEVEL_DEBUG, format, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 1, 2))) trace_line(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_line(LOG_LEVEL_TRACE, format, ap);
	va_end(ap);
}

void log_trace(const char *what, const void *bytes, size_t size)
{
	const unsigned char *p = bytes;
	char hex[3 * TRACE_BYTES + 1] = "";
	size_t i;

	if (!log_enabled(LOG_LEVEL_TRACE))
		return;
	for (i = 0; i < size && i < TRACE_BYTES; i++)
		snprintf(hex + 3 * i, sizeof(hex) - 3 * i, " %02x", p[i]);
	trace_line("%s, %zu bytes:%s%s", what, size, hex, i < size ? " ..." : "");
}
