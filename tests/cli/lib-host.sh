# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# A daemon, a guest and bufsharectl -H, each a process of its own, for tests that are
# sourced with this file from the build folder.

ctl=./cli/bufsharectl
daemon=./host/daemon/vhost-user-bufshare
fake_guest=./tests/daemon/fake-guest
n=0 failed=0
daemon_pid='' guest_pid=''

dir=$(mktemp -d)
socket=$dir/vm.consumers

finish() {
	stop_guest
	stop_daemon
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

if [ ! -x "$fake_guest" ]; then
	echo "1..0 # SKIP the fake guest needs cmocka"
	exit 0
fi

# until_true SECONDS COMMAND...
until_true() {
	tries=$(($1 * 20))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.05
	done
}

# start_daemon [OPTION...]
start_daemon() {
	"$daemon" --socket-path="$dir/vm" --consumer-socket="$socket" --label=test \
		"$@" 2>"$dir/daemon.log" &
	daemon_pid=$!
	until_true 10 [ -S "$dir/vm" ] || die "the daemon does not start"
}

stop_daemon() {
	[ -z "$daemon_pid" ] || { kill "$daemon_pid" && wait "$daemon_pid"; } 2>/dev/null
	daemon_pid=''
}

start_guest() {
	mkfifo "$dir/guest.in"
	"$fake_guest" "$dir/vm" <"$dir/guest.in" >"$dir/guest.out" 2>"$dir/guest.err" &
	guest_pid=$!
	exec 9>"$dir/guest.in"
}

stop_guest() {
	[ -n "$guest_pid" ] || return 0
	exec 9>&-
	wait "$guest_pid"
	guest_pid=''
	rm -f "$dir/guest.in"
}

die() {
	echo "Bail out! $1"
	sed 's/^/# daemon: /' "$dir/daemon.log" 2>/dev/null
	sed 's/^/# guest: /' "$dir/guest.err" 2>/dev/null
	exit 1
}

guest_answered() {
	grep -q -e "ok $1\$" "$dir/guest.out" || ! kill -0 "$guest_pid" 2>/dev/null
}

# guest LINE: the guest does it, and has done it when this returns. Lines differ.
guest() {
	echo "$1" >&9
	until_true 10 guest_answered "$1"
	grep -q -e "ok $1\$" "$dir/guest.out" || die "guest: $1"
}

# guest_begins LINE: the same without waiting for the end.
guest_begins() {
	echo "$1" >&9
}

result() {
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		failed=$((failed + 1))
	fi
}

# check NAME STATUS PATTERN ARGUMENT...: bufsharectl, its status, and a pattern of what
# it prints, on either stream; '': nothing.
check() {
	name=$1 status=$2 pattern=$3
	shift 3
	"$ctl" "$@" >"$dir/out" 2>&1
	verdict "$name" "$status" "$pattern" $?
}

matches() {
	if [ -n "$1" ]; then grep -q -e "$1" "$dir/out"; else [ ! -s "$dir/out" ]; fi
}

# verdict NAME STATUS PATTERN GOT
verdict() {
	if [ "$4" -eq "$2" ] && matches "$3"; then
		result "$1" 0
	else
		result "$1" 1
		echo "# status $4, wanted $2; wanted '$3' in:"
		sed 's/^/# /' "$dir/out"
	fi
}

# begin ARGUMENT...: bufsharectl in the background; then end_check as check above.
begin() {
	"$ctl" "$@" >"$dir/out" 2>&1 9>&- &
	ctl_pid=$!
}

end_check() {
	wait "$ctl_pid"
	verdict "$1" "$2" "$3" $?
}

# printed PATTERN: begin's has printed that.
printed() {
	until_true 10 grep -q -e "$1" "$dir/out"
}

done_testing() {
	echo "1..$n"
	[ "$failed" -eq 0 ]
}
