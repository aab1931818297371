#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An attestation agent and a data hub for tests of their clients: ttrpc, the rules in a file.

  fake_aa.py RULES LOG SOCKET [SOCKET ...]

Every socket serves every method below. RULES is a JSON file, read again at each call:
  {"GetResource": {"kbs:///a/b/c": {"text": "plain"}, "*": {"fail": "why"}}, ...}
The key inside a method is field 1 of the request as text; "*" is for the others. A rule has one of
  text, hex, {"size": N, "tail": TEXT} (N bytes, the last of them TEXT), list (of names), result (a
  number), fail (a message; "status": N, else 13), drop (the connection ends)
and may have "stall": SECONDS. Without a rule the sample platform answers. LOG gets one JSON line a
call: {"method", "hex" (field 1), "fields" ([number, text or number] of the others), "timeout"}.
"""
import base64
import json
import os
import socket
import struct
import sys
import threading
import time

import ttrpc

TOKEN = '{"token":"aGVhZA.cGF5.c2ln","tee_keypair":"-----BEGIN PRIV' 'ATE KEY-----\\nkey\\n"}'


def default(method, arg):
    if method == "GetEvidence":
        return {"text": json.dumps({"svn": "1", "report_data": base64.b64encode(arg).decode()})}
    if method == "GetToken":
        return {"text": TOKEN} if arg == b"kbs" else {"fail": "[ERROR:attestation-agent] AA-KBC get token failed"}
    return {
        "GetAdditionalEvidence": {"text": ""},
        "GetTeeType": {"text": "sample"},
        "GetAdditionalTees": {"list": []},
        "ExtendRuntimeMeasurement": {"result": 0},
        "GetResource": {"text": "a resource"},
    }.get(method, {"fail": f"{method} method", "status": 12})


def message(rule):
    """The reply message of a rule."""
    if "list" in rule:
        return b"".join(ttrpc.field(1, name) for name in rule["list"])
    if "result" in rule:
        return ttrpc.field(1, rule["result"])
    if "hex" in rule:
        return ttrpc.field(1, bytes.fromhex(rule["hex"]))
    if "size" in rule:
        tail = rule.get("tail", "").encode()
        return ttrpc.field(1, b"." * (rule["size"] - len(tail)) + tail)
    return ttrpc.field(1, rule["text"])


class Server:
    def __init__(self, rules, log):
        self.rules, self.log = rules, log
        self.lock = threading.Lock()

    def note(self, method, pairs, timeout):
        text = [[n, v if isinstance(v, int) else v.decode("utf-8", "replace")] for n, v in pairs if n != 1]
        line = {"method": method, "hex": ttrpc.last(pairs, 1, b"").hex(), "fields": text, "timeout": timeout}
        with self.lock, open(self.log, "a", encoding="utf-8") as f:
            f.write(json.dumps(line) + "\n")

    def answer(self, frame):
        """The Response, or None: end the connection."""
        outer = ttrpc.fields(frame)
        method = ttrpc.last(outer, 2, b"").decode()
        pairs = ttrpc.fields(ttrpc.last(outer, 3, b""))
        arg = ttrpc.last(pairs, 1, b"")
        self.note(method, pairs, ttrpc.last(outer, 4, 0))
        with open(self.rules, encoding="utf-8") as f:
            rules = json.load(f).get(method, {})
        rule = rules.get(arg.decode("utf-8", "replace"), rules.get("*")) or default(method, arg)
        time.sleep(rule.get("stall", 0))
        if rule.get("drop"):
            return None
        if "fail" in rule:
            return ttrpc.field(1, ttrpc.field(1, rule.get("status", 13)) + ttrpc.field(2, rule["fail"]))
        return b"\x0a\x00" + ttrpc.field(2, message(rule))

    def call(self, conn, lock, stream, frame):
        reply = self.answer(frame)
        with lock:
            try:
                if reply is None:
                    conn.shutdown(socket.SHUT_RDWR)
                else:
                    conn.sendall(struct.pack(">IIBB", len(reply), stream, ttrpc.RESPONSE, 0) + reply)
            except OSError:
                pass

    def serve(self, conn):
        lock = threading.Lock()
        source = conn.makefile("rb")
        while True:
            head = source.read(10)
            if len(head) < 10:
                return
            n, stream, kind, _ = struct.unpack(">IIBB", head)
            frame = source.read(n)
            if kind == ttrpc.REQUEST:
                threading.Thread(target=self.call, args=(conn, lock, stream, frame), daemon=True).start()

    def listen(self, path):
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(64)
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()


def main():
    server = Server(sys.argv[1], sys.argv[2])
    for path in sys.argv[3:]:
        threading.Thread(target=server.listen, args=(path,), daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
