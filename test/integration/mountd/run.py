# SPDX-License-Identifier: Apache-2.0
"""SecureMount through the real vouchsafed and the real vouchsafe-mountd, on loop devices. Without a
device mapper in this kernel (containers, CI) a volume comes as far as its mapping: the failure has
its name, and everything is undone. With one, it is mounted. Dm-crypt for sure: test/vm/."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from world import Cases, Skip, World, can_mount, wait_for  # noqa: E402
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "volumes"))
import luks2  # noqa: E402
import packets as p  # noqa: E402
from packets import ttrpc  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
MIB = 1 << 20


def has_mapper():
    return "device-mapper" in pathlib.Path("/proc/misc").read_text()


class Box:
    """A world with mountd, a folder to mount in, and disks. One for all cases that leave no trace."""

    def __init__(self):
        self.w = World(BUILD)
        self.loops = []
        self.w.resource("default/vol/key", b"k" * 32)
        self.w.resource("default/vol/short", b"pass phrase\n")
        self.w.resource("default/vol/empty", b"")
        self.w.resource("default/vol/long", b"k" * 65537)
        self.mnt = self.w.tmp / "mnt"
        (self.mnt / "a").mkdir(parents=True)
        self.rules()

    def rules(self, text=None):
        f = self.w.root / "usr/lib/vouchsafe/mountd.toml"
        f.write_text(text or f'[volumes]\ndevices = ["/dev/loop*"]\nmount_prefixes = ["{self.mnt}"]\n')

    @property
    def socket(self):
        return self.w.root / "run/vouchsafe/mountd.sock"

    def up(self):
        self.w.up()
        self.start()
        return self

    def start(self, **kw):
        q = self.w.start("mountd", [self.w.dev / "vouchsafe-mountd", "--root", self.w.root, "--listen", self.socket,
                                    "--log", "debug"], **kw)

        def listens():
            if q.poll() is not None:
                raise RuntimeError(f"mountd ended with {q.returncode}: " + self.w.log("mountd"))
            with contextlib.suppress(OSError):
                return p.send(self.socket, p.head(p.LIST))[0] == p.LISTING
            return False

        wait_for("mountd", listens)
        # Who looks for a request's process must not find that of the look above.
        wait_for("the end of it", lambda: not children(q.pid))
        return q

    def disk(self, size=64 * MIB, content=None):
        f = self.w.tmp / f"disk{len(self.loops)}.img"
        f.write_bytes(content or b"")
        os.truncate(f, size)
        dev = subprocess.run(["losetup", "-f", "--show", f], capture_output=True, text=True)
        if dev.returncode != 0:
            raise Skip("no loop device: " + dev.stderr.strip())
        self.loops.append(dev.stdout.strip())
        return Disk(dev.stdout.strip(), f)

    def mount(self, options, at=None, timeout=60, volume_type="block-device"):
        with ttrpc.Client(str(self.w.cdh_socket)) as c:
            return c.call("api.SecureMountService", "SecureMount",
                          p.message(options, at or self.mnt / "a", volume_type), timeout)

    def refused(self, code, options, at=None, **kw):
        try:
            self.mount(options, at, **kw)
        except ttrpc.Status as why:
            want = "[CDH] [ERROR]: Secure Mount failed: "
            assert why.code == 13 and why.message.startswith(want), why
            assert code in why.message, f"want {code}: {why}"
            return why.message
        raise AssertionError(f"{options} is mounted, want {code}")

    def nothing_left(self):
        assert str(self.mnt) not in pathlib.Path("/proc/self/mounts").read_text()
        assert sorted(os.listdir(self.mnt)) == ["a"] and os.listdir(self.mnt / "a") == [], os.listdir(self.mnt)
        state = self.w.root / "run/vouchsafe/volumes"
        left = [f for f in os.listdir(state) if f != "lock"] if state.exists() else []
        assert not left, left
        assert json.loads(self.w.vouchsafe("volume", "list", "--json", check=True).stdout) == []

    def close(self):
        if has_mapper() and self.w.processes.get("mountd"):
            self.w.vouchsafe("volume", "close", "--all")
        for d in self.loops:
            subprocess.run(["losetup", "-d", d], capture_output=True)
        self.w.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Disk:
    def __init__(self, dev, file):
        self.dev, self.file = dev, file

    def digest(self):
        os.sync()
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


def by_cryptsetup(box):
    """A disk with a header that cryptsetup(8) made for the key default/vol/key, and nothing in it."""
    d = box.disk()
    subprocess.run(["cryptsetup", "luksFormat", "-q", "--type", "luks2", "--cipher", "aes-xts-plain64",
                    "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", d.dev, "-"], input=b"k" * 32, check=True)
    return d


def made_here(box, size=64 * MIB):
    """A disk with a header of ours for the key default/vol/key, as a volume that is closed has it."""
    d = box.disk(size)
    key = box.w.tmp / "made-here"
    key.write_bytes(b"k" * 32)
    subprocess.run([BUILD / "tools/volume_tool", "write-header", f"device={d.dev}", f"key={key}"], check=True,
                   stdout=subprocess.DEVNULL)
    return d


def usual(disk, **more):
    o = {"devicePath": disk if isinstance(disk, str) else disk.dev, "sourceType": "empty", "targetType": "fileSystem",
         "encryptionType": "luks2"}
    o.update(more)
    return o


def opened_or_no_mapper(box, options, at=None, left=True):
    """Mounted, seen and closed again; or, without device mapper, named."""
    if not has_mapper():
        box.refused("volume.kernel", options, at)
    else:
        box.mount(options, at)
        rows = json.loads(box.w.vouchsafe("volume", "list", "--json", check=True).stdout)
        assert len(rows) == 1, rows
        box.w.vouchsafe("volume", "close", rows[0]["mapper"], check=True)
    if left:
        box.nothing_left()


# --- volumes -------------------------------------------------------------------------------------

def keyless__opened_or_named__nothing_stays(box):
    d = box.disk()
    before = d.digest()
    opened_or_no_mapper(box, usual(d))
    if not has_mapper():
        assert d.digest() == before, "a keyless volume that failed wrote to the disk"


def each_kind_of_key__comes_to_mountd(box):
    key = pathlib.Path("/dev/shm") / f"vouchsafe-test-{os.getpid()}"
    key.write_bytes(b"in the guest's memory\n")
    key.chmod(0o644)
    try:
        for ref in ("kbs:///default/vol/key", "kbs:///default/vol/short", f"file://{key}",
                    box.w.seal("kbs:///default/vol/key")):
            opened_or_no_mapper(box, usual(box.disk(), key=ref))
    finally:
        key.unlink()


def trusted_store__as_kata_agent_calls_it(box):
    d = box.disk()
    major, minor = p.number_of(d.dev)
    for integrity in ("false", "true"):
        opened_or_no_mapper(box, {"deviceId": f"{major}:{minor}", "sourceType": "empty", "targetType": "fileSystem",
                                  "filesystemType": "ext4", "mkfsOpts": "-E lazy_journal_init",
                                  "encryptionType": "luks2", "dataIntegrity": integrity}, f"{box.mnt}/a/")


def cloud_volume__as_the_forwarder_calls_it(box):
    d = box.disk()
    o = usual(d, filesystemType="ext4", key="kbs:///default/vol/key", mapperName="caa-data")
    opened_or_no_mapper(box, o)
    # It looks for the magic, and says encrypted the next time.
    if has_mapper():
        assert d.file.read_bytes()[:6] == b"LUKS\xba\xbe"
        opened_or_no_mapper(box, dict(o, sourceType="encrypted"))
    made_elsewhere = dict(o, devicePath=by_cryptsetup(box).dev, sourceType="encrypted")
    if has_mapper():
        box.refused("volume.mount", made_elsewhere)
    else:
        box.refused("volume.kernel", made_elsewhere)
    box.refused("volume.wrong-key", dict(made_elsewhere, key="kbs:///default/vol/short"))
    box.nothing_left()


def bad_input__has_its_code_and_harms_nothing(box):
    w = box.w
    disk = box.disk()
    fs = box.disk()
    subprocess.run(["mkfs.ext4", "-q", "-F", fs.dev], check=True)
    small = box.disk(MIB)
    elsewhere = w.tmp / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    link = box.mnt / "link"
    link.symlink_to(elsewhere)
    on_disk = w.root / "key"
    on_disk.write_bytes(b"k" * 32)
    shm = pathlib.Path("/dev/shm") / f"vouchsafe-test-{os.getpid()}"
    shm.write_bytes(b"k" * 32)
    shm.chmod(0o600)
    keyed, foreign = made_here(box), by_cryptsetup(box)
    stripped = made_here(box)
    luks2.change(stripped.dev, luks2.at("tokens", {}))
    digests = {d: d.digest() for d in (disk, fs, small, keyed, foreign, stripped)}
    rows = [
        ("volume.option", usual(disk, sourceType=None)),
        ("volume.option", usual(disk, dataIntegrity="True")),
        ("volume.option", usual(disk, filesystemType="ext3")),
        ("volume.option", usual(disk, targetType="file")),
        ("volume.option", usual("vdb")),
        ("volume.option", usual(disk, devicePath=None)),
        ("volume.option", usual(disk, deviceId="vdb")),
        ("volume.option", usual(disk, sourceType="Empty")),
        ("volume.option", usual(disk, encryptionType="luks1")),
        ("volume.option", usual(disk, mapperName="")),
        ("volume.option", usual(disk, mkfsOpts="-q " * 65)),
        ("volume.zfs-unsupported", usual(disk, encryptionType="zfs")),
        ("volume.key-scheme", usual(disk, key="0123456789abcdef")),
        ("volume.key-file", usual(disk, key=f"file://{on_disk}")),
        ("volume.key-file", usual(disk, key=f"file://{shm}")),
        ("volume.key-file", usual(disk, key="file:///dev/shm")),
        ("volume.key-file", usual(disk, key="file:///dev/shm/none-of-us")),
        ("kbs.bad-uri", usual(disk, key="kbs://")),
        ("kbs.resource-missing", usual(disk, key="kbs:///default/vol/none")),
        ("sealed.", usual(disk, key="sealed.not.a.secret")),
        ("volume.key", usual(disk, key="kbs:///default/vol/empty")),
        ("volume.key", usual(disk, key="kbs:///default/vol/long")),
        ("volume.not-allowed", usual("/dev/zero")),
        ("volume.not-allowed", usual("/dev/../etc/passwd")),
        ("volume.device-missing", usual("/dev/loop9999")),
        ("volume.device-missing", {**usual(disk), "devicePath": None, "deviceId": "4095:1048575"}),
        ("volume.not-empty", usual(fs, key="kbs:///default/vol/key")),
        ("volume.no-header", usual(disk, sourceType="encrypted", key="kbs:///default/vol/key")),
        ("volume.no-header", usual(fs, sourceType="encrypted", key="kbs:///default/vol/key")),
        ("volume.too-small", usual(small, key="kbs:///default/vol/key")),
        ("volume.too-small", usual(small)),
        ("volume.too-small", usual(disk, filesystemType="xfs")),
        ("volume.wrong-key", usual(keyed, key="kbs:///default/vol/short")),
        ("volume.wrong-key", usual(keyed, sourceType="encrypted", key="kbs:///default/vol/short")),
        ("volume.wrong-key", usual(foreign, sourceType="encrypted", key="kbs:///default/vol/short")),
        ("volume.key", usual(keyed, sourceType="encrypted")),
        ("volume.not-empty", usual(keyed)),
        ("volume.header-auth", usual(stripped, key="kbs:///default/vol/key")),
        ("volume.header-auth", usual(stripped, sourceType="encrypted", key="kbs:///default/vol/key")),
        ("volume.header-integrity", usual(keyed, dataIntegrity="true", key="kbs:///default/vol/key")),
        ("volume.filesystem", usual(keyed, filesystemType="xfs", key="kbs:///default/vol/key")),
        ("volume.mapper-name", usual(disk, mapperName="../control")),
        ("volume.mkfs-options", usual(disk, mkfsOpts="-d /etc")),
    ]
    places = [
        ("volume.not-allowed", elsewhere),
        ("volume.mount-point", "/"),
        ("volume.not-allowed", "/etc"),
        ("volume.not-allowed", f"{box.mnt}2"),
        ("volume.mount-point", f"{box.mnt}/../elsewhere"),
        ("volume.mount-point", link),
        ("volume.mount-point", f"{link}/sub"),
        ("volume.mount-point", box.mnt / "none"),
    ]
    try:
        for code, options in rows:
            box.refused(code, options)
        for code, at in places:
            box.refused(code, usual(disk), at)
        box.refused("volume.mount-point", usual(disk, targetType="device"), box.mnt / "a")
        box.refused("volume.type-unsupported", {"bucket": "b"}, volume_type="alibaba-cloud-oss")
    finally:
        link.unlink()
        shm.unlink()
    for d, digest in digests.items():
        assert d.digest() == digest, f"{d.dev} was changed"
    box.nothing_left()
    assert "0123456789abcdef" not in w.log("vouchsafed") + w.log("mountd")


def headers_that_the_host_changed__refused_by_name_and_unharmed(box):
    """Each of the list of the group `volumes`, asked for as kata-agent and the forwarder do."""
    for make, source in ((made_here, "encrypted"), (by_cryptsetup, "empty")):
        d = make(box)
        good = d.file.read_bytes()[:2 * luks2.COPY]
        for code, change in luks2.HOSTILE:
            luks2.change(d.dev, change)
            subprocess.run(["blockdev", "--flushbufs", d.dev], check=True)
            before = d.digest()
            box.refused(code, usual(d, sourceType=source, key="kbs:///default/vol/key"))
            assert d.digest() == before, (code, "the disk was changed")
            with open(d.dev, "r+b") as f:
                f.write(good)
    box.nothing_left()


def busy_device__is_refused_by_name(box):
    d = box.disk()
    subprocess.run(["mkfs.ext4", "-q", "-F", d.dev], check=True)
    at = box.w.tmp / "busy"
    at.mkdir()
    subprocess.run(["mount", "-o", "ro", d.dev, at], check=True)
    link = pathlib.Path(f"/dev/vouchsafe-test-{os.getpid()}")
    link.symlink_to(d.dev)
    major, minor = p.number_of(d.dev)
    try:
        before = d.digest()
        box.refused("volume.busy", usual(d))
        box.refused("volume.busy", usual(d, devicePath=None, deviceId=f"{major}:{minor}"))
        box.refused("volume.busy", usual(d, key="kbs:///default/vol/key"))
        box.refused("volume.not-allowed", usual("/dev/../" + d.dev))
        # A link counts by where it leads to.
        box.refused("volume.busy", usual(str(link)))
        assert d.digest() == before
    finally:
        link.unlink()
        subprocess.run(["umount", at], check=True)
    box.nothing_left()


class InWork:
    """A volume that another process has in work, as mountd's see it: its record, and its device's lock."""

    def __init__(self, box, disk, mapper, at):
        self.state = box.w.root / "run/vouchsafe/volumes"
        major, minor = p.number_of(disk.dev)
        self.record = self.state / f"{mapper}.json"
        self.lock = os.open(self.state / "lock", os.O_RDWR)
        fcntl.fcntl(self.lock, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 3 + (major << 20 | minor), 1, 0))
        self.record.write_text(json.dumps({
            "mapper": mapper, "device": disk.dev, "mountPoint": str(at), "target": "fileSystem", "filesystem": "ext4",
            "integrity": False, "keyed": False, "major": major, "minor": minor, "open": False, "opened": 1}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Killed: its lock goes, its record stays."""
        os.close(self.lock)


def long_work_on_one_device__holds_no_other_up(box):
    a, b = box.disk(), box.disk()
    (box.mnt / "b").mkdir()
    try:
        box.refused("volume.no-header", usual(a, sourceType="encrypted", key="kbs:///default/vol/key"))
        with InWork(box, a, "slow", box.mnt / "a"):
            begin = time.monotonic()
            opened_or_no_mapper(box, usual(b), box.mnt / "b", left=False)
            box.refused("volume.busy", usual(b, mapperName="slow"), box.mnt / "b")
            box.refused("volume.mount-point-in-use", usual(b))
            box.refused("volume.mount-point-in-use", usual(b, key="kbs:///default/vol/key"))
            box.refused("volume.mount-point-in-use", usual(b), box.mnt)
            assert json.loads(box.w.vouchsafe("volume", "list", "--json", check=True).stdout) == []
            assert time.monotonic() - begin < 20, "they waited for the other device"
            begin = time.monotonic()
            box.refused("volume.busy", usual(a), timeout=4)
            assert 1 < time.monotonic() - begin < 4, "the same device is waited for, until the deadline"
    finally:
        (box.mnt / "b").rmdir()
    # What the dead one left stands in nobody's way.
    opened_or_no_mapper(box, usual(b, mapperName="slow"))


def failures__are_counted_and_logged_once(box):
    before = box.w.vouchsafe("metrics", check=True).stdout
    box.refused("volume.zfs-unsupported", usual(box.loops[0], encryptionType="zfs"))
    after = box.w.vouchsafe("metrics", check=True).stdout
    assert 'code="volume.zfs-unsupported"' in after and before != after
    assert "vouchsafe_volumes_opened_total" in after and "vouchsafe_volume_seconds_bucket" in after


# --- the socket misused ----------------------------------------------------------------------------

def opening(box, flags=p.FILESYSTEM, device="/dev/loop0", at=None):
    return p.head(p.OPEN, flags) + p.field(p.DEVICE, device) + p.field(p.MOUNT_POINT, at or box.mnt / "a")


def wrong_uid__may_do_nothing(box):
    os.chmod(box.socket, 0o666)
    os.chmod(box.w.tmp, 0o755)
    try:
        for packet in (opening(box), p.head(p.LIST), p.head(p.CLOSE) + p.field(p.MAPPER, "m"), p.head(p.CLOSE_ALL),
                       b"nonsense"):
            kind, f = p.send_as(65534, 65534, box.socket, packet)
            assert kind == p.FAILED and f[p.CODE] == "volume.peer-denied", (kind, f)
    finally:
        os.chmod(box.socket, 0o660)


def socket__mode__keeps_others_out(box):
    st = os.stat(box.socket)
    assert st.st_mode & 0o777 == 0o660 and st.st_gid == p.VOUCHSAFE_UID, oct(st.st_mode)


def root__lists_and_closes_and_does_not_open(box):
    kind, f = p.send(box.socket, opening(box))
    assert kind == p.FAILED and f[p.CODE] == "volume.peer-denied", f
    assert p.send(box.socket, p.head(p.LIST)) == (p.LISTING, {p.JSON: "[]"})
    assert p.send(box.socket, p.head(p.CLOSE_ALL))[0] == p.DONE
    assert p.send(box.socket, p.head(p.CLOSE) + p.field(p.MAPPER, "never-there"))[0] == p.DONE


def malformed__packets__get_their_code(box):
    big = opening(box) + b"\0" * (100 << 10)
    rows = [b"x", b"VMD1", p.head(9), p.head(p.LIST, first=0), p.head(p.LIST) + b"\1", p.head(p.OPENED, first=0),
            p.head(p.OPEN), big, p.head(p.CLOSE) + p.field(p.MAPPER, "a" * 128), opening(box)[:-1],
            opening(box) + p.field(p.DEVICE, "/dev/loop1"), p.head(p.OPEN, 0x20) + p.field(p.MOUNT_POINT, "/m")]
    for packet in rows:
        kind, f = p.send(box.socket, packet)
        assert kind == p.FAILED and f[p.CODE] == "volume.request", (packet[:40], kind, f)
    kind, f = p.send_as(p.VOUCHSAFE_UID, p.VOUCHSAFE_UID, box.socket,
                        opening(box, p.FILESYSTEM | p.KEYED), b"k" * 65537)
    assert kind == p.FAILED and f[p.CODE] == "volume.key", f


def descriptors_sent_along__are_not_taken(box):
    pid = box.w.processes["mountd"].pid
    before = len(os.listdir(f"/proc/{pid}/fd"))
    with p.connect(box.socket) as s:
        socket.send_fds(s, [p.head(p.LIST)], [0, 1, 2] * 20)
        assert p.last_reply(s)[0] == p.LISTING
    assert len(os.listdir(f"/proc/{pid}/fd")) == before


def stalled_clients__hold_nobody_up_and_are_dropped(box):
    """Seven say nothing; the eighth is served at once; more are told that it is too many."""
    stalled = [p.connect(box.socket) for _ in range(7)]
    try:
        time.sleep(0.3)
        begin = time.monotonic()
        assert p.send(box.socket, p.head(p.LIST))[0] == p.LISTING
        assert time.monotonic() - begin < 2
        more = [p.connect(box.socket) for _ in range(2)]
        time.sleep(0.3)
        kind, f = p.last_reply(more[1])
        assert kind == p.FAILED and f[p.CODE] == "volume.too-many", (kind, f)
        kind, f = p.last_reply(stalled[0])
        assert kind == p.FAILED and f[p.CODE] == "volume.deadline", (kind, f)
        assert 3 < time.monotonic() - begin < 8
        for s in more:
            s.close()
    finally:
        for s in stalled:
            s.close()
    wait_for("the places to be free", lambda: p.send(box.socket, p.head(p.LIST))[0] == p.LISTING)


def key_that_never_comes__ends_in_time(box):
    r = p.send_as(p.VOUCHSAFE_UID, p.VOUCHSAFE_UID, box.socket, opening(box, p.FILESYSTEM | p.KEYED))
    assert r[0] == p.FAILED and r[1][p.CODE] == "volume.deadline", r


def command_line__others_than_root__are_told(box):
    r = subprocess.run([box.w.dev / "vouchsafe", "--root", box.w.root, "volume", "list"], capture_output=True,
                       text=True, user=65534, group=65534, extra_groups=[])
    assert r.returncode == 77 and "volume.peer-denied" in r.stderr, r
    for argv, code in ((["volume"], 64), (["volume", "close"], 64), (["volume", "close", "x", "--all"], 64),
                       (["volume", "open", "/dev/loop0"], 64), (["volume", "none"], 64), (["volume", "--help"], 0)):
        assert box.w.vouchsafe(*argv).returncode == code, argv


def command_line__open__is_secure_mount(box):
    d = box.disk()
    r = box.w.vouchsafe("volume", "open", "--key", "kbs:///default/vol/key", "--mapper", "by-hand", d.dev, box.mnt / "a")
    if has_mapper():
        assert r.returncode == 0, r
        assert "by-hand" in box.w.vouchsafe("volume", "list", check=True).stdout
        box.w.vouchsafe("volume", "close", "by-hand", check=True)
    else:
        assert r.returncode == 69 and "volume.kernel" in r.stderr, r
    r = box.w.vouchsafe("volume", "open", "--encrypted", "--key", "kbs:///default/vol/short", box.disk().dev, box.mnt / "a")
    assert r.returncode == 65 and "volume.no-header" in r.stderr, r
    box.nothing_left()


# --- confinement --------------------------------------------------------------------------------------

def status(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def sandbox__as_proc_says(box):
    pid = box.w.processes["mountd"].pid
    s = status(pid)
    assert s["Uid"].split() == ["0"] * 4
    for caps in ("CapPrm", "CapEff", "CapBnd"):
        assert int(s[caps], 16) == 1 << 21, (caps, s[caps])
    assert int(s["CapInh"], 16) == 0 and int(s["CapAmb"], 16) == 0
    assert s["NoNewPrivs"].strip() == "1" and s["Seccomp"].strip() == "2", s
    assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"), "its mounts would be invisible"
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]], limits
    maps = pathlib.Path(f"/proc/{box.w.processes['vouchsafed'].pid}/maps").read_text()
    assert "libcryptsetup" not in maps and "libdevmapper" not in maps
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    assert "libcurl" not in maps and "tss2" not in maps, "it has never seen Trustee nor the TPM"


def vouchsafed__keeps_its_own_confinement(box):
    s = status(box.w.processes["vouchsafed"].pid)
    assert int(s["CapEff"], 16) == 0 and s["Seccomp"].strip() == "2"
    assert s["Uid"].split()[0] == str(p.VOUCHSAFE_UID)


# --- killed --------------------------------------------------------------------------------------------

def children(pid):
    return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ask_in_background(box, options):
    """A short key: argon2id takes its time."""
    out = []

    def run():
        try:
            out.append(box.mount(options))
        except (ttrpc.Status, ttrpc.Broken) as why:
            out.append(str(why))

    t = threading.Thread(target=run)
    t.start()
    return t, out


def mountd_killed_mid_request__caller_is_told_and_the_next_succeeds():
    rng = random.Random(5)
    with Box().up() as box:
        d = box.disk()
        o = usual(d, key="kbs:///default/vol/short", mapperName="killed")
        seen = set()
        for _ in range(6):
            t, out = ask_in_background(box, o)
            main = box.w.processes["mountd"].pid
            wait_for("the request", lambda: children(main) or out)
            time.sleep(rng.uniform(0, 0.6))
            for pid in children(main) + [main]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            box.w.stop("mountd")
            t.join(20)
            assert not t.is_alive() and len(out) == 1, out
            seen.add(str(out[0])[:80])
            box.start()
            opened_or_no_mapper(box, o)
        assert any("volume.mountd-unreachable" in s for s in seen), seen


def left_half_done__is_undone_without_a_request():
    with Box() as box:
        state = box.w.root / "run/vouchsafe/volumes"
        state.mkdir(parents=True, mode=0o700)
        left = box.mnt / "link"
        left.symlink_to("/dev/mapper/half")
        (state / "half.json").write_text(json.dumps({
            "mapper": "half", "device": "/dev/vdz", "mountPoint": str(left), "target": "device", "integrity": False,
            "keyed": True, "major": 4000, "minor": 1, "open": False, "opened": 1}))
        box.up()
        wait_for("the recovery at the start", lambda: not (state / "half.json").exists())
        box.nothing_left()
        d = box.disk()
        t, out = ask_in_background(box, usual(d, key="kbs:///default/vol/short", mapperName="half"))
        main = box.w.processes["mountd"].pid
        wait_for("the record", lambda: (state / "half.json").exists() or out)
        for pid in children(main):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        t.join(20)
        assert "volume.mountd-unreachable" in str(out[0]), out
        wait_for("the recovery after a death", lambda: not (state / "half.json").exists())
        box.nothing_left()


def vouchsafed_killed_mid_request__mountd_goes_on_and_the_next_succeeds():
    with Box().up() as box:
        d = box.disk()
        o = usual(d, key="kbs:///default/vol/short")
        t, out = ask_in_background(box, o)
        main = box.w.processes["mountd"].pid
        wait_for("the request", lambda: children(main))
        box.w.stop("vouchsafed", signal.SIGKILL)
        t.join(20)
        assert "closed the connection" in str(out[0]) or "receive" in str(out[0]), out
        wait_for("the request's end", lambda: not children(main))
        box.w.start_daemon()
        if has_mapper():
            box.w.vouchsafe("volume", "close", "--all", check=True)
        opened_or_no_mapper(box, o)


def mountd_stopped_mid_request__it_is_ended_first():
    with Box().up() as box:
        d = box.disk()
        t, out = ask_in_background(box, usual(d, key="kbs:///default/vol/short"))
        main = box.w.processes["mountd"].pid
        wait_for("the request", lambda: children(main))
        box.w.processes["mountd"].terminate()
        t.join(30)
        text = str(out[0])
        assert out and ("volume.kernel" in text or has_mapper()), out
        assert box.w.stop("mountd") == 0
        box.start()


def mountd_not_there__is_named():
    with Box() as box:
        box.w.up()
        d = box.disk()
        before = d.digest()
        box.refused("volume.mountd-unreachable", usual(d))
        assert d.digest() == before
        assert box.w.vouchsafe("volume", "list").returncode == 75
        assert box.w.vouchsafe("volume", "close", "--all").returncode == 0, "nothing can be open"


def idle__it_ends_and_a_request_meanwhile_is_not_lost():
    with Box() as box:
        path = box.w.tmp / "s"
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.bind(str(path))
        s.listen(8)

        def by_shell():
            """LISTEN_PID is that of the program itself."""
            return subprocess.Popen(["sh", "-c", f'exec 3<&{s.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh",
                                     box.w.dev / "vouchsafe-mountd", "--root", box.w.root, "--idle", "1"],
                                    pass_fds=(s.fileno(),), stderr=subprocess.PIPE)

        first = by_shell()
        assert p.send(path, p.head(p.LIST))[0] == p.LISTING
        assert first.wait(10) == 0, first.stderr.read()
        with p.connect(path) as waiting:
            waiting.send(p.head(p.LIST))
            second = by_shell()
            assert p.last_reply(waiting)[0] == p.LISTING
            assert second.wait(10) == 0
        # A record of what another hand closed (the forwarder does) goes with it: at shutdown nobody could be asked.
        third = by_shell()
        assert p.send(path, p.head(p.LIST))[0] == p.LISTING
        left = box.w.root / "run/vouchsafe/volumes/by-hand.json"
        left.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        left.write_text(json.dumps({
            "mapper": "by-hand", "device": "/dev/vdz", "mountPoint": str(box.mnt / "a"), "target": "fileSystem",
            "integrity": False, "keyed": True, "major": 4000, "minor": 1, "open": True, "opened": 1}))
        assert third.wait(20) == 0 and not left.exists()
        assert box.w.vouchsafe("volume", "close", "--all").returncode == 0
        s.close()


# --- rules -----------------------------------------------------------------------------------------------

def rules__bad_files__keep_it_from_starting():
    with Box() as box:
        rows = [("config.syntax", "[volumes"), ("config.unknown-key", "[volumes]\nmounts = []\n"),
                ("config.value", "[volumes]\ndevices = []\n"), ("config.value", "[volumes]\nmount_prefixes = []\n"),
                ("config.value", '[volumes]\ndevices = ["vdb"]\n'), ("config.value", '[volumes]\ndevices = ["/etc/x"]\n'),
                ("config.value", '[volumes]\nmount_prefixes = ["run"]\n'), ("config.value", '[volumes]\nmount_prefixes = ["/"]\n'),
                ("config.value", '[volumes]\ntagged_only = "yes"\n'), ("config.value", '[volumes]\ndevices = [1]\n')]
        for code, text in rows:
            box.rules(text)
            r = box.w.run([box.w.dev / "vouchsafe-mountd", "--root", box.w.root, "--listen", box.w.tmp / "s"])
            assert r.returncode == 78 and code in r.stderr, (text, r)


def rules__without_a_file__loop_devices_and_other_places_are_refused():
    with Box() as box:
        (box.w.root / "usr/lib/vouchsafe/mountd.toml").unlink()
        box.up()
        d = box.disk()
        before = d.digest()
        box.refused("volume.not-allowed", usual(d), "/run/kata-containers/image")
        assert "rules=built-in" in box.w.log("mountd")
        assert d.digest() == before


def rules__tagged_only__all_or_none():
    for word, code in (("true", "volume.header-auth"), ("false", "volume.kernel")):
        with Box() as box:
            box.rules(f'[volumes]\ndevices = ["/dev/loop*"]\nmount_prefixes = ["{box.mnt}"]\ntagged_only = {word}\n')
            box.up()
            stripped = made_here(box)
            luks2.change(stripped.dev, luks2.at("tokens", {}))
            for d in (by_cryptsetup(box), stripped):
                before = d.digest()
                if code == "volume.kernel" and has_mapper():
                    code = "volume.mount"  # the mapping holds nothing
                box.refused(code, usual(d, sourceType="encrypted", key="kbs:///default/vol/key"))
                assert d.digest() == before
            box.nothing_left()


def normal_build__unmeasured_rules__keep_it_from_starting():
    """In namespaces of its own, where /usr/lib/vouchsafe has a file that no verity vouches for."""
    program = BUILD / "vouchsafe-mountd"
    if not program.exists():
        raise Skip("no normal build of vouchsafe-mountd")
    with Box() as box:
        r = box.w.run(["unshare", "-m", "--propagation", "private", "sh", "-c",
                       'mkdir -p "$1/up" "$1/work" && mount -t tmpfs tmpfs "$1" && mkdir "$1/up" "$1/work" && '
                       'mount -t overlay overlay -o lowerdir=/usr/lib,upperdir="$1/up",workdir="$1/work" /usr/lib && '
                       'mkdir -p /usr/lib/vouchsafe && echo "[volumes]" >/usr/lib/vouchsafe/mountd.toml && '
                       'exec "$2" --listen "$1/s"', "sh", box.w.tmp / "over", program])
        if "mount:" in r.stderr:
            raise Skip("no overlay over /usr/lib: " + r.stderr.strip()[:100])
        assert r.returncode == 78 and "config.unmeasured" in r.stderr, r


def normal_build__root_option__is_unknown():
    program = BUILD / "vouchsafe-mountd"
    if not program.exists():
        raise Skip("no normal build of vouchsafe-mountd")
    r = subprocess.run([program, "--root", "/tmp"], capture_output=True, text=True)
    assert r.returncode == 64 and "unknown option --root" in r.stderr, r


# --- native kata --------------------------------------------------------------------------------------------

def native_kata__data_hub_starts_its_own_on_a_pair():
    with Box() as box:
        w = box.w
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        run = w.root / "run/confidential-containers/initdata"
        run.mkdir(parents=True)
        shutil.copy(w.initdata(encode=False), run / "initdata.toml")
        bin = w.tmp / "bin"
        bin.mkdir()
        for name in ("attestation-agent", "confidential-data-hub"):
            (bin / name).symlink_to(w.dev / "vouchsafed")
        w.start("aa", [bin / "attestation-agent", "--root", w.root])
        wait_for("the agent", lambda: (w.root / "run/confidential-containers/attestation-agent/attestation-agent.sock").exists())
        hub = w.start("cdh", [bin / "confidential-data-hub", "--root", w.root])
        wait_for("the hub", lambda: w.cdh_socket.exists())
        mine = [c for c in children(hub.pid) if "vouchsafe-mount" in pathlib.Path(f"/proc/{c}/comm").read_text()]
        assert len(mine) == 1, w.log("cdh")
        wait_for("its confinement", lambda: status(mine[0])["Seccomp"].strip() == "2")
        assert int(status(mine[0])["CapEff"], 16) == 1 << 21 | 1 << 27, status(mine[0])
        assert int(status(hub.pid)["CapEff"], 16) == 0
        d = box.disk()
        for key in (None, "kbs:///default/vol/key"):
            try:
                box.mount(usual(d, key=key))
                assert has_mapper()
                subprocess.run(["umount", box.mnt / "a"], check=True)
            except ttrpc.Status as why:
                assert "volume.kernel" in why.message and not has_mapper(), why
        # The console is the host's: codes and no names.
        assert str(box.mnt) not in w.log("cdh"), w.log("cdh")
        w.stop("cdh")
        wait_for("mountd's end", lambda: not os.path.exists(f"/proc/{mine[0]}"))


def main():
    c = Cases()
    if not can_mount():
        print("skip mountd: needs root with CAP_SYS_ADMIN")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    with Box() as box:
        box.up()
        for fn in (
            keyless__opened_or_named__nothing_stays,
            each_kind_of_key__comes_to_mountd,
            trusted_store__as_kata_agent_calls_it,
            cloud_volume__as_the_forwarder_calls_it,
            bad_input__has_its_code_and_harms_nothing,
            headers_that_the_host_changed__refused_by_name_and_unharmed,
            busy_device__is_refused_by_name,
            long_work_on_one_device__holds_no_other_up,
            failures__are_counted_and_logged_once,
            wrong_uid__may_do_nothing,
            socket__mode__keeps_others_out,
            root__lists_and_closes_and_does_not_open,
            malformed__packets__get_their_code,
            descriptors_sent_along__are_not_taken,
            stalled_clients__hold_nobody_up_and_are_dropped,
            key_that_never_comes__ends_in_time,
            command_line__others_than_root__are_told,
            command_line__open__is_secure_mount,
            sandbox__as_proc_says,
            vouchsafed__keeps_its_own_confinement,
        ):
            c.run(fn, box)
    for fn in (
        mountd_killed_mid_request__caller_is_told_and_the_next_succeeds,
        left_half_done__is_undone_without_a_request,
        vouchsafed_killed_mid_request__mountd_goes_on_and_the_next_succeeds,
        mountd_stopped_mid_request__it_is_ended_first,
        mountd_not_there__is_named,
        idle__it_ends_and_a_request_meanwhile_is_not_lost,
        rules__bad_files__keep_it_from_starting,
        rules__without_a_file__loop_devices_and_other_places_are_refused,
        rules__tagged_only__all_or_none,
        normal_build__unmeasured_rules__keep_it_from_starting,
        normal_build__root_option__is_unknown,
        native_kata__data_hub_starts_its_own_on_a_pair,
    ):
        c.run(fn)
    return c.finish()


if __name__ == "__main__":
    sys.exit(main())
