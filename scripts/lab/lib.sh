# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the lab's scripts share: where things are kept, messages, steps that
# can be interrupted, and locks.  Sourced, never run.

# The names by which every script of the lab knows the guest kernels: the
# series in Debian bookworm, trixie and trixie-backports.
lab_kernels="6.1 6.12 7.2"

lab_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # for those who source this
lab_top=$(cd "$lab_scripts/../.." && pwd)
# depmod and others that an ordinary user may run, but not find
PATH=$PATH:/usr/sbin:/sbin
lab_cache=${BUFSHARE_LAB:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/virtio-bufshare}

say() { printf 'lab: %s\n' "$*" >&2; }
die() { printf 'lab: %s\n' "$*" >&2; exit 1; }

# lab_key FILE...: a short name for the contents of the files.
lab_key() { cat "$@" | sha256sum | cut -c1-12; }

# A piece of the lab lives in a folder named after everything that determines
# it, and comes into place by one rename: if the folder is there, it is whole.
# (Setup runs programs of a root before it is in place: BUFSHARE_LAB_ROOT.)
lab_root_dir() {
	echo "${BUFSHARE_LAB_ROOT:-$lab_cache/root-$(lab_key "$lab_scripts/setup-root")}"
}

lab_uml_dir() {
	local root
	root=$(lab_root_dir)
	[[ -f $root/lab/uml-inputs ]] || return 1
	echo "$lab_cache/uml-$(lab_key "$lab_scripts/setup-uml" \
		"$lab_scripts"/kernel/uml*.config "$root/lab/uml-inputs")"
}

lab_smp_dir() {
	local root
	root=$(lab_root_dir)
	[[ -f $root/lab/uml-inputs ]] || return 1
	echo "$lab_cache/smp-$(lab_key "$lab_scripts/setup-smp" \
		"$lab_scripts/kernel/smp.config" "$root/lab/uml-inputs")"
}

lab_need_root() {
	lab_root=$(lab_root_dir)
	[[ -d $lab_root ]] ||
		die "no root folder for this version of the scripts: run scripts/lab/setup root"
}

lab_need_uml() {
	lab_uml=$(lab_uml_dir) || lab_uml=
	[[ -d $lab_uml ]] ||
		die "no User Mode Linux for this version of the scripts: run scripts/lab/setup uml"
}

lab_need_smp() {
	lab_smp=$(lab_smp_dir) || lab_smp=
	[[ -d $lab_smp ]] ||
		die "no kernel with checkers for this version of the scripts: run scripts/lab/setup smp"
}

# lab_kernel_release SERIES: the full version of a stock kernel in the root.
lab_kernel_release() {
	local release
	release=$(awk -v s="$1" '$1 == s { print $2 }' "$lab_root/lab/kernels")
	[[ -n $release ]] || die "no kernel $1 (known: $lab_kernels smp uml)"
	echo "$release"
}

lab_need_program() {
	local p
	for p; do
		command -v "$p" >/dev/null ||
			die "$p is not installed: run scripts/lab/packages lab"
	done
}

# Steps run in a process group of their own.  A background job ignores
# Ctrl-C, and a plain "kill" would leave the children of make or apt running,
# so whoever calls lab_traps kills the group instead.
lab_job=
lab_tmp=

lab_kill_job() {
	[[ -n $lab_job ]] || return 0
	kill -TERM -- "-$lab_job" 2>/dev/null || true
	# What ignores a polite request has half a second.
	for _ in 1 2 3 4 5; do
		kill -0 -- "-$lab_job" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL -- "-$lab_job" 2>/dev/null || true
	wait "$lab_job" 2>/dev/null || true
	lab_job=
}

lab_cleanup() {
	lab_kill_job
	if [[ -n $lab_tmp && -d $lab_tmp ]]; then
		# gigabytes, it may be
		[[ $lab_tmp != "$lab_cache"/* ]] || say "removing what was half made"
		# Build trees have folders without write permission now and then.
		rm -rf "$lab_tmp" 2>/dev/null ||
			{ chmod -R u+rwX "$lab_tmp" && rm -rf "$lab_tmp"; } || true
	fi
}

lab_traps() {
	trap lab_cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# lab_run CMD...: run a command or function in a process group of its own;
# the caller's traps work while it runs.  To be called with "set +e", because
# bash ignores errors all the way down on the left of an "||".
lab_run() {
	local rc=0
	set -m
	(set -e; "$@") </dev/null &
	lab_job=$!
	set +m
	wait "$lab_job" || rc=$?
	lab_job=
	return "$rc"
}

# lab_step NAME CMD...: one line with the seconds it took.  The output goes to
# $lab_tmp/log and is shown when the step fails, with advice where the reason
# is a common one.
lab_step() {
	local name=$1 start=$SECONDS rc
	shift
	printf 'lab: %s ... ' "$name" >&2
	set +e
	lab_run "$@" >"$lab_tmp/log" 2>&1
	rc=$?
	set -e
	if ((rc == 0)); then
		printf '%d s\n' $((SECONDS - start)) >&2
		return 0
	fi
	printf 'FAILED after %d s:\n' $((SECONDS - start)) >&2
	tail -n 15 "$lab_tmp/log" | sed 's/^/lab: | /' >&2
	if grep -qi 'no space left' "$lab_tmp/log"; then
		say "the disk is full: $(df -h --output=avail "$lab_tmp" | tail -1 | tr -d ' ') free for $lab_cache;" \
			"make room there, or set BUFSHARE_LAB to a folder on another disk"
	elif grep -qiE 'unable to fetch|failed to fetch|could not (resolve|connect)|temporary failure|404 ' "$lab_tmp/log"; then
		say "a download failed: check that 'apt-get update' works, or set BUFSHARE_DEBIAN_MIRROR" \
			"and BUFSHARE_DEBIAN_SECURITY_MIRROR to mirrors that answer; then run this again"
	fi
	exit 1
}

# lab_lock NAME: one setup of a piece at a time, whichever clone it is run in.
lab_lock() {
	mkdir -p "$lab_cache" || die "cannot make $lab_cache: set BUFSHARE_LAB to a folder that you can write"
	exec {lab_lock_fd}>"$lab_cache/$1.lock"
	flock -n "$lab_lock_fd" || {
		say "waiting for another setup that makes the same piece"
		flock "$lab_lock_fd"
	}
}

# lab_space MEGABYTES WHAT: better to say so now than to fail half way.
lab_space() {
	local free
	free=$(df -m --output=avail "$lab_cache" | tail -1)
	((free >= $1)) || die "$2 needs $1 MB in $lab_cache, and only $free MB are free:" \
		"make room there, or set BUFSHARE_LAB to a folder on another disk"
}

# lab_prune KIND KEEP: folders of other versions of the scripts may belong to
# another clone, which touches its own whenever setup looks at it.
lab_prune() {
	local dir
	touch "$2"
	find "$lab_cache" -maxdepth 1 -name "$1-*" -mtime +14 ! -path "$2" -print |
		while read -r dir; do
			say "removing $dir, unused for two weeks"
			rm -rf "$dir"
		done
}
