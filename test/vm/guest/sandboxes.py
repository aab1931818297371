# SPDX-License-Identifier: Apache-2.0
"""In the pod image only: what /proc says of each program as its unit runs it, as JSON.

  sandboxes.py SEALED_KEY DEVICE     a volume is open meanwhile, since vouchsafe-mountd ends without one
"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

key, device = sys.argv[1:]
PLACE = "/run/vouchsafe-volumes/data"


def main_pid(unit):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pid = subprocess.run(["systemctl", "show", "-P", "MainPID", unit], capture_output=True, text=True, check=True).stdout.strip()
        active = subprocess.run(["systemctl", "is-active", "-q", unit]).returncode == 0
        if pid != "0" and active:
            return pid
        time.sleep(0.2)
    raise SystemExit(f"{unit} does not run")


os.makedirs(PLACE, exist_ok=True)
quiet = {"stdout": subprocess.DEVNULL, "check": True}
subprocess.run(["vouchsafe", "volume", "open", "--timeout", "120", "--key", key, "--mapper", "data", device, PLACE], **quiet)
try:
    subprocess.run(["ip", "netns", "exec", "podns", "busybox", "wget", "-qO-", "http://127.0.0.1:8006/info"], **quiet)
    teed = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    teed.connect("/run/vouchsafe/teed.sock")
    out = {"1": {"mounts": os.readlink("/proc/1/ns/mnt")}}
    for unit in ("vouchsafed", "vouchsafe-rest", "vouchsafe-teed", "vouchsafe-mountd"):
        proc = pathlib.Path("/proc") / main_pid(unit)
        out[unit] = {"status": (proc / "status").read_text(), "mounts": os.readlink(proc / "ns/mnt")}
    print(json.dumps(out))
finally:
    subprocess.run(["vouchsafe", "volume", "close", "data"], **quiet)
