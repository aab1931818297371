#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run every unit test binary, then the integration groups; add up; name what was skipped.
#   test/check.sh [--unit] BUILD_DIR
# REQUIRE_ALL=1 makes a skip a failure.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
only_unit=
[ "${1:-}" = --unit ] && { only_unit=1; shift; }
build=$1
cd "$top" || exit 1
TEST_SHARED=${TEST_SHARED:-$top/../shared}
export TEST_SHARED
passed=0 failed=0 skipped=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# The last line of each runner is "N passed, N failed, N skipped".
add() {
	line=$(tail -n 1 "$out")
	case $line in
	*" passed, "*" failed, "*" skipped")
		# shellcheck disable=SC2086
		set -- $line
		passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
		;;
	*)
		echo "FAIL: $name ended without its summary"
		failed=$((failed + 1))
		;;
	esac
}

for bin in "$build"/unit/*/test_*; do
	case $bin in *.d | *.o) continue ;; esac
	name=${bin#"$build"/unit/}
	timeout -k 5 300 "$bin" >"$out" 2>&1
	rc=$?
	if [ $rc -eq 0 ]; then
		grep '^skip' "$out" | sed "s|^|$name: |"
	else
		sed "s|^|$name: |" "$out" | tail -n 60
	fi
	add
done
echo "unit: $passed passed, $failed failed, $skipped skipped"

# The groups start daemons, mount memory and make namespaces.
may_mount() {
	[ "$(id -u)" = 0 ] || return 1
	d=$(mktemp -d) && mount -t ramfs ramfs "$d" 2>/dev/null && umount "$d"
	rc=$?
	rmdir "$d"
	return $rc
}
if [ -z "$only_unit" ] && ! may_mount; then
	for group in test/integration/*/run.sh; do
		echo "skip $(basename "$(dirname "$group")"): needs root with CAP_SYS_ADMIN"
		skipped=$((skipped + 1))
	done
elif [ -z "$only_unit" ]; then
	for group in test/integration/*/run.sh; do
		[ -x "$group" ] || continue
		name=$(basename "$(dirname "$group")")
		echo "-- $name"
		timeout -k 10 1200 "$group" "$build" >"$out" 2>&1
		grep -E '^(ok|FAIL|skip)' "$out"
		add
		case $(tail -n 1 "$out") in *" 0 failed, "*) ;; *) tail -n 60 "$out" ;; esac
	done
fi

if [ "${REQUIRE_ALL:-}" = 1 ] && [ "$skipped" -gt 0 ]; then
	echo "FAIL: REQUIRE_ALL=1 and $skipped skipped"
	failed=$((failed + 1))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
