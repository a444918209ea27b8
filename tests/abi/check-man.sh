#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual pages: mandoc finds nothing to say, each is installed, titled as its file is
# named, refers only to pages that exist, and each function it names has one synopsis. A
# page of functions has all sections, describes each of them, and has the errors of their
# comments in the headers.
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

# Standard output: the functions whose synopsis is on a page.
functions() { sed -n 's/^\.Fn \(bufshare_[a-z0-9_]*\) ".*/\1/p' "$1"; }

# described PAGE FUNCTION: under DESCRIPTION.
described() {
	sed -n '/^\.Sh DESCRIPTION/,/^\.Sh RETURN/p' "$1" |
		grep -Eq "^\.(It )?Fn $2( |\$)"
}

for page in "$man"/*.3; do
	name=$(basename "$page")
	for section in LIBRARY SYNOPSIS DESCRIPTION 'RETURN VALUES' EXAMPLES ERRORS 'SEE ALSO'; do
		grep -Fqx -- ".Sh $section" "$page" || fail "$name has no section $section"
	done
	for function in $(functions "$page"); do
		described "$page" "$function" || fail "$name does not describe $function"
	done
done

# Standard output: "FUNCTION ERROR" for each error of the comment before its declaration.
promises() {
	awk 'FNR == 1 { comment = ""; inside = 0 }
		/^\/\*/ { comment = ""; inside = 1 }
		inside { comment = comment " " $0; if (/\*\//) inside = 0; next }
		/^$/ { comment = "" }
		match($0, /bufshare_[a-z0-9_]*\(/) {
			name = substr($0, RSTART, RLENGTH - 1)
			text = comment
			while (match(text, /-E[A-Z0-9]+/)) {
				print name, substr(text, RSTART + 1, RLENGTH - 1)
				text = substr(text, RSTART + RLENGTH)
			}
		}' "$srcdir"/include/bufshare*.h | sort -u
}

promises >promises.$$
trap 'rm -f promises.$$' EXIT
while read -r function error; do
	page=$(grep -l "^\.Fn $function \"" "$man"/*.3) || continue # check-symbols.sh says so
	case $page in
	*host*) library=$man/libbufshare-host.3 ;;
	*) library=$man/libbufshare.3 ;;
	esac
	grep -Eq "Er $error( |\$)" "$page" "$library" ||
		fail "$(basename "$page"): $function can fail with $error, which is not there"
done <promises.$$
# as many as there are, or nearly: what finds none proves nothing
[ "$(wc -l <promises.$$)" -gt 100 ] || fail "the headers say no errors"

if [ "${MANDOC:-:}" = : ]; then
	[ "$failed" -eq 0 ] || exit 1
	echo "mandoc is missing: the pages were not linted"
	exit 77
fi
for page in $pages; do
	"$MANDOC" -T lint -W warning "$man/$page" || fail "$page: see above"
done
exit "$failed"
