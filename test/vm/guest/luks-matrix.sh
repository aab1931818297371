#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: -d 64 -d 400 -T 900
# Encrypted volumes with a real device mapper: every kind made, filled, closed, opened again here and
# by cryptsetup(8); volumes that cryptsetup made; bad input with nothing left behind.
set -u
T=$BUILD/tools/volume_tool
W=$(mktemp -d)
# shellcheck disable=SC2086
set -- $SPARE
SMALL=$1 LARGE=$2
fails=0 n=0
MP=$W/mnt
mkdir "$MP"
head -c 32 /dev/urandom >"$W/full"
head -c 4096 /dev/urandom >"$W/long"
printf hunter2 >"$W/short"
head -c 32 /dev/urandom >"$W/other"

pass() { echo "ok   $1 ($(cut -d' ' -f1 /proc/uptime))"; n=$((n + 1)); }
fail() { echo "FAIL $1: $2"; fails=$((fails + 1)); $T close-all >/dev/null 2>&1; }
wipe() { # DEVICE: as a new disk
	dd if=/dev/zero of="$1" bs=1M count=18 conv=fsync 2>/dev/null
	dd if=/dev/zero of="$1" bs=1M seek=$(($(blockdev --getsz "$1") / 2048 - 1)) count=1 conv=fsync 2>/dev/null
	blockdev --flushbufs "$1"
}
left() { # what is mapped, mounted or linked
	dmsetup ls | grep -v '^No devices'
	grep " $W/" /proc/mounts
	ls "$W" | grep -x link
}
vol() { verb=$1; shift; out=$($T "$verb" "$@" 2>"$W/err"); }
said() { tail -n 1 "$W/err"; }

# A volume of one kind from an empty disk to its second opening. DEVICE KEY|- INTEGRITY TARGET FS
one() {
	dev=$1 key=$2 i=$3 target=$4 fs=$5
	name="empty_${key}_integrity${i}_${target}_${fs}"
	[ "$key" = - ] && name="empty_nokey_integrity${i}_${target}_${fs}"
	set -- device="$dev" integrity="$i" target="$target" fs="$fs"
	[ "$key" = - ] || set -- "$@" key="$W/$key"
	where=$MP
	[ "$target" = fileSystem ] || where=$W/link
	wipe "$dev"
	vol open "$@" mount="$where" mapper=vt || { fail "$name" "open: $(said)"; return; }
	[ "$out" = vt ] || { fail "$name" "its name is $out"; return; }
	if [ "$target" = fileSystem ]; then
		grep -q "^/dev/mapper/vt $MP $fs .*noatime" /proc/mounts || { fail "$name" "not mounted as $fs"; return; }
		grep " $MP " /proc/mounts | grep -q nodev || { fail "$name" "no nodev"; return; }
		head -c 3000000 /dev/urandom | tee "$MP/data" | md5sum >"$W/sum"
	else
		[ "$(readlink "$W/link")" = /dev/mapper/vt ] || { fail "$name" "no link"; return; }
		dd if="$W/link" of=/dev/null bs=1M 2>/dev/null || { fail "$name" "not readable all over"; return; }
		echo payload | dd of="$W/link" conv=notrunc,fsync 2>/dev/null
	fi
	if [ "$key" = - ]; then
		# dm-integrity's own superblock is all that may be seen.
		blkid -p "$dev" | grep -v DM_integrity && { fail "$name" "a keyless volume left a signature: $(blkid -p "$dev")"; return; }
	fi
	vol close mapper=vt || { fail "$name" "close: $(said)"; return; }
	[ -z "$(left)" ] || { fail "$name" "left: $(left)"; return; }
	[ "$key" != - ] || { pass "$name"; return; }
	for source in empty encrypted; do
		vol open "$@" mount="$where" source=$source mapper=vt || { fail "$name" "again as $source: $(said)"; return; }
		if [ "$target" = fileSystem ]; then
			md5sum <"$MP/data" | cmp -s - "$W/sum" || { fail "$name" "data are not the same ($source)"; return; }
		else
			[ "$(head -c 7 "$W/link")" = payload ] || { fail "$name" "data are not the same ($source)"; return; }
		fi
		vol close mapper=vt || { fail "$name" "close: $(said)"; return; }
	done
	cryptsetup open --key-file "$W/$key" "$dev" byhand 2>"$W/err" || { fail "$name" "cryptsetup: $(said)"; return; }
	if [ "$target" = fileSystem ]; then
		mount -o ro /dev/mapper/byhand "$MP" && md5sum <"$MP/data" | cmp -s - "$W/sum" || fail "$name" "by hand: other data"
		umount "$MP"
	fi
	cryptsetup close byhand
	pass "$name"
}

for i in 0 1; do
	for key in full short -; do
		one "$SMALL" "$key" $i fileSystem ext4
	done
	one "$SMALL" full $i device ext4
done
one "$SMALL" long 0 fileSystem ext4
one "$SMALL" - 1 device ext4
one "$LARGE" full 0 fileSystem xfs
one "$LARGE" full 1 fileSystem xfs
one "$LARGE" - 1 fileSystem xfs

# Made by cryptsetup(8), opened here.
for i in '' hmac-sha256; do
	name="made_by_cryptsetup_${i:-plain}_opens_here"
	wipe "$SMALL"
	cryptsetup -q luksFormat --type luks2 --cipher aes-xts-plain64 --key-size 512 --sector-size 4096 --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 ${i:+--integrity $i} --key-file "$W/full" "$SMALL" 2>"$W/err" &&
		cryptsetup open --key-file "$W/full" "$SMALL" byhand && mkfs.ext4 -q /dev/mapper/byhand && mount /dev/mapper/byhand "$MP" &&
		echo theirs >"$MP/data" && umount "$MP" && cryptsetup close byhand || { fail "$name" "cryptsetup: $(said)"; continue; }
	if vol open device="$SMALL" key="$W/full" mount="$MP" source=encrypted integrity="${i:+1}" && [ "$(cat "$MP/data")" = theirs ]; then
		vol close-all && pass "$name"
	else
		fail "$name" "$(said)"
	fi
done

# Bad input: the code, and nothing mapped, mounted or linked.
refused() { # NAME CODE ARGS...
	name=$1 code=$2
	shift 2
	if vol open "$@"; then
		fail "$name" "accepted"
	elif ! said | grep -q "^$code:"; then
		fail "$name" "want $code, got $(said)"
	elif [ -n "$(left)" ]; then
		fail "$name" "left: $(left)"
	else
		pass "$name"
	fi
}
wipe "$SMALL"
ln -s "$MP" "$W/sym"
set -- device="$SMALL" key="$W/full"
refused mount_point_symlink volume.mount-point "$@" mount="$W/sym"
refused mount_point_missing volume.mount-point "$@" mount="$W/none"
refused mount_point_relative volume.mount-point "$@" mount=mnt
refused mount_point_outside volume.not-allowed "$@" mount="$MP" prefix=/run/cloud-volumes
refused link_exists volume.mount-point "$@" target=device mount="$W/sym"
refused device_missing volume.device-missing device=/dev/vdzz key="$W/full" mount="$MP"
refused device_not_allowed volume.not-allowed "$@" mount="$MP" allow=/dev/trusted_store
wipe "$LARGE"
mkfs.ext4 -q -F "$LARGE" && mkdir "$W/busy" && mount "$LARGE" "$W/busy"
vol open device="$LARGE" key="$W/full" mount="$MP"
said | grep -q ^volume.busy: && pass device_in_use || fail device_in_use "$(said)"
umount "$W/busy"
refused mapper_name volume.mapper-name "$@" mount="$MP" mapper=../x
refused mkfs_option volume.mkfs-options "$@" mount="$MP" mkfs="-J device=/dev/vda"
refused key_missing volume.key device="$SMALL" source=encrypted mount="$MP"
refused too_small_for_xfs volume.too-small "$@" fs=xfs mount="$MP"
refused no_header volume.no-header "$@" source=encrypted mount="$MP"
blkid -p "$SMALL" >/dev/null && fail bad_input_harmless "the disk is not empty any more" || pass bad_input_harmless
refused mkfs_fails volume.mkfs "$@" mount="$MP" mkfs="-i 1"
refused interrupted_as_encrypted volume.interrupted "$@" source=encrypted mount="$MP"
refused interrupted_other_key volume.wrong-key device="$SMALL" key="$W/other" mount="$MP"
refused deadline volume.deadline "$@" target=device integrity=1 mount="$W/link" deadline=2500
if vol open "$@" mount="$MP" mapper=vt; then pass interrupted_is_finished; else fail interrupted_is_finished "$(said)"; fi

# The same call again, as kata makes it for every container; another one is refused.
vol open "$@" mount="$MP/" && [ "$out" = vt ] && [ "$(grep -c " $MP " /proc/mounts)" = 1 ] && pass again_same || fail again_same "$(said)"
vol open "$@" mount="$W/link" target=device
said | grep -q ^volume.busy: && pass again_elsewhere_busy || fail again_elsewhere_busy "$(said)"
vol open device="$SMALL" key="$W/other" mount="$MP"
said | grep -q ^volume.wrong-key: && pass again_other_key || fail again_other_key "$(said)"
vol open device="$LARGE" key="$W/full" mount="$MP" mapper=vt
said | grep -q ^volume.busy: && pass mapper_taken || fail mapper_taken "$(said)"
(cd "$MP" && exec sleep 60) &
vol close mapper=vt
said | grep -q ^volume.busy: && pass close_in_use || fail close_in_use "$(said)"
kill $! && wait $! 2>/dev/null
vol list && [ "$(echo "$out" | grep -c '"mapper":"vt"')" = 1 ] && pass listed || fail listed "$out"
# Closing needs nothing of the disk, whose header the host may have changed meanwhile: no more is read
# than one block, by which the library tries how the device can be read.
umount "$MP" && blockdev --flushbufs "$SMALL"
read -r _ _ before _ <"/sys/block/${SMALL#/dev/}/stat"
vol close mapper=vt
read -r _ _ after _ <"/sys/block/${SMALL#/dev/}/stat"
[ $((after - before)) -le 16 ] && [ -z "$(left)" ] && pass close_reads_no_header || fail close_reads_no_header "$((after - before)) sectors: $(said)"
vol open "$@" mount="$MP" mapper=vt || fail close_reads_no_header "$(said)"
# As the forwarder of peer pods does it.
umount "$MP" && cryptsetup close vt
vol open "$@" mount="$MP" mapper=vt source=encrypted && pass closed_by_another_hand || fail closed_by_another_hand "$(said)"
vol close mapper=vt && vol close mapper=vt && [ -z "$(left)" ] && pass close_twice || fail close_twice "$(said)"
dmsetup create stranger --table '0 8 zero'
vol close mapper=stranger
said | grep -q ^volume.unknown: && pass close_a_stranger || fail close_a_stranger "$(said)"
dmsetup remove stranger

# Trusted image storage, as kata-agent asks for it.
wipe "$LARGE"
mkdir -p /run/kata-containers/image
id=$(cat "/sys/class/block/${LARGE#/dev/}/dev")
for i in 0 1; do
	if vol open devid="$id" integrity=$i mkfs="-E lazy_journal_init" mount=/run/kata-containers/image/ &&
		echo x >/run/kata-containers/image/x && vol open devid="$id" integrity=$i mkfs="-E lazy_journal_init" mount=/run/kata-containers/image/ &&
		[ "$(cat /run/kata-containers/image/x)" = x ] && vol close-all && [ -z "$(left)" ]; then
		pass "trusted_store_integrity$i"
	else
		fail "trusted_store_integrity$i" "$(said)"
	fi
done
if vol open device="$SMALL" mount="$MP"; then
	fail keyless_over_keyed "accepted"
else
	said | grep -q ^volume.not-empty: && pass keyless_over_keyed || fail keyless_over_keyed "$(said)"
fi

# A byte changed under dm-integrity is an error, never other data.
wipe "$SMALL"
if vol open device="$SMALL" key="$W/full" integrity=1 mount="$MP" mapper=vt; then
	head -c 8000000 /dev/urandom >"$MP/data"
	vol close mapper=vt
	dd if=/dev/urandom of="$SMALL" bs=1M seek=24 count=38 conv=notrunc,fsync 2>/dev/null
	if vol open device="$SMALL" key="$W/full" integrity=1 mount="$MP" mapper=vt; then
		cat "$MP/data" >/dev/null 2>&1 && fail flipped_is_an_error "read without one" || pass flipped_is_an_error
		vol close mapper=vt
	else
		said | grep -q ^volume.mount: && [ -z "$(left)" ] && pass flipped_is_an_error || fail flipped_is_an_error "$(said)"
	fi
else
	fail flipped_is_an_error "$(said)"
fi

$T close-all
echo "luks-matrix: $n ok, $fails failed"
[ $fails = 0 ]
