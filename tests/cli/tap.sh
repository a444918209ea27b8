# SPDX-License-Identifier: MIT
#
# For tests of a command line, to be sourced: checks that print TAP. $ctl is the program,
# $dir a folder that goes away, $input what the program reads (nothing, at first).
# shellcheck shell=sh disable=SC2034,SC2154

set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
n=0 failed=0 input=/dev/null
export LC_ALL=C NO_COLOR=1

result() { # NAME TROUBLE: empty is good
	n=$((n + 1))
	if [ -z "$2" ]; then
		printf 'ok %d - %s\n' "$n" "$1"
		return
	fi
	failed=$((failed + 1))
	printf 'not ok %d - %s: %s\n' "$n" "$1" "$2"
	sed 's/^/# /' "$dir/out" "$dir/err"
}

# json_verb ARGUMENT...: the verb, as the section JSON of bufsharectl(1) has it.
json_verb() {
	verb='' suffix=''
	for word; do
		case $word in
		buffers | show | get | devices | set | reset | share | import | pattern | monitor | top | \
			release | replay | load | unload | module | doctor | bench | qemu-args)
			[ -n "$verb" ] || verb=$word
			;;
		-c | -bc | --consumers) [ "$verb" != top ] || suffix=' Fl c' ;;
		esac
	done
	echo "$verb$suffix"
}

# json_trouble VERB: what is wrong with $dir/out if it is JSON.
json_trouble() {
	case $1:$(head -c 1 "$dir/out") in
	?*:"{") [ ! -x ./tests/cli/json-keys ] || ./tests/cli/json-keys "${srcdir:-.}/man/bufsharectl.1" \
		"$1" "$dir/seen" <"$dir/out" ;;
	esac
}

# check NAME STATUS PATTERN ARGUMENT...: the exit status, and a pattern of what is printed
# on either stream.
check() {
	name=$1 status=$2 pattern=$3
	shift 3
	began= # what runs beside it has its output no more
	"$ctl" "$@" <"$input" >"$dir/out" 2>"$dir/err"
	got=$?
	trouble=
	[ "$got" -eq "$status" ] || trouble="status $got, not $status"
	cat "$dir/out" "$dir/err" | grep -q -e "$pattern" || [ -z "$pattern" ] ||
		trouble="$trouble no '$pattern' in:"
	result "$name" "$trouble$(json_trouble "$(json_verb "$@")")"
}

# check_out NAME ARGUMENT... <<WANTED: it succeeds, and standard output is exactly this.
check_out() {
	name=$1
	shift
	cat >"$dir/wanted"
	"$ctl" "$@" <"$input" >"$dir/out" 2>"$dir/err"
	got=$?
	trouble=
	[ "$got" -eq 0 ] || trouble="status $got"
	cmp -s "$dir/out" "$dir/wanted" || trouble="$trouble other output:"
	result "$name" "$trouble$(json_trouble "$(json_verb "$@")")"
}

# also NAME PATTERN: the output of the check before matches this too; "!" before it: not.
also() {
	trouble=
	case $2 in
	!*) ! grep -q -e "${2#!}" "$dir/out" "$dir/err" || trouble="there is '${2#!}' in:" ;;
	*) grep -q -e "$2" "$dir/out" "$dir/err" || trouble="no '$2' in:" ;;
	esac
	result "$1" "$trouble"
}

# machine VARIABLE=VALUE...: what bufsharectl-fake runs on.
machine() {
	unset FAKE_LABELS FAKE_SUBSYSTEM FAKE_CONSUMERS FAKE_BUFFER FAKE_PRIVILEGED FAKE_DENIED \
		FAKE_REFUSE FAKE_GONE FAKE_MODULES FAKE_MODPROBE FAKE_FAIL FAKE_RANGES FAKE_PATH \
		FAKE_KEEPS FAKE_MAPPED FAKE_BUS
	for variable; do
		# shellcheck disable=SC2163 # it is an assignment
		export "$variable"
	done
}

# install_driver: $modules is then a folder of modules with the driver; fails without depmod.
install_driver() {
	PATH=$PATH:/usr/sbin:/sbin
	command -v depmod >/dev/null || return
	modules=$dir/lib/modules/$(uname -r)
	mkdir -p "$modules/extra"
	cp tests/cli/virtio-bufshare.ko "$modules/extra/"
	: >"$modules/modules.order"
	: >"$modules/modules.builtin"
	depmod -b "$dir" "$(uname -r)" || die "depmod does not work"
}

finish() {
	echo "1..$n"
	[ "$failed" -eq 0 ]
}
