# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# What the guests' /init scripts start with (busybox sh):
#
#   #!/bin/sh
#   . /lib/bufshare/guest-init.sh
#   load_driver || finish 1
#   my-test || finish 1
#   dmesg_check || finish 1
#   finish 0

export PATH=/bin HOME=/root TERM=dumb LC_ALL=C

/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
# a debug kernel of our own may have done that
grep -q "^[^ ]* /dev " /proc/mounts || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts 2>/dev/null
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null

# finish N: tells the runner and ends the guest, whichever kind it is.
finish() {
	# at the start of a line, whatever was printed last
	printf '\nBUFSHARE-EXIT: %d\n' "$1"
	# the serial port must be empty before the power goes
	sync
	poweroff -f
	# Only where poweroff did not work; the runner waits for its time-out.
	while :; do sleep 60; done
}

# A script that dies half way must not leave the runner waiting, and a panic
# ("attempted to kill init") would hide the reason.
trap 'finish 125' EXIT

# load_driver [PARAMETER=VALUE...]: with the bus, where that is a module.
load_driver() {
	modprobe -q virtio_pci 2>/dev/null
	modprobe virtio-bufshare "$@"
}

# wait_for SECONDS CMD...: until the command succeeds.
wait_for() {
	_tries=$(($1 * 10))
	shift
	until "$@"; do
		_tries=$((_tries - 1))
		[ "$_tries" -gt 0 ] || return 1
		sleep 0.1 2>/dev/null || sleep 1
	done
}

# dmesg_clear: what was printed so far has been looked at, or is expected.
dmesg_clear() { dmesg -c >/dev/null; }

# dmesg_check: fails, and prints what is wrong, when the kernel reported
# anything that a good driver does not cause.
dmesg_check() {
	dmesg | awk '
		/BUG:|WARNING:|Oops|KASAN|UBSAN|DMA-API: |refcount_t|unreferenced object|general protection|Kernel panic|possible (recursive|irq lock inversion)|possible .*(deadlock|circular locking|recursive locking)|inconsistent lock state|suspicious RCU usage|held lock freed|blocked for more than|rcu.*stall|list_(add|del) corruption|ODEBUG|scheduling while atomic|sleeping function called|unregister_netdevice|sysfs: cannot create|Call Trace/ &&
		!/(Disabled|enabled|disabled|initialized)$|KernelAddressSanitizer initialized|debugging enabled by kernel config|preallocated|debug_dma_/ {
			bad = 1
			print "dmesg: " $0
			# a report is worth its stack
			follow = 40
			next
		}
		follow > 0 { follow--; print "dmesg: " $0 }
		END { exit bad }'
}

# kmemleak: only in kernels that have it (UML).  A driver unloaded is where
# leaks show; what the kernel itself leaks at boot is cleared before.
_kmemleak=/sys/kernel/debug/kmemleak

kmemleak_clear() { [ ! -e $_kmemleak ] || echo clear >$_kmemleak; }

# kmemleak_check PATTERN: objects whose report matches, such as a module's
# name.  An object counts when it is old enough and two scans have missed it.
kmemleak_check() {
	[ -e $_kmemleak ] || return 0
	# the age below which kmemleak keeps quiet is five seconds
	sleep 5
	echo scan >$_kmemleak
	echo scan >$_kmemleak
	awk -v pattern="$1" '
		function flush() { if (block ~ pattern) { bad = 1; printf "%s", block } block = "" }
		/^unreferenced object/ { flush() }
		{ block = block "kmemleak: " $0 "\n" }
		END { flush(); exit bad }' $_kmemleak
}
