# SPDX-License-Identifier: Apache-2.0
"""The fake devices at their literal paths, in a mount namespace of our own (run under `unshare -m`),
and vouchsafe-teed on its socket as systemd would start it."""

import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SANDBOX_UID = 64733
NODES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "fd", "stdin", "stdout", "stderr")
TSM, SYS = "/sys/kernel/config/tsm", "/sys/devices"


def run(*argv):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)
    if r.returncode != 0:
        raise RuntimeError(f"{argv}: {r.stderr}")
    return r.stdout


class Devices:
    """/dev, /sys/kernel and two folders of /sys/devices are ours from here on."""

    def __init__(self, build, tmp, host_data=b"", mrconfigid=b"", version=3):
        self.tmp, self.keys, self.mnt = tmp, tmp / "device-keys", tmp / "device-tree"
        self.mnt.mkdir()
        self.make_keys(host_data, mrconfigid, version)
        self.program = build / "tools/tee_devices"
        self.process = None
        self.start()
        dev = tmp / "dev"
        dev.mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", dev)
        for n in NODES:
            run("cp", "-a", f"/dev/{n}", dev / n)
        for d in ("shm", "pts", "mapper"):
            (dev / d).mkdir()
        (dev / "shm").chmod(0o1777)
        run("mount", "--rbind", dev, "/dev")
        for d in ("/sys/kernel", f"{SYS}/platform", f"{SYS}/virtual/misc"):
            run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", d)
        self.bound = []

    def make_keys(self, host_data=b"", mrconfigid=b"", version=3):
        run("/usr/bin/python3", HERE / "keys.py", self.keys, "--host-data", host_data.ljust(32, b"\0")[:32].hex(),
            "--mrconfigid", mrconfigid.ljust(48, b"\0")[:48].hex(), "--report-version", version)

    def bind_initdata(self, digest):
        """HOST_DATA and MRCONFIGID of a guest that was launched with this digest."""
        self.platform(None, configfs=False)
        self.process.terminate()
        self.process.wait(10)
        for name, at, n in (("snp.report", 0xC0, 32), ("tdx.quote", 48 + 184, 48)):
            f = self.keys / name
            b = bytearray(f.read_bytes())
            b[at:at + n] = digest.ljust(n, b"\0")[:n]
            f.write_bytes(b)
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, self.keys, self.mnt, "-f", "-o",
                                         "allow_other,default_permissions,max_threads=10"], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not os.path.ismount(self.mnt):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the fake devices did not come up")
            time.sleep(0.01)

    def platform(self, kind, configfs=True, device=True, rtmrs=True):
        """snp, tdx or None; which of its ways there are. TDX's driver makes its device always."""
        for p in reversed(self.bound):
            run("umount", "-l", p)
        self.bound = []
        for p in ("/dev/sev-guest", "/dev/tdx_guest"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(p)
        for p in (f"{SYS}/platform/sev-guest", f"{SYS}/virtual/misc/tdx_guest/measurements",
                  f"{SYS}/virtual/misc/tdx_guest", TSM):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(p)
        self.set("reset", provider={"snp": "sev_guest", "tdx": "tdx_guest", None: "none"}[kind])
        if configfs:
            self.bind(self.mnt / "tsm", TSM)
        if kind == "snp":
            os.makedirs(f"{SYS}/platform/sev-guest")
        if kind == "tdx" and rtmrs:
            self.bind(self.mnt / "measurements", f"{SYS}/virtual/misc/tdx_guest/measurements")
        node = {"snp": "sev-guest", "tdx": "tdx_guest"}.get(kind)
        if node and (device or kind == "tdx"):
            pathlib.Path(f"/dev/{node}").touch()
            self.bind(self.mnt / node, f"/dev/{node}")

    def bind(self, what, where):
        if what.is_dir():
            os.makedirs(where)
        run("mount", "--bind", what, where)
        self.bound.append(where)

    def set(self, *words, **knobs):
        lines = [*words, *(f"{k} {v}" for k, v in knobs.items())]
        (self.mnt / "control").write_text("\n".join(lines) + "\n")

    def count(self, name):
        text = (self.mnt / "control").read_text()
        return dict((k, int(v)) for k, v in (line.split() for line in text.splitlines()))[name]

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)


class Teed:
    """The listening socket, which outlives the process behind it."""

    def __init__(self, program, path, log):
        self.program, self.path, self.log_path = program, path, log
        path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(path))
        os.chmod(path, 0o660)
        os.chown(path, 0, SANDBOX_UID)
        self.socket.listen(16)
        self.process = None

    def start(self, *options, log="debug"):
        fd = self.socket.fileno()
        with open(self.log_path, "ab") as out:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh", str(self.program), "--log", log,
                 *map(str, options)], stdout=out, stderr=out, stdin=subprocess.DEVNULL, close_fds=False,
                preexec_fn=lambda: (os.dup2(fd, 3), os.set_inheritable(3, True)))
        return self.process

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(15) if self.process else None

    def close(self):
        self.stop()
        self.socket.close()
        self.path.unlink(missing_ok=True)


class Refused(Exception):
    """vouchsafe-teed answered a failure."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class Client:
    """vouchsafe-teed's protocol, from agent/api/teed.h alone."""

    def __init__(self, path, seconds=70):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(seconds)
        self.s.connect(str(path))
        self.id = 0

    def send(self, op, data, reg=0):
        self.id += 1
        with contextlib.suppress(BrokenPipeError):
            self.s.send(b"VTQ1" + struct.pack("<IBBH", self.id, op, reg, 0) + data)

    def receive(self):
        """(kind, report, certs); ConnectionError at the end; Refused."""
        p = self.s.recv(1 << 18)
        if not p:
            raise ConnectionError("vouchsafe-teed closed the connection")
        magic, n, status, kind, zero, a, b = struct.unpack("<4sIBBHII", p[:20])
        if magic != b"VTA1" or zero or len(p) != 20 + a + b or n not in (0, self.id):
            raise AssertionError(f"malformed reply {p[:40]!r}")
        first, second = p[20:20 + a], p[20 + a:]
        if status == 1:
            raise Refused(first.decode(), second.decode())
        if status:
            raise AssertionError(f"status {status}")
        return kind, first, second

    def quote(self, data):
        self.send(1, data)
        return self.receive()

    def extend(self, reg, digest):
        self.send(2, digest, reg)
        return self.receive()

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def usable():
    """None, or why the devices cannot be had here."""
    if os.geteuid() != 0:
        return "not root"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        return "no mount namespace"
    return None


if __name__ == "__main__":
    sys.exit("a module")
