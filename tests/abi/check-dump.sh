#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The ABI of the libraries against the dumps that stand here, with libabigail: nothing that
# was in them is gone or different; what is new is not looked at. "--update" writes the
# dumps anew ("make update-abi"): after additions, or where no release has what changed.
set -u

# shellcheck disable=SC2154 # the environment sets srcdir
dumps=$srcdir/tests/abi
include=$srcdir/include
failed=0

[ -z "${SAN_FLAGS:-}" ] || { echo "not with sanitizers"; exit 77; }
[ "$(uname -m)" = x86_64 ] || { echo "the dumps are of another architecture"; exit 77; }
command -v abidw >/dev/null ||
	{ echo "libabigail is missing (abigail-tools)"; exit 77; }

# A check that cannot fail checks nothing.
if [ "${1-}" != --update ]; then
	changed=$(mktemp --suffix=.abi) || exit 1
	trap 'rm -f "$changed"' EXIT
	sed "s/layout-offset-in-bits='384'/layout-offset-in-bits='400'/" "$dumps/libbufshare.abi" >"$changed"
	! abidiff --no-added-syms "$changed" lib/.libs/libbufshare.so >/dev/null ||
		{ echo "a change was not noticed"; failed=1; }
fi

for library in lib/.libs/libbufshare.so lib/.libs/libbufshare-gbm.so host/lib/.libs/libbufshare-host.so; do
	name=$(basename "$library" .so)
	[ -f "$library" ] || { echo "$name was not built"; continue; }
	if [ "${1-}" = --update ]; then
		abidw --headers-dir "$include" --drop-private-types --drop-undefined-syms --no-corpus-path \
			--no-comp-dir-path --no-show-locs --type-id-style hash \
			--out-file "$dumps/$name.abi" "$library" || failed=1
		continue
	fi
	# Without --headers-dir2, with which it takes all types for private ones.
	abidiff --no-added-syms "$dumps/$name.abi" "$library" || {
		echo "$name: the ABI changed; see CONTRIBUTING.md and \"make update-abi\""
		failed=1
	}
done
exit "$failed"
