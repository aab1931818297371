#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A Debian root tree from this machine's own release: $VM/root/NAME/tree.
#   test/vm/root.sh pod|test|full
# pod: what a pod VM needs. test: that and the tools of the tests. full: and podman and containerd.
set -eu
. "$(dirname "$0")/lib.sh"
need mmdebstrap
name=$1
pod="systemd systemd-sysv systemd-resolved udev dbus kmod mount e2fsprogs xfsprogs dmsetup crun runc iproute2
ca-certificates libcurl4 libssl3 libcjson1 zlib1g libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-rc0
libtss2-tcti-device0 libprotobuf-c1 libseccomp2 libyaml-0-2 libmicrohttpd12 libcryptsetup12"
test="$pod cryptsetup-bin tpm2-tools python3 busybox-static procps libfuse3-3 fuse3 strace curl"
full="$test podman containerd conmon netavark"
case $name in
pod) want=$pod ;;
test) want=$test ;;
full) want=$full ;;
*) echo "usage: test/vm/root.sh pod|test|full" >&2 && exit 64 ;;
esac
out=$VM/root/$name
mkdir -p "$out"
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# Built anew when the list of packages changes, or the package lists of the machine do.
what="$release $want"
changed "$out/stamp" "$what" || exit 0
rm -rf "$out/tree" "$out/stamp"
[ -n "$(debian_sources)" ] || lack "no Debian package lists on this machine (apt-get update)"
say "root tree $name: $(echo "$want" | wc -w) packages and what they need"
debian_sources >"$out/sources.list"
# shellcheck disable=SC2086
mmdebstrap --mode=root --variant=essential --quiet \
	--include="$(echo $want | tr ' ' ',')" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--aptopt='Acquire::Languages "none"' \
	"$release" "$out/tree" - <"$out/sources.list" >"$out/log" 2>&1 ||
	lack "the root tree cannot be built: $(grep -m 1 '^E:' "$out/log" | cut -c1-60) (log: $out/log)"
rm -rf "$out"/tree/var/lib/apt/lists/* "$out"/tree/var/cache/apt/*
# Nothing of this machine.
: >"$out/tree/etc/machine-id"
rm -f "$out"/tree/etc/hostname "$out"/tree/etc/resolv.conf "$out"/tree/etc/apt/sources.list
done_with "$out/stamp" "$what"
say "root tree $name: $(du -sm "$out/tree" | cut -f1) MiB"
