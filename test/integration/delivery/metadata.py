# SPDX-License-Identifier: Apache-2.0
"""The metadata services of four clouds, as far as user-data needs them, and their bad days.

    metadata.py --cloud NAME --user-data FILE --log FILE --ready FILE [--imds v1|v2|required]
                [--fail N --how HOW]

Listens on the cloud's own address, port 80: meant for a network namespace that has it on its
loopback. The first N requests for the user-data go wrong in the way HOW says (N < 0: all).
Each request is one line of JSON in the log. Source: spec/local-api.md 5.6.
"""

import argparse
import http.server
import json
import pathlib
import sys
import threading
import time

TOKEN = "AQAEAFp3tc_Hc0X-zZ-test-token=="
ADDRESS = {"azure": "169.254.169.254", "aws": "169.254.169.254", "gcp": "169.254.169.254",
           "alibaba": "100.100.100.200"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self):
        entry = {"method": self.command, "path": self.path,
                 "headers": {k.lower(): v for k, v in self.headers.items()}, "time": time.monotonic()}
        with self.server.lock:
            with open(self.server.args.log, "a") as f:
                f.write(json.dumps(entry) + "\n")

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        self.wfile.write(body)

    def misbehave(self, how):
        if how == "reset":
            self.close_connection = True
            self.connection.close()
        elif how in ("404", "500", "201", "204"):
            self.reply(int(how), b"" if how == "204" else self.server.data)
        elif how == "redirect":
            self.reply(302, Location="http://127.0.0.1/elsewhere")
        elif how == "garbage":
            self.reply(200, b"<html>Please log in</html>")
        elif how == "empty":
            self.reply(200)
        elif how == "not-http":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            self.close_connection = True
        elif how in ("huge", "announced"):
            # Without a length, and with one.
            self.send_response(200)
            self.send_header(*(("Connection", "close") if how == "huge" else ("Content-Length", str(1 << 40))))
            self.end_headers()
            self.close_connection = True
            for _ in range(1024):
                self.wfile.write(b"#" * 65536)
        elif how == "drip":
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.data)))
            self.end_headers()
            for b in self.server.data:
                self.wfile.write(bytes([b]))
                time.sleep(1)
        elif how == "silent":
            time.sleep(3600)
        else:
            raise ValueError(how)

    def user_data(self):
        args = self.server.args
        with self.server.lock:
            bad = args.fail < 0 or self.server.asked < args.fail
            self.server.asked += 1
        if bad:
            self.misbehave(args.how)
        else:
            self.reply(200, self.server.data, Content_Type="application/octet-stream")

    def answer(self):
        self.note()
        cloud = self.server.args.cloud
        if "x-forwarded-for" in self.headers or "via" in self.headers:
            self.reply(403, b"through a proxy")
        else:
            getattr(self, cloud)()

    do_GET = do_PUT = do_POST = do_HEAD = answer

    def azure(self):
        if self.headers.get("metadata") != "true":
            self.reply(400, b'{"error":"Bad request. Required metadata header not specified"}')
        elif (self.command, self.path) == (
                "GET", "/metadata/instance/compute/userData?api-version=2021-01-01&format=text"):
            self.user_data()
        else:
            self.reply(404)

    def aws(self):
        imds = self.server.args.imds
        if self.path == "/latest/api/token" and imds != "v1":
            if self.command != "PUT":
                self.reply(405)
            elif self.headers.get("x-aws-ec2-metadata-token-ttl-seconds") != "60":
                self.reply(400)
            else:
                self.reply(200, TOKEN.encode())
        elif (self.command, self.path) == ("GET", "/latest/user-data"):
            token = self.headers.get("x-aws-ec2-metadata-token")
            if imds == "required" and token != TOKEN:
                self.reply(401)
            else:
                self.user_data()
        else:
            self.reply(404)

    def gcp(self):
        base = "/computeMetadata/v1/instance"
        if self.headers.get("metadata-flavor") != "Google" or self.headers["host"] != "metadata.google.internal":
            self.reply(403)
        elif (self.command, self.path) == ("GET", base):
            self.reply(301, Location=f"http://metadata.google.internal{base}/")
        elif (self.command, self.path) == ("GET", base + "/"):
            self.reply(200, b"attributes/\nhostname\n")
        elif (self.command, self.path) == ("GET", base + "/attributes/user-data"):
            self.user_data()
        else:
            self.reply(404)

    def alibaba(self):
        if (self.command, self.path) == ("GET", "/latest/user-data"):
            self.user_data()
        else:
            self.reply(404)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cloud", choices=ADDRESS, required=True)
    p.add_argument("--user-data", required=True)
    p.add_argument("--log", required=True)
    p.add_argument("--ready", required=True)
    p.add_argument("--imds", choices=("v1", "v2", "required"), default="v2")
    p.add_argument("--fail", type=int, default=0)
    p.add_argument("--how", default="404")
    args = p.parse_args()
    server = http.server.ThreadingHTTPServer((ADDRESS[args.cloud], 80), Handler)
    server.daemon_threads = True
    server.args = args
    server.data = pathlib.Path(args.user_data).read_bytes()
    server.lock = threading.Lock()
    server.asked = 0
    pathlib.Path(args.ready).write_text("ready")
    server.serve_forever()


sys.exit(main())
