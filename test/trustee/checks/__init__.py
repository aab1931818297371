# SPDX-License-Identifier: Apache-2.0
"""Tests of the test Trustee, run by ../test_trustee.py."""
