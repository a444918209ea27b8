# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# What the guests of tests/vm/life and tests/vm/sleep have in common. Sourced, after
# guest-init.sh.

failed=0

uptime_s() { cut -d. -f1 /proc/uptime; }

must() {
	begin=$(uptime_s)
	if "$@"; then
		echo "ok - $* ($(($(uptime_s) - begin)) s)"
	else
		echo "not ok - $*"
		failed=$((failed + 1))
		# so that what was begun does not fail the next one
		for job in $(jobs -p); do kill -KILL "$job"; done
		wait
	fi
}

# The host listens at the second serial port.
ask_open() {
	stty -F /dev/ttyS1 raw -echo
	exec 5</dev/ttyS1
}

# ask WORD...: the host does it, and says when it is done; answer is what it said.
ask() {
	printf '\nHOST: %s\n' "$*"
	# shellcheck disable=SC2034 # for those who asked
	read -r answer <&5 && [ "$answer" != failed ]
}

pattern() {
	bufsharectl -d "$1" --json=lines pattern 320x240 --frames "$2" --fps 60 \
		--application demo.pattern
}

# endless DEVICE: a program that works until it is stopped; $! is its process.
endless() {
	rm -f "/tmp/endless-$1"
	bufsharectl -d "$1" --json=lines pattern 320x240 --fps 60 --application demo.load \
		>"/tmp/endless-$1" 2>&1 &
}

endless_works() { wait_for 20 test -s "/tmp/endless-$1"; }

# endless_goes_on DEVICE: it has drawn more since it was asked last, and draws on.
endless_goes_on() {
	before=$(wc -l <"/tmp/endless-$1")
	# shellcheck disable=SC2016 # the shell that is started knows its first argument
	wait_for 20 sh -c '[ $(wc -l <"$1") -gt $(($2 + 20)) ]' sh "/tmp/endless-$1" "$before" ||
		{ tail -n 3 "/tmp/endless-$1"; return 1; }
}

# ends SECONDS PID: whether the process ends by itself.
ends() { wait_for "$1" sh -c "! kill -0 $2 2>/dev/null"; }

bufsharectl_load() {
	modprobe -q virtio_pci # a module in some kernels, and none of ours
	bufsharectl load
}
