# SPDX-License-Identifier: Apache-2.0
"""How the guest was booted: a recorded boot (test/vectors/attester/uki-boot.json) is played into a
swtpm, its log, command line and mounts are laid below the root, and doctor judges them."""

import base64
import hashlib
import json
import pathlib
import struct

TOP = pathlib.Path(__file__).resolve().parents[3]
LOG = "sys/kernel/security/tpm0/binary_bios_measurements"
EFIVAR = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
SIZES = {4: 20, 0xb: 32, 0xc: 48, 0xd: 64}


def recorded():
    doc = json.loads((TOP / "test/vectors/attester/uki-boot.json").read_text())
    return base64.b64decode(doc["log"]), doc["cmdline"], doc["pcrs"]


def events(log):
    """(PCR, SHA-256 digest) of each record that extends; read by means of its own."""
    at = 32 + struct.unpack_from("<I", log, 28)[0]
    while at < len(log):
        pcr, kind, count = struct.unpack_from("<III", log, at)
        at += 12
        digest = None
        for _ in range(count):
            alg, = struct.unpack_from("<H", log, at)
            if alg == 0xb:
                digest = log[at + 2:at + 34]
            at += 2 + SIZES[alg]
        at += 4 + struct.unpack_from("<I", log, at)[0]
        if kind != 3:
            yield pcr, digest


def put(w, path, text):
    file = w.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def extend(w, *specs):
    w.run(["tpm2_pcrextend", "-T", f"swtpm:host=127.0.0.1,port={w.tpm_port}", *specs], check=True)


def boot(w, cmdline=None):
    """A guest that booted so: verity root, read-only, its log, and the TPM to it."""
    log, line, pcrs = recorded()
    for pcr, digest in events(log):
        extend(w, f"{pcr}:sha256={digest.hex()}")
    put(w, LOG, log)
    put(w, "proc/cmdline", (cmdline or line) + "\n")
    put(w, "proc/self/mountinfo", "21 1 253:0 / / ro,relatime - erofs /dev/mapper/root ro\n")
    put(w, "sys/dev/block/253:0/dm/uuid", "CRYPT-VERITY-0000-root\n")
    put(w, "sys/dev/block/253:0/dm/name", "root\n")
    return line


def doctor(w):
    r = w.vouchsafe("doctor", "--json", "--offline")
    d = json.loads(r.stdout)
    return d, {f["check"]: f for f in d["findings"]}


def doctor__measured_verity_root__is_named_with_its_hash(world):
    with world() as w:
        w.start_tpm()
        line = boot(w)
        root_hash = line.split("roothash=")[1]
        d, f = doctor(w)
        assert f["boot"]["verdict"] == "ok" and "boot phases: none" in f["boot"]["text"], f["boot"]
        assert f["verity"]["verdict"] == "ok" and root_hash in f["verity"]["text"], f["verity"]
        assert f["read-only"]["verdict"] == "ok", f["read-only"]
        root = d["verity"][0]
        assert root["verity"] and root["measured"] and root["root_hash"] == root_hash, root
        assert root["root_hash_from"] == "cmdline" and root["why_not"] == "", root
        assert not d["verity"][1]["own_mount"], d["verity"]
        assert d["boot"]["log_replays"] and d["boot"]["uki"] and d["boot"]["cmdline_measured"], d["boot"]
        assert d["boot"]["secure_boot"] is False, d["boot"]
        assert f["secure-boot"]["verdict"] == "note" and f["secure-boot"]["text"] == "off", f["secure-boot"]
        # systemd's boot phases are known words.
        for word in ("sysinit", "ready"):
            extend(w, f"11:sha256={hashlib.sha256(word.encode()).hexdigest()}")
        d, f = doctor(w)
        assert "boot phases: sysinit ready" in f["boot"]["text"], f["boot"]
        assert d["verity"][0]["measured"], d["verity"]
        text = w.vouchsafe("doctor", "--offline").stdout
        assert "the measured one" in text and "Sign the image" in text, text


def doctor__command_line_not_the_measured_one__says_so(world):
    with world() as w:
        w.start_tpm()
        line = boot(w, recorded()[1] + " systemd.debug_shell")
        d, f = doctor(w)
        assert f["boot"]["verdict"] == "note" and "not the measured one" in f["boot"]["text"], f["boot"]
        assert f["boot"]["remedy"], f["boot"]
        root = d["verity"][0]
        assert root["verity"] and not root["measured"] and root["root_hash"] in line, root
        assert "not the measured one" in root["why_not"], root
        assert d["boot"]["log_replays"], d["boot"]


def doctor__register_or_log_differs__nothing_of_it_counts(world):
    with world() as w:
        w.start_tpm()
        boot(w)
        log = bytearray(recorded()[0])
        # The host can write a log: one digest of the command line's record is another.
        at = log.index(".cmdline".encode("utf-16le"), log.index(".cmdline".encode("utf-16le")) + 1)
        log[at - 4 - 66 - 50 - 1] ^= 1  # behind SHA-256 come SHA-384 and SHA-512
        for changed, words in ((bytes(log[:-1]), "beyond the log"), (bytes(log), "PCR")):
            put(w, LOG, changed)
            d, f = doctor(w)
            assert not d["boot"]["cmdline_measured"] and not d["verity"][0]["measured"], (words, d)
            if words != "PCR":
                assert words in d["boot"]["why_not"], d["boot"]
        put(w, LOG, recorded()[0])
        assert doctor(w)[0]["boot"]["cmdline_measured"]
        extend(w, "12:sha256=" + "11" * 32)
        d, f = doctor(w)
        assert "PCR 12 does not hold" in d["boot"]["why_not"] and not d["verity"][0]["measured"], d
        (w.root / LOG).unlink()
        d, f = doctor(w)
        assert not d["boot"]["log"] and "not there" in d["boot"]["why_not"], d["boot"]


def doctor__image_that_leaves_things_open__is_told_each_with_a_remedy(world):
    checks = ("credentials", "init-on-free", "core-dumps", "cloud-init", "console", "secure-boot", "read-only", "verity")
    with world() as w:
        put(w, "proc/cmdline", "quiet\n")
        put(w, "proc/self/mountinfo", "21 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n")
        put(w, "proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P\n")
        put(w, "proc/swaps", "Filename Type Size Used Priority\n/dev/vda2 partition 1 0 -2\n")
        put(w, "usr/bin/cloud-init", "")
        put(w, "proc/1/stat", "1 (systemd) S 0 1 1 0 -1 4194560\n")
        put(w, "proc/7/stat", "7 (a pod) S 1 7 7 34816 7 4194560\n")  # a pty's
        put(w, "proc/31/stat", "31 (ag) (etty) S 1 31 31 1088 31 4194560 1 2 3\n")
        put(w, "sys/dev/char/4:64/uevent", "MAJOR=4\nMINOR=64\nDEVNAME=ttyS0\n")
        put(w, EFIVAR, b"\x06\0\0\0\0")
        _, f = doctor(w)
        for c in checks:
            assert f[c]["verdict"] == "note" and f[c]["remedy"], f[c]
        assert f["swap"]["verdict"] == "bad" and "/dev/vda2" in f["swap"]["text"], f["swap"]
        assert "systemd-coredump" in f["core-dumps"]["text"], f["core-dumps"]
        assert f["secure-boot"]["text"] == "off", f["secure-boot"]
        assert "ag) (etty (process 31)" in f["console"]["text"] and "ttyS0" in f["console"]["text"], f["console"]
        # And without them it says nothing more.
        put(w, "proc/cmdline", "systemd.import_credentials=no init_on_free=1\n")
        put(w, "proc/self/mountinfo", "21 1 254:1 / / ro,relatime - ext4 /dev/vda1 ro\n")
        put(w, "proc/sys/kernel/core_pattern", "|/bin/false\n")
        put(w, "proc/swaps", "Filename Type Size Used Priority\n")
        (w.root / "usr/bin/cloud-init").unlink()
        put(w, "proc/31/stat", "31 (ag) (etty) S 1 31 31 0 -1 4194560 1 2 3\n")
        put(w, EFIVAR, b"\x06\0\0\0\1")
        _, f = doctor(w)
        for c in (*checks[:-1], "swap"):
            assert f[c]["verdict"] == "ok" and "remedy" not in f[c], f[c]
        # As with hidepid=: who cannot see init's cannot say that nobody else sits there.
        (w.root / "proc/1/stat").unlink()
        _, f = doctor(w)
        assert f["console"]["verdict"] == "skip", f["console"]
        put(w, "proc/cmdline", 'x="systemd.import_credentials=no" init_on_free=0\n')
        _, f = doctor(w)
        assert f["credentials"]["verdict"] == f["init-on-free"]["verdict"] == "note", f
        # Each alone, so that none stands for another.
        good = {"proc/cmdline": "systemd.import_credentials=no init_on_free=1\n"}
        for c, path, text in (("credentials", "proc/cmdline", "init_on_free=1\n"),
                              ("init-on-free", "proc/cmdline", "systemd.import_credentials=no init_on_free=0\n"),
                              ("credentials", "proc/cmdline", good["proc/cmdline"].strip() + " systemd.import_credentials=1\n"),
                              ("core-dumps", "proc/sys/kernel/core_pattern", "core\n"),
                              ("swap", "proc/swaps", "Filename Type Size Used Priority\n/swapfile file 1 0 -2\n"),
                              ("cloud-init", "run/cloud-init/x", ""),
                              ("console", "proc/9/stat", "9 (bash) S 1 9 9 58624 9 0\n"),
                              ("secure-boot", EFIVAR, b"\x06\0\0\0\0")):
            put(w, "proc/cmdline", good["proc/cmdline"])
            _, before = doctor(w)
            old = (w.root / path).read_bytes() if (w.root / path).exists() else None
            put(w, path, text)
            _, f = doctor(w)
            worse = {x for x in f if f[x]["verdict"] != before[x]["verdict"]}
            assert worse == {c} and f[c]["verdict"] in ("note", "bad"), (c, worse, f[c])
            if old is None:
                (w.root / path).unlink()
                if path.startswith("run/cloud"):
                    (w.root / "run/cloud-init").rmdir()
            else:
                put(w, path, old)


CASES = (
    doctor__measured_verity_root__is_named_with_its_hash,
    doctor__command_line_not_the_measured_one__says_so,
    doctor__register_or_log_differs__nothing_of_it_counts,
    doctor__image_that_leaves_things_open__is_told_each_with_a_remedy,
)
