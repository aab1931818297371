# SPDX-License-Identifier: Apache-2.0
"""The sockets as kata-agent and upstream's tools use them: AA and CDH services of a live vouchsafed."""

import base64
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from world import Cases, Skip, World, can_mount, wait_for  # noqa: E402
import ttrpc  # noqa: E402

BUILD = sys.argv[1]
AA = "attestation_agent.AttestationAgentService"
SHARED = pathlib.Path(os.environ.get("TEST_SHARED", pathlib.Path(__file__).resolve().parents[4] / "shared")) / "vectors"


def aa(w):
    return ttrpc.Client(str(w.root / "run/confidential-containers/attestation-agent/attestation-agent.sock"))


def cdh(w):
    return ttrpc.Client(str(w.cdh_socket))


def one(data, number=1, default=b""):
    return ttrpc.last(ttrpc.fields(data), number, default)


def fails(code, words, fn, *args):
    try:
        fn(*args)
    except ttrpc.Status as s:
        assert s.code == code and words in s.message, (s.code, s.message)
        return
    raise AssertionError("it succeeded")


def aa__tee_and_evidence__are_those_of_the_tpm():
    with World(BUILD) as w:
        w.up()
        with aa(w) as c:
            assert one(c.call(AA, "GetTeeType")) == b"tpm"
            assert c.call(AA, "GetAdditionalTees") == b""
            assert c.call(AA, "GetAdditionalEvidence", ttrpc.field(1, b"x")) == b""
            e = json.loads(one(c.call(AA, "GetEvidence", ttrpc.field(1, b"runtime data"))))
            message = base64.b64decode(e["tpm_quote"]["message"])
            assert b"runtime data".ljust(32, b"\0") in message
            assert e["ak_public"] == w.ak and len(e["tpm_quote"]["pcrs"]) == 24
            fails(13, "[ERROR:attestation-agent] AA-KBC get evidence failed", c.call, AA, "GetEvidence",
                  ttrpc.field(1, b"x" * 65))


def aa__bind_initdata_and_removed_method__have_upstreams_codes():
    with World(BUILD) as w:
        w.up()
        with aa(w) as c:
            fails(5, f"/{AA}/BindInitData is not supported", c.call, AA, "BindInitData")
            fails(12, "UpdateConfiguration method", c.call, AA, "UpdateConfiguration")
            fails(3, "api.SealedSecretService service does not exist", c.call, "api.SealedSecretService", "UnsealSecret")


def aa__kbs_token__comes_with_its_own_key_and_is_cached():
    with World(BUILD) as w:
        w.resource("default/a/b", "for the exported key")
        w.up()
        with aa(w) as c, cdh(w) as d:
            assert d.get_resource("kbs:///default/a/b") == b"for the exported key"
            t = json.loads(one(c.call(AA, "GetToken", ttrpc.field(1, b"kbs"))))
            assert json.loads(one(c.call(AA, "GetToken", ttrpc.field(1, b"kbs")))) == t
            assert w.metric("kbs_attestation_successes_total") == 2
            # An independent client opens a resource with the token and the key that came with it.
            import ssl
            import urllib.request
            from jwcrypto import jwe, jwk
            q = urllib.request.Request(w.url + "/kbs/v0/resource/default/a/b",
                                       headers={"Authorization": "Bearer " + t["token"]})
            with urllib.request.urlopen(q, context=ssl._create_unverified_context()) as r:
                five = json.loads(r.read())
            box = jwe.JWE()
            box.deserialize(".".join(five[k] for k in ("protected", "encrypted_key", "iv", "ciphertext", "tag")),
                            jwk.JWK.from_pem(t["tee_keypair"].encode()))
            assert box.payload == b"for the exported key"
            # And it is not the daemon's: the log has another key in the other session.
            fails(13, "AA-KBC get token failed", c.call, AA, "GetToken", ttrpc.field(1, b"other"))


def aa__coco_as_token__is_the_services_answer():
    import http.server

    class AS(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.seen.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"the.token")

        def log_message(self, *_):
            pass

    with World(BUILD) as w, http.server.HTTPServer(("127.0.0.1", 0), AS) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        text = w.initdata(encode=False).read_text()
        assert "[token_configs.kbs]" in text
        text = text.replace("[token_configs.kbs]",
                            f'[token_configs.coco_as]\nurl = "http://127.0.0.1:{server.server_address[1]}/"\n[token_configs.kbs]', 1)
        (w.tmp / "initdata").write_text(text)
        w.provision(w.tmp / "initdata")
        w.start_daemon()
        with aa(w) as c:
            assert one(c.call(AA, "GetToken", ttrpc.field(1, b"coco_as"))) == b"the.token"
        path, body = server.seen[0]
        assert path == "/attestation" and body["policy_ids"] == [], (path, body)
        request = body["verification_requests"][0]
        assert request["tee"] == "tpm"
        json.loads(base64.urlsafe_b64decode(request["evidence"] + "=="))
        server.shutdown()


def eventlog(w, on):
    w.start_tpm()
    w.provision_ak()
    w.start_trustee()
    w.keygen()
    text = w.initdata(encode=False).read_text()
    if on:
        text = text.replace("[token_configs.kbs]", "[eventlog_config]\nenable_eventlog = true\n[token_configs.kbs]", 1)
    (w.tmp / "initdata").write_text(text)
    w.provision(w.tmp / "initdata")
    w.start_daemon()


def event(*parts, reg=None):
    out = b"".join(ttrpc.field(i + 1, p.encode()) for i, p in enumerate(parts))
    return out + (ttrpc.varint(4 << 3) + ttrpc.varint(reg) if reg is not None else b"")


def aa__extend__off_on_and_bad_content():
    with World(BUILD) as w:
        eventlog(w, False)
        with aa(w) as c:
            r = c.call(AA, "ExtendRuntimeMeasurement", event("d", "o", "c"))
            assert one(r, 1, 0) == 2, r
    with World(BUILD) as w:
        eventlog(w, True)
        with aa(w) as c:
            assert c.call(AA, "ExtendRuntimeMeasurement", event("d", "o", "c")) == b""
            fails(13, "AA extend runtime measurement failed", c.call, AA, "ExtendRuntimeMeasurement",
                  event("d", "o", "two\nlines"))
            fails(13, "eventlog.register", c.call, AA, "ExtendRuntimeMeasurement", event("d", "o", "c", reg=8))
        r = w.vouchsafe("eventlog", "--verify")
        assert r.returncode == 0 and "d" in r.stdout, (r.stdout, r.stderr)


def cdh__unwrap_key__every_shared_request():
    folder = SHARED / "local/keyprovider"
    if not folder.exists():
        raise Skip("the shared vectors are not on this machine")
    with World(BUILD) as w:
        w.resource("default/key/kek", (folder / "own-kek.bin").read_bytes())
        w.up()
        want = json.loads((folder / "own-expected-output.json").read_text())
        with cdh(w) as c:
            for f in ("own-unwrap-input-gcm.json", "own-unwrap-input-ctr.json"):
                r = c.call("keyprovider.KeyProviderService", "UnWrapKey", ttrpc.field(1, (folder / f).read_bytes()))
                assert json.loads(one(r)) == want, f
            fails(13, "[CDH] [ERROR]: Decrypt Image (UnwrapKey) failed", c.call, "keyprovider.KeyProviderService",
                  "UnWrapKey", ttrpc.field(1, (folder / "unwrap-input.json").read_bytes()))
            fails(13, "[ERROR] UnwrapKey Parse request failed", c.call, "keyprovider.KeyProviderService", "UnWrapKey",
                  ttrpc.field(1, b"no json"))
            fails(5, "is not supported", c.call, "keyprovider.KeyProviderService", "WrapKey", b"")


def cdh__pull_and_bad_mount__say_what_is_wrong():
    with World(BUILD) as w:
        w.up()
        with cdh(w) as c:
            fails(13, "[CDH] [ERROR]: Image Pull error: image.not-built", c.call, "api.ImagePullService", "PullImage",
                  ttrpc.field(1, b"busybox"))
            fails(13, "[CDH] [ERROR]: Secure Mount failed: volume.type-unsupported", c.call, "api.SecureMountService",
                  "SecureMount", b"")


def cdh__pull_image_delegate__gets_the_request_as_it_is():
    import socket
    import struct
    with World(BUILD) as w:
        other = w.tmp / "other.sock"
        seen = []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(other))
            os.chmod(other, 0o777)
            listener.listen(1)

            def serve():
                s, _ = listener.accept()
                with s:
                    head = s.recv(10, socket.MSG_WAITALL)
                    n, stream = struct.unpack(">II", head[:8])
                    seen.append(dict(ttrpc.fields(s.recv(n, socket.MSG_WAITALL))))
                    body = b"\x0a\x00" + ttrpc.field(2, ttrpc.field(1, b"sha256:00"))
                    s.sendall(struct.pack(">IIBB", len(body), stream, 2, 0) + body)
                    s.recv(1)

            t = threading.Thread(target=serve, daemon=True)
            t.start()
            w.up(own=f'[image_pull]\ndelegate = "unix://{other}"\n')
            with cdh(w) as c:
                r = c.call("api.ImagePullService", "PullImage", ttrpc.field(1, b"img") + ttrpc.field(2, b"/bundle"))
            assert one(r) == b"sha256:00", r
            assert seen[0][1] == b"api.ImagePullService" and seen[0][2] == b"PullImage", seen
            assert seen[0][3] == ttrpc.field(1, b"img") + ttrpc.field(2, b"/bundle"), seen


def cdh__credentials__are_written_to_memory_and_refused_on_disk():
    if not can_mount():
        raise Skip("needs root with CAP_SYS_ADMIN")
    path = "/run/confidential-containers/cdh/kbs/kms/file.json"
    config = f'[[credentials]]\npath = "{path}"\nresource_uri = "kbs:///default/cred/one"\n'
    with World(BUILD) as w:
        w.resource("default/cred/one", "credential text")
        w.up(cdh=config)
        wait_for("the refusal", lambda: "credential.on-disk" in w.log("vouchsafed"))
        assert not (w.root / path.lstrip("/")).exists()
    with World(BUILD) as w:
        w.resource("default/cred/one", "credential text")
        (w.root / "run").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", w.root / "run"], check=True)
        try:
            w.up(cdh=config)
            f = w.root / path.lstrip("/")
            wait_for("the credential", f.exists)
            wait_for("its content", lambda: f.read_text() == "credential text")
            assert f.stat().st_mode & 0o777 == 0o600
        finally:
            w.stop("vouchsafed")
            subprocess.run(["umount", "-l", w.root / "run"], check=True)


def cdh__two_hundred_unseals_on_one_connection_while_one_stalls__all_answered():
    with World(BUILD) as w:
        w.resource("default/a/b", "value")
        w.resource("default/slow/one", "slow")
        w.up()
        sealed = w.seal("kbs:///default/a/b")
        with cdh(w) as c:
            assert c.unseal(sealed) == b"value"
            w.misbehave(kind="stall", endpoint="resource", path="default/slow/*", seconds=6)
            slow = c.start("api.GetResourceService", "GetResource", ttrpc.field(1, b"kbs:///default/slow/one"), timeout=30)
            begun = time.monotonic()
            ids = [c.start("api.SealedSecretService", "UnsealSecret", ttrpc.field(1, sealed.encode()), timeout=30)
                   for _ in range(200)]
            for i in ids:
                assert one(c.finish(i)) == b"value"
            took = time.monotonic() - begun
            assert took < 4, f"{took:.1f} s: they waited behind the stalled call"
            assert one(c.finish(slow)) == b"slow"


def cdh__a_pod_that_floods__does_not_starve_root():
    with World(BUILD) as w:
        w.resource("default/a/b", "value")
        w.up(own="[peers]\nuids = [1234]\n")
        code = ("import socket,sys,time\ns=[]\nfor i in range(400):\n c=socket.socket(socket.AF_UNIX)\n"
                " try:\n  c.connect(sys.argv[1]); c.send(bytes([0,0,0,200,0,0,0,1,1,0])+b'x'*20)\n"
                " except OSError: pass\n s.append(c)\nprint('up',flush=True)\ntime.sleep(20)\n")
        os.chmod(w.cdh_socket, 0o666)
        p = subprocess.Popen(["/usr/bin/python3", "-c", code, str(w.cdh_socket)], user=1234, group=1234,
                             extra_groups=[], stdout=subprocess.PIPE)
        try:
            assert p.stdout.readline() == b"up\n"
            with cdh(w) as c:
                begun = time.monotonic()
                assert c.get_resource("kbs:///default/a/b") == b"value"
                assert time.monotonic() - begun < 5
        finally:
            p.kill()
            p.wait()


def main():
    c = Cases()
    for fn in (
        aa__tee_and_evidence__are_those_of_the_tpm,
        aa__bind_initdata_and_removed_method__have_upstreams_codes,
        aa__kbs_token__comes_with_its_own_key_and_is_cached,
        aa__coco_as_token__is_the_services_answer,
        aa__extend__off_on_and_bad_content,
        cdh__unwrap_key__every_shared_request,
        cdh__pull_and_bad_mount__say_what_is_wrong,
        cdh__pull_image_delegate__gets_the_request_as_it_is,
        cdh__credentials__are_written_to_memory_and_refused_on_disk,
        cdh__two_hundred_unseals_on_one_connection_while_one_stalls__all_answered,
        cdh__a_pod_that_floods__does_not_starve_root,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
