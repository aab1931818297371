# SPDX-License-Identifier: Apache-2.0
# Behind lab-init.sh, on the real root: the usual mounts, then the script.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
. /opt/test/vm-run/settings
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /dev/shm 2>/dev/null || { mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm; }
mkdir -p /dev/pts /run/lock /run/udev
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
mount -t configfs configfs /sys/kernel/config 2>/dev/null
ip link set lo up
echo guest >/proc/sys/kernel/hostname
for m in $MODULES; do
	modprobe "$m" || echo "modprobe $m failed"
done
if [ -n "$NET" ]; then
	modprobe virtio_net
	sleep 0.2
	ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2
fi
systemd-sysusers >/dev/null 2>&1
if [ -n "$UDEV" ]; then
	/lib/systemd/systemd-udevd --daemon 2>/dev/null
	udevadm trigger && udevadm settle
fi
export BUILD=/opt/test TOP=/opt/test SPARE VM_KERNEL=$(uname -r)
cd /tmp
sh -c "exec $SCRIPT" </dev/null
rc=$?
sync
echo "vm-run: script ended with $rc"
# The disks go first when a machine is powered off, and what is read from them then is an error: PID 1
# waits in this call and starts nothing more. (sysrq's power-off comes back at once; a sleep behind it
# was not found on the disk any more, and init ended: a panic after the marker.)
busybox poweroff -n -f
echo "vm-run: no power-off"
while :; do :; done
