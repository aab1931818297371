# SPDX-License-Identifier: Apache-2.0
"""Measure vouchsafe against a bare floor program and print one table. Numbers are reported, never
judged by the exit code: it is 0 unless the bench itself did not work.

Daemon and floor take turns within one run, on the same software TPM and the same replay server, and
what counts is the median. The daemon is that of the development build, which takes --root."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools"))
from world import TOP, World, free_port_pair, wait_for  # noqa: E402

PROGRAMS = ("vouchsafed", "vouchsafe", "vouchsafe-oci", "vouchsafe-rest", "vouchsafe-teed", "vouchsafe-mountd")
KIB, MIB = 1024, 1024 * 1024
N = 50
CALLERS = 8
PAUSE_MS = 1050  # longer than the shortest life of a token
SECRET = "correct horse battery staple"


class Missing(Exception):
    """A part that is not there: its rows say so, the bench goes on."""


class Table:
    def __init__(self):
        self.rows = []
        self.notes = []
        self.broken = False

    def add(self, what, measured="–", floor="–", ratio="–", hold="–", holds=None):
        mark = {None: "–", True: "yes", False: "**no**"}[holds]
        self.rows.append((what, measured, floor, ratio, hold, mark))

    def section(self, title, measure, *args):
        """One group of rows; a failure becomes a row, and all but Missing make the bench fail."""
        try:
            measure(*args)
        except Missing as why:
            self.add(title, f"not measured: {why}")
        except Exception as e:
            traceback.print_exc()
            self.broken = True
            self.add(title, f"the bench failed: {type(e).__name__}")

    def text(self):
        head = ("what", "measured", "floor", "ratio / difference", "hold", "holds?")
        lines = ["| " + " | ".join(r) + " |" for r in (head, ("---",) * len(head), *self.rows)]
        return "\n".join([*lines, "", *(f"- {n}" for n in self.notes), ""])


def ms(us):
    return f"{us / 1000:.2f} ms"


def against(a, b, unit, scale=1.0):
    """"1.08 × / +1.20 ms" """
    return f"{a / b:.2f} × / {(a - b) / scale:+.2f} {unit}"


@contextlib.contextmanager
def elsewhere():
    """For what stands in for a TPM or a paravisor, which do not compute on the guest's processors: what is
    started in this block has the last one alone, where the machine has more than one."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(mine)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


class Bench:
    def __init__(self, w, build, tools, quick):
        self.w = w
        self.build = pathlib.Path(build).resolve()
        self.tools = tools
        self.quick = quick
        self.sealed = w.tmp / "sealed-one"
        self.sealed_many = w.tmp / "sealed-many"
        self.life = 3600

    # --- parts ------------------------------------------------------------------------------
    def dev(self, name):
        path = self.w.dev / name
        if not path.exists():
            raise Missing(f"{name} is not built (make dev)")
        return path

    def load(self, *argv):
        r = self.w.run([self.tools / "load", *argv], timeout=600)
        if r.returncode != 0:
            raise RuntimeError(f"load {argv[0]}: {r.stderr.strip()}\n{self.w.log('cold')[-2000:]}"
                               f"{self.w.log('vouchsafed')[-2000:]}")
        return json.loads(r.stdout)

    def floor(self, mode, *more):
        return [self.tools / "floor", *mode.split(), "--url", self.w.url, "--ca", self.w.tmp / "ca.pem",
                "--tpm", self.device, "--initdata", self.initdata_text,
                "--sealed", self.sealed, *more]

    @property
    def initdata_text(self):
        return self.w.root / "run/confidential-containers/initdata/initdata.toml"

    def start_tpm(self, log=None):
        """As World.start_tpm, with swtpm's own record of commands when log is given, and as a device
        that stays open, which /dev/tpmrm0 is: a swtpm wants a connection for each operation."""
        w = self.w
        w.stop("relay")
        w.stop("swtpm")
        w.tpm_port = free_port_pair()
        state = w.tmp / "tpm"
        state.mkdir(exist_ok=True)
        argv = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}",
                "--server", f"type=tcp,port={w.tpm_port},bindaddr=127.0.0.1",
                "--ctrl", f"type=tcp,port={w.tpm_port + 1},bindaddr=127.0.0.1",
                "--flags", "not-need-init,startup-clear"]
        if log:
            argv += ["--log", f"file={log},level=20"]
        with elsewhere():
            w.start("swtpm", argv)

        def up():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", w.tpm_port + 1), 1).close()
                return True
            return False

        wait_for("swtpm", up)
        out = w.tmp / "relay.path"
        out.unlink(missing_ok=True)
        with elsewhere():
            w.start("relay", [self.tools / "floor", "relay", w.tpm_port], log=out)
        wait_for("the TPM's device", lambda: out.exists() and out.read_text().endswith("\n"))
        self.device = out.read_text().strip()
        w.image_settings(f'[tpm]\ndevice = "{self.device}"\n')

    def start_replay(self, life=3600):
        """The same port at each start: the initdata names it."""
        w = self.w
        w.stop("replay")
        ready = w.tmp / "replay.json"
        ready.unlink(missing_ok=True)
        p = w.start("replay", [self.tools / "replay", "--resources", w.resources, "--ready-file", ready,
                               "--port", str(getattr(w, "port", 0)), "--token-life", str(life),
                               "--cert", w.tmp / "ca.pem", "--key", w.tmp / "key.pem"])

        def up():
            if p.poll() is not None:
                raise RuntimeError("replay ended: " + w.log("replay"))
            return ready.exists()

        wait_for("replay", up)
        told = json.loads(ready.read_text())
        w.url, w.port = told["url"], told["port"]

    def stats(self):
        return self.w.trustee("/replay/stats")

    def stats_since(self, before):
        return {k: v - before[k] for k, v in self.stats().items()}

    def start_daemon(self):
        self.w.stop("vouchsafed")
        self.dev("vouchsafed")
        self.w.start_daemon()
        return self.w.processes["vouchsafed"].pid

    # --- the world ----------------------------------------------------------------------------
    def certificate(self):
        tmp = self.w.tmp
        self.w.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=replay", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", tmp / "key.pem", "-out", tmp / "ca.pem"], check=True)

    def set_up(self):
        w = self.w
        self.dev("vouchsafe")
        for program in ("swtpm", "openssl"):
            if not shutil.which(program):
                raise Missing(f"{program} is not installed")
        self.certificate()
        self.start_tpm()
        w.provision_ak()
        w.keygen()
        for i in range(N):
            w.resource(f"default/many/s{i}", SECRET)
        lines = [w.seal(f"kbs:///default/many/s{i}") for i in range(N)]
        self.sealed.write_text(lines[0] + "\n")
        self.sealed_many.write_text("\n".join(lines) + "\n")
        self.start_replay()
        self.provision()

    def provision(self):
        own = "" if os.geteuid() == 0 else f"[peers]\nuids = [{os.geteuid()}]\n"
        self.w.provision(self.w.initdata(own=own))


# --- what is measured ---------------------------------------------------------------------------

def cold(b, t):
    reps = 3 if b.quick else 15
    daemon = [b.dev("vouchsafed"), "--root", b.w.root]
    ready, ours, theirs = [], [], []

    def one_daemon():
        r = b.load("cold", "--socket", b.w.cdh_socket, "--sealed", b.sealed, "--log", b.w.tmp / "cold.log",
                   "--", *daemon)
        ready.append(r["ready_us"])
        ours.append(r["first_us"])
        if r["length"] != len(SECRET):
            raise RuntimeError(f"a secret of {r['length']} bytes")

    def one_floor():
        r = b.load("line", "--log", b.w.tmp / "cold.log", "--", *b.floor("cold"))
        theirs.append(r["first_us"])
        if r["length"] != len(SECRET):
            raise RuntimeError(f"the floor got a secret of {r['length']} bytes")

    one_daemon()  # both once for the page cache
    one_floor()
    for numbers in (ready, ours, theirs):
        numbers.clear()
    for i in range(reps):
        for run in (one_daemon, one_floor) if i % 2 == 0 else (one_floor, one_daemon):
            run()
    a, f = statistics.median(ours), statistics.median(theirs)
    t.add("cold start to first secret", ms(a), ms(f), against(a, f, "ms", 1000), "≤ 1.10 × floor", a <= 1.10 * f)
    t.notes.append(f"cold: medians of {reps}; vouchsafed {min(ours) / 1000:.1f}..{max(ours) / 1000:.1f} ms, of which "
                   f"{statistics.median(ready) / 1000:.1f} ms until its socket is there; "
                   f"floor {min(theirs) / 1000:.1f}..{max(theirs) / 1000:.1f} ms")


def evidence(b, t):
    """An attester over the bare TPM commands of its evidence, on a device that stays open."""
    sys.path.insert(0, str(TOP / "test/devices"))
    import hardware
    import paravisor
    n = 10 if b.quick else 200
    for kind in ("tpm", "az-snp-vtpm"):
        with World(b.w.build) as w:
            with elsewhere():
                w.start_tpm()
            port, more = w.tpm_port, []
            if kind == "tpm":
                w.provision_ak()
            else:
                w.vouchsafe("tpm", "provision-ak", "--handle", "81000003", check=True)
                amd = hardware.Amd(w.tmp / "amd")
                with elsewhere():
                    pv = paravisor.Paravisor(port, amd, "snp", 2600)
                (w.tmp / "reply.json").write_text(json.dumps(amd.certification()))
                port, more = pv.port, [w.tmp / "reply.json"]
                # One report for all: what is measured is not how fast Python signs.
                pv.on_renewal = lambda pv=pv: setattr(pv, "never_renews", pv.renewals > 1)
            r = w.run([b.tools / "evidence", port, kind, n, *more], check=True)
        got = json.loads(r.stdout)
        ratio = got["ours_us"] / got["floor_us"]
        t.add(f"evidence of {kind} over its {got['commands']} bare TPM commands", ms(got["ours_us"]), ms(got["floor_us"]),
              f"{ratio:.3f} (the fastest tenth {got['ours_least_us'] / got['floor_least_us']:.3f})", "≤ 1.05", ratio <= 1.05)
        t.add(f"sleeps in {n} of them", str(got["sleeps"]), hold="0", holds=got["sleeps"] == 0)


def memory_of(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        raise Missing("its memory may not be looked at (be root with CAP_SYS_PTRACE)") from None
    lines = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return {k: int(v.split()[0]) * KIB for k, v in lines.items()}


def memory(b, t):
    b.dev("vouchsafed")
    log = b.w.tmp / "hold.log"
    log.unlink(missing_ok=True)
    hold = b.w.start("hold", b.floor("hold"), log=log)
    wait_for("floor hold", lambda: log.read_text().strip() or hold.poll() is not None)
    if hold.poll() is not None:
        raise RuntimeError("floor hold: " + log.read_text())
    f = memory_of(hold.pid)
    b.w.stop("hold")
    pid = b.start_daemon()
    b.load("warm", "--socket", b.w.cdh_socket, "--sealed", b.sealed, "--calls", "1", "--callers", "1")
    m = memory_of(pid)

    def row(what, key, hold, holds):
        t.add(what, f"{m[key] / MIB:.2f} MiB", f"{f[key] / MIB:.2f} MiB", against(m[key], f[key], "MiB", MIB),
              hold, holds)

    row("resident set after the first secret", "Rss", "≤ floor + 3 MiB", m["Rss"] <= f["Rss"] + 3 * MIB)
    row("private dirty", "Private_Dirty", "≤ 4 MiB", m["Private_Dirty"] <= 4 * MIB)
    b.load("warm", "--socket", b.w.cdh_socket, "--sealed", b.sealed_many, "--calls", "500", "--callers", CALLERS)
    late = memory_of(pid)
    t.notes.append(f"after {N} secrets and {CALLERS} callers at once: resident {late['Rss'] / MIB:.2f} MiB, private "
                   f"dirty {late['Private_Dirty'] / MIB:.2f} MiB, locked {late['Locked'] / MIB:.2f} MiB")


def warm(b, t):
    blocks, calls = (2, 500) if b.quick else (7, 3000)
    b.start_daemon()
    path = b.w.tmp / "floor.sock"
    b.w.start("floor-warm", [b.tools / "floor", "warm", path])
    wait_for("floor warm", path.exists)
    sides = (("vouchsafed", b.w.cdh_socket), ("floor", path))
    for callers in (1, CALLERS):
        got = {"vouchsafed": [], "floor": []}
        for i in range(-1, blocks):
            for name, sock in sides if i % 2 == 0 else sides[::-1]:
                r = b.load("warm", "--socket", sock, "--sealed", b.sealed, "--calls",
                           str(calls // callers if i >= 0 else 20), "--callers", str(callers))
                if i >= 0:
                    got[name].append(r)

        def median(name, key):
            return statistics.median(r[key] for r in got[name])

        rate, floor_rate = median("vouchsafed", "per_second"), median("floor", "per_second")
        if callers == 1:
            p50, f50 = median("vouchsafed", "p50_us"), median("floor", "p50_us")
            p99, f99 = median("vouchsafed", "p99_us"), median("floor", "p99_us")
            t.add("warm UnsealSecret, p50", f"{p50:.0f} µs", f"{f50:.0f} µs", against(p50, f50, "µs"),
                  "< 1 ms over the floor's request", p50 - f50 < 1000)
            t.add("warm UnsealSecret, p99", f"{p99:.0f} µs", f"{f99:.0f} µs", against(p99, f99, "µs"))
        t.add(f"warm UnsealSecret per second, {callers} caller{'s' * (callers > 1)}", f"{rate:.0f}/s",
              f"{floor_rate:.0f}/s", f"{rate / floor_rate:.2f} ×", "≥ 5000/s", rate >= 5000)
    t.notes.append(f"warm: medians over {blocks} blocks of {calls} calls, vouchsafed and floor in turn; the floor answers "
                   "each frame from memory and decodes nothing")
    b.w.stop("floor-warm")


def apis(b, t):
    """One pod's view: a resource by REST, and 200 unseals in flight on one connection."""
    import http.client
    import ttrpc
    b.start_daemon()
    sealed = b.sealed.read_text().split()[0]
    floor_path = b.w.tmp / "floor-apis.sock"
    b.w.start("floor-warm", [b.tools / "floor", "warm", floor_path])
    wait_for("floor warm", floor_path.exists)

    def burst(path):
        with ttrpc.Client(str(path)) as c:
            c.unseal(sealed)
            times = []
            for _ in range(2 if b.quick else 9):
                begun = time.perf_counter()
                ids = [c.start("api.SealedSecretService", "UnsealSecret", ttrpc.field(1, sealed.encode())) for _ in range(200)]
                for i in ids:
                    c.finish(i)
                times.append((time.perf_counter() - begun) * 1000)
        return statistics.median(times)

    ours, floor = burst(b.w.cdh_socket), burst(floor_path)
    t.add("200 parallel unseals on one connection (one Python client)", f"{ours:.1f} ms", f"{floor:.1f} ms", against(ours, floor, "ms"))
    b.w.stop("floor-warm")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    b.w.start("rest", [b.dev("vouchsafe-rest"), "--root", b.w.root, "-b", f"127.0.0.1:{port}", "-f", "all"])

    def up():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    wait_for("vouchsafe-rest", up)
    h = http.client.HTTPConnection("127.0.0.1", port)
    rest, direct = [], []
    with ttrpc.Client(str(b.w.cdh_socket)) as c:
        for _ in range(20 if b.quick else 200):
            begun = time.perf_counter()
            h.request("GET", "/cdh/resource/default/many/s0")
            r = h.getresponse()
            body = r.read()
            rest.append((time.perf_counter() - begun) * 1000)
            begun = time.perf_counter()
            plain = c.get_resource("kbs:///default/many/s0")
            direct.append((time.perf_counter() - begun) * 1000)
            assert r.status == 200 and body == plain, r.status
    h.close()
    a, d = statistics.median(rest), statistics.median(direct)
    t.add("a resource by REST, uncached, against GetResource over ttrpc", f"{a:.2f} ms", f"{d:.2f} ms", against(a, d, "ms"))
    b.w.stop("rest")


def denied(b, t):
    b.start_daemon()
    b.load("warm", "--socket", b.w.cdh_socket, "--sealed", b.sealed, "--calls", "1", "--callers", "1")
    line = b.w.tmp / "sealed-denied"
    line.write_text(b.w.seal("kbs:///denied/a/b") + "\n")
    before = b.stats()
    r = b.load("refused", "--socket", b.w.cdh_socket, "--sealed", line)
    s = b.stats_since(before)
    named = "kbs.policy-denied" in r["message"]
    t.add("policy denied: attestations in the call, reason", f"{s['attest']}, {'named' if named else 'not named'}",
          hold="0, a named reason", holds=s["attest"] == 0 and named)


def cpu(b, t):
    rounds, count = (1, 3) if b.quick else (5, 6)
    b.dev("vouchsafed")
    # A token of 1 s is renewed, and all that was cached under it dropped, at the first call after it.
    b.start_replay(life=1)
    pid = b.start_daemon()
    ours, theirs = [], []
    for _ in range(rounds):
        r = b.w.run(b.floor(f"cpu {count} {PAUSE_MS}"), check=True)
        theirs.append(int(r.stdout) / 1000)
        before = b.stats()
        r = b.load("attest", "--socket", b.w.cdh_socket, "--sealed", b.sealed, "--pid", str(pid), "--count",
                   str(count), "--pause-ms", str(PAUSE_MS))
        s = b.stats_since(before)
        if (s["auth"], s["attest"], s["get"]) != (count, count, 2 * count):
            raise RuntimeError(f"{count} rounds made {s}")
        ours.append(r["cpu_us"])
    a, f = statistics.median(ours), statistics.median(theirs)
    t.add("CPU per attestation (with 2 resources)", ms(a), ms(f), against(a, f, "ms", 1000))
    t.notes.append(f"CPU: user and system of the process alone, medians of {rounds} × {count} attestations; swtpm and "
                   "replay server are not in it")
    b.w.stop("vouchsafed")
    b.start_replay()


def count_quotes(log):
    """TPM2_Quote is command 0x158; swtpm's record has each command as bytes in hex."""
    text = " ".join(line.strip() for line in log.read_text(errors="replace").splitlines())
    quotes = 0
    for part in text.split("SWTPM_IO_Read: length ")[1:]:
        # "123 80 02 00 00 00 7B 00 00 01 58 …"
        if part.split()[7:11] == ["00", "00", "01", "58"]:
            quotes += 1
    return quotes


def many(b, t):
    b.dev("vouchsafed")
    b.w.stop("vouchsafed")
    log = b.w.tmp / "swtpm-commands.log"
    b.start_tpm(log)
    b.provision()
    b.start_daemon()
    before, quotes = b.stats(), count_quotes(log)
    b.load("warm", "--socket", b.w.cdh_socket, "--sealed", b.sealed_many, "--calls", str(N), "--callers", "1")
    s = b.stats_since(before)
    quotes = count_quotes(log) - quotes
    t.add(f"{N} sealed secrets, one signing key: quotes", str(quotes), hold="1", holds=quotes == 1)
    t.add(f"{N} sealed secrets: HTTP requests", str(s["requests"]), hold=f"N + 3 = {N + 3}",
          holds=s["requests"] <= N + 3)
    t.add(f"{N} sealed secrets: TLS connections", str(s["connections"]), hold="1", holds=s["connections"] == 1)
    b.w.stop("vouchsafed")


def stripped(b, path):
    with tempfile.TemporaryDirectory(prefix="vouchsafe-") as d:
        copy = pathlib.Path(d) / path.name
        shutil.copy(path, copy)
        subprocess.run(["strip", str(copy)], check=True)
        return copy.stat().st_size


def sizes(b, t):
    there = [p for p in PROGRAMS if (b.build / p).exists()]
    if not there:
        raise Missing("no program is built (make)")
    size = {p: stripped(b, b.build / p) for p in there}
    total = sum(size.values())
    lacking = ", ".join(p for p in PROGRAMS if p not in there)
    t.add("stripped programs, all together" + (f" (without {lacking})" if lacking else ""),
          f"{total / MIB:.2f} MiB ({', '.join(f'{p} {n // KIB} KiB' for p, n in size.items())})",
          f"{stripped(b, b.tools / 'floor') // KIB} KiB", hold="≤ 1.5 MiB",
          holds=None if lacking else total <= 1.5 * MIB)


def libraries_of(path):
    out = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
    return sum(1 for line in out.splitlines() if "=>" in line)


def direct_of(path):
    out = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
    return out.count("(NEEDED)")


def libraries(b, t):
    for p in PROGRAMS:
        if not (b.build / p).exists():
            raise Missing(f"{p} is not built (make)")

    def words(path):
        return f"{libraries_of(path)} ({direct_of(path)} named)"

    for p in PROGRAMS:
        t.add(f"shared libraries of {p}", words(b.build / p), words(b.tools / "floor") if p == "vouchsafed" else "–")


def passing(b, t):
    count = 20 if b.quick else 200
    runtime = shutil.which("runc", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not runtime:
        raise Missing("runc is not installed")
    oci = b.dev("vouchsafe-oci")
    conf = b.w.tmp / "oci.toml"
    conf.write_text(f'runtime = "{runtime}"\nsocket = "{b.w.cdh_socket}"\nmemory_dir = "{b.w.tmp}/memory"\n')
    state = b.w.tmp / "runc"
    state.mkdir(exist_ok=True)
    for name, args in (("--version", ["--version"]), ("list", ["--root", state, "list"])):
        r = b.load("spawn", "--count", str(count), "--log", b.w.tmp / "spawn.log", "--",
                   oci, "--vouchsafe-config", conf, *args, "--", runtime, *args)
        a, f = r["a_us"], r["b_us"]
        t.add(f"a call that vouchsafe-oci passes on: {name}", ms(a), f"{ms(f)} (runc)", against(a, f, "ms", 1000),
              "≤ 1.25 × the runtime's", a <= 1.25 * f)
    t.notes.append(f"passed on: medians of {count} each, in turn")


def volumes(b, t):
    """Format, open, mkfs and mount in a guest with device mapper, against the bare programs there."""
    tool = b.build / "tools/volume_tool"
    if not tool.exists():
        raise Missing("tools/volume_tool is not built")
    r = subprocess.run([TOP / "test/vm/run.sh", "-b", b.build, "-d", "64", "-T", "900", TOP / "test/vm/guest/luks-bench.sh",
                        "1" if b.quick else "5"], capture_output=True, text=True, errors="replace")
    if r.returncode == 77:
        raise Missing(next((line for line in r.stdout.splitlines() if line.startswith("skip")), "no guest"))
    rows = re.findall(r"integrity=(\d): new volume bare (\d+) ms, vouchsafe (\d+) ms; "
                      r"opened again bare (\d+) ms, vouchsafe (\d+) ms", r.stdout)
    if len(rows) != 2:
        raise RuntimeError(f"the guest gave {len(rows)} of 2 lines (exit {r.returncode}): {r.stdout[-600:]}")
    for integrity, *medians in rows:
        new, ours_new, again, ours_again = map(int, medians)
        what = "volume of 64 MiB" + (", dm-integrity" if integrity == "1" else "")
        t.add(f"{what}: format, open, mkfs.ext4, mount", f"{ours_new} ms", f"{new} ms", against(ours_new, new, "ms"))
        t.add(f"{what}: open again, mount", f"{ours_again} ms", f"{again} ms", against(ours_again, again, "ms"))
    t.notes.append("volumes: a guest in software emulation; floor: cryptsetup, mkfs.ext4 and mount with the same parameters")


def boot(b, t):
    """The phases that the last make vm-test of this tree measured."""
    f = b.build / "vm/phases.json"
    if not f.exists():
        raise Missing("no make vm-test has run here")
    for phase, seconds in json.loads(f.read_text()).items():
        t.add(f"pod VM, from kernel start: {phase}", f"{seconds:.1f} s")
    t.notes.append("pod VM: QEMU in software emulation, OVMF, swtpm; as the last make vm-test saw it")


def units(b, t):
    files = sorted((TOP / "systemd").glob("*.service"))
    if not files:
        raise Missing("no unit in systemd/ yet")
    if not shutil.which("systemd-analyze"):
        raise Missing("systemd-analyze is not installed")
    hold = {"vouchsafed.service": 2.0, "vouchsafe-rest.service": 1.5}
    for f in files:
        r = b.w.run(["systemd-analyze", "security", "--offline=true", "--no-pager", f])
        last = [line for line in r.stdout.splitlines() if "Overall exposure level" in line]
        if not last:
            raise Missing(f"systemd-analyze says nothing about {f.name}")
        level = float(last[0].split(":")[1].split()[0])
        most = hold.get(f.name, 3.0)
        t.add(f"systemd-analyze security {f.name}", f"{level}", hold=f"≤ {most}", holds=level <= most)


def about(t):
    model = ""
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short=9", "HEAD"], cwd=TOP, capture_output=True, text=True)
    t.notes.append(f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}, load before {os.getloadavg()[0]:.1f}; "
                   f"revision {commit.stdout.strip() or 'release'}, {time.strftime('%Y-%m-%d', time.gmtime())}")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("build", help="build folder")
    p.add_argument("--quick", action="store_true", help="few repetitions: does the bench work?")
    p.add_argument("--keep", action="store_true", help="keep the temporary folder and say where")
    p.add_argument("--only", help="comma list of sections")
    a = p.parse_args()
    tools = pathlib.Path(a.build).resolve() / "bench"
    for tool in ("replay", "floor", "load", "evidence"):
        if not (tools / tool).exists():
            print(f"bench: {tools / tool} is not built; use make bench", file=sys.stderr)
            return 1
    t = Table()
    about(t)
    sections = (("cold start to first secret", cold), ("warm UnsealSecret", warm),
                ("REST and 200 parallel unseals", apis), (f"{N} sealed secrets", many), ("CPU per attestation", cpu), ("evidence over the bare device calls", evidence), ("policy denied", denied),
                ("memory", memory), ("sizes", sizes), ("shared libraries", libraries),
                ("a call that vouchsafe-oci passes on", passing), ("systemd-analyze security", units),
                ("volumes over the bare programs", volumes), ("boot to first secret", boot))
    alone = (sizes, libraries, units, volumes, boot)
    # A guest has these in memory (/run): making sockets on a disk's file system takes longer.
    if os.access("/dev/shm", os.W_OK) and "TMPDIR" not in os.environ:
        tempfile.tempdir = "/dev/shm"
    with World(a.build, keep=a.keep) as w:
        b = Bench(w, a.build, tools, a.quick)
        ready = None
        try:
            b.set_up()
        except Missing as why:
            ready = why
        for title, measure in sections:
            if a.only and measure.__name__ not in a.only.split(","):
                continue
            print(f"bench: {title}", file=sys.stderr, flush=True)
            if ready and measure not in alone:
                t.add(title, f"not measured: {ready}")
            else:
                t.section(title, measure, b, t)
    text = t.text()
    print(text, end="")
    (pathlib.Path(a.build) / "bench.md").write_text(text)
    return 1 if t.broken else 0


if __name__ == "__main__":
    sys.exit(main())
