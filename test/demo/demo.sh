#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make demo` runs: install what is missing (apt), build the development build, run demo.py.
set -eu
cd "$(dirname "$0")/../.."
sh test/packages.sh demo
make -s -j"$(nproc)" DEV=1 all
exec /usr/bin/python3 test/demo/demo.py build "$@"
