# SPDX-License-Identifier: Apache-2.0
"""Native kata: its agent's launch (spec/local-api.md 6.2) step by step, in namespaces of our own, so
that names, arguments and paths are exactly those."""

import pathlib
import os
import subprocess

from run import BUILD, need
from world import Skip

INSIDE = pathlib.Path(__file__).resolve().parent / "kata_inside.py"


def inside(case):
    need("unshare", "swtpm", "ip")
    if os.geteuid() != 0:
        raise Skip("not root")
    r = subprocess.run(["unshare", "-m", "-n", "--propagation", "private", "/usr/bin/python3", INSIDE, BUILD, case],
                       capture_output=True, text=True, timeout=240)
    if r.returncode == 77:
        raise Skip(r.stdout.strip())
    assert r.returncode == 0, "\n" + r.stdout[-6000:] + r.stderr[-6000:]


def case(name):
    def run():
        inside(name)
    run.__name__ = name
    return run


CASES = tuple(case(n) for n in (
    "launch__with_initdata__each_socket_in_time_confined_and_one_quote",
    "launch__again_after_unlink__works_and_extends_nothing",
    "launch__without_initdata__binds_the_dummy",
    "launch__other_initdata_than_bound__no_socket",
    "launch__file_named_is_not_there__no_socket",
    "agent__restarted_with_a_new_key__data_hub_follows",
    "agent__gone__data_hub_says_so_and_recovers",
    "command_line__each_spelling_of_upstream__is_taken",
    "command_line__what_upstream_refuses__is_refused",
))
