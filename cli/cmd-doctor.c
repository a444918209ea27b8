/* SPDX-License-Identifier: MIT */
/*
 * doctor, in the guest: what could be wrong, from the driver to the host and back. It is
 * what a report of a bug begins with.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/module.h"
#include "common/cleanup.h"

#define APPLICATION "bufsharectl.doctor"
#define TEST_SIZE (8u << 20) /* about a picture of 1920x1080 */
#define NUM_PINGS 11
#define DMESG_HINT "see what dmesg says of virtio_bufshare"
#define HELD_HINT "a program on the host holds on to it; there, bufsharectl -H SOCKET top -c tells which"

struct doctor {
	struct ctl *ctl;
	struct report report;
	uint64_t timeout_ns; /* for the release of an update */
	struct bufshare_device **devs;
	size_t n;
};

static void check_module(struct doctor *d)
{
	struct report *report = &d->report;
	int state = module_state();

	if (state == MODULE_LOADED)
		report_add(report, "module", FINDING_GOOD, NULL, "the driver is loaded");
	else if (d->n || state == MODULE_BUILTIN)
		report_add(report, "module", FINDING_GOOD, NULL, "the driver is part of the kernel");
	else if (state == MODULE_ABSENT)
		report_add(report, "module", FINDING_BAD, MODULE_INSTALL_HINT,
			   "the driver is not installed for this kernel");
	else
		report_add(report, "module", FINDING_BAD, "run: bufsharectl load",
			   "the driver is not loaded");
}

static void check_devices(struct doctor *d)
{
	struct report *report = &d->report;

	if (d->n)
		report_add(report, "device", FINDING_GOOD, NULL, "%zu found", d->n);
	else if (device_on_the_bus())
		report_add(report, "device", FINDING_BAD, DMESG_HINT,
			   "the VM has one, but no driver runs it");
	else
		report_add(report, "device", FINDING_BAD,
			   "start the VM with one; on the host, bufsharectl qemu-args prints how",
			   "the VM has none");
}

/* Two devices of one label, or of none, can only be told apart by their nodes. */
static void check_labels(struct doctor *d)
{
	static const char fix[] = "give each daemon on the host a --label of its own";
	struct report *report = &d->report;
	size_t i, k;

	for (i = 0; i < d->n; i++) {
		const char *label = bufshare_device_get_label(d->devs[i]);

		for (k = i + 1; k < d->n; k++) {
			if (strcmp(label, bufshare_device_get_label(d->devs[k])) != 0)
				continue;
			report_add(report, "labels", *label ? FINDING_BAD : FINDING_WARNING, fix,
				   *label ? "%s and %s are both \"%s\"" : "%s and %s have none%s",
				   bufshare_device_get_name(d->devs[i]),
				   bufshare_device_get_name(d->devs[k]), label);
			return;
		}
	}
	report_add(report, "labels", FINDING_GOOD, NULL, "no two devices have the same");
}

/* Whether the host answers. */
static bool check_host(struct doctor *d, struct bufshare_device *dev)
{
	static const char fix[] = "see whether vhost-user-bufshare of this device runs on the host, "
				  "and what it says";
	uint64_t times[NUM_PINGS];
	int i, r;

	for (i = 0; i < NUM_PINGS; i++) {
		r = bufshare_device_ping(dev, &times[i]);
		if (r < 0) {
			report_add(&d->report, "host", FINDING_BAD, fix, "no answer: %s",
				   strerror(-r));
			return false;
		}
	}
	qsort(times, NUM_PINGS, sizeof(times[0]), compare_u64);
	report_add(&d->report, "host", FINDING_GOOD, NULL,
		   "answers; a round trip takes %.1f us (%.1f to %.1f)",
		   (double)times[NUM_PINGS / 2] / 1e3, (double)times[0] / 1e3,
		   (double)times[NUM_PINGS - 1] / 1e3);
	return true;
}

/* In how many pieces the memory of the test buffer lies, and how the host reaches it. */
static void check_memory(struct doctor *d, struct bufshare_device *dev, struct bufshare_buffer *buf)
{
	static const char fix[] =
		"memory is fragmented: echo 1 > /proc/sys/vm/compact_memory, or give the VM more";
	const double mib = (double)bufshare_buffer_get_size(buf) / (1 << 20);
	struct bufshare_buffer_info info;
	uint64_t max = UINT64_MAX; /* where the driver does not tell */
	bool many;
	int r;

	r = bufshare_device_get_buffer_info(dev, bufshare_buffer_get_id(buf), &info);
	if (r < 0) {
		report_add(&d->report, "memory", FINDING_BAD, DMESG_HINT, "the driver does not tell: %s",
			   strerror(-r));
		return;
	}
	bufshare_device_get_limit(dev, BUFSHARE_LIMIT_RANGES, &max);
	many = info.num_ranges > max / 2;
	report_add(&d->report, "memory", many ? FINDING_WARNING : FINDING_GOOD, many ? fix : NULL,
		   "ranges of %.0f MiB: %" PRIu32 ", of at most %" PRIu64, mib, info.num_ranges,
		   max);
	if (info.path == BUFSHARE_PATH_COPY)
		report_add(&d->report, "path", FINDING_WARNING,
			   "on the host, bufsharectl -H SOCKET doctor says what zero copy needs",
			   "the host copies each update");
	else
		report_add(&d->report, "path", FINDING_GOOD, NULL, "%s, without a copy",
			   path_name((int)info.path));
}

static int wait_release(struct doctor *d, struct bufshare_device *dev, uint64_t seq,
			struct bufshare_event *ev)
{
	const uint64_t deadline = now_ns() + d->timeout_ns;
	int r;

	for (;;) {
		r = bufshare_device_read_event(dev, ev);
		if (r == 0 && ev->type == BUFSHARE_EVENT_RELEASED && ev->seq >= seq)
			return 0;
		if (r == -EAGAIN)
			r = wait_for(d->ctl, bufshare_device_get_fd(dev), deadline);
		else if (r == 0)
			continue;
		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0)
			return r;
	}
}

static void check_update(struct doctor *d, struct bufshare_device *dev, struct bufshare_buffer *buf)
{
	struct bufshare_event ev;
	uint64_t seq, begin = now_ns();
	int r;

	r = bufshare_buffer_update(buf, NULL, 0, &seq);
	if (r == 0)
		r = wait_release(d, dev, seq, &ev);
	if (r < 0)
		report_add(&d->report, "update", FINDING_BAD,
			   r == -ETIMEDOUT ? HELD_HINT : DMESG_HINT,
			   "an update is not released: %s", strerror(-r));
	else
		report_add(&d->report, "update", FINDING_GOOD, NULL, "released after %.1f us%s",
			   (double)(now_ns() - begin) / 1e3,
			   ev.flags & BUFSHARE_RELEASED_NO_CONSUMER ?
				   "; no host program looks at " APPLICATION : "");
}

static void check_buffer(struct doctor *d, struct bufshare_device *dev)
{
	_cleanup_(cleanup_buffer) struct bufshare_buffer *buf = NULL;
	uint64_t limit = TEST_SIZE;
	const char *why;
	int r;

	bufshare_device_get_limit(dev, BUFSHARE_LIMIT_BUFFER_SIZE, &limit);
	r = bufshare_buffer_new(dev, limit < TEST_SIZE ? limit : TEST_SIZE, &buf);
	if (r < 0) {
		report_add(&d->report, "buffer", FINDING_BAD,
			   r == -ENOMEM ? "give the VM more memory" : DMESG_HINT,
			   "cannot make one: %s", strerror(-r));
		return;
	}
	r = bufshare_buffer_register(buf, APPLICATION);
	if (r < 0) {
		why = bufshare_buffer_get_refusal(buf);
		report_add(&d->report, "buffer", FINDING_BAD, *why ? why : DMESG_HINT,
			   "cannot register one: %s", strerror(-r));
		return;
	}
	report_add(&d->report, "buffer", FINDING_GOOD, NULL,
		   "the host takes one of %" PRIu64 " bytes", bufshare_buffer_get_size(buf));
	check_memory(d, dev, buf);
	check_update(d, dev, buf);
	r = bufshare_buffer_unregister(buf);
	if (r)
		report_add(&d->report, "unregister", FINDING_WARNING,
			   r < 0 ? DMESG_HINT : HELD_HINT, "%s",
			   r < 0 ? strerror(-r) : "a host program still has the memory");
}

static void check_device(struct doctor *d, struct bufshare_device *dev)
{
	const char *path = bufshare_device_get_path(dev);
	int r;

	r = bufshare_device_open(dev);
	if (r < 0) {
		report_add(&d->report, "node", FINDING_BAD, r == -EACCES ? DENIED_HINT : DMESG_HINT,
			   "cannot open %s: %s", path, strerror(-r));
		return;
	}
	report_add(&d->report, "node", FINDING_GOOD, NULL, "%s can be opened, label \"%s\"", path,
		   bufshare_device_get_label(dev));
	if (check_host(d, dev))
		check_buffer(d, dev);
	else
		report_add(&d->report, "buffer", FINDING_SKIPPED, NULL, "the host does not answer");
}

static int parse(struct ctl *ctl, int argc, char **argv, uint64_t *timeout_ns)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1)
		if (c != 't' || !seconds_option(ctl, c, timeout_ns))
			return EXIT_USAGE;
	return no_argument_left(ctl, argc) ? EXIT_OK : EXIT_USAGE;
}

int cmd_doctor_guest(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_device) struct bufshare_device *one = NULL;
	struct doctor d = { .ctl = ctl, .timeout_ns = 5000000000ull };
	size_t i;
	int r;

	if (parse(ctl, argc, argv, &d.timeout_ns))
		return EXIT_USAGE;
	r = ctl->device ? open_device(ctl, &one) : EXIT_OK;
	if (r != EXIT_OK)
		return r;
	r = bufshare_device_enumerate(&d.devs, &d.n);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot look for devices");
	report_begin(&d.report, ctl);
	check_module(&d);
	check_devices(&d);
	if (d.n > 1)
		check_labels(&d);
	if (one)
		check_device(&d, one);
	for (i = 0; i < d.n && !one; i++)
		check_device(&d, d.devs[i]);
	bufshare_device_list_free(d.devs, d.n);
	return report_end(&d.report);
}
