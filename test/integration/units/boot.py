# SPDX-License-Identifier: Apache-2.0
"""A pod image booted: the real systemd as PID 1 of namespaces of its own, over this machine's files,
with the units of tree.py (or CAA_TREE), vouchsafe as `make install` lays it out, a software TPM and
a kata-agent that is a stand-in.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

from run import BUILD, TMP, image, need
from world import Skip, World, free_port_pair, wait_for
import tree

START = r"""
set -e
root=$1 console=$2
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
for d in null zero full random urandom tty; do touch "$root/dev/$d"; mount --bind "/dev/$d" "$root/dev/$d"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
touch "$root/dev/console"
mount --bind "$console" "$root/dev/console"
# Not chroot: in one the kernel refuses the user namespaces of PrivateUsers=.
mkdir "$root/run/old"
cd "$root"
pivot_root . run/old
exec env -i container=vouchsafe-test PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c 'cd / && umount -l /run/old &&
rmdir /run/old && exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=1'
"""

# Writes down what it finds when it is started, then keeps its connection, as kata-agent does.
KATA_AGENT = """#!/usr/bin/python3
import json, os, socket, sys, time
found = {"policy": None, "at": time.monotonic()}
try:
    found["policy"] = open("/run/peerpod/policy.rego").read()
except OSError as e:
    found["policy_error"] = str(e)
c = socket.socket(socket.AF_UNIX)
try:
    c.connect("/run/confidential-containers/cdh.sock")
    found["connected"] = True
except OSError as e:
    found["connected"] = str(e)
open("/var/kata-agent.json.new", "w").write(json.dumps(found))
os.rename("/var/kata-agent.json.new", "/var/kata-agent.json")
s = socket.socket(socket.AF_UNIX)
s.bind("/run/kata-containers/agent.sock")
s.listen()
time.sleep(100000)
"""
NETNS_ADD = "#!/bin/sh\nset -e\nip netns add $1\nip netns exec $1 ip link set lo up\n"
EXTEND = "#!/bin/sh\necho extended >>/var/second-extend\n"
POLICY = "package agent_policy\n\ndefault CreateContainerRequest := true\n"


class Boot:
    """One boot. prepare(root) changes the image's files before."""

    def __init__(self, initdata=None, prepare=None, openshift=False, real=None):
        need("unshare", "swtpm", "ip", "nsenter")
        if os.geteuid() != 0:
            raise Skip("not root")
        self.base = pathlib.Path(World(BUILD).tmp)
        self.log = self.base / "console"
        self.log.touch()
        self.mounts = []
        self.proc = self.console = None
        try:
            self.lay_out(initdata, prepare, openshift, real)
        except BaseException:
            self.close()
            raise

    def mount(self, *argv):
        r = subprocess.run(["mount", *map(str, argv)], capture_output=True, text=True)
        if r.returncode != 0:
            raise Skip(f"cannot mount: {r.stderr.strip()}")
        self.mounts.append(argv[-1])

    def lay_out(self, initdata, prepare, openshift, real):
        lab = self.base / "lab"
        lab.mkdir()
        self.mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", lab)
        for d in ("upper", "work", "root"):
            (lab / d).mkdir()
        self.root, upper = lab / "root", lab / "upper"
        self.mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={lab / 'work'}", self.root)
        # Nothing that this machine enables, and no name of ours that it may have.
        for d in (self.root / "etc/systemd/system").glob("*.wants"):
            shutil.rmtree(d)
        for f in ("etc/machine-id", "var/kata-agent.json", "var/second-extend"):
            (self.root / f).unlink(missing_ok=True)
        self.copy(image("boot-openshift" if openshift else "boot-real" if real else "boot-caa", openshift, real))
        for name, text in (("kata-agent", KATA_AGENT), ("netns-add", NETNS_ADD), ("extend-pcr8", EXTEND),
                           ("tpm2_pcrextend", EXTEND)):
            tree.put(self.root, f"usr/local/bin/{name}", text, 0o755)
        tree.put(self.root, "usr/bin/tpm2_pcrextend", EXTEND, 0o755)
        # The development build in the place of the installed one: a TPM over a socket wants its permit.
        for name in ("bin/vouchsafe", "libexec/vouchsafe/vouchsafed", "libexec/vouchsafe/vouchsafe-rest",
                     "libexec/vouchsafe/vouchsafe-teed", "libexec/vouchsafe/vouchsafe-mountd"):
            shutil.copy(BUILD / "dev" / os.path.basename(name), self.root / "usr" / name)
        port = free_port_pair()
        # Inside, a checkout below /tmp is not to be seen.
        tree.put(self.root, "usr/local/lib/tpm/mux.py",
                 (pathlib.Path(__file__).resolve().parents[1] / "tpm/mux.py").read_text())
        tree.put(self.root, "usr/lib/vouchsafe/vouchsafe.toml", f'[tpm]\ndevice = "swtpm:127.0.0.1:{port + 2}"\n')
        tree.put(self.root, "usr/local/bin/tpm", f"""#!/bin/sh
ip link set lo up
mkdir -p /run/tpm
swtpm socket --tpm2 --tpmstate dir=/run/tpm --server type=tcp,port={port},bindaddr=127.0.0.1 \\
	--ctrl type=tcp,port={port + 1},bindaddr=127.0.0.1 --flags not-need-init,startup-clear &
cd /usr/local/lib/tpm && exec /usr/bin/python3 -B -c '
import mux, socket, time
make = socket.create_server
socket.create_server = lambda a, *k: make(("127.0.0.1", {port + 2}))
m = mux.Mux({port})
for _ in range(100):
    try:
        m.pass_on(bytes.fromhex("80010000000c00000144") + bytes(2))
        break
    except OSError:
        time.sleep(0.05)
open("/run/tpm/ready", "w")
time.sleep(100000)'
""", 0o755)
        tree.put(self.root, "etc/systemd/system/tpm.service", """[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
ExecStart=/usr/local/bin/tpm
ExecStartPost=/bin/sh -c 'until [ -e /run/tpm/ready ]; do sleep 0.05; done'
[Install]
WantedBy=sysinit.target
""")
        tree.put(self.root, "usr/lib/systemd/system-preset/10-test.preset", "enable tpm.service\n")
        if initdata is not None:
            tree.put(self.root, "media/cidata/user-data", cloud_config(initdata))
        if prepare:
            prepare(self.root)
        # It fails for units of this machine that are masked.
        subprocess.run(["systemctl", f"--root={self.root}", "preset-all"], capture_output=True, text=True)
        # What this machine has besides and a pod image has not.
        wants = self.root / "etc/systemd/system"
        keep = ("vouchsafe", "process-user-data", "kata-agent", "attestation-agent", "confidential-data-hub",
                "api-server-rest", "agent-protocol", "scratch", "gen-issue", "setup-nat", "tpm.service")
        for f in wants.glob("*.wants/*"):
            if not f.name.startswith(keep):
                f.unlink()
        # As in an image whose presets were carried out before vouchsafe came.
        for name in tree.REPLACED[1:]:
            for kind in ("path", "service"):
                if (wants / f"{name}.{kind}").exists():
                    (wants / "multi-user.target.wants" / f"{name}.{kind}").symlink_to(f"../{name}.{kind}")
        r = subprocess.run(["systemd-sysusers", f"--root={self.root}", "vouchsafe.conf"], capture_output=True, text=True)
        assert r.returncode == 0, r
        # A terminal, or nothing is written to it.
        self.console, slave = os.openpty()
        threading.Thread(target=self.copy_console, args=(self.log.open("ab"),), daemon=True).start()
        self.proc = subprocess.Popen(["unshare", "-m", "-p", "-f", "-u", "-i", "-n", "-C", "--kill-child", "sh", "-c",
                                      START, "sh", self.root, os.ttyname(slave)], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=open(self.base / "start.log", "w"))
        wait_for("systemd", self.find_init, 20)
        os.close(slave)

    def copy_console(self, out):
        """While nobody has the other end open, reading fails."""
        while self.console is not None:
            try:
                out.write(os.read(self.console, 4096))
                out.flush()
            except OSError:
                time.sleep(0.05)

    def copy(self, source):
        """Files only where they differ: links of this machine (/lib, /bin) stay."""
        for f in sorted(source.rglob("*")):
            to = self.root / f.relative_to(source)
            if f.is_symlink():
                to.unlink(missing_ok=True)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.symlink_to(os.readlink(f))
            elif f.is_dir():
                to.mkdir(parents=True, exist_ok=True)
            elif f.parts[len(source.parts)] != "bin" and f.parent != source / "usr/bin" or f.name.startswith("vouchsafe"):
                to.parent.mkdir(parents=True, exist_ok=True)
                to.unlink(missing_ok=True)
                shutil.copy(f, to)

    def find_init(self):
        if self.proc.poll() is not None:
            raise Skip("systemd does not start here: " + (self.base / "start.log").read_text()[-300:])
        children = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read_text().split()
        if children and "systemd" in pathlib.Path(f"/proc/{children[0]}/cmdline").read_text():
            self.init = int(children[0])
            return True
        return False

    def run(self, *argv, timeout=30):
        """In the guest."""
        return subprocess.run(["nsenter", "-t", str(self.init), "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w", "--",
                               *map(str, argv)], capture_output=True, text=True, timeout=timeout)

    def show(self, unit, *names):
        r = self.run("systemctl", "show", unit, *[f"-p{n}" for n in names])
        return dict(x.split("=", 1) for x in r.stdout.splitlines() if "=" in x)

    def wait_unit(self, unit, states, seconds=60):
        def look():
            s = self.show(unit, "ActiveState").get("ActiveState")
            return s if s in states else None
        try:
            return wait_for(f"{unit} to be {states}", look, seconds)
        except TimeoutError as e:
            raise AssertionError(f"{e}\n{self.run('systemctl', 'status', '--no-pager', '-l', unit).stdout}\n"
                                 f"{self.fail_text()}") from e

    def file(self, path):
        f = pathlib.Path(f"/proc/{self.init}/root") / path.lstrip("/")
        return f

    def pcr8(self):
        r = self.run("/usr/bin/vouchsafe", "tpm", "show", "--json")
        return json.loads(r.stdout)["pcrs"][8]

    def fail_text(self):
        lines = self.log.read_text(errors="replace").replace("\r", "").splitlines()
        return "\n".join(x for x in lines if x.strip() and " running (" not in x)[-4000:]

    def close(self):
        if self.proc and self.proc.poll() is None:
            if hasattr(self, "init"):
                os.kill(self.init, signal.SIGKILL)
            self.proc.kill()
            self.proc.wait(10)
        time.sleep(0.2)
        if self.console is not None:
            fd, self.console = self.console, None
            os.close(fd)
        for m in self.mounts[::-1]:
            subprocess.run(["umount", "-l", str(m)], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def cloud_config(encoded):
    return "#cloud-config\n\nwrite_files:\n" + "".join(
        f"  - path: {path}\n    content: |\n" + "".join(f"      {line}\n" for line in text.splitlines())
        for path, text in (("/run/peerpod/apf.json", "{}"), ("/run/peerpod/initdata", encoded)))


def bound(digest):
    import hashlib
    return hashlib.sha256(bytes(32) + digest).hexdigest()


def make_initdata():
    """(encoded, digest)"""
    import base64
    import gzip
    import hashlib
    text = ('version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n"aa.toml" = \'\'\'\n[token_configs.kbs]\n'
            'url = "http://127.0.0.1:9"\n\'\'\'\n"policy.rego" = \'\'\'\n' + POLICY + "'''\n").encode()
    return base64.b64encode(gzip.compress(text)).decode(), hashlib.sha256(text).digest()


def check_good(b, digest):
    for u in ("vouchsafe-initdata.service", "vouchsafed.service", "process-user-data.service", "kata-agent.service",
              "vouchsafe-rest.socket", "vouchsafe-teed.socket", "vouchsafe-mountd.socket", "vouchsafe-volumes.service"):
        assert b.wait_unit(u, ("active", "failed"), 60) == "active", (u, b.run("systemctl", "status", "-l", u).stdout,
                                                                      b.fail_text())
    found = json.loads(wait_for("kata-agent", lambda: b.file("/var/kata-agent.json").exists() and
                                b.file("/var/kata-agent.json").read_text(), 20))
    # Not the image's allow-all, which was there when the boot began.
    assert found["policy"] == POLICY and found["connected"] is True, found
    assert b.pcr8() == bound(digest) and not b.file("/var/second-extend").exists()
    text = b.log.read_text(errors="replace") + b.run("journalctl", "-b", "--no-pager").stdout
    assert "Reached target" in text and "ordering cycle" not in text, b.fail_text()
    # What is replaced was skipped, not tried and failed.
    for name in ("attestation-agent", "confidential-data-hub", "api-server-rest"):
        s = b.show(f"{name}.service", "ActiveState", "NRestarts", "Result")
        assert s == {"ActiveState": "inactive", "NRestarts": "0", "Result": "success"}, (name, s)
    failed = b.run("systemctl", "--failed", "--plain", "--no-legend").stdout
    assert not [x for x in failed.splitlines() if "vouchsafe" in x or "kata" in x or "process-user" in x], failed


def check_daemon(b):
    pid = int(b.show("vouchsafed.service", "MainPID")["MainPID"])
    text = b.run("cat", f"/proc/{pid}/status").stdout
    s = {k: v.split() for k, _, v in (x.partition(":") for x in text.splitlines())}
    users = {x.split(":")[0]: x.split(":") for x in b.file("/etc/passwd").read_text().splitlines()}
    groups = {x.split(":")[0]: x.split(":")[2] for x in b.file("/etc/group").read_text().splitlines()}
    assert s["Uid"] == [users["vouchsafe"][2]] * 4 and s["Gid"] == [groups["vouchsafe-api"]] * 4, s
    assert set(s["Groups"]) == {groups["vouchsafe"], groups["tss"], groups["vouchsafe-api"]}, s
    assert int(s["CapBnd"][0], 16) == 0 and s["NoNewPrivs"] == ["1"] and s["Seccomp"] == ["2"], s
    for path in ("/run/confidential-containers/cdh.sock",
                 "/run/confidential-containers/attestation-agent/attestation-agent.sock"):
        st = b.run("stat", "-c", "%a %U %G", path).stdout.strip()
        assert st == "660 vouchsafe vouchsafe-api", (path, st)
    st = b.run("stat", "-c", "%a %U %G", "/run/confidential-containers", "/run/confidential-containers/initdata",
               "/run/confidential-containers/initdata/initdata.toml").stdout.split("\n")
    assert st[:3] == ["1775 root vouchsafe", "755 root root", "644 root root"], st
    assert not b.run("journalctl", "-b", "--no-pager", "-u", "vouchsafed", "-p", "err").stdout.count("cannot")
    return pid


ASK_TEED = """
import socket, struct
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(30)
s.connect("/run/vouchsafe/teed.sock")
s.send(b"VTQ1" + struct.pack("<IBBH", 1, 1, 0, 0) + bytes(64))
p = s.recv(1 << 18)
n, = struct.unpack("<I", p[12:16])
print(p[20:20 + n].decode(errors="replace"), p[20 + n:])
"""


def check_teed(b):
    """Started by the socket, confined, and able to do what it is for: make a folder in configfs-tsm."""
    assert b.show("vouchsafe-teed.service", "ActiveState")["ActiveState"] == "inactive"
    r = b.run("/usr/bin/python3", "-c", ASK_TEED)
    assert r.stdout.startswith("tee.none "), (r, b.run("systemctl", "status", "-l", "vouchsafe-teed.service").stdout)
    s = b.show("vouchsafe-teed.service", "MainPID", "ActiveState")
    assert s["ActiveState"] == "active", s
    status = b.run("cat", f"/proc/{s['MainPID']}/status").stdout
    s = {k: v.split() for k, _, v in (x.partition(":") for x in status.splitlines())}
    assert s["Uid"] == ["0"] * 4 and s["NoNewPrivs"] == ["1"] and s["Seccomp"] == ["2"], s
    assert [int(s[c][0], 16) for c in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh")] == [0] * 5, s
    st = b.run("stat", "-c", "%a %U %G", "/run/vouchsafe/teed.sock").stdout.strip()
    assert st == "660 root vouchsafe", st
    # A folder of no kernel's: it can be made there, has no attributes, and is taken for interference.
    b.run("systemctl", "stop", "vouchsafe-teed.service")
    r = b.run("sh", "-c", "mount -t tmpfs -o mode=755 tmpfs /sys/kernel && mkdir -p /sys/kernel/config/tsm/report")
    assert r.returncode == 0, r
    r = b.run("/usr/bin/python3", "-c", ASK_TEED)
    assert r.stdout.startswith("tee.interfered "), (r.stdout, b.run("journalctl", "-b", "-u", "vouchsafe-teed").stdout)
    assert b.run("ls", "/sys/kernel/config/tsm/report").stdout == "", "a folder is left"
    b.run("umount", "-l", "/sys/kernel")


def check_mountd(b):
    """Started by the socket, in the mount namespace of everybody, with one power; ended when told."""
    assert b.show("vouchsafe-mountd.service", "ActiveState")["ActiveState"] == "inactive"
    r = b.run("vouchsafe", "volume", "list", "--json")
    assert r.returncode == 0 and json.loads(r.stdout) == [], (r, b.run("systemctl", "status", "-l", "vouchsafe-mountd.service").stdout)
    pid = b.show("vouchsafe-mountd.service", "MainPID")["MainPID"]
    ns = b.run("readlink", f"/proc/{pid}/ns/mnt", "/proc/1/ns/mnt", f"/proc/{pid}/ns/net", "/proc/1/ns/net").stdout.split()
    assert ns[0] == ns[1], f"a mount namespace of its own: {ns}"
    assert ns[2] != ns[3], f"no network namespace of its own: {ns}"
    s = {k: v.split() for k, _, v in (x.partition(":") for x in b.run("cat", f"/proc/{pid}/status").stdout.splitlines())}
    assert s["Uid"] == ["0"] * 4 and s["NoNewPrivs"] == ["1"] and s["Seccomp"] == ["2"], s
    assert [int(s[c][0], 16) for c in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh")] == [1 << 21] * 3 + [0, 0], s
    st = b.run("stat", "-c", "%a %U %G", "/run/vouchsafe/mountd.sock").stdout.strip()
    assert st == "660 root vouchsafe", st
    # As vouchsafed, over cdh.sock: the request goes all the way, and this kernel has no such disk.
    r = b.run("vouchsafe", "volume", "open", "/dev/vdz", "/run/kata-containers")
    assert r.returncode == 66 and "volume.device-missing" in r.stderr, r
    # At shutdown: closing all has nothing to do and says so by its exit code.
    b.run("systemctl", "stop", "vouchsafe-volumes.service")
    assert b.show("vouchsafe-volumes.service", "Result")["Result"] == "success"


def boot__caa_image__policy_first_one_extend_and_everything_serves():
    encoded, digest = make_initdata()
    with Boot(initdata=encoded) as b:
        check_good(b, digest)
        pid = check_daemon(b)
        check_teed(b)
        check_mountd(b)
        # The pod's REST API: in its namespace, by the socket unit, and nowhere else.
        ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8006/info', timeout=20).read().decode())"
        r = b.run("ip", "netns", "exec", "podns", "/usr/bin/python3", "-c", ask)
        assert r.returncode == 0 and json.loads(r.stdout)["tee"] == "tpm", (r, b.run("systemctl", "status", "-l", "vouchsafe-rest.service").stdout)
        r = b.run("/usr/bin/python3", "-c", ask)
        assert r.returncode != 0 and "refused" in r.stderr, r
        # It survives kill -9, and provisioning is not done again.
        b.run("kill", "-9", pid)
        wait_for("a new vouchsafed", lambda: b.show("vouchsafed.service", "MainPID", "ActiveState") not in (
            {"MainPID": str(pid), "ActiveState": "active"},) and
            b.show("vouchsafed.service", "ActiveState")["ActiveState"] == "active", 20)
        check_daemon(b)
        assert b.pcr8() == bound(digest)
        # A stop leaves what provisioning left.
        b.run("systemctl", "stop", "vouchsafed.service")
        assert b.file("/run/confidential-containers/initdata/initdata.toml").exists()
        assert b.file("/run/vouchsafe/provision.json").exists()


def boot__openshift_image__the_same():
    encoded, digest = make_initdata()
    with Boot(initdata=encoded, openshift=True) as b:
        check_good(b, digest)


def boot__the_real_tree__the_same():
    encoded, digest = make_initdata()
    with Boot(initdata=encoded, real=pathlib.Path(os.environ["CAA_TREE"])) as b:
        check_good(b, digest)


def check_refused(b):
    assert b.wait_unit("vouchsafe-initdata.service", ("active", "failed"), 60) == "failed", b.fail_text()
    b.wait_unit("multi-user.target", ("active",), 60)
    time.sleep(1)
    assert not b.file("/run/peerpod/policy.rego").exists()
    assert not b.file("/run/confidential-containers/cdh.sock").exists()
    assert not b.file("/var/kata-agent.json").exists()
    for u in ("vouchsafed.service", "kata-agent.service"):
        assert b.show(u, "ActiveState")["ActiveState"] == "inactive", u


def boot__malformed_initdata__nothing_starts_and_the_policy_is_gone():
    with Boot(initdata="bm90IGluaXRkYXRh") as b:
        check_refused(b)
        assert b.file("/run/vouchsafe/provision-error").exists()
        text = b.log.read_text(errors="replace")
        # The host sees the code and not the reason.
        assert "vouchsafe: initdata.encoding" in text and "damaged" not in text, text[-3000:]


def boot__provisioning_is_killed__nothing_starts_and_the_policy_is_gone():
    def prepare(root):
        tree.put(root, "usr/bin/vouchsafe", "#!/bin/sh\nkill -9 $$\n", 0o755)
    with Boot(initdata=make_initdata()[0], prepare=prepare) as b:
        check_refused(b)


CASES = (
    boot__caa_image__policy_first_one_extend_and_everything_serves,
    boot__openshift_image__the_same,
    *([boot__the_real_tree__the_same] if os.environ.get("CAA_TREE") else []),
    boot__malformed_initdata__nothing_starts_and_the_policy_is_gone,
    boot__provisioning_is_killed__nothing_starts_and_the_policy_is_gone,
)
