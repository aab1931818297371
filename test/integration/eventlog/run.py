# SPDX-License-Identifier: Apache-2.0
"""The event log on a real swtpm: entries read and replayed by Python of its own, PCRs read by
tpm2-tools, kill -9 at random moments. usage: run.py BUILD_DIR (with BUILD_DIR/dev)"""

import hashlib
import importlib.util
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
OK, FINDINGS, INPUT, NOT_FOUND, VERIFY = 0, 1, 65, 66, 76
KILLS = 150
DIR = "run/attestation-agent"
IMAGE = ("github.com/confidential-containers", "PullImage",
         '{"image":"alpine", "digest":"sha256:00"}')


def swtpm_class():
    spec = importlib.util.spec_from_file_location("tpm_run", HERE.parent / "tpm" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Tpm


def need(condition, words):
    if not condition:
        raise AssertionError(words)


def read_log(raw):
    """Entries (register, digest, text) by the specification, sizes checked; digests computed anew."""
    entries, at = [], 0
    while at < len(raw):
        register, kind, count, alg = struct.unpack_from("<IIIH", raw, at)
        digest = raw[at + 14:at + 46]
        size, = struct.unpack_from("<I", raw, at + 46)
        data = raw[at + 50:at + 50 + size]
        tag, length = struct.unpack_from("<II", data)
        need((kind, count, alg, tag, len(data), length) == (6, 1, 0x0b, 0x4141454c, size, size - 8),
             f"entry at {at} is not as specified")
        need(hashlib.sha256(data).digest() == digest, f"entry at {at}: digest")
        entries.append((register, digest, data[8:].decode()))
        at += 50 + size
    return entries


def replay(entries, register):
    value = bytes(32)
    for r, digest, _ in entries:
        if r == register:
            value = hashlib.sha256(value + digest).digest()
    return value


class Suite:
    """A TPM and a root that all cases share: the PCRs go on from case to case, as the log does."""

    def __init__(self, build, tmp):
        self.tmp, self.root = tmp, tmp / "root"
        self.vouchsafe = build / "dev" / "vouchsafe"
        self.extend_program = build / "tools" / "eventlog_extend"
        self.tpm = swtpm_class()(tmp / "tpm")
        settings = self.root / "usr/lib/vouchsafe/vouchsafe.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'[tpm]\ndevice = "{self.tpm.where()}"\n')

    def argv(self, *rest, pcr="-", register="-", root=None):
        return [str(a) for a in (self.extend_program, self.tpm.where(), root or self.root, pcr,
                                 register, *rest)]

    def extend(self, *event, **kw):
        """One event: the program's last line."""
        r = subprocess.run(self.argv("event", *event, **kw), capture_output=True, text=True,
                           timeout=60)
        return r.stdout.splitlines()[-1]

    def command(self, *argv):
        r = subprocess.run([str(a) for a in (self.vouchsafe, "--root", self.root, "eventlog",
                                             *argv)], capture_output=True, text=True, timeout=60)
        return r.returncode, r.stdout, r.stderr

    def raw(self):
        return (self.root / DIR / "eventlog").read_bytes()

    def pcr(self, n):
        out = self.tpm.tool("tpm2_pcrread", f"sha256:{n}").stdout
        return bytes.fromhex(out.split("0x")[1].split()[0])

    def agrees(self):
        """Log and every PCR that is for events; nothing left on its way. The entries."""
        entries = read_log(self.raw())
        for n in (15, 16, 23):
            need(self.pcr(n) == replay(entries, n), f"PCR {n} is not the log's replay")
        need(os.listdir(self.root / DIR) == ["eventlog"],
             f"left: {os.listdir(self.root / DIR)}")
        return entries


# --- cases ---------------------------------------------------------------------------------------

def default_register(s):
    need(s.extend(*IMAGE) == "result 0", "extend")
    entries = s.agrees()
    need(entries == [(15, entries[0][1], " ".join(IMAGE))], f"log: {entries}")
    need(s.pcr(15) != bytes(32), "PCR 15 is empty")
    need(s.pcr(17) == b"\xff" * 32, "PCR 17 was touched")


def named_registers(s):
    need(s.extend(*IMAGE, register=23) == "result 0", "register 23")
    need(s.extend(*IMAGE, pcr=16) == "result 0", "init_pcr 16")
    need(s.extend(*IMAGE, pcr=16, register=15) == "result 0", "init_pcr 16, register 15")
    need([e[0] for e in s.agrees()] == [15, 23, 16, 15], "registers in the log")


def registers_that_cannot(s):
    before, pcrs = s.raw(), [s.pcr(n) for n in (8, 15, 17)]
    for n in range(17, 23):
        line = s.extend(*IMAGE, pcr=n)
        need(line.startswith(f"eventlog.register: PCR {n}: ") and "locality 0" in line, line)
    need(s.extend(*IMAGE, register=8).startswith("eventlog.register: PCR 8 has the initdata"), "8")
    need(s.extend(*IMAGE, register=24).startswith("eventlog.register: PCR 24, allowed"), "24")
    need(s.raw() == before and [s.pcr(n) for n in (8, 15, 17)] == pcrs, "something changed")
    s.agrees()
    out = subprocess.run([s.vouchsafe, "explain", "eventlog.register"], capture_output=True,
                         text=True).stdout
    need("init_pcr = 15" in out, "the remedy names no register")


def bad_events(s):
    before = s.raw()
    need(s.extend("d", "o", "a\nb").startswith("eventlog.bad-event: content has a line feed"), "LF")
    need(s.extend("d d", "o", "c").startswith("eventlog.bad-event: domain"), "space")
    need(s.raw() == before, "the log changed")


def command_lists(s):
    code, out, err = s.command()
    need(code == OK and err == "", f"exit {code}: {err}")
    entries = read_log(s.raw())
    want = [f"{r:<4}{d.hex()} {t}" for r, d, t in entries]
    need(out.splitlines()[:len(want)] == want, out)
    need(f"register 15, entries 2: replayed {replay(entries, 15).hex()}\n" in out, out)
    code, out, err = s.command("--json", s.root / DIR / "eventlog")
    got = json.loads(out)
    need(code == OK and [(e["register"], e["digest"]) for e in got["entries"]] ==
         [(r, d.hex()) for r, d, _ in entries], out)
    need(all(e["algorithm"] == "sha256" and e["digest_matches_event"] for e in got["entries"]), out)
    need(got["entries"][0]["content"] == IMAGE[2] and "verified" not in got, out)


def command_verifies(s):
    code, out, err = s.command("--verify", "--json")
    got = json.loads(out)
    need(code == OK and got["verified"] and
         all(r["matches"] and r["value"] == s.pcr(r["register"]).hex() for r in got["registers"]),
         f"exit {code}: {out}{err}")
    code, out, _ = s.command("--verify")
    need(code == OK and out.count(", which it holds") == 3, f"exit {code}: {out}")
    raw = s.raw()
    for name, changed, words in (
            ("cut", raw[:-1], None),
            ("shorter", raw[:len(raw) // 4 * 3], "but it holds"),
            ("digest", raw[:20] + bytes([raw[20] ^ 1]) + raw[21:], "the digest is not that of this"),
            ("text", raw.replace(b"alpine", b"debian", 1), "the digest is not that of this")):
        f = s.tmp / name
        f.write_bytes(changed)
        code, out, err = s.command("--verify", f)
        if words:
            need(code == VERIFY and words in out, f"{name}: exit {code}: {out}{err}")
        else:
            need(code == INPUT and "eventlog.malformed" in err, f"{name}: exit {code}: {err}")
    code, out, err = s.command(s.tmp / "text")
    need(code == FINDINGS, f"exit {code} without --verify")
    need(s.command(s.tmp / "nothing")[0] == NOT_FOUND, "a file that is not there")


def killed_at_random(s):
    """kill -9 over and over; each acknowledged event is in the log once, and PCR 15 follows."""
    n, acknowledged, rounds = 0, [], 0
    # On a busy machine a round may be over before its first event: then there are more of them.
    while rounds < KILLS or (len(acknowledged) <= KILLS and rounds < 4 * KILLS):
        rounds += 1
        p = subprocess.Popen(s.argv("count", n), stdout=subprocess.PIPE, text=True)
        first = p.stdout.readline()
        need(first == "open\n", f"round {rounds}: {first}")
        time.sleep(random.random() * 0.06)
        p.send_signal(signal.SIGKILL)
        lines = p.stdout.read().splitlines()
        p.wait()
        acknowledged += [int(x) for x in lines if x.isdigit()]
        n += 1000
    need(s.extend("example.org/test", "Count", "end") == "result 0", "the last")
    entries = s.agrees()
    counted = [int(t.split()[-1]) for _, _, t in entries if " Count event " in t]
    need(len(set(counted)) == len(counted), "an event is there twice")
    need(set(acknowledged) <= set(counted), "an acknowledged event is not there")
    extra = set(counted) - set(acknowledged)
    need(len(extra) <= rounds, f"{len(extra)} events that nobody sent")
    need(counted == sorted(counted), "not in order")
    need(len(acknowledged) > KILLS, "too few events to mean anything")
    return f"{len(acknowledged)} acknowledged, {len(extra)} finished by recovery"


def foreign_extend_between(s):
    """What else extends the PCR between events does not stop the log, and --verify sees it."""
    s.tpm.tool("tpm2_pcrextend", "16:sha256=" + "11" * 32)
    need(s.extend(*IMAGE, register=16) == "result 0", "extend")
    code, out, _ = s.command("--verify")
    need(code == VERIFY and "register 16" in out and "but it holds " + s.pcr(16).hex() in out, out)


def wal_that_does_not_fit(s):
    wal = s.root / DIR / ".wal_event_entry"
    raw = s.raw()
    wal.write_bytes(struct.pack(">Q", len(raw)) + bytes(32) + b"d o c\n15")
    line = s.extend(*IMAGE)
    need(line.startswith("eventlog.inconsistent: ") and "neither the value before" in line, line)
    need(s.raw() == raw and wal.exists(), "something changed")
    text = b"d o c"
    data = struct.pack("<II", 0x4141454c, len(text)) + text
    after = hashlib.sha256(s.pcr(15) + hashlib.sha256(data).digest()).digest()
    wal.write_bytes(struct.pack(">Q", len(raw)) + after + text)  # upstream's form
    need(s.extend(*IMAGE) == "result 0", "an event that was on its way")
    need([t for _, _, t in read_log(s.raw())][-2:] == ["d o c", " ".join(IMAGE)], "order")
    need(s.pcr(15) == replay(read_log(s.raw()), 15), "PCR 15")


def two_at_once(s):
    p = subprocess.Popen(s.argv("count", 900000), stdout=subprocess.PIPE, text=True)
    need(p.stdout.readline() == "open\n", "open")
    p.send_signal(signal.SIGSTOP)
    try:
        line = s.extend(*IMAGE, root=s.root)
        need(line.startswith("eventlog.file: another process has the log"), line)
    finally:
        p.send_signal(signal.SIGKILL)
        p.wait()
    need(s.extend(*IMAGE) == "result 0", "after the other is gone")


CASES = [default_register, named_registers, registers_that_cannot, bad_events, command_lists,
         command_verifies, killed_at_random, foreign_extend_between, wal_that_does_not_fit,
         two_at_once]


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    missing = [p for p in ("swtpm", "tpm2_pcrread", "tpm2_pcrextend") if not shutil.which(p)]
    for program in ("dev/vouchsafe", "tools/eventlog_extend"):
        if not (build / program).exists():
            missing.append(f"{build}/{program}")
    if missing:
        for case in CASES:
            print(f"skip {case.__name__}: missing {', '.join(missing)}")
        print(f"0 passed, 0 failed, {len(CASES)} skipped")
        return 0
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="vouchsafe-eventlog-") as d:
        suite = Suite(build, pathlib.Path(d))
        try:
            for case in CASES:
                try:
                    note = case(suite)
                    print(f"ok {case.__name__}" + (f" ({note})" if note else ""))
                    passed += 1
                except Exception as why:  # noqa: BLE001 - a test's failure, whatever it is
                    print(f"FAIL {case.__name__}: {why}")
                    if not isinstance(why, AssertionError):
                        traceback.print_exc()
                    failed += 1
                sys.stdout.flush()
        finally:
            suite.tpm.stop()
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
