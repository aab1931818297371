# SPDX-License-Identifier: Apache-2.0
"""Verifies evidence of SNP and TDX without a paravisor (spec/evidence.md 2.3, 2.4) against roots of
test hardware, as Trustee's verifiers do: the JSON of a report is encoded again and then verified."""

import base64
import struct

from cryptography import x509
from cryptography.hazmat.primitives import serialization

import azure
from errors import Refused

TEES = ("snp", "tdx")
REPORT = 1184


def _ints(value, n, what):
    if not isinstance(value, list) or len(value) != n or \
            not all(isinstance(x, int) and not isinstance(x, bool) and 0 <= x <= 255 for x in value):
        raise Refused(f"snp: {what} is not {n} bytes")
    return bytes(value)


def _tcb(t):
    if set(t) != {"fmc", "bootloader", "tee", "snp", "microcode"} or t["fmc"] is not None:
        raise Refused(f"snp: TCB of members {sorted(t)}")
    return bytes([t["bootloader"], t["tee"], 0, 0, 0, 0, t["snp"], t["microcode"]])


def encode(r):
    """The 1184 bytes of a Milan or Genoa report."""
    b = bytearray(REPORT)
    struct.pack_into("<IIQ", b, 0, r["version"], r["guest_svn"], r["policy"])
    struct.pack_into("<II", b, 0x30, r["vmpl"], r["sig_algo"])
    struct.pack_into("<QI", b, 0x40, r["plat_info"], r["key_info"])
    for at, n, name in ((0x10, 16, "family_id"), (0x20, 16, "image_id"), (0x50, 64, "report_data"),
                        (0x90, 48, "measurement"), (0xC0, 32, "host_data"), (0xE0, 48, "id_key_digest"),
                        (0x110, 48, "author_key_digest"), (0x140, 32, "report_id"), (0x160, 32, "report_id_ma"),
                        (0x1A0, 64, "chip_id")):
        b[at:at + n] = _ints(r[name], n, name)
    for at, name in ((0x38, "current_tcb"), (0x180, "reported_tcb"), (0x1E0, "committed_tcb"), (0x1F0, "launch_tcb")):
        b[at:at + 8] = _tcb(r[name])
    b[0x188:0x18B] = bytes([r["cpuid_fam_id"], r["cpuid_mod_id"], r["cpuid_step"]])
    for at, name in ((0x1E8, "current"), (0x1EC, "committed")):
        b[at:at + 3] = bytes([r[name]["build"], r[name]["minor"], r[name]["major"]])
    if r["version"] >= 5:
        struct.pack_into("<QQ", b, 0x1F8, r["launch_mit_vector"], r["current_mit_vector"])
    b[0x2A0:0x2E8] = _ints(r["signature"]["r"], 72, "r")
    b[0x2E8:0x330] = _ints(r["signature"]["s"], 72, "s")
    return bytes(b)


def _vcek(chain):
    """The first VCEK of the list, DER."""
    if not isinstance(chain, list):
        raise Refused("snp: no certificates, and no KDS here")
    for c in chain:
        if c["cert_type"] == "VCEK":
            data = bytes(c["data"])
            if data.startswith(b"-----"):
                data = x509.load_pem_x509_certificate(data).public_bytes(serialization.Encoding.DER)
            return data
    raise Refused("snp: a list without a VCEK")


def _same(have, want, size, what):
    if want is not None and have != want.ljust(size, b"\0")[:size]:
        raise Refused(f"{what} is not this session's")


def verify(tee, evidence, digest, roots, init_digest=None):
    """The claims, or Refused. roots: as azure.load_roots() gives them."""
    try:
        if tee == "snp":
            report = encode(evidence["attestation_report"])
            claims = azure._snp(report, _vcek(evidence["cert_chain"]), roots["amd"])
            _same(report[0x50:0x90], digest, 64, "snp: report_data")
            _same(report[0xC0:0xE0], init_digest, 32, "snp: host_data")
            return claims | {"report_data": report[0x50:0x90].hex(), "init_data": report[0xC0:0xE0].hex()}
        quote = base64.b64decode(evidence["quote"], validate=True)
        claims, data = azure._tdx(quote, roots["intel"])
        _same(data, digest, 64, "tdx: report_data")
        _same(quote[48 + 184:48 + 232], init_digest, 48, "tdx: mr_config_id")
        rtmrs = {f"rtmr_{i}": quote[48 + 328 + 48 * i:48 + 376 + 48 * i].hex() for i in range(4)}
        return claims | rtmrs | {"report_data": data.hex(), "init_data": quote[232:280].hex()}
    except (KeyError, TypeError, ValueError, struct.error) as e:
        raise Refused(f"{tee}: evidence does not have its shape: {e!r}") from None
