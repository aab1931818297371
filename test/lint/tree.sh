#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What must not be in the tree at all: files without a licence line, private keys, machine paths.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
list() { git ls-files --cached --others --exclude-standard "$@" 2>/dev/null || find . -type f -not -path './build/*'; }
for f in $(list '*.c' '*.h' '*.sh' '*.py' '*.awk' '*.proto' '*.def' Makefile); do
	[ -f "$f" ] || continue
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$f: no SPDX line"; bad=1; }
done
# The pattern is split so that this file does not match itself.
if list | grep -v '^test/lint/tree.sh$' | tr '\n' '\0' | xargs -0 grep -lIE -- '^-----BEGIN [A-Z ]*PRIV''ATE KEY-----' 2>/dev/null | grep .; then
	echo "private key in PEM: make test keys at run time"
	bad=1
fi
exit $bad
