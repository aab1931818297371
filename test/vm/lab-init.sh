#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# PID 1 of run.sh's guest: the root from disk 1, writable in memory, the build tree from disk 2, then
# the script that the share names. Ends with a line that nothing else prints.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for m in $(cat /m/list); do
	insmod "/m/$m" || echo "insmod $m failed"
done
die() {
	echo "vm-run: died: $*"
	poweroff -f
}
mkdir -p /mnt/low /mnt/up /mnt/new
mount -t erofs -o ro /dev/vda /mnt/low || die "no root"
mount -t tmpfs -o mode=0755 tmpfs /mnt/up
mkdir /mnt/up/u /mnt/up/w
mount -t overlay overlay -o lowerdir=/mnt/low,upperdir=/mnt/up/u,workdir=/mnt/up/w /mnt/new || die "no overlay"
mkdir -p /mnt/new/opt/test /mnt/new/usr/lib/modules
mount -t erofs -o ro /dev/vdb /mnt/new/opt/test || die "no share"
for d in /sys/block/vd*; do
	[ "$(cat "$d/serial")" = modules ] && mount -t erofs -o ro "/dev/${d##*/}" /mnt/new/usr/lib/modules
done
for d in proc sys dev; do
	mount --move /$d /mnt/new/$d
done
exec switch_root /mnt/new /bin/sh /opt/test/vm-run/pid1
