# SPDX-License-Identifier: Apache-2.0
"""What several cases ask."""

import pathlib


def need(condition, *words):
    if not condition:
        raise AssertionError(*words)


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def check_confined(pid, uid="0"):
    s = status_of(pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        need(int(s[name], 16) == 0, f"{name} is {s[name]}")
    need(s["Seccomp"] == "2" and s["NoNewPrivs"] == "1", f"Seccomp {s['Seccomp']} NoNewPrivs {s['NoNewPrivs']}")
    need(s["Uid"].split()[0] == uid, s["Uid"])
