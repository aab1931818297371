# SPDX-License-Identifier: Apache-2.0
"""A virtual machine in software emulation: firmware, software TPM, disks, QMP, and the door of the
test image (guest_agent.py)."""
import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

CODE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
DAMAGE = ("Kernel panic", "Oops:", "BUG: ", "general protection fault", "double fault", "soft lockup")


class Died(Exception):
    """The guest is gone, or did not come; what its console said last is in the text."""


class Answer:
    def __init__(self, d):
        self.rc, self.out, self.err, self.seconds = d["rc"], d.get("out", ""), d.get("err", ""), d.get("seconds", 0)

    def __repr__(self):
        return f"exit {self.rc}\n{self.out[-3000:]}\n{self.err[-3000:]}"


def need_tools():
    """The names of what is missing."""
    missing = [t for t in ("qemu-system-x86_64", "swtpm", "genisoimage", "mkfs.erofs", "sbsign", "veritysetup")
               if not shutil.which(t) and not os.path.exists(f"/usr/sbin/{t}")]
    return missing + [f for f in (CODE, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub") if not os.path.exists(f)]


class Machine:
    """disk: a pod image's disk (its changes are forgotten). tpm: a state folder of swtpm's.
    drives: (file, serial, read-only) in order. more: options of QEMU's. forward: (port here, port there)."""

    def __init__(self, folder, disk, tpm, vars_file, drives=(), memory=1024, more=(), forward=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console_file = self.folder / "console"
        self.console_file.unlink(missing_ok=True)
        self.port = self.qmp_socket = self.proc = self.swtpm = self.keyboard = None
        self.pending = b""
        self.begin = time.monotonic()
        self.start_tpm(tpm)
        argv = ["nice", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "1", "-m", str(memory),
                "-chardev", f"socket,id=con,path={self.folder}/con,server=on,wait=off,logfile={self.console_file}",
                "-serial", "chardev:con",
                "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
                "-chardev", f"socket,id=door,path={self.folder}/door,server=on,wait=off",
                "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=door,name=vm-test",
                "-device", "virtio-rng-pci",
                "-netdev", "user,id=n0" + "".join(f",hostfwd=tcp:127.0.0.1:{a}-:{b}" for a, b in forward), "-device", "virtio-net-pci,netdev=n0,romfile=",
                "-chardev", f"socket,id=ct,path={self.folder}/tpm.sock", "-tpmdev", "emulator,id=t0,chardev=ct",
                "-device", "tpm-crb,tpmdev=t0"]
        shutil.copy(vars_file, self.folder / "vars.fd")
        argv += ["-M", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
                 "-drive", f"if=pflash,format=raw,readonly=on,file={CODE}",
                 "-drive", f"if=pflash,format=raw,file={self.folder}/vars.fd",
                 "-drive", f"if=none,id=root,file={disk},format=raw,snapshot=on",
                 "-device", "virtio-blk-pci,drive=root,serial=root,bootindex=1"]
        for i, (file, serial, read_only) in enumerate(drives):
            argv += ["-drive", f"if=none,id=d{i},file={file},format=raw,cache=unsafe" + (",readonly=on" if read_only else ""),
                     "-device", f"virtio-blk-pci,drive=d{i},serial={serial}"]
        argv += more
        with open(self.folder / "qemu.log", "wb") as log:
            self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self.port = self.connect("door")
        except BaseException:
            self.close()
            raise

    def start_tpm(self, state):
        pathlib.Path(state).mkdir(parents=True, exist_ok=True)
        path = self.folder / "tpm.sock"
        path.unlink(missing_ok=True)
        self.swtpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl",
                                       f"type=unixio,path={path}", "--flags", "startup-clear", "--terminate"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while not path.exists():
            if self.swtpm.poll() is not None:
                raise Died("swtpm ended at once")
            time.sleep(0.02)

    def connect(self, name):
        s = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 20
        while True:
            try:
                s.connect(str(self.folder / name))
                return s
            except OSError:
                if time.monotonic() > end or self.proc.poll() is not None:
                    raise Died("qemu did not start: " + (self.folder / "qemu.log").read_text()) from None
                time.sleep(0.05)

    def console(self):
        return self.console_file.read_text(errors="replace").replace("\r", "") if self.console_file.exists() else ""

    def type(self, text):
        """On the console's keyboard."""
        if self.keyboard is None:
            self.keyboard = self.connect("con")
        self.keyboard.settimeout(20)
        self.keyboard.sendall(text.encode())

    def damage(self):
        """The console's first line that tells of a damaged kernel, or None."""
        return next((x for x in self.console().splitlines() if any(d in x for d in DAMAGE)), None)

    def died(self, what):
        lines = [x for x in self.console().splitlines() if x.strip()]
        return Died(what + ":\n" + "\n".join(lines[-25:]))

    def line(self, seconds):
        """The door's next answer."""
        end = time.monotonic() + seconds
        while b"\n" not in self.pending:
            if self.proc.poll() is not None:
                raise self.died("the guest ended")
            if time.monotonic() > end:
                raise self.died(f"no answer from the guest within {seconds} s")
            self.port.settimeout(1)
            with contextlib.suppress(TimeoutError):
                self.pending += self.port.recv(1 << 20)
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def wait_ready(self, seconds=150):
        """The door opens; returns the seconds since the start of QEMU."""
        while "ready" not in self.line(seconds):
            pass
        return time.monotonic() - self.begin

    def run(self, text, timeout=60, check=False, **env):
        ask = {"run": text, "timeout": timeout, "env": {k: str(v) for k, v in env.items()}}
        self.port.settimeout(60)
        self.port.sendall(json.dumps(ask).encode() + b"\n")
        while "rc" not in (got := self.line(timeout + 60)):
            pass
        answer = Answer(got)
        if check and answer.rc != 0:
            raise AssertionError(f"{text}: {answer}")
        return answer

    def put(self, path, data, mode=0o644):
        data = data if isinstance(data, bytes) else data.encode()
        self.port.settimeout(60)
        self.port.sendall(json.dumps({"put": path, "data": base64.b64encode(data).decode(), "mode": mode}).encode() + b"\n")
        while "rc" not in (got := self.line(60)):
            pass
        if got["rc"] != 0:
            raise AssertionError(f"put {path}: {got}")

    def qmp(self, command, **arguments):
        if self.qmp_socket is None:
            self.qmp_socket = self.connect("qmp").makefile("rwb", buffering=0)
            self.qmp_socket.readline()
            self.qmp_say("qmp_capabilities", {})
        return self.qmp_say(command, arguments)

    def qmp_say(self, command, arguments):
        self.qmp_socket.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            got = json.loads(self.qmp_socket.readline())
            if "return" in got:
                return got["return"]
            if "error" in got:
                raise RuntimeError(f"{command}: {got['error']}")

    def memory_image(self, file):
        """All of the guest's memory, while it stands still."""
        self.qmp("stop")
        try:
            self.qmp("dump-guest-memory", paging=False, protocol=f"file:{file}")
        finally:
            self.qmp("cont")

    def wait_end(self, seconds):
        try:
            self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def power_off(self):
        """As a guest that shuts down; True when it went."""
        with contextlib.suppress(OSError, Died):
            self.port.sendall(json.dumps({"run": "systemctl poweroff", "timeout": 10}).encode() + b"\n")
        return self.wait_end(90)

    def close(self):
        for p in (self.proc, self.swtpm):
            if p and p.poll() is None:
                p.send_signal(signal.SIGTERM)
                try:
                    p.wait(10)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait(10)
        for s in (self.port, self.qmp_socket, self.keyboard):
            if s:
                s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
