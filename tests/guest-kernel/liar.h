/* SPDX-License-Identifier: MIT */
/* What tests tell a device that lies, and ask of it. */
#ifndef TESTS_GUEST_KERNEL_LIAR_H
#define TESTS_GUEST_KERNEL_LIAR_H

#include "suite.h"

/* How long programs wait for an answer. */
void set_timeout(unsigned int ms);

/* From now on the device does this. */
void tell(int fd, const char *lie);

/* A file of the device, which tells the truth so far. */
int open_liar(void);

int ping(int fd);

/* Writes the name of the device to "bind" or "unbind" of the driver. */
void write_driver(const char *file);

/* All that there is works again. */
void expect_works(int fd);

enum {
	COMMAND_REGISTER,
	COMMAND_UNREGISTER,
	COMMAND_SET,
	COMMAND_GET,
	COMMAND_RESET,
	COMMAND_PING,
	NUM_COMMANDS,
};

/* Calls that wait for an answer; id: a registration of the file. */
extern const struct command {
	const char *name;
	int (*run)(int fd, uint64_t id);
} commands[NUM_COMMANDS];

#endif /* TESTS_GUEST_KERNEL_LIAR_H */
