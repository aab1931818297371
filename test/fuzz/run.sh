#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run every fuzz target for some seconds from its seed corpus: test/fuzz/run.sh BUILD_DIR/fuzz SECONDS
# New inputs go to a throw-away folder; a finding is kept below build/fuzz/findings and fails the run.
set -u
bin=$1 seconds=$2
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p build/fuzz/findings
passed=0 failed=0
one() {
	t=$1 name=$2
	mkdir -p "$work/$name"
	[ -d "test/fuzz/corpus/$name" ] || { echo "FAIL $name: no seed corpus"; return 1; }
	timeout -k 10 $((seconds + 60)) "$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix=build/fuzz/findings/"$name"- "$work/$name" "test/fuzz/corpus/$name" \
		>"$work/$name.log" 2>&1
	rc=$?
	if [ $rc -eq 0 ]; then
		echo "ok   $name: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$work/$name.log")(s), $(grep -oE 'cov: [0-9]+' "$work/$name.log" | tail -n 1)"
	else
		echo "FAIL $name (exit $rc)"
		tail -n 30 "$work/$name.log"
	fi
	return $rc
}
for t in "$bin"/fuzz_*; do
	case $t in *.d | *.o) continue ;; esac
	if one "$t" "$(basename "$t" | sed 's/^fuzz_//')"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
