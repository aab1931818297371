#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The pod VM image: $VM/image/PROFILE/{disk.img,uki.efi,cmdline,roothash,pcrs.json}, and the keys that
# signed it in $VM/keys. Rebuilds what changed.
#   test/vm/image.sh pod|test|full BUILD
# pod: what runs in production. test, full: with the tests' tools and their door, a service on a serial
# port that carries out what the host says; never to be used for anything else.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
profile=$1 build=$(cd "$2" && pwd)
python=/usr/bin/python3
need mkfs.erofs veritysetup objcopy sbsign openssl sfdisk mkfs.vfat mcopy systemd-sysusers $python
stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub
[ -e "$stub" ] || lack "systemd-boot-efi is not installed (test/packages.sh vm)"
out=$VM/image/$profile
mkdir -p "$out"

"$here/kernel.sh" cloud
"$here/root.sh" "$profile"
version=$(cat "$VM/kernel/cloud/version")

# What the programs need, what pods' volumes and containers need.
modules='dm_crypt dm_integrity dm_verity ext4 xfs erofs squashfs overlay loop isofs vfat nls_ascii nls_cp437
	virtio_pci virtio_blk virtio_net virtio_scsi virtio_rng virtio_console virtiofs veth bridge br_netfilter tun nf_tables
	nft_chain_nat nft_masq nft_compat xt_MASQUERADE xt_addrtype xt_conntrack xt_comment xt_mark xt_multiport ip_tables
	iptable_nat iptable_filter xts essiv authenc aegis128 algif_hash algif_skcipher efivarfs fuse cuse sr_mod
	configfs dm_mod af_packet crc32c_generic crc32c_intel sha256_ssse3 aesni_intel vsock vmw_vsock_virtio_transport'

install_tree() {
	tree=$out/tree
	rm -rf "$tree"
	cp -a "$VM/root/$profile/tree" "$tree"
	make -s -C "$TOP" B="$build" DESTDIR="$tree" install install-caa >"$out/install.log" 2>&1 ||
		{ tail -n 20 "$out/install.log" >&2; exit 1; }
	rm -rf "$tree/usr/share/man" "$tree/usr/share/doc"
	cp -r "$here/image/common/." "$tree/"
	case $profile in
	# Only a script of xfsprogs' would want it.
	pod) rm -rf "$tree"/usr/lib/python3* "$tree"/usr/bin/python3* "$tree"/usr/share/python3 ;;
	*)
		cp -r "$here/image/test/." "$tree/"
		mkdir -p "$tree/usr/lib/vm-test" "$tree/opt/test"
		cp "$here/guest_agent.py" "$tree/usr/lib/vm-test/"
		$python -B "$here/podtree.py" "$tree"
		;;
	esac
	# Only the modules that are wanted: the rest cannot be loaded because they are not there.
	for m in $modules; do
		modprobe -d "$VM/kernel/cloud" -S "$version" --show-depends "$m" 2>/dev/null
	done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r file; do
		to=$tree/usr/${file#"$VM/kernel/cloud/"}
		mkdir -p "$(dirname "$to")"
		cp "$file" "$to"
	done
	for f in modules.builtin modules.builtin.modinfo modules.order; do
		cp "$VM/kernel/cloud/lib/modules/$version/$f" "$tree/usr/lib/modules/$version/"
	done
	depmod -b "$tree/usr" "$version" 2>/dev/null || depmod -b "$tree" "$version"
	# Where things are mounted: the root is read-only.
	mkdir -p "$tree/media/cidata" "$tree/mnt" "$tree/opt" "$tree/kata-containers"
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"
	ln -sf ../proc/self/mounts "$tree/etc/mtab"
	systemd-sysusers --root="$tree" >>"$out/install.log" 2>&1
	systemctl --root="$tree" preset-all >>"$out/install.log" 2>&1 || { tail -n 3 "$out/install.log" >&2; exit 1; }
	# Nor words of boot phases in PCR 11: it stays what was predicted.
	# No way in: no shell on a console, no password, no emergency shell.
	for unit in getty@.service serial-getty@.service console-getty.service container-getty@.service autovt@.service \
		emergency.service rescue.service debug-shell.service ctrl-alt-del.target kexec.target hibernate.target \
		systemd-pcrphase.service systemd-pcrphase-sysinit.service \
		systemd-firstboot.service systemd-ask-password-wall.service systemd-ask-password-wall.path \
		systemd-ask-password-console.service systemd-ask-password-console.path \
		systemd-logind.service \
		systemd-hwdb-update.service ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service \
		systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-pstore.service systemd-binfmt.service \
		proc-sys-fs-binfmt_misc.automount apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
		ln -sf /dev/null "$tree/etc/systemd/system/$unit"
	done
	ln -sf /lib/systemd/system/multi-user.target "$tree/etc/systemd/system/default.target"
	sed -i 's/^root:[^:]*:/root:!*:/' "$tree/etc/shadow"
	# The root hash is read in the initramfs; this generator would wait for partitions by their ids.
	mkdir -p "$tree/etc/systemd/system-generators"
	for g in systemd-veritysetup-generator systemd-getty-generator systemd-gpt-auto-generator systemd-debug-generator; do
		ln -sf /dev/null "$tree/etc/systemd/system-generators/$g"
	done
	rm -rf "$tree"/var/lib/dpkg "$tree"/var/log/* "$tree"/usr/share/bash-completion "$tree"/boot "$tree"/usr/share/zoneinfo
}

keys() {
	mkdir -p "$VM/keys"
	chmod 0700 "$VM/keys"
	for k in PK KEK db; do
		[ ! -e "$VM/keys/$k.der" ] || continue
		openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=vouchsafe test image $k/" \
			-keyout "$VM/keys/$k.key" -out "$VM/keys/$k.pem" >/dev/null 2>&1
		openssl x509 -in "$VM/keys/$k.pem" -outform der -out "$VM/keys/$k.der"
	done
	[ -e "$VM/keys/vars.fd" ] || $python "$here/securevars.py" /usr/share/OVMF/OVMF_VARS_4M.fd "$VM/keys/vars.fd" \
		"$VM/keys/PK.der" "$VM/keys/KEK.der" "$VM/keys/db.der"
}

# The command line's constant part; the root hash comes before it.
more=
[ "$profile" = pod ] || more=' systemd.log_target=journal-or-kmsg'
rest="ro console=ttyS0 quiet loglevel=3 panic=-1 oops=panic init_on_alloc=1 init_on_free=1 random.trust_cpu=off
	systemd.import_credentials=no systemd.swap=no systemd.show_status=no systemd.getty_auto=no systemd.gpt_auto=no
	rd.shell=0 rd.emergency=poweroff vsyscall=none$more"

inputs=$(cat "$VM/root/$profile/stamp" "$VM/kernel/cloud/version" && find "$here/image" "$here/image.sh" "$here/pod-init.sh" \
	"$here/initrd.sh" "$here/uki.py" "$here/guest_agent.py" "$here/podtree.py" "$TOP/systemd" "$TOP/test/integration/units/tree.py" \
	"$build"/vouchsafe* -maxdepth 9 -type f -exec sha256sum {} + | sort)
inputs=$(printf %s "$inputs" | sha256sum)
changed "$out/stamp" "$inputs" || { say "image $profile is up to date: $out" && exit 0; }
rm -f "$out/stamp"

say "image $profile: tree"
install_tree
say "image $profile: erofs and verity"
rm -f "$out/root.erofs" "$out/root.verity"
mkfs.erofs -d0 -zlz4hc,1 -T0 -U 00000000-0000-4000-8000-000000000001 "$out/root.erofs" "$out/tree" >"$out/erofs.log" 2>&1 ||
	{ tail -n 5 "$out/erofs.log" >&2; exit 1; }
veritysetup format "$out/root.erofs" "$out/root.verity" --salt="$(printf '%064d' 0)" \
	--uuid=00000000-0000-4000-8000-000000000002 --root-hash-file="$out/roothash" >/dev/null
# shellcheck disable=SC2086
printf '%s' "roothash=$(cat "$out/roothash") $(echo $rest)" >"$out/cmdline"

say "image $profile: UKI"
"$here/initrd.sh" cloud "$here/pod-init.sh" "$out/initrd" -p /usr/sbin/veritysetup virtio_pci virtio_blk erofs dm_verity \
	crc32c_generic
cp "$out/tree/usr/lib/os-release" "$out/osrel"
printf '%s' "$version" >"$out/uname"
keys
$python "$here/uki.py" build "$stub" "$out/uki.unsigned" "osrel=$out/osrel" "uname=$out/uname" "cmdline=$out/cmdline" \
	"initrd=$out/initrd" "linux=$VM/kernel/cloud/vmlinuz"
sbsign --key "$VM/keys/db.key" --cert "$VM/keys/db.pem" --output "$out/uki.efi" "$out/uki.unsigned" >/dev/null 2>&1
$python "$here/uki.py" predict "$out/uki.efi" >"$out/pcrs.json"
say "image $profile: disk"
"$here/disk.sh" "$out/uki.efi" "$out/root.erofs" "$out/root.verity" "$out/disk.img"
rm -rf "$out/tree.last" && mv "$out/tree" "$out/tree.last"
done_with "$out/stamp" "$inputs"
say "image $profile: root $(du -m "$out/root.erofs" | cut -f1) MiB, UKI $(du -m "$out/uki.efi" | cut -f1) MiB: $out/disk.img"
