#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Starts the test Trustee: reads the options, listens, says so, and goes when told to."""

import json
import os
import signal
import sys
import tempfile
import threading

sys.dont_write_bytecode = True  # the source tree stays as it was

import azure
import misbehave
import options
import pki
from errors import Refused
from httpd import Server
from kbs import Kbs, Settings, load_aks


def read_text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def settings_of(args):
    return Settings(hash=args.hash, token_life=args.token_life, leeway=args.leeway,
                    session_life=args.session_life, token_key=args.token_key,
                    resources=args.resources, policy=args.policy and read_text(args.policy),
                    allow_sample=args.allow_sample, deny=args.deny, expect_pcr8=args.expect_pcr8,
                    clock_offset=args.clock_offset,
                    roots=azure.load_roots(args.amd_root, args.intel_root))


def write_whole(path, text):
    """@path with @text in it at once, never half."""
    fd, name = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".ready-")
    with os.fdopen(fd, "w") as f:
        f.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)


def tls_context(args):
    """(SSLContext, path of the CA's certificate, whether to remove that at exit)."""
    path = args.ca_file
    if path is None and args.ready_file:
        path = os.path.join(os.path.dirname(os.path.abspath(args.ready_file)), "ca.pem")
    elif path is None:
        fd, path = tempfile.mkstemp(prefix="trustee-ca-", suffix=".pem")
        os.close(fd)
    context = pki.server_context(path, args.cert, args.tls_name)
    return context, os.path.abspath(path), args.ca_file is None


def start(args):
    """A Server that listens, and the files to remove when it ends."""
    if args.resources and not os.path.isdir(args.resources):
        raise ValueError(f"--resources: {args.resources} is no directory")
    kbs = Kbs(settings_of(args))
    load_aks(kbs, args.trusted_ak)
    tls, ca, ours = tls_context(args) if args.tls else (None, None, False)
    server = Server(args.listen, args.port, kbs, tls, quiet=not args.verbose)
    for text in args.misbehave:
        server.rules.add(json.loads(text))
    ready = json.dumps({"port": server.server_port, "url": server.url, "ca": ca,
                        "pid": os.getpid()})
    if args.ready_file:
        write_whole(args.ready_file, ready + "\n")
    print(ready, flush=True)
    return server, [f for f in (args.ready_file, ca if ours else None) if f]


def main(argv=None):
    args = options.parser().parse_args(argv)
    if args.list_misbehaviours:
        print(misbehave.table())
        return 0
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    try:
        server, litter = start(args)
    except (Refused, ValueError, OSError) as e:
        print(f"trustee: {e}", file=sys.stderr)
        return 1
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    if not done.wait(args.max_life):
        print("trustee: lived long enough (--max-life)", file=sys.stderr)
    server.stop.set()
    server.shutdown()
    server.server_close()
    for path in litter:
        try:
            os.unlink(path)
        except OSError:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
