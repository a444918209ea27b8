#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual pages: mandoc finds nothing to say, each is installed, titled as its file is
# named, refers only to pages that exist, and each function it names has one synopsis.
set -eu

# shellcheck disable=SC2154 # the test environment sets it
man=$srcdir/man
failed=0

fail() {
	echo "$*"
	failed=1
}

# Standard output, sorted: the pages that are installed.
listed() {
	sed -n 's/^dist_man_MANS.*=//; s/[[:space:]\\]\{1,\}/ /g; s/^ *\(man\/.*\)$/\1/p' \
		"$man/Makemodule.am" | tr ' ' '\n' | sed -n 's/^man\///p' | sort
}

# Standard output: page by page, the manual pages of this project that it refers to.
references() {
	sed -n 's/^\.It Xr /.Xr /; s/^\.Xr \([a-z0-9_-]*bufshare[a-z0-9_-]*\) \([1-9]\).*/\1.\2/p' "$1" |
		sort -u
}

pages=$(cd "$man" && ls -- *.[1-9])
for page in $(listed); do
	[ -e "$man/$page" ] || fail "man/Makemodule.am lists $page, which is not there"
done
for page in $pages; do
	listed | grep -Fqx -- "$page" || fail "$page is not in man/Makemodule.am"

	title=$(printf '%s %s' "${page%.*}" "${page##*.}" | tr '[:lower:]' '[:upper:]')
	grep -Fqx -- ".Dt $title" "$man/$page" || fail "$page: its title is not \"$title\""

	for reference in $(references "$man/$page"); do
		[ -e "$man/$reference" ] || fail "$page refers to $reference, which is not there"
	done
done

# Standard output, sorted: the functions that have a synopsis, once for each.
synopses() {
	cat "$man"/*.3 | sed -n 's/^\.Fn \(bufshare_[a-z0-9_]*\) ".*/\1/p' | sort
}

# Standard output: the functions that any page names.
named() {
	cat "$man"/*.[1-9] |
		sed -n 's/^\.\(It \)\{0,1\}Fn \(bufshare_[a-z0-9_]*\).*/\2/p' | sort -u
}

for function in $(synopses | uniq -d); do
	fail "$function has more than one synopsis"
done
for function in $(named); do
	synopses | grep -Fqx -- "$function" || fail "$function has no synopsis"
done

if [ "${MANDOC:-:}" = : ]; then
	[ "$failed" -eq 0 ] || exit 1
	echo "mandoc is missing: the pages were not linted"
	exit 77
fi
for page in $pages; do
	"$MANDOC" -T lint -W warning "$man/$page" || fail "$page: see above"
done
exit "$failed"
