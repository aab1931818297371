#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Debian packages, of what `make install` lays out. Called by `make deb`.
#   B=build VERSION=0.1.0 MAKE=make systemd/packaging/deb.sh OUT_DIR
set -eu
out=$1
here=$(dirname "$0")
arch=$(dpkg --print-architecture)
epoch=$(git log -1 --format=%ct 2>/dev/null || date -r CHANGELOG.md +%s)
export SOURCE_DATE_EPOCH="$epoch"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)

# The libraries of the programs, with the versions that their symbols need.
depends() {
	mkdir -p "$work/shlibs/debian"
	printf 'Source: vouchsafe\n\nPackage: vouchsafe\nArchitecture: any\n' >"$work/shlibs/debian/control"
	(cd "$work/shlibs" && dpkg-shlibdeps -O "$@" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}

# control PACKAGE DEPENDS DESCRIPTION [FIELD]...
control() {
	root=$work/$1
	mkdir -p "$root/DEBIAN"
	{
		echo "Package: $1"
		echo "Version: $VERSION"
		echo "Architecture: $arch"
		echo "Maintainer: vouchsafe maintainers <maintainers@vouchsafe.invalid>"
		echo "Section: admin"
		echo "Priority: optional"
		echo "Depends: $2"
		echo "Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)"
		description=$3
		shift 3
		for field in "$@"; do echo "$field"; done
		printf 'Description: %s\n' "$description"
	} >"$root/DEBIAN/control"
	(cd "$root" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z |
		xargs -0 md5sum) >"$root/DEBIAN/md5sums"
}

# script PACKAGE NAME: a maintainer script from packaging/scripts, where there is one.
script() {
	[ -f "$here/scripts/$1.$2" ] || return 0
	install -m 0755 "$here/scripts/$1.$2" "$work/$1/DEBIAN/$2"
}

pack() {
	for s in postinst prerm postrm; do script "$1" $s; done
	find "$work/$1" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +
	dpkg-deb --root-owner-group -Zxz --build "$work/$1" "$out/$1_${VERSION}_$arch.deb" >/dev/null
	echo "$out/$1_${VERSION}_$arch.deb"
}

lay() { $MAKE -s --no-print-directory B="$B" DESTDIR="$work/$2" PREFIX=/usr "$1" >/dev/null; }

umask 022
lay install vouchsafe
install -d "$work/vouchsafe/usr/share/doc/vouchsafe"
install -m 0644 LICENSE "$work/vouchsafe/usr/share/doc/vouchsafe/copyright"
rm "$work/vouchsafe/usr/share/doc/vouchsafe/LICENSE"
find "$work/vouchsafe/usr/share/man" -type f -exec gzip -n9 {} +
libs=$(depends -e"$work/vouchsafe/usr/bin/vouchsafe" -e"$work/vouchsafe/usr/bin/vouchsafe-oci" \
	-e"$work/vouchsafe/usr/libexec/vouchsafe/vouchsafed" \
	-e"$work/vouchsafe/usr/libexec/vouchsafe/vouchsafe-rest" \
	-e"$work/vouchsafe/usr/libexec/vouchsafe/vouchsafe-teed" \
	-e"$work/vouchsafe/usr/libexec/vouchsafe/vouchsafe-mountd")
[ -n "$libs" ] || { echo "deb.sh: dpkg-shlibdeps (package dpkg-dev) gave no dependencies" >&2; exit 1; }
control vouchsafe "$libs" "attestation, key broker client and sealed secrets for confidential VMs
 vouchsafed attests its guest to Trustee with hardware evidence and serves
 unsealed secrets; vouchsafe-oci puts them into containers; vouchsafe is the
 command line." "Recommends: systemd, ca-certificates, e2fsprogs, kmod" "Suggests: runc, bash-completion, xfsprogs"
pack vouchsafe

lay install-caa vouchsafe-caa
control vouchsafe-caa "vouchsafe (= $VERSION), systemd" "vouchsafe in a cloud-api-adaptor or OpenShift pod VM image
 The units by which vouchsafe takes the place of process-user-data,
 attestation-agent, confidential-data-hub and api-server-rest there."
pack vouchsafe-caa

lay install-kata vouchsafe-kata
control vouchsafe-kata "vouchsafe (= $VERSION)" "vouchsafe in a guest image of native kata
 The three names under which kata-agent starts the guest's components:
 attestation-agent, confidential-data-hub and api-server-rest."
pack vouchsafe-kata
