#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# PID 1 of the pod image's initramfs: dm-verity with the measured command line's root hash, or nothing.
# No shell, whatever happens; no input but the command line's roothash=.
/bin/busybox --install -s /bin
export PATH=/bin:/usr/sbin:/usr/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=0755,nosuid,nodev run /run
die() {
	echo "vouchsafe-image: $*" >/dev/kmsg
	sleep 1
	poweroff -f
}
for m in $(cat /m/list); do
	insmod "/m/$m" || die "module $m"
done
hash=
for word in $(cat /proc/cmdline); do
	case $word in roothash=*) hash=${word#*=} ;; esac
done
[ "${#hash}" = 64 ] || die "no roothash="
# The partitions by their names in the table, which is the host's: what they hold is checked by the hash.
find_part() {
	for u in /sys/class/block/*/uevent; do
		grep -q "^PARTNAME=$1\$" "$u" 2>/dev/null && sed -n 's/^DEVNAME=//p' "$u" && return
	done
}
n=0
while root=$(find_part root) && tree=$(find_part root-verity) && [ -z "$root" -o -z "$tree" ] && [ $n -lt 100 ]; do
	n=$((n + 1))
	usleep 100000
done
[ -b "/dev/$root" ] && [ -b "/dev/$tree" ] || die "no partitions root and root-verity"
veritysetup open "/dev/$root" root "/dev/$tree" "$hash" --panic-on-corruption || die "verity"
mount -t erofs -o ro /dev/mapper/root /mnt || die "root"
for d in proc sys dev run; do
	mount --move /$d /mnt/$d || die "$d"
done
exec switch_root /mnt /sbin/init
