# SPDX-License-Identifier: Apache-2.0
"""Puts an answer on the wire, honestly or as a misbehaviour has it. Closes by raising Hangup."""

import email.utils
import http.client
import socket
import struct

CHUNK = 64 << 10


class Hangup(Exception):
    """The connection is to be closed now; with a reset when `reset` is set."""

    def __init__(self, reset=False):
        self.reset = reset
        super().__init__("reset" if reset else "close")


def abort(sock):
    """Closes @sock with RST: lingering for no time, past any TLS goodbye."""
    try:
        raw = socket.socket(fileno=sock.detach())
    except OSError:
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


def head(reply, now, version="1.1", length=None, extra=()):
    """Status line and headers of @reply."""
    reason = http.client.responses.get(reply.status, "Status")
    lines = [f"HTTP/{version} {reply.status} {reason}"]
    if length is not None:
        lines.append(f"content-length: {length}")
    if reply.content_type:
        lines.append(f"content-type: {reply.content_type}")
    lines += [f"{name}: {value}" for name, value in (*reply.headers, *extra)]
    lines.append(f"date: {email.utils.formatdate(now, usegmt=True)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def send(sock, reply, now, close=False):
    """An honest answer, in one write."""
    extra = [("connection", "close")] if close else []
    length = None if reply.status in (204, 304) else len(reply.body)
    sock.sendall(head(reply, now, length=length, extra=extra) + reply.body)


def _huge(sock, reply, now, rule):
    size, chunked = int(rule.params["bytes"]), rule.params["chunked"]
    reply.status, reply.content_type = 200, "application/json"
    if chunked:
        sock.sendall(head(reply, now, extra=[("transfer-encoding", "chunked")]))
    else:
        sock.sendall(head(reply, now, length=size))
    first, left = b'{"token":"', size
    while left > 0:
        part = (first + b"A" * CHUNK)[:min(CHUNK, left)]
        sock.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        left -= len(part)
        first = b""
    if chunked:
        sock.sendall(b"0\r\n\r\n")


def _drip(sock, data, interval, stop):
    for i in range(len(data)):
        if i and stop.wait(interval):
            raise Hangup
        sock.sendall(data[i:i + 1])


def misbehave(sock, reply, now, rule, stop):
    """@reply as @rule spoils it; @stop (an Event) ends every wait. False: send it honestly."""
    kind, half = rule.kind, len(reply.body) // 2
    if kind == "refuse":
        raise Hangup(reset=True)
    if kind == "empty":
        raise Hangup
    if kind == "not-http":
        sock.sendall(b"220 mail.invalid ESMTP at your service\r\n")
        raise Hangup
    if kind == "stall" and not rule.params["body"]:
        if stop.wait(rule.params["seconds"]):
            raise Hangup
        return False
    if kind == "http10":
        sock.sendall(head(reply, now, version="1.0") + reply.body)
        raise Hangup
    if kind == "huge":
        _huge(sock, reply, now, rule)
        return True
    top = head(reply, now, length=len(reply.body))
    if kind == "drip":
        if rule.params["head"]:
            _drip(sock, top, rule.params["interval"], stop)
        else:
            sock.sendall(top)
        _drip(sock, reply.body, rule.params["interval"], stop)
        return True
    if kind in ("reset", "short", "stall"):
        sock.sendall(top + reply.body[:half])
        if kind != "stall":
            # Let the half be read before the reset takes it away again.
            stop.wait(0.1 if kind == "reset" else 0)
            raise Hangup(reset=kind == "reset")
        if stop.wait(rule.params["seconds"]):
            raise Hangup
        sock.sendall(reply.body[half:])
        return True
    return False
