/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

uint8_t fuzz_u8(struct fuzz_input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t low = fuzz_u8(in);

	return (uint16_t)(low | fuzz_u8(in) << 8);
}

uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t value = 0;
	int i;

	for (i = 0; i < 64; i += 8)
		value |= (uint64_t)fuzz_u8(in) << i;
	return value;
}

const uint8_t *fuzz_chunk(struct fuzz_input *in, size_t *size)
{
	const uint8_t *chunk;

	*size = fuzz_u16(in);
	if (*size > in->size)
		*size = in->size;
	chunk = in->data;
	in->data += *size;
	in->size -= *size;
	return chunk;
}

void fuzz_failed(const char *file, int line, const char *condition)
{
	/* stderr may be what an input would have filled. */
	dprintf(STDERR_FILENO, "%s:%d: %s: does not hold\n", file, line, condition);
	abort();
}

void fuzz_socketpair(int type, int fds[2])
{
	fuzz_check(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0);
}

int fuzz_memfd(size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	fuzz_check(fd >= 0);
	fuzz_check(ftruncate(fd, (off_t)size) == 0);
	fuzz_check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

void fuzz_mute(bool mute)
{
	static FILE *nothing, *out, *err;

	if (!nothing) {
		nothing = fopen("/dev/null", "we");
		out = stdout;
		err = stderr;
	}
	fuzz_check(nothing);
	if (!mute)
		fflush(nothing);
	stdout = mute ? nothing : out;
	stderr = mute ? nothing : err;
}

__attribute__((weak)) void fuzz_faults(bool wanted)
{
}

__attribute__((weak)) bool fuzz_fault(void)
{
	return false;
}

int fuzz_lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	fuzz_check(fd >= 0);
	close(fd);
	return fd;
}
