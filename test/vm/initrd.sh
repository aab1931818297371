#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An initramfs of busybox, modules and programs.
#   test/vm/initrd.sh KERNEL INIT OUT [-p PROGRAM]... MODULE...
set -eu
. "$(dirname "$0")/lib.sh"
need cpio modprobe gzip
[ -x /bin/busybox ] || lack "busybox-static is not installed (test/packages.sh vm)"
kernel=$VM/kernel/$1 init=$2 out=$3
shift 3
version=$(cat "$kernel/version")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/proc" "$work/sys" "$work/dev" "$work/run" "$work/mnt" "$work/m"
cp /bin/busybox "$work/bin/"
while [ "${1:-}" = -p ]; do
	# The program and its libraries where they lie.
	for f in "$2" $(ldd "$2" | awk '/=> \// { print $3 } /^\t\/lib64/ { print $1 }'); do
		mkdir -p "$work$(dirname "$f")"
		cp -L "$f" "$work$f"
	done
	shift 2
done
for module in "$@"; do
	modprobe -d "$kernel" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
	name=$(basename "$file" .xz)
	case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$work/m/$name"
	echo "$name" >>"$work/m/list"
done
cp "$init" "$work/init"
chmod 0755 "$work/init"
find "$work" -exec touch -h -d @0 {} +
mkdir -p "$(dirname "$out")"
(cd "$work" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible 2>/dev/null | gzip -n1) >"$out.new"
mv "$out.new" "$out"
