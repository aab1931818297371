#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A ttrpc client for tests, written from spec/local-api.md alone; shares nothing with the agent.

  ttrpc.py SOCKET unseal TEXT|@FILE [--name NAME] [--timeout SECONDS]
  ttrpc.py SOCKET get-resource URI [--timeout SECONDS]
  ttrpc.py SOCKET raw SERVICE METHOD [HEX|@FILE] [--name NAME] [--timeout SECONDS]
  ttrpc.py SOCKET frame HEX|@FILE [--wait SECONDS]
  ttrpc.py - request SERVICE METHOD [HEX|@FILE] [--name NAME] [--timeout SECONDS]

unseal and get-resource write the plaintext as it is; raw writes the reply message; frame sends
bytes as they are and writes one line of hex for each frame that comes within --wait; request
writes the encoded Request and connects to nothing.
Exit: 0 fine, 1 the server answered an error ("status N: message" on stderr), 2 no answer.

As a module: Client(path).unseal(text), .get_resource(uri), .call(service, method, payload), and
.start() with .finish() for several calls at once. A failed call raises Status.
"""
import argparse
import socket
import struct
import sys
import time

REQUEST, RESPONSE, DATA = 1, 2, 3
FRAME_MAX = 4194304
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
NAME_KEY = b"io.vouchsafe.name"


class Status(Exception):
    """The server's answer is an error."""

    def __init__(self, code, message):
        super().__init__("status %d: %s" % (code, message))
        self.code = code
        self.message = message


class Broken(Exception):
    """There is no answer, or none that is ttrpc."""


# --- protobuf ---------------------------------------------------------------------------------

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """One field: bytes and str are length-delimited, int is a varint; empty ones are left out."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value) if value else b""
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | BYTES) + varint(len(value)) + value if value else b""


def take_varint(data, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Broken("protobuf: truncated varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Broken("protobuf: varint too long")


def fields(data):
    """[(number, value)] in order: int for numbers, bytes for the rest."""
    out = []
    at = 0
    while at < len(data):
        tag, at = take_varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = take_varint(data, at)
        else:
            if kind == BYTES:
                size, at = take_varint(data, at)
            elif kind in (FIXED64, FIXED32):
                size = 8 if kind == FIXED64 else 4
            else:
                raise Broken("protobuf: wire type %d" % kind)
            if size > len(data) - at:
                raise Broken("protobuf: truncated field")
            value = bytes(data[at:at + size])
            at += size
        out.append((tag >> 3, value))
    return out


def last(pairs, number, default):
    for n, value in reversed(pairs):
        if n == number:
            return value
    return default


# --- ttrpc ------------------------------------------------------------------------------------

def request(service, method, payload=b"", timeout=None, metadata=()):
    """An encoded Request. timeout in seconds; metadata: pairs of key and value."""
    out = field(1, service) + field(2, method) + field(3, payload)
    out += field(4, int((timeout or 0) * 1e9))
    for key, value in metadata:
        entry = field(1, key) + field(2, value)
        out += varint(5 << 3 | BYTES) + varint(len(entry)) + entry
    return out


def response(data):
    """(code, message, payload) of an encoded Response."""
    top = fields(data)
    status = fields(last(top, 1, b""))
    return (last(status, 1, 0), last(status, 2, b"").decode("utf-8", "replace"), last(top, 2, b""))


def frame(stream, kind, payload, flags=0):
    return struct.pack(">IIBB", len(payload), stream, kind, flags) + payload


class Client:
    """One connection. patience: seconds to wait for an answer when a call says nothing else."""

    def __init__(self, path, patience=60.0):
        self.patience = patience
        self.next = 1
        self.data = bytearray()
        self.answers = {}
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(path)
        except OSError as why:
            raise Broken("connect to %s: %s" % (path, why)) from why

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        try:
            self.sock.settimeout(self.patience)
            self.sock.sendall(data)
        except OSError as why:
            raise Broken("send: %s" % why) from why

    def read_frame(self, until):
        """(stream, type, flags, payload) of the next frame; None when none came until then."""
        while True:
            if len(self.data) >= 10:
                size, stream, kind, flags = struct.unpack(">IIBB", self.data[:10])
                if size > FRAME_MAX:
                    raise Broken("frame of %d bytes" % size)
                if len(self.data) >= 10 + size:
                    payload = bytes(self.data[10:10 + size])
                    del self.data[:10 + size]
                    return stream, kind, flags, payload
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                more = self.sock.recv(1 << 16)
            except socket.timeout:
                return None
            except OSError as why:
                raise Broken("receive: %s" % why) from why
            if not more:
                raise Broken("the server closed the connection")
            self.data += more

    def start(self, service, method, payload=b"", timeout=None, name=None, stream=None):
        """Send a call; returns its stream id for finish()."""
        if stream is None:
            stream = self.next
            self.next += 2
        metadata = [(NAME_KEY, name)] if name is not None else []
        self.send(frame(stream, REQUEST, request(service, method, payload, timeout, metadata)))
        return stream

    def finish(self, stream, patience=None):
        """The reply message of a started call; answers to others are kept for their turn."""
        until = time.monotonic() + (self.patience if patience is None else patience)
        while stream not in self.answers:
            got = self.read_frame(until)
            if got is None:
                raise Broken("no answer on stream %d" % stream)
            if got[1] == RESPONSE:
                self.answers[got[0]] = got[3]
        code, message, payload = response(self.answers.pop(stream))
        if code != 0:
            raise Status(code, message)
        return payload

    def call(self, service, method, payload=b"", timeout=None, name=None):
        patience = timeout + 5 if timeout else None
        return self.finish(self.start(service, method, payload, timeout, name), patience)

    def unseal(self, sealed, timeout=50, name=None):
        reply = self.call("api.SealedSecretService", "UnsealSecret", field(1, sealed), timeout, name)
        return last(fields(reply), 1, b"")

    def get_resource(self, uri, timeout=50):
        reply = self.call("api.GetResourceService", "GetResource", field(1, uri), timeout)
        return last(fields(reply), 1, b"")


# --- command line -----------------------------------------------------------------------------

def text_arg(text):
    if not text.startswith("@"):
        return text.encode()
    with open(text[1:], "rb") as f:
        return f.read()


def hex_arg(text):
    if text.startswith("@"):
        return text_arg(text)
    return bytes.fromhex(text)


def parse():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("socket")
    p.add_argument("verb", choices=["unseal", "get-resource", "raw", "frame", "request"])
    p.add_argument("args", nargs="*")
    p.add_argument("--name")
    p.add_argument("--timeout", type=float, default=50)
    p.add_argument("--wait", type=float, default=1)
    a = p.parse_intermixed_args()
    want = {"unseal": (1, 1), "get-resource": (1, 1), "frame": (1, 1)}.get(a.verb, (2, 3))
    if not want[0] <= len(a.args) <= want[1]:
        p.error("%s takes %d arguments" % (a.verb, want[0]))
    return a


def run(a):
    out = sys.stdout.buffer
    if a.verb == "request":
        payload = hex_arg(a.args[2]) if len(a.args) > 2 else b""
        metadata = [(NAME_KEY, a.name)] if a.name is not None else []
        out.write(request(a.args[0], a.args[1], payload, a.timeout, metadata))
        return
    with Client(a.socket) as c:
        if a.verb == "unseal":
            out.write(c.unseal(text_arg(a.args[0]), a.timeout, a.name))
        elif a.verb == "get-resource":
            out.write(c.get_resource(a.args[0], a.timeout))
        elif a.verb == "raw":
            payload = hex_arg(a.args[2]) if len(a.args) > 2 else b""
            out.write(c.call(a.args[0], a.args[1], payload, a.timeout, a.name))
        else:
            c.send(hex_arg(a.args[0]))
            until = time.monotonic() + a.wait
            while True:
                got = c.read_frame(until)
                if got is None:
                    return
                out.write(frame(got[0], got[1], got[3], got[2]).hex().encode() + b"\n")
                out.flush()


def main():
    try:
        run(parse())
    except Status as why:
        print(why, file=sys.stderr)
        return 1
    except (Broken, OSError, ValueError) as why:
        print(why, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
