# SPDX-License-Identifier: Apache-2.0
"""The handshake with the sample TEE, tokens, resources, policy and the admin paths."""

import json
import os
import shutil
import subprocess
import tempfile
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from jwcrypto import jwk, jws

import teekey
from checks.client import Client, PATH, SECRET, ServerCase, b64, jws_payload
from encoding import b64u

SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 4, "shared")
VECTORS = os.path.join(os.environ.get("TEST_SHARED", SHARED), "vectors/trustee/derived")


def openssl_decrypt(client, data):
    """What openssl(1), for the CEK, and AES-GCM make of a reply to an RSA key."""
    box = {name: jwk.base64url_decode(value) for name, value in json.loads(data).items()}
    with tempfile.NamedTemporaryFile("wb", suffix=".pem") as f:
        f.write(client.key.export_to_pem(private_key=True, password=None))
        f.flush()
        cek = subprocess.run(["openssl", "pkeyutl", "-decrypt", "-inkey", f.name,
                              "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt",
                              "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256"],
                             input=box["encrypted_key"], stdout=subprocess.PIPE, check=True).stdout
    return AESGCM(cek).decrypt(box["iv"], box["ciphertext"] + box["tag"],
                               json.loads(data)["protected"].encode())


def jose_decrypt(client, data):
    """What jose(1) makes of a reply to an EC key; Debian 12's knows no RSA-OAEP."""
    with tempfile.NamedTemporaryFile("w", suffix=".jwk") as f:
        f.write(client.key.export_private())
        f.flush()
        return subprocess.run(["jose", "jwe", "dec", "-i-", "-k", f.name], input=data,
                              stdout=subprocess.PIPE, check=True).stdout


class Handshake(ServerCase):
    def test_every_key_type_gets_its_resource(self):
        for kind in ("P-256", "P-521", "RSA"):
            with self.subTest(kind):
                client = self.attested(kind)
                status, headers, data = client.get()
                self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
                self.assertEqual(list(json.loads(data)),
                                 ["protected", "encrypted_key", "iv", "ciphertext", "tag"])
                self.assertEqual(client.decrypt(data), SECRET)
                if kind == "RSA" and shutil.which("openssl"):
                    self.assertEqual(openssl_decrypt(client, data), SECRET)
                if kind != "RSA" and shutil.which("jose"):
                    self.assertEqual(jose_decrypt(client, data), SECRET)

    def test_protected_header_has_trustees_form(self):
        """Member order, and coordinates of fixed width, however small they are."""
        client = self.attested()
        for _ in range(40):
            box = json.loads(client.get()[2])
            text = jwk.base64url_decode(box["protected"]).decode()
            self.assertRegex(text, r'\A\{"alg":"ECDH-ES\+A256KW","enc":"A256GCM","epk":'
                             r'\{"crv":"P-256","kty":"EC","x":"[\w-]{43}","y":"[\w-]{43}"\}\}\Z')

    def test_each_hash_is_selected_and_used(self):
        for name in teekey.HASHES:
            with self.subTest(name):
                self.serve(allow_sample=True, hash=name)
                client = self.client()
                self.assertEqual(json.loads(client.auth()[2])["extra-params"],
                                 {"selected-hash-algorithm": name})
                self.assertEqual(client.attest()[0], 200)
                self.refusal(client.auth(**{"extra-params": ""}), "AttestationError")

    def test_challenge_and_cookie(self):
        status, headers, data = self.client().auth()
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        self.assertRegex(data.decode(), r'\A\{"nonce":"[\w+/]{43}=","extra-params":""\}\Z')
        self.assertRegex(headers["Set-Cookie"], r"\Akbs-session-id=[0-9a-f]{32}; Expires="
                         r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\Z")

    def test_bad_auth_requests(self):
        for changes in ({"version": "0.3.0"}, {"version": "0.4.0-rc1"}, {"version": None},
                        {"tee": "toaster"}, {"tee": None}, {"extra-params": None}):
            with self.subTest(changes):
                # None takes the member away, which for extra-params is what matters.
                detail = self.refusal(self.client().auth(**changes), "AttestationError")
                self.assertIn("RCAR handshake Auth failed: ", detail)
        detail = self.refusal(self.client().auth(version="0.1.0"), "AttestationError")
        self.assertTrue(detail.endswith("expect =0.4.0 while the request is 0.1.0"))
        self.assertEqual(self.client().auth(version="0.4.0+build")[0], 200)
        twice = b'{"version":"0.4.0","version":"0.4.0","tee":"sample","extra-params":""}'
        self.refusal(self.client().ask("POST", "/kbs/v0/auth", twice), "AttestationError")

    def test_bad_attestations(self):
        def wrong(name, reason, **changes):
            with self.subTest(name):
                client = self.client()
                client.auth()
                detail = self.refusal(client.attest(**changes), "AttestationError")
                self.assertEqual(detail, "Attestation error: RCAR handshake Attest failed")
                self.assertIn(reason, self.why())
        public = Client(self.port).public
        wrong("nonce", "nonce", nonce=b64(bytes(32)))
        wrong("report data", "report_data", evidence={"svn": "1", "report_data": b64(bytes(48))})
        wrong("svn", "svn", evidence={"svn": "2", "report_data": ""})
        wrong("another key", "report_data", evidence={"svn": "1", "report_data": b64(bytes(48))},
              public=public)
        wrong("extra member", "unknown members", public=public | {"use": "enc"})
        wrong("off curve", "not on the curve", public=public | {"x": b64u(b"\x11" * 32)})
        wrong("short", "coordinates of 31", public=public | {"x": b64u(b"\x11" * 31)})
        wrong("padded", "base64url", public=public | {"x": public["x"] + "="})
        wrong("curve", "curve", public=public | {"crv": "P-384"})
        wrong("alg", "alg", public=public | {"alg": "ECDH-ES"})
        wrong("small RSA", "2048", public={"kty": "RSA", "alg": "RSA-OAEP-256", "e": "AQAB",
                                           "n": b64u(b"\xff" * 128)})
        wrong("init-data", "init-data", init="not toml")
        wrong("device", "only sampledevice", extra='{"nvidia":{}}')

    def test_attest_needs_a_live_session(self):
        client = self.client()
        client.auth()
        client.cookie = "kbs-session-id=" + "0" * 32
        self.refusal(client.attest(), "AttestationError")
        self.serve(allow_sample=True, session_life=0)
        client = self.client()
        client.auth()
        self.refusal(client.attest(), "AttestationError")

    def test_attesting_twice_gives_the_same_token(self):
        client = self.attested()
        first = client.token
        self.assertEqual(client.attest()[0], 200)
        self.assertEqual(client.token, first)

    def test_additional_device_is_verified(self):
        client = self.client()
        client.auth()
        digest = teekey.device_digest("sha384", client.nonce, client.public)
        extra = json.dumps({"sampledevice": {"svn": "2", "report_data": b64(digest)}})
        self.assertEqual(client.attest(extra=extra)[0], 200)
        self.assertIn("gpu0", jws_payload(client.token)["submods"])

    def test_vectors_of_report_data(self):
        path = os.path.join(VECTORS, "report-data.json")
        if not os.path.exists(path):
            self.skipTest("no vectors here")
        with open(path, encoding="utf-8") as f:
            cases = json.load(f)["cases"]
        self.assertTrue(cases)
        for case in cases:
            for alg in teekey.HASHES:
                want = case["digests"][alg]
                args = (alg, case["nonce"], case["tee_pubkey"])
                self.assertEqual(teekey.device_digest(*args).hex(), want["device"])
                self.assertEqual(teekey.primary_digest(*args, case["additional_evidence"]).hex(),
                                 want["primary"])


class Tokens(ServerCase):
    def test_token_has_the_shape_of_an_ear(self):
        client = self.attested()
        signed = jws.JWS()
        signed.deserialize(client.token)
        header = json.loads(signed.objects["protected"])
        self.assertEqual(list(header), ["typ", "alg", "jwk"])
        signed.verify(jwk.JWK(**header["jwk"]), "ES256")
        claims = jws_payload(client.token)
        self.assertEqual(claims["exp"] - claims["iat"], 300)
        evidence = claims["submods"]["cpu0"]["ear.veraison.annotated-evidence"]
        self.assertEqual(evidence["runtime_data_claims"]["tee-pubkey"], client.public)
        self.assertEqual(evidence["sample"]["svn"], "1")

    def test_refused_tokens(self):
        client = self.attested()
        head, body, sig = client.token.split(".")
        forged = "A" if sig[0] != "A" else "B"
        for token in (f"{head}.{body}.{forged}{sig[1:]}", "a.b.c", "nonsense"):
            self.refusal(client.get(Authorization="Bearer " + token), "TokenVerifierError")
        self.refusal(client.ask("GET", "/kbs/v0/resource/" + PATH), "TokenNotFound")
        self.serve(allow_sample=True)  # another server has another key
        self.refusal(self.client().get(Authorization="Bearer " + client.token),
                     "TokenVerifierError")

    def test_expiry_and_leeway(self):
        client = self.attested()
        self.kbs.clock.offset = 300 + 30
        self.assertEqual(client.get()[0], 200)
        self.kbs.clock.offset = 300 + 90
        self.refusal(client.get(), "TokenVerifierError")

    def test_cookie_works_alone_and_beats_the_bearer(self):
        one, two = self.attested(), self.attested()
        data = one.get(Cookie=one.cookie)[2]
        self.assertEqual(one.decrypt(data), SECRET)
        data = one.get(Cookie=two.cookie, Authorization="Bearer " + one.token)[2]
        self.assertEqual(two.decrypt(data), SECRET)
        self.kbs.sessions.forget()
        data = one.get(Cookie=two.cookie, Authorization="Bearer " + one.token)[2]
        self.assertEqual(one.decrypt(data), SECRET)

    def test_kept_key_survives_a_restart(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "key")
            self.serve(allow_sample=True, token_key=path)
            client = self.attested()
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            self.serve(allow_sample=True, token_key=path)
            again = self.client()
            self.assertEqual(again.get(Authorization="Bearer " + client.token)[0], 200)


class Resources(ServerCase):
    def test_missing_and_malformed_paths(self):
        client = self.attested()
        for path in ("default/key/none", "default/key", "a/b/c/d", "a/b/.c", "a/b/c/", "a//c"):
            with self.subTest(path):
                self.refusal(client.get(path), "PluginInternalError")
        self.refusal(client.ask("GET", "/kbs/v0/auth"), "PluginNotFound", 404)
        self.refusal(client.ask("GET", "/kbs/v0/pkcs11/x"), "PluginNotFound", 404)
        self.refusal(client.ask("GET", "/kbs/v0/"), "InvalidRequestPath", 404)
        self.assertEqual(client.ask("GET", "/elsewhere")[0], 404)
        self.assertEqual(client.ask("GET", "/healthz")[0], 200)

    def test_set_delete_and_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(folder + "/team/key")
            with open(folder + "/team/key/one", "wb") as f:
                f.write(b"from a file")
            self.serve(allow_sample=True, resources=folder)
            client = self.attested()
            self.assertEqual(client.decrypt(client.get("team/key/one")[2]), b"from a file")
            client.ask("POST", "/kbs/v0/resource/team/key/one", b"from the admin")
            self.assertEqual(client.decrypt(client.get("team/key/one")[2]), b"from the admin")
            client.ask("POST", "/kbs/v0/resource/team/key/two", b"")
            status, _, data = client.get("team/key/two")
            self.assertEqual((status, json.loads(data)["ciphertext"]), (200, ""))
            if shutil.which("jose"):  # jwcrypto takes an empty plaintext for a failure
                self.assertEqual(jose_decrypt(client, data), b"")
            client.ask("DELETE", "/kbs/v0/resource/team/key/one")
            self.refusal(client.get("team/key/one"), "PluginInternalError")

    def test_sample_is_denied_by_default(self):
        self.serve()
        self.refusal(self.attested().get(), "PolicyDeny")

    def set_policy(self, text):
        body = {"policy": b64u(text.encode())}
        return self.client().ask("POST", "/kbs/v0/resource-policy", body)

    def test_policies(self):
        client = self.attested()
        deny_key = '{"allow_sample": true, "deny": ["default/key/*"]}'
        rules = ('{"default": "deny", "rules": [{"effect": "deny", "resource": "*/other"},'
                 '{"effect": "allow", "tee": "sample", "resource": "default/*"}]}')
        for text, allowed in (("deny_all", False), ("allow_all", True), ("{}", False),
                              (deny_key, False), (rules, True),
                              ("# as shipped\npackage policy\n\ndefault allow = true\n", True),
                              ("package policy\nimport rego.v1\ndefault allow := false", False),
                              ('{"rules": [{"effect": "allow", "tee": "tpm"}]}', False)):
            with self.subTest(text):
                self.assertEqual(self.set_policy(text)[0], 200)
                self.assertEqual(client.get()[0], 200 if allowed else 401)
                if not allowed:
                    self.refusal(client.get(), "PolicyDeny")
        for text in ('{"default": "perhaps"}', "package policy\nallow if true", "[]",
                     '{"rules": [{"effect": "deny", "color": "red"}]}'):
            with self.subTest(text):
                self.refusal(self.set_policy(text), "ParsePolicyError")

    def test_metrics_and_journal(self):
        client = self.attested()
        client.get()
        client.get("default/key/none")
        text = client.ask("GET", "/metrics")[2].decode()
        for line in ("kbs_auth_requests_total 1", "kbs_attestation_requests_total 1",
                     'kbs_attestation_successes_total{tee_type="sample"} 1',
                     f'kbs_resource_reads_total{{resource_path="{PATH}"}} 1',
                     "kbs_http_requests_total 4", "kbs_policy_evaluations_total 2"):
            self.assertIn(line + "\n", text)
        entries = json.loads(client.ask("GET", "/test/log")[2])
        got = [(e["endpoint"], e["status"], e["cookie"], e["bearer"]) for e in entries[:4]]
        self.assertEqual(got, [("auth", 200, False, False), ("attest", 200, True, False),
                               ("resource", 200, False, True), ("resource", 401, False, True)])
        self.assertEqual({e["connection"] for e in entries}, {entries[0]["connection"]})
        self.assertIn("authorization", entries[2]["headers"])
        self.assertNotIn(client.token, json.dumps(entries))
        self.assertEqual(json.loads(client.ask("GET", "/test/state")[2])["connections"], 1)

    def test_limits_of_the_http_server(self):
        big = self.client().ask("POST", "/kbs/v0/auth", b"x" * ((2 << 20) + 1))
        self.assertEqual(big[0], 413)
        chunked = self.raw(b"POST /kbs/v0/auth HTTP/1.1\r\nHost: x\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")[0]
        self.assertTrue(chunked.startswith(b"HTTP/1.1 411 "))

    def test_proxy_form_of_a_target(self):
        got = self.raw(b"GET http://kbs.invalid/healthz HTTP/1.1\r\nHost: kbs.invalid\r\n"
                       b"Connection: close\r\n\r\n")[0]
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "))

    def test_many_connections_at_once(self):
        clients = [self.client() for _ in range(60)]
        start = time.monotonic()
        for c in clients:
            c.conn.connect()
        for c in clients:
            self.assertEqual(c.auth()[0], 200)
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual(self.server.journal.connections, 60)
