#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The same layout for 32 and 64 bit, little and big endian. Needs no other architecture's
# headers: the kernel's types are the same size everywhere, so this machine's serve.
set -u

command -v clang >/dev/null || { echo "no clang"; exit 77; }
cflags=$(pkg-config --cflags libdrm) || exit 77
failed=0

for target in x86_64 i386 aarch64 armv7 s390x powerpc64; do
	# shellcheck disable=SC2086,SC2154 # flags are words; the environment sets srcdir
	if clang --target=$target-linux-gnu -std=gnu11 -fsyntax-only -Wno-macro-redefined \
		-isystem "/usr/include/$(uname -m)-linux-gnu" $cflags \
		-I"$srcdir/include/uapi" -I"$srcdir" "$srcdir/tests/abi/abi-layout.c"; then
		echo "the layout is right on $target"
	else
		echo "the layout differs on $target"
		failed=1
	fi
done

if clang -std=gnu11 -fsyntax-only -D_GNU_SOURCE -I"$srcdir/include/uapi" -I"$srcdir" \
	"$srcdir/tests/abi/abi-vhost-user.c"; then
	echo "the numbers of vhost-user are right"
else
	echo "the numbers of vhost-user are wrong"
	failed=1
fi
# A check that cannot fail checks nothing.
# shellcheck disable=SC2086
if clang -std=gnu11 -fsyntax-only -Dmax_ranges=max_rangez $cflags -I"$srcdir/include/uapi" \
	-I"$srcdir" -include stddef.h -x c - 2>/dev/null <<END
#include <linux/virtio_bufshare.h>
_Static_assert(sizeof(struct virtio_bufshare_config) == 255, "wrong on purpose");
END
then
	echo "a wrong size was not noticed"
	failed=1
fi
exit "$failed"
