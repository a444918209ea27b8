/* SPDX-License-Identifier: MIT */
/*
 * Runs another kernel in place of this one, without a reset of the machine:
 *
 *   guest-kexec KERNEL INITRAMFS COMMAND-LINE
 */
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

int main(int argc, char **argv)
{
	_cleanup_close_ int kernel = -1, initramfs = -1;

	if (argc != 4) {
		fprintf(stderr, "usage: guest-kexec KERNEL INITRAMFS COMMAND-LINE\n");
		return 2;
	}
	kernel = open(argv[1], O_RDONLY | O_CLOEXEC);
	initramfs = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (kernel < 0 || initramfs < 0) {
		perror("guest-kexec: open");
		return 1;
	}
	if (syscall(SYS_kexec_file_load, kernel, initramfs, strlen(argv[3]) + 1, argv[3], 0) < 0) {
		perror("guest-kexec: kexec_file_load");
		return 1;
	}
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	perror("guest-kexec: reboot");
	return 1;
}
