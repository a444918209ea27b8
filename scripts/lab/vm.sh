# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What run-uml and run-vm share: running a guest, passing its console on line
# by line, and turning what it printed into an exit status.  Sourced.
#
# A guest's /init ends with "finish N" (guest-init-lib.sh), which prints
# "BUFSHARE-EXIT: N" and powers off.  A runner exits with
#
#   N     the guest's own result
#   124   the guest was still running after --timeout seconds
#   125   it ended without a result (a panic, for one), or did not start

vm_initramfs=
vm_devices=()
vm_timeout=120
# shellcheck disable=SC2034 # the runners use it
vm_mem=512M
vm_append=
vm_log=

# vm_option OPTION ARGUMENT: whether it is an option that both runners take.
vm_option() {
	case $1 in
	--initramfs) vm_initramfs=$2 ;;
	--device) vm_devices+=("$2") ;;
	--timeout) vm_timeout=$2 ;;
	--mem) vm_mem=$2 ;;
	--append) vm_append+=" $2" ;;
	--log) vm_log=$2 ;;
	*) return 1 ;;
	esac
}

vm_fail() { say "$@"; exit 125; }

vm_check() {
	local socket
	[[ -f $vm_initramfs ]] || vm_fail "no initramfs: give one with --initramfs (mkinitramfs makes it)"
	vm_initramfs=$(realpath "$vm_initramfs")
	[[ $vm_timeout =~ ^[0-9]+$ ]] || vm_fail "--timeout wants seconds, not '$vm_timeout'"
	for socket in "${vm_devices[@]}"; do
		[[ -S ${socket%%,*} ]] || vm_fail "no vhost-user socket at $socket: is the daemon running?"
	done
	lab_traps
	lab_tmp=$(mktemp -d "${TMPDIR:-/tmp}/bufshare-vm.XXXXXX")
}

# The console's line ends are the serial port's, and its first output may
# move the cursor about.
vm_console() {
	sed -u -e 's/\r//g' -e 's/\x1b[^a-zA-Z]*[a-zA-Z]//g' -e 's/\x1bc//g' | tee "$lab_tmp/console"
}

vm_start() {
	# killing the runner of a VM, not the VM, is no use: -k KILL covers both
	{
		timeout --foreground -s KILL "$vm_timeout" "$@" </dev/null 2>&1 || echo $? >"$lab_tmp/rc"
	} | vm_console
}

# vm_run CMD...: does not return.
vm_run() {
	local rc=0 result
	# --log is in addition to stdout; it must not be a file that the guest's
	# console driver sees, because UML cannot poll one.
	set +e
	if [[ -n $vm_log ]]; then
		lab_run vm_start "$@" >"$vm_log"
	else
		lab_run vm_start "$@"
	fi
	set -e
	[[ ! -f $lab_tmp/rc ]] || rc=$(<"$lab_tmp/rc")
	result=$(sed -n 's/^BUFSHARE-EXIT: \([0-9]\{1,3\}\)\b.*/\1/p' "$lab_tmp/console" | tail -n 1)
	if ((rc == 137 || rc == 124)); then
		say "the guest was stopped after $vm_timeout seconds${result:+ (it said $result, but did not power off)}"
		vm_tail
		exit 124
	fi
	[[ -z $result ]] || exit "$result"
	say "the guest ended without a result (exit status $rc of the program that ran it)"
	vm_tail
	exit 125
}

# Whoever sees the console has seen its end.
vm_tail() {
	[[ -n $vm_log ]] || return 0
	say "the last lines of its console ($vm_log):"
	tail -n 20 "$lab_tmp/console" | sed 's/^/lab: | /' >&2
}
