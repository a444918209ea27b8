#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Every public header stands alone, and twice, in C99 and newer C and in C++, with the
# warnings that careful programs turn on.
set -u

# shellcheck disable=SC2154 # the test environment sets srcdir, CC and CXX
include=$srcdir/include
drm=$(pkg-config --cflags libdrm | sed 's/-I/-isystem /g') || exit 77
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Wcast-qual -Werror'
failed=0

# compile COMPILER LANGUAGE STANDARD HEADER
compile() {
	# shellcheck disable=SC2086 # flags are words
	printf '#include <%s>\n#include <%s>\nint only_the_header;\n' "$4" "$4" |
		"$1" -x "$2" "-std=$3" $warnings $drm -I"$include" -I"$include/uapi" -fsyntax-only - || {
		echo "$4 does not stand alone in $3 with $1"
		failed=1
	}
}

# shellcheck disable=SC2012 # their names are plain
headers=$(cd "$include" && ls -- *.h uapi/drm/*.h uapi/linux/*.h | sed 's|^uapi/||')
for header in $headers; do
	for standard in c99 c11 gnu17; do
		# shellcheck disable=SC2086 # a compiler can have arguments
		compile ${CC%% *} c "$standard" "$header"
	done
	command -v "${CXX%% *}" >/dev/null || continue
	for standard in c++11 c++17; do
		compile "${CXX%% *}" c++ "$standard" "$header"
	done
done
case $headers in
*bufshare.h*bufshare_drm.h*) ;;
*) echo "the headers were not found"; failed=1 ;;
esac

# A check that cannot fail checks nothing.
# shellcheck disable=SC2086
if printf 'struct bufshare_event e = { .nothing = 1 };\n' |
	"${CC%% *}" -x c -std=c99 $warnings -I"$include" -include bufshare-types.h -fsyntax-only - 2>/dev/null
then
	echo "a wrong use was not noticed"
	failed=1
fi

# The libraries have no state of their own: nothing that can be written but what tests set.
for object in lib/.libs/*.o; do
	"$NM" "$object" | grep -q __asan_ && continue # which has much
	state=$("$NM" -f sysv "$object" | tr -d ' ' |
		awk -F'|' '$7 ~ /^\.(data|bss)/ && $7 !~ /\.ro/ { print $1 }' |
		grep -vx -e sysfs_root -e dri_root)
	[ -z "$state" ] || { echo "$object has global state: $state"; failed=1; }
done
exit "$failed"
