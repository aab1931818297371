#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds for the fuzz targets of SNP reports, certificate tables, TD quotes and TDREPORTs, and the
vectors test/vectors/attester/snp-reports.json and tdx.json: all made here from numbers, signed by nobody. The JSON
is written from the values and not from the bytes, so that it is a second opinion on the C code.

    test/fuzz/seeds_tee.py        from the project's root; writes what changed
"""
import hashlib
import json
import os
import struct

CORPUS = "test/fuzz/corpus"
VECTORS = "test/vectors/attester"


def pattern(name, n):
    """n bytes that differ from field to field."""
    return hashlib.shake_256(name.encode()).digest(n)


# --- SNP report ----------------------------------------------------------------------------------

def tcb(turin, seed):
    v = list(pattern("tcb" + seed, 5))
    names = ["fmc", "bootloader", "tee", "snp", "microcode"]
    obj = dict(zip(names, v))
    if turin:
        raw = bytes([v[0], v[1], v[2], v[3], 0, 0, 0, v[4]])
    else:
        obj["fmc"] = None
        raw = bytes([v[1], v[2], 0, 0, 0, 0, v[3], v[4]])
    return raw, obj


def snp_report(version, cpuid, policy=0x30000, plat=0x25, key_info=0, vmpl=0, mit=(0, 0), chip=None):
    turin = cpuid is not None and cpuid[0] == 0x1A
    chip_id = chip if chip is not None else \
        (pattern("chip", 8) + bytes(56) if turin else pattern("chip", 64))
    raw = bytearray(1184)
    obj = {}

    def number(name, at, n, v):
        raw[at:at + n] = v.to_bytes(n, "little")
        obj[name] = v

    def octets(name, at, b):
        raw[at:at + len(b)] = b
        obj[name] = list(b)

    def level(name, at):
        raw[at:at + 8], obj[name] = tcb(turin, name)

    def release(name, at):
        build, minor, major = pattern(name, 3)
        raw[at:at + 3] = bytes([build, minor, major])
        obj[name] = {"major": major, "minor": minor, "build": build}

    number("version", 0x000, 4, version)
    number("guest_svn", 0x004, 4, 0xFEDCBA98)
    number("policy", 0x008, 8, policy)
    octets("family_id", 0x010, pattern("family", 16))
    octets("image_id", 0x020, pattern("image", 16))
    number("vmpl", 0x030, 4, vmpl)
    number("sig_algo", 0x034, 4, 1)
    level("current_tcb", 0x038)
    number("plat_info", 0x040, 8, plat)
    number("key_info", 0x048, 4, key_info)
    octets("report_data", 0x050, pattern("data", 64))
    octets("measurement", 0x090, pattern("measurement", 48))
    octets("host_data", 0x0C0, pattern("host", 32))
    octets("id_key_digest", 0x0E0, pattern("id key", 48))
    octets("author_key_digest", 0x110, pattern("author key", 48))
    octets("report_id", 0x140, pattern("report", 32))
    octets("report_id_ma", 0x160, pattern("ma", 32))
    level("reported_tcb", 0x180)
    for i, name in enumerate(["cpuid_fam_id", "cpuid_mod_id", "cpuid_step"]):
        obj[name] = None
        if cpuid is not None:
            number(name, 0x188 + i, 1, cpuid[i])
    octets("chip_id", 0x1A0, chip_id)
    level("committed_tcb", 0x1E0)
    release("current", 0x1E8)
    release("committed", 0x1EC)
    level("launch_tcb", 0x1F0)
    for i, name in enumerate(["launch_mit_vector", "current_mit_vector"]):
        obj[name] = None
        if version >= 5:
            number(name, 0x1F8 + 8 * i, 8, mit[i])
    r, s = pattern("r", 72), pattern("s", 72)
    raw[0x2A0:0x2E8], raw[0x2E8:0x330] = r, s
    obj["signature"] = {"r": list(r), "s": list(s)}
    return bytes(raw), obj


REPORTS = {
    "v2-milan": dict(version=2, cpuid=None),
    "v3-milan": dict(version=3, cpuid=(0x19, 0x01, 1)),
    "v3-genoa": dict(version=3, cpuid=(0x19, 0xA0, 2)),
    "v3-vlek-masked": dict(version=3, cpuid=(0x19, 0x11, 0), key_info=1 << 2 | 2, chip=bytes(64)),
    "v4-turin": dict(version=4, cpuid=(0x1A, 0x02, 1)),
    "v5-turin": dict(version=5, cpuid=(0x1A, 0x11, 0), policy=2**64 - 1 - (1 << 19), plat=2**53 + 1,
                     mit=(2**63 + 5, 2**53 - 1)),
    "v5-genoa-debug": dict(version=5, cpuid=(0x19, 0x10, 0), policy=0xB0000, vmpl=3, mit=(1, 0)),
}


# --- certificate table -----------------------------------------------------------------------------

GUIDS = {
    "ARK": "c0b406a4-a803-4952-9743-3fb6014cd0ae",
    "ASK": "4ab7b379-bbac-4fe4-a02f-05aef327c782",
    "VCEK": "63da758d-e664-4564-adc5-f4b93be8accd",
    "VLEK": "a8074bc2-a25a-483e-aae6-39c045a0b8a1",
    "CRL": "92f81bc3-5811-4d3d-97ff-d19f88dc67ea",
}
OTHER = "00112233-4455-6677-8899-aabbccddeeff"


def table(certs):
    """certs: (name or GUID, bytes)."""
    at = 24 * (len(certs) + 1)
    entries, data, obj = b"", b"", []
    for name, content in certs:
        guid = GUIDS.get(name, name)
        entries += bytes.fromhex(guid.replace("-", "")) + struct.pack("<II", at, len(content))
        data += content
        at += len(content)
        obj.append({"cert_type": name if name in GUIDS else {"OTHER": guid},
                    "data": list(content)})
    return entries + bytes(24) + data, obj or None


TABLES = {
    "none": [],
    "vcek": [("VCEK", pattern("vcek", 40))],
    "whole": [(n, pattern(n, 20 + i)) for i, n in enumerate(GUIDS)] + [(OTHER, b"\x00\xff")],
}


# --- TDX -------------------------------------------------------------------------------------------

def td_body(version15):
    fields = [("tee_tcb_svn", 16), ("mr_seam", 48), ("mrsigner_seam", 48), ("seam_attributes", 8),
              ("td_attributes", 8), ("xfam", 8), ("mr_td", 48), ("mr_config_id", 48),
              ("mr_owner", 48), ("mr_owner_config", 48), ("rtmr_0", 48), ("rtmr_1", 48),
              ("rtmr_2", 48), ("rtmr_3", 48), ("report_data", 64)]
    if version15:
        fields += [("tee_tcb_svn2", 16), ("mr_servicetd", 48)]
    values = {n: pattern(n, size) for n, size in fields}
    values["td_attributes"] = struct.pack("<Q", 1 << 28 | 1 << 63)
    return b"".join(values[n] for n, _ in fields), values


def signature_data(wrapped, pem=b"-----BEGIN CERTIFICATE-----\n", auth=32):
    inner = pattern("qe report", 384) + pattern("qe signature", 64)
    inner += struct.pack("<H", auth) + pattern("auth", auth) + struct.pack("<HI", 5, len(pem)) + pem
    head = pattern("signature", 64) + pattern("key", 64)
    return head + (struct.pack("<HI", 6, len(inner)) if wrapped else b"") + inner


def quote(version, body15=False, padding=0, **sig):
    header = struct.pack("<HHII", version, 2, 0x81, 0) + pattern("vendor", 16) + pattern("user", 20)
    body, values = td_body(body15)
    middle = struct.pack("<HI", 3 if body15 else 2, len(body)) if version == 5 else b""
    data = signature_data(True, **sig)
    return header + middle + body + struct.pack("<I", len(data)) + data + bytes(padding), values


def sgx_quote():
    data = signature_data(False)
    return struct.pack("<HHII", 3, 2, 0, 0x000D0008) + pattern("vendor", 16) + pattern("user", 20) + \
        pattern("body", 384) + struct.pack("<I", len(data)) + data


def tdreport():
    fields = [("mr_td", 48), ("mr_config_id", 48), ("mr_owner", 48), ("mr_owner_config", 48),
              ("rtmr_0", 48), ("rtmr_1", 48), ("rtmr_2", 48), ("rtmr_3", 48)]
    values = {n: pattern("report " + n, size) for n, size in fields}
    values["xfam"] = struct.pack("<Q", 0x61AE7)
    values["td_attributes"] = struct.pack("<Q", 1 << 28)
    info = values["td_attributes"] + values["xfam"] + b"".join(values[n] for n, _ in fields) + bytes(112)
    tcb_info = pattern("tcb info", 239)
    values["report_data"] = pattern("report data", 64)
    values["cpusvn"] = pattern("cpusvn", 16)
    raw = bytes([0x81, 0, 1, 0]) + bytes(12) + values["cpusvn"] + hashlib.sha384(tcb_info).digest()
    raw += hashlib.sha384(info).digest() + values["report_data"] + bytes(32) + pattern("mac", 32)
    raw += tcb_info + bytes(17) + info
    assert len(raw) == 1024 and len(info) == 512
    return raw, values


QUOTES = {
    "v4": dict(version=4),
    "v4-padded": dict(version=4, padding=70),
    "v5-td10": dict(version=5),
    "v5-td15": dict(version=5, body15=True, pem=b"-----BEGIN CERTIFICATE-----\n\0", auth=0),
}


# --- files -----------------------------------------------------------------------------------------

def put(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path) or open(path, "rb").read() != content:
        with open(path, "wb") as f:
            f.write(content)


def text(value):
    return json.dumps(value, separators=(",", ":"))


def hexed(values):
    return {n: b.hex() for n, b in values.items()}


def main():
    reports, tables, quotes = [], [], []
    for name, how in REPORTS.items():
        raw, obj = snp_report(**how)
        reports.append({"name": name, "raw": raw.hex(), "json": text(obj)})
        put(f"{CORPUS}/snp_report/{name}", b"\0" + raw)
        if name in ("v2-milan", "v5-turin"):
            put(f"{CORPUS}/snp_report/{name}.json", b"\1" + text(obj).encode())
    for name, certs in TABLES.items():
        raw, obj = table(certs)
        tables.append({"name": name, "raw": raw.hex(), "json": text(obj)})
        put(f"{CORPUS}/snp_certs/{name}", b"\0" + raw)
        put(f"{CORPUS}/snp_certs/{name}.json", b"\1" + text(obj).encode())
    for name, how in QUOTES.items():
        raw, values = quote(**how)
        quotes.append({"name": name, "raw": raw.hex(), "fields": hexed(values)})
        put(f"{CORPUS}/tdx_quote/{name}", raw)
    put(f"{CORPUS}/tdx_quote/sgx", sgx_quote())
    raw, values = tdreport()
    put(f"{CORPUS}/tdx_report/report", raw)
    put(f"{CORPUS}/tdx_report/wrong-hash", raw[:300] + b"\xff" + raw[301:])
    origin = "made by test/fuzz/seeds_tee.py"
    put(f"{VECTORS}/snp-reports.json", (json.dumps(
        {"origin": origin, "reports": reports, "tables": tables}, indent=1) + "\n").encode())
    put(f"{VECTORS}/tdx.json", (json.dumps(
        {"origin": origin, "quotes": quotes, "sgx": sgx_quote().hex(),
         "report": {"raw": raw.hex(), "fields": hexed(values)}}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
