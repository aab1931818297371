# SPDX-License-Identifier: Apache-2.0
"""What the server remembers: resources, and the sessions of handshakes under way."""

import base64
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass

PART = re.compile(r"[A-Za-z0-9_-]+[A-Za-z0-9_.-]*\Z")
MAX_SESSIONS = 100_000


def resource_path(segments):
    """ "r/t/tag" from three well-formed segments, else None."""
    if len(segments) == 3 and all(PART.match(s) for s in segments):
        return "/".join(segments)
    return None


class Resources:
    """Resources set over HTTP, in front of the files of a folder (read again at each request)."""

    def __init__(self, folder=None):
        self._folder, self._lock = folder, threading.Lock()
        self._set = {}  # path -> bytes, or None for one that was deleted

    def get(self, path):
        """The bytes of @path (already checked by resource_path()), or None."""
        with self._lock:
            if path in self._set:
                return self._set[path]
        if self._folder is None:
            return None
        try:
            with open(os.path.join(self._folder, path), "rb") as f:
                return f.read()
        except OSError:
            return None

    def put(self, path, data):
        with self._lock:
            self._set[path] = data


@dataclass
class Session:
    """One handshake, from /auth on."""
    id: str
    tee: str
    nonce: str
    hash: str
    ends: float
    expires: float  # the same moment on the clock that is shown to clients
    token: str = None


class Sessions:
    """Live sessions by cookie. Their life is measured on a clock that cannot be set."""

    def __init__(self, clock, life):
        self._clock, self.life, self._lock = clock, life, threading.Lock()
        self._live = {}

    def open(self, tee, hash_alg):
        nonce = base64.b64encode(secrets.token_bytes(32)).decode()
        s = Session(secrets.token_hex(16), tee, nonce, hash_alg, time.monotonic() + self.life,
                    self._clock.now() + self.life)
        with self._lock:
            now = time.monotonic()
            if len(self._live) >= MAX_SESSIONS:
                self._live = {i: o for i, o in self._live.items() if o.ends > now}
            self._live[s.id] = s
        return s

    def get(self, cookie):
        with self._lock:
            s = self._live.get(cookie)
            if s is not None and s.ends <= time.monotonic():
                del self._live[cookie]
                s = None
            return s

    def forget(self):
        """Drops every session, as a restart would."""
        with self._lock:
            self._live.clear()

    def __len__(self):
        with self._lock:
            return len(self._live)
