#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The REST API: vouchsafe-rest of a development build behind a fake agent, called from inside a
pod's network namespace. Usage: run.py BUILD_DIR
"""
import sys

import attacks
import http1
import setup_cases
import shared
from box import Box, Skip
from world import Cases


def main():
    box = Box(sys.argv[1])
    cases = Cases()
    try:
        try:
            if not (box.dev / "vouchsafe-rest").exists():
                raise Skip("no development build of vouchsafe-rest: make it first")
            box.make_netns()
        except Skip as why:
            print(f"skip rest: {why}", flush=True)
            cases.skipped += 1
            return cases.finish()
        box.start_agent()
        for features in ("resource", "attestation", "all"):
            box.start_rest(features)
        for group in (shared, http1, setup_cases, attacks):
            for case in group.cases(box):
                box.rules({})
                box.forget()
                cases.run(case, box)
    finally:
        box.close()
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
