# SPDX-License-Identifier: Apache-2.0
"""Azure's metadata service as far as evidence needs it, and its bad days. For a network namespace
that has 169.254.169.254 on its loopback."""

import base64
import contextlib
import http.server
import json
import threading
import time

ADDRESS = ("169.254.169.254", 80)
VCEK, QUOTE = "/metadata/THIM/amd/certification", "/acc/tdquote"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body=b"", **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.handle_one(None)

    def do_POST(self):
        self.handle_one(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def handle_one(self, body):
        s = self.server.imds
        with s.lock:
            s.requests.append((self.command, self.path, dict(self.headers), body, time.monotonic()))
            how = s.faults.pop(0) if s.faults else s.always
        if self.headers.get("Metadata") != "true":
            return self.send(400, {"error": "Bad request: Metadata header"})
        with contextlib.suppress(OSError):
            if how is not None:
                return self.misbehave(how)
            if self.command == "GET" and self.path == VCEK:
                return self.send(200, s.hardware.certification())
            if self.command == "POST" and self.path == QUOTE:
                return self.quote(body)
            self.send(404)

    def quote(self, body):
        s = self.server.imds
        text = json.loads(body)["report"]
        url = set(text) & set("-_") or len(text) % 4
        if s.wants == "url" and text.rstrip("=") == text and not set(text) & set("+/"):
            report = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        elif s.wants == "standard" and not url:
            report = base64.b64decode(text, validate=True)
        else:
            return self.send(400, {"error": "report is not base64"})
        if len(report) != 1024:
            return self.send(400, {"error": "report is not 1024 bytes"})
        quote = s.edit(s.hardware.quote(report)) if s.edit else s.hardware.quote(report)
        out = base64.urlsafe_b64encode(quote).rstrip(b"=") if s.gives == "url" else base64.b64encode(quote)
        self.send(200, {"quote": out.decode()})

    def misbehave(self, how):
        if isinstance(how, int):
            self.send(how)
        elif isinstance(how, dict):
            self.send(200, how)
        elif isinstance(how, bytes):
            self.send(200, how)
        elif how == "retry-after":
            self.send(429, Retry_After="1")
        elif how == "stall":
            time.sleep(60)
        elif how == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "4096")
            self.end_headers()
            for _ in range(60):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(1)
        elif how == "reset":
            self.close_connection = True
            self.connection.close()
        elif how == "huge":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            for _ in range(64):
                self.wfile.write(b" " * 65536)
        elif how == "redirect":
            self.send(302, Location="http://169.254.169.254/elsewhere")
        else:
            raise ValueError(how)


class Imds:
    def __init__(self, hardware):
        self.hardware = hardware
        self.lock = threading.Lock()
        self.requests, self.faults, self.always = [], [], None
        self.wants, self.gives, self.edit = "standard", "standard", None
        self.server = http.server.ThreadingHTTPServer(ADDRESS, Handler)
        self.server.daemon_threads = True
        self.server.imds = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def behave(self):
        with self.lock:
            self.faults, self.always = [], None
            self.wants, self.gives, self.edit = "standard", "standard", None
            self.requests = []

    def close(self):
        self.server.shutdown()
        self.server.server_close()
