#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A confidential data hub for tests of its clients: ttrpc, UnsealSecret only, protobuf by hand.

  fake_cdh.py SOCKET MAP [LOG]

MAP is a JSON file, read again at every request:
  {"sealed.a": {"text": "plaintext"}, "sealed.b": {"hex": "00ff"}, "sealed.c": {"fail": "why"},
   "sealed.d": {"text": "x", "stall": 3}, "sealed.e": {"drop": true}}
What is not in it fails. LOG gets one JSON line a request: {"sealed", "name", "timeout"}.
"""
import json
import os
import socket
import struct
import sys
import threading
import time


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def read_varint(b, at):
    n = shift = 0
    while True:
        n |= (b[at] & 0x7F) << shift
        shift += 7
        at += 1
        if b[at - 1] < 0x80:
            return n, at


def fields(b):
    at = 0
    while at < len(b):
        key, at = read_varint(b, at)
        if key & 7 == 0:
            value, at = read_varint(b, at)
        else:
            n, at = read_varint(b, at)
            value, at = b[at:at + n], at + n
        yield key >> 3, value


class Dropped(Exception):
    pass


class Server:
    def __init__(self, map_path, log_path):
        self.map_path, self.log_path = map_path, log_path
        self.lock = threading.Lock()

    def answer(self, payload):
        request = {"metadata": {}}
        for number, value in fields(payload):
            if number == 3:
                request["sealed"] = dict(fields(value)).get(1, b"").decode("utf-8", "replace")
            elif number == 4:
                request["timeout"] = value
            elif number == 5:
                pair = dict(fields(value))
                request["metadata"][pair[1].decode()] = pair.get(2, b"").decode()
        sealed = request.get("sealed", "")
        if self.log_path:
            line = {"sealed": sealed, "name": request["metadata"].get("io.vouchsafe.name"),
                    "timeout": request.get("timeout", 0)}
            with self.lock, open(self.log_path, "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        with open(self.map_path, encoding="utf-8") as f:
            rule = json.load(f).get(sealed, {"fail": "no such secret here"})
        time.sleep(rule.get("stall", 0))
        if rule.get("drop"):
            raise Dropped
        if "fail" in rule:
            text = "[CDH] [ERROR]: Unseal Secret failed: " + rule["fail"]
            return field(1, b"\x08\x0d" + field(2, text.encode()))
        plain = bytes.fromhex(rule["hex"]) if "hex" in rule else rule["text"].encode()
        return field(1, b"") + field(2, field(1, plain) if plain else b"")

    def call(self, conn, lock, stream, payload):
        try:
            reply = self.answer(payload)
        except Dropped:
            conn.shutdown(socket.SHUT_RDWR)
            return
        with lock:
            try:
                conn.sendall(struct.pack(">IIBB", len(reply), stream, 2, 0) + reply)
            except OSError:
                pass

    def serve(self, conn):
        try:
            self.frames(conn)
        except OSError:
            pass

    def frames(self, conn):
        lock = threading.Lock()
        stream_file = conn.makefile("rb")
        while True:
            head = stream_file.read(10)
            if len(head) < 10:
                return
            n, stream, kind, _ = struct.unpack(">IIBB", head)
            payload = stream_file.read(n)
            if kind == 1:
                threading.Thread(target=self.call, args=(conn, lock, stream, payload),
                                 daemon=True).start()


def main():
    path = sys.argv[1]
    server = Server(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=server.serve, args=(conn,), daemon=True).start()


main()
