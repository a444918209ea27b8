#!/bin/sh
# Makes configure and the Makefile.in out of configure.ac and the fragments.
set -e
cd "$(dirname "$0")"
mkdir -p m4
exec autoreconf -fi
