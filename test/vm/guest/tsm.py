# SPDX-License-Identifier: Apache-2.0
"""Run by tsm.sh as root in the guest."""
import contextlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
TOP = pathlib.Path("/opt/test")
sys.path[:0] = [str(TOP / "test/devices"), str(TOP / "test/integration")]
from tee_devices import Client, Refused, Teed  # noqa: E402
from world import Cases, Skip, wait_for  # noqa: E402

REPORTS = pathlib.Path("/sys/kernel/config/tsm/report")
TEMPLATE = (TOP / "keys/snp.report").read_bytes()
CERTS = b"a certificate table"
INBLOB_MAX = 64


class Signer:
    """The other end of /dev/faketsm: puts the asked data into the report. refuse: how many to refuse."""

    def __init__(self):
        self.asked = []
        self.refuse = 0
        self.slow = 0
        self.f = open("/dev/faketsm", "r+b", buffering=0)
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            level, n, data = struct.unpack(f"<II{INBLOB_MAX}s", self.f.read(8 + INBLOB_MAX))
            self.asked.append(data[:n])
            time.sleep(self.slow)
            report = bytearray(TEMPLATE)
            report[0x50:0x90] = data
            report[0x30:0x34] = struct.pack("<I", level)
            if self.refuse:
                self.refuse -= 1
                report, certs = b"", b""
            else:
                certs = CERTS
            # Who asked may be gone.
            with contextlib.suppress(OSError):
                self.f.write(struct.pack("<II", len(report), len(certs)) + bytes(report) + certs)


def module():
    if not os.path.exists("/dev/faketsm"):
        subprocess.run(["modprobe", "tsm"], capture_output=True)
        r = subprocess.run(["insmod", str(TOP / "faketsm/faketsm.ko")], capture_output=True, text=True)
        if r.returncode != 0:
            raise RuntimeError(r.stderr)
        subprocess.run(["mount", "-t", "configfs", "configfs", "/sys/kernel/config"], capture_output=True)


def kernel__configfs_tsm__speaks_its_abi():
    d = REPORTS / "by-hand"
    d.mkdir()
    (d / "inblob").write_bytes(b"\x5a" * 64)
    assert (d / "outblob").read_bytes()[0x50:0x90] == b"\x5a" * 64
    assert (d / "provider").read_text() == "sev_guest\n" and (d / "generation").read_text() == "1\n"
    d.rmdir()


def teed():
    program = TOP / "vouchsafe-teed"
    if not program.exists():
        raise Skip("vouchsafe-teed is not built")
    return Teed(program, pathlib.Path("/run/vouchsafe/teed.sock"), pathlib.Path("/run/teed.log"))


def start(t):
    t.start()
    return t


def teed__quote__comes_from_the_real_configfs():
    t = start(teed())
    try:
        with Client(t.path) as c:
            for i in range(3):
                data = os.urandom(64)
                _kind, report, certs = c.quote(data)
                assert report[0x50:0x90] == data and signer.asked[-1] == data, report[:0xa0].hex()
                assert certs in (CERTS, b""), certs
        assert not list(REPORTS.iterdir()), list(REPORTS.iterdir())
    except BaseException:
        print(t.log())
        raise
    finally:
        t.close()


def teed__hardware_refuses__is_a_code_and_the_next_quote_comes():
    t = start(teed())
    try:
        signer.refuse = 50
        with Client(t.path) as c:
            try:
                c.quote(bytes(64))
                raise AssertionError("it was not refused")
            except Refused as e:
                print(f"     refused as {e}")
        signer.refuse = 0
        with Client(t.path) as c:
            data = os.urandom(64)
            assert c.quote(data)[1][0x50:0x90] == data
        assert not list(REPORTS.iterdir())
    finally:
        signer.refuse = 0
        t.close()


def teed__killed_in_a_quote__its_folder_is_swept():
    t = start(teed())
    try:
        signer.slow = 3
        with Client(t.path) as c:
            c.send(1, bytes(64))
            wait_for("the question", lambda: list(REPORTS.iterdir()), 30)
            t.process.kill()
            t.process.wait(20)
        signer.slow = 0
        time.sleep(4)
        t.start()
        with Client(t.path) as c:
            data = os.urandom(64)
            assert c.quote(data)[1][0x50:0x90] == data
        assert not list(REPORTS.iterdir()), list(REPORTS.iterdir())
    finally:
        signer.slow = 0
        t.close()


def vouchsafe(*argv):
    return subprocess.run([str(TOP / "vouchsafe"), *argv], capture_output=True, text=True, timeout=120)


def tpm__the_kernel_s_resource_manager__makes_a_key_and_shows_pcrs():
    r = vouchsafe("tpm", "provision-ak", "--json")
    assert r.returncode == 0 and json.loads(r.stdout)["ak_public"], r
    r = vouchsafe("tpm", "show", "--json")
    assert r.returncode == 0, r
    shown = json.loads(r.stdout)["pcrs"]
    for n in (0, 7, 8, 23):
        assert shown[n] == pathlib.Path(f"/sys/class/tpm/tpm0/pcr-sha256/{n}").read_text().strip().lower(), n


module()
signer = Signer()
cases = Cases()
for case in (kernel__configfs_tsm__speaks_its_abi, teed__quote__comes_from_the_real_configfs,
             teed__hardware_refuses__is_a_code_and_the_next_quote_comes, teed__killed_in_a_quote__its_folder_is_swept,
             tpm__the_kernel_s_resource_manager__makes_a_key_and_shows_pcrs):
    cases.run(case)
sys.exit(cases.finish())
