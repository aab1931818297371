# SPDX-License-Identifier: Apache-2.0
"""Native kata starts the three programs by name."""

CASES = ()
