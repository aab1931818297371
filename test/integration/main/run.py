# SPDX-License-Identifier: Apache-2.0
"""The main job: attest with a TPM, unseal, inject; one attestation serves many."""

import pathlib
import select
import socket
import socketserver
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, Skip, World, can_mount, wait_for  # noqa: E402

sys.dont_write_bytecode = True
BUILD = sys.argv[1]
TTRPC = pathlib.Path(__file__).resolve().parents[2] / "tools/ttrpc.py"


def unseal(w, text, name=None, timeout=20):
    argv = ["/usr/bin/python3", TTRPC, w.cdh_socket, "unseal", text, "--timeout", timeout]
    if name:
        argv += ["--name", name]
    return w.run(argv, timeout=timeout + 30)


def get(w, uri, timeout=20):
    return w.run(["/usr/bin/python3", TTRPC, w.cdh_socket, "get-resource", uri, "--timeout", timeout],
                 timeout=timeout + 30)


def need_mount():
    if not can_mount():
        raise Skip("needs root with CAP_SYS_ADMIN")


def expect(r, text):
    assert r.returncode == 0 and r.stdout == text, f"exit {r.returncode}: {r.stdout!r} {r.stderr!r}"


def refused(r, code):
    assert r.returncode != 0 and code in r.stderr, f"want {code}: exit {r.returncode} {r.stdout!r} {r.stderr!r}"


def container__env_and_file__sees_plaintext():
    need_mount()
    with World(BUILD) as w:
        w.resource("default/a/env", "in the environment ✓")
        w.resource("default/a/file", b"in a file\n")
        w.up()
        w.mount()
        w.oci_config()
        f = w.tmp / "sealed-file"
        f.write_text(w.seal("kbs:///default/a/file") + "\n")
        before = f.read_bytes()
        r = w.container("c1", ["sh", "-c", 'echo "$V"; cat /run/secrets/f; echo $PLAIN'],
                        env=["PLAIN=unsealed.already", f"V={w.seal('kbs:///default/a/env')}"],
                        mounts=[(f, "/run/secrets/f")])
        expect(r, "in the environment ✓\nin a file\nunsealed.already\n")
        assert f.read_bytes() == before, "the original was changed"
        assert w.metric("kbs_attestation_successes_total") == 1


def secrets__fifty_of_one_key__one_quote_and_n_plus_3_requests_on_one_connection():
    with World(BUILD) as w:
        for i in range(50):
            w.resource(f"default/many/s{i}", f"value {i}")
        w.up()
        w.trustee("/test/log", method="DELETE")
        for i in range(50):
            expect(unseal(w, w.seal(f"kbs:///default/many/s{i}")), f"value {i}")
        assert w.metric("kbs_attestation_successes_total") == 1
        log = [e for e in w.trustee("/test/log") if e["path"].startswith("/kbs/v0/")]
        assert len(log) == 53, f"{len(log)} requests"
        assert len({e["connection"] for e in log}) == 1, "more than one connection"
        for e in log:
            is_get = e["method"] == "GET"
            assert e["bearer"] == is_get, e
            assert e["cookie"] == (e["endpoint"] == "attest"), e


def secrets__fifty_at_once__share_one_handshake():
    with World(BUILD) as w:
        for i in range(50):
            w.resource(f"default/many/s{i}", f"value {i}")
        w.up()
        sealed = [w.seal(f"kbs:///default/many/s{i}") for i in range(50)]
        results = [None] * 50

        def one(i):
            results[i] = unseal(w, sealed[i], timeout=50)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(50)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for i, r in enumerate(results):
            expect(r, f"value {i}")
        assert w.metric("kbs_attestation_successes_total") == 1


def keys__each_algorithm__decrypts():
    for alg in ("ECDH-ES+A256KW-P256", "ECDH-ES+A256KW-P521", "RSA-OAEP-256"):
        with World(BUILD) as w:
            w.resource("default/a/b", f"for {alg}")
            w.up(alg=alg)
            expect(unseal(w, w.seal("kbs:///default/a/b")), f"for {alg}")
            expect(get(w, "kbs:///default/a/b"), f"for {alg}")


def hash__chosen_by_trustee__is_used():
    for name in ("sha256", "sha512"):
        with World(BUILD) as w:
            w.resource("default/a/b", "x")
            w.start_tpm()
            w.provision_ak()
            w.start_trustee("--hash", name)
            w.keygen()
            w.provision(w.initdata())
            w.start_daemon()
            expect(get(w, "kbs:///default/a/b"), "x")


def initdata__without_trustee__serves_and_says_so():
    with World(BUILD) as w:
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        w.provision(w.initdata(url=""))
        w.start_daemon()
        refused(unseal(w, w.seal("kbs:///default/a/b")), "config.no-trustee")


def http__without_permit__gives_resources_but_no_signing_keys():
    with World(BUILD, tls=False) as w:
        w.resource("default/a/b", "over http")
        w.up()
        expect(get(w, "kbs:///default/a/b"), "over http")
        refused(unseal(w, w.seal("kbs:///default/a/b")), "trust.plain-http")
        assert "plain http" in w.log("vouchsafed")


def http__with_measured_permit__gives_signing_keys():
    with World(BUILD, tls=False) as w:
        w.resource("default/a/b", "over http")
        w.up(own="[trust]\nallow_http_anchors = true\n")
        expect(unseal(w, w.seal("kbs:///default/a/b")), "over http")


def sealed__kid_not_listed_or_name_bound_elsewhere__is_refused():
    with World(BUILD) as w:
        for n in ("one", "two"):
            w.resource(f"default/a/{n}", n)
        own = ('[sealed]\nkids = ["kbs:///default/signing-key/sealed-secret"]\n'
               'bind = { ONE = "kbs:///default/a/one", TWO = "kbs:///default/a/two" }\n')
        w.up(own=own)
        one = w.seal("kbs:///default/a/one")
        expect(unseal(w, one, name="ONE"), "one")
        refused(unseal(w, one, name="TWO"), "sealed.bind-mismatch")
        refused(unseal(w, one, name="OTHER"), "sealed.bind-mismatch")
        refused(unseal(w, w.seal("kbs:///default/a/one", kid="kbs:///default/other/key"), name="ONE"),
                "sealed.kid-not-listed")


def sealed__tampered_or_of_another_key__is_refused():
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.up()
        good = w.seal("kbs:///default/a/b")
        expect(unseal(w, good), "x")
        head, payload, signature = good.removeprefix("sealed.").split(".")
        refused(unseal(w, f"sealed.{head}.{payload}.{signature[:-2]}AA"), "sealed.signature")
        refused(unseal(w, f"sealed.{head}.{payload}"), "sealed.format")
        w.run([w.dev / "vouchsafe", "seal", "keygen", "--kid", "mallory", "--output-dir", w.tmp], check=True)
        refused(unseal(w, w.seal("kbs:///default/a/b", key=w.tmp / "mallory-private.json")), "sealed.signature")


def token__near_its_end__is_renewed_before_use():
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.start_tpm()
        w.provision_ak()
        w.start_trustee("--token-life", "40")
        w.keygen()
        w.provision(w.initdata())
        w.start_daemon()
        expect(get(w, "kbs:///default/a/b"), "x")
        expect(get(w, "kbs:///default/a/b"), "x")
        assert w.metric("kbs_attestation_successes_total") == 1
        # Of lives under a minute half is kept in reserve: 20 s here.
        time.sleep(21)
        expect(get(w, "kbs:///default/a/b"), "x")
        assert w.metric("kbs_attestation_successes_total") == 2


def policy__denied_then_fixed__takes_effect_without_restart_and_without_attesting_in_the_call():
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.up()
        w.trustee("/kbs/v0/resource-policy", {"policy": "ZGVueV9hbGw"})  # deny_all
        refused(get(w, "kbs:///default/a/b"), "kbs.policy-denied")
        refused(get(w, "kbs:///default/a/b"), "kbs.policy-denied")
        assert w.metric("kbs_attestation_successes_total") == 1
        w.trustee("/kbs/v0/resource-policy", {"policy": "YWxsb3dfYWxs"})  # allow_all
        expect(get(w, "kbs:///default/a/b"), "x")
        time.sleep(31)
        expect(get(w, "kbs:///default/a/b"), "x")
        assert w.metric("kbs_attestation_successes_total") == 2, "the denied token was not renewed"


def ipv6__literal_url__works():
    with World(BUILD) as w:
        try:
            with socket.socket(socket.AF_INET6) as s:
                s.bind(("::1", 0))
        except OSError:
            raise Skip("no ::1 on this machine") from None
        w.resource("default/a/b", "six")
        w.start_tpm()
        w.provision_ak()
        w.start_trustee("--listen", "::1")
        w.keygen()
        assert "[::1]" in w.url, w.url
        w.provision(w.initdata())
        w.start_daemon()
        expect(get(w, "kbs:///default/a/b"), "six")


class Tunnel(socketserver.BaseRequestHandler):
    """CONNECT, and a plain forwarder when the server has a fixed target."""

    def handle(self):
        server = self.server
        server.used += 1
        first = b""
        if server.target is None:
            while b"\r\n\r\n" not in first:
                part = self.request.recv(4096)
                if not part:
                    return
                first += part
            host, port = first.split(b" ")[1].decode().rsplit(":", 1)
            upstream = socket.create_connection((host.strip("[]"), int(port)), 10)
            self.request.sendall(b"HTTP/1.1 200 ok\r\n\r\n")
        else:
            upstream = socket.create_connection(server.target, 10)
        with upstream:
            while True:
                ready, _, _ = select.select([self.request, upstream], [], [], 60)
                for s in ready:
                    data = s.recv(65536)
                    if not data:
                        return
                    (upstream if s is self.request else self.request).sendall(data)
                if not ready:
                    return


class TunnelServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, target=None, port=0, bind_and_activate=True):
        super().__init__(("127.0.0.1", port), Tunnel, bind_and_activate)
        self.target = target
        self.used = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


def proxy__measured__is_used_and_the_environment_is_not():
    with World(BUILD) as w, TunnelServer() as proxy:
        w.resource("default/a/b", "through the proxy")
        w.up(own=f'[net]\nproxy = "http://127.0.0.1:{proxy.server_address[1]}"\n')
        expect(get(w, "kbs:///default/a/b"), "through the proxy")
        assert proxy.used >= 1
        proxy.shutdown()


def proxy__in_the_environment_or_excluded__is_not_used():
    import os
    with World(BUILD) as w, TunnelServer() as proxy:
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        w.resource("default/a/b", "direct")
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        w.provision(w.initdata(own=f'[net]\nproxy = "{url}"\nno_proxy = "127.0.0.1"\n'))
        os.environ.update(https_proxy=url, HTTPS_PROXY=url, ALL_PROXY=url)
        try:
            w.start_daemon()
        finally:
            for k in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
                os.environ.pop(k)
        expect(get(w, "kbs:///default/a/b"), "direct")
        assert proxy.used == 0
        proxy.shutdown()


def trustee__door_opens_after_20_s__secret_arrives_with_one_attestation():
    with World(BUILD) as w:
        w.resource("default/a/b", "late but here")
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            door = s.getsockname()[1]
        w.provision(w.initdata(url=f"https://127.0.0.1:{door}"))
        w.start_daemon()
        result = {}
        sealed = w.seal("kbs:///default/a/b")
        t = threading.Thread(target=lambda: result.update(r=unseal(w, sealed, timeout=50)))
        t.start()
        time.sleep(20)
        with TunnelServer(("127.0.0.1", w.port), door) as server:
            t.join()
            expect(result["r"], "late but here")
            assert w.metric("kbs_attestation_successes_total") == 1
            server.shutdown()


def daemon__sigterm__drains_and_removes_its_socket():
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.up()
        w.misbehave(kind="stall", endpoint="resource", seconds=3, count=1)
        result = {}
        t = threading.Thread(target=lambda: result.update(r=get(w, "kbs:///default/a/b")))
        t.start()
        wait_for("the call", lambda: any(e["endpoint"] == "attest" for e in w.trustee("/test/log")))
        time.sleep(0.5)
        assert w.stop("vouchsafed") == 0, w.log("vouchsafed")
        t.join()
        expect(result["r"], "x")


def daemon__restarted__attests_anew_and_serves():
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.up()
        expect(get(w, "kbs:///default/a/b"), "x")
        w.stop("vouchsafed")
        w.start_daemon()
        expect(get(w, "kbs:///default/a/b"), "x")
        assert w.metric("kbs_attestation_successes_total") == 2


def main():
    c = Cases()
    for fn in (
        container__env_and_file__sees_plaintext,
        secrets__fifty_of_one_key__one_quote_and_n_plus_3_requests_on_one_connection,
        secrets__fifty_at_once__share_one_handshake,
        keys__each_algorithm__decrypts,
        hash__chosen_by_trustee__is_used,
        trustee__door_opens_after_20_s__secret_arrives_with_one_attestation,
        initdata__without_trustee__serves_and_says_so,
        http__without_permit__gives_resources_but_no_signing_keys,
        http__with_measured_permit__gives_signing_keys,
        sealed__kid_not_listed_or_name_bound_elsewhere__is_refused,
        sealed__tampered_or_of_another_key__is_refused,
        token__near_its_end__is_renewed_before_use,
        policy__denied_then_fixed__takes_effect_without_restart_and_without_attesting_in_the_call,
        ipv6__literal_url__works,
        proxy__measured__is_used_and_the_environment_is_not,
        proxy__in_the_environment_or_excluded__is_not_used,
        daemon__sigterm__drains_and_removes_its_socket,
        daemon__restarted__attests_anew_and_serves,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
