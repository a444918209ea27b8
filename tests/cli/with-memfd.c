/* SPDX-License-Identifier: MIT */
/*
 * Runs a command that finds a memfd, which can be sealed, at descriptor 3:
 *
 *   with-memfd SIZE COMMAND [ARGUMENT...]
 *
 * Each page begins with its number and a new line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FD 3
#define PAGE 4096

int main(int argc, char **argv)
{
	long size = argc > 2 ? atol(argv[1]) : 0, at;
	int fd;

	if (size <= 0) {
		fprintf(stderr, "usage: with-memfd SIZE COMMAND [ARGUMENT...]\n");
		return 2;
	}
	fd = memfd_create("with-memfd", MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, size) < 0 || (fd != FD && dup2(fd, FD) < 0)) {
		perror("with-memfd");
		return 1;
	}
	for (at = 0; at < size; at += PAGE) {
		char text[32];
		int n = snprintf(text, sizeof(text), "%ld\n", at / PAGE);

		if (pwrite(FD, text, (size_t)n, at) != n) {
			perror("with-memfd");
			return 1;
		}
	}
	if (fd != FD)
		close(fd);
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
