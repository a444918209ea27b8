#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Four lists that must be the same for each library: what it exports, its map, its header,
# and its manual pages.
set -u

# shellcheck disable=SC2154 # the test environment sets srcdir and NM
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

# compare LIBRARY MAP HEADER PATTERN MANUALS...
compare() {
	library=$1 map=$2 header=$3 pattern=$4
	shift 4
	[ -f "$library" ] || { echo "no $library"; exit 77; }
	"$NM" -D --defined-only "$library" | awk '$2 == "T" { sub("@.*", "", $3); print $3 }' |
		sort >"$dir/exports"
	sed -n 's/^[[:space:]]*\(bufshare_[a-z0-9_]*\);$/\1/p' "$map" | sort >"$dir/map"
	# declarations only: what comments mention stands behind " *"
	grep -v '^ \*' "$header" | sed 's|/\*.*\*/||' | grep -o 'bufshare_[a-z0-9_]*(' | tr -d '(' |
		sort -u >"$dir/header"
	cat "$@" | sed -n -e 's/^\.F[no] "\{0,1\}\(bufshare_[a-z0-9_]*\)"\{0,1\}.*/\1/p' |
		grep "$pattern" | sort -u >"$dir/manual"
	for list in map header manual; do
		diff -u "$dir/exports" "$dir/$list" || {
			echo "$library: exports and $list differ"
			failed=1
		}
	done
	[ -s "$dir/exports" ] || { echo "$library exports nothing"; failed=1; }
}

compare lib/.libs/libbufshare.so "$srcdir/lib/libbufshare.map" "$srcdir/include/bufshare.h" \
	'^bufshare_[^h]' "$srcdir"/man/libbufshare.3 "$srcdir"/man/bufshare_device.3 \
	"$srcdir"/man/bufshare_buffer.3 "$srcdir"/man/bufshare_property.3 "$srcdir"/man/bufshare_event.3 \
	"$srcdir"/man/bufshare_update.3
[ ! -f lib/libbufshare-gbm.la ] || # built where libgbm is
	compare lib/.libs/libbufshare-gbm.so "$srcdir/lib/libbufshare-gbm.map" \
		"$srcdir/include/bufshare-gbm.h" '^bufshare_gbm_' "$srcdir"/man/bufshare_gbm.3
compare host/lib/.libs/libbufshare-host.so "$srcdir/host/lib/libbufshare-host.map" \
	"$srcdir/include/bufshare-host.h" '^bufshare_host_' "$srcdir"/man/*.3
exit "$failed"
