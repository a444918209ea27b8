#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The guest's examples as a reader would build them: with the command that stands in each
# of them, against what is installed, found through pkg-config, and nothing else of this
# tree. What they do is seen in the VM (tests/vm/examples).
# shellcheck disable=SC2154 # the test environment sets srcdir, CC and SAN_FLAGS
set -u

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

MAKEFLAGS='' make -s install-libLTLIBRARIES install-includeHEADERS install-pkgconfigDATA \
	DESTDIR="$dir/root" >"$dir/log" 2>&1 ||
	{ cat "$dir/log"; echo "cannot install"; exit 1; }

# Where they will be and where they are now are not the same.
pc=$(find "$dir/root" -name pkgconfig)
[ -n "$pc" ] || { echo "no pkg-config file was installed"; exit 1; }
sed -i "s|^prefix=|prefix=$dir/root|" "$pc"/*.pc
PKG_CONFIG_PATH=$pc${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir libbufshare) || exit 1

# comment NAME: without what makes it one, and continued lines joined.
comment() {
	sed -n 's/^ \*[[:blank:]]\{0,1\}//p; /^ \*\//q' "$srcdir/examples/$1.c" |
		sed -e ':again' -e '/\\$/ { N; s/\\\n//; b again' -e '}'
}

# build NAME COMMAND: in a folder where nothing else is, after what comes before it.
build() {
	cp "$srcdir/examples/$1.c" "$dir/$1.c"
	before=$(comment "$1" | grep -E '^(xml=|wayland-scanner )')
	(cd "$dir" && eval "$before") || { echo "$1 has not what it builds with"; failed=1; return 1; }
	flags="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter ${SAN_FLAGS:-}"
	(cd "$dir" && eval "$CC $flags ${2#cc }") && return
	echo "$1 does not build: $2"
	failed=1
	return 1
}

# run NAME: where no device is it fails, and says so.
run() {
	[ ! -e /sys/bus/virtio/drivers/virtio-bufshare ] || return 0
	LD_LIBRARY_PATH=$libdir "$dir/$1" /nowhere >"$dir/out" 2>&1
	status=$?
	if [ "$status" -ne 1 ] || { [ ! -s "$dir/out" ] && [ "$1" != guest-find-device ]; }; then
		echo "$1: status $status:"
		cat "$dir/out"
		failed=1
	fi
}

count=0
for source in "$srcdir"/examples/guest-*.c; do
	name=$(basename "$source" .c)
	command=$(comment "$name" | grep '^cc -o ')
	packages=$(echo "$command" | sed -n 's/.*--cflags --libs \([^)]*\)).*/\1/p')
	case $command in
	"cc -o $name $name.c "*) ;;
	*) echo "$name does not say how it is built"; failed=1; continue ;;
	esac
	# shellcheck disable=SC2086 # several
	if [ "$name" = guest-egl ] && ! pkg-config --exists $packages; then
		echo "$name: not built, without libgbm, EGL or GLES2"
		continue
	fi
	# shellcheck disable=SC2086
	if [ "$name" = guest-wayland-capture ] &&
		! pkg-config --exists $packages libweston-14-protocols; then
		echo "$name: not built, without libwayland or the protocols of libweston 14"
		continue
	fi
	build "$name" "$command" || continue
	run "$name"
	count=$((count + 1))
done
echo "$count examples were built"

# Each is one idea, and is run: in a guest, or on the host of one.
for source in "$srcdir"/examples/*.c; do
	name=$(basename "$source" .c)
	lines=$(wc -l <"$source")
	if [ "$lines" -lt 40 ] || [ "$lines" -gt 150 ]; then
		echo "$name has $lines lines, not 40 to 150"
		failed=1
	fi
	grep -q "$name" "$srcdir/tests/vm/examples" "$srcdir/scripts/check-udmabuf" ||
		{ echo "$name is run nowhere"; failed=1; }
done
[ "$count" -ge 6 ] || failed=1
exit "$failed"
