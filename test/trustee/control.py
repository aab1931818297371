# SPDX-License-Identifier: Apache-2.0
"""The journal of requests, and the /test paths by which a test steers and watches the server."""

import itertools
import threading

from encoding import parse_json
from errors import Refused
from reply import Reply, json_reply

MAX_ENTRIES = 100_000


class Journal:
    """What was asked: names of headers, never their values; never a token or a secret."""

    def __init__(self):
        self._lock, self._entries, self._numbers = threading.Lock(), [], itertools.count(1)
        self.connections = 0
        self.tls_failures = 0

    def connected(self):
        with self._lock:
            self.connections += 1
            return self.connections

    def tls_failed(self):
        with self._lock:
            self.tls_failures += 1

    def add(self, conn, version, path, req):
        """Notes @req as it arrives; the returned entry gets its outcome by finish()."""
        entry = {"n": next(self._numbers), "connection": conn, "http": version,
                 "method": req.method, "path": path, "endpoint": req.endpoint,
                 "headers": sorted({name.lower() for name in req.headers.keys()}),
                 "cookie": req.cookie is not None, "bearer": req.bearer is not None,
                 "body_bytes": len(req.body), "misbehaviour": req.odd, "status": None, "why": ""}
        with self._lock:
            if len(self._entries) < MAX_ENTRIES:
                self._entries.append(entry)
        return entry

    def finish(self, entry, status, why):
        with self._lock:
            entry["status"], entry["why"] = status, why

    def list(self):
        with self._lock:
            return [dict(e) for e in self._entries]

    def clear(self):
        with self._lock:
            self._entries.clear()


class Control:
    """Answers /test/…: misbehave, log, trusted-ak, clock, expect-pcr8, sessions, state."""

    def __init__(self, kbs, rules, journal):
        self.kbs, self.rules, self.journal = kbs, rules, journal

    def answer(self, req):
        name = req.segments[0] if len(req.segments) == 1 else ""
        handler = {"misbehave": self._misbehave, "log": self._log, "trusted-ak": self._aks,
                   "clock": self._clock, "expect-pcr8": self._pcr8, "sessions": self._sessions,
                   "state": self._state}.get(name)
        if handler is None:
            return Reply(404, b"no such control\n", "text/plain")
        try:
            value = handler(req)
        except (ValueError, Refused) as e:
            return Reply(400, f"{e}\n".encode(), "text/plain")
        if value is None:
            return Reply(405, b"not with this method\n", "text/plain")
        return json_reply(value)

    def _misbehave(self, req):
        if req.method == "POST":
            self.rules.add(parse_json(req.body))
        elif req.method == "DELETE":
            self.rules.clear()
        elif req.method != "GET":
            return None
        return self.rules.list()

    def _log(self, req):
        if req.method not in ("GET", "DELETE"):
            return None
        entries = self.journal.list()
        if req.method == "DELETE":
            self.journal.clear()
        return entries

    def _aks(self, req):
        if req.method == "POST":
            text = req.body.decode()
            if text.lstrip().startswith("{"):
                text = parse_json(text).get("ak_public", "")
            if not isinstance(text, str) or not self.kbs.aks.add(text):
                raise ValueError("no AK: send its SPKI as base64 or PEM, or {\"ak_public\": …}")
        elif req.method == "DELETE":
            self.kbs.aks.clear()
        elif req.method != "GET":
            return None
        return self.kbs.aks.list()

    def _clock(self, req):
        if req.method == "POST":
            body = parse_json(req.body)
            offset = body.get("offset") if isinstance(body, dict) else None
            if isinstance(offset, bool) or not isinstance(offset, (int, float)):
                raise ValueError('send {"offset": seconds}')
            if abs(offset) > 10 ** 9:
                raise ValueError("offset: a thousand million seconds at most")
            self.kbs.clock.offset = offset
        elif req.method == "DELETE":
            self.kbs.clock.offset = 0
        elif req.method != "GET":
            return None
        return {"offset": self.kbs.clock.offset}

    def _pcr8(self, req):
        if req.method == "POST":
            body = parse_json(req.body)
            value = body.get("pcr8") if isinstance(body, dict) else None
            self.kbs.expect_pcr8 = parse_pcr(value)
        elif req.method == "DELETE":
            self.kbs.expect_pcr8 = None
        elif req.method != "GET":
            return None
        return {"pcr8": self.kbs.expect_pcr8.hex() if self.kbs.expect_pcr8 else None}

    def _sessions(self, req):
        if req.method != "DELETE":
            return None
        self.kbs.sessions.forget()
        return {"sessions": 0}

    def _state(self, req):
        if req.method != "GET":
            return None
        return {"connections": self.journal.connections, "tls_failures": self.journal.tls_failures,
                "sessions": len(self.kbs.sessions), "misbehaviours": len(self.rules.list()),
                "signing_key": self.kbs.tokens.thumbprint()}


def parse_pcr(text):
    """The 32 bytes of 64 hex digits; ValueError otherwise."""
    if not isinstance(text, str) or len(text) != 64:
        raise ValueError("a PCR value is 64 hex digits")
    return bytes.fromhex(text)
