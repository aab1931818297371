# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 with keep-alive, a thread a connection, TLS where asked. Routes and logs."""

import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import misbehave
import wire
from control import Control, Journal
from errors import KbsError
from reply import Reply, Request
from wire import Hangup

MAX_BODY = 2 << 20
IDLE = 120
HANDSHAKE = 10


class Server(ThreadingHTTPServer):
    """Listens; hands each connection, after any TLS handshake, to a Handler on its own thread."""
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, host, port, kbs, tls=None, quiet=True):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.kbs, self.tls, self.quiet = kbs, tls, quiet
        self.stop = threading.Event()
        self.rules, self.journal = misbehave.Misbehaviours(), Journal()
        self.control = Control(kbs, self.rules, self.journal)
        super().__init__((host, port), Handler)

    def server_bind(self):
        # Not HTTPServer's: that one asks the resolver for our name, which may take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    @property
    def url(self):
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"{'https' if self.tls else 'http'}://{host}:{self.server_port}"

    def note(self, text):
        if not self.quiet:
            print(f"trustee: {text}", file=sys.stderr, flush=True)

    def finish_request(self, request, client_address):
        number = self.journal.connected()
        rule = self.rules.take("connect")
        if rule and rule.kind == "refuse":
            wire.abort(request)
            return
        if rule and self.stop.wait(rule.params["seconds"]):
            return
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            request.settimeout(HANDSHAKE)
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError as e:  # ssl.SSLError is one
                self.journal.tls_failed()
                self.note(f"connection {number}: TLS: {e}")
                return
        request.settimeout(IDLE)
        try:
            Handler(request, client_address, self, number)
        finally:
            if self.tls:
                goodbye(request)

    def handle_error(self, request, client_address):
        kind, error = sys.exc_info()[:2]
        if issubclass(kind, OSError):
            return  # the client went away
        print(f"trustee: {kind.__name__}: {error}", file=sys.stderr, flush=True)
        if not self.quiet:
            super().handle_error(request, client_address)


def goodbye(sock):
    """Ends TLS in an orderly way, as the real server does, unless it is gone already."""
    try:
        sock.settimeout(1)
        sock.unwrap().close()
    except (OSError, ValueError):
        pass
    sock.close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "test-trustee", ""

    def __init__(self, request, client_address, server, number):
        self.number = number
        super().__init__(request, client_address, server)

    def do_GET(self):
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format, *args):
        pass  # the journal has it

    def _body(self):
        """The request's body, or the Reply that refuses it."""
        if self.headers.get("Transfer-Encoding"):
            return Reply(411, b"a Content-Length, please\n", "text/plain")
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = -1
        if length < 0:
            return Reply(400)
        if length > MAX_BODY:
            return Reply(413)
        body = self.rfile.read(length)
        if len(body) < length:
            raise Hangup
        return body

    def _serve(self):
        try:
            body = self._body()
            if isinstance(body, Reply):
                self.close_connection = True
                wire.send(self.connection, body, self.server.kbs.clock.now(), close=True)
                return
            self._answer(body)
        except Hangup as e:
            self.close_connection = True
            if e.reset:
                wire.abort(self.connection)
        except OSError:
            self.close_connection = True

    def _answer(self, body):
        server = self.server
        path, action, req = route(server, self.command, self.path, self.headers, body)
        if req.endpoint == "test":
            wire.send(self.connection, action(req), server.kbs.clock.now())
            return
        resource = "/".join(req.segments) if req.endpoint == "resource" else None
        req.rule = server.rules.take(req.endpoint, resource)
        if req.endpoint != "metrics":
            server.kbs.metrics.count("kbs_http_requests_total")
        entry = server.journal.add(self.number, self.request_version, path, req)
        reply = carry_out(action, req)
        # Noted before it is sent: who has the answer finds it in the journal.
        server.journal.finish(entry, reply.status, reply.why)
        server.note(f"connection {self.number}: {self.command} {path} {reply.status}"
                    + (f" [{req.odd}]" if req.rule else "")
                    + (f" ({reply.why})" if reply.why else ""))
        now = server.kbs.clock.now
        if req.rule and wire.misbehave(self.connection, reply, now(), req.rule, server.stop):
            return
        wire.send(self.connection, reply, now(), close=self.close_connection)


def carry_out(action, req):
    """The answer to @req, or what a misbehaviour puts in its place."""
    if req.odd in misbehave.UNANSWERED:
        return Reply(0, why="misbehaviour")
    if req.odd in misbehave.INSTEAD:
        return misbehave.instead(req.rule)
    try:
        reply = action(req)
    except KbsError as e:
        reply = Reply(e.status, e.body(), why=e.why)
    return misbehave.spoil(req.rule, reply) if req.rule else reply


def route(server, method, target, headers, body):
    """(path, action, Request) of a request target; actions raise KbsError to refuse."""
    if not target.startswith("/"):  # a proxy's form: scheme and host before the path
        target = target.partition("://")[2]
        target = "/" + target.partition("/")[2]
    path = target
    plain = target.partition("?")[0]
    parts = plain[1:].split("/")
    kbs = server.kbs
    req = Request(method, parts, headers, body)
    if parts[0] == "test":
        req.endpoint, req.segments = "test", parts[1:]
        return path, server.control.answer, req
    if plain == "/metrics" and method == "GET":
        req.endpoint = "metrics"
        return path, lambda _: Reply(200, kbs.metrics.text().encode(), "text/plain"), req
    if plain == "/healthz" and method == "GET":
        return path, lambda _: Reply(200), req
    if parts[:2] != ["kbs", "v0"]:
        return path, lambda _: Reply(404), req
    if len(parts) < 3 or not parts[2]:
        return path, _refuse("InvalidRequestPath", plain), req
    name, req.segments = parts[2], parts[3:]
    key = (method, name)
    if key == ("POST", "auth") and not req.segments:
        req.endpoint, action = "auth", kbs.auth
    elif key == ("POST", "attest") and not req.segments:
        req.endpoint, action = "attest", kbs.attest
    elif key == ("GET", "resource"):
        req.endpoint, action = "resource", kbs.resource
    elif name == "resource":
        req.endpoint, action = "admin", kbs.write_resource
    elif name == "resource-policy" and method in ("GET", "POST"):
        req.endpoint, action = "admin", kbs.resource_policy
    else:
        action = _refuse("PluginNotFound", name)
    return path, action, req


def _refuse(variant, particulars):
    def action(_):
        raise KbsError(variant, particulars)
    return action
