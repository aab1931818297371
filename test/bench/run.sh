#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test/bench/run.sh [--quick] BUILD_DIR: the table of numbers, also into BUILD_DIR/bench.md
exec /usr/bin/python3 "$(dirname "$0")/run.py" "$@"
