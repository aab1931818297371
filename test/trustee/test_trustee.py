#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the test Trustee itself. From anywhere:

    /usr/bin/python3 test/trustee/test_trustee.py [-v] [Handshake Evidence …]
    /usr/bin/python3 -m unittest discover -s test/trustee
"""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from checks.commandline import CommandLine, Tls
from checks.handshake import Handshake, Resources, Tokens
from checks.misbehaving import Content, Control, Wire
from checks.quotes import Evidence, RealTpm, Vector

CASES = (Handshake, Tokens, Resources, Evidence, Vector, RealTpm, Content, Wire, Control,
         CommandLine, Tls)


def load_tests(loader, _standard, _pattern):
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in CASES)


if __name__ == "__main__":
    unittest.main()
