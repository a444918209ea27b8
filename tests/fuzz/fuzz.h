/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers share. A fuzzer is a file with fuzz_name and LLVMFuzzerTestOneInput();
 * with --enable-fuzzers libFuzzer drives it, otherwise replay.c runs its corpus once.
 *
 * An input is a list of steps: a byte that says what to do, and its arguments. What is
 * missing at the end reads as zero, so that every input means something.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Its corpus is tests/fuzz/corpus/<fuzz_name>. */
extern const char fuzz_name[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *data;
	size_t size; /* left */
};

uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);

/* A length of 16 bits and as many bytes, as far as there are. */
const uint8_t *fuzz_chunk(struct fuzz_input *in, size_t *size);

/* Ends the process with a message unless the condition holds. */
#define fuzz_check(condition) \
	do { \
		if (!(condition)) \
			fuzz_failed(__FILE__, __LINE__, #condition); \
	} while (0)

void fuzz_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

/* The two ends of a fresh connection, close-on-exec. */
void fuzz_socketpair(int type, int fds[2]);

/* A sealed memfd of that many bytes, zero; the caller's. */
int fuzz_memfd(size_t size);

/* What is printed goes nowhere, or out again. */
void fuzz_mute(bool mute);

/* From here on what an input does may be made to fail (faults.c), or no more. */
void fuzz_faults(bool wanted);

/* Whether something has failed that need not, so that a request can be refused. */
bool fuzz_fault(void);

/* To be called before and after an input: whoever opened more than was closed fails. */
int fuzz_lowest_fd(void);

#endif /* TESTS_FUZZ_FUZZ_H */
