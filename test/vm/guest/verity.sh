#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Real dm-verity devices as the module sees them: the kernel's table, options, overlays, other users.
# vm: -T 200
look=$BUILD/tools/verity_look failed=0
work=$(mktemp -d)
cd "$work" || exit 1
case_is() { # NAME PATH LINE...
	name=$1 out=$($RUNAS "$look" "$2")
	shift 2
	for line in "$@"; do
		if ! printf '%s\n' "$out" | grep -q -- "$line"; then
			echo "FAIL $name: no \"$line\" in" $out
			failed=1
			return
		fi
	done
	echo "ok   $name"
}
RUNAS=
mkdir tree m1 m2 up wrk ov
mkdir tree/a tree/b
echo content >tree/a/file
mke2fs -q -t ext4 -b 4096 -O ^has_journal -d tree plain 8M
veritysetup format --root-hash-file=hash plain tags >/dev/null
hash=$(cat hash)
veritysetup open plain one tags "$hash" || { echo "FAIL verity: veritysetup open"; exit 1; }
mount -o ro /dev/mapper/one m1
case_is table__says_the_root_hash "$work/m1" known=1 own=1 verity=1 read_only=1 type=ext4 name=one "hash=$hash" from=table
case_is folder__of_the_mount_is_on_it_too "$work/m1/a/file" own=0 verity=1
chmod 0755 "$work"
RUNAS='setpriv --reuid 65534 --regid 65534 --clear-groups'
case_is another_user__sees_verity_and_no_hash "$work/m1" verity=1 'hash=$' from=unknown "why=its root hash is not known"
RUNAS=
mount -t overlay overlay -o "lowerdir=$work/m1,upperdir=$work/up,workdir=$work/wrk" ov
case_is overlay__with_a_writable_layer_is_lower_only "$work/ov" verity=0 lower_only=1 "upper layer"
umount ov
mount -t overlay overlay -o "lowerdir=$work/m1/a:$work/m1/b" ov
case_is overlay__of_verity_alone_counts "$work/ov" verity=1 "hash=$hash"
umount ov
mount -t overlay overlay -o "lowerdir=$work/tree:$work/m1" ov
case_is overlay__with_another_layer_does_not "$work/ov" verity=0 lower_only=0 "not on dm-verity"
umount ov
case_is plain__mount_is_none "/tmp" verity=0 "tmpfs, not on dm-verity"
umount m1
veritysetup close one
veritysetup open --ignore-corruption plain two tags "$hash"
mount -o ro /dev/mapper/two m2
case_is ignore_corruption__is_none "$work/m2" verity=0 "ignores corruption"
umount m2
veritysetup close two
# A guest that nobody hardened: a writable root, no Secure Boot, no words on the command line.
out=$("$BUILD/vouchsafe" doctor --json --offline)
for check in verity read-only secure-boot credentials init-on-free core-dumps; do
	if printf %s "$out" | grep -q "\"check\":\"$check\",\"verdict\":\"note\""; then
		echo "ok   doctor__nothing_hardened__names_$check"
	else
		echo "FAIL doctor__nothing_hardened__names_$check:" "$(printf %s "$out" | grep -o "\"check\":\"$check\"[^}]*")"
		failed=1
	fi
done
exit $failed
