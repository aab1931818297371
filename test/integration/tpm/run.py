# SPDX-License-Identifier: Apache-2.0
"""`vouchsafe tpm` and tpm evidence against a real swtpm, and against tpm2-tools: what each makes,
the other takes. usage: run.py BUILD_DIR (with the development build in BUILD_DIR/dev)"""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import tty

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent / "trustee")]
import mux as m  # noqa: E402
import shape  # noqa: E402

AK, TOOLS_AK, BAD = 0x81010002, 0x81010010, 0x81010020
OK, FINDINGS, USAGE, NOT_FOUND, UNAVAILABLE, INPUT, RETRY, DENIED = 0, 1, 64, 66, 69, 65, 75, 77


class Skip(Exception):
    pass


class Tpm:
    """A swtpm of its own, with its state in a folder."""

    def __init__(self, state, host="127.0.0.1", flags="not-need-init,startup-clear"):
        self.state, self.host, self.flags = state, host, flags
        state.mkdir(exist_ok=True)
        self.process = None
        self.start()

    def start(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        for _ in range(20):
            with socket.socket(family) as a, socket.socket(family) as b:
                a.bind((self.host, 0))
                self.port = a.getsockname()[1]
                with contextlib.suppress(OSError, OverflowError):
                    b.bind((self.host, self.port + 1))
                    break
        log = open(self.state / "log", "ab")
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}",
             "--server", f"type=tcp,port={self.port},bindaddr={self.host}",
             "--ctrl", f"type=tcp,port={self.port + 1},bindaddr={self.host}",
             "--flags", self.flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        end = time.monotonic() + 10
        for port in (self.port, self.port + 1):
            while True:
                try:
                    socket.create_connection((self.host, port), 1).close()
                    break
                except OSError:
                    if time.monotonic() > end or self.process.poll() is not None:
                        raise RuntimeError("swtpm does not start") from None
                    time.sleep(0.02)

    def where(self):
        return f"swtpm:[{self.host}]:{self.port}" if ":" in self.host else \
            f"swtpm:{self.host}:{self.port}"

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def restart(self):
        self.stop()
        self.start()

    def tool(self, *argv, check=True, cwd=None):
        """A tpm2-tools program straight at the swtpm."""
        env = dict(os.environ, TPM2TOOLS_TCTI=f"swtpm:host={self.host},port={self.port}")
        r = subprocess.run([str(a) for a in argv], env=env, cwd=cwd, capture_output=True, text=True,
                           timeout=60)
        if check and r.returncode != 0:
            raise RuntimeError(f"{argv}: exit {r.returncode}: {r.stderr}")
        return r

    def make(self, *argv, cwd):
        """A tool that loads objects: without a resource manager it leaves them there."""
        self.tool(*argv, cwd=cwd)
        self.flush()

    def flush(self):
        for what in ("-t", "-l", "-s"):
            self.tool("tpm2_flushcontext", what)


class Suite:
    def __init__(self, build, tmp):
        self.build, self.tmp = build, tmp
        self.dev = build / "dev" / "vouchsafe"
        self.tpms, self.muxes = [], []
        self.ak = None
        self.tpm = self.new_tpm("main")

    def new_tpm(self, name, **kw):
        t = Tpm(self.tmp / name, **kw)
        self.tpms.append(t)
        return t

    def new_mux(self, tpm=None):
        x = m.Mux((tpm or self.tpm).port)
        self.muxes.append(x)
        return x

    def close(self):
        for x in self.muxes:
            x.close()
        for t in self.tpms:
            t.stop()

    def tpm_command(self, *argv, where=None, program=None, timeout=60):
        """`vouchsafe tpm …`: exit code, stdout, stderr, seconds."""
        begin = time.monotonic()
        start = [program] if program else [self.dev, "--root", self.tmp / "root"]
        device = self.tpm.where() if where is None else where
        r = subprocess.run([str(a) for a in (*start, "tpm", *argv, "--device", device)],
                           capture_output=True, text=True, timeout=timeout)
        return r.returncode, r.stdout, r.stderr, time.monotonic() - begin

    def quote(self, data, where=None, handle=AK):
        code, out, err, _ = self.tpm_command("quote", "--report-data", data.hex(), "--handle",
                                             f"{handle:08x}", where=where)
        need(code == OK, f"quote: exit {code}: {err}")
        need(err == "", f"quote wrote to stderr: {err}")
        return json.loads(out)

    def fails(self, code, name, *words, argv=None, where=None, handle=AK, limit=5):
        """A quote (or argv) fails with that exit code, in one line of ours that has these words."""
        argv = argv or ["quote", "--report-data", "00" * 32, "--handle", f"{handle:08x}"]
        got, out, err, seconds = self.tpm_command(*argv, where=where)
        need(got == code, f"exit {got}, want {code}: {err}")
        need(out == "", f"printed {out!r}")
        lines = err.splitlines()
        need(len(lines) == 2 and lines[0].startswith(f"vouchsafe: {name}: "),
             f"want one line of {name} and its remedy, got: {err}")
        for w in words:
            need(w in lines[0], f"\"{lines[0]}\" lacks \"{w}\"")
        need(seconds < limit, f"took {seconds:.1f} s, allowed {limit}")
        return seconds


def need(condition, words):
    if not condition:
        raise AssertionError(words)


def parts(evidence):
    q = evidence["tpm_quote"]
    raw = {k: base64.b64decode(q[k], validate=True) for k in ("message", "signature")}
    return (raw["message"], raw["signature"], [bytes.fromhex(p) for p in q["pcrs"]],
            base64.b64decode(evidence["ak_public"], validate=True))


def check_python(evidence, data):
    """The test Trustee's reader: written in Python against the specification."""
    import tpmquote
    need(set(evidence) == {"tpm_quote", "ak_public"} and
         set(evidence["tpm_quote"]) == {"signature", "message", "pcrs"}, "members of the evidence")
    message, signature, pcrs, spki = parts(evidence)
    need(len(pcrs) == 24 and all(len(p) == 32 for p in pcrs), "24 PCRs of 32 bytes")
    tpmquote.verify(tpmquote.load_ak(spki), message, signature, pcrs,
                    data[:32].ljust(32, b"\0"))


def check_tools(suite, evidence, nonce, want=True):
    message, signature, _, spki = parts(evidence)
    d = pathlib.Path(tempfile.mkdtemp(dir=suite.tmp))
    (d / "m").write_bytes(message)
    (d / "s").write_bytes(signature)
    (d / "ak.der").write_bytes(spki)
    subprocess.run(["openssl", "pkey", "-pubin", "-inform", "DER", "-in", d / "ak.der", "-out",
                    d / "ak.pem"], check=True, capture_output=True)
    r = subprocess.run(["tpm2_checkquote", "-u", d / "ak.pem", "-m", d / "m", "-s", d / "s", "-q",
                        nonce.hex()], capture_output=True, text=True)
    need((r.returncode == 0) == want, f"tpm2_checkquote: exit {r.returncode}: {r.stderr}")


# --- cases, in order: later ones use the AK that earlier ones made -------------------------------

def no_ak(s):
    s.fails(NOT_FOUND, "tpm.no-ak", s.tpm.where(), "81010002")
    code, out, err, _ = s.tpm_command("show")
    need(code == FINDINGS and "tpm.no-ak" in out and "PCR 23:" in out, f"show: {code} {out} {err}")


def provision(s):
    code, out, err, _ = s.tpm_command("provision-ak")
    need(code == OK, f"exit {code}: {err}")
    s.ak = out.strip()
    s.tpm.tool("tpm2_readpublic", "-Q", "-c", hex(AK), "-f", "der", "-o", s.tmp / "ak.der")
    need(base64.b64decode(s.ak, validate=True) == (s.tmp / "ak.der").read_bytes(),
         "tpm2_readpublic sees another key")
    for what in ("handles-transient", "handles-loaded-session", "handles-saved-session"):
        need(s.tpm.tool("tpm2_getcap", what).stdout.strip() == "", f"left behind: {what}")


def provision_twice(s):
    s.fails(USAGE, "tpm.ak-exists", "81010002", argv=["provision-ak"])
    code, out, _, _ = s.tpm_command("provision-ak", "--json")
    need(code == USAGE and json.loads(out)["error"]["code"] == "tpm.ak-exists", out)
    code, out, _, _ = s.tpm_command("show", "--json")
    need(code == OK and json.loads(out)["ak"]["public"] == s.ak, "the AK changed")


def show_agrees(s):
    s.tpm.tool("tpm2_pcrextend", "16:sha256=" + "ab" * 32)
    code, out, _, _ = s.tpm_command("show", "--json")
    shown = json.loads(out)
    need(code == OK, out)
    need(shown["ak"]["sha256"] == hashlib.sha256(base64.b64decode(s.ak)).hexdigest(), "fingerprint")
    lines = s.tpm.tool("tpm2_pcrread", "sha256").stdout.splitlines()
    theirs = [line.split(":")[1].strip()[2:].lower() for line in lines if ": 0x" in line]
    need(shown["pcrs"] == theirs, "tpm2_pcrread sees other values")
    need("manufacturer IBM" in shown["about"], shown["about"])


def quote_is_of_the_recorded_shape(s):
    want = shape.recorded("deps/verifier/test_data/tpm_evidence.json")
    if want is None:
        raise Skip("no recorded evidence here")
    need(shape.sees_every_change(want) > 80, "too few changes to mean anything")
    # It was recorded before nonces were cut to 32 bytes: its message is longer.
    found = shape.differences(s.quote(os.urandom(48)), want, loose=(".tpm_quote.message",))
    need(not found, "; ".join(found))


def quotes_verify(s):
    for n in (1, 20, 32, 48, 64):
        data = os.urandom(n)
        evidence = s.quote(data)
        need(evidence["ak_public"] == s.ak, "another AK")
        check_python(evidence, data)
        check_tools(s, evidence, data[:32].ljust(32, b"\0"))
    check_tools(s, evidence, os.urandom(32), want=False)


def key_of_tools(s):
    d = s.tmp / "tools"
    d.mkdir()
    t = s.tpm
    t.make("tpm2_createek", "-Q", "-c", "ek", "-G", "rsa", "-u", "ek.pub", cwd=d)
    t.make("tpm2_readpublic", "-Q", "-c", "ek", "-q", "ek.qname", cwd=d)
    t.make("tpm2_createak", "-Q", "-C", "ek", "-c", "ak", "-G", "rsa", "-s", "rsassa", "-g", "sha256",
           cwd=d)
    t.make("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "ak", hex(TOOLS_AK), cwd=d)
    data = os.urandom(48)
    evidence = s.quote(data, handle=TOOLS_AK)
    need(evidence["ak_public"] != s.ak, "not the other AK")
    check_python(evidence, data)
    # And the other way round: our AK in their hands, made under the EK that they make.
    t.tool("tpm2_quote", "-Q", "-c", hex(AK), "-l", "sha256:0,8,16", "-q", "1234", "-m", "m", "-s", "s",
           "-g", "sha256", cwd=d)
    t.tool("tpm2_readpublic", "-Q", "-c", hex(AK), "-f", "pem", "-o", "ours.pem", "-n", "ours.name",
           "-q", "ours.qname", cwd=d)
    subprocess.run(["tpm2_checkquote", "-u", "ours.pem", "-m", "m", "-s", "s", "-q", "1234", "-g",
                    "sha256"], check=True, cwd=d, capture_output=True)
    want = b"\0\x0b" + hashlib.sha256((d / "ek.qname").read_bytes() +
                                      (d / "ours.name").read_bytes()).digest()
    need((d / "ours.qname").read_bytes() == want, "our AK's parent is not the EK of tpm2_createek")


def wrong_keys(s):
    """Keys at the handle that are no AK: made by tpm2-tools, persisted, asked, evicted."""
    d = s.tmp / "wrong"
    d.mkdir()
    t = s.tpm
    ak = ["tpm2_createak", "-Q", "-C", "ek", "-c", "key"]
    primary = ["tpm2_createprimary", "-Q", "-C", "o", "-c", "key"]
    signing = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"
    kinds = [
        ("is not an RSA key", [*ak, "-G", "ecc", "-s", "ecdsa", "-g", "sha256"]),
        ("does not sign with RSASSA/SHA-256", [*ak, "-G", "rsa", "-s", "rsapss", "-g", "sha256"]),
        ("does not sign with RSASSA/SHA-256", [*ak, "-G", "rsa", "-s", "rsassa", "-g", "sha384"]),
        ("password", [*ak, "-G", "rsa", "-s", "rsassa", "-g", "sha256", "-p", "secret"]),
        ("is not restricted", [*primary, "-G", "rsa2048:rsassa-sha256", "-a", signing]),
        ("is not a signing key", [*primary, "-G", "rsa2048"]),
    ]
    t.make("tpm2_createek", "-Q", "-c", "ek", "-G", "rsa", "-u", "ek.pub", cwd=d)
    for words, argv in kinds:
        t.make(*argv, cwd=d)
        t.make("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "key", hex(BAD), cwd=d)
        s.fails(UNAVAILABLE, "tpm.bad-ak", words, f"{BAD:08x}", handle=BAD)
        t.tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", hex(BAD), cwd=d)


def objects_left_by_others(s):
    """The TPM's few places for objects are taken: says who must go, and goes on once they have."""
    d = s.tmp / "left"
    d.mkdir()
    for _ in range(3):
        s.tpm.tool("tpm2_createprimary", "-Q", "-C", "o", "-c", "x", cwd=d, check=False)
    s.fails(UNAVAILABLE, "tpm.busy", "out of memory for object contexts")
    s.tpm.flush()
    s.quote(b"\1")


def pcr_moves_once(s):
    x = s.new_mux()
    x.after = lambda code, n: x.extend(16, os.urandom(32)) if (code, n) == (m.QUOTE, 1) else None
    data = os.urandom(32)
    check_python(s.quote(data, where=f"swtpm:127.0.0.1:{x.port}"), data)
    need(x.seen[m.QUOTE] == 2, f"{x.seen[m.QUOTE]} quotes, want 2")


def pcr_moves_while_read(s):
    x = s.new_mux()
    x.after = lambda code, n: x.extend(23, os.urandom(32)) if (code, n) == (m.PCR_READ, 2) else None
    data = os.urandom(32)
    check_python(s.quote(data, where=f"swtpm:127.0.0.1:{x.port}"), data)
    need(x.seen[m.QUOTE] == 2, f"{x.seen[m.QUOTE]} quotes, want 2")


def pcr_moves_always(s):
    x = s.new_mux()
    x.after = lambda code, n: x.extend(16, os.urandom(32)) if code == m.QUOTE else None
    s.fails(UNAVAILABLE, "tpm.pcr-moved", where=f"swtpm:127.0.0.1:{x.port}")
    need(x.seen[m.QUOTE] == 5, f"{x.seen[m.QUOTE]} quotes, want 5")


def pcr_extended_in_a_loop(s):
    """Someone else extends all the time: evidence is consistent, or says that it could not be."""
    x = s.new_mux()
    stop, extended, outcome = threading.Event(), [0], {"consistent": 0, "moved": 0}

    def loop():
        with socket.create_connection(("127.0.0.1", x.port)) as c:
            while not stop.is_set():
                c.sendall(m.extend_command(16, os.urandom(32)))
                need(m.code_of(m.take_packet(c)) == 0, "extend")
                extended[0] += 1
                time.sleep(0.001 * (extended[0] % 40))

    other = threading.Thread(target=loop, daemon=True)
    other.start()
    try:
        for _ in range(25):
            data = os.urandom(32)
            code, out, err, _ = s.tpm_command("quote", "--report-data", data.hex(),
                                              where=f"swtpm:127.0.0.1:{x.port}")
            if code == OK:
                check_python(json.loads(out), data)
                outcome["consistent"] += 1
            else:
                need("vouchsafe: tpm.pcr-moved: " in err, err)
                outcome["moved"] += 1
    finally:
        stop.set()
        other.join(10)
    need(outcome["consistent"] > 0 and extended[0] > 25, f"{outcome}, {extended[0]} extends")
    return f"{outcome['consistent']} consistent, {outcome['moved']} refused, " \
           f"{x.seen[m.QUOTE]} quotes, {extended[0]} extends"


def retry_for_a_while(s):
    x = s.new_mux()
    x.before = lambda code, n: m.answer(m.RC_RETRY) if code == m.QUOTE and n <= 12 else None
    data = os.urandom(32)
    check_python(s.quote(data, where=f"swtpm:127.0.0.1:{x.port}"), data)


def retry_always(s):
    x = s.new_mux()
    x.before = lambda code, n: m.answer(m.RC_RETRY) if code == m.QUOTE else None
    s.fails(UNAVAILABLE, "tpm.busy", "TPM2_Quote", "0x922", where=f"swtpm:127.0.0.1:{x.port}")


def lockout(s):
    """Somebody else's wrong passwords: a key that tpm2_createak made is locked, ours is not."""
    t = s.new_tpm("lockout")
    d = s.tmp / "locked"
    d.mkdir()
    code, _, err, _ = s.tpm_command("provision-ak", where=t.where())
    need(code == OK, err)
    t.make("tpm2_createek", "-Q", "-c", "ek", "-G", "rsa", "-u", "ek.pub", cwd=d)
    t.make("tpm2_createak", "-Q", "-C", "ek", "-c", "ak", "-G", "rsa", "-s", "rsassa", "-g", "sha256", cwd=d)
    t.make("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "ak", hex(TOOLS_AK), cwd=d)
    t.make("tpm2_createprimary", "-Q", "-C", "o", "-c", "key", "-p", "right", cwd=d)
    t.make("tpm2_dictionarylockout", "-s", "-n", "1", "-t", "1000", "-l", "1000", cwd=d)
    for _ in range(2):
        t.tool("tpm2_create", "-Q", "-C", "key", "-P", "wrong", "-u", "x", "-r", "y", check=False, cwd=d)
        t.flush()
    need("inLockout:                 1" in t.tool("tpm2_getcap", "properties-variable").stdout, "no lockout")
    s.fails(UNAVAILABLE, "tpm.lockout", "TPM2_Quote", "0x921", where=t.where(), handle=TOOLS_AK)
    data = os.urandom(32)
    check_python(s.quote(data, where=t.where()), data)
    x = s.new_mux(t)
    for command in (m.QUOTE, m.PCR_READ):
        x.before = lambda code, n, command=command: m.answer(0x921) if code == command else None
        s.fails(UNAVAILABLE, "tpm.lockout", where=f"swtpm:127.0.0.1:{x.port}")
    t.stop()


def lying_reply(s):
    """The nonce of another quote in the answer."""
    x = s.new_mux()
    old = []

    def keep(code, n):
        return old[0] if code == m.QUOTE and old else None

    x.before = keep
    plain = x.pass_on

    def pass_on(packet):
        reply = plain(packet)
        if m.code_of(packet) == m.QUOTE:
            old.append(reply)
        return reply

    x.pass_on = pass_on
    where = f"swtpm:127.0.0.1:{x.port}"
    s.quote(b"\1" * 32, where=where)
    s.fails(INPUT, "tpm.reply", "not the nonce", where=where)


def lying_capability(s):
    """What the TPM says of itself is another structure: `tpm show` names that and reads no further."""
    x = s.new_mux()
    handles = (254).to_bytes(4, "big") + (0x81000001).to_bytes(4, "big") * 254
    body = b"\0" + (1).to_bytes(4, "big") + handles
    reply = b"\x80\x01" + (10 + len(body)).to_bytes(4, "big") + bytes(4) + body
    x.before = lambda code, n: reply if code == 0x17A else None
    code, out, err, _ = s.tpm_command("show", where=f"swtpm:127.0.0.1:{x.port}")
    need(code == INPUT and "tpm.reply" in out + err and "TPM2_GetCapability" in out + err, f"{code} {out} {err}")


def stopped(s):
    s.tpm.signal(signal.SIGSTOP)
    try:
        took = s.fails(RETRY, "tpm.timeout", s.tpm.where(), "does not answer", limit=13)
    finally:
        s.tpm.signal(signal.SIGCONT)
    need(took > 5, f"gave up after {took:.1f} s: too early for a slow TPM")
    data = os.urandom(32)
    check_python(s.quote(data), data)


def occupied(s):
    """Another client keeps the swtpm: bounded too."""
    with socket.create_connection(("127.0.0.1", s.tpm.port)) as c:
        c.sendall(bytes.fromhex("80010000000c0000017b0008"))
        m.take_packet(c)
        s.fails(RETRY, "tpm.timeout", s.tpm.where(), limit=13)
    s.quote(b"\1")


def ipv6(s):
    try:
        t = s.new_tpm("ipv6", host="::1")
    except (OSError, RuntimeError):
        raise Skip("no IPv6 on this machine") from None
    code, out, err, _ = s.tpm_command("show", where=t.where())
    need(code == FINDINGS and t.where() in out, f"exit {code}: {err}")
    t.stop()


def device_path(s):
    """The same TPM behind a character device (a pty), where the link stays open between operations."""
    x = s.new_mux()
    try:
        master, slave = os.openpty()
    except OSError:
        raise Skip("no pty on this machine") from None
    tty.setraw(slave)

    def serve():
        buffer = b""
        with contextlib.suppress(OSError):
            while True:
                buffer += os.read(master, 4096)
                while len(buffer) >= 10 and len(buffer) >= int.from_bytes(buffer[2:6], "big"):
                    n = int.from_bytes(buffer[2:6], "big")
                    packet, buffer = buffer[:n], buffer[n:]
                    os.write(master, x.command(packet))

    threading.Thread(target=serve, daemon=True).start()
    where, data = os.ttyname(slave), os.urandom(32)
    check_python(s.quote(data, where=where), data)
    code, out, err, _ = s.tpm_command("show", "--json", where=where)
    need(code == OK and json.loads(out)["ak"]["public"] == s.ak, f"{code} {out} {err}")
    s.fails(USAGE, "tpm.ak-exists", where, argv=["provision-ak"], where=where)


def no_device(s):
    s.fails(NOT_FOUND, "tpm.none", "/nonexistent/tpmrm0", "No such file", where="/nonexistent/tpmrm0")
    plain = s.tmp / "plain"
    plain.write_bytes(b"untouched")
    s.fails(NOT_FOUND, "tpm.none", "is not a device", where=str(plain))
    need(plain.read_bytes() == b"untouched", "a plain file was written to")
    for where in ("device:/dev/tpm0", "cmd:touch /tmp/x", "libtss2-tcti-cmd.so.0:sh", "mssim:", ""):
        s.fails(USAGE, "general.usage", "neither an absolute path nor swtpm:HOST:PORT", where=where)


def not_started(s):
    """A TPM that nobody sent TPM2_Startup."""
    t = s.new_tpm("raw", flags="not-need-init")
    s.fails(UNAVAILABLE, "tpm.failed", "0x100", "TPM2_Startup", where=t.where())
    t.stop()


def no_bank(s):
    t = s.new_tpm("bank")
    t.tool("tpm2_pcrallocate", "-Q", "sha1:all+sha256:none")
    t.restart()
    code, _, err, _ = s.tpm_command("provision-ak", where=t.where())
    need(code == OK, err)
    s.fails(UNAVAILABLE, "tpm.no-bank", t.where(), where=t.where())
    s.fails(UNAVAILABLE, "tpm.no-bank", argv=["show"], where=t.where())
    t.stop()


def hierarchy_with_password(s):
    t = s.new_tpm("owner")
    t.tool("tpm2_changeauth", "-c", "owner", "secret")
    s.fails(UNAVAILABLE, "tpm.failed", "TPM2_EvictControl", "owner hierarchy", "0x9a2",
            argv=["provision-ak"], where=t.where(), limit=30)
    need(t.tool("tpm2_getcap", "handles-transient").stdout.strip() == "", "an object was left behind")
    need(t.tool("tpm2_getcap", "handles-loaded-session").stdout.strip() == "", "a session was left")
    t.stop()


def killed_midway(s):
    t = s.new_tpm("killed")
    code, _, err, _ = s.tpm_command("provision-ak", where=t.where())
    need(code == OK, err)
    x = s.new_mux(t)

    def kill(code, n):
        if code == m.QUOTE:
            t.signal(signal.SIGKILL)
            t.process.wait(5)
        return None

    x.before = kill
    where = f"swtpm:127.0.0.1:{x.port}"
    s.fails(UNAVAILABLE, "tpm.failed", where, "TPM2_Quote", "closed the connection", where=where)
    s.fails(NOT_FOUND, "tpm.none", t.where(), "Connection refused", where=t.where())


def provision_cut_short(s):
    """swtpm dies while the AK is made: nothing is half there, and the next try succeeds."""
    t = s.new_tpm("cut")
    x = s.new_mux(t)
    create = 0x153

    def kill(code, n):
        if code == create:
            t.signal(signal.SIGKILL)
            t.process.wait(5)
        return None

    x.before = kill
    s.fails(UNAVAILABLE, "tpm.failed", "TPM2_Create", argv=["provision-ak"],
            where=f"swtpm:127.0.0.1:{x.port}")
    t.start()
    s.fails(NOT_FOUND, "tpm.no-ak", where=t.where())
    code, _, err, _ = s.tpm_command("provision-ak", where=t.where())
    need(code == OK, err)
    t.stop()


def normal_build_refuses_sockets(s):
    program = s.build / "vouchsafe"
    if not program.exists():
        raise Skip(f"no {program}")
    for argv in (["show"], ["provision-ak"], ["quote", "--report-data", "00"]):
        code, out, err, _ = s.tpm_command(*argv, program=program)
        need(code == DENIED and "vouchsafe: platform.not-permitted: " in err and out == "",
             f"{argv}: exit {code}: {err}")


CASES = [no_ak, provision, provision_twice, show_agrees, quote_is_of_the_recorded_shape, quotes_verify, key_of_tools, wrong_keys,
         objects_left_by_others,
         pcr_moves_once, pcr_moves_while_read, pcr_moves_always, pcr_extended_in_a_loop,
         retry_for_a_while, retry_always, lockout, lying_reply, lying_capability, stopped, occupied, ipv6, device_path,
         no_device, not_started, no_bank, hierarchy_with_password, killed_midway, provision_cut_short, normal_build_refuses_sockets]


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    only = sys.argv[2:]
    missing = [p for p in ("swtpm", "tpm2_quote", "tpm2_checkquote", "openssl") if not shutil.which(p)]
    if not (build / "dev" / "vouchsafe").exists():
        missing.append(f"{build}/dev/vouchsafe (make DEV=1 B={build}/dev)")
    try:
        import cryptography  # noqa: F401
    except ImportError:
        missing.append("python3-cryptography")
    if missing:
        for case in CASES:
            print(f"skip {case.__name__}: missing {', '.join(missing)}")
        print(f"0 passed, 0 failed, {len(CASES)} skipped")
        return 0
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory(prefix="vouchsafe-tpm-") as d:
        suite = Suite(build, pathlib.Path(d))
        try:
            for case in CASES:
                if only and case.__name__ not in only + ["provision"]:
                    continue
                try:
                    note = case(suite)
                    print(f"ok {case.__name__}" + (f" ({note})" if note else ""))
                    passed += 1
                except Skip as why:
                    print(f"skip {case.__name__}: {why}")
                    skipped += 1
                except Exception as why:  # noqa: BLE001 - a test's failure, whatever it is
                    print(f"FAIL {case.__name__}: {why}")
                    if not isinstance(why, AssertionError):
                        traceback.print_exc()
                    failed += 1
                sys.stdout.flush()
        finally:
            suite.close()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
