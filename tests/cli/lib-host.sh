# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# A daemon, a guest and bufsharectl -H, each a process of its own, for tests that are
# sourced with this file from the build folder.

ctl=./cli/bufsharectl
daemon=./host/daemon/vhost-user-bufshare
fake_guest=./tests/daemon/fake-guest
daemon_pid='' guest_pid='' ctl_pid=''
# shellcheck source=tests/cli/tap.sh
. "$srcdir/tests/cli/tap.sh"
socket=$dir/vm.consumers

stop_all() {
	stop_guest
	stop_daemon
	[ -z "$ctl_pid" ] || kill "$ctl_pid" 2>/dev/null
	rm -rf "$dir"
}
trap stop_all EXIT

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

same() { # NAME FILE FILE
	trouble=
	cmp -s "$2" "$3" || trouble="files differ, after:"
	result "$1" "$trouble"
}

absent() { # NAME FILE
	trouble=
	[ ! -e "$2" ] || trouble="it is there, after:"
	result "$1" "$trouble"
}

# verdict NAME STATUS PATTERN GOT [TROUBLE]: of what was written to $dir/out and $dir/err.
verdict() {
	trouble=${5-}
	[ "$4" -eq "$2" ] || trouble="$trouble status $4, not $2"
	grep -q -e "$3" "$dir/out" "$dir/err" || [ -z "$3" ] || trouble="$trouble no '$3' in:"
	result "$1" "$trouble"
}

# begin ARGUMENT...: bufsharectl in the background; end_check is then what check is.
begin() {
	: >"$dir/out"
	began=$(json_verb "$@")
	"$ctl" "$@" >"$dir/out" 2>"$dir/err" 9>&- &
	ctl_pid=$!
}

end_check() {
	wait "$ctl_pid"
	got=$?
	ctl_pid=
	verdict "$1" "$2" "$3" "$got" "$(json_trouble "$began")"
}

# printed PATTERN: begin's has printed that.
printed() {
	until_true 10 grep -q -e "$1" "$dir/out"
}
