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


def at(*path):
    """Set the member at a path of the metadata: at("segments", "0", "encryption", value)."""

    def fn(meta):
        for name in path[:-2]:
            meta = meta[name]
        if path[-1] is None:
            del meta[path[-2]]
        else:
            meta[path[-2]] = path[-1]

    return fn


ARGON = {"type": "argon2id", "time": 4, "memory": 4194304, "cpus": 4, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="}
# Changes of the metadata that a host could want, and the code that each is refused by.
HOSTILE = (
    ("volume.header-null-cipher", at("segments", "0", "encryption", "cipher_null-ecb")),
    ("volume.header-null-cipher", at("keyslots", "0", "area", "encryption", "cipher_null-ecb")),
    ("volume.header-cipher", at("segments", "0", "encryption", "aes-ecb")),
    ("volume.header-cipher", at("segments", "0", "encryption", "twofish-xts-plain64")),
    ("volume.header-cipher", at("keyslots", "0", "area", "encryption", "aes-cbc-plain")),
    ("volume.header-segment", at("segments", "0", "offset", "0")),
    ("volume.header-segment", at("segments", "0", "size", "1048576")),
    ("volume.header-segment", at("segments", "0", "iv_tweak", "1")),
    ("volume.header-segment", at("segments", "0", "type", "linear")),
    ("volume.header-segment", at("segments", "1", {"type": "linear", "offset": "16777216", "size": "dynamic"})),
    ("volume.header-segment", at("segments", "0", "flags", ["backup-previous"])),
    ("volume.header-integrity", at("segments", "0", "integrity",
                                   {"type": "none", "journal_encryption": "none", "journal_integrity": "none"})),
    ("volume.header-keyslot", at("keyslots", "0", "type", "reencrypt")),
    ("volume.header-keyslot", at("keyslots", "0", "key_size", 32)),
    ("volume.header-keyslot", at("keyslots", "0", "af", "stripes", 1)),
    ("volume.header-keyslot", at("keyslots", "0", "area", "offset", "16384")),
    ("volume.header-keyslot", at("digests", "0", "keyslots", [])),
    ("volume.header-keyslot", at("digests", "0", "iterations", 1)),
    ("volume.header-cost", at("keyslots", "0", "kdf", "iterations", 2147483647)),
    ("volume.header-cost", at("digests", "0", "iterations", 2147483647)),
    ("volume.header-cost", at("keyslots", "0", "kdf", ARGON)),
    ("volume.header", at("config", "requirements", {"mandatory": ["online-reencrypt-v2"]})),
    ("volume.header", at("config", "flags", ["allow-discards"])),
    ("volume.header", at("tokens", "1", {"type": "luks2-keyring", "keyslots": ["0"], "key_description": "x"})),
)
