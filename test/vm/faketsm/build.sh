#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build faketsm.ko for the backports kernel of ../kernel.sh into FOLDER.
#   test/vm/faketsm/build.sh VM FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernel=$1/kernel/backports out=$2
version=$(cat "$kernel/version")
base=${version%-amd64}
mkdir -p "$out"
[ ! "$out/faketsm.ko" -nt "$here/faketsm.c" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/faketsm.c" "$work/"
echo 'obj-m := faketsm.o' >"$work/Makefile"
# The headers name their own absolute paths: they are put there in a mount namespace of our own.
export KERNEL="$kernel" VERSION="$version" KBUILD="linux-kbuild-$base" WORK="$work"
unshare -m sh -ec '
mount --make-rprivate /
up=$(mktemp -d)
mount -t tmpfs tmpfs "$up"
mkdir "$up/u" "$up/w"
mount -t overlay overlay -o "lowerdir=$KERNEL/usr/lib:/usr/lib,upperdir=$up/u,workdir=$up/w" /usr/lib
mount --bind "$KERNEL/usr/src" /usr/src
make -s -C "/usr/src/linux-headers-$VERSION" M="$WORK" CONFIG_DEBUG_INFO_BTF_MODULES= modules' >"$out/log" 2>&1 ||
	{ tail -n 20 "$out/log" >&2; exit 1; }
cp "$work/faketsm.ko" "$out/"
