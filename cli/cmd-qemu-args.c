/* SPDX-License-Identifier: MIT */
/*
 * qemu-args: what to tell the VMM.
 */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/cleanup.h"

#define MAX_SOCKETS 16

/* The option of Cloud Hypervisor that says what device it is has another name since this one. */
#define CLOUD_RENAMED 53

/* Users may create the vhost-user device that takes any virtio id since this one. */
#define QEMU_MAJOR 10
#define QEMU_MINOR 2

/* Better to say it here than to leave it to "not a valid device model name". */
static void check_qemu(const struct ctl *ctl)
{
	FILE *f = popen("qemu-system-x86_64 --version 2>/dev/null", "re");
	unsigned int major, minor;
	char line[128];
	bool said;

	if (!f)
		return;
	said = fgets(line, sizeof(line), f) &&
	       sscanf(line, "QEMU emulator version %u.%u", &major, &minor) == 2;
	pclose(f);
	if (said && (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR)))
		note(ctl, "the qemu-system-x86_64 here is %u.%u, and the device needs %d.%d or newer: "
		     "take a newer one, such as from your distribution's backports",
		     major, minor, QEMU_MAJOR, QEMU_MINOR);
}

int cmd_qemu_args(struct ctl *ctl, int argc, char **argv)
{
	const char *sockets[MAX_SOCKETS] = { "/tmp/bufshare" }, *memory = "1G";
	uint64_t cloud = 0; /* its version; 0: QEMU */
	size_t n = 0, i;
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 's':
			if (n == MAX_SOCKETS)
				return usage(ctl, "at most %d sockets", MAX_SOCKETS);
			sockets[n++] = optarg;
			break;
		case 'm':
			memory = optarg;
			break;
		case 'c':
			cloud = CLOUD_RENAMED;
			if (optarg && (!parse_u64(optarg, 10000, &cloud) || !cloud))
				return usage(ctl, "--cloud-hypervisor=%s: not a version, like 52",
					     optarg);
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return usage(ctl, "takes no argument");
	n = n ? n : 1;

	if (cloud) {
		printf("--memory size=%s,shared=on\n", memory);
		for (i = 0; i < n; i++)
			printf("--generic-vhost-user socket=%s,%s=37,queue_sizes=[256,256]\n",
			       sockets[i], cloud < CLOUD_RENAMED ? "virtio_id" : "device_type");
		if (cloud >= CLOUD_RENAMED)
			note(ctl, "for Cloud Hypervisor %d and later; for 52: --cloud-hypervisor=52",
			     CLOUD_RENAMED);
		return EXIT_OK;
	}
	check_qemu(ctl);
	printf("-m %s -object memory-backend-memfd,id=mem,size=%s,share=on\n"
	       "-machine q35,memory-backend=mem\n", memory, memory);
	for (i = 0; i < n; i++)
		printf("-chardev socket,id=bufshare%zu,path=%s\n"
		       "-device vhost-user-test-device-pci,chardev=bufshare%zu,virtio-id=37,"
		       "num_vqs=2,vq_size=256,config_size=256\n", i, sockets[i], i);
	return EXIT_OK;
}
