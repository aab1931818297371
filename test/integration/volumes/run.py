# SPDX-License-Identifier: Apache-2.0
"""Volumes as far as that goes without device mapper: headers on loop devices, against cryptsetup(8).

What needs device mapper is in test/vm/guest/luks-*.sh.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE.parent))
import luks2  # noqa: E402
from luks2 import HOSTILE, at  # noqa: E402
from world import Cases, Skip  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
TOOL, KILLAT = BUILD / "tools/volume_tool", BUILD / "tools/killat.so"
TMP = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-volumes-"))
FULL, SHORT, OTHER = TMP / "full", TMP / "short", TMP / "other"
MIB = 1 << 20
loops = []


def run(*argv, check=True, **kw):
    p = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **kw)
    if check and p.returncode != 0:
        raise AssertionError(f"{argv}: {p.returncode} {p.stderr.decode()}")
    return p


def loop(size=64 * MIB, *options):
    f = TMP / f"disk{len(loops)}"
    with open(f, "wb") as d:
        d.truncate(size)
    dev = run("losetup", "-f", "--show", *options, f).stdout.decode().strip()
    loops.append(dev)
    return dev


def tool(verb, dev, key=FULL, **kw):
    argv = [TOOL, verb, f"device={dev}"] + ([f"key={key}"] if key else [])
    return run(*argv, *[f"{k}={v}" for k, v in kw.items()], check=False)


def ok(p):
    assert p.returncode == 0, p.stderr.decode()
    return p.stdout.decode().strip()


def digest(dev):
    run("blockdev", "--flushbufs", dev)
    h = hashlib.sha256()
    with open(dev, "rb") as f:
        while block := f.read(4 * MIB):
            h.update(block)
    return h.hexdigest()


def refused(code, verb, dev, words="", **kw):
    """Refused by that code, and the device as it was."""
    before = digest(dev)
    p = tool(verb, dev, **kw)
    said = p.stderr.decode()
    assert p.returncode == 1 and said.startswith(code + ":"), f"want {code}, got {p.returncode} {said}"
    assert words in said, said
    assert digest(dev) == before, "the device was changed"


def cryptsetup_opens(dev, key, want=True):
    p = run("cryptsetup", "open", "--test-passphrase", "--key-file", key, dev, check=False)
    assert (p.returncode == 0) == want, p.stderr.decode()


def luks_format(dev, key, *options):
    run("cryptsetup", "-q", "luksFormat", "--type", "luks2", "--cipher", "aes-xts-plain64", "--key-size", "512",
        "--key-file", key, *(options or ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")), dev)


def ready():
    for t in ("losetup", "cryptsetup", "mkfs.ext4", "mkfs.xfs"):
        if not shutil.which(t):
            raise Skip(f"{t} is not installed")
    try:
        run("losetup", "-d", loop())
        loops.pop()
    except AssertionError as e:
        raise Skip(f"no loop devices: {e}") from None
    FULL.write_bytes(bytes(range(32)))
    OTHER.write_bytes(bytes(range(1, 33)))
    SHORT.write_bytes(b"hunter2")


def made_here__full_key__cryptsetup_opens_it():
    dev = loop()
    assert ok(tool("write-header", dev)) == "empty"
    cryptsetup_opens(dev, FULL)
    cryptsetup_opens(dev, OTHER, False)
    slot = luks2.text(dev)["keyslots"]["0"]
    assert slot["kdf"]["type"] == "pbkdf2" and slot["kdf"]["iterations"] == 1000, slot
    dump = run("cryptsetup", "luksDump", dev).stdout.decode()
    assert "vouchsafe" in dump and "aes-xts-plain64" in dump and "4096 [bytes]" in dump, dump
    assert ok(tool("check-header", dev)) == "luks"
    assert ok(tool("check-header", dev, source="encrypted", tagged=1)) == "luks"
    refused("volume.wrong-key", "check-header", dev, key=OTHER)


def made_here__short_key__argon2id_and_opens():
    dev = loop()
    ok(tool("write-header", dev, key=SHORT))
    kdf = luks2.text(dev)["keyslots"]["0"]["kdf"]
    assert kdf["type"] == "argon2id" and kdf["memory"] == 65536 and kdf["time"] == 4, kdf
    cryptsetup_opens(dev, SHORT)
    ok(tool("check-header", dev, key=SHORT, source="encrypted"))
    refused("volume.wrong-key", "check-header", dev, key=FULL)


def made_by_cryptsetup__in_its_usual_ways__opens_here():
    for options in ((), ("--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "32768",
                         "--pbkdf-parallel", "2"), ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "200000",
                                                    "--hash", "sha512", "--sector-size", "512", "--label", "data")):
        dev = loop()
        luks_format(dev, FULL, *options)
        ok(tool("check-header", dev, source="encrypted"))
        refused("volume.wrong-key", "check-header", dev, key=OTHER, source="encrypted")
        refused("volume.header-auth", "check-header", dev, source="encrypted", tagged=1)
        refused("volume.header-integrity", "check-header", dev, source="encrypted", integrity=1)
        run("cryptsetup", "luksAddKey", "--key-file", FULL, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
            dev, OTHER)
        ok(tool("check-header", dev, key=OTHER, source="encrypted"))


def keys_that_take_much_memory__take_turns():
    """Two headers of cryptsetup's, over and under what every request may use beside the others."""
    state = TMP / "state"
    state.mkdir(mode=0o700)
    held = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.fcntl(held, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 1, 1, 0))
    for memory, waits in (("65536", False), ("98304", True)):
        dev = loop()
        luks_format(dev, FULL, "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", memory,
                    "--pbkdf-parallel", "1")
        if waits:
            refused("volume.busy", "check-header", dev, source="encrypted", state=state, deadline=500, words="much memory")
            os.close(held)
        ok(tool("check-header", dev, source="encrypted", state=state, deadline=20000))


def made_here__then_changed_by_cryptsetup__refused():
    dev = loop()
    ok(tool("write-header", dev))
    run("cryptsetup", "luksAddKey", "--key-file", FULL, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", dev,
        OTHER)
    refused("volume.header-auth", "check-header", dev)
    dev = loop()
    ok(tool("write-header", dev))
    run("cryptsetup", "config", "--label", "renamed", dev)
    refused("volume.header-auth", "check-header", dev)


def hostile_headers__made_here_or_by_cryptsetup__refused_by_name():
    own, foreign = loop(33 * MIB), loop(33 * MIB)
    ok(tool("write-header", own))
    luks_format(foreign, FULL)
    for dev in (own, foreign):
        with open(dev, "rb") as f:
            good = f.read(2 * luks2.COPY)
        for code, fn in HOSTILE:
            luks2.change(dev, fn)
            refused(code, "check-header", dev, source="encrypted" if dev == own else "empty")
            with open(dev, "r+b") as f:
                f.write(good)
        ok(tool("check-header", dev))


def own_header__within_the_form_but_altered__refused_by_the_tag():
    dev = loop()
    ok(tool("write-header", dev))
    with open(dev, "rb") as f:
        good = f.read(2 * luks2.COPY)
    for fn in (at("segments", "0", "sector_size", 512), at("segments", "0", "offset", str(17 * MIB)),
               at("keyslots", "0", "kdf", "iterations", 2000), at("keyslots", "0", "priority", 2),
               at("tokens", "0", "fs", "xfs"), at("config", "keyslots_size", str(8 * MIB))):
        luks2.change(dev, fn)
        refused("volume.header-auth", "check-header", dev, target="device")
        with open(dev, "r+b") as f:
            f.write(good)
    luks2.change_binary(dev, 24, b"other label")
    refused("volume.header-auth", "check-header", dev)
    with open(dev, "r+b") as f:
        f.write(good)
        f.seek(40000)
        f.write(b"keyslot")
    refused("volume.header-auth", "check-header", dev)


def own_header__without_its_token__refused_unless_the_rules_want_no_tag():
    for kw in ({}, {"key": SHORT}):
        dev = loop()
        ok(tool("write-header", dev, **kw))
        luks2.change(dev, at("tokens", {}))
        # cryptsetup(8) sees nothing wrong with it: what tells is the volume key.
        cryptsetup_opens(dev, kw.get("key", FULL))
        refused("volume.header-auth", "check-header", dev, words="was taken away", **kw)
        refused("volume.header-auth", "check-header", dev, source="encrypted", words="was taken away", **kw)
        refused("volume.header-auth", "check-header", dev, tagged=1, **kw)
        ok(tool("check-header", dev, tagged=0, **kw))
    # Nor does another keyslot, or another key for it, take the mark away.
    run("cryptsetup", "luksAddKey", "--key-file", SHORT, "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", dev,
        OTHER)
    refused("volume.header-auth", "check-header", dev, key=OTHER, words="was taken away")
    ok(tool("check-header", dev, tagged=0, key=OTHER))


def file_system__another_than_made__refused():
    dev = loop(400 * MIB)
    ok(tool("write-header", dev, fs="ext4"))
    refused("volume.filesystem", "check-header", dev, fs="xfs", words="holds ext4")
    ok(tool("check-header", dev, target="device"))


def two_copies__damaged_or_different__chosen_or_refused():
    dev = loop()
    ok(tool("write-header", dev))
    with open(dev, "rb") as f:
        good = f.read(2 * luks2.COPY)

    def put(where, what):
        with open(dev, "r+b") as f:
            f.write(good)
            f.seek(where)
            f.write(what)

    for where in (5000, 0, luks2.COPY + 5000, luks2.COPY):
        put(where, b"DAMAGED!" if where % luks2.COPY else b"DAMAGED!")
        if where == 0:
            # No first magic: who only looks there sees no header, and nothing is overwritten.
            refused("volume.not-empty", "check-header", dev)
        else:
            ok(tool("check-header", dev))
    put(0, good)
    luks2.change(dev, at("keyslots", "0", "kdf", "iterations", 3000), copies=(1,))
    refused("volume.header", "check-header", dev, words="differ")
    put(5000, b"x")
    with open(dev, "r+b") as f:
        f.seek(luks2.COPY + 5000)
        f.write(b"x")
    refused("volume.header", "check-header", dev, words="checksum")


def declared_empty__holds_something__refused_and_unharmed():
    def ext4(d):
        run("mkfs.ext4", "-q", "-F", d)

    def xfs(d):
        run("mkfs.xfs", "-q", "-f", d)

    def swap(d):
        run("mkswap", d)

    def gpt(d):
        run("sfdisk", "-q", d, input=b"label: gpt\n,\n")

    def mbr(d):
        run("sfdisk", "-q", d, input=b"label: dos\n,\n")

    def luks1(d):
        run("cryptsetup", "-q", "luksFormat", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file", FULL, d)

    def lvm(d):
        with open(d, "r+b") as f:
            f.seek(512)
            f.write(b"LABELONE" + bytes([1, 0, 0, 0, 0, 0, 0, 0]) + bytes(4) + b"\x20\0\0\0" + b"LVM2 001" + b"a" * 32)

    seen = []
    for make, code in ((ext4, "volume.not-empty"), (xfs, "volume.not-empty"), (swap, "volume.not-empty"),
                       (gpt, "volume.not-empty"), (mbr, "volume.not-empty"), (luks1, "volume.header")):
        if make in (gpt, mbr) and not shutil.which("sfdisk"):
            continue
        dev = loop(400 * MIB if make is xfs else 64 * MIB)
        make(dev)
        refused(code, "write-header", dev)
        refused("volume.no-header" if make is not luks1 else code, "check-header", dev, source="encrypted")
        seen.append(make.__name__)
    assert len(seen) >= 4, seen
    # Noise is nobody's signature.
    dev = loop()
    with open(dev, "r+b") as f:
        f.write(os.urandom(MIB))
    if run("blkid", "-p", dev, check=False).returncode == 2:
        assert ok(tool("write-header", dev)) == "empty"


def keyless__over_a_keyed_volume__refused():
    dev = loop()
    ok(tool("write-header", dev))
    refused("volume.not-empty", "write-header", dev, key=None, words="no key")


def devices__that_cannot_be__a_code_each():
    dev = loop()
    for path, code, kw in (("/dev/none", "volume.device-missing", {}), ("/dev/null", "volume.device", {}),
                           (TMP / "disk0", "volume.not-allowed", {}), ("/dev/../etc/passwd", "volume.not-allowed", {}),
                           (dev, "volume.not-allowed", {"allow": "/dev/vd*"})):
        p = tool("write-header", path, **kw)
        assert p.returncode == 1 and p.stderr.decode().startswith(code + ":"), (path, p.stderr)
    ok(tool("write-header", dev, allow="/dev/loop*"))
    p = run(TOOL, "write-header", f"key={FULL}", "devid=259:4095", check=False)
    assert p.stderr.decode().startswith("volume.device-missing:"), p.stderr
    link = f"/dev/vouchsafe-test-{os.getpid()}"
    os.symlink(TMP / "disk0", link)
    try:
        p = tool("write-header", link)
        assert p.stderr.decode().startswith("volume.not-allowed:"), p.stderr
    finally:
        os.unlink(link)
    refused("volume.too-small", "write-header", loop(20 * MIB))
    refused("volume.too-small", "write-header", loop(200 * MIB), fs="xfs")
    refused("volume.device", "write-header", loop(64 * MIB + 512), words="multiple of 4096")
    refused("volume.device", "write-header", loop(64 * MIB, "-r"), words="")
    busy = loop()
    run("mkfs.ext4", "-q", "-F", busy)
    where = TMP / "mnt"
    where.mkdir()
    run("mount", busy, where)
    try:
        p = tool("write-header", busy)
        assert p.stderr.decode().startswith("volume.busy:"), p.stderr
    finally:
        run("umount", where)


def by_number__the_same_device():
    dev = loop()
    st = os.stat(dev)
    assert ok(run(TOOL, "write-header", f"key={FULL}", f"devid={os.major(st.st_rdev)}:{os.minor(st.st_rdev)}")) == "empty"
    ok(tool("check-header", dev, source="encrypted"))


def killed__before_every_step_of_formatting__finished_or_found_again():
    states, n = set(), 0
    for torn in (None, "512"):
        n = 0
        while True:
            n += 1
            dev = loop(33 * MIB)
            env = dict(os.environ, LD_PRELOAD=str(KILLAT), KILL_AT=str(n))
            if torn:
                env["KILL_TORN"] = torn
            p = run(TOOL, "write-header", f"device={dev}", f"key={FULL}", check=False, env=env)
            if p.returncode != -signal.SIGKILL:
                assert p.returncode == 0, p.stderr
                break
            # Whatever was begun is not a volume, and belongs to this key alone.
            p = tool("check-header", dev, source="encrypted")
            state = p.stderr.decode().split(":")[0] if p.returncode else "whole"
            assert state in ("volume.no-header", "volume.interrupted", "whole"), p.stderr
            if state == "volume.interrupted":
                refused("volume.wrong-key", "write-header", dev, key=OTHER)
            states.add(state)
            again = ok(tool("write-header", dev))
            assert (again == "luks") == (state == "whole"), (again, state)
            ok(tool("check-header", dev, source="encrypted", tagged=1))
            cryptsetup_opens(dev, FULL)
            run("losetup", "-d", dev)
            os.unlink(TMP / f"disk{len(loops) - 1}")
            loops.remove(dev)
            loops.append(None)
        assert n > 15, n
    assert states == {"volume.no-header", "volume.interrupted", "whole"}, states
    print(f"     {n - 1} places to be killed at, whole and torn", flush=True)


def main():
    c = Cases()
    try:
        if not c.run(ready):
            return c.finish()
        for name, fn in list(globals().items()):
            if "__" in name and callable(fn) and not name.startswith("__"):
                c.run(fn)
        return c.finish()
    finally:
        for dev in loops:
            if dev:
                run("losetup", "-d", dev, check=False)
        shutil.rmtree(TMP, ignore_errors=True)


sys.exit(main())
