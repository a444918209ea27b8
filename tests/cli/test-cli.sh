#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bufsharectl where no device and no daemon is: help, usage, messages, exit statuses.
set -u

ctl=./cli/bufsharectl
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

# check NAME STATUS PATTERN ARGUMENT...: the status, and a pattern of what is printed.
check() {
	name=$1 status=$2 pattern=$3
	shift 3
	n=$((n + 1))
	"$ctl" "$@" >"$dir/out" 2>&1
	got=$?
	if [ "$got" -eq "$status" ] && grep -q -e "$pattern" "$dir/out"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name: status $got, not $status, or no '$pattern' in:"
		sed 's/^/# /' "$dir/out"
		failed=$((failed + 1))
	fi
}

check "version" 0 '^bufsharectl [0-9]' --version
check "help" 0 '^Verbs:' --help
check "no verb" 2 '^usage:'
check "unknown verb" 2 'did you mean "devices"' devises
check "unknown option" 2 'nknown\|nvalid\|unrecognized' --nonsense
check "wrong JSON style" 2 'not short' --json=xml devices
for verb in devices buffers show share pattern monitor capture load unload qemu-args; do
	check "help $verb" 0 "^usage: bufsharectl .*$verb" help "$verb"
	check "$verb --help" 0 "^usage: bufsharectl .*$verb" "$verb" --help
done
check "devices" 0 '' devices
check "devices as JSON" 0 '^{"schema":1,"devices":\[' --json=short devices
check "show without an id" 2 'wants the id' show
check "show of no number" 2 'wants the id' show x
check "share without a file" 2 'wants one file' share
check "share with a wrong property" 2 'not NAME=VALUE' share -p x file
check "pattern without a size" 2 'wants a size' pattern
check "pattern that is too small" 2 'wants a size' pattern 10x10
check "pattern with a wrong format" 2 'wants a size' pattern 640x480:X
check "pattern with wrong frames" 2 'not a number' pattern -n x 640x480
check "capture in the guest" 2 'with -H' capture 1 x.png
check "share on the host" 2 'without -H' -H "$dir/none" share x
check "no daemon" 3 'is vhost-user-bufshare running' -H "$dir/none" buffers
check "qemu-args" 0 '^-device vhost-user-test-device-pci,chardev=bufshare0,virtio-id=37' qemu-args
check "qemu-args for two" 0 'path=/two$' qemu-args -s /one -s /two
check "qemu-args for Cloud Hypervisor" 0 '^--generic-vhost-user socket=/one,device_type=37' \
	qemu-args -c -s /one
if [ ! -d /sys/bus/virtio/drivers/virtio-bufshare ]; then
	check "no device" 3 'no virtio-bufshare device' share "$0"
fi
echo "1..$n"
[ "$failed" -eq 0 ]
