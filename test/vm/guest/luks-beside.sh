#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: -u -d 40 -d 24 -d 160 -T 600
# Volumes beside each other: long work on one device holds up no other; one device under several names,
# its partitions, mapper names and mount points are each somebody's; what a token taken away gives.
set -u
T=$BUILD/tools/volume_tool
W=$(mktemp -d)
# shellcheck disable=SC2086
set -- $SPARE
A=$1 B=$2 LONG=$3
fails=0 n=0
mkdir "$W/a" "$W/b" "$W/c" "$W/up" "$W/up/in"
head -c 32 /dev/urandom >"$W/full"
head -c 32 /dev/urandom >"$W/other"

pass() { echo "ok   $1 ($(cut -d' ' -f1 /proc/uptime))"; n=$((n + 1)); }
fail() { echo "FAIL $1: $2"; fails=$((fails + 1)); }
wipe() { for d in "$@"; do dd if=/dev/zero of="$d" bs=1M count=18 conv=fsync 2>/dev/null; blockdev --flushbufs "$d"; done; }
vol() { verb=$1; shift; out=$($T "$verb" "$@" 2>"$W/err"); }
said() { tail -n 1 "$W/err"; }
left() { dmsetup ls | grep -v '^No devices'; grep " $W/" /proc/mounts; ls /run/volume-tool | grep -x '.*json'; }
number() { cat "/sys/class/block/${1#/dev/}/dev"; }
refused() { # NAME CODE DISK ARGS...: that code, and not a byte of the disk changed
	name=$1 code=$2 disk=$3
	shift 3
	blockdev --flushbufs "$disk"
	before=$(md5sum <"$disk")
	vol open "$@" && { fail "$name" "accepted"; return; }
	said | grep -q "^$code:" || { fail "$name" "want $code, got $(said)"; return; }
	blockdev --flushbufs "$disk"
	[ "$(md5sum <"$disk")" = "$before" ] && pass "$name" || fail "$name" "the disk was changed"
}
wipe "$A" "$B" "$LONG"

# --- one device, many names ---
vol open device="$A" key="$W/full" mount="$W/a" mapper=va || fail open "$(said)"
dmsetup table --showkeys va | grep -q ':logon:' && pass key_is_not_in_the_table || fail key_is_not_in_the_table "a new volume's key is"
ln -s "$A" /dev/alias
for how in "device=/dev/alias" "devid=$(number "$A")" "device=$(ls /dev/disk/by-id/* 2>/dev/null | while read -r l; do [ "$(readlink -f "$l")" = "$A" ] && echo "$l"; done | head -n 1)"; do
	[ "$how" != device= ] || continue
	vol open "$how" key="$W/full" mount="$W/a" && [ "$out" = va ] && [ "$(grep -c " $W/a " /proc/mounts)" = 1 ] &&
		pass "same_by_${how%%=*}_$(echo "${how#*=}" | cut -c1-10 | tr -c 'a-z0-9\n' _)" || fail "same $how" "$(said)"
	vol open "$how" key="$W/full" mount="$W/b"
	said | grep -q ^volume.busy: || fail "elsewhere $how" "$(said)"
done
if addpart "$A" 1 40960 8192 2>"$W/err"; then
	refused partition_of_an_open_disk volume.busy "${A}1" device="${A}1" mount="$W/b"
	delpart "$A" 1
else
	fail partition_of_an_open_disk "addpart: $(said)"
fi
addpart "$LONG" 1 2048 131072
addpart "$LONG" 2 133120 131072
udevadm settle 2>/dev/null
vol open device="${LONG}1" mount="$W/b" mapper=vp1 || fail partition "$(said)"
vol open device="$LONG" mount="$W/c"
said | grep -q ^volume.busy: && pass disk_of_an_open_partition || fail disk_of_an_open_partition "$(said)"
vol open device="${LONG}2" mount="$W/c" mapper=vp2 && pass partitions_beside_each_other || fail partitions_beside_each_other "$(said)"
vol close mapper=vp2 && vol close mapper=vp1 || fail partitions "close: $(said)"
delpart "$LONG" 1
delpart "$LONG" 2

# --- mount points and mapper names ---
refused same_mount_point volume.mount-point-in-use "$B" device="$B" mount="$W/a"
refused same_mount_point_keyed volume.mount-point-in-use "$B" device="$B" key="$W/full" mount="$W/a"
refused same_mount_point_as_device volume.mount-point-in-use "$B" device="$B" mount="$W/a" target=device
refused over_a_mount_point volume.mount-point-in-use "$B" device="$B" mount="$W"
refused same_mapper volume.busy "$B" device="$B" mount="$W/b" mapper=va
mkdir "$W/a/in"
vol open device="$B" mount="$W/a/in" mapper=vb && vol close-all && [ -z "$(left)" ] && pass within_one_latest_closes_first ||
	fail within_one_latest_closes_first "$(said) $(left)"
vol open device="$A" key="$W/full" mount="$W/link" target=device mapper=va || fail link "$(said)"
refused same_link volume.mount-point-in-use "$B" device="$B" mount="$W/link" target=device
# Another hand closes it, and the next volume of its name and place is on another disk.
rm "$W/link" && cryptsetup close va
wipe "$B"
vol open device="$B" mount="$W/link" target=device mapper=va && pass closed_by_another_hand_other_disk ||
	fail closed_by_another_hand_other_disk "$(said)"
vol close-all || fail close "$(said)"

# --- long work ---
wipe "$LONG" "$A" "$B"
$T open device="$LONG" target=device integrity=1 mount="$W/long" mapper=vl >"$W/long.out" 2>"$W/long.err" &
long=$!
i=0
until grep -q 'progress wipe' "$W/long.err" || [ $i -ge 300 ]; do sleep 0.2; i=$((i + 1)); done
vol open device="$LONG" target=device integrity=1 mount="$W/long" deadline=1500
said | grep -q ^volume.busy: && pass same_device_waits_until_its_deadline || fail same_device_waits_until_its_deadline "$(said)"
t=$(cut -d. -f1 /proc/uptime)
if vol open device="$A" key="$W/full" mount="$W/a" mapper=va && vol open device="$B" mount="$W/b" mapper=vb && vol close mapper=va &&
	kill -0 $long 2>/dev/null; then
	pass "others_go_on_meanwhile_$(($(cut -d. -f1 /proc/uptime) - t))s"
else
	fail others_go_on_meanwhile "$(said); $(cat "$W/long.out" "$W/long.err" | tail -n 1)"
fi
refused mount_point_of_one_in_work volume.mount-point-in-use "$A" device="$A" mount="$W/long" target=device
refused mapper_of_one_in_work volume.busy "$A" device="$A" mount="$W/a" mapper=vl
$T open device="$LONG" target=device integrity=1 mount="$W/long" >"$W/second" 2>/dev/null &
second=$!
wait $long || fail long "$(tail -n 1 "$W/long.err")"
wait $second && [ "$(cat "$W/second")" = vl ] && pass same_device_finds_what_the_first_made || fail same_device_finds_what_the_first_made "$(cat "$W/second")"
vol close-all && [ -z "$(left)" ] && pass all_closed || fail all_closed "$(said) $(left)"

# Closing all at shutdown: what is in work holds the others up only after them.
wipe "$LONG" "$A"
vol open device="$A" key="$W/full" mount="$W/a" mapper=va || fail open "$(said)"
$T open device="$LONG" target=device integrity=1 mount="$W/long" mapper=vl >"$W/long.out" 2>"$W/long.err" &
long=$!
i=0
until grep -q 'progress wipe' "$W/long.err" || [ $i -ge 300 ]; do sleep 0.2; i=$((i + 1)); done
$T close-all 2>"$W/err" &
all=$!
i=0
while grep -q " $W/a " /proc/mounts && [ $i -lt 50 ]; do sleep 0.2; i=$((i + 1)); done
kill -0 $long 2>/dev/null && ! grep -q " $W/a " /proc/mounts && pass close_all_does_not_wait_first || fail close_all_does_not_wait_first "$(left)"
# Killed in the middle: free at once.
kill -9 $long
wait $all
wait $long 2>/dev/null
vol close-all && [ -z "$(left)" ] && pass killed_while_others_wait || fail killed_while_others_wait "$(said) $(left)"
rm -f "$W/long"

# --- the tag taken away ---
wipe "$A"
vol open device="$A" key="$W/full" mount="$W/a" mapper=va && echo kept >"$W/a/x" && vol close-all || fail tag "$(said)"
cryptsetup token remove --token-id 0 "$A"
for source in empty encrypted; do
	refused "token_taken_away_$source" volume.header-auth "$A" device="$A" key="$W/full" mount="$W/a" source=$source
	[ -z "$(left)" ] || fail "token_taken_away_$source" "left: $(left)"
done
vol open device="$A" key="$W/full" mount="$W/a" mapper=va tagged=0 && [ "$out" = "va untagged" ] && [ "$(cat "$W/a/x")" = kept ] &&
	vol list && echo "$out" | grep -q '"headerTag":false' && vol close-all && pass token_taken_away_on_purpose ||
	fail token_taken_away_on_purpose "$out $(said)"
wipe "$A"
cryptsetup -q luksFormat --type luks2 --cipher aes-xts-plain64 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file "$W/full" "$A" &&
	cryptsetup open --key-file "$W/full" "$A" byhand && mkfs.ext4 -q /dev/mapper/byhand && cryptsetup close byhand
vol open device="$A" key="$W/full" mount="$W/a" mapper=va source=encrypted && [ "$out" = "va untagged" ] && vol close-all &&
	pass made_by_cryptsetup_is_named || fail made_by_cryptsetup_is_named "$out $(said)"

$T close-all
[ -z "$(left)" ] || fail end "left: $(left)"
echo "luks-beside: $n ok, $fails failed"
[ $fails = 0 ]
