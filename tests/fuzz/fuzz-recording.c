/* SPDX-License-Identifier: MIT */
/*
 * Recordings, as "bufsharectl replay" gets them from wherever they came, played on a machine
 * with a device. The input is the file. Time passes as it is waited for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"
#include "fuzz/fuzz.h"
#include "guest/fake-drm.h"

const char fuzz_name[] = "recording";

static uint64_t now = 1000000000;

uint64_t __wrap_now_ns(void);
int __wrap_wait_for(const struct ctl *ctl, int fd, uint64_t deadline_ns);

uint64_t __wrap_now_ns(void)
{
	return now;
}

/* Nothing happens before the deadline. */
int __wrap_wait_for(const struct ctl *ctl, int fd, uint64_t deadline_ns)
{
	fuzz_check(deadline_ns);
	if (now < deadline_ns)
		now = deadline_ns;
	return 0;
}

static void play(char *path)
{
	struct ctl ctl = { .signals = eventfd(0, EFD_CLOEXEC), .quiet = true };
	char name[] = "replay", *argv[] = { name, path, NULL };
	const struct verb *v;
	int status;

	fuzz_check(ctl.signals >= 0);
	for (v = verbs; v->guest != cmd_replay_guest; v++)
		;
	ctl.verb = v;
	optind = 0;
	status = v->guest(&ctl, 2, argv);
	fuzz_check(status == EXIT_OK || status == EXIT_FAILED || status == EXIT_PROTOCOL);
	close(ctl.signals);
}

static void remove_machine(void)
{
	fake_machine_teardown(NULL);
}

static struct fake_device *make_once(void)
{
	const struct fake_config config = { .max_buffers = 8 };
	static struct fake_device *dev;

	if (dev)
		return dev;
	fuzz_mute(false); /* opens what it needs */
	fuzz_check(fake_machine_setup(NULL) == 0 && atexit(remove_machine) == 0);
	dev = fake_device_add(&config);
	fake_set_consumers(dev, 1);
	fake_set_auto_release(dev, true);
	return dev;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake_device *dev = make_once();
	int before = fuzz_lowest_fd(), fd;
	char path[64];

	fd = memfd_create("fuzz", MFD_CLOEXEC);
	fuzz_check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fuzz_mute(true);
	play(path);
	fuzz_mute(false);
	fuzz_check(fake_count_registered(dev) == 0 && fake_count_files(dev) == 0);
	close(fd);
	fuzz_check(fuzz_lowest_fd() == before);
	return 0;
}
