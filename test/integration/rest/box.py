# SPDX-License-Identifier: Apache-2.0
"""A pod's network namespace, vouchsafe-rest with its socket in it, and a fake agent behind it."""
import contextlib
import http.client
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

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(TOP / "test/integration"), str(TOP / "test/tools")]
import listen_fd  # noqa: E402
from world import PYTHON, Skip, wait_for  # noqa: E402

CDH = "run/confidential-containers/cdh.sock"
AA = "run/confidential-containers/attestation-agent/attestation-agent.sock"
PORTS = {"resource": 8006, "attestation": 8007, "all": 8008}
FOREIGN = "10.0.0.1"  # an address of the namespace that is not local
OUTER = "10.0.0.2"    # the node's end of its cable


def ip(*argv):
    subprocess.run(["ip", *argv], check=True, capture_output=True)


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        length = response.headers.get_all("Content-Length")
        assert length and len(length) == 1, f"Content-Length: {length}"
        assert response.length in (None, 0), "cut short"

    @property
    def text(self):
        return self.body.decode()

    @property
    def ctype(self):
        return self.headers.get("Content-Type")


class Box:
    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        self.dev = self.build if self.build.name == "dev" else self.build / "dev"
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-rest-"))
        self.tmp.chmod(0o755)
        self.root = self.tmp / "root"
        (self.root / AA).parent.mkdir(parents=True)
        self.log_path = self.tmp / "calls.jsonl"
        self.netns = f"vouchsafe-rest-{os.getpid()}"
        self.node = self.netns + "-node"
        self.made_netns = []
        self.processes = {}
        self.log_path.touch()
        self.rules({})

    # --- the namespace --------------------------------------------------------------------------
    def make_netns(self):
        if os.geteuid() != 0 or not shutil.which("ip"):
            raise Skip("needs root and iproute2 for a network namespace")
        # Two namespaces with a cable between them: this machine's own network is left alone.
        for name in (self.netns, self.node):
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as e:
                raise Skip("no network namespaces here: " + e.stderr.decode().strip()) from e
            self.made_netns.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.node, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.netns)
        for name, address in ((self.netns, FOREIGN), (self.node, OUTER)):
            ip("-n", name, "addr", "add", address + "/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")

    def socket(self, source=None, buffer=None, netns=None):
        """A TCP socket of the pod's namespace, or another."""
        made = []

        def make():
            listen_fd.enter(f"/run/netns/{netns or self.netns}")
            s = socket.socket()
            if buffer:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            if source:
                s.bind((source, 0))
            made.append(s)

        t = threading.Thread(target=make)
        t.start()
        t.join()
        made[0].settimeout(20)
        return made[0]

    def connect(self, features="all", source=None, buffer=None):
        s = self.socket(source, buffer=buffer)
        s.connect(("127.0.0.1", PORTS[features]))
        return s

    def http(self, features="all", source=None):
        c = http.client.HTTPConnection("127.0.0.1", PORTS[features])
        c.sock = self.connect(features, source)
        c.auto_open = 0
        return c

    def call(self, method, path, features="all", body=None, source=None, headers=None):
        """One request on a connection of its own."""
        with contextlib.closing(self.http(features, source)) as c:
            return self.on(c, method, path, body, headers)

    @staticmethod
    def on(c, method, path, body=None, headers=None):
        # Not c.request(): it refuses paths that a container may well send.
        c.putrequest(method, path, skip_accept_encoding=True)
        for k, v in (headers or {}).items():
            c.putheader(k, v)
        if body is not None:
            c.putheader("Content-Length", str(len(body)))
        c.endheaders(body)
        return Reply(c.getresponse())

    def get(self, path, features="all", **kw):
        return self.call("GET", path, features, **kw)

    # --- the agent behind it --------------------------------------------------------------------
    def rules(self, rules):
        part = self.tmp / "rules.part"
        part.write_text(json.dumps(rules))
        part.rename(self.tmp / "rules.json")

    def calls(self, method=None):
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines()]
        return [c for c in lines if method in (None, c["method"])]

    def forget(self):
        self.log_path.write_text("")

    def start_agent(self):
        self.start("agent", [PYTHON, TOP / "test/tools/fake_aa.py", self.tmp / "rules.json", self.log_path,
                             self.root / AA, self.root / CDH])
        wait_for("the fake agent", lambda: self.can_connect(AA) and self.can_connect(CDH))

    def can_connect(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(str(self.root / path)) == 0

    # --- processes ------------------------------------------------------------------------------
    def start(self, name, argv, env=None):
        with open(self.tmp / f"{name}.log", "ab") as out:
            p = subprocess.Popen([str(a) for a in argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                 env=env, start_new_session=True)
        self.processes[name] = p
        return p

    def log(self, name):
        path = self.tmp / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start_rest(self, features, *args, name=None, root=None, env=None):
        """Behind a socket that was made in the namespace; the process stays outside."""
        name = name or features
        before = self.log(name).count("serving")
        p = self.start(name, [PYTHON, TOP / "test/tools/listen_fd.py", self.netns, "127.0.0.1",
                              str(PORTS[features]), self.dev / "vouchsafe-rest", "--features", features,
                              "--root", root or self.root, *args], env=env)

        def ready():
            if p.poll() is not None:
                raise RuntimeError(f"vouchsafe-rest ended: {self.log(name)}")
            return self.log(name).count("serving") > before

        wait_for("vouchsafe-rest", ready)
        return p

    def stop(self, name, sig=signal.SIGTERM, seconds=20):
        p = self.processes.pop(name)
        if p.poll() is None:
            p.send_signal(sig)
        try:
            return p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait(5)
            raise

    def close(self):
        for name in list(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(name)
        for name in self.made_netns:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(self.tmp, ignore_errors=True)


def until_closed(s, seconds):
    """Seconds until the server ends the connection."""
    start = time.monotonic()
    s.settimeout(seconds)
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - start


def memory(pid):
    """(address, bytes, flags) of each readable mapping of a process."""
    maps = []
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as f:
        for line in f:
            words = line.split()
            if not words[0].endswith(":"):
                span = [int(x, 16) for x in words[0].split("-")]
                readable = words[1].startswith("r")
            elif words[0] == "VmFlags:" and readable:
                maps.append((span, words[1:]))
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for (start, end), flags in maps:
            with contextlib.suppress(OSError, ValueError):
                mem.seek(start)
                yield start, mem.read(end - start), flags


def find(pid, needle):
    """The flags of each mapping that holds the needle, once for each place."""
    return [flags for _, data, flags in memory(pid) for _ in range(data.count(needle))]
