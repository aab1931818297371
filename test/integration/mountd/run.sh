#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vouchsafe-mountd as it runs: SecureMount through vouchsafed, its own socket misused, killed.
exec /usr/bin/python3 "$(dirname "$0")/run.py" "$1"
