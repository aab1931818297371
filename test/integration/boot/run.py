# SPDX-License-Identifier: Apache-2.0
"""Boot logs and unified kernel images against other programs: tpm2_eventlog, systemd-measure,
sbsign, pefile. usage: run.py BUILD_DIR"""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "doctor"))
import posture  # noqa: E402
from world import Cases, Skip  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
TOP = pathlib.Path(__file__).resolve().parents[3]
STUB = pathlib.Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
MEASURE = pathlib.Path("/lib/systemd/systemd-measure")
TMP = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-boot-"))
# In the file's order, which is not the one that the stub measures in.
SECTIONS = (("osrel", 0x20000), ("cmdline", 0x30000), ("uname", 0x40000), ("linux", 0x2000000), ("initrd", 0x3000000))


def need(*programs):
    for p in programs:
        if not (shutil.which(p) if "/" not in str(p) else pathlib.Path(p).exists()):
            raise Skip(f"{p} is not here")


def run(*argv, **kw):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, timeout=120, **kw).stdout


def bootlog(*argv):
    return json.loads(run(BUILD / "tools/bootlog", *argv))


def kernel():
    """A PE file that stands for a kernel: the stub itself is one."""
    return STUB.read_bytes()


def make_uki(name, cmdline=b"quiet roothash=" + b"0" * 64, initrd=b"initrd" * 1001, odd=b""):
    need("objcopy", STUB)
    parts = {"osrel": b"ID=debian\n", "cmdline": cmdline, "uname": b"6.1", "linux": kernel(), "initrd": initrd}
    argv = ["objcopy"]
    for section, at in SECTIONS:
        (TMP / f"{name}.{section}").write_bytes(parts[section])
        argv += ["--add-section", f".{section}={TMP / name}.{section}", "--change-section-vma", f".{section}={at:#x}"]
    out = TMP / f"{name}.efi"
    run(*argv, STUB, out)
    with out.open("ab") as f:
        f.write(odd)
    return out


def systemd_measure(name, bank):
    argv = [MEASURE, "calculate", "--phase=:", f"--bank={bank}", "--json=short"]
    for section, _ in SECTIONS:
        if section != "uname":  # 252 neither knows nor measures it
            argv.append(f"--{section}={TMP / name}.{section}")
    return json.loads(run(*argv))[bank][0]["hash"]


def recorded_log():
    doc = json.loads((TOP / "test/vectors/attester/uki-boot.json").read_text())
    path = TMP / "boot.log"
    path.write_bytes(base64.b64decode(doc["log"]))
    return path, doc


def tpm2_eventlog(path):
    """The PCRs that tpm2_eventlog computes: {bank: {register: hex}}."""
    text = run("tpm2_eventlog", path).decode(errors="replace")
    banks, bank = {}, None
    for line in text[text.index("\npcrs:"):].splitlines():
        if m := re.match(r"  (sha\w+):", line):
            bank = banks.setdefault(m[1], {})
        elif m := re.match(r"    (\d+)\s*: 0x([0-9a-f]+)", line):
            bank[m[1]] = m[2]
    return banks


def log__recorded_boot__replays_as_tpm2_eventlog_does():
    need("tpm2_eventlog")
    path, doc = recorded_log()
    theirs = tpm2_eventlog(path)
    for bank in ("sha256", "sha384", "sha512"):
        assert bootlog("log", "tpm", bank, path) == theirs[bank], bank
    for register, value in bootlog("log", "tpm", "sha256", path).items():
        assert doc["pcrs"][int(register)] == value, register


def log__with_a_startup_locality__pcr_0_begins_there():
    """By the definition: tpm2_eventlog 5.4 knows no locality and extends EV_NO_ACTION (seen)."""
    path, doc = recorded_log()
    raw = path.read_bytes()
    first = 32 + struct.unpack_from("<I", raw, 28)[0]
    algs = ((4, 20), (0xb, 32), (0xc, 48), (0xd, 64))
    record = struct.pack("<III", 0, 3, 4) + b"".join(struct.pack("<H", a) + bytes(n) for a, n in algs)
    record += struct.pack("<I", 17) + b"StartupLocality\0\3"
    changed = TMP / "locality.log"
    changed.write_bytes(raw[:first] + record + raw[first:])
    for start, log in ((bytes(32), path), (bytes(31) + b"\3", changed)):
        pcr = start
        for register, digest in posture.events(raw):
            if register == 0:
                pcr = hashlib.sha256(pcr + digest).digest()
        assert bootlog("log", "tpm", "sha256", log)["0"] == pcr.hex(), log
    assert doc["pcrs"][0] == bootlog("log", "tpm", "sha256", path)["0"]


def uki__pcr_11__is_what_systemd_measure_calculates():
    need(MEASURE)
    for name, cmdline, initrd in (("plain", b"quiet", b"x"), ("newline", b"quiet\n", b"y" * 4096),
                                  ("nul", b"quiet\n\0", b"z" * 4097), ("spaces", b" a  b ", bytes(511))):
        uki = make_uki(name, cmdline, initrd)
        for bank in ("sha256", "sha384"):
            assert bootlog("pe", bank, uki)["pcr11"] == systemd_measure(name, bank), (name, bank)
        values = json.loads(run(BUILD / "vouchsafe", "reference-values", "--evidence", "none", "--uki", uki, "--json"))
        assert values["tpm_pcr11"] == [systemd_measure(name, "sha256")], values


def uki__authenticode__is_what_sbsign_signs():
    need("sbsign", "sbverify", "openssl")
    uki = make_uki("sign", odd=b"\0" * 3)
    # sbsign fills the file up to a multiple of eight and hashes what it filled.
    with uki.open("ab") as f:
        f.write(bytes(-uki.stat().st_size % 8))
    key, cert, signed = TMP / "key", TMP / "cert", TMP / "signed.efi"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=t")
    run("sbsign", "--key", key, "--cert", cert, "--output", signed, uki)
    run("sbverify", "--cert", cert, signed)
    before, after = bootlog("pe", "sha256", uki), bootlog("pe", "sha256", signed)
    assert before == after, (before, after)
    # The digest that the signature is over stands in it.
    assert bytes.fromhex(after["authenticode"]) in signed.read_bytes()
    assert bytes.fromhex(after["authenticode"]) not in uki.read_bytes()


def uki__authenticode_and_pcr_4__are_pefile_s_and_the_definition_s():
    try:
        import pefile
    except ImportError:
        raise Skip("python3-pefile is not here") from None
    uki = make_uki("pefile")
    raw = uki.read_bytes()
    pe = pefile.PE(data=raw, fast_load=True)
    checksum = pe.OPTIONAL_HEADER.get_file_offset() + 64
    entry = pe.OPTIONAL_HEADER.DATA_DIRECTORY[4].get_file_offset()
    flat = hashlib.sha256(raw[:checksum] + raw[checksum + 4:entry] + raw[entry + 8:]).hexdigest()
    ours = bootlog("pe", "sha256", uki)
    # Without gaps or certificates the file but for two fields is what is hashed.
    assert ours["authenticode"] == flat, (ours, flat)
    inner = bootlog("pe", "sha256", STUB)["authenticode"]
    pcr = bytes(32)
    for digest in (hashlib.sha256(b"Calling EFI Application from Boot Option").digest(),
                   hashlib.sha256(bytes(4)).digest(), bytes.fromhex(flat), bytes.fromhex(inner)):
        pcr = hashlib.sha256(pcr + digest).digest()
    assert ours["pcr4"] == pcr.hex()


def uki__debian_s_stub__measures_what_the_table_says():
    """The names that the stub itself holds: those it measures, and .pcrsig."""
    need(STUB)
    raw = STUB.read_bytes()
    version = int(re.search(rb"LoaderInfo: systemd-stub (\d+)", raw)[1])
    late = {b".uname": 254, b".sbat": 254, b".ucode": 256}
    for name in (b".linux", b".osrel", b".cmdline", b".initrd", b".splash", b".dtb", b".pcrpkey"):
        assert name + b"\0" in raw, name
    for name in (b".uname", b".ucode"):
        assert (name + b"\0" in raw) == (version >= late[name]), (name, version)


def main():
    c = Cases()
    try:
        for fn in (
            log__recorded_boot__replays_as_tpm2_eventlog_does,
            log__with_a_startup_locality__pcr_0_begins_there,
            uki__pcr_11__is_what_systemd_measure_calculates,
            uki__authenticode__is_what_sbsign_signs,
            uki__authenticode_and_pcr_4__are_pefile_s_and_the_definition_s,
            uki__debian_s_stub__measures_what_the_table_says,
        ):
            c.run(fn)
    finally:
        shutil.rmtree(TMP)
    return c.finish()


if not os.access(BUILD / "tools/bootlog", os.X_OK):
    sys.exit(f"{BUILD}/tools/bootlog is not built")
sys.exit(main())
