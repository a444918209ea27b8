# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the runs of tests/vm share, on top of scripts/lib.sh. Sourced, after top is known.
# shellcheck disable=SC2154

# vm_build BUILD TARGET: the driver for that kernel, and everything else installed into a
# folder of the build. Sets build, target and logs.
vm_build() {
	build=$(realpath "$1")
	target=$2
	logs=$build/log-$target
	mkdir -p "$logs"
	guest_prepare
	if [[ $target == uml ]]; then
		"$top/scripts/lab/setup" root uml
	else
		"$top/scripts/lab/setup" root
	fi
	step "build the driver ($target)" \
		"$top/scripts/lab/build-module" "$target" "$build/module-$target"
	step "install into a folder" stage_install "$build"
	use_stage "$build"
}

# vm_pack INIT FILE [OPTION...]: the guest's initramfs.
vm_pack() {
	local init=$1 out=$2
	shift 2
	step "pack the guest ($(basename "$init"))" "$top/scripts/lab/mkinitramfs" --out "$out" \
		--kernel "$target" --init "$init" \
		--module "$build/module-$target/drm-driver/virtio-bufshare.ko" \
		--lib "$prefix_dir/lib/libbufshare.so.0" \
		--lib "$prefix_dir/lib/libbufshare-host.so.0" \
		--prog "$prefix_dir/bin/bufsharectl" --prog "$(command -v strace)" \
		--file "$top/docs/path-of-a-buffer.png:/picture.png" "$@"
}

# vm_wait_all: daemons end with their guest; one that was killed by a signal has a bug.
vm_wait_all() {
	local pid rc=0
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null || [[ $? -lt 128 ]] ||
			{ say "process $pid died of a signal"; rc=1; }
	done
	return "$rc"
}

# vm_complaints LOG: what the kernel printed and a good driver does not cause, also where
# the guest had no time to look.
vm_complaints() {
	! grep -nE 'BUG:|WARNING:|Oops|KASAN:|UBSAN:|general protection|Kernel panic|possible .*(deadlock|recursive locking|irq lock inversion)|inconsistent lock state|suspicious RCU|blocked for more than|rcu.*stall|list_(add|del) corruption|refcount_t' "$1"
}

# ---- QEMU's control socket ----

# qmp_open SOCKET: from then on qmp and qmp_event work.
qmp_open() {
	local greeting
	for _ in {1..100}; do
		[[ ! -S $1 ]] || break
		sleep 0.1
	done
	coproc QMP { exec socat - "UNIX-CONNECT:$1"; }
	read -r -t 30 greeting <&"${QMP[0]}" && [[ $greeting == *'"QMP"'* ]] || return 1
	qmp qmp_capabilities
}

# qmp COMMAND [ARGUMENTS-AS-JSON]: events that come before the answer are dropped.
qmp() {
	local line
	printf '{"execute":"%s","arguments":%s}\n' "$1" "${2:-{\}}" >&"${QMP[1]}"
	while read -r -t 60 line <&"${QMP[0]}"; do
		case $line in
		'{"return"'*) return 0 ;;
		'{"error"'*) say "QEMU refuses $1: $line"; return 1 ;;
		esac
	done
	say "QEMU does not answer $1"
	return 1
}

# qmp_event NAME: waits until it comes.
qmp_event() {
	local line
	while read -r -t 60 line <&"${QMP[0]}"; do
		[[ $line != *"\"event\": \"$1\""* ]] || return 0
	done
	say "QEMU did not say $1"
	return 1
}
