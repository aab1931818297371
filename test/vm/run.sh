#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run a script as root in a guest that boots in seconds (README.md here).
#   test/vm/run.sh [-tunr] [-k cloud|backports] [-d SIZE_MB]... [-b BUILD] [-m MB] [-K DIR] [-T SECONDS] SCRIPT [ARG]...
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
kernel=cloud tpm='' udev='' net='' reports='' disks='' build=$TOP/build memory=1024 limit=300 keep='' cpu=max,-cx16
while getopts tunrk:d:b:m:K:T: o; do
	case $o in
	t) tpm=1 ;;
	u) udev=1 ;;
	n) net=1 ;;
	r) reports=1 ;;
	k) kernel=$OPTARG ;;
	d) disks="$disks $OPTARG" ;;
	b) build=$OPTARG ;;
	m) memory=$OPTARG ;;
	K) keep=$OPTARG ;;
	T) limit=$OPTARG ;;
	*) exit 64 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || { sed -n '4s/^# *//p' "$0" >&2; exit 64; }
need qemu-system-x86_64 mkfs.erofs
[ -z "$tpm" ] || need swtpm
script=$1
shift
work=$(mktemp -d)
tpm_pid=
# shellcheck disable=SC2064
trap '[ -z "$tpm_pid" ] || kill "$tpm_pid" 2>/dev/null || true; rm -rf "$work"' EXIT
# The shell runs that at its end, which a signal is not by itself.
trap 'exit 143' TERM INT

# One at a time builds what is shared.
(
	flock 9
	"$here/kernel.sh" "$kernel"
	"$here/root.sh" test
	if [ ! -e "$VM/lab/root.erofs" ] || [ "$VM/root/test/stamp" -nt "$VM/lab/root.erofs" ]; then
		mkdir -p "$VM/lab"
		mkfs.erofs -d0 -T0 --exclude-regex='^var/cache' "$VM/lab/root.new" "$VM/root/test/tree" >/dev/null 2>&1
		mv "$VM/lab/root.new" "$VM/lab/root.erofs"
	fi
	modules=$VM/lab/modules-$kernel.erofs
	if [ ! -e "$modules" ] || [ "$VM/kernel/$kernel/version" -nt "$modules" ]; then
		mkfs.erofs -d0 -T0 "$modules.new" "$VM/kernel/$kernel/lib/modules" >/dev/null 2>&1
		mv "$modules.new" "$modules"
	fi
	initrd=$VM/lab/initrd-$kernel
	if [ ! -e "$initrd" ] || [ "$here/lab-init.sh" -nt "$initrd" ] || [ "$VM/kernel/$kernel/version" -nt "$initrd" ]; then
		"$here/initrd.sh" "$kernel" "$here/lab-init.sh" "$initrd" virtio_pci virtio_blk erofs overlay
	fi
) 9>"$VM/lock" || exit $?

# This run's part of the share.
mkdir -p "$work/share/vm-run"
cp "$script" "$work/share/vm-run/script"
chmod 0755 "$work/share/vm-run/script"
cp "$here/lab-pid1.sh" "$work/share/vm-run/pid1"
# What fake TEE devices answer with, and configfs-tsm's fake provider.
if [ -n "$reports" ]; then
	/usr/bin/python3 -B "$TOP/test/devices/keys.py" "$work/share/keys" >/dev/null || lack "keys of the fake devices cannot be made"
fi
if [ "$kernel" = backports ]; then
	"$here/faketsm/build.sh" "$VM" "$VM/lab/faketsm" || lack "faketsm.ko cannot be built here"
	mkdir "$work/share/faketsm"
	cp "$VM/lab/faketsm/faketsm.ko" "$work/share/faketsm/"
fi

machine="-nodefaults -no-user-config -display none -no-reboot -M q35 -accel tcg,thread=multi -cpu $cpu -smp 1 -m $memory"
blk() { # FILE SERIAL [OPTIONS]
	machine="$machine -drive if=none,id=$2,file=$1,format=raw${3:-} -device virtio-blk-pci,drive=$2,serial=$2"
}
blk "$VM/lab/root.erofs" root ,readonly=on
blk "$work/share.erofs" share ,readonly=on
letters=cdefghijklmnop spare='' n=0
[ -z "$keep" ] || mkdir -p "$keep"
for mb in $disks; do
	n=$((n + 1))
	file=${keep:-$work}/spare$n
	[ -e "$file" ] || truncate -s "${mb}M" "$file"
	blk "$file" "spare$n" ,cache=unsafe,discard=unmap
	letter=$(echo "$letters" | cut -c"$n")
	spare="$spare /dev/vd$letter"
done
blk "$VM/lab/modules-$kernel.erofs" modules ,readonly=on
machine="$machine -device virtio-rng-pci"
[ -z "$net" ] || machine="$machine -netdev user,id=n0 -device virtio-net-pci,netdev=n0,romfile="
if [ -n "$tpm" ]; then
	state=${keep:-$work}/tpm
	mkdir -p "$state"
	swtpm socket --tpm2 --tpmstate dir="$state" --ctrl type=unixio,path="$work/tpm.sock" \
		--flags startup-clear --terminate >"$work/swtpm.log" 2>&1 &
	tpm_pid=$!
	for _ in $(seq 100); do
		[ ! -S "$work/tpm.sock" ] || break
		sleep 0.05
	done
	machine="$machine -chardev socket,id=ct,path=$work/tpm.sock -tpmdev emulator,id=t0,chardev=ct -device tpm-crb,tpmdev=t0"
fi

quoted=/opt/test/vm-run/script
for a in "$@"; do
	quoted="$quoted '$(printf %s "$a" | sed "s/'/'\\\\''/g")'"
done
{
	echo "SPARE='${spare# }' UDEV=$udev NET=$net"
	echo "MODULES='dm_crypt dm_integrity dm_verity xfs loop virtio_rng'"
	printf 'SCRIPT="%s"\n' "$(printf %s "$quoted" | sed 's/[\\"$`]/\\&/g')"
} >"$work/share/vm-run/settings"
"$here/share.sh" "$build" "$work/share.erofs" "$work/share"

# shellcheck disable=SC2086
boot() {
	timeout --foreground -k 5 "$limit" nice qemu-system-x86_64 $machine -serial stdio -kernel "$VM/kernel/$kernel/vmlinuz" \
		-initrd "$VM/lab/initrd-$kernel" -append "console=ttyS0 panic=-1 quiet loglevel=3 no_timer_check" </dev/null 2>&1 |
		tr -d '\r' | tee "$work/console" | grep -av --line-buffered -e "^vm-run: " -e "^\[ *[0-9.]*\] reboot: Power down"
}
say "guest: kernel $(cat "$VM/kernel/$kernel/version"), script $script"
start=$(date +%s)
boot || true
end=0
"$here/judge.sh" "$work/console" "$limit" || end=$?
say "ended with $end, $(($(date +%s) - start)) s"
exit "$end"
