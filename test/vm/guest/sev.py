# SPDX-License-Identifier: Apache-2.0
"""Run by sev.sh as root in the guest."""
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import signal
import stat
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
TOP = pathlib.Path("/opt/test")
sys.path[:0] = [str(TOP / "test/devices"), str(TOP / "test/integration")]
from tee_devices import Client, Refused, Teed  # noqa: E402
from world import Cases, wait_for  # noqa: E402

KEYS = pathlib.Path("/tmp/keys")
CERTS = (TOP / "keys/snp.certs").read_bytes()
DATA = bytes(range(64))
GET_REPORT, GET_EXT_REPORT = (0xC0205300 | n for n in (0, 2))  # _IOWR('S', n, 32 bytes)
INVALID_LEN = 1


class Device:
    """The character device while this is entered. host_data: HOST_DATA of the reports."""

    def __init__(self, name="sev-guest", host_data=bytes(32)):
        self.path = pathlib.Path("/dev") / name
        shutil.rmtree(KEYS, ignore_errors=True)
        shutil.copytree(TOP / "keys", KEYS)
        report = bytearray((KEYS / "snp.report").read_bytes())
        report[0xC0:0xE0] = host_data
        (KEYS / "snp.report").write_bytes(report)
        self.name = name

    def __enter__(self):
        self.process = subprocess.Popen([TOP / "tools/tee_cuse", KEYS, self.name])

        def there():
            if self.process.poll() is not None:
                raise RuntimeError(f"tee_cuse ended with {self.process.returncode}")
            return self.path.exists()
        wait_for(self.path, there)
        return self

    def set(self, **knobs):
        for name, value in knobs.items():
            with open(self.path, "wb", 0) as f:
                f.write(f"{name} {value}".encode())

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        wait_for("the device to go", lambda: not self.path.exists())


@contextlib.contextmanager
def teed():
    t = Teed(TOP / "vouchsafe-teed", pathlib.Path("/run/vouchsafe/teed.sock"), pathlib.Path("/run/teed.log"))
    try:
        t.start()
        yield t
    except BaseException:
        print(t.log()[-3000:])
        raise
    finally:
        t.close()


def quote(t):
    with Client(t.path) as c:
        return c.quote(DATA)


def check(answer, certs):
    kind, report, table = answer
    assert kind == 1 and len(report) == 1184 and report[0x50:0x90] == DATA, report[:0xa0].hex()
    assert report[0x90:0xC0] == (KEYS / "snp.report").read_bytes()[0x90:0xC0], "the measurement"
    assert table.rstrip(b"\0") == (CERTS.rstrip(b"\0") if certs else b""), len(table)


def device__by_cuse__is_a_character_device_with_the_driver_s_abi():
    with Device() as d:
        st = os.stat(d.path)
        assert stat.S_ISCHR(st.st_mode) and st.st_mode & 0o077 == 0, oct(st.st_mode)
        request = ctypes.create_string_buffer(DATA + bytes(32 + 16), 112)
        response = ctypes.create_string_buffer(4000)
        call = bytearray(struct.pack("<B7xQQII", 1, ctypes.addressof(request), ctypes.addressof(response), 7, 7))
        with open(d.path, "r+b", 0) as f:
            try:
                fcntl.ioctl(f, GET_EXT_REPORT, call)
                raise AssertionError("no room for certificates, and no error")
            except OSError as e:
                assert e.errno == errno.EIO, e
            # Python copies the argument back only with success; what it points to was written.
            need, = struct.unpack_from("<I", request, 104)
            assert need == (len(CERTS) + 4095) // 4096 * 4096, need
            assert fcntl.ioctl(f, GET_REPORT, call) == 0
            assert struct.unpack_from("<II", call, 24) == (0, 0), call.hex()
            status, size = struct.unpack_from("<II", response)
            assert (status, size) == (0, 1184) and response.raw[32 + 0x50:32 + 0x90] == DATA
            call[0] = 2
            try:
                fcntl.ioctl(f, GET_REPORT, call)
                raise AssertionError("another version was taken")
            except OSError as e:
                assert e.errno == errno.EINVAL, e


def teed__quote__report_and_certificates_of_the_device():
    with Device(), teed() as t:
        check(quote(t), certs=True)
        check(quote(t), certs=True)


def teed__host_without_certificates_or_without_the_call__report_alone():
    with Device() as d, teed() as t:
        d.set(no_certs=1)
        check(quote(t), certs=False)
        d.set(no_certs=0, no_ext=1)
        check(quote(t), certs=False)


def teed__host_or_driver_busy_for_a_while__is_borne():
    with Device() as d, teed() as t:
        d.set(throttle=3)
        check(quote(t), certs=True)
        d.set(busy=2)
        check(quote(t), certs=True)


def teed__firmware_refuses__its_code_and_number_and_the_next_comes():
    with Device() as d, teed() as t:
        d.set(firmware_error=1)
        try:
            quote(t)
            raise AssertionError("it was not refused")
        except Refused as e:
            assert e.code == "tee.failed" and "firmware error 0x16" in e.reason, e
        check(quote(t), certs=True)


def teed__tdx_device_alone__no_quote_by_name():
    with Device("tdx_guest") as d, teed() as t:
        assert stat.S_ISCHR(os.stat(d.path).st_mode)
        try:
            quote(t)
            raise AssertionError("a quote")
        except Refused as e:
            assert e.code == "tee.no-quote" and "answers, but makes no quote" in e.reason, e


def teed__nothing_there__tee_none():
    with teed() as t:
        try:
            quote(t)
            raise AssertionError("a quote")
        except Refused as e:
            assert e.code == "tee.none", e


def native_kata__on_snp__evidence_of_the_character_device():
    """attestation-agent as kata-agent starts it, with a vouchsafe-teed that it forks itself."""
    aa = pathlib.Path("/tmp/aa.toml")
    aa.write_text('[token_configs.kbs]\nurl = "https://127.0.0.1:1"\n')
    text = subprocess.run([TOP / "vouchsafe", "initdata", "build", "--algorithm", "sha256", "--aa", aa], capture_output=True,
                          check=True).stdout
    folder = pathlib.Path("/run/confidential-containers/initdata")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "initdata.toml").write_bytes(text)
    # The kernel's mark of an SNP guest; sysfs takes no folders.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/sys/devices/platform"], check=True)
    os.mkdir("/sys/devices/platform/sev-guest")
    for name, program in (("attestation-agent", "vouchsafed"), ("vouchsafe-teed", "vouchsafe-teed")):
        shutil.copy(TOP / program, f"/usr/local/bin/{name}")
    sock = pathlib.Path("/run/confidential-containers/attestation-agent/attestation-agent.sock")
    with Device(host_data=hashlib.sha256(text).digest()), open("/run/aa.log", "wb") as log:
        p = subprocess.Popen(["/usr/local/bin/attestation-agent", "--attestation_sock", f"unix://{sock}", "--initdata-toml",
                              folder / "initdata.toml"], stdout=log, stderr=log)
        try:
            def up():
                if p.poll() is not None:
                    raise RuntimeError("attestation-agent ended: " + pathlib.Path("/run/aa.log").read_text()[-2000:])
                return sock.exists()
            wait_for("attestation-agent", up, 60)
            r = subprocess.run([TOP / "vouchsafe", "evidence", "--json", "--runtime-data", "hello"], capture_output=True,
                               text=True, timeout=120)
            assert r.returncode == 0, (r, pathlib.Path("/run/aa.log").read_text()[-2000:])
            got = json.loads(r.stdout)
            report = got["evidence"]["attestation_report"]
            assert got["tee"] == "snp" and bytes(report["report_data"]) == b"hello".ljust(64, b"\0"), got["tee"]
            assert bytes(report["host_data"]) == hashlib.sha256(text).digest(), report["host_data"]
            assert got["evidence"]["cert_chain"], "no certificates"
        finally:
            p.send_signal(signal.SIGTERM)
            p.wait(30)


def main():
    r = subprocess.run(["modprobe", "cuse"], capture_output=True, text=True)
    if not os.path.exists("/dev/cuse"):
        print(f"skip cuse: this kernel ({os.uname().release}) has no module cuse: {r.stderr.strip()}")
        return 0
    cases = Cases()
    for case in (device__by_cuse__is_a_character_device_with_the_driver_s_abi,
                 teed__quote__report_and_certificates_of_the_device,
                 teed__host_without_certificates_or_without_the_call__report_alone,
                 teed__host_or_driver_busy_for_a_while__is_borne,
                 teed__firmware_refuses__its_code_and_number_and_the_next_comes,
                 teed__tdx_device_alone__no_quote_by_name,
                 teed__nothing_there__tee_none,
                 native_kata__on_snp__evidence_of_the_character_device):
        cases.run(case)
    return cases.finish()


sys.exit(main())
