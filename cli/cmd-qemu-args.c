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
	printf("-m %s -object memory-backend-memfd,id=mem,size=%s,share=on\n"
	       "-machine q35,memory-backend=mem\n", memory, memory);
	for (i = 0; i < n; i++)
		printf("-chardev socket,id=bufshare%zu,path=%s\n"
		       "-device vhost-user-test-device-pci,chardev=bufshare%zu,virtio-id=37,"
		       "num_vqs=2,vq_size=256,config_size=256\n", i, sockets[i], i);
	return EXIT_OK;
}
