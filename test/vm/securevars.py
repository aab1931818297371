#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An OVMF variable store with our own PK, KEK and db enrolled: Secure Boot is on at the first boot.

  securevars.py EMPTY_VARS OUT PK.der KEK.der db.der

The layout is that of the UEFI PI specification's firmware volume with EDK 2's authenticated
variable store in it; variables are simply laid out, as the firmware itself would have left them.
"""
import pathlib
import struct
import sys
import uuid

STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
SECURITY_DB = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44").bytes_le
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
OWNER = uuid.UUID("5a1d3e0e-3c0c-4f0c-9b60-9a4d9f0f7c11").bytes_le
NON_VOLATILE, BOOT, RUNTIME, TIME_AUTH = 1, 2, 4, 0x20
ADDED = 0x3f
# EFI_TIME: year, month, day, then zeros. Any date will do: later updates need a later one.
WHEN = struct.pack("<HBBBBBBIhBB", 2024, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)


def signature_list(der):
    size = 16 + len(der)
    return X509 + struct.pack("<III", 28 + size, 0, size) + OWNER + der


def variable(name, vendor, attributes, data, when=bytes(16)):
    text = (name + "\0").encode("utf-16-le")
    head = struct.pack("<HBBIQ16sIII16s", 0x55aa, ADDED, 0, attributes, 0, when, 0, len(text), len(data), vendor)
    out = head + text + data
    return out + b"\xff" * (-len(out) % 4)


def main(argv):
    empty, out, *certs = argv[1:]
    pk, kek, db = (pathlib.Path(c).read_bytes() for c in certs)
    image = bytearray(pathlib.Path(empty).read_bytes())
    if image[0x28:0x2c] != b"_FVH":
        raise ValueError(f"{empty} is no firmware volume")
    at = struct.unpack_from("<H", image, 0x30)[0]
    if image[at:at + 16] != STORE:
        raise ValueError(f"{empty} has no authenticated variable store")
    end = at + struct.unpack_from("<I", image, at + 16)[0]
    at = (at + 28 + 3) & ~3
    if image[at:at + 2] != b"\xff\xff":
        raise ValueError(f"{empty} is not empty")
    auth = NON_VOLATILE | BOOT | RUNTIME | TIME_AUTH
    new = (variable("db", SECURITY_DB, auth, signature_list(db), WHEN) +
           variable("KEK", GLOBAL, auth, signature_list(kek), WHEN) +
           variable("PK", GLOBAL, auth, signature_list(pk), WHEN) +
           variable("SecureBootEnable", ENABLE, NON_VOLATILE | BOOT, b"\1"))
    if at + len(new) > end:
        raise ValueError("the certificates do not fit")
    image[at:at + len(new)] = new
    pathlib.Path(out).write_bytes(image)


if __name__ == "__main__":
    main(sys.argv)
