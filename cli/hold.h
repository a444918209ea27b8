/* SPDX-License-Identifier: MIT */
/*
 * A buffer that is shared until a host program took it.
 */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H

#include "cli/cli.h"

#define HOLD_MAX_PROPERTIES 64

struct hold {
	const char *application;
	const char *properties[HOLD_MAX_PROPERTIES]; /* "NAME=VALUE" */
	size_t num_properties;
	uint64_t timeout_ns; /* 0: none */
	bool keep; /* also after somebody took it */
	bool dry_run; /* only say what would be shared */
	bool interactive; /* standard input says what to do with it */
};

/* The rows of options that hold_option() understands. */
#define HOLD_OPTIONS(application)                                             \
	{ 'a', "application", "NAME", "for which programs (" application ")" }, \
	{ 'p', "property", "NAME=VALUE", "set a property; repeatable" },      \
	{ 't', "timeout", "SECONDS", "give up after that long" },             \
	{ 'k', "hold", NULL, "keep it shared until interrupted" },            \
	{ 'i', "interactive", NULL, "keep it, and do what standard input says" }, \
	{ 'n', "dry-run", NULL, "only say what would be shared" }

/* EXIT_OK, or EXIT_USAGE for an option that is none of these, or after it has said why. */
int hold_option(struct ctl *ctl, int option, struct hold *hold);

/* Registers and updates the buffer and holds it. EXIT_OK, or it has said why not. */
int hold_buffer(struct ctl *ctl, const struct hold *hold, struct bufshare_device *dev,
		struct bufshare_buffer *buf);

#endif /* CLI_HOLD_H */
