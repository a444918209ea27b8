/* SPDX-License-Identifier: MIT */
/*
 * Share memory that the program has already, and that is no picture: a board of numbers
 * which the host reads while the program goes on writing to it.
 *
 * cc -o guest-share-memory guest-share-memory.c $(pkg-config --cflags --libs libbufshare)
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <bufshare.h>

#define ROUNDS 20

struct board {
	uint64_t round;
	uint64_t time_ns;
};

/* Whole pages, and nothing else in them: the host can read all of what it is given. */
#define BOARD_SIZE 65536

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int share(struct bufshare_device *dev, void *memory, struct bufshare_buffer **buf)
{
	char size[32];
	int r;

	if (!bufshare_device_has_feature(dev, BUFSHARE_FEATURE_USER_MEMORY))
		fprintf(stderr, "this driver cannot share memory of programs\n");
	r = bufshare_buffer_new_from_memory(dev, memory, BOARD_SIZE, buf);
	if (r < 0)
		return r;
	snprintf(size, sizeof(size), "%zu", sizeof(struct board));
	r = bufshare_buffer_set_property(*buf, BUFSHARE_PROPERTY_SIZE, size);
	if (r == 0)
		r = bufshare_buffer_register(*buf, "example.board");
	return r;
}

int main(void)
{
	const struct bufshare_rect changed = { 0, 0, sizeof(struct board), 1 };
	struct bufshare_device *dev = NULL;
	struct bufshare_buffer *buf = NULL;
	struct board *board;
	uint64_t i;
	int r;

	board = mmap(NULL, BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return 1;
	r = bufshare_device_new_from_label(NULL, &dev);
	if (r == 0)
		r = bufshare_device_open(dev);
	if (r == 0)
		r = share(dev, board, &buf);
	for (i = 1; r == 0 && i <= ROUNDS; i++) {
		board->round = i;
		board->time_ns = now_ns();
		r = bufshare_buffer_update(buf, &changed, 1, NULL);
		/* Not for ever: a host program that hangs does not hold this one up. */
		if (r == 0 && bufshare_buffer_wait(buf, 0, 100 * 1000000LL) < 0)
			printf("the host is slow in round %llu\n", (unsigned long long)i);
	}
	if (r < 0)
		fprintf(stderr, "cannot share memory: %s\n", strerror(-r));
	else
		printf("%d rounds\n", ROUNDS);

	bufshare_buffer_unref(buf); /* the host has let go of it after this */
	bufshare_device_unref(dev);
	munmap(board, BOARD_SIZE);
	return r < 0;
}
