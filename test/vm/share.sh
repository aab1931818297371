#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What guests find at /opt/test, as an erofs image: programs and tools of BUILD, and the tests.
#   test/vm/share.sh BUILD OUT [FOLDER]    FOLDER's contents besides
set -eu
. "$(dirname "$0")/lib.sh"
need mkfs.erofs
build=$1 out=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/test"
for f in vouchsafe vouchsafed vouchsafe-oci vouchsafe-rest vouchsafe-teed vouchsafe-mountd; do
	[ ! -x "$build/$f" ] || cp "$build/$f" "$work/"
done
# Development builds, for guests without hardware: guest/secure-mount.sh.
for f in vouchsafe vouchsafed vouchsafe-mountd; do
	[ ! -x "$build/dev/$f" ] || { mkdir -p "$work/dev" && cp "$build/dev/$f" "$work/dev/"; }
done
for d in tools unit; do
	[ ! -d "$build/$d" ] || cp -r "$build/$d" "$work/$d"
done
find "$work" -name '*.d' -delete
find "$work" -type f -size +4k -exec strip {} + 2>/dev/null || true
for d in vm tools devices vectors trustee integration; do
	[ ! -d "$TOP/test/$d" ] || cp -rL "$TOP/test/$d" "$work/test/"
done
[ -z "${3:-}" ] || cp -r "$3/." "$work/"
mkfs.erofs -d0 -T0 "$out" "$work" >/dev/null 2>&1
