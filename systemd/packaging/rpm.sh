#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The RPMs of a source archive. Called by `make rpm`. --nodeps: whether the build's needs are there
# is for the compiler to say; on Debian rpm's own database is empty.
#   VERSION=0.1.0 REVISION=abc systemd/packaging/rpm.sh OUT_DIR ARCHIVE
set -eu
out=$1 archive=$2
here=$(cd "$(dirname "$0")" && pwd)
command -v rpmbuild >/dev/null || { echo "rpm.sh: rpmbuild (package rpm) is missing" >&2; exit 69; }
mkdir -p "$out"
out=$(cd "$out" && pwd)
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
mkdir -p "$top/SOURCES"
cp "$archive" "$top/SOURCES/"
rpmbuild -bb --nodeps --define "_topdir $top" --define "_rpmdir $out" \
	--define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
	--define "vouchsafe_version $VERSION" --define "vouchsafe_revision $REVISION" \
	"$here/vouchsafe.spec" >"$top/log" 2>&1 || { tail -n 40 "$top/log" >&2; exit 1; }
ls "$out"/*.rpm
