#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: -r -T 300
# /dev/sev-guest and /dev/tdx_guest as character devices of the kernel's (CUSE), asked by
# vouchsafe-teed through the driver's ioctls, and evidence of SNP through them.
exec python3 -B /opt/test/test/vm/guest/sev.py
