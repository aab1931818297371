#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: -u -d 64 -d 400 -T 900
# SecureMount with a real device mapper: vouchsafed and vouchsafe-mountd (development builds: a platform
# of no hardware, keys out of a file in the place of Trustee) as kata-agent, the forwarder and a person
# call them; kill -9 of both in the middle; keys searched for in memory.
set -u
DEV=$BUILD/dev
[ -x "$DEV/vouchsafed" ] || DEV=$BUILD
if ! "$DEV/vouchsafed" --version 2>/dev/null | grep -q DEVELOPMENT; then
	echo "skip secure_mount: no development build of vouchsafed at $BUILD/dev"
	exit 0
fi
# shellcheck disable=SC2086
set -- $SPARE
SMALL=$1 LARGE=$2
W=$(mktemp -d) R=$W/root M=$W/mnt
chmod 0755 "$W"
mkdir -p "$W/keys" "$R/usr/lib/vouchsafe" "$R/etc" "$R/run" "$M/a" "$M/image"
# Loop devices are not among what the unit allows: none may be needed.
rm -f /dev/loop-control /dev/loop[0-9]*
fails=0
pass() { echo "ok   $1 ($(cut -d' ' -f1 /proc/uptime))"; }
fail() { echo "FAIL $1: $2"; fails=$((fails + 1)); v volume close --all >/dev/null 2>&1; }
v() { "$DEV/vouchsafe" --root "$R" "$@"; }
wipe() { dd if=/dev/zero of="$1" bs=1M count=24 conv=fsync 2>/dev/null; blockdev --flushbufs "$1"; }
left() { dmsetup ls | grep -v '^No devices'; grep " $M" /proc/mounts; ls "$R/run/vouchsafe/volumes" 2>/dev/null | grep -vx lock; }
said() { head -n 1 "$W/err"; }

# --- a guest without hardware ---
b64() { base64 -w0 "$1"; }
head -c 32 /dev/urandom >"$W/full"
head -c 32 /dev/urandom >"$W/other"
printf 'pass phrase' >"$W/short"
cat >"$R/usr/lib/vouchsafe/vouchsafe.toml" <<-'X'
	[platform]
	name = "sample"
X
printf '[volumes]\ndevices = ["/dev/vd*"]\nmount_prefixes = ["%s"]\n' "$M" >"$R/usr/lib/vouchsafe/mountd.toml"
v seal keygen --kid signing --output-dir "$W/keys" >/dev/null || { echo "FAIL keygen"; exit 1; }
printf '{"default/vol/full":"%s","default/vol/other":"%s","default/vol/short":"%s","default/signing-key/sealed-secret":"%s"}' \
	"$(b64 "$W/full")" "$(b64 "$W/other")" "$(b64 "$W/short")" "$(b64 "$W/keys/signing-public.json")" \
	>"$R/etc/aa-offline_fs_kbc-resources.json"
chmod 0644 "$R/etc/aa-offline_fs_kbc-resources.json"
printf '[kbc]\nname = "offline_fs_kbc"\nurl = ""\n' >"$W/cdh.toml"
v initdata build --cdh "$W/cdh.toml" >"$W/initdata" || { echo "FAIL initdata"; exit 1; }
v initdata provision --from "$W/initdata" >"$W/log.provision" 2>&1 || { echo "FAIL provision: $(tail -n 2 "$W/log.provision")"; exit 1; }
mountd() {
	"$DEV/vouchsafe-mountd" --root "$R" --listen "$R/run/vouchsafe/mountd.sock" >>"$W/log.mountd" 2>&1 &
	MOUNTD=$!
	n=0
	until v volume list >/dev/null 2>&1 || [ $n -ge 100 ]; do sleep 0.1; n=$((n + 1)); done
}
daemon() {
	"$DEV/vouchsafed" --root "$R" --log debug >>"$W/log.vouchsafed" 2>&1 &
	DAEMON=$!
	n=0
	until v status >/dev/null 2>&1 || [ $n -ge 150 ]; do sleep 0.1; n=$((n + 1)); done
}
daemon
mountd
[ -S "$R/run/confidential-containers/cdh.sock" ] || { echo "FAIL vouchsafed: $(tail -n 5 "$W/log.vouchsafed")"; exit 1; }
open_() { v volume open --timeout 120 "$@" 2>"$W/err"; }
close_() { v volume close "$@" 2>"$W/err"; }

# --- as kata-agent calls it ---
for integrity in '' --integrity; do
	name="trusted_store${integrity:+_integrity}"
	wipe "$SMALL"
	number=$(cat "/sys/class/block/${SMALL#/dev/}/dev")
	open_ $integrity --mkfs-opts "-E lazy_journal_init" "$number" "$M/image/" || { fail "$name" "$(said)"; continue; }
	grep -q " $M/image ext4 .*noatime" /proc/1/mounts || { fail "$name" "PID 1 does not see it"; continue; }
	echo layer >"$M/image/f"
	# The next container lists the device too.
	open_ $integrity --mkfs-opts "-E lazy_journal_init" "$number" "$M/image/" || { fail "$name" "again: $(said)"; continue; }
	[ "$(cat "$M/image/f")" = layer ] || { fail "$name" "it was formatted again"; continue; }
	close_ --all || { fail "$name" "$(said)"; continue; }
	[ -z "$(left)" ] || { fail "$name" "left: $(left)"; continue; }
	pass "$name"
done

# --- as the forwarder calls it: empty the first time, encrypted the next ---
for fs in ext4 xfs; do
	for integrity in '' --integrity; do
		[ "$fs$integrity" != xfs--integrity ] || continue # luks-matrix.sh has it
		name="cloud_volume_$fs${integrity:+_integrity}"
		flag=''
		[ $fs = ext4 ] || flag=--xfs
		wipe "$LARGE"
		# shellcheck disable=SC2086
		open_ $flag $integrity --key kbs:///default/vol/full --mapper caa-data "$LARGE" "$M/a" || { fail "$name" "$(said)"; continue; }
		head -c 2000000 /dev/urandom | tee "$M/a/data" | md5sum >"$W/sum"
		v volume list | grep -q "^caa-data  $LARGE  $M/a  $fs  keyed" || { fail "$name" "$(v volume list)"; continue; }
		close_ caa-data || { fail "$name" "$(said)"; continue; }
		[ "$(head -c 4 "$LARGE")" = LUKS ] || { fail "$name" "no magic for the forwarder to see"; continue; }
		# shellcheck disable=SC2086
		open_ $flag $integrity --encrypted --key kbs:///default/vol/full --mapper caa-data "$LARGE" "$M/a" || { fail "$name" "second: $(said)"; continue; }
		[ "$(md5sum <"$M/a/data")" = "$(cat "$W/sum")" ] || { fail "$name" "other data"; continue; }
		dmsetup table --showkeys | grep -q ':logon:' || { fail "$name" "the key stands in the table"; continue; }
		close_ caa-data || { fail "$name" "$(said)"; continue; }
		pass "$name"
	done
done

# --- every kind of key ---
wipe "$SMALL"
cp "$W/full" /dev/shm/key && chmod 0644 /dev/shm/key
sealed=$(v seal vault --signing-kid kbs:///default/signing-key/sealed-secret --signing-jwk-path "$W/keys/signing-private.json" --resource-uri kbs:///default/vol/full)
first=''
for key in kbs:///default/vol/full file:///dev/shm/key "$sealed"; do
	name="key_$(echo "$key" | cut -c1-6 | tr -d ':/.')"
	# shellcheck disable=SC2086
	open_ $first --key "$key" "$SMALL" "$M/a" || { fail "$name" "$(said)"; continue; }
	close_ --all || { fail "$name" "$(said)"; continue; }
	first=--encrypted
	pass "$name"
done
open_ --encrypted --key kbs:///default/vol/other "$SMALL" "$M/a"
rc=$?
{ [ $rc = 76 ] && grep -q volume.wrong-key "$W/err"; } && pass wrong_key || fail wrong_key "exit $rc: $(said)"
open_ --as-device --encrypted --key kbs:///default/vol/full "$SMALL" "$M/link" && [ -b "$M/link" ] && close_ --all && [ ! -e "$M/link" ] &&
	pass as_device || fail as_device "$(said)"
wipe "$SMALL"
open_ --key kbs:///default/vol/short "$SMALL" "$M/a" && close_ --all && pass short_key || fail short_key "$(said)"

# --- the process as it runs, with a volume open ---
wipe "$SMALL"
open_ --key kbs:///default/vol/full "$SMALL" "$M/a" || fail confined "$(said)"
[ "$(grep -E '^(CapEff|NoNewPrivs|Seccomp):' "/proc/$MOUNTD/status" | tr -d '\t\n')" = "CapEff:0000000000200000NoNewPrivs:1Seccomp:2" ] &&
	pass confined || fail confined "$(grep -E '^(Cap|NoNew|Secc)' "/proc/$MOUNTD/status")"

# --- the key is nowhere: its processes' memory, their logs, the state ---
cat >"$W/search.py" <<'X'
import base64, re, sys
key = open(sys.argv[1], "rb").read()
needles = {key, key.hex().encode(), base64.b64encode(key)[:40], base64.urlsafe_b64encode(key)[:40]}
bad = 0
mountd, daemon = sys.argv[2:]


def locked(pid):
    """Starts of the mappings that are locked and in no core: where vouchsafed's cache keeps what it unsealed."""
    out, start = set(), None
    for line in open(f"/proc/{pid}/smaps"):
        m = re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line)
        start = m[1] if m else start
        if line.startswith("VmFlags:") and {"lo", "dd"} <= set(line.split()):
            out.add(start)
    return out


for pid in (mountd, daemon):
    allowed = locked(pid) if pid == daemon else set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not m or "[v" in line or m[1] in allowed:
                continue
            try:
                mem.seek(int(m[1], 16))
                data = mem.read(int(m[2], 16) - int(m[1], 16))
            except (OSError, ValueError, OverflowError):
                continue
            for n in needles:
                if n in data:
                    print("mountd" if pid == mountd else "vouchsafed", line.strip())
                    bad = 1
sys.exit(bad)
X
sleep 1
if /usr/bin/python3 "$W/search.py" "$W/full" "$MOUNTD" "$DAEMON" >"$W/found"; then
	hex=$(od -An -v -tx1 "$W/full" | tr -d ' \n')
	if grep -qF "$hex" "$W"/log.* || grep -rqF "$hex" "$R/run"; then fail key_is_nowhere "in a log or below /run"; else pass key_is_nowhere; fi
else
	fail key_is_nowhere "$(head -n 3 "$W/found")"
fi
close_ --all || fail close "$(said)"

# --- killed in the middle ---
i=0 bad=''
wipe "$LARGE"
while [ $i -lt 5 ]; do
	i=$((i + 1))
	open_ --integrity --key kbs:///default/vol/full --mapper caa-k "$LARGE" "$M/a" &
	asker=$!
	sleep "$(awk -v n="$i" 'BEGIN { print n * 0.6 }')"
	# shellcheck disable=SC2046
	kill -9 $(cat "/proc/$MOUNTD/task/$MOUNTD/children") "$MOUNTD" 2>/dev/null
	wait "$MOUNTD" 2>/dev/null
	wait $asker
	mountd
done
open_ --integrity --key kbs:///default/vol/full --mapper caa-k "$LARGE" "$M/a" || bad="after mountd's death: $(said)"
[ -n "$bad" ] || close_ --all || bad="$(said)"
[ -n "$bad" ] || [ -z "$(left)" ] || bad="left: $(left)"
[ -z "$bad" ] && pass mountd_killed || fail mountd_killed "$bad"

wipe "$SMALL"
bad=''
open_ --integrity --key kbs:///default/vol/full --mapper caa-d "$SMALL" "$M/a" &
asker=$!
sleep 1
kill -9 "$DAEMON"
wait "$DAEMON" 2>/dev/null
wait $asker && bad="the caller was told it is open"
daemon
open_ --integrity --key kbs:///default/vol/full --mapper caa-d "$SMALL" "$M/a" || bad="after vouchsafed's death: $(said)"
grep -q " $M/a " /proc/mounts || bad="not mounted"
close_ --all || bad="$(said)"
[ -z "$(left)" ] || bad="left: $(left)"
[ -z "$bad" ] && pass vouchsafed_killed || fail vouchsafed_killed "$bad"

# --- the end ---
open_ "$SMALL" "$M/a" || true
wipe "$LARGE"
open_ --key kbs:///default/vol/full "$LARGE" "$M/image" || fail close_all "$(said)"
close_ --all
[ -z "$(left)" ] && pass close_all || fail close_all "left: $(left)"
kill "$DAEMON" "$MOUNTD"
wait "$MOUNTD" && pass mountd_ends || fail mountd_ends "exit $?"
[ $fails = 0 ] || { tail -n 15 "$W/log.mountd"; dmesg | tail -n 5; }
exit $((fails > 0))
