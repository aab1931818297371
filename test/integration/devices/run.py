# SPDX-License-Identifier: Apache-2.0
"""vouchsafe-teed and the agent on fake SNP and TDX devices at their literal paths, in a mount
namespace. usage: run.py BUILD_DIR [WORD] (with BUILD_DIR/dev and BUILD_DIR/tools)"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / p) for p in ("test/integration", "test/devices", "test/integration/devices")]
import guest  # noqa: E402
import keys  # noqa: E402
from run_checks import check_confined, need  # noqa: E402
from tee_devices import Client, Devices, Refused, Teed, usable  # noqa: E402
from world import Cases, wait_for  # noqa: E402

WAIT_MS = 2500
DATA = bytes(range(64))
SNP, TDX = 1, 2


class Bench:
    """The devices, and vouchsafe-teed started anew for each case."""

    def __init__(self, build, tmp):
        self.build, self.tmp = build, tmp
        self.program = build / "dev/vouchsafe-teed"
        self.devices = Devices(build, tmp)
        self.n = 0

    @contextlib.contextmanager
    def teed(self, *options, start=True):
        self.n += 1
        folder = self.tmp / f"teed{self.n}"
        folder.mkdir()
        t = Teed(self.program, folder / "teed.sock", folder / "log")
        try:
            if start:
                t.start("--wait", WAIT_MS, *options)
            yield t
        finally:
            t.close()

    def check_snp(self, answer, certs=True):
        kind, report, table = answer
        need(kind == SNP and report[0x50:0x90] == DATA and len(report) == 1184, "not the report asked for")
        want = (self.devices.keys / "snp.certs").read_bytes()
        need(table.rstrip(b"\0") == (want.rstrip(b"\0") if certs else b""), f"certificates: {len(table)} bytes")
        template = (self.devices.keys / "snp.report").read_bytes()
        need(report[0x90:0x2A0] == template[0x90:0x2A0], "the report was changed")

    def check_tdx(self, answer):
        kind, quote, table = answer
        need(kind == TDX and quote[568:632] == DATA and table == b"", "not the quote asked for")
        need(len(quote) == len((self.devices.keys / "tdx.quote").read_bytes()), "length of the quote")

    def refused(self, t, code, words="", call=lambda c: c.quote(DATA), check=True):
        began = time.monotonic()
        try:
            with Client(t.path) as c:
                got = call(c)
        except Refused as e:
            need(e.code == code and words in e.reason, f"{e}, want {code}: {words}")
        else:
            raise AssertionError(f"answered {got[0]}, want {code}")
        need(time.monotonic() - began < WAIT_MS / 1000 + 2.5, "it took too long")
        need(not check or self.devices.count("folders") == 0, "a folder is left in configfs")


# --- reports -------------------------------------------------------------------------------------

def snp_configfs__report_and_table__as_the_device_gave_them(b):
    b.devices.platform("snp", device=False)
    with b.teed() as t, Client(t.path) as c:
        b.check_snp(c.quote(DATA))
        b.check_snp(c.quote(DATA))
    need(b.devices.count("folders") == 0, "a folder is left")
    b.devices.set("reset", no_aux=1)
    with b.teed() as t, Client(t.path) as c:
        b.check_snp(c.quote(DATA), certs=False)


def snp_ioctl__every_dance__report(b):
    for knobs, certs in (({}, True), ({"ext_ok": 1}, True), ({"no_certs": 1}, False), ({"no_ext": 1}, False),
                         ({"grow": 2}, True), ({"throttle": 3}, True), ({"busy": 2}, True),
                         ({"ext_ok": 1, "grow": 1, "throttle": 1}, True), ({"no_ext": 1, "busy": 1}, False)):
        b.devices.platform("snp", configfs=False)
        b.devices.set(**knobs)
        with b.teed() as t, Client(t.path) as c:
            b.check_snp(c.quote(DATA), certs)


def snp__no_provider_in_configfs__the_device_is_asked(b):
    b.devices.platform("snp")
    b.devices.set(provider="none")
    before = b.devices.count("sev_calls")
    with b.teed() as t, Client(t.path) as c:
        b.check_snp(c.quote(DATA))
    need(b.devices.count("sev_calls") > before, "the ioctl was not used")


def tdx__quote_and_rtmrs__extended_and_in_the_quote(b):
    b.devices.platform("tdx")
    digest = hashlib.sha384(b"event").digest()
    files = pathlib.Path("/sys/devices/virtual/misc/tdx_guest/measurements")
    before = [(files / f"rtmr{i}:sha384").read_bytes() for i in range(4)]
    with b.teed() as t, Client(t.path) as c:
        for reg in (3, 2, 3):
            c.extend(reg, digest)
        answer = c.quote(DATA)
    b.check_tdx(answer)
    want = list(before)
    for reg in (3, 2, 3):
        want[reg] = hashlib.sha384(want[reg] + digest).digest()
    need(answer[1][48 + 328:48 + 520] == b"".join(want), "RTMRs in the quote")
    need([(files / f"rtmr{i}:sha384").read_bytes() for i in range(4)] == want, "RTMRs in sysfs")


# --- faults --------------------------------------------------------------------------------------

CONFIGFS = (
    ({"busy": -1}, "tee.busy", "outblob: EBUSY"), ({"inblob_busy": -1}, "tee.busy", "not taken over"),
    ({"mkdir_busy": -1}, "tee.busy", "EBUSY"), ({"wouldblock": -1}, "tee.interfered", "EAGAIN"),
    ({"interfere": -1}, "tee.interfered", "generation is "), ({"eio": 1}, "tee.failed", "EIO"),
    ({"enxio": 1}, "tee.none", "ENXIO"), ({"timeout": 1}, "tee.timeout", "ETIMEDOUT"),
    ({"truncated": 1}, "tee.reply", ""), ({"oversized": 1}, "tee.reply", "EFBIG"),
    ({"empty": 1}, "tee.reply", "empty"), ({"wrong_data": 1}, "tee.reply", "does not carry the data"),
    ({"provider": "arm_cca_guest"}, "platform.not-built", "arm_cca_guest"),
    ({"provider": "none"}, "tee.none", "ENXIO"),
)
BORNE = ({"busy": 4}, {"inblob_busy": 2}, {"mkdir_busy": 3}, {"wouldblock": 4}, {"interfere": 4}, {"slow": 800})
DEVICE = (
    ({"busy": -1}, "tee.busy", "EBUSY"), ({"throttle": -1}, "tee.busy", "host error 2"),
    ({"eio": 1}, "tee.failed", "EIO"), ({"timeout": 1}, "tee.timeout", "ETIMEDOUT"),
    ({"firmware_error": 1}, "tee.failed", "firmware error 0x16"), ({"certs_huge": 1}, "tee.reply", "1048576 bytes"),
    ({"grow": -1}, "tee.reply", "kept changing"), ({"bad_status": 1}, "tee.reply", "status 0x16"),
    ({"bad_size": 1}, "tee.reply", "1000 bytes, want 1184"), ({"wrong_data": 1}, "tee.reply", "does not carry"),
)


def configfs__each_fault__its_code_and_no_folder_left(b):
    for kind in ("snp", "tdx"):
        more = (({"other_td": 1}, "tee.reply", "of another TD"),) if kind == "tdx" else ()
        for knobs, code, words in CONFIGFS + more:
            b.devices.platform(kind, device=False)
            with b.teed() as t:
                b.devices.set(**knobs)
                # Where nobody provides, TDX's device is there all the same, and said to make no quotes.
                b.refused(t, "tee.no-quote" if kind == "tdx" and code == "tee.none" else code, words)
                b.devices.set("reset", provider={"snp": "sev_guest", "tdx": "tdx_guest"}[kind])
                with Client(t.path) as c:
                    (b.check_snp if kind == "snp" else b.check_tdx)(c.quote(DATA))


def configfs__faults_that_pass__are_borne(b):
    for kind in ("snp", "tdx"):
        for knobs in BORNE:
            b.devices.platform(kind, device=False)
            b.devices.set(**knobs)
            with b.teed() as t, Client(t.path) as c:
                (b.check_snp if kind == "snp" else b.check_tdx)(c.quote(DATA))
            need(b.devices.count("folders") == 0, "a folder is left")


def sev_guest__each_fault__its_code(b):
    for knobs, code, words in DEVICE:
        b.devices.platform("snp", configfs=False)
        b.devices.set(**knobs)
        with b.teed() as t:
            b.refused(t, code, words)


def nothing_there__tee_none_and_tdx_without_configfs_no_quote(b):
    b.devices.platform(None, configfs=False)
    with b.teed() as t:
        b.refused(t, "tee.none", "/sys/kernel/config/tsm/report is not there")
        b.refused(t, "eventlog.register", "Linux 6.16", lambda c: c.extend(3, bytes(48)))
    b.devices.platform("tdx", configfs=False)
    with b.teed() as t:
        b.refused(t, "tee.no-quote", "/dev/tdx_guest answers")


def device_that_never_answers__timeout_and_the_next_is_served(b):
    for kind, configfs in (("snp", True), ("snp", False), ("tdx", True)):
        b.devices.platform(kind, configfs=configfs)
        with b.teed() as t:
            b.devices.set(hang=1)
            b.refused(t, "tee.timeout", "not answered in time")
            with Client(t.path) as c:
                (b.check_snp if kind == "snp" else b.check_tdx)(c.quote(DATA))


def child_that_cannot_be_killed__the_client_is_answered_all_the_same(b):
    b.devices.platform("tdx")
    with b.teed() as t:
        b.devices.set(hang_hard=6000)
        began = time.monotonic()
        with Client(t.path) as c:
            try:
                c.quote(DATA)
            except Refused as e:
                need(e.code == "tee.timeout", str(e))
            need(time.monotonic() - began < 5, "it waited for the child")
            b.devices.set("reset")
            b.refused(t, "tee.timeout", "still hangs", check=False)
            time.sleep(6.5)
            b.check_tdx(c.quote(DATA))
    need(b.devices.count("folders") == 0, "the child's folder is left")


# --- life ----------------------------------------------------------------------------------------

def in_background(fn):
    out = []

    def work():
        try:
            out.append(fn())
        except Exception as e:
            out.append(e)
    t = threading.Thread(target=work)
    t.start()
    return t, out


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_9__in_the_middle__the_next_teed_sweeps_and_answers(b):
    b.devices.platform("snp", device=False)
    with b.teed() as t:
        b.devices.set(hang=1)
        c = Client(t.path)
        c.send(1, DATA)
        wait_for("the request", lambda: b.devices.count("folders") == 1)
        child = wait_for("the child", lambda: children(t.process.pid))[0]
        t.process.kill()
        t.process.wait()
        try:
            c.receive()
            raise AssertionError("an answer of a dead process")
        except (ConnectionError, OSError):
            pass
        c.close()
        wait_for("the end of the child", lambda: not os.path.exists(f"/proc/{child}"))
        need(b.devices.count("folders") == 1, "the dead child's folder")
        t.start("--wait", WAIT_MS)
        with Client(t.path) as d:
            b.check_snp(d.quote(DATA))
    need(b.devices.count("folders") == 0, "the dead child's folder was not swept")


def sigterm__in_the_middle__ends_soon_and_leaves_no_folder(b):
    b.devices.platform("snp", device=False)
    with b.teed() as t, Client(t.path) as c:
        b.devices.set(hang=1)
        c.send(1, DATA)
        wait_for("the request", lambda: b.devices.count("folders") == 1)
        # As systemd does: the whole group.
        for p in (*children(t.process.pid), t.process.pid):
            os.kill(p, signal.SIGTERM)
        need(t.process.wait(5) == 0, "exit code")
    need(b.devices.count("folders") == 0, "a folder is left")


def two_clients__one_teed_and_two_teeds__all_answered(b):
    b.devices.platform("snp", device=False)
    b.devices.set(slow=150)

    def ask(path):
        with Client(path) as c:
            for _ in range(3):
                b.check_snp(c.quote(DATA))
        return True
    with b.teed() as one, b.teed() as two:
        work = [in_background(lambda p=p: ask(p)) for p in (one.path, one.path, two.path, two.path)]
        most = 0
        while any(t.is_alive() for t, _ in work):
            most = max(most, b.devices.count("folders"))
            time.sleep(0.02)
        need([out for _, out in work] == [[True]] * 4, str([out for _, out in work]))
        need(most == 2, f"{most} requests at once, one a teed wanted")
    need(b.devices.count("folders") == 0, "a folder is left")


def another_program_at_our_entry__its_data_never_come_back(b):
    """Root writes into our folder between our write and the report: refused, or asked again."""
    for kind in ("snp", "tdx"):
        b.devices.platform(kind, device=False)
        b.devices.set(slow=150)
        check = b.check_snp if kind == "snp" else b.check_tdx
        stop, written = threading.Event(), [0]

        def intrude(stop=stop, written=written):
            while not stop.is_set():
                for f in pathlib.Path("/sys/kernel/config/tsm/report").glob("*/inblob"):
                    with contextlib.suppress(OSError):
                        f.write_bytes(bytes(64))
                        written[0] += 1
                time.sleep(0.01)

        t = threading.Thread(target=intrude, daemon=True)
        t.start()
        try:
            with b.teed() as teed:
                b.refused(teed, "tee.interfered", check=False)
                need(written[0] > 0, "nobody wrote")
                stop.set()
                t.join(5)
                with Client(teed.path) as c:
                    check(c.quote(DATA))
        finally:
            stop.set()
            t.join(5)
        need(b.devices.count("folders") == 0, "a folder is left")


def more_clients_than_places__all_answered(b):
    b.devices.platform("snp", device=False)
    with b.teed() as t:
        idle = [Client(t.path) for _ in range(8)]
        time.sleep(0.3)
        waiting, out = in_background(lambda: Client(t.path).quote(DATA)[0])
        b.check_snp(idle[0].quote(DATA))
        idle[0].close()
        waiting.join(5)
        need(out == [SNP], f"the ninth: {out}")
        for c in idle[1:]:
            c.close()


def silent_client__is_closed_after_ten_seconds_and_idle_teed_ends(b):
    b.devices.platform("snp", device=False)
    with b.teed("--idle", "1") as t:
        with Client(t.path) as c:
            began = time.monotonic()
            need(c.s.recv(10) == b"" and 8 < time.monotonic() - began < 13, "when it was closed")
        need(t.process.wait(5) == 0, "exit code of an idle teed")
        t.start("--idle", "1")
        with Client(t.path) as c:
            b.check_snp(c.quote(DATA))


def malformed_requests__cut_without_an_answer_and_others_served(b):
    b.devices.platform("snp", device=False)
    good = b"VTQ1\x01\0\0\0\x01\0\0\0" + DATA
    with b.teed() as t:
        for packet in (b"x", good[:-1], good + b"\0", good * 2000, b"vtq1" + good[4:], good[:4] + bytes(4) + good[8:],
                       good[:8] + b"\x03" + good[9:], good[:9] + b"\x01" + good[10:], good[:10] + b"\x01" + good[11:],
                       b"VTQ1\x01\0\0\0\x02\x04\0\0" + bytes(48), b"VTQ1\x01\0\0\0\x02\x03\0\0" + bytes(47)):
            with Client(t.path) as c:
                c.s.send(packet)
                try:
                    need(c.s.recv(100) == b"", f"answered {packet[:12]!r}")
                except ConnectionResetError:
                    pass
        with Client(t.path) as c:
            b.check_snp(c.quote(DATA))
        need(t.log().count("api.malformed") == 11, t.log())


CALL_AS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tee_devices import Client, Refused
os.setgroups([]); os.setresgid(64733, 64733, 64733); os.setresuid(*[int(sys.argv[3])] * 3)
try:
    print(Client(sys.argv[2]).quote(bytes(64))[0])
except Refused as e:
    print(e.code)
"""


def callers__root_and_vouchsafed_only(b):
    b.devices.platform("snp", device=False)
    b.tmp.chmod(0o755)
    with b.teed() as t:
        t.path.parent.chmod(0o755)
        for uid, want in ((64733, "1"), (64734, "api.peer-denied"), (1000, "api.peer-denied")):
            r = subprocess.run(["/usr/bin/python3", "-c", CALL_AS, str(TOP / "test/devices"), str(t.path), str(uid)],
                               capture_output=True, text=True, timeout=20)
            need(r.stdout.strip() == want, f"uid {uid}: {r.stdout} {r.stderr[-300:]}")


def teed_and_its_child__proc__confined_as_promised(b):
    b.devices.platform("snp", device=False)
    with b.teed() as t:
        with Client(t.path) as c:
            c.quote(DATA)
            check_confined(t.process.pid)
            limits = pathlib.Path(f"/proc/{t.process.pid}/limits").read_text()
            need(re.search(r"Max core file size\s+0\s+0", limits), limits)
            b.devices.set(hang=1)
            c.send(1, DATA)
            child = wait_for("the child", lambda: children(t.process.pid))[0]
            wait_for("the request", lambda: b.devices.count("folders") == 1)
            check_confined(child)
            fds = os.listdir(f"/proc/{child}/fd")
            links = [os.readlink(f"/proc/{child}/fd/{f}") for f in fds]
            need(not [x for x in links if x.startswith("socket:")], f"the child has {links}")


def stand_in__folder_gone_while_its_files_are_open__enoent_and_it_goes_on(b):
    """As configfs answers; a server that fell over it would take all cases behind it along."""
    b.devices.platform("snp", device=False)
    folder = pathlib.Path("/sys/kernel/config/tsm/report/gone")
    folder.mkdir()
    files = [os.open(folder / name, how) for name, how in (("inblob", os.O_WRONLY), ("inblob", os.O_WRONLY),
                                                           ("outblob", os.O_RDONLY), ("provider", os.O_RDONLY))]
    os.write(files[0], DATA)
    folder.rmdir()
    for call in (lambda: os.write(files[1], DATA), lambda: os.read(files[2], 4096), lambda: os.read(files[3], 64)):
        try:
            got = call()
        except FileNotFoundError:
            continue
        raise AssertionError(f"a folder that is gone gave {got!r}")
    for f in files:
        os.close(f)
    need(b.devices.process.poll() is None and b.devices.count("folders") == 0, "the stand-in is gone too")


def command_line__help_version_and_what_is_wrong(b):
    for argv, code, words in ((["--help"], 0, "Usage: vouchsafe-teed"), (["--version"], 0, "vouchsafe-teed 0."),
                              (["--nonsense"], 64, ""), (["x"], 64, "unexpected"), (["--idle", "-1"], 64, "--idle"),
                              (["--idle", ""], 64, "--idle"), (["--log", "loud"], 64, ""), ([], 71, "SEQPACKET")):
        r = subprocess.run([b.program, *argv], capture_output=True, text=True, timeout=10)
        need(r.returncode == code and words in r.stdout + r.stderr, f"{argv}: {r}")


def keys__a_report_made_by_hand__is_what_the_device_signs(b):
    """keys.py --sign is for verifiers' tests: the same layout, signed by the same key."""
    for tee, n in (("snp", 1184), ("tdx", len((b.devices.keys / "tdx.quote").read_bytes()))):
        r = keys.signed(b.devices.keys, tee, DATA)
        at = 0x50 if tee == "snp" else 568
        need(len(r) == n and r[at:at + 64] == DATA, tee)


CASES = [
    snp_configfs__report_and_table__as_the_device_gave_them, snp_ioctl__every_dance__report,
    snp__no_provider_in_configfs__the_device_is_asked, tdx__quote_and_rtmrs__extended_and_in_the_quote,
    configfs__each_fault__its_code_and_no_folder_left, configfs__faults_that_pass__are_borne,
    sev_guest__each_fault__its_code, nothing_there__tee_none_and_tdx_without_configfs_no_quote,
    device_that_never_answers__timeout_and_the_next_is_served,
    child_that_cannot_be_killed__the_client_is_answered_all_the_same,
    kill_9__in_the_middle__the_next_teed_sweeps_and_answers,
    sigterm__in_the_middle__ends_soon_and_leaves_no_folder,
    two_clients__one_teed_and_two_teeds__all_answered, another_program_at_our_entry__its_data_never_come_back,
    more_clients_than_places__all_answered,
    silent_client__is_closed_after_ten_seconds_and_idle_teed_ends,
    malformed_requests__cut_without_an_answer_and_others_served, callers__root_and_vouchsafed_only,
    teed_and_its_child__proc__confined_as_promised, command_line__help_version_and_what_is_wrong,
    keys__a_report_made_by_hand__is_what_the_device_signs,
    stand_in__folder_gone_while_its_files_are_open__enoent_and_it_goes_on, *guest.CASES,
]


def inside(build, word):
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    tmp = pathlib.Path(os.environ["VOUCHSAFE_DEVICES_INSIDE"])
    cases = Cases()
    b = Bench(build, tmp)
    try:
        for fn in CASES:
            if word in fn.__name__:
                cases.run(fn, b)
    finally:
        b.devices.close()
    return cases.finish()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    if os.environ.get("VOUCHSAFE_DEVICES_INSIDE"):
        return inside(build, word)
    why = usable()
    if why:
        for fn in CASES:
            print(f"skip {fn.__name__}: {why}")
        print(f"0 passed, 0 failed, {len(CASES)} skipped")
        return 0
    tmp = tempfile.mkdtemp(prefix="vouchsafe-devices-")
    try:
        return subprocess.call(["unshare", "-m", sys.executable, "-B", *sys.argv],
                               env={**os.environ, "VOUCHSAFE_DEVICES_INSIDE": tmp})
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
