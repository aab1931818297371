# SPDX-License-Identifier: Apache-2.0
"""A guest and its Trustee on one machine: a software TPM, the test Trustee, initdata, vouchsafed
of a development build, and containers by vouchsafe-oci. Used by the integration groups and the demo.

Everything lives below one temporary folder; every process is stopped by its pid.
"""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import ssl

TOP = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"


def free_port_pair():
    """A port whose successor is free too (swtpm's control channel)."""
    for _ in range(200):
        with socket.socket() as a, socket.socket() as b:
            a.bind(("127.0.0.1", 0))
            port = a.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                b.bind(("127.0.0.1", port + 1))
                return port
    raise RuntimeError("no two free ports side by side")


def listening_ports():
    """IPv4 ports that something listens on; asking this does not disturb who listens."""
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return {int(r[1].split(":")[1], 16) for r in rows if r[3] == "0A"}


def wait_for(what, test, seconds=20.0):
    """Wait until test() is true; its value is returned."""
    end = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def can_mount():
    """CAP_SYS_ADMIN that works: try a ramfs."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory(prefix="vouchsafe-") as d:
        ok = subprocess.run(["mount", "-t", "ramfs", "ramfs", d], capture_output=True).returncode == 0
        if ok:
            subprocess.run(["umount", d], check=True)
        return ok


class World:
    def __init__(self, build, keep=False, tls=True):
        self.build = pathlib.Path(build).resolve()
        self.dev = self.build if self.build.name == "dev" else self.build / "dev"
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-"))
        self.tmp.chmod(0o755)
        self.root = self.tmp / "root"
        self.mem = self.tmp / "mem"
        self.keep = keep
        self.tls = tls
        self.processes = {}
        self.mounted = False
        self.resources = self.tmp / "resources"
        self.resources.mkdir()
        (self.root / "usr/lib/vouchsafe").mkdir(parents=True)
        self.trustee_ready = None
        self.containers = []

    # --- processes --------------------------------------------------------------------------
    def start(self, name, argv, log=None, env=None):
        log = log or self.tmp / f"{name}.log"
        with open(log, "ab") as out:
            p = subprocess.Popen([str(a) for a in argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                 env=env, start_new_session=True)
        self.processes[name] = p
        return p

    def stop(self, name, sig=signal.SIGTERM, seconds=15):
        p = self.processes.pop(name, None)
        if p is None:
            return None
        if p.poll() is None:
            p.send_signal(sig)
        try:
            return p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            return p.wait(5)

    def log(self, name):
        path = self.tmp / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def run(self, argv, check=False, **kw):
        kw.setdefault("timeout", 90)
        r = subprocess.run([str(a) for a in argv], capture_output=True, text=kw.pop("text", True), **kw)
        if check and r.returncode != 0:
            raise RuntimeError(f"{argv}: exit {r.returncode}\n{r.stdout}\n{r.stderr}")
        return r

    def vouchsafe(self, *argv, check=False, **kw):
        return self.run([self.dev / "vouchsafe", "--root", self.root, *argv], check=check, **kw)

    # --- TPM ----------------------------------------------------------------------------------
    def start_tpm(self):
        self.tpm_port = free_port_pair()
        state = self.tmp / "tpm"
        state.mkdir(exist_ok=True)
        self.start("swtpm", ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}",
                             "--server", f"type=tcp,port={self.tpm_port},bindaddr=127.0.0.1",
                             "--ctrl", f"type=tcp,port={self.tpm_port + 1},bindaddr=127.0.0.1",
                             "--flags", "not-need-init,startup-clear"])

        def up():
            if self.processes["swtpm"].poll() is not None:
                raise RuntimeError("swtpm ended: " + self.log("swtpm"))
            return {self.tpm_port, self.tpm_port + 1} <= listening_ports()

        wait_for("swtpm", up)
        self.image_settings(f'[tpm]\ndevice = "swtpm:127.0.0.1:{self.tpm_port}"\n')

    def image_settings(self, text):
        (self.root / "usr/lib/vouchsafe/vouchsafe.toml").write_text(text)

    def provision_ak(self):
        r = self.vouchsafe("tpm", "provision-ak", "--json", check=True)
        self.ak = json.loads(r.stdout)["ak_public"]
        return self.ak

    # --- Trustee ------------------------------------------------------------------------------
    def start_trustee(self, *extra, port=0, wait=True):
        ready = self.tmp / "trustee.json"
        ready.unlink(missing_ok=True)
        argv = [PYTHON, TOP / "test/trustee/trustee.py", "--ready-file", ready, "--port", str(port),
                "--resources", self.resources, "--ca-file", self.tmp / "ca.pem"]
        if self.tls:
            argv.append("--tls")
        if hasattr(self, "ak"):
            (self.tmp / "ak.b64").write_text(self.ak + "\n")
            argv += ["--trusted-ak", self.tmp / "ak.b64"]
        self.start("trustee", [*argv, *extra])
        if not wait:
            return None

        def is_ready():
            if self.processes["trustee"].poll() is not None:
                raise RuntimeError("the test Trustee ended: " + self.log("trustee"))
            return ready.exists()

        wait_for("the test Trustee", is_ready)
        self.trustee_ready = json.loads(ready.read_text())
        self.url = self.trustee_ready["url"]
        self.port = self.trustee_ready["port"]
        return self.url

    def trustee(self, path, body=None, method=None):
        """A call of the control paths or of the protocol; JSON is decoded."""
        context = ssl._create_unverified_context() if self.tls else None
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=20, context=context) as reply:
            text = reply.read()
        try:
            return json.loads(text)
        except ValueError:
            return text.decode()

    def metric(self, name):
        """Sum of a counter over its labels."""
        total = 0.0
        for line in self.trustee("/metrics").splitlines():
            if line.split("{")[0].split(" ")[0] == name:
                total += float(line.rsplit(" ", 1)[1])
        return int(total)

    def misbehave(self, **rule):
        return self.trustee("/test/misbehave", rule)

    def behave(self):
        return self.trustee("/test/misbehave", method="DELETE")

    def resource(self, path, content):
        f = self.resources / path
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_bytes(content if isinstance(content, bytes) else content.encode())

    # --- the owner's side -----------------------------------------------------------------------
    def keygen(self, kid="kbs:///default/signing-key/sealed-secret"):
        self.kid = kid
        keys = self.tmp / "keys"
        keys.mkdir(exist_ok=True)
        self.run([self.dev / "vouchsafe", "seal", "keygen", "--kid", "signing", "--output-dir", keys],
                 check=True)
        self.signing_key = keys / "signing-private.json"
        self.resource(kid.removeprefix("kbs:///"), (keys / "signing-public.json").read_bytes())

    def seal(self, uri, kid=None, key=None):
        r = self.run([self.dev / "vouchsafe", "seal", "vault", "--signing-kid", kid or self.kid,
                      "--signing-jwk-path", key or self.signing_key, "--resource-uri", uri], check=True)
        return r.stdout.strip()

    def initdata(self, url=None, own="", cdh="", algorithm="sha256", cert=True, encode=True, alg=None):
        """Build initdata for this world's Trustee; returns the file."""
        url = url if url is not None else self.url
        aa = self.tmp / "aa.toml"
        text = ""
        if url:
            text = f'[token_configs.kbs]\nurl = "{url}"\n'
            if alg:
                text += f'tee_key_algorithm = "{alg}"\n'
            if self.tls and cert:
                text += f"cert = '''\n{(self.tmp / 'ca.pem').read_text()}'''\n"
        aa.write_text(text)
        argv = [self.dev / "vouchsafe", "initdata", "build", "--algorithm", algorithm, "--aa", aa]
        if cdh:
            (self.tmp / "cdh.toml").write_text(cdh)
            argv += ["--cdh", self.tmp / "cdh.toml"]
        if own:
            (self.tmp / "vouchsafe.toml").write_text(own)
            argv += ["--vouchsafe", self.tmp / "vouchsafe.toml"]
        if encode:
            argv.append("--encode")
        out = self.tmp / "initdata"
        out.write_text(self.run(argv, check=True).stdout)
        return out

    def provision(self, file, check=True):
        return self.vouchsafe("initdata", "provision", "--from", file, check=check)

    # --- the daemon -------------------------------------------------------------------------------
    @property
    def cdh_socket(self):
        return self.root / "run/confidential-containers/cdh.sock"

    def start_daemon(self, *extra, level="info", wait=True, binary=None):
        p = self.start("vouchsafed", [binary or self.dev / "vouchsafed", "--root", self.root, "--log", level, *extra])
        if not wait:
            return p

        def up():
            if p.poll() is not None:
                raise RuntimeError(f"vouchsafed ended with {p.returncode}: " + self.log("vouchsafed"))
            with contextlib.suppress(OSError):
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(str(self.cdh_socket))
                return True
            return False

        wait_for("vouchsafed", up)
        return p

    def up(self, **initdata):
        """The whole guest, ready to serve."""
        self.start_tpm()
        self.provision_ak()
        self.start_trustee()
        self.keygen()
        self.provision(self.initdata(**initdata))
        self.start_daemon()

    # --- containers -------------------------------------------------------------------------------
    def mount(self):
        """A ramfs for bundles, the shadow bundles and the runtime's state."""
        self.mem.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "ramfs", "-o", "mode=0700", "ramfs", str(self.mem)], check=True)
        self.mounted = True

    def oci_config(self, runtime="runc", **more):
        conf = self.tmp / "oci.toml"
        lines = [f'runtime = "{shutil.which(runtime) or runtime}"', f'socket = "{self.cdh_socket}"',
                 f'memory_dir = "{self.mem / "vouchsafe-oci"}"']
        lines += [f"{k} = {json.dumps(v)}" for k, v in more.items()]
        conf.write_text("\n".join(lines) + "\n")
        return conf

    def rootfs(self):
        """busybox, statically linked, with links for the applets that the tests call."""
        path = self.tmp / "rootfs"
        if path.exists():
            return path
        for d in ("bin", "proc", "sys", "dev", "etc", "tmp", "run/secrets"):
            (path / d).mkdir(parents=True)
        busybox = next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))
        shutil.copy(busybox, path / "bin/busybox")
        for a in ("sh", "cat", "env", "echo", "sleep", "id", "ls", "printenv", "true", "false", "stat",
                  "test", "head", "wc", "kill", "mkdir", "grep"):
            os.symlink("busybox", path / "bin" / a)
        return path

    def bundle(self, name, args, env=(), mounts=(), annotations=None, terminal=False):
        """A bundle without cgroup limits; mounts are (source, destination)."""
        b = self.tmp / "bundles" / name
        b.mkdir(parents=True, exist_ok=True)
        (b / "config.json").unlink(missing_ok=True)
        subprocess.run(["runc", "spec"], cwd=b, check=True)
        spec = json.loads((b / "config.json").read_text())
        spec["process"]["terminal"] = terminal
        spec["process"]["args"] = list(args)
        spec["process"]["env"] = ["PATH=/bin", *env]
        spec["root"] = {"path": str(self.rootfs()), "readonly": True}
        spec["linux"].pop("resources", None)
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"]
                                       if n["type"] not in ("network", "cgroup")]
        spec["mounts"] = [m for m in spec["mounts"] if m["type"] not in ("cgroup", "mqueue")]
        for source, destination in mounts:
            spec["mounts"].append({"source": str(source), "destination": destination, "type": "bind",
                                   "options": ["bind", "ro"]})
        if annotations:
            spec["annotations"] = annotations
        (b / "config.json").write_text(json.dumps(spec))
        (b / "config.json").chmod(0o600)
        return b

    def oci(self, *argv, config=None, **kw):
        """vouchsafe-oci with this world's settings and a runtime state folder of its own."""
        config = config or self.tmp / "oci.toml"
        return self.run([self.dev / "vouchsafe-oci", "--vouchsafe-config", config,
                         "--root", self.mem / "state", *argv], **kw)

    def container(self, name, args, **kw):
        """Run a container to its end through vouchsafe-oci."""
        self.containers.append(name)
        b = self.bundle(name, args, **kw)
        return self.oci("run", "--bundle", b, name)

    # --- the end ----------------------------------------------------------------------------------
    def close(self):
        for c in self.containers:
            if self.mounted and (self.mem / "state" / c).exists():
                self.run(["runc", "--root", self.mem / "state", "delete", "-f", c])
        for name in list(self.processes)[::-1]:
            self.stop(name)
        if self.mounted:
            with open("/proc/self/mounts") as f:
                below = [line.split()[1] for line in f if line.split()[1].startswith(str(self.tmp))]
            for m in sorted(below, key=len, reverse=True):
                subprocess.run(["umount", "-l", m], capture_output=True)
        if self.keep:
            print(f"kept: {self.tmp}", file=sys.stderr)
        else:
            shutil.rmtree(self.tmp, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Cases:
    """Run functions named subject__condition__outcome; print ok/FAIL/skip and the summary line."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def run(self, fn, *args):
        start = time.monotonic()
        try:
            fn(*args)
        except Skip as why:
            self.skipped += 1
            print(f"skip {fn.__name__}: {why}", flush=True)
        except Exception as e:  # every failure is a finding, whatever its type
            self.failed += 1
            print(f"FAIL {fn.__name__}: {type(e).__name__}: {e}", flush=True)
            return False
        else:
            self.passed += 1
            print(f"ok   {fn.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        return True

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed or not (self.passed or self.skipped) else 0


class Skip(Exception):
    pass


def b64u(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()
