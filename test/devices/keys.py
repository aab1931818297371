#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes what test/devices/devices signs its reports with: a processor of test/devices/hardware.py,
keys anew at each run, below test roots.

  keys.py FOLDER [--host-data HEX] [--mrconfigid HEX] [--report-version 3|5]
  keys.py FOLDER --sign snp|tdx --report-data HEX >OUT   with keys made before, one report

Besides the device's own files there are ark.pem, ask.pem, vcek.pem, intel-root.pem."""

import argparse
import pathlib
import struct
import sys
import uuid

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hardware  # noqa: E402

GUIDS = {"ark": "c0b406a4-a803-4952-9743-3fb6014cd0ae", "ask": "4ab7b379-bbac-4fe4-a02f-05aef327c782",
         "vcek": "63da758d-e664-4564-adc5-f4b93be8accd"}
MITIGATIONS_AT = 0x1F8


def table(certs):
    """The certificate table of GHCB: entries of GUID, offset, length; zeros; the certificates."""
    head, body, at = b"", b"", 24 * (len(certs) + 1)
    for name, der in certs.items():
        head += uuid.UUID(GUIDS[name]).bytes + struct.pack("<II", at, len(der))
        body += der
        at += len(der)
    return head + bytes(24) + body


def key_der(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def make(folder, host_data, mrconfigid, version):
    folder.mkdir(parents=True, exist_ok=True)
    amd, intel = hardware.Amd(folder / "amd"), hardware.Intel(folder / "intel")
    report = bytearray(amd.report(bytes(64), host_data=host_data, version=version))
    if version >= 5:
        report[MITIGATIONS_AT:MITIGATIONS_AT + 16] = struct.pack("<QQ", 3, 3)
    certs = {"vcek": amd.vcek, "ask": amd.ask, "ark": amd.ark}
    quote = intel.quote(intel.tdreport(bytes(64), mrconfigid=mrconfigid), trailing=0)
    for name, content in {"snp.report": bytes(report), "snp.key": key_der(amd.vcek_key),
                          "snp.certs": table({k: hardware.der_of(v) for k, v in certs.items()}),
                          "tdx.quote": quote, "tdx.key": key_der(intel.key),
                          "intel-root.pem": intel.root.encode(),
                          **{f"{k}.pem": v.encode() for k, v in certs.items()}}.items():
        (folder / name).write_bytes(content)


def signed(folder, tee, data):
    """The template with this report data, signed: what the device gives."""
    key = serialization.load_der_private_key((folder / f"{tee}.key").read_bytes(), None)
    if tee == "snp":
        r = bytearray((folder / "snp.report").read_bytes())
        r[0x50:0x90] = data
        pair = utils.decode_dss_signature(key.sign(bytes(r[:0x2A0]), ec.ECDSA(hashes.SHA384())))
        for at, n in zip((0x2A0, 0x2E8), pair):
            r[at:at + 72] = n.to_bytes(72, "little")
        return bytes(r)
    r = bytearray((folder / "tdx.quote").read_bytes())
    r[568:632] = data
    pair = utils.decode_dss_signature(key.sign(bytes(r[:632]), ec.ECDSA(hashes.SHA256())))
    r[636:700] = b"".join(n.to_bytes(32, "big") for n in pair)
    return bytes(r)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder", type=pathlib.Path)
    p.add_argument("--host-data", type=bytes.fromhex, default=bytes(32))
    p.add_argument("--mrconfigid", type=bytes.fromhex, default=bytes(48))
    p.add_argument("--report-version", type=int, default=3)
    p.add_argument("--sign", choices=("snp", "tdx"))
    p.add_argument("--report-data", type=bytes.fromhex, default=bytes(64))
    a = p.parse_args()
    if a.sign:
        sys.stdout.buffer.write(signed(a.folder, a.sign, a.report_data.ljust(64, b"\0")))
    else:
        make(a.folder, a.host_data, a.mrconfigid, a.report_version)


if __name__ == "__main__":
    main()
