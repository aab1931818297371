# SPDX-License-Identifier: Apache-2.0
"""Seeds for fuzz_hcl, fuzz_metadata and fuzz_tpm, of test hardware made here and of the recorded quote:
seeds_azure.py writes them below test/fuzz/corpus."""

import base64
import hashlib
import json
import pathlib
import struct
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "devices"))
sys.dont_write_bytecode = True
import hardware  # noqa: E402


def put(name, case, data):
    d = TOP / "fuzz/corpus" / name
    d.mkdir(parents=True, exist_ok=True)
    (d / case).write_bytes(data)


def var_data(user="00" * 64):
    n = base64.urlsafe_b64encode(hashlib.sha512(b"n").digest() * 4).rstrip(b"=").decode()
    key = {"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": n}
    return json.dumps({"keys": [key], "vm-configuration": {"secure-boot": True}, "user-data": user},
                      separators=(",", ":")).encode()


def report(hw, kind, var):
    head = b"HCLA" + struct.pack("<4I", 2, 1236 + len(var), 2, 0) + bytes(12)
    return head + hw.ljust(1184, b"\0") + struct.pack("<5I", 20 + len(var), 1, kind, 1, len(var)) + var + bytes(8)


def answers(operation, *packets):
    """The input of fuzz_tpm: its operation, then each answer behind its size."""
    def size(x):
        return bytes([len(x)]) if len(x) < 254 else b"\xfe" + struct.pack(">H", len(x))
    return bytes([operation]) + b"".join(size(x) + x for x in packets)


def sized(x):
    return struct.pack(">H", len(x)) + x


def authorised(params):
    """Parameters of an answer to a command with a session."""
    return struct.pack(">I", len(params)) + params + b"\0\0\1\0\0"


def nv_public(size, index=0x01400001):
    public = struct.pack(">IHIHH", index, 0x0B, 0x62020002, 0, size)
    return sized(public) + sized(b"\0\x0b" + hashlib.sha256(public).digest())


def tpm_seeds():
    """What the TPM of the recorded quote answered, and properties of any."""
    doc = json.loads((TOP / "vectors/attester/quote.json").read_text())
    evidence = json.loads(doc["evidence"])
    message, signature = (base64.b64decode(evidence["tpm_quote"][m]) for m in ("message", "signature"))
    pcrs = [bytes.fromhex(p) for p in evidence["tpm_quote"]["pcrs"]]
    key = bytes.fromhex(doc["public"]) + b"".join(sized(bytes.fromhex(doc[m])) for m in ("name", "qualified_name"))
    reads = []
    for i in range(3):
        mask = bytes(0xFF if j == i else 0 for j in range(3))
        reads.append(struct.pack(">IIHB", 7, 1, 0x0B, 3) + mask + struct.pack(">I", 8) +
                     b"".join(sized(p) for p in pcrs[8 * i:8 * i + 8]))
    put("tpm", "quote", answers(3, key, authorised(sized(message) + signature), *reads))
    put("tpm", "pcrs", answers(4, *reads))
    put("tpm", "ak", answers(5, key))
    one = struct.pack(">IIHB", 7, 1, 0x0B, 3) + b"\0\x80\0" + struct.pack(">I", 1) + sized(pcrs[15])
    put("tpm", "extend", answers(6, one, authorised(b"")))
    about = [(0x105, 0x49424D00), (0x106, 0x53572020), (0x107, 0x2054504D), (0x10B, 0x20240125), (0x10C, 1)]
    put("tpm", "describe", answers(2, b"\0" + struct.pack(">II", 6, len(about)) +
                                   b"".join(struct.pack(">II", *p) for p in about)))
    put("tpm", "describe-handles", answers(2, b"\0" + struct.pack(">II", 1, 254) + struct.pack(">I", 0x12C) * 254))


def main():
    tpm_seeds()
    var = var_data()
    bound = hashlib.sha256(var).digest()
    with tempfile.TemporaryDirectory() as d:
        amd, intel = hardware.Amd(f"{d}/amd"), hardware.Intel(f"{d}/intel")
        td = intel.tdreport(bound)
        put("hcl", "snp", report(amd.report(bound), 2, var))
        put("hcl", "tdx", report(td, 4, var))
        put("hcl", "json", var)
        put("metadata", "vcek", b"\0" + json.dumps(amd.certification()).encode())
        quote = intel.quote(td)
        put("metadata", "quote", b"\1" + json.dumps({"quote": base64.b64encode(quote).decode()}).encode())
        url = base64.urlsafe_b64encode(quote).rstrip(b"=").decode()
        put("metadata", "quote-url", b"\1" + json.dumps({"quote": url}).encode())
    caps = b"\0" + struct.pack(">IIII", 6, 1, 0x12C, 1024)
    data = struct.pack(">H", 40) + bytes(40)
    put("tpm", "read", answers(0, nv_public(40), caps, authorised(data)))
    put("tpm", "unwritten", answers(0, nv_public(40), caps) + b"\xff\0\0\1\x4a")
    absent = b"\xff\0\0\1\x8b"
    put("tpm", "define", answers(1) + absent + answers(1, authorised(b""), nv_public(48, 0x01400002),
                                                       authorised(b""))[1:])


if __name__ == "__main__":
    main()
