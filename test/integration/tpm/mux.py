# SPDX-License-Identifier: Apache-2.0
"""Stands between clients and a swtpm, which serves one at a time: takes whole commands from
several and passes them on one by one, as the kernel's resource manager does. A test can look at
each command and answer it itself, or do something before the answer goes back."""

import contextlib
import socket
import struct
import threading

QUOTE, PCR_READ, PCR_EXTEND = 0x158, 0x17E, 0x182
RC_RETRY = 0x922


def take(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def take_packet(s):
    head = take(s, 10)
    return head + take(s, struct.unpack(">I", head[2:6])[0] - 10)


def code_of(packet):
    return struct.unpack(">I", packet[6:10])[0]


def answer(code):
    return struct.pack(">HII", 0x8001, 10, code)


def extend_command(pcr, digest):
    """TPM2_PCR_Extend of the SHA-256 bank with an empty password."""
    auth = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
    body = struct.pack(">II", pcr, len(auth)) + auth + struct.pack(">IH", 1, 0x000B) + digest
    return struct.pack(">HII", 0x8002, 10 + len(body), PCR_EXTEND) + body


class Mux:
    def __init__(self, port):
        self.upstream = port
        self.lock = threading.Lock()
        self.seen = {}
        self.before = None  # before(code, n) → None, or the bytes to answer with
        self.after = None   # after(code, n): the TPM has answered, the client does not know yet
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(OSError, EOFError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                client.sendall(self.command(take_packet(client)))

    def command(self, packet):
        """One command and its answer, with the hooks."""
        code = code_of(packet)
        with self.lock:
            n = self.seen[code] = self.seen.get(code, 0) + 1
            ours = self.before(code, n) if self.before else None
            if ours is not None:
                return ours
            reply = self.pass_on(packet)
            if self.after:
                self.after(code, n)
            return reply

    def pass_on(self, packet):
        """Straight to the TPM; for hooks, which hold the lock."""
        with socket.create_connection(("127.0.0.1", self.upstream), 10) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(packet)
            return take_packet(s)

    def extend(self, pcr, digest):
        """For hooks. Raises when the TPM refuses."""
        code = code_of(self.pass_on(extend_command(pcr, digest)))
        if code != 0:
            raise RuntimeError(f"TPM2_PCR_Extend: {code:#x}")

    def close(self):
        self.listener.close()
