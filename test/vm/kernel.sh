#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A kernel of Debian's, unpacked: $VM/kernel/NAME/{vmlinuz,version,lib/modules/…}.
#   test/vm/kernel.sh cloud|backports
# cloud: this release's linux-image-cloud-amd64. backports: linux-image-amd64 of its backports, which
# has configfs-tsm and CUSE; its headers too, for the fake provider module.
set -eu
. "$(dirname "$0")/lib.sh"
need apt-get apt-cache dpkg depmod
name=$1
out=$VM/kernel/$name
[ ! -e "$out/version" ] || exit 0
rm -rf "$out"
mkdir -p "$out/debs"

release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
case $name in
cloud) meta=linux-image-cloud-amd64 ;;
backports)
	# An apt root of its own: this machine's sources with the suite's name replaced.
	apt=$VM/apt-backports
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/empty"
	debian_sources "$release-backports" >"$apt/sources.list"
	: >"$apt/status"
	cat >"$apt/apt.conf" <<-END
		Dir::Etc::sourcelist "$apt/sources.list";
		Dir::Etc::sourceparts "$apt/empty";
		Dir::State::lists "$apt/lists";
		Dir::State::status "$apt/status";
		Dir::Cache "$apt/cache";
		APT::Sandbox::User "root";
	END
	export APT_CONFIG="$apt/apt.conf"
	say "package lists of $release-backports"
	apt-get -q update >"$apt/log" 2>&1 && ! grep -q '^[EW]:' "$apt/log" ||
		lack "$release-backports is not at this machine's mirror: $(grep '^[EW]:' "$apt/log" | head -n 1 | cut -c1-40)"
	meta=linux-image-amd64
	;;
*) echo "usage: test/vm/kernel.sh cloud|backports" >&2 && exit 64 ;;
esac

package=$(apt-cache depends "$meta" 2>/dev/null | awk '$1 == "Depends:" && /linux-image-[0-9]/ { print $2; exit }')
[ -n "$package" ] || lack "no package $meta"
version=${package#linux-image-}
want=$package
[ "$name" = cloud ] || want="$want linux-headers-$version linux-headers-${version%-amd64}-common linux-kbuild-${version%-amd64}"
say "download of $want"
# shellcheck disable=SC2086
(cd "$out/debs" && apt-get -q download $want >log 2>&1) || lack "$package cannot be downloaded: $(tail -n 1 "$out/debs/log")"
for deb in "$out"/debs/*.deb; do
	dpkg -x "$deb" "$out"
done
rm -r "$out/debs"
ln -sf "boot/vmlinuz-$version" "$out/vmlinuz"
depmod -b "$out" "$version"
echo "$version" >"$out/version"
say "kernel $version: $out"
