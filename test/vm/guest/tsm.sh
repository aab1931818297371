#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: -k backports -t -u -r -T 400
# The kernel's own configfs-tsm (6.12) over a fake provider, asked by vouchsafe-teed; and the TPM
# through the kernel's own /dev/tpmrm0.
exec python3 -B /opt/test/test/vm/guest/tsm.py
