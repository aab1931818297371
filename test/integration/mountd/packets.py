# SPDX-License-Identifier: Apache-2.0
"""mountd's packets, written from the table in agent/api/mountd.h; and SecureMount's message."""

import json
import os
import pathlib
import socket
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import ttrpc  # noqa: E402

OPEN, CLOSE, LIST, CLOSE_ALL = 1, 2, 3, 4
PROGRESS, OPENED, DONE, LISTING, FAILED = 128, 129, 130, 131, 132
KEYED, ENCRYPTED, FILESYSTEM, XFS, INTEGRITY = 1, 2, 4, 8, 16
DEVICE, MAPPER, MOUNT_POINT, MKFS_ARG, STEP, CODE, REASON, JSON = range(1, 9)
VOUCHSAFE_UID = 64733


def head(kind, flags=0, first=5000, second=0):
    return b"VMD1" + bytes([kind, flags, 0, 0]) + struct.pack(">QQ", first, second)


def field(tag, text):
    text = text if isinstance(text, bytes) else str(text).encode()
    return bytes([tag]) + struct.pack(">H", len(text)) + text


def fields(packet):
    out, at = {}, 24
    while at < len(packet):
        n = struct.unpack(">H", packet[at + 1:at + 3])[0]
        out.setdefault(packet[at], packet[at + 3:at + 3 + n].decode())
        at += 3 + n
    return out


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(str(path))
    return s


def last_reply(s):
    """(kind, fields) of the reply behind the progress; (0, {}) when the connection ended without."""
    while True:
        try:
            p = s.recv(1 << 17)
        except ConnectionResetError:
            try:
                p = s.recv(1 << 17)
            except OSError:
                return 0, {}
        if not p:
            return 0, {}
        if p[4] != PROGRESS:
            return p[4], fields(p)


def send(path, *packets):
    with connect(path) as s:
        for p in packets:
            try:
                s.send(p)
            except OSError:
                break
        return last_reply(s)


# Read from standard input by a process of another user, who may not read this tree.
SENDER = """
import json, socket, sys
path, packets = json.loads(sys.argv[1]), json.loads(sys.stdin.read())
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(20)
s.connect(path)
for packet in packets:
    try:
        s.send(bytes.fromhex(packet))
    except OSError:
        break
while True:
    try:
        reply = s.recv(1 << 17)
    except ConnectionResetError:
        reply = s.recv(1 << 17)
    if not reply or reply[4] != 128:
        break
print(reply.hex())
"""


def send_as(uid, gid, path, *packets):
    """The same as another user: in a process that is one."""
    r = subprocess.run(["/usr/bin/python3", "-c", SENDER, json.dumps(str(path))], capture_output=True, text=True,
                       input=json.dumps([q.hex() for q in packets]), timeout=60, user=uid, group=gid,
                       extra_groups=[], cwd="/")
    assert r.returncode == 0, r.stderr
    reply = bytes.fromhex(r.stdout.strip())
    return (reply[4], fields(reply)) if reply else (0, {})


def message(options, mount_point, volume_type="block-device"):
    def entry(k, v):
        e = ttrpc.field(1, k) + ttrpc.field(2, v)
        return ttrpc.varint(2 << 3 | 2) + ttrpc.varint(len(e)) + e
    return (ttrpc.field(1, volume_type) + b"".join(entry(k, v) for k, v in options.items() if v is not None) +
            ttrpc.field(4, str(mount_point)))


def number_of(device):
    st = os.stat(device)
    return os.major(st.st_rdev), os.minor(st.st_rdev)
