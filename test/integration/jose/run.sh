#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sealed secrets and encrypted replies against second implementations: jose(1) and python3-jwcrypto.
#   test/integration/jose/run.sh BUILD_DIR
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
build=$(cd "$1" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$top" || exit 1
if ! ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I. ${CFLAGS:-} test/tools/jwe_open.c "$build/libcrypto.a" \
	"$build/libbase.a" -lcrypto -lcjson -lz -lm -pthread -o "$work/jwe_open"; then
	echo "FAIL jwe_open__does_not_build"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi
/usr/bin/python3 "$here/run.py" "$build/vouchsafe" "$work/jwe_open" "$work"
