# SPDX-License-Identifier: Apache-2.0
"""LUKS2 headers read and written back with right checksums, so that only the change itself is wrong."""

import hashlib
import json
import struct

COPY = 16384


def text(path, which=0):
    with open(path, "rb") as f:
        f.seek(which * COPY + 4096)
        return json.loads(f.read(COPY - 4096).split(b"\0")[0])


def binary(path, which=0):
    with open(path, "rb") as f:
        f.seek(which * COPY)
        return f.read(4096)


def write(path, which, head, meta):
    body = meta if isinstance(meta, bytes) else json.dumps(meta, separators=(",", ":")).encode()
    head = bytearray(head)
    head[448:512] = bytes(64)
    whole = bytes(head) + body.ljust(COPY - 4096, b"\0")
    head[448:480] = hashlib.sha256(whole).digest()
    with open(path, "r+b") as f:
        f.seek(which * COPY)
        f.write(bytes(head) + body.ljust(COPY - 4096, b"\0"))


def change(path, fn, copies=(0, 1)):
    """fn changes the metadata in place (or gives new ones) in these copies."""
    for which in copies:
        meta = text(path, which)
        new = fn(meta)
        write(path, which, binary(path, which), meta if new is None else new)


def change_binary(path, at, value, copies=(0, 1)):
    for which in copies:
        head = bytearray(binary(path, which))
        head[at : at + len(value)] = value
        write(path, which, bytes(head), text(path, which))


def seqid(path, which=0):
    return struct.unpack(">Q", binary(path, which)[16:24])[0]
