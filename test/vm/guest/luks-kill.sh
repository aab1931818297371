#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: full -d 64 -T 900
# kill -9 at steps all through opening and closing a volume: the next call needs no help, nothing of
# the dead one stays, and data that were there are still there. Argument: take every STEPth (9).
set -u
T=$BUILD/tools/volume_tool
step=${1:-9}
W=$(mktemp -d)
DEV=${SPARE%% *}
MP=$W/mnt
mkdir "$MP"
head -c 32 /dev/urandom >"$W/key"
fails=0 kills=0
fail() { echo "FAIL $1: $2"; fails=$((fails + 1)); $T close-all >/dev/null 2>&1; }
wipe() { dd if=/dev/zero of="$DEV" bs=1M count=18 conv=fsync 2>/dev/null; blockdev --flushbufs "$DEV"; }
killed() { # N VERB ARGS...: true when it died
	n=$1
	shift
	KILL_AT=$n LD_PRELOAD=$BUILD/tools/killat.so "$T" "$@" >"$W/out" 2>"$W/err"
	[ $? = 137 ]
}
left() {
	dmsetup ls | grep -v '^No devices'
	grep " $W/" /proc/mounts
	ls /run/volume-tool | grep -x '.*json' # a half-written one goes at the next call
}
opens() { $T open device="$DEV" mount="$MP" mapper=vt "$@" >"$W/out" 2>"$W/err"; }

# A new volume, killed on the way.
for i in 0 1; do
	n=$((1 + i * 3)) name=killed_while_formatting_integrity$i was=$fails
	while
		wipe
		killed "$n" open device="$DEV" mount="$MP" mapper=vt key="$W/key" integrity=$i
	do
		kills=$((kills + 1))
		opens key="$W/key" integrity=$i || fail "$name" "after step $n: $(tail -n 1 "$W/err")"
		echo there >"$MP/x"
		$T close-all || fail "$name" "close after step $n"
		[ -z "$(left)" ] || fail "$name" "after step $n: left: $(left)"
		echo "     $name: step $n ($(cut -d' ' -f1 /proc/uptime))"
		n=$((n + step))
	done
	$T close-all
	[ "$was" != "$fails" ] || echo "ok   $name ($n steps)"
done

# A volume with data, killed while it is opened and while it is closed.
for verb in open close-all; do
	n=1 name=killed_in_$verb was=$fails
	wipe
	opens key="$W/key" && echo kept >"$MP/x"
	$T close-all
	while
		[ "$verb" = open ] || opens key="$W/key"
		killed "$n" $verb device="$DEV" mount="$MP" mapper=vt key="$W/key"
	do
		kills=$((kills + 1))
		opens key="$W/key" && [ "$(cat "$MP/x")" = kept ] || fail "$name" "after step $n: $(tail -n 1 "$W/err")"
		$T close-all || fail "$name" "close after step $n"
		[ -z "$(left)" ] || fail "$name" "after step $n: left: $(left)"
		echo "     $name: step $n ($(cut -d' ' -f1 /proc/uptime))"
		n=$((n + (step + 2) / 3))
	done
	$T close-all
	[ "$was" != "$fails" ] || echo "ok   $name ($n steps)"
done

# Killed only after it closed nothing: a sweep by whoever comes next.
killed 40 open device="$DEV" mount="$MP" mapper=vt key="$W/key"
$T close-all && [ -z "$(left)" ] && echo "ok   close_all_sweeps" || fail close_all_sweeps "left: $(left)"
echo "luks-kill: $kills kills, $fails failed"
[ $fails = 0 ]
