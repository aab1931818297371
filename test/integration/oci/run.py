# SPDX-License-Identifier: Apache-2.0
"""vouchsafe-oci over a real runtime and a fake hub."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases  # noqa: E402
import lifecycle  # noqa: E402
import refusals  # noqa: E402
import passing  # noqa: E402
import files  # noqa: E402
import crashes  # noqa: E402


def main():
    build = sys.argv[1]
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    cases = Cases()
    for module in (lifecycle, files, passing, refusals, crashes):
        for case in module.CASES:
            if wanted in case.__name__:
                cases.run(case, build)
    return cases.finish()


sys.exit(main())
