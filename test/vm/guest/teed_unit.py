# SPDX-License-Identifier: Apache-2.0
"""In the pod image only: vouchsafe-teed as systemd runs it, with /dev/sev-guest as a character device.

  teed_unit.py        the device is made, the unit started anew, a report asked for
  teed_unit.py ask    one question, whatever comes of it
"""
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
TOP = pathlib.Path("/opt/test")
sys.path[:0] = [str(TOP / "test/devices"), str(TOP / "test/integration")]
from tee_devices import Client, Refused  # noqa: E402
from world import wait_for  # noqa: E402

DATA = bytes(range(64))
SOCKET = "/run/vouchsafe/teed.sock"


def ask():
    with Client(SOCKET, 30) as c:
        return c.quote(DATA)


def main():
    if sys.argv[1:] == ["ask"]:
        try:
            ask()
        except (Refused, OSError, AssertionError) as e:
            print(e)
        return
    try:
        ask()
        raise SystemExit("a report without a device")
    except Refused as e:
        assert e.code == "tee.none", e
    subprocess.run(["modprobe", "cuse"], check=True)
    device = subprocess.Popen([TOP / "tools/tee_cuse", TOP / "keys", "sev-guest"])
    try:
        wait_for("the device", lambda: os.path.exists("/dev/sev-guest"))
        # DeviceAllow= is looked up when the unit starts.
        subprocess.run(["systemctl", "stop", "vouchsafe-teed.service"], check=True)
        kind, report, certs = ask()
        assert kind == 1 and report[0x50:0x90] == DATA, report[:0xa0].hex()
        assert certs.rstrip(b"\0") == (TOP / "keys/snp.certs").read_bytes().rstrip(b"\0"), len(certs)
        pid = subprocess.run(["systemctl", "show", "-P", "MainPID", "vouchsafe-teed"], capture_output=True, text=True, check=True).stdout.strip()
        assert pathlib.Path(f"/proc/{pid}/comm").read_text() == "vouchsafe-teed\n", pid
        print("teed-unit-gives-a-report")
    finally:
        device.terminate()
        device.wait(20)


main()
