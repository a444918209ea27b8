# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What scripts/demo and scripts/check share: named steps, and the build.  Sourced.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename "$0")

say() { printf '%s: %s\n' "$me" "$*"; }
die() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }

# step NAME CMD...: says what is done and how long it took; the output is kept in
# $logs, and its end is shown when the step fails.
step() {
	local name=$1 start=$SECONDS log
	shift
	log=$logs/${name//[^a-zA-Z0-9.-]/_}.log
	printf '%s: %s ... ' "$me" "$name"
	if "$@" >"$log" 2>&1; then
		printf '%d s\n' $((SECONDS - start))
		return 0
	fi
	printf 'FAILED after %d s; the end of %s:\n' $((SECONDS - start)) "$log"
	tail -n 40 "$log" | sed 's/^/  | /'
	# not every program says why it could not write
	if grep -qi 'no space left' "$log" || disk_full "$top" "$logs" "${TMPDIR:-/tmp}"; then
		say "the disk is full: make room where $top and ${TMPDIR:-/tmp} are"
	fi
	return 1
}

disk_full() { df -m --output=avail "$@" | awk 'NR > 1 && $1 < 4 { full = 1 } END { exit !full }'; }

configure_in() {
	local dir=$1
	shift
	mkdir -p "$dir"
	[[ -x $top/configure && $top/configure -nt $top/configure.ac ]] || "$top/autogen.sh"
	(cd "$dir" && "$top/configure" -q "$@")
}

jobs=$(nproc)

# ---- running a guest against daemons of this build ----

tmp=
pids=()

# Whatever way the script ends, nothing of it stays behind.
guest_finish() {
	local rc=$? pid
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	rm -rf "$tmp"
	exit "$rc"
}

guest_prepare() {
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/bufshare.XXXXXX")
	trap guest_finish EXIT
	trap 'say "interrupted"; exit 130' INT
	trap 'exit 143' TERM
	# Compilers and make leave files of theirs behind when they are interrupted.
	export TMPDIR=$tmp
}

# start CMD...: in the background, until the script ends.
start() {
	"$@" &
	pids+=($!)
}

# wait_guest PID: its exit status. Of a guest that failed nothing more will come, and
# whoever waits for it is ended.
wait_guest() {
	local rc=0
	wait "$1" || rc=$?
	((rc == 0)) || kill "${pids[@]}" 2>/dev/null || true
	return "$rc"
}

# stage_install BUILD: installs into a folder, whose programs and libraries guests and
# hosts then use. Sets stage and prefix_dir.
stage_install() {
	local prefix
	stage=$1/stage
	prefix=$(sed -n 's/^prefix = //p' "$1/Makefile")
	prefix_dir=$stage$prefix
	rm -rf "$stage"
	make -s -C "$1" install DESTDIR="$stage"
}

use_stage() {
	stage=$1/stage
	prefix_dir=$stage$(sed -n 's/^prefix = //p' "$1/Makefile")
	export LD_LIBRARY_PATH=$prefix_dir/lib
}

# start_daemon LABEL [OPTION...]: a daemon that listens at $tmp/LABEL, and for consumers at
# $tmp/LABEL.consumers; it logs to $logs/LABEL.log.
start_daemon() {
	local label=$1
	shift
	start "$prefix_dir/libexec/vhost-user-bufshare" --socket-path="$tmp/$label" \
		--consumer-socket="$tmp/$label.consumers" --label="$label" "$@" 2>"$logs/$label.log"
	for _ in {1..50}; do
		[[ -S $tmp/$label && -S $tmp/$label.consumers ]] && return 0
		sleep 0.1
	done
	tail -n 5 "$logs/$label.log" >&2
	die "the daemon did not start"
}
