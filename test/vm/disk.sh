#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A GPT disk: EFI system partition with the UKI as its only loader, root, root's hash tree.
#   test/vm/disk.sh UKI ROOT VERITY OUT
set -eu
uki=$1 root=$2 verity=$3 out=$4
mib() { echo $((($(stat -c %s "$1") + 1048575) / 1048576)); }
esp=$(($(mib "$uki") + 8)) r=$(mib "$root") v=$(mib "$verity")
# FAT32 wants 33 MiB.
[ "$esp" -ge 40 ] || esp=40
rm -f "$out" "$out.esp"
truncate -s $((esp + r + v + 3))M "$out"
sfdisk -q "$out" <<END
label: gpt
start=1MiB, size=${esp}MiB, type=U, name="esp"
size=${r}MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="root"
size=${v}MiB, type=2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5, name="root-verity"
END
truncate -s "${esp}M" "$out.esp"
mkfs.vfat -F 32 -i 12345678 "$out.esp" >/dev/null
mmd -i "$out.esp" ::/EFI ::/EFI/BOOT
mcopy -i "$out.esp" "$uki" ::/EFI/BOOT/BOOTX64.EFI
dd if="$out.esp" of="$out" bs=1M seek=1 conv=notrunc,sparse status=none
dd if="$root" of="$out" bs=1M seek=$((1 + esp)) conv=notrunc status=none
dd if="$verity" of="$out" bs=1M seek=$((1 + esp + r)) conv=notrunc status=none
rm -f "$out.esp"
