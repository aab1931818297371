# SPDX-License-Identifier: Apache-2.0
"""The canary: a plaintext that must be nowhere but in locked memory and in its container.
Searched for on disk, in logs at debug, in cores, in argv and environments, in memory after release."""

import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import time

from cryptography.hazmat.primitives.serialization import load_pem_private_key

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, Skip, World, can_mount, wait_for  # noqa: E402

BUILD = sys.argv[1]
TTRPC = pathlib.Path(__file__).resolve().parents[2] / "tools/ttrpc.py"
CACHE_SECONDS = 60


def canary():
    return "canary-" + secrets.token_hex(16)


def forms(text):
    """As it is, and as its base64 in each alignment, since a copy might be encoded."""
    import base64
    raw = text.encode()
    out = {raw, raw.hex().encode()}
    for pad in range(3):
        for f in (base64.b64encode, base64.urlsafe_b64encode):
            out.add(f(b"\0" * pad + raw)[4:-4])
    return out


def hits_in(data, needles):
    return [n for n in needles if n in data]


def memory_hits(pid, needles):
    """[(mapping line, needle)] over all readable memory of a process."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not m or "[vvar]" in line or "[vsyscall]" in line:
                continue
            start, end = int(m[1], 16), int(m[2], 16)
            try:
                mem.seek(start)
                data = mem.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            found += [(line.strip(), n) for n in hits_in(data, needles)]
    return found


def locked_mappings(pid):
    """Start addresses of the mappings that are locked and left out of cores."""
    out, start = set(), None
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line)
            if m:
                start = m[1]
            elif line.startswith("VmFlags:"):
                flags = line.split()[1:]
                if "lo" in flags and "dd" in flags:
                    out.add(start)
    return out


def disk_hits(w, needles):
    """Files of this world but its memory file systems and the Trustee's own store; and what others could have left."""
    found = []
    roots = [w.tmp, pathlib.Path("/run/vouchsafe"), pathlib.Path("/var/tmp"), pathlib.Path("/var/lib/systemd/coredump")]
    begun = w.begun - 1
    for root in roots:
        for path, folders, files in os.walk(root):
            folders[:] = [f for f in folders if os.path.join(path, f) not in (str(w.mem), str(w.resources))]
            for name in files:
                f = os.path.join(path, name)
                try:
                    if not os.path.isfile(f) or os.path.islink(f) or os.path.getmtime(f) < begun and root != w.tmp:
                        continue
                    with open(f, "rb") as fd:
                        if hits_in(fd.read(), needles):
                            found.append(f)
                except OSError:
                    continue
    return found


def call(w, *argv):
    r = w.run(["/usr/bin/python3", TTRPC, w.cdh_socket, *argv])
    assert r.returncode == 0, r.stderr
    return r.stdout


def world():
    w = World(BUILD)
    w.begun = time.time()
    return w


def start(w, **initdata):
    w.start_tpm()
    w.provision_ak()
    w.start_trustee()
    w.keygen()
    w.provision(w.initdata(**initdata))
    w.start_daemon(level="debug")
    return w.processes["vouchsafed"].pid


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root to read another process's memory")


def search__planted_copy__is_found():
    """The detector works: a copy in memory and one on disk are found."""
    need_root()
    with world() as w:
        c = canary()
        p = subprocess.Popen([sys.executable, "-c", f"x = bytes([{','.join(str(b) for b in c.encode())}]) ; input()"],
                             stdin=subprocess.PIPE)
        wait_for("the copy", lambda: memory_hits(p.pid, forms(c)))
        p.communicate(b"\n")
        (w.tmp / "leak").write_text("x" + c)
        assert disk_hits(w, forms(c)) == [str(w.tmp / "leak")]


def get_resource__released__is_not_in_memory():
    need_root()
    with world() as w:
        c = canary()
        w.resource("default/a/b", c)
        pid = start(w)
        assert call(w, "get-resource", "kbs:///default/a/b") == c
        time.sleep(0.5)
        hits = memory_hits(pid, forms(c))
        assert not hits, hits
        assert not hits_in(w.log("vouchsafed").encode(), forms(c))
        assert not disk_hits(w, forms(c))


def unsealed__cached__only_in_locked_memory_and_gone_after_a_minute():
    need_root()
    with world() as w:
        c = canary()
        w.resource("default/a/b", c)
        pid = start(w)
        assert call(w, "unseal", w.seal("kbs:///default/a/b")) == c
        time.sleep(0.5)
        locked = locked_mappings(pid)
        outside = [h for h in memory_hits(pid, forms(c)) if h[0].split("-")[0] not in locked]
        assert not outside, outside
        time.sleep(CACHE_SECONDS + 2)
        hits = memory_hits(pid, forms(c))
        assert not hits, hits
        assert not hits_in(w.log("vouchsafed").encode(), forms(c))


def unsealed__daemon_crashes__leaves_no_core_with_it():
    need_root()
    with world() as w:
        c = canary()
        w.resource("default/a/b", c)
        pid = start(w)
        assert call(w, "unseal", w.seal("kbs:///default/a/b")) == c
        core = w.tmp / "core"
        r = w.run(["gcore", "-o", core, pid])
        dumped = [f for f in w.tmp.glob("core*") if f.is_file()]
        for f in dumped:  # root's debugger may write one: MADV_DONTDUMP keeps the plaintext out
            assert not hits_in(f.read_bytes(), forms(c)), f"{f} holds the plaintext"
            f.unlink()
        os.kill(pid, signal.SIGSEGV)
        w.processes["vouchsafed"].wait(20)
        assert not disk_hits(w, forms(c)), r.stderr


def token_and_tee_key__log_at_debug__are_not_there():
    with world() as w:
        w.resource("default/a/b", "x")
        start(w)
        call(w, "get-resource", "kbs:///default/a/b")
        log = w.log("vouchsafed")
        assert "eyJ" not in log, "something that looks like a token"
        assert "PRIVATE" not in log


def container__env_and_file__plaintext_is_nowhere_else():
    need_root()
    if not can_mount():
        raise Skip("needs CAP_SYS_ADMIN")
    with world() as w:
        c1, c2 = canary(), canary()
        w.resource("default/a/env", c1)
        w.resource("default/a/file", c2)
        pid = start(w)
        w.mount()
        w.oci_config()
        f = w.tmp / "sealed"
        f.write_text(w.seal("kbs:///default/a/file"))
        needles = forms(c1) | forms(c2)
        b = w.bundle("c", ["sh", "-c", "sleep 4; echo $V; cat /run/secrets/f"],
                     env=[f"V={w.seal('kbs:///default/a/env')}"], mounts=[(f, "/run/secrets/f")])
        w.containers.append("c")
        with open(w.tmp / "oci.log", "wb") as log:
            p = subprocess.Popen([w.dev / "vouchsafe-oci", "--vouchsafe-config", w.tmp / "oci.toml", "--root",
                                  w.mem / "state", "run", "--bundle", b, "c"], stdout=subprocess.PIPE, stderr=log)
            time.sleep(2.5)
            ours = 0
            for proc in pathlib.Path("/proc").iterdir():
                if not proc.name.isdigit():
                    continue
                try:
                    argv = (proc / "cmdline").read_bytes()
                    env = (proc / "environ").read_bytes()
                except OSError:
                    continue
                assert not hits_in(argv, needles), argv
                is_container = argv.startswith(b"sh\0") or argv.startswith(b"sleep\0") or argv.startswith(b"/bin/")
                if not is_container:
                    assert not hits_in(env, needles), argv
                ours += b"vouchsafe" in argv
            assert ours >= 2
            wrapper = memory_hits(p.pid, forms(c1))
            assert not wrapper, f"the wrapper keeps the plaintext env after create: {wrapper}"
            state = w.mem / "state/c"
            for s in state.rglob("*"):
                if s.is_file():
                    assert not hits_in(s.read_bytes(), forms(c1)), f"{s} holds the env"
            assert not disk_hits(w, needles)
            out, _ = p.communicate(timeout=30)
        assert out.decode() == f"{c1}\n{c2}", out
        left = [str(x) for x in w.mem.rglob("*") if x.is_file() and hits_in(x.read_bytes(), needles)]
        assert not left, left
        assert not hits_in((w.tmp / "oci.log").read_bytes(), needles)
        assert not disk_hits(w, needles)
        assert pid == w.processes["vouchsafed"].pid


class Disk:
    """A loop device, empty again at each call of clean()."""

    def __init__(self, w):
        self.w = w
        file = w.tmp / "disk.img"
        file.write_bytes(b"")
        os.truncate(file, 64 << 20)
        r = w.run(["losetup", "-f", "--show", file])
        if r.returncode != 0:
            raise Skip("no loop device: " + r.stderr.strip())
        self.path = r.stdout.strip()

    def clean(self):
        self.w.vouchsafe("volume", "close", "--all", check=True)
        subprocess.run(["dd", "if=/dev/zero", f"of={self.path}", "bs=1M", "count=24"], capture_output=True, check=True)

    def detach(self):
        self.w.run(["losetup", "-d", self.path])


def volume_key__however_it_comes_and_the_call_ends__is_nowhere():
    """Through Trustee or a file, vouchsafed, the socket, vouchsafe-mountd and libcryptsetup; kept by none of
    them. Without device mapper the volume fails at its mapping, behind all that sees the key."""
    need_root()
    if not can_mount():
        raise Skip("needs CAP_SYS_ADMIN")
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mountd"))
    import packets
    with world() as w:
        c = {kind: canary() for kind in ("kbs", "sealed", "file")}
        w.resource("default/vol/kbs", c["kbs"])
        w.resource("default/vol/sealed", c["sealed"])
        pid = start(w)
        w.mount()
        w.mem.chmod(0o755)
        (w.mem / "key").write_text(c["file"])
        at = w.tmp / "mnt"
        at.mkdir()
        (w.root / "usr/lib/vouchsafe/mountd.toml").write_text(
            f'[volumes]\ndevices = ["/dev/loop*"]\nmount_prefixes = ["{at}"]\n')
        socket = w.root / "run/vouchsafe/mountd.sock"
        mountd = w.start("mountd", [w.dev / "vouchsafe-mountd", "--root", w.root, "--listen", socket, "--log", "debug"])
        wait_for("mountd", socket.exists)
        needles = set().union(*map(forms, c.values()))
        # Each kind of key in a call that goes as far as it can, and in calls refused early and late.
        keys = ("kbs:///default/vol/kbs", w.seal("kbs:///default/vol/sealed"), f"file://{w.mem}/key")
        disk = Disk(w)
        endings = (({}, at, "volume.kernel"), ({"devicePath": "/dev/loop-none"}, at, "volume.device-missing"),
                   ({}, "/not/allowed", "volume.not-allowed"), ({"sourceType": "encrypted"}, at, "volume.no-header"))
        try:
            for key in keys:
                for changed, where, code in endings:
                    options = {"devicePath": disk.path, "sourceType": "empty", "targetType": "fileSystem",
                               "encryptionType": "luks2", "key": key, **changed}
                    with packets.ttrpc.Client(str(w.cdh_socket)) as client:
                        try:
                            client.call("api.SecureMountService", "SecureMount", packets.message(options, where), 60)
                            assert code == "volume.kernel", (key[:20], code)
                        except packets.ttrpc.Status as why:
                            assert code in why.message, (key[:20], code, why)
                    disk.clean()
            time.sleep(0.5)
            for p in (pid, mountd.pid):
                hits = memory_hits(p, needles)
                assert not hits, hits
            core = w.tmp / "core"
            w.run(["gcore", "-o", core, mountd.pid])
            for f in w.tmp.glob("core*"):
                assert not hits_in(f.read_bytes(), needles), f"{f} holds a key"
                f.unlink()
            assert not hits_in((w.log("vouchsafed") + w.log("mountd")).encode(), needles)
            assert not disk_hits(w, needles)
        finally:
            disk.detach()


def exported_key__in_both_roles_of_native_kata__only_in_locked_memory():
    """The data hub has its private key from the agent, as JSON over a socket; neither keeps the text elsewhere."""
    need_root()
    with world() as w:
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        w.resource("default/a/b", "x")
        run = w.root / "run/confidential-containers"
        (run / "initdata").mkdir(parents=True)
        (run / "initdata/initdata.toml").write_bytes(w.initdata(encode=False).read_bytes())
        pids = []
        for name, socket in (("attestation-agent", run / "attestation-agent/attestation-agent.sock"),
                             ("confidential-data-hub", w.cdh_socket)):
            link = w.tmp / name
            link.symlink_to(w.dev / "vouchsafed")
            pids.append(w.start(name, [link, "--root", w.root, "--log", "debug"]).pid)
            wait_for(name, socket.exists)
        assert call(w, "get-resource", "kbs:///default/a/b") == "x"
        pair = json.loads(w.vouchsafe("token", "--with-key", check=True).stdout)["tee_keypair"]
        body = [line for line in pair.splitlines() if line and "-----" not in line]
        # Not the first line: it begins as every key of this kind does.
        needles = {line.encode() for line in body[1:]}
        assert needles and all(len(n) >= 40 for n in needles), [len(x) for x in body]
        # The number itself too, in either order: libcrypto's own copies.
        d = load_pem_private_key(pair.encode(), None).private_numbers().private_value
        numbers = {d.to_bytes(32, "big"), d.to_bytes(32, "little")}
        time.sleep(0.5)
        for pid, name in zip(pids, ("attestation-agent", "confidential-data-hub")):
            locked = locked_mappings(pid)
            hits = memory_hits(pid, needles | numbers)
            outside = [h for h in hits if h[0].split("-")[0] not in locked]
            assert not outside, (name, [h[0] for h in outside])
            assert hits, f"{name} holds the key somewhere"
            assert not hits_in(w.log(name).encode(), needles | {b"PRIVATE KEY"})
        assert not disk_hits(w, needles)


def main():
    c = Cases()
    for fn in (
        search__planted_copy__is_found,
        get_resource__released__is_not_in_memory,
        unsealed__cached__only_in_locked_memory_and_gone_after_a_minute,
        unsealed__daemon_crashes__leaves_no_core_with_it,
        volume_key__however_it_comes_and_the_call_ends__is_nowhere,
        exported_key__in_both_roles_of_native_kata__only_in_locked_memory,
        token_and_tee_key__log_at_debug__are_not_there,
        container__env_and_file__plaintext_is_nowhere_else,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
