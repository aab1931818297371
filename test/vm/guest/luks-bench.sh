#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: full -d 64 -T 600
# Format, open, mkfs and mount a volume: vouchsafe against the bare programs with the same parameters.
# Argument: rounds (3). Prints medians in ms.
set -u
T=$BUILD/tools/volume_tool
rounds=${1:-3}
W=$(mktemp -d)
DEV=${SPARE%% *}
mkdir "$W/mnt"
head -c 32 /dev/urandom >"$W/key"
now() { echo $(($(date +%s%N) / 1000000)); }
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
bare_format() { # INTEGRITY
	cryptsetup -q luksFormat --type luks2 --cipher aes-xts-plain64 --key-size 512 --sector-size 4096 --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 ${1:+--integrity hmac-sha256 --integrity-no-wipe} --key-file "$W/key" "$DEV" 2>/dev/null
}
bare_open() { cryptsetup open --key-file "$W/key" "$DEV" bare; }
bare_mkfs() { # INTEGRITY
	[ -z "$1" ] || dd if=/dev/zero of=/dev/mapper/bare bs=1M count=1 oflag=direct 2>/dev/null
	mkfs.ext4 -q -F ${1:+-E lazy_itable_init=0} /dev/mapper/bare
}
for i in '' 1; do
	: >"$W/bare" && : >"$W/ours" && : >"$W/bare2" && : >"$W/ours2"
	for _ in $(seq "$rounds"); do
		dd if=/dev/zero of="$DEV" bs=1M count=18 conv=fsync 2>/dev/null
		a=$(now)
		bare_format "$i" && bare_open && bare_mkfs "$i" && mount -o noatime /dev/mapper/bare "$W/mnt" || exit 1
		now | sed "s/\$/ - $a/" | xargs expr >>"$W/bare"
		umount "$W/mnt" && cryptsetup close bare
		a=$(now)
		bare_open && mount -o noatime /dev/mapper/bare "$W/mnt" || exit 1
		now | sed "s/\$/ - $a/" | xargs expr >>"$W/bare2"
		umount "$W/mnt" && cryptsetup close bare
		dd if=/dev/zero of="$DEV" bs=1M count=18 conv=fsync 2>/dev/null
		a=$(now)
		$T open device="$DEV" key="$W/key" integrity="$i" mount="$W/mnt" >/dev/null 2>&1 || exit 1
		now | sed "s/\$/ - $a/" | xargs expr >>"$W/ours"
		$T close-all
		a=$(now)
		$T open device="$DEV" key="$W/key" integrity="$i" mount="$W/mnt" >/dev/null 2>&1 || exit 1
		now | sed "s/\$/ - $a/" | xargs expr >>"$W/ours2"
		$T close-all
	done
	echo "ok   luks-bench integrity=${i:-0}: new volume bare $(median <"$W/bare") ms, vouchsafe $(median <"$W/ours") ms; opened again bare $(median <"$W/bare2") ms, vouchsafe $(median <"$W/ours2") ms"
done
