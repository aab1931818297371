#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What became of a guest of run.sh's, by its console: exits as its script did, or with 70.
#   test/vm/judge.sh CONSOLE SECONDS
# Damage is never success, not even behind the script's end; nor is a guest that did not power off by
# itself. One that died before the script began is the emulator's: the callers try once more.
set -eu
console=$1 limit=$2
damage='Kernel panic|Oops[: ]|BUG: |general protection fault|double fault|soft lockup|vm-run: died|vm-run: no power-off'
end=$(sed -n 's/^vm-run: script ended with \([0-9]*\)$/\1/p' "$console" | tail -n 1)
if [ -n "$end" ] && grep -qa '^\[ *[0-9.]*\] reboot: Power down' "$console" && ! grep -qaE "$damage" "$console"; then
	exit "$end"
fi
echo "FAIL: the guest died or ran over $limit s (its script ended with: ${end:-it did not}): $(grep -aE -m 1 "$damage" "$console" || echo 'no word from it')"
exit 70
