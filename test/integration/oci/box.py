# SPDX-License-Identifier: Apache-2.0
"""A folder with a fake confidential data hub, a root file system and bundles, for vouchsafe-oci over
a real runtime. No TPM, no Trustee: what is sealed is looked up in a table."""

import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Skip, can_mount, wait_for  # noqa: E402

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
PYTHON = "/usr/bin/python3"


def why_not():
    """Why these tests cannot run here, or None. Asked once."""
    if not can_mount():
        return "needs root with CAP_SYS_ADMIN"
    if not shutil.which("runc"):
        return "runc is not installed"
    if not any(os.path.exists(p) for p in ("/bin/busybox", "/usr/bin/busybox")):
        return "busybox-static is not installed"
    if len(pathlib.Path("/proc/swaps").read_text().splitlines()) > 1:
        return "swap is on"
    return None


REASON = why_not()


def tree_digest(path):
    """Names, modes, owners, times of change and content of everything below path."""
    h = hashlib.sha256()
    for p in sorted(pathlib.Path(path).rglob("*")):
        st = p.lstat()
        h.update(f"{p} {st.st_mode} {st.st_uid} {st.st_gid} {st.st_mtime_ns}".encode())
        if p.is_symlink():
            h.update(os.readlink(p).encode())
        elif p.is_file():
            h.update(p.read_bytes())
    return h.hexdigest()


class Box:
    def __init__(self, build, timeout=10, **settings):
        if REASON:
            raise Skip(REASON)
        self.oci_bin = str(pathlib.Path(build).resolve() / "vouchsafe-oci")
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-oci-"))
        self.mem = self.tmp / "m/oci"
        self.state = self.tmp / "state"
        self.socket = self.tmp / "cdh.sock"
        self.map_path = self.tmp / "hub/map.json"
        self.log_path = self.tmp / "hub/log.jsonl"
        self.map_path.parent.mkdir()
        self.rules = {}
        self.env_canary = "canary-env-" + secrets.token_hex(8)
        self.file_canary = "canary-file-" + secrets.token_hex(8)
        self.rule("sealed.env.e.e", text=self.env_canary)
        self.rule("sealed.file.f.f", text=self.file_canary)
        self.rule("sealed.denied.d.d", fail="kbs.policy-denied: secret-name-xyz is refused")
        self.conf = self.tmp / "oci.toml"
        self.settings(socket=str(self.socket), memory_dir=str(self.mem), timeout_s=timeout, **settings)
        self.hub = None
        self.serial = 0
        self.start_hub()

    # --- parts ----------------------------------------------------------------------------------
    def settings(self, **values):
        self.conf.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        self.values = values

    def more_settings(self, **values):
        self.settings(**{**self.values, **values})

    def rule(self, sealed, **rule):
        self.rules[sealed] = rule
        new = self.map_path.with_suffix(".new")
        new.write_text(json.dumps(self.rules))
        new.rename(self.map_path)

    def start_hub(self):
        self.hub = subprocess.Popen([PYTHON, str(TOOLS / "fake_cdh.py"), str(self.socket),
                                     str(self.map_path), str(self.log_path)], stdout=subprocess.PIPE)
        assert self.hub.stdout.readline() == b"ready\n"

    def stop_hub(self):
        if self.hub:
            self.hub.kill()
            self.hub.wait()
            self.hub.stdout.close()
            self.hub = None

    def requests(self):
        if not self.log_path.exists():
            return []
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def rootfs(self):
        path = self.tmp / "rootfs"
        if not path.exists():
            for d in ("bin", "proc", "dev", "tmp", "creds", "run/secrets"):
                (path / d).mkdir(parents=True)
            busybox = next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))
            shutil.copy(busybox, path / "bin/busybox")
            for a in ("sh", "cat", "echo", "env", "sleep", "ls", "id", "stat", "tty", "stty", "pwd", "readlink", "test"):
                os.symlink("busybox", path / "bin" / a)
        return path

    def bundle(self, args, env=(), mounts=(), change=None, terminal=False):
        """mounts: (source, destination); change(spec) has the last word. No cgroup limits."""
        self.serial += 1
        b = self.tmp / f"bundle{self.serial}"
        b.mkdir(mode=0o700)
        subprocess.run(["runc", "spec"], cwd=b, check=True)
        spec = json.loads((b / "config.json").read_text())
        spec["process"].update(terminal=terminal, args=list(args), env=["PATH=/bin", *env])
        spec["root"] = {"path": str(self.rootfs()), "readonly": True}
        spec["linux"].pop("resources", None)
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"]
                                       if n["type"] not in ("network", "cgroup")]
        spec["mounts"] = [m for m in spec["mounts"] if m["type"] in ("proc", "tmpfs", "devpts")]
        for source, destination in mounts:
            spec["mounts"].append({"source": str(source), "destination": destination, "type": "bind",
                                   "options": ["bind", "ro"]})
        if change:
            change(spec)
        (b / "config.json").write_text(json.dumps(spec))
        (b / "config.json").chmod(0o600)
        return b

    def secret_bundle(self, args, **kw):
        """With an environment value and a file that are sealed."""
        f = self.tmp / f"secret{self.serial}"
        f.write_text("sealed.file.f.f\n")
        f.chmod(0o440)
        return self.bundle(args, env=["SECRET=sealed.env.e.e", *kw.pop("env", ())],
                           mounts=[(f, "/tmp/secret"), *kw.pop("mounts", ())], **kw)

    # --- calls ----------------------------------------------------------------------------------
    def argv(self, *argv, before=()):
        return [self.oci_bin, "--vouchsafe-config", str(self.conf), *before, "--root", str(self.state),
                *map(str, argv)]

    def oci(self, *argv, before=(), stdin="", **kw):
        return subprocess.run(self.argv(*argv, before=before), input=stdin, capture_output=True, text=True,
                              timeout=60, errors="replace", **kw)

    def popen(self, *argv, before=(), **kw):
        return subprocess.Popen(self.argv(*argv, before=before), stdin=kw.pop("stdin", subprocess.DEVNULL),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)

    def create(self, bundle, name):
        """create keeps the streams of the container: files, so that nobody waits for their end."""
        with open(self.tmp / f"{name}.out", "wb") as out:
            return subprocess.run(self.argv("create", "--bundle", bundle, name), stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=out, timeout=60).returncode

    def output(self, name):
        return (self.tmp / f"{name}.out").read_text()

    def runc(self, *argv):
        return subprocess.run(["runc", "--root", str(self.state), *map(str, argv)], capture_output=True, text=True,
                              timeout=60)

    # --- what is left -----------------------------------------------------------------------------
    def shadows(self):
        return sorted(p for p in self.mem.iterdir()) if self.mem.exists() else []

    def holds(self, *needles, where=None):
        """Files (outside the memory-backed folder unless `where`) whose bytes hold one of them."""
        found = []
        root = where or self.tmp
        for p in root.rglob("*"):
            if p.is_symlink() or not p.is_file() or p.stat().st_size > 64 << 20:
                continue
            if where is None and (self.mem in p.parents or p.parent == self.map_path.parent):
                continue
            with contextlib.suppress(OSError):
                data = p.read_bytes()
                found += [p for n in needles if n.encode() in data]
        return found

    def plain_on_disk(self):
        return self.holds(self.env_canary, self.file_canary)

    def nothing_left(self):
        assert not self.shadows(), f"left in memory: {self.shadows()}"
        assert not self.plain_on_disk(), f"plaintext on disk: {self.plain_on_disk()}"
        left = list(self.state.iterdir()) if self.state.exists() else []
        assert not left, f"the runtime has {left}"

    def close(self):
        if self.state.exists():
            for c in list(self.state.iterdir()):
                self.runc("delete", "--force", c.name)
        self.stop_hub()
        with open("/proc/self/mounts") as f:
            below = [line.split()[1] for line in f if line.split()[1].startswith(str(self.tmp))]
        for m in sorted(below, key=len, reverse=True):
            subprocess.run(["umount", "-l", m], capture_output=True)
        shutil.rmtree(self.tmp, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def private(*argv, setup=""):
    """The command in a mount namespace of its own, after a shell script that changes mounts."""
    return ["unshare", "-m", "--propagation", "private", "sh", "-ec", setup + '\nexec "$@"', "sh", *map(str, argv)]


def stop(p, sig=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(p.pid, sig)
    p.communicate(timeout=30)


def wait_until(test, what, seconds=10):
    return wait_for(what, test, seconds)


def sleep_ms(ms):
    time.sleep(ms / 1000)
