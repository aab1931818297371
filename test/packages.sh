#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Debian 12 packages that each job needs; installs what is missing.
#   test/packages.sh [--print] build|install|demo|check|vm|ci
set -eu
build="gcc make libc6-dev libcurl4-openssl-dev libssl-dev libcjson-dev libtss2-dev zlib1g-dev
libprotobuf-c-dev protobuf-c-compiler libseccomp-dev libyaml-dev
libmicrohttpd-dev libcryptsetup-dev libblkid-dev"
install="$build scdoc dpkg-dev"
demo="$build swtpm runc busybox-static python3 python3-jwcrypto python3-cryptography mount"
check="$demo git tpm2-tools jose openssl protobuf-compiler iproute2 procps libcap2-bin gdb
podman conmon netavark containerd crun scdoc man-db systemd dpkg-dev rpm bash
cryptsetup-bin e2fsprogs xfsprogs libfuse3-dev fuse3
binutils sbsigntool systemd-boot-efi python3-pefile"
vm="$demo qemu-system-x86 ovmf swtpm-tools tpm2-tools mmdebstrap cpio kmod xz-utils erofs-utils mtools
dosfstools fdisk genisoimage sbsigntool systemd-boot-efi binutils openssl cryptsetup-bin xfsprogs
e2fsprogs scdoc uuid-runtime"
ci="$check $vm clang libclang-rt-14-dev clang-format ca-certificates"
print=
[ "${1:-}" = --print ] && { print=1; shift; }
case ${1:-} in
build) want=$build ;;
install) want=$install ;;
demo) want=$demo ;;
check) want=$check ;;
vm) want=$vm ;;
ci) want=$ci ;;
*) echo "usage: test/packages.sh [--print] build|install|demo|check|vm|ci" >&2; exit 64 ;;
esac
[ -z "$print" ] || { echo $want; exit 0; }
missing=
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null && as_root=sudo
	[ -n "$as_root" ] || {
		echo "These packages are missing; as root run:" >&2
		echo "  apt-get install -y --no-install-recommends$missing" >&2
		exit 69
	}
fi
echo "installing:$missing" >&2
log=$(mktemp)
install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >"$log" 2>&1; }
install || { $as_root apt-get update >"$log" 2>&1 && install; } || { tail -n 20 "$log" >&2; rm -f "$log"; exit 69; }
rm -f "$log"
